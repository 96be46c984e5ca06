//! Many callers on many hosts over one storage: one refresh, whoever comes first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use tiktok_shop_host_harness::{
    AccountId, Action, CallError, ConnectionKey, ConnectorHost, CustomerId, Due, HostStorage, ManualClock,
    MemoryStorage, Next, Revision, Row, RowEntry, ShopId, StorageError, Swapped, TenantId, TokenEntry, TokenWrite,
    UnixSeconds, ValidToken,
};
use tiktok_shop_tests::{BEGIN, DAY, Stage, TOKEN_REFRESH, customer_id, tenant};
use tokio::sync::Notify;

const HOSTS: usize = 4;
const CALLERS: usize = 6;

/// Storage that holds back the write of a new pair: the second write after it was armed, as the first is the claim.
struct HoldsBackThePair {
    memory: MemoryStorage,
    writes: AtomicUsize,
    release: Notify,
}

const UNARMED: usize = usize::MAX / 2;

#[async_trait]
impl HostStorage for HoldsBackThePair {
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
        let entry = self.memory.load_token(tenant, key).await?;
        let wins = entry.as_ref().map(|entry| &entry.revision) == expected;
        if wins && self.writes.fetch_add(1, Ordering::SeqCst) == 1 {
            self.release.notified().await;
        }
        self.memory.swap_token(tenant, key, expected, next).await
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

struct Fleet {
    stage: Stage,
    storage: Arc<HoldsBackThePair>,
    hosts: Vec<ConnectorHost>,
}

impl Fleet {
    /// Connected, and so many seconds later.
    async fn after(seconds: u64) -> Self {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
        let memory = MemoryStorage::new(Arc::clone(&clock) as Arc<_>);
        let storage = Arc::new(HoldsBackThePair { memory, writes: AtomicUsize::new(UNARMED), release: Notify::new() });
        let stage = Stage::with(clock, Arc::clone(&storage) as Arc<_>);
        stage.connect("alice", "one-shop").await.unwrap();
        stage.advance(seconds);
        storage.writes.store(0, Ordering::SeqCst);
        let hosts = (0..HOSTS).map(|_| stage.host_builder().build().unwrap()).collect();
        Self { stage, storage, hosts }
    }

    /// Every caller asks once. The pair of the one who refreshes is saved after all others have been answered.
    async fn ask_at_once(&self) -> Vec<Result<ValidToken, CallError>> {
        let answered = AtomicUsize::new(0);
        let (answered, storage, hosts) = (&answered, &self.storage, &self.hosts);
        let callers = (0..HOSTS * CALLERS).map(|caller| async move {
            let outcome = ask(&hosts[caller % HOSTS]).await;
            if answered.fetch_add(1, Ordering::SeqCst) + 2 == HOSTS * CALLERS {
                storage.release.notify_one();
            }
            outcome
        });
        join_all(callers).await
    }
}

async fn ask(host: &ConnectorHost) -> Result<ValidToken, CallError> {
    host.access_token(&tenant(0), &customer_id("alice"), None, Duration::from_secs(600)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_caller_refreshes_all_others_are_served_the_valid_token() {
    let fleet = Fleet::after(6 * DAY + 3 * 3600).await;
    let tokens: Vec<ValidToken> = fleet.ask_at_once().await.into_iter().map(Result::unwrap).collect();
    let newest = tokens.iter().max_by_key(|token| token.expires_at).unwrap();
    let with_the_new_one = tokens.iter().filter(|token| *token == newest).count();
    assert_eq!((with_the_new_one, fleet.stage.requests_to(TOKEN_REFRESH)), (1, 1));
    for host in &fleet.hosts {
        assert_eq!(&ask(host).await.unwrap(), newest);
    }
    assert_eq!(fleet.stage.requests_to(TOKEN_REFRESH), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_valid_token_all_others_are_told_to_come_back_and_then_get_the_new_one() {
    let fleet = Fleet::after(8 * DAY).await;
    let outcomes = fleet.ask_at_once().await;
    let mut tokens: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!((tokens.len(), fleet.stage.requests_to(TOKEN_REFRESH)), (1, 1));
    let newest = tokens.remove(0).clone();
    for outcome in outcomes.into_iter().filter_map(Result::err) {
        let CallError::Connector(error) = outcome else { panic!("{outcome}") };
        assert_eq!(error.failure().code, "refresh-in-progress");
        assert!(matches!(error.action(), Action::RetryAfter(pause) if pause <= Duration::from_millis(1500)));
    }
    let again = join_all(fleet.hosts.iter().map(ask)).await;
    assert!(again.into_iter().all(|token| token.unwrap() == newest));
    assert_eq!(fleet.stage.requests_to(TOKEN_REFRESH), 1);
}
