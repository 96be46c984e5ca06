//! Tests of the imports that a guest calls, with a storage in memory. In tests with a paused clock, waiting takes no
//! time.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::clock::ManualClock;
use crate::connection::{Connection, ConnectionStatus, Shop, UnixSeconds};
use crate::credentials::{AppCredentials, CredentialsError, CredentialsProvider, StaticCredentials};
use crate::events::{Cause, EventKind, Origin};
use crate::id::{HostKeyId, TenantId};
use crate::randomness::SystemRandomness;
use crate::refresh::RefreshMode;
use crate::seal::{DataKey, HostKeys, KeyError, KeyProvider, Keyring, UnsealedRows};
use crate::secret::Secret;
use crate::storage::{
    Access, ConnectionStorage as _, HostStorage, Intercepted, Interceptor, MemoryStorage, Passage, RowIndex, RowOrigin,
    WrappedKey,
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
    let credentials = GuestCredentials::new(None, Arc::new(StaticCredentials::new()));
    Imports::new(scope, storage, credentials, clock, revisions, SAVE, Secrets::default())
}

/// Returns a storage that seals (encrypts) every value before it writes the value to `storage`. All sealed storages of
/// these tests use the same host key.
fn sealed(storage: Arc<dyn HostStorage>) -> SealedStorage {
    static KEYS: LazyLock<HostKeys> = LazyLock::new(|| HostKeys::draw().unwrap());
    let keyring = Keyring::new(Arc::clone(&storage), Arc::new(KEYS.clone()), Arc::new(SystemRandomness));
    SealedStorage::new(storage, Arc::new(keyring), UnsealedRows::Accept)
}

fn imports(customer: Option<&str>) -> Imports {
    imports_over(Arc::new(memory()), customer)
}

fn key(customer: &str) -> types::ConnectionKey {
    types::ConnectionKey { customer: customer.to_owned(), account: "a".to_owned() }
}

/// Returns what a guest writes for a token record with this value.
fn write(value: u8) -> Write {
    let index = guest_storage::Index {
        refresh_due_at: Some(7),
        status: None,
        ends_at: None,
        app: None,
        shops: Vec::new(),
        lineage: String::new(),
        generation: 0,
    };
    Write { document: String::new(), secrets: vec![value], index }
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
    assert!(matches!(saved, Ok(SwapOutcome::Stored(_))), "{saved:?}");
}

#[tokio::test]
async fn a_tenant_is_known_once_a_call_has_read_one_of_its_records() {
    let memory = Arc::new(memory());
    let mut earlier = imports_over(Arc::clone(&memory) as _, Some("mine"));
    let stored = earlier.swap_token(key("mine"), None, Some(write(1))).await;
    assert!(matches!(stored, Ok(SwapOutcome::Stored(_))), "{stored:?}");

    let mut after_restart = imports_over(memory, Some("mine"));
    let (tenant, known) = (&after_restart.scope.tenant.clone(), &after_restart.storage.known_tenants().clone());
    let missing = types::ConnectionKey { account: "missing".to_owned(), ..key("mine") };
    assert!(after_restart.load_token(missing).await.unwrap().is_none());
    assert!(!known.contains(tenant));
    assert!(after_restart.load_token(key("mine")).await.unwrap().is_some());
    assert!(known.contains(tenant));
}

/// Fails to list rows. Every other access reaches the storage. A read of two values is one access.
struct NoLists;

#[async_trait]
impl Interceptor for NoLists {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        match access.method() {
            "list_rows_with_accounts" => Passage::Fail(StorageError::Unavailable("down".to_owned())),
            _ => Passage::Forward,
        }
    }

    fn sees_joint_reads(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_record_that_was_read_ahead_is_used_only_by_the_next_access() {
    let memory = Arc::new(memory());
    let no_lists = Intercepted::new(Arc::clone(&memory) as _, Arc::new(NoLists));
    let mut ours = imports_over(Arc::new(no_lists), Some("mine"));
    let mut theirs = imports_over(memory, Some("mine"));
    let first = stored(theirs.swap_token(key("mine"), None, Some(write(1))).await.unwrap());
    ours.list_accounts("mine".to_owned()).await.unwrap();
    let second = stored(theirs.swap_token(key("mine"), Some(first.clone()), Some(write(2))).await.unwrap());
    for expected in [&first, &second] {
        let loaded = ours.load_token(key("mine")).await.unwrap().unwrap();
        assert_eq!(loaded.revision.as_str(), expected);
    }

    ours.list_accounts("mine".to_owned()).await.unwrap();
    let third = stored(theirs.swap_token(key("mine"), Some(second), Some(write(3))).await.unwrap());
    assert!(ours.list_rows("mine".to_owned()).await.is_err());
    let loaded = ours.load_token(key("mine")).await.unwrap().unwrap();
    assert_eq!(loaded.revision.as_str(), third, "the failed list has dropped the record");
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
        imports.credentials = GuestCredentials::new(Some(Err(fetched.clone())), Arc::new(StaticCredentials::new()));
        for expected in [fetched, StorageError::Refused("no credentials for this tenant".to_owned())] {
            let answer = app_credentials::Host::apps(&mut imports).await.unwrap();
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
        let mut row = OpenRow::new(Connection::new(key.clone()));
        row.connection.shops = vec![shop];
        let secrets = row.secrets().unwrap().expose().to_vec().into();
        let value = RowWrite { row: row.encode().unwrap(), secrets };
        stored.swap_row(&tenant, &key, None, Some(&Next { revision, value }), &[]).await.unwrap();
    }
    let service = Arc::new(NeverAnswers::default());
    let keyring = Keyring::new(Arc::clone(&storage), Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let keyless = SealedStorage::new(Arc::clone(&storage), Arc::new(keyring), UnsealedRows::Accept);
    let mut imports = imports_with(Scope::for_deletion(&tenant, &customer, origin()), keyless);

    let began = Instant::now();
    assert_eq!(imports.list_rows("mine".to_owned()).await.unwrap().len(), 4);
    for account in accounts {
        let key = || types::ConnectionKey { customer: "mine".to_owned(), account: account.to_owned() };
        let seen = imports.swap_token(key(), None, None).await.unwrap();
        let SwapOutcome::Stale(Some(entry)) = seen else { panic!("{account}") };
        let deleted = imports.swap_token(key(), Some(entry.revision), None).await.unwrap();
        assert!(matches!(deleted, SwapOutcome::Deleted), "{account}: {deleted:?}");
        let row = imports.load_row(key()).await.unwrap().unwrap();
        let deleted = imports.swap_row(key(), Some(row.entry.revision.into()), None).await.unwrap();
        assert!(matches!(deleted, SwapOutcome::Deleted), "{account}: {deleted:?}");
    }
    assert_eq!(storage.accounts(&tenant, &customer).await, Ok(vec![]));
    assert_eq!(storage.list_rows(&tenant, &customer).await, Ok(vec![]));
    assert_eq!((service.0.load(Ordering::SeqCst), began.elapsed().as_secs()), (1, 9));
}

/// Answers with one more app at each request: first with the app `1`, then with the apps `1` and `2`, and so on.
#[derive(Default)]
struct Growing(AtomicUsize);

#[async_trait]
impl CredentialsProvider for Growing {
    async fn apps(&self, _: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        let last = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Ok((1..=last).map(|number| app(&number.to_string())).collect())
    }
}

fn app(app_key: &str) -> AppCredentials {
    AppCredentials {
        app_key: app_key.to_owned(),
        app_secret: format!("secret of {app_key}").into(),
        previous_app_secret: None,
        authorization_link: None,
    }
}

#[tokio::test]
async fn the_source_is_asked_once_for_all_questions_and_again_for_a_repeated_question() {
    let mut imports = imports(None);
    let source = Arc::new(Growing::default());
    imports.credentials = GuestCredentials::new(None, Arc::clone(&source) as _);
    let keys = async |imports: &mut Imports| app_credentials::Host::apps(imports).await.unwrap().unwrap();
    let secret_of = async |imports: &mut Imports, app_key: &str| {
        app_credentials::Host::of_app(imports, app_key.to_owned()).await.unwrap().map(|app| app.app_secret)
    };
    assert_eq!(keys(&mut imports).await, ["1"]);
    assert_eq!(secret_of(&mut imports, "1").await.unwrap(), "secret of 1");
    for unknown in ["2", "2", ""] {
        let refused = secret_of(&mut imports, unknown).await.unwrap_err();
        assert_eq!(format!("{refused:?}"), "StorageError::Refused(\"the tenant has no such app\")");
    }
    assert_eq!(source.0.load(Ordering::SeqCst), 1);
    assert_eq!(keys(&mut imports).await, ["1", "2"], "the second question about the list reaches the source");
    assert_eq!(secret_of(&mut imports, "2").await.unwrap(), "secret of 2");
}

#[tokio::test]
async fn a_list_of_apps_that_breaks_the_rules_counts_as_refused() {
    let tenant: TenantId = "t".parse().unwrap();
    let numbered = |count: usize| (0..count).map(|number| app(&number.to_string())).collect::<Vec<_>>();
    for (apps, why) in [
        (vec![], "the tenant has no app"),
        (vec![app("a"), app("b"), app("a")], "the tenant has the same app twice"),
        (numbered(17), "the tenant has more than 16 apps"),
        (vec![app("")], "the key of an app has 1 to 64 bytes"),
        (vec![app(&"k".repeat(65))], "the key of an app has 1 to 64 bytes"),
    ] {
        let mut credentials = GuestCredentials::new(None, Arc::new(Fixed(apps)));
        assert_eq!(credentials.keys(&tenant, SAVE).await, Err(StorageError::Refused(why.to_owned())));
    }
    let mut credentials = GuestCredentials::new(None, Arc::new(Fixed(numbered(16))));
    assert_eq!(credentials.keys(&tenant, SAVE).await.map(|keys| keys.len()), Ok(16));
}

/// Always answers with these apps.
struct Fixed(Vec<AppCredentials>);

#[async_trait]
impl CredentialsProvider for Fixed {
    async fn apps(&self, _: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn a_call_for_one_customer_cannot_look_up_the_owners_of_a_shop() {
    let refused = guest_storage::StorageError::Refused("this call may not look across customers".to_owned());
    let answer = guest_storage::Host::owners(&mut imports(Some("mine")), "1".to_owned()).await.unwrap();
    assert_eq!(format!("{answer:?}"), format!("{:?}", Err::<(), _>(refused)));
}

#[tokio::test]
async fn a_guest_reads_and_writes_only_for_the_customer_of_its_call() {
    let mut imports = imports(Some("mine"));

    let stored = imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    let SwapOutcome::Stored(revision) = stored else { panic!("not stored") };
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
    assert!(matches!(token, Ok(SwapOutcome::Stored(_))), "{token:?}");
    let key = ConnectionKey { customer: customer.parse().unwrap(), account: "a".parse().unwrap() };
    let mut row = OpenRow::new(Connection::new(key));
    row.connection.shops = vec![Shop::new(shop.parse().unwrap(), "a".parse().unwrap())];
    let row = written(&row);
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

#[tokio::test]
async fn a_token_record_with_a_document_is_refused() {
    let mut imports = imports(Some("mine"));
    let refused = StorageError::Refused("a token record has no document".to_owned());
    let swapped = imports.swap_token(key("mine"), None, Some(Write { document: "{}".to_owned(), ..write(1) })).await;
    assert!(matches!(swapped, Err(error) if error == refused));
    assert!(imports.load_token(key("mine")).await.unwrap().is_none());
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

fn row(generation: u64, status: ConnectionStatus) -> Write {
    let key = ConnectionKey { customer: "mine".parse().unwrap(), account: "a".parse().unwrap() };
    let mut row = OpenRow::new(Connection::new(key));
    row.token_generation = generation;
    row.connection.status = status;
    written(&row)
}

/// Returns what a guest writes for this row. The values beside the document are wrong, because the host must take them
/// from the document.
fn written(row: &OpenRow) -> Write {
    Write {
        document: row.encode().unwrap().document,
        secrets: row.secrets().unwrap().expose().to_vec(),
        index: guest_storage::Index {
            refresh_due_at: None,
            status: Some(guest_storage::RowStatus::Active),
            ends_at: None,
            app: Some("of the guest".to_owned()),
            shops: Vec::new(),
            lineage: "of the guest".to_owned(),
            generation: 77,
        },
    }
}

async fn kinds(storage: &MemoryStorage) -> Vec<EventKind> {
    let events = storage.events(&"acme".parse().unwrap(), None, 99).await.unwrap();
    assert!(events.iter().all(|event| event.event.at == UnixSeconds(NOW.as_secs()) && event.event.origin == origin()));
    events.into_iter().map(|event| event.event.kind).collect()
}

fn stored(outcome: SwapOutcome) -> String {
    let SwapOutcome::Stored(revision) = outcome else { panic!("{outcome:?}") };
    revision
}

const ENDING: ConnectionStatus = ConnectionStatus::AuthorizationEnding(UnixSeconds(9));

#[tokio::test]
async fn the_events_of_a_row_depend_on_the_row_that_it_replaces() {
    let storage = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let first = imports.swap_row(key("mine"), None, Some(row(1, ConnectionStatus::Active))).await.unwrap();
    // The call has not loaded the row, but expects the revision that it has just written itself.
    let second = imports.swap_row(key("mine"), Some(stored(first)), Some(row(2, ENDING))).await.unwrap();
    let revision = stored(second);

    // Another call begins, which has neither loaded nor written the row.
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let third = imports.swap_row(key("mine"), Some(revision), Some(row(3, ENDING))).await.unwrap();
    let loaded = imports.load_row(key("mine")).await.unwrap().unwrap();
    assert_eq!(loaded.entry.revision.as_str(), stored(third));
    imports.swap_row(key("mine"), Some(loaded.entry.revision.into()), None).await.unwrap();

    let ending = EventKind::AuthorizationEnding { ends: UnixSeconds(9) };
    assert_eq!(kinds(&storage).await, [EventKind::Connected, ending, EventKind::Disconnected]);
}

#[tokio::test]
async fn a_row_is_not_written_when_it_expects_an_unknown_revision() {
    let storage = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let lost = imports.swap_row(key("mine"), Some("r0".to_owned()), Some(row(1, ENDING))).await.unwrap();
    assert!(matches!(lost, SwapOutcome::Stale(None)), "{lost:?}");
    let first = imports.swap_row(key("mine"), None, Some(row(1, ConnectionStatus::Active))).await.unwrap();
    let lost = imports.swap_row(key("mine"), Some("r0".to_owned()), Some(row(2, ENDING))).await.unwrap();
    let SwapOutcome::Stale(Some(found)) = lost else { panic!("{lost:?}") };
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
    assert!(matches!(ended, SwapOutcome::Deleted), "{ended:?}");

    // For 20 s the storage performs every swap but loses its answer. The host repeats a swap for at most 10 s (`SAVE`),
    // so this call fails although the row was written. Then the guest writes the row again, and gets the row that the
    // failed call wrote.
    imports.storage = sealed(slow(&memory, Instant::now() + 2 * SAVE));
    let lost = imports.swap_row(key("mine"), None, Some(row(1, ConnectionStatus::Active))).await;
    assert!(matches!(lost, Err(StorageError::Unavailable(_))), "{lost:?}");
    imports.storage = sealed(Arc::clone(&memory) as _);
    let again = imports.swap_row(key("mine"), None, Some(row(1, ConnectionStatus::Active))).await.unwrap();
    assert!(matches!(again, SwapOutcome::Stale(Some(_))), "{again:?}");

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
    let first = imports.swap_row(key("mine"), None, Some(row(1, ConnectionStatus::Active))).await.unwrap();
    let mut imports = forced_refresh(Arc::clone(&storage) as _);
    imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    let lost = imports.swap_row(key("mine"), Some("r0".to_owned()), Some(row(2, ENDING))).await.unwrap();
    assert!(matches!(lost, SwapOutcome::Stale(Some(_))), "{lost:?}");
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
    let first = imports.swap_row(key("mine"), None, Some(row(1, ConnectionStatus::Active))).await.unwrap();
    assert_eq!(kinds(&storage).await, [EventKind::Connected]);
    imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    imports.swap_row(key("mine"), Some(stored(first)), Some(row(2, ConnectionStatus::Active))).await.unwrap();
    assert_eq!(kinds(&storage).await, [EventKind::Connected, EventKind::RefreshForced]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_whose_answers_are_lost_writes_its_event_once() {
    let memory = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&memory) as _, Some("mine"));
    let first = imports.swap_row(key("mine"), None, Some(row(1, ConnectionStatus::Active))).await.unwrap();
    // The answer to every swap is lost until the time for the write is over. Then the guest loads the row and writes it
    // again.
    let mut imports = forced_refresh(Arc::clone(&memory) as _);
    imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    imports.storage = sealed(slow(&memory, Instant::now() + 2 * SAVE));
    let lost = imports.swap_row(key("mine"), Some(stored(first)), Some(row(2, ENDING))).await;
    assert!(matches!(lost, Err(StorageError::Unavailable(_))), "{lost:?}");
    imports.storage = sealed(Arc::clone(&memory) as _);
    let found = imports.load_row(key("mine")).await.unwrap().unwrap();
    imports.swap_row(key("mine"), Some(found.entry.revision.into()), Some(row(3, ENDING))).await.unwrap();
    let ending = EventKind::AuthorizationEnding { ends: UnixSeconds(9) };
    assert_eq!(kinds(&memory).await, [EventKind::Connected, EventKind::RefreshForced, ending]);
}

#[tokio::test]
async fn the_values_beside_a_document_are_taken_from_the_document() {
    let storage = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    stored(imports.swap_row(key("mine"), None, Some(row(5, ENDING))).await.unwrap());
    let key = ConnectionKey { customer: "mine".parse().unwrap(), account: "a".parse().unwrap() };
    let entry = storage.load_row(&"acme".parse().unwrap(), &key).await.unwrap().unwrap();
    let open = entry.row.decode().unwrap();
    assert_eq!(entry.row.index, RowIndex::of(&open.connection));
    assert_eq!((entry.row.token_lineage.as_str(), entry.row.token_generation), ("", 5));
    assert_eq!(entry.row.origin, RowOrigin::Document);
}

#[tokio::test]
async fn a_document_that_the_host_cannot_decode_is_not_written() {
    let storage = Arc::new(memory());
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    for document in ["", "{}", "[]", r#"{"version":2}"#] {
        let write = Write { document: document.to_owned(), ..row(1, ENDING) };
        let refused = imports.swap_row(key("mine"), None, Some(write)).await;
        assert!(matches!(refused, Err(StorageError::Refused(_))), "{document}: {refused:?}");
    }
    assert!(imports.load_row(key("mine")).await.unwrap().is_none());
}

/// A row that somebody has changed in the database is refused, and the other rows of the customer are listed.
#[tokio::test]
async fn a_changed_row_is_refused_and_can_be_deleted() {
    let storage = Arc::new(memory());
    let other = || types::ConnectionKey { account: "b".to_owned(), ..key("mine") };
    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    stored(imports.swap_row(key("mine"), None, Some(row(1, ConnectionStatus::Active))).await.unwrap());
    stored(imports.swap_row(other(), None, Some(row(1, ConnectionStatus::Active))).await.unwrap());
    let (tenant, place) = ("acme".parse().unwrap(), ConnectionKey::try_from(key("mine")).unwrap());
    let entry = storage.load_row(&tenant, &place).await.unwrap().unwrap();
    let mut changed = entry.row;
    changed.index.status = crate::connection::StatusKind::ReauthorizationRequired;
    let next = Next { revision: "changed".parse().unwrap(), value: changed };
    storage.swap_row(&tenant, &place, Some(&entry.revision), Some(&next), &[]).await.unwrap();

    let mut imports = imports_over(Arc::clone(&storage) as _, Some("mine"));
    let error = StorageError::RowChanged("changed".parse().unwrap());
    assert_eq!(imports.load_row(key("mine")).await.unwrap_err(), error);
    let listed = imports.list_rows("mine".to_owned()).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|row| (row.account.as_str(), row.entry.is_some())).collect();
    assert_eq!(listed, [("a", false), ("b", true)]);
    let replaced = imports.swap_row(key("mine"), Some("changed".to_owned()), Some(row(2, ENDING))).await;
    assert_eq!(replaced.unwrap_err(), error);
    let deleted = imports.swap_row(key("mine"), Some("changed".to_owned()), None).await.unwrap();
    assert!(matches!(deleted, SwapOutcome::Deleted), "{deleted:?}");
    assert_eq!(kinds(&storage).await.last(), Some(&EventKind::Disconnected));
}
