//! Tests of many callers on several hosts with one storage. All their calls together cause only one refresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::error::Action;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{CallError, ConnectorHost};
use tiktok_shop_tests::{BEGIN, DAY, HoldsBackThePair, Stage, TOKEN_REFRESH, customer_id, tenant};

const HOSTS: usize = 4;
const CALLERS: usize = 6;

/// An export of the component that renews a due token.
#[derive(Clone, Copy, Debug)]
enum Export {
    AccessToken,
    Call,
    Refresh,
}

const EXPORTS: [Export; 3] = [Export::AccessToken, Export::Call, Export::Refresh];

impl Export {
    /// Makes the call. Returns the time when the caller's access token expires, or `None` if the export does not return
    /// this time.
    async fn call(self, host: &ConnectorHost) -> Result<Option<UnixSeconds>, CallError> {
        let (tenant, customer) = (tenant(0), customer_id("alice"));
        match self {
            Self::AccessToken => {
                let token = host.access_token(&tenant, &customer, None, Duration::from_secs(600)).await?;
                Ok(token.expires_at)
            }
            Self::Call => {
                let shops = CallRequest::new(CallScope::Seller(None), HttpMethod::Get, "/seller/202309/shops");
                assert!(host.call(&tenant, &customer, shops).await?.is_success());
                Ok(None)
            }
            Self::Refresh => {
                Ok(host.refresh(&tenant, &customer, None, RefreshMode::WhenDue).await?.connection.access_expires_at)
            }
        }
    }
}

struct Fleet {
    stage: Stage,
    storage: Arc<HoldsBackThePair>,
    hosts: Vec<ConnectorHost>,
}

impl Fleet {
    /// Connects a customer, lets this many seconds pass, and builds the hosts.
    async fn after(seconds: u64) -> Self {
        let stage = Stage::new();
        stage.connect("alice", "one-shop").await.unwrap();
        stage.advance(seconds);
        let storage = Arc::new(HoldsBackThePair::default());
        stage.intercept(Arc::clone(&storage) as Arc<_>);
        let hosts = (0..HOSTS).map(|_| stage.another_host()).collect();
        Self { stage, storage, hosts }
    }

    /// Makes one call for every caller, all at the same time. One of these calls refreshes. The new tokens are saved
    /// only after all other calls have got their answers.
    async fn call_all(&self, export: Export) -> Vec<Result<Option<UnixSeconds>, CallError>> {
        let answered = AtomicUsize::new(0);
        let (answered, storage, hosts) = (&answered, &self.storage, &self.hosts);
        let callers = (0..HOSTS * CALLERS).map(|caller| async move {
            let outcome = export.call(&hosts[caller % HOSTS]).await;
            if answered.fetch_add(1, Ordering::SeqCst) + 2 == HOSTS * CALLERS {
                storage.release();
            }
            outcome
        });
        join_all(callers).await
    }

    /// Asserts that every host uses the new token, and that no host renews it again.
    async fn assert_renewed_once(&self, export: Export) {
        let now = self.stage.fake.now();
        for host in &self.hosts {
            let end = export.call(host).await.unwrap();
            assert!(end.is_none_or(|end| end == UnixSeconds(now + 7 * DAY)), "{export:?} {end:?}");
        }
        assert_eq!(self.stage.requests_to(TOKEN_REFRESH), 1, "{export:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_caller_refreshes_all_others_get_the_token_that_is_still_valid() {
    for export in EXPORTS {
        let fleet = Fleet::after(6 * DAY + 3 * 3600).await;
        let ends: Vec<_> = fleet.call_all(export).await.into_iter().map(Result::unwrap).collect();
        let with_old_token = ends.iter().filter(|end| **end == Some(UnixSeconds(BEGIN + 7 * DAY))).count();
        let others = match export {
            Export::AccessToken | Export::Refresh => HOSTS * CALLERS - 1,
            Export::Call => 0,
        };
        assert_eq!((with_old_token, fleet.stage.requests_to(TOKEN_REFRESH)), (others, 1), "{export:?}");
        fleet.assert_renewed_once(export).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_valid_token_all_others_must_retry_and_then_get_the_new_token() {
    for export in EXPORTS {
        let fleet = Fleet::after(8 * DAY).await;
        let (served, refused): (Vec<_>, Vec<_>) = fleet.call_all(export).await.into_iter().partition(Result::is_ok);
        assert_eq!((served.len(), fleet.stage.requests_to(TOKEN_REFRESH)), (1, 1), "{export:?}");
        for outcome in refused.into_iter().filter_map(Result::err) {
            let CallError::Connector(error) = outcome else { panic!("{outcome}") };
            assert_eq!(error.failure().code, "refresh-in-progress");
            assert!(matches!(error.action(), Action::RetryAfter(pause) if pause <= Duration::from_millis(1500)));
        }
        fleet.assert_renewed_once(export).await;
    }
}
