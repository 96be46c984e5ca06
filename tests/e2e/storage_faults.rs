//! Storage that fails under the shipped component: nothing is lost that can be kept, and the error says which.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_host_harness::{
    AccountId, ConnectionKey, ConnectionStatus, CustomerId, Due, HostStorage, ManualClock, MemoryStorage, Next,
    Revision, Rotation, Row, RowEntry, ShopId, StorageError, Swapped, TenantId, TokenEntry, TokenWrite, UnixSeconds,
};
use tiktok_shop_tests::{BEGIN, DAY, Stage, TOKEN_GET, TOKEN_REFRESH, customer_id, refusal, tenant};

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    Nothing,
    Everything,
    TokenWrites,
    RowWrites,
    /// The first write of a token record, a claim or a new record, works.
    TokenWritesButOne,
    /// The next write of a token record panics, and its text quotes the record.
    TokenWritePanics,
    /// Writes of token records are refused, and the error quotes the record.
    TokenWritesQuoted,
}

/// Memory behind a fault.
struct Faulty {
    memory: MemoryStorage,
    fault: AtomicU8,
}

impl Faulty {
    fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    fn refuse(&self, faults: &[Fault]) -> Result<(), StorageError> {
        let now = self.fault.load(Ordering::SeqCst);
        if now == Fault::TokenWritesButOne as u8 && faults.contains(&Fault::TokenWrites) {
            self.set(Fault::TokenWrites);
        } else if now == Fault::Everything as u8 || faults.iter().any(|fault| *fault as u8 == now) {
            return Err(StorageError::Refused("out of space".to_owned()));
        }
        Ok(())
    }

    fn betray(&self, next: Option<&Next<TokenWrite>>) -> Result<(), StorageError> {
        let record = || String::from_utf8(next.unwrap().value.value.expose().to_vec()).unwrap();
        let now = self.fault.load(Ordering::SeqCst);
        if now == Fault::TokenWritePanics as u8 {
            self.set(Fault::Nothing);
            // Past the panic hook: what that prints is the embedder's own.
            resume_unwind(Box::new(format!("cannot store {}", record())));
        } else if now == Fault::TokenWritesQuoted as u8 {
            return Err(StorageError::Refused(format!("invalid input {} near line 1", record())));
        }
        Ok(())
    }
}

#[async_trait]
impl HostStorage for Faulty {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.refuse(&[])?;
        self.memory.accounts(tenant, customer).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        self.refuse(&[])?;
        self.memory.load_token(tenant, key).await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        self.refuse(&[Fault::TokenWrites])?;
        self.betray(next)?;
        self.memory.swap_token(tenant, key, expected, next).await
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        self.refuse(&[])?;
        self.memory.list_rows(tenant, customer).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        self.refuse(&[])?;
        self.memory.load_row(tenant, key).await
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
    ) -> Result<Swapped<RowEntry>, StorageError> {
        self.refuse(&[Fault::RowWrites])?;
        self.memory.swap_row(tenant, key, expected, next).await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.refuse(&[])?;
        self.memory.due(now, after, limit).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.refuse(&[])?;
        self.memory.owners(tenant, shop).await
    }
}

fn stage() -> (Stage, Arc<Faulty>) {
    let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
    let memory = MemoryStorage::new(Arc::clone(&clock) as Arc<_>);
    let faulty = Arc::new(Faulty { memory, fault: AtomicU8::new(Fault::Nothing as u8) });
    (Stage::with(clock, Arc::clone(&faulty) as Arc<_>), faulty)
}

#[tokio::test]
async fn storage_that_is_down_costs_no_code() {
    let (stage, storage) = stage();
    storage.set(Fault::Everything);
    assert_eq!(refusal(stage.connect("alice", "one-shop").await), ("storage-failed", "storage-refused".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_GET), 0);
}

#[tokio::test]
async fn a_pair_that_cannot_be_stored_asks_for_another_consent() {
    let (stage, storage) = stage();
    storage.set(Fault::TokenWrites);
    let outcome = stage.connect("alice", "one-shop").await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
    storage.set(Fault::Nothing);
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), []);
    assert_eq!(stage.connect("alice", "one-shop").await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_row_that_cannot_be_stored_is_repaired_by_refresh() {
    let (stage, storage) = stage();
    storage.set(Fault::RowWrites);
    let shown = stage.connect("alice", "one-shop").await.unwrap();
    assert_eq!(shown.last_failure.unwrap().failure.code, "connection-row-not-saved");
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), []);
    storage.set(Fault::Nothing);
    let repaired = stage.refresh("alice", Rotation::WhenDue).await.unwrap();
    assert_eq!((repaired.shops.len(), &repaired.last_failure), (1, &None));
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), [repaired]);
}

#[tokio::test]
async fn no_claim_means_no_request() {
    let (stage, storage) = stage();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    storage.set(Fault::TokenWrites);
    let outcome = stage.refresh("alice", Rotation::WhenDue).await;
    assert_eq!(refusal(outcome), ("storage-failed", "storage-refused".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0);
}

#[tokio::test]
async fn a_rotated_pair_that_cannot_be_stored_is_no_success_and_the_old_token_is_tried_once_more() {
    let (stage, storage) = stage();
    stage.fake.update_switches(|switches| {
        switches.replaced_refresh_token = fake_tiktok_shop::ReplacedRefreshToken::HonouredForSeconds(600);
    });
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    storage.set(Fault::TokenWritesButOne);
    let outcome = stage.refresh("alice", Rotation::WhenDue).await;
    assert_eq!(refusal(outcome), ("storage-failed", "token-not-saved".to_owned()));

    // The claim stays behind as the mark: nobody sends anything before it has lapsed.
    storage.set(Fault::Nothing);
    let outcome = stage.refresh("alice", Rotation::WhenDue).await;
    assert_eq!(refusal(outcome), ("retry-after", "refresh-in-progress".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
    stage.advance(120);
    assert_eq!(stage.refresh("alice", Rotation::WhenDue).await.unwrap().status, ConnectionStatus::Active);
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 2);
}

#[tokio::test]
async fn a_record_that_storage_quotes_stays_out_of_errors_rows_and_logs() {
    let (stage, storage) = stage();
    stage.connect("alice", "one-shop").await.unwrap();
    storage.set(Fault::TokenWritePanics);
    assert_eq!(stage.refresh("alice", Rotation::Forced).await.unwrap().status, ConnectionStatus::Active);
    storage.set(Fault::TokenWritesQuoted);
    let outcome = stage.refresh("alice", Rotation::Forced).await;
    let text = outcome.as_ref().unwrap_err().to_string();
    assert!(text.contains("[invalid input […] ") && text.ends_with(" near line 1]"), "{text}");
    assert_eq!(refusal(outcome), ("storage-failed", "storage-refused".to_owned()));
    stage.assert_nothing_got_out();
}
