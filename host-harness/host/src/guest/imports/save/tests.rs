//! Tests of saves while the storage fails. The clock is paused, so waiting takes no time.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::connection::Connection;
use crate::storage::{OpenRow, RowEntry, run_within};

const BUDGET: Duration = Duration::from_secs(10);

fn key(account: &str) -> ConnectionKey {
    ConnectionKey { customer: "c".parse().unwrap(), account: account.parse().unwrap() }
}

fn unavailable() -> Result<Swapped<CheckedRow>, StorageError> {
    Err(StorageError::Unavailable("down".to_owned()))
}

fn stale(revision: &str) -> Result<Swapped<CheckedRow>, StorageError> {
    let row = OpenRow::new(Connection::new(key("a"))).encode().unwrap();
    let entry = RowEntry { revision: revision.parse().unwrap(), row };
    Ok(Swapped::Stale(Some(CheckedRow { entry, secrets: zeroize::Zeroizing::default(), open: None })))
}

/// Saves to a storage that gives these answers one after the other, and then repeats the last answer. Returns the
/// result and the number of attempts.
async fn save_with_answers(
    revision: Option<&str>,
    answers: Vec<Result<Swapped<CheckedRow>, StorageError>>,
) -> (Result<Swapped<CheckedRow>, StorageError>, usize) {
    let answers = Mutex::new((VecDeque::from(answers), 0));
    let revision = revision.map(|text| text.parse().unwrap());
    let mut budget = SaveBudget::new(BUDGET);
    let result = save(budget.for_swap(&key("a"), None), revision.as_ref(), async || {
        let mut answers = answers.lock().unwrap();
        answers.1 += 1;
        if answers.0.len() > 1 { answers.0.pop_front().unwrap() } else { answers.0[0].clone() }
    })
    .await;
    let attempts = answers.lock().unwrap().1;
    (result, attempts)
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_repeated_until_storage_answers() {
    let answers = vec![unavailable(), unavailable(), Ok(Swapped::Done)];
    assert_eq!(save_with_answers(Some("mine"), answers).await, (Ok(Swapped::Done), 3));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_recognized_by_its_revision() {
    assert_eq!(save_with_answers(Some("mine"), vec![unavailable(), stale("mine")]).await, (Ok(Swapped::Done), 2));
    assert_eq!(save_with_answers(Some("mine"), vec![unavailable(), stale("other")]).await, (stale("other"), 2));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_was_lost_is_recognized_only_when_repeated() {
    let gone = || Ok(Swapped::Stale(None));
    assert_eq!(save_with_answers(None, vec![unavailable(), gone()]).await, (Ok(Swapped::Done), 2));
    assert_eq!(save_with_answers(None, vec![gone()]).await, (gone(), 1));
    assert_eq!(save_with_answers(Some("mine"), vec![unavailable(), gone()]).await, (gone(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_not_repeated() {
    let refused = || Err(StorageError::Refused("quota".to_owned()));
    assert_eq!(save_with_answers(Some("mine"), vec![refused()]).await, (refused(), 1));
}

#[tokio::test(start_paused = true)]
async fn attempts_of_the_guest_and_of_the_host_share_one_budget() {
    let (started, mut budget) = (Instant::now(), SaveBudget::new(BUDGET));
    for _ in 0..3 {
        let result = save(budget.for_swap(&key("a"), None), None, async || unavailable()).await;
        assert_eq!(result, unavailable());
    }
    assert!(started.elapsed() <= BUDGET, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn every_record_and_expected_revision_has_its_own_budget() {
    let (started, mut budget) = (Instant::now(), SaveBudget::new(BUDGET));
    let first: Revision = "1".parse().unwrap();
    let mut end_after = |elapsed: u64, account: &str, expected: Option<&Revision>| {
        (budget.for_swap(&key(account), expected).end - started).as_secs() - elapsed
    };
    assert_eq!(end_after(0, "a", None), 10);
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(end_after(4, "a", None), 6);
    assert_eq!(end_after(4, "a", Some(&first)), 10);
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(end_after(8, "a", Some(&first)), 6);
    assert_eq!(end_after(8, "b", Some(&first)), 10);
}

#[tokio::test(start_paused = true)]
async fn a_save_after_a_settled_save_has_the_full_budget() {
    for settled in [Ok(Swapped::Done), stale("other"), Err(StorageError::Refused("quota".to_owned()))] {
        let mut budget = SaveBudget::new(BUDGET);
        assert_eq!(save(budget.for_swap(&key("a"), None), None, async || unavailable()).await, unavailable());
        assert_eq!(save(budget.for_swap(&key("a"), None), None, async || settled.clone()).await, settled);
        assert_eq!(budget.for_swap(&key("a"), None).end, Instant::now() + BUDGET);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_ends_when_the_budget_ends() {
    let started = Instant::now();
    let mut budget = SaveBudget::new(BUDGET);
    let result: Result<Swapped<CheckedRow>, _> =
        save(budget.for_swap(&key("a"), None), None, std::future::pending::<Result<Swapped<CheckedRow>, StorageError>>)
            .await;
    assert_eq!(result, Err(StorageError::Unavailable("the backend did not answer in time".to_owned())));
    assert_eq!(started.elapsed(), BUDGET);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_backend_is_reported_as_unavailable_storage() {
    let read = run_within(BUDGET, async { panic!("a bug in the backend") });
    let read: Result<(), _> = read.await;
    assert_eq!(read, Err(StorageError::Unavailable("the backend panicked".to_owned())));
}
