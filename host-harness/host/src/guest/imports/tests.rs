//! Tests of the imports that a guest calls, with a storage in memory. In tests with a paused clock, waiting takes no
//! time.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::clock::ManualClock;
use crate::connection::{Connection, Shop, ShopStanding, UnixSeconds};
use crate::credentials::StaticCredentials;
use crate::events::{Cause, EventKind, Origin};
use crate::id::{HostKeyId, TenantId};
use crate::randomness::SystemRandomness;
use crate::refresh::RefreshMode;
use crate::seal::{DataKey, HostKeys, KeyError, KeyProvider, Keyring};
use crate::secret::Secret;
use crate::storage::{
    Access, ConnectionStorage as _, HostStorage, Intercepted, Interceptor, MemoryStorage, Passage, WrappedKey,
};

const SAVE: Duration = Duration::from_secs(10);
const NOW: Duration = Duration::from_secs(1_767_225_600);

fn memory() -> MemoryStorage {
    MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))
}

fn imports_over(storage: Arc<dyn HostStorage>, customer: Option<&str>) -> Imports {
    let tenant = "acme".parse().unwrap();
    let scope = match customer {
        None => Scope::without_customer(&tenant, origin()),
        Some(customer) => Scope::of_customer(&tenant, &customer.parse().unwrap(), origin()),
    };
    imports_in(scope, storage)
}

/// Returns the origin of every call in these tests.
fn origin() -> Origin {
    Origin { actor: Some("ana".parse().unwrap()), ..Origin::default().during(Cause::Call) }
}

fn imports_in(scope: Scope, storage: Arc<dyn HostStorage>) -> Imports {
    imports_with(scope, sealed(storage))
}

fn imports_with(scope: Scope, storage: SealedStorage) -> Imports {
    let revisions = Revisions::draw(&SystemRandomness).unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let credentials = GuestCredentials { fetched: None, provider: Arc::new(StaticCredentials::new()) };
    Imports::new(scope, storage, credentials, clock, revisions, SAVE, Secrets::default())
}

/// Returns a storage that seals (encrypts) every value before it writes the value to `storage`. All sealed storages of
/// these tests use the same host key.
fn sealed(storage: Arc<dyn HostStorage>) -> SealedStorage {
    static KEYS: LazyLock<HostKeys> = LazyLock::new(|| HostKeys::draw().unwrap());
    let keyring = Keyring::new(Arc::clone(&storage), Arc::new(KEYS.clone()), Arc::new(SystemRandomness));
    SealedStorage::new(storage, Arc::new(keyring))
}

fn imports(customer: Option<&str>) -> Imports {
    imports_over(Arc::new(memory()), customer)
}

fn key(customer: &str) -> types::ConnectionKey {
    types::ConnectionKey { customer: customer.to_owned(), account: "a".to_owned() }
}

fn write(value: u8) -> token_storage::Write {
    token_storage::Write { value: vec![value], refresh_due_at: Some(7) }
}

/// Delays every swap of a token record by 50 ms. Until the time `up`, the storage performs every swap of a token record
/// or a row, but this interceptor loses the answer.
struct Slow {
    up: Instant,
}

#[async_trait]
impl Interceptor for Slow {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "swap_token" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let is_swap = ["swap_row", "swap_token"].contains(&access.method());
        if is_swap && Instant::now() < self.up { Passage::LoseAnswer } else { Passage::Forward }
    }
}

fn slow(memory: &Arc<MemoryStorage>, up: Instant) -> Arc<dyn HostStorage> {
    Arc::new(Intercepted::new(Arc::clone(memory) as _, Arc::new(Slow { up })))
}

#[tokio::test(start_paused = true)]
async fn saving_new_tokens_has_its_full_budget_after_the_claim_has_used_its_own() {
    let started = Instant::now();
    let mut imports = imports_over(slow(&Arc::new(memory()), started + SAVE), Some("mine"));

    let claimed = imports.swap_token(key("mine"), None, Some(write(1))).await;
    assert!(matches!(claimed, Err(StorageError::Unavailable(_))), "{claimed:?}");
    // The record with the claim (here the value 1) was written, although the answer was lost. A real guest recognizes
    // its own claim by the random nonce in it.
    let claim = imports.load_token(key("mine")).await.unwrap().unwrap();
    assert_eq!(*claim.value, [1]);

    tokio::time::advance(started + SAVE - Instant::now()).await;
    let saved = imports.swap_token(key("mine"), Some(claim.revision.into()), Some(write(2))).await;
    assert!(matches!(saved, Ok(token_storage::SwapOutcome::Stored(_))), "{saved:?}");
}

#[tokio::test]
async fn a_tenant_is_known_once_a_call_has_read_one_of_its_records() {
    let memory = Arc::new(memory());
    let mut earlier = imports_over(Arc::clone(&memory) as _, Some("mine"));
    let stored = earlier.swap_token(key("mine"), None, Some(write(1))).await;
    assert!(matches!(stored, Ok(token_storage::SwapOutcome::Stored(_))), "{stored:?}");

    let after_restart = imports_over(memory, Some("mine"));
    let (tenant, known) = (&after_restart.scope.tenant, after_restart.storage.known_tenants());
    let missing = types::ConnectionKey { account: "missing".to_owned(), ..key("mine") };
    assert!(after_restart.load_token(missing).await.unwrap().is_none());
    assert!(!known.contains(tenant));
    assert!(after_restart.load_token(key("mine")).await.unwrap().is_some());
    assert!(known.contains(tenant));
}

#[tokio::test(start_paused = true)]
async fn repeated_swaps_of_a_guest_share_one_budget() {
    let started = Instant::now();
    let mut imports = imports_over(slow(&Arc::new(memory()), started + 10 * SAVE), Some("mine"));
    for _ in 0..3 {
        let swapped = imports.swap_token(key("mine"), None, Some(write(1))).await;
        assert!(matches!(swapped, Err(StorageError::Unavailable(_))), "{swapped:?}");
    }
    assert!(started.elapsed() <= SAVE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_guest_gets_what_the_host_has_fetched_and_later_questions_reach_the_source() {
    for fetched in [StorageError::Unavailable("asleep".to_owned()), StorageError::Refused("unknown".to_owned())] {
        let mut imports = imports(None);
        imports.credentials.fetched = Some(Err(fetched.clone()));
        for expected in [fetched, StorageError::Refused("no credentials for this tenant".to_owned())] {
            let answer = app_credentials::Host::current(&mut imports).await.unwrap();
            assert_eq!(format!("{answer:?}"), format!("{:?}", reply(Err::<(), _>(expected))));
        }
    }
}

/// A key service that never answers. It counts how often it is asked to unwrap a data key.
#[derive(Default)]
struct NeverAnswers(AtomicUsize);

#[async_trait]
impl KeyProvider for NeverAnswers {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        std::future::pending().await
    }

    async fn wrap(&self, _: &TenantId, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
        std::future::pending().await
    }

    async fn unwrap(&self, _: &TenantId, _: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

/// Makes the accesses of a `disconnect` of a customer with four accounts: list the rows, look at each record, delete
/// each record, delete each row.
#[tokio::test(start_paused = true)]
async fn a_disconnect_of_several_accounts_waits_once_for_a_key_service_that_never_answers() {
    let storage: Arc<dyn HostStorage> = Arc::new(memory());
    let (tenant, customer): (TenantId, CustomerId) = ("acme".parse().unwrap(), "mine".parse().unwrap());
    let stored = sealed(Arc::clone(&storage));
    let accounts = ["a", "b", "c", "d"];
    for account in accounts {
        let key = ConnectionKey { customer: customer.clone(), account: account.parse().unwrap() };
        let revision: Revision = format!("r-{account}").parse().unwrap();
        let record = OpenWrite { value: b"record".to_vec().into(), refresh_due_at: None };
        let next = Next { revision: revision.clone(), value: record };
        stored.swap_token(&tenant, &key, None, Some(&next)).await.unwrap();
        let mut shop = Shop::new("1".parse().unwrap(), key.account.clone());
        shop.cipher = Some(Secret::from("cipher"));
        let mut row = Row::new(Connection::new(key.clone()));
        row.connection.shops = vec![shop];
        stored.swap_row(&tenant, &key, None, Some(&Next { revision, value: row }), &[]).await.unwrap();
    }
    let service = Arc::new(NeverAnswers::default());
    let keyring = Keyring::new(Arc::clone(&storage), Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let keyless = SealedStorage::new(Arc::clone(&storage), Arc::new(keyring));
    let mut imports = imports_with(Scope::for_deletion(&tenant, &customer, origin()), keyless);

    let began = Instant::now();
    assert_eq!(imports.list_rows("mine".to_owned()).await.unwrap().len(), 4);
    for account in accounts {
        let key = || types::ConnectionKey { customer: "mine".to_owned(), account: account.to_owned() };
        let seen = imports.swap_token(key(), None, None).await.unwrap();
        let token_storage::SwapOutcome::Stale(Some(entry)) = seen else { panic!("{account}") };
        let deleted = imports.swap_token(key(), Some(entry.revision), None).await.unwrap();
        assert!(matches!(deleted, token_storage::SwapOutcome::Deleted), "{account}: {deleted:?}");
        let row = imports.load_row(key()).await.unwrap().unwrap();
        let deleted = imports.swap_row(key(), Some(row.revision.into()), None).await.unwrap();
        assert!(matches!(deleted, connection_storage::SwapOutcome::Deleted), "{account}: {deleted:?}");
    }
    assert_eq!(storage.accounts(&tenant, &customer).await, Ok(vec![]));
    assert_eq!(storage.list_rows(&tenant, &customer).await, Ok(vec![]));
    assert_eq!((service.0.load(Ordering::SeqCst), began.elapsed().as_secs()), (1, 9));
}

#[tokio::test]
async fn a_call_for_one_customer_cannot_look_up_the_owners_of_a_shop() {
    let refused = storage_types::StorageError::Refused("this call may not look across customers".to_owned());
    let answer = connection_storage::Host::owners(&mut imports(Some("mine")), "1".to_owned()).await.unwrap();
    assert_eq!(format!("{answer:?}"), format!("{:?}", Err::<(), _>(refused)));
}

#[tokio::test]
async fn a_guest_reads_and_writes_only_for_the_customer_of_its_call() {
    let mut imports = imports(Some("mine"));

    let stored = imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    let token_storage::SwapOutcome::Stored(revision) = stored else { panic!("not stored") };
    let loaded = imports.load_token(key("mine")).await.unwrap().unwrap();
    assert_eq!((loaded.revision.as_str(), loaded.value.as_slice()), (revision.as_str(), [1].as_slice()));

    let denied = StorageError::Refused("not the customer of this call".to_owned());
    for stranger in ["other", "Mine", "MINE", "min", "mine2", "mine ", " mine", "mine\0"] {
        assert_eq!(refusal(&mut imports, stranger).await, Some(denied.clone()), "{stranger:?}");
        let swapped = imports.swap_token(key(stranger), None, Some(write(1))).await;
        assert!(matches!(swapped, Err(error) if error == denied), "{stranger:?}");
    }
}

#[tokio::test]
async fn a_call_without_a_customer_reads_no_record() {
    let denied = StorageError::Refused("not the customer of this call".to_owned());
    assert_eq!(imports(None).list_accounts("mine".to_owned()).await.unwrap_err(), denied);
}

/// Writes a token record and a row with this shop for a customer of a tenant.
async fn put(storage: &Arc<MemoryStorage>, tenant: &str, customer: &str, shop: &str) {
    let scope = Scope::of_customer(&tenant.parse().unwrap(), &customer.parse().unwrap(), origin());
    let mut imports = imports_in(scope, Arc::clone(storage) as _);
    let token = imports.swap_token(key(customer), None, Some(write(1))).await;
    assert!(matches!(token, Ok(token_storage::SwapOutcome::Stored(_))), "{token:?}");
    let key = ConnectionKey { customer: customer.parse().unwrap(), account: "a".parse().unwrap() };
    let mut row = Row::new(Connection::new(key));
    row.connection.shops = vec![Shop {
        id: shop.parse().unwrap(),
        account: "a".parse().unwrap(),
        name: String::new(),
        region: String::new(),
        seller_type: String::new(),
        cipher: None,
        code: String::new(),
        raw: "{}".to_owned(),
        standing: ShopStanding::Granted,
        linked: true,
    }];
    let entry = RowEntry { revision: "unused".parse().unwrap(), row };
    let row = connection_storage::Entry::from(entry).stored;
    stored(imports.swap_row(self::key(customer), None, Some(row)).await.unwrap());
}

/// Tries every kind of access to the records of this customer. Asserts that all accesses end in the same way. Returns
/// their error, or `None` if they end without an error.
async fn refusal(imports: &mut Imports, customer: &str) -> Option<StorageError> {
    let stale = || Some("r0".to_owned());
    let errors = [
        imports.list_accounts(customer.to_owned()).await.err(),
        imports.list_rows(customer.to_owned()).await.err(),
        imports.load_token(key(customer)).await.err(),
        imports.swap_token(key(customer), stale(), None).await.err(),
        imports.load_row(key(customer)).await.err(),
        imports.swap_row(key(customer), stale(), None).await.err(),
    ];
    let [first, ..] = &errors;
    assert!(errors.iter().all(|error| error == first), "{customer}: {errors:?}");
    first.clone()
}

/// A webhook names a shop and no customer. So its guest looks up the owners of the shop, and then reaches the records
/// of these customers, but never the records of any other customer.
#[tokio::test]
async fn the_guest_of_a_webhook_reaches_only_the_owners_that_it_has_looked_up() {
    let storage = Arc::new(memory());
    for (tenant, customer, shop) in
        [("acme", "owner", "1"), ("acme", "another owner", "1"), ("acme", "stranger", "2"), ("other", "neighbour", "1")]
    {
        put(&storage, tenant, customer, shop).await;
    }
    let mut imports = imports_in(Scope::for_webhook(&"acme".parse().unwrap(), origin()), Arc::clone(&storage) as _);
    let everybody = ["owner", "another owner", "stranger", "neighbour", "nobody"];
    let denied = || Some(StorageError::Refused("not the customer of this call".to_owned()));
    let mut assert_reached = async |reached: &[&str], looked_up: &str| {
        if !looked_up.is_empty() {
            imports.list_owners(looked_up.to_owned()).await.unwrap();
        }
        for customer in everybody {
            let expected = if reached.contains(&customer) { None } else { denied() };
            assert_eq!(refusal(&mut imports, customer).await, expected, "{customer} after shop {looked_up:?}");
        }
    };
    assert_reached(&[], "").await;
    assert_reached(&[], "3").await;
    assert_reached(&["owner", "another owner"], "1").await;
    assert_reached(&["owner", "another owner", "stranger"], "2").await;
}

/// A row contains the key of its connection. The guest must write the row with the same key.
#[tokio::test]
async fn a_row_of_another_connection_is_not_written() {
    let storage = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let other = |customer: &str, account: &str| types::ConnectionKey {
        customer: customer.to_owned(),
        account: account.to_owned(),
    };
    // `row` creates a row whose key has the customer `mine` and the account `a`.
    let refused = Err(StorageError::Refused("a row of another connection".to_owned()));
    let active = || Some(row(1, types::ConnectionStatus::Active));
    let swapped = imports.swap_row(other("mine", "b"), None, active()).await;
    assert_eq!(swapped.map(|outcome| format!("{outcome:?}")), refused);
    stored(imports.swap_row(key("mine"), None, active()).await.unwrap());
    let swapped = imports.swap_row(other("mine", "b"), None, active()).await;
    assert_eq!(swapped.map(|outcome| format!("{outcome:?}")), refused);
    assert!(imports.load_row(other("mine", "b")).await.unwrap().is_none());

    let mut imports = imports_over(Arc::clone(&storage) as _, Some("yours"));
    let swapped = imports.swap_row(other("yours", "a"), None, active()).await;
    assert_eq!(swapped.map(|outcome| format!("{outcome:?}")), refused);
    assert!(imports.load_row(other("yours", "a")).await.unwrap().is_none());
    assert_eq!(kinds(&storage).await, [EventKind::Connected]);
}

#[tokio::test]
async fn malformed_ids_from_a_guest_are_refused() {
    let mut imports = imports(Some("mine"));
    let key = |account: &str| types::ConnectionKey { customer: "mine".to_owned(), account: account.to_owned() };
    let refused = |why: &str| StorageError::Refused(why.to_owned());
    assert_eq!(imports.load_token(key("")).await.unwrap_err(), refused("account id: 1 to 256 bytes"));
    let swapped = imports.swap_token(key("a"), Some(String::new()), None).await;
    assert!(matches!(swapped, Err(error) if error == refused("revision: 1 to 64 bytes")));
}

fn row(generation: u64, status: types::ConnectionStatus) -> connection_storage::Write {
    let key = ConnectionKey { customer: "mine".parse().unwrap(), account: "a".parse().unwrap() };
    let mut row = Row::new(Connection::new(key));
    row.token_generation = generation;
    row.connection.status = status.into();
    let entry = RowEntry { revision: "unused".parse().unwrap(), row };
    connection_storage::Entry::from(entry).stored
}

async fn kinds(storage: &MemoryStorage) -> Vec<EventKind> {
    let events = storage.events(&"acme".parse().unwrap(), None, 99).await.unwrap();
    assert!(events.iter().all(|event| event.event.at == UnixSeconds(NOW.as_secs()) && event.event.origin == origin()));
    events.into_iter().map(|event| event.event.kind).collect()
}

fn stored(outcome: connection_storage::SwapOutcome) -> String {
    let connection_storage::SwapOutcome::Stored(revision) = outcome else { panic!("{outcome:?}") };
    revision
}

const ENDING: types::ConnectionStatus = types::ConnectionStatus::AuthorizationEnding(9);

#[tokio::test]
async fn the_events_of_a_row_depend_on_the_row_that_it_replaces() {
    let storage = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let first = imports.swap_row(key("mine"), None, Some(row(1, types::ConnectionStatus::Active))).await.unwrap();
    // The call has not loaded the row, but expects the revision that it has just written itself.
    let second = imports.swap_row(key("mine"), Some(stored(first)), Some(row(2, ENDING))).await.unwrap();
    let revision = stored(second);

    // Another call begins, which has neither loaded nor written the row.
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let third = imports.swap_row(key("mine"), Some(revision), Some(row(3, ENDING))).await.unwrap();
    let loaded = imports.load_row(key("mine")).await.unwrap().unwrap();
    assert_eq!(loaded.revision.as_str(), stored(third));
    imports.swap_row(key("mine"), Some(loaded.revision.into()), None).await.unwrap();

    let ending = EventKind::AuthorizationEnding { ends: UnixSeconds(9) };
    assert_eq!(kinds(&storage).await, [EventKind::Connected, ending, EventKind::Disconnected]);
}

#[tokio::test]
async fn a_row_is_not_written_when_it_expects_an_unknown_revision() {
    let storage = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let lost = imports.swap_row(key("mine"), Some("r0".to_owned()), Some(row(1, ENDING))).await.unwrap();
    assert!(matches!(lost, connection_storage::SwapOutcome::Stale(None)), "{lost:?}");
    let first = imports.swap_row(key("mine"), None, Some(row(1, types::ConnectionStatus::Active))).await.unwrap();
    let lost = imports.swap_row(key("mine"), Some("r0".to_owned()), Some(row(2, ENDING))).await.unwrap();
    let connection_storage::SwapOutcome::Stale(Some(found)) = lost else { panic!("{lost:?}") };
    assert_eq!(found.revision, stored(first));
    assert_eq!(kinds(&storage).await, [EventKind::Connected]);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_writes_its_events_once() {
    let memory = Arc::new(memory());
    let up = Instant::now() + Duration::from_secs(1);
    let mut imports = imports_over(slow(&memory, up), Some("mine"));
    let first = imports.swap_row(key("mine"), None, Some(row(1, ENDING))).await.unwrap();
    assert!(Instant::now() >= up);
    imports.storage = sealed(slow(&memory, Instant::now() + Duration::from_secs(1)));
    let ended = imports.swap_row(key("mine"), Some(stored(first)), None).await.unwrap();
    assert!(matches!(ended, connection_storage::SwapOutcome::Deleted), "{ended:?}");

    // For 20 s the storage performs every swap but loses its answer. The host repeats a swap for at most 10 s (`SAVE`),
    // so this call fails although the row was written. Then the guest writes the row again, and gets the row that the
    // failed call wrote.
    imports.storage = sealed(slow(&memory, Instant::now() + 2 * SAVE));
    let lost = imports.swap_row(key("mine"), None, Some(row(1, types::ConnectionStatus::Active))).await;
    assert!(matches!(lost, Err(StorageError::Unavailable(_))), "{lost:?}");
    imports.storage = sealed(Arc::clone(&memory) as _);
    let again = imports.swap_row(key("mine"), None, Some(row(1, types::ConnectionStatus::Active))).await.unwrap();
    assert!(matches!(again, connection_storage::SwapOutcome::Stale(Some(_))), "{again:?}");

    let ending = EventKind::AuthorizationEnding { ends: UnixSeconds(9) };
    let expected = [EventKind::Connected, ending, EventKind::Disconnected, EventKind::Connected];
    assert_eq!(kinds(&memory).await, expected);
}

fn forced_refresh(storage: Arc<dyn HostStorage>) -> Imports {
    let (tenant, customer) = ("acme".parse().unwrap(), "mine".parse().unwrap());
    imports_in(Scope::for_refresh(&tenant, &customer, RefreshMode::Forced, origin()), storage)
}

#[tokio::test]
async fn a_forced_refresh_writes_its_event_with_its_first_row() {
    let storage = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let first = imports.swap_row(key("mine"), None, Some(row(1, types::ConnectionStatus::Active))).await.unwrap();
    let mut imports = forced_refresh(Arc::clone(&storage) as _);
    imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    let lost = imports.swap_row(key("mine"), Some("r0".to_owned()), Some(row(2, ENDING))).await.unwrap();
    assert!(matches!(lost, connection_storage::SwapOutcome::Stale(Some(_))), "{lost:?}");
    let second = imports.swap_row(key("mine"), Some(stored(first)), Some(row(2, ENDING))).await.unwrap();
    imports.swap_row(key("mine"), Some(stored(second)), Some(row(3, ENDING))).await.unwrap();
    let ending = EventKind::AuthorizationEnding { ends: UnixSeconds(9) };
    assert_eq!(kinds(&storage).await, [EventKind::Connected, EventKind::RefreshForced, ending]);
}

/// A forced refresh that claims no tokens sends nothing. It may still write a row, for example because the app key has
/// changed.
#[tokio::test]
async fn a_forced_refresh_writes_its_event_only_after_it_has_claimed_the_tokens() {
    let storage = Arc::new(memory());
    let mut imports = forced_refresh(Arc::clone(&storage) as _);
    let first = imports.swap_row(key("mine"), None, Some(row(1, types::ConnectionStatus::Active))).await.unwrap();
    assert_eq!(kinds(&storage).await, [EventKind::Connected]);
    imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    imports.swap_row(key("mine"), Some(stored(first)), Some(row(2, types::ConnectionStatus::Active))).await.unwrap();
    assert_eq!(kinds(&storage).await, [EventKind::Connected, EventKind::RefreshForced]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_whose_answers_are_lost_writes_its_event_once() {
    let memory = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&memory) as _, Some("mine"));
    let first = imports.swap_row(key("mine"), None, Some(row(1, types::ConnectionStatus::Active))).await.unwrap();
    // The answer to every swap is lost until the time for the write is over. Then the guest loads the row and writes it
    // again.
    let mut imports = forced_refresh(Arc::clone(&memory) as _);
    imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    imports.storage = sealed(slow(&memory, Instant::now() + 2 * SAVE));
    let lost = imports.swap_row(key("mine"), Some(stored(first)), Some(row(2, ENDING))).await;
    assert!(matches!(lost, Err(StorageError::Unavailable(_))), "{lost:?}");
    imports.storage = sealed(Arc::clone(&memory) as _);
    let found = imports.load_row(key("mine")).await.unwrap().unwrap();
    imports.swap_row(key("mine"), Some(found.revision.into()), Some(row(3, ENDING))).await.unwrap();
    let ending = EventKind::AuthorizationEnding { ends: UnixSeconds(9) };
    assert_eq!(kinds(&memory).await, [EventKind::Connected, EventKind::RefreshForced, ending]);
}
