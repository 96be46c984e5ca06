//! What every request handler shares.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::DefaultClock;
use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::seal::Keyring;
use tiktok_shop_host::storage::{HostStorage, RequestStorage, StorageError};
use tiktok_shop_host::{ConnectorHost, TenantId};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::api_key::ApiKeys;
use crate::delivery::dispatch::Outgoing;
use crate::limits::KeyLimits;
use crate::metrics::Metrics;
use crate::operations::OpenedKeys;
use crate::problem::Problem;
use crate::server::ConsentPage;
use crate::settings::Settings;

/// How long a read of the storage may take if the service itself makes it.
pub(crate) const STORAGE_DEADLINE: Duration = Duration::from_secs(10);

/// What every request handler shares. Clones share everything.
#[derive(Clone)]
pub(crate) struct Shared(Arc<State>);

pub(crate) struct State {
    pub(crate) host: ConnectorHost,
    pub(crate) storage: Arc<dyn HostStorage>,
    /// Remembers requests with an idempotency key.
    pub(crate) requests: Arc<dyn RequestStorage>,
    pub(crate) keyring: Keyring,
    pub(crate) opened_keys: OpenedKeys,
    pub(crate) clock: Arc<dyn Clock>,
    /// Tenants whose data keys the check of readiness opens.
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) keys: ApiKeys,
    /// The limits of each key, in the order of the keys.
    pub(crate) limits: Vec<KeyLimits<DefaultClock>>,
    pub(crate) consent_page: Option<ConsentPage>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    /// The webhooks to platforms.
    pub(crate) outgoing: Outgoing,
    /// A place for each webhook of TikTok Shop that may be received at the same time.
    pub(crate) webhooks: Arc<Semaphore>,
    /// The calls that are running. The service waits for them before it ends.
    pub(crate) calls: TaskTracker,
}

impl std::ops::Deref for Shared {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(state))
    }
}

impl State {
    /// Makes a call on a task of its own. If the client goes away, the call goes on, and the service waits for it
    /// before it ends. A call that is cut off could lose tokens that TikTok Shop has just issued.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.calls.spawn(call.in_current_span()).await.map_err(|_panic| {
            tracing::error!("a call of the service panicked");
            Problem::internal()
        })
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        UnixSeconds(self.clock.wall().as_secs())
    }
}

/// Waits for an answer of the storage, up to a deadline.
///
/// # Errors
/// The storage failed or took too long.
pub(crate) async fn in_time<T>(answer: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    let late = || StorageError::Unavailable(format!("no answer within {} s", STORAGE_DEADLINE.as_secs()));
    tokio::time::timeout(STORAGE_DEADLINE, answer).await.unwrap_or_else(|_| Err(late()))
}
