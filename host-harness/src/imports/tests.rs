//! What a guest may ask for, over a storage in memory. The clock is paused: pauses pass at once.

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::clock::ManualClock;
use crate::connection::UnixSeconds;
use crate::credentials::StaticCredentials;
use crate::id::ShopId;
use crate::randomness::SystemRandomness;
use crate::storage::{Due, MemoryStorage};

const SAVE: Duration = Duration::from_secs(10);

fn memory() -> MemoryStorage {
    MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))
}

fn imports_over(storage: Arc<dyn HostStorage>, customer: Option<&str>) -> Imports {
    let scope = Scope { tenant: "acme".parse().unwrap(), customer: customer.map(|id| id.parse().unwrap()) };
    let revisions = Revisions::draw(&SystemRandomness).unwrap();
    Imports::new(scope, storage, Arc::new(StaticCredentials::new()), revisions, SAVE)
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

/// Takes 50 ms for each swap of a token record, and does not say before `up` whether it wrote.
struct Slow {
    memory: MemoryStorage,
    up: Instant,
}

#[async_trait]
impl HostStorage for Slow {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.memory.accounts(tenant, customer).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        self.memory.load_token(tenant, key).await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let swapped = self.memory.swap_token(tenant, key, expected, next).await;
        if Instant::now() < self.up { Err(StorageError::Unavailable("down".to_owned())) } else { swapped }
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        self.memory.list_rows(tenant, customer).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        self.memory.load_row(tenant, key).await
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
    ) -> Result<Swapped<RowEntry>, StorageError> {
        self.memory.swap_row(tenant, key, expected, next).await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.memory.due(now, after, limit).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.memory.owners(tenant, shop).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_has_a_budget_of_its_own_after_a_claim_that_used_up_its_own() {
    let started = Instant::now();
    let slow = Slow { memory: memory(), up: started + SAVE };
    let mut imports = imports_over(Arc::new(slow), Some("mine"));

    let claimed = imports.swap_token(key("mine"), None, Some(write(1))).await;
    assert!(matches!(claimed, Err(StorageError::Unavailable(_))), "{claimed:?}");
    // Written all the same, as the guest sees by its nonce.
    let claim = imports.load_token(key("mine")).await.unwrap().unwrap();
    assert_eq!(claim.value.expose(), [1]);

    tokio::time::advance(started + SAVE - Instant::now()).await;
    let saved = imports.swap_token(key("mine"), Some(claim.revision.into()), Some(write(2))).await;
    assert!(matches!(saved, Ok(token_storage::SwapOutcome::Stored(_))), "{saved:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_repeats_its_swap_has_no_more_time_for_it() {
    let started = Instant::now();
    let slow = Slow { memory: memory(), up: started + 10 * SAVE };
    let mut imports = imports_over(Arc::new(slow), Some("mine"));
    for _ in 0..3 {
        let swapped = imports.swap_token(key("mine"), None, Some(write(1))).await;
        assert!(matches!(swapped, Err(StorageError::Unavailable(_))), "{swapped:?}");
    }
    assert!(started.elapsed() <= SAVE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn no_guest_learns_which_customers_hold_a_shop() {
    let refused = storage_types::StorageError::Refused("no call may look across customers".to_owned());
    let answer = connection_storage::Host::owners(&mut imports(Some("mine")), "1".to_owned()).await.unwrap();
    assert_eq!(format!("{answer:?}"), format!("{:?}", Err::<(), _>(refused)));
}

#[tokio::test]
async fn a_guest_reads_and_writes_for_the_customer_of_its_call_only() {
    let mut imports = imports(Some("mine"));

    let stored = imports.swap_token(key("mine"), None, Some(write(1))).await.unwrap();
    let token_storage::SwapOutcome::Stored(revision) = stored else { panic!("not stored") };
    let loaded = imports.load_token(key("mine")).await.unwrap().unwrap();
    assert_eq!((loaded.revision.as_str(), loaded.value.expose()), (revision.as_str(), [1].as_slice()));

    let denied = StorageError::Refused("not the customer of this call".to_owned());
    assert_eq!(imports.load_token(key("other")).await.unwrap_err(), denied);
    assert_eq!(imports.list_accounts("other".to_owned()).await.unwrap_err(), denied);
    assert_eq!(imports.list_rows("other".to_owned()).await.unwrap_err(), denied);
    let swapped = imports.swap_token(key("other"), None, Some(write(1))).await;
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
    let swapped = imports.swap_token(key("a"), Some(String::new()), None).await;
    assert!(matches!(swapped, Err(error) if error == refused("revision: 1 to 64 bytes")));
}
