//! Saves under failures, and whom the guest may name. The clock is paused: pauses pass at once.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::clock::ManualClock;
use crate::credentials::StaticCredentials;
use crate::randomness::SystemRandomness;
use crate::storage::{MemoryStorage, TokenValue};

const BUDGET: Duration = Duration::from_secs(10);

fn unavailable() -> Result<Swapped<TokenEntry>, StorageError> {
    Err(StorageError::Unavailable("down".to_owned()))
}

fn stale(revision: &str) -> Result<Swapped<TokenEntry>, StorageError> {
    let value = TokenValue::new(Vec::new());
    Ok(Swapped::Stale(Some(TokenEntry { revision: revision.parse().unwrap(), value, age: Duration::ZERO })))
}

/// Saves over a storage that gives these answers, the last of them for ever; tells how often it was asked.
async fn saved(
    revision: Option<&str>,
    answers: Vec<Result<Swapped<TokenEntry>, StorageError>>,
) -> (Result<Swapped<TokenEntry>, StorageError>, usize) {
    let answers = Mutex::new((VecDeque::from(answers), 0));
    let revision = revision.map(|text| text.parse().unwrap());
    let result = save(&mut None, BUDGET, revision.as_ref(), async || {
        let mut answers = answers.lock().unwrap();
        answers.1 += 1;
        if answers.0.len() > 1 { answers.0.pop_front().unwrap() } else { answers.0[0].clone() }
    })
    .await;
    let asked = answers.lock().unwrap().1;
    (result, asked)
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_is_repeated_until_storage_answers() {
    let answers = vec![unavailable(), unavailable(), Ok(Swapped::Done)];
    assert_eq!(saved(Some("mine"), answers).await, (Ok(Swapped::Done), 3));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_happened_after_all_is_recognised_by_its_revision() {
    assert_eq!(saved(Some("mine"), vec![unavailable(), stale("mine")]).await, (Ok(Swapped::Done), 2));
    assert_eq!(saved(Some("mine"), vec![unavailable(), stale("other")]).await, (stale("other"), 2));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_happened_after_all_is_recognised_only_when_repeated() {
    let gone = || Ok(Swapped::Stale(None));
    assert_eq!(saved(None, vec![unavailable(), gone()]).await, (Ok(Swapped::Done), 2));
    assert_eq!(saved(None, vec![gone()]).await, (gone(), 1));
    assert_eq!(saved(Some("mine"), vec![unavailable(), gone()]).await, (gone(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_not_repeated() {
    let refused = || Err(StorageError::Refused("quota".to_owned()));
    assert_eq!(saved(Some("mine"), vec![refused()]).await, (refused(), 1));
}

#[tokio::test(start_paused = true)]
async fn the_tries_of_the_guest_and_of_the_host_share_one_budget() {
    let (started, mut unfinished) = (Instant::now(), None);
    for _ in 0..3 {
        let result = save(&mut unfinished, BUDGET, None, async || unavailable()).await;
        assert_eq!(result, unavailable());
    }
    assert!(started.elapsed() <= BUDGET, "{:?}", started.elapsed());

    let done = save(&mut unfinished, BUDGET, None, async || Ok::<_, StorageError>(Swapped::<TokenEntry>::Done)).await;
    assert_eq!((done, unfinished), (Ok(Swapped::Done), None));
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_ends_with_the_budget() {
    let started = Instant::now();
    let result: Result<Swapped<TokenEntry>, _> =
        save(&mut None, BUDGET, None, std::future::pending::<Result<Swapped<TokenEntry>, StorageError>>).await;
    assert_eq!(result, Err(StorageError::Unavailable("the backend did not answer in time".to_owned())));
    assert_eq!(started.elapsed(), BUDGET);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_backend_is_an_unavailable_storage() {
    let read = answered_within(BUDGET, async { panic!("a bug in the backend") });
    let read: Result<(), _> = read.await;
    assert_eq!(read, Err(StorageError::Unavailable("the backend panicked".to_owned())));
}

fn imports(customer: Option<&str>) -> Imports {
    Imports {
        scope: Scope { tenant: "acme".parse().unwrap(), customer: customer.map(|id| id.parse().unwrap()) },
        storage: Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))),
        credentials: Arc::new(StaticCredentials::new()),
        randomness: Arc::new(SystemRandomness),
        save: BUDGET,
        token_save: None,
        row_save: None,
    }
}

#[tokio::test]
async fn a_guest_reads_and_writes_for_the_customer_of_its_call_only() {
    let key = |customer: &str| types::ConnectionKey { customer: customer.to_owned(), account: "a".to_owned() };
    let write = || Some(token_storage::Write { value: vec![1], refresh_due_at: Some(7) });
    let mut imports = imports(Some("mine"));

    let stored = imports.swap_token(key("mine"), None, write()).await.unwrap();
    let token_storage::SwapOutcome::Stored(revision) = stored else { panic!("not stored") };
    assert_eq!(revision.len(), 32);
    let loaded = imports.load_token(key("mine")).await.unwrap().unwrap();
    assert_eq!((loaded.revision.as_str(), loaded.value.expose()), (revision.as_str(), [1].as_slice()));

    let denied = StorageError::Refused("not the customer of this call".to_owned());
    assert_eq!(imports.load_token(key("other")).await.unwrap_err(), denied);
    assert_eq!(imports.list_accounts("other".to_owned()).await.unwrap_err(), denied);
    assert_eq!(imports.list_rows("other".to_owned()).await.unwrap_err(), denied);
    let swapped = imports.swap_token(key("other"), None, write()).await;
    assert!(matches!(swapped, Err(error) if error == denied));
}

#[tokio::test]
async fn a_call_for_no_customer_reaches_no_record() {
    let denied = StorageError::Refused("not the customer of this call".to_owned());
    assert_eq!(imports(None).list_accounts("mine".to_owned()).await.unwrap_err(), denied);
}

#[tokio::test]
async fn malformed_identifiers_of_a_guest_are_refused() {
    let mut imports = imports(Some("mine"));
    let key = |account: &str| types::ConnectionKey { customer: "mine".to_owned(), account: account.to_owned() };
    let refused = |why: &str| StorageError::Refused(why.to_owned());
    assert_eq!(imports.load_token(key("")).await.unwrap_err(), refused("account id: 1 to 256 bytes"));
    assert_eq!(imports.list_owners("x".to_owned()).await.unwrap_err(), refused("shop id: 1 to 19 digits"));
    let swapped = imports.swap_token(key("a"), Some(String::new()), None).await;
    assert!(matches!(swapped, Err(error) if error == refused("revision: 1 to 64 bytes")));
}
