//! Accepts connections, and ends without losing anything.

use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use governor::clock::DefaultClock;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::seal::Keyring;
use tiktok_shop_host::storage::{HostStorage, RequestStorage};
use tiktok_shop_host::{ConnectorHost, TenantId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api_key::ApiKeys;
use crate::census;
use crate::delivery::dispatch::Outgoing;
use crate::delivery::{DeliveryStorage, Endpoints, backlog, dispatch};
use crate::limits::KeyLimits;
use crate::metrics::Metrics;
use crate::operations::OpenedKeys;
use crate::router::router;
use crate::settings::Settings;
use crate::state::{Shared, State};
use crate::sweeper;
use crate::write_deadline::WriteDeadline;

/// Returns the address of the consent page for a consent link of TikTok Shop.
pub type ConsentPage = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// The maximum number of header fields in a request.
const MAX_HEADERS: usize = 64;
/// The maximum size of a request's head and of the buffer of a connection, in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 64 << 10;

/// What the embedder opens for the service.
pub struct Parts {
    /// The host that makes the calls.
    pub host: ConnectorHost,
    /// The storage of the host.
    pub storage: Arc<dyn HostStorage>,
    /// Remembers requests with an idempotency key. All processes that serve the same storage must share it.
    pub requests: Arc<dyn RequestStorage>,
    /// The keyring over the same storage, for the check of readiness.
    pub keyring: Keyring,
    /// The clock of the host.
    pub clock: Arc<dyn Clock>,
    /// Some tenants whose apps are configured. The check of readiness begins with their data keys.
    pub tenants: Vec<TenantId>,
    /// The API keys.
    pub keys: ApiKeys,
    /// Only for a fake TikTok Shop: returns the address of the fake's consent page for a consent link. `None`: sellers
    /// are sent to TikTok Shop.
    pub consent_page: Option<ConsentPage>,
    /// The storage of deliveries. All replicas share it.
    pub deliveries: Arc<dyn DeliveryStorage>,
    /// The endpoints to which webhooks are sent.
    pub endpoints: Endpoints,
}

/// The service.
pub struct Server {
    parts: Parts,
    settings: Settings,
    metrics: Metrics,
}

impl Server {
    /// Puts the service together.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Self {
        Self { parts, settings, metrics: Metrics::new() }
    }

    /// Shows these metrics at `/metrics`. Give their recorder to the host, too: otherwise the metrics of the host are
    /// missing there.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    fn into_state(self) -> Shared {
        let Self { parts, settings, metrics } = self;
        let Parts { host, storage, requests, keyring, clock, tenants, keys, consent_page, deliveries, endpoints } =
            parts;
        let limits =
            || KeyLimits::new(settings.requests_per_second, settings.requests_in_flight, DefaultClock::default());
        let limits = keys.entries().map(|_| limits()).collect();
        let (storage, calls) = (metrics.measured(storage), TaskTracker::new());
        metrics.build(&host.plugin().to_string());
        let outgoing = Outgoing::new(deliveries, &endpoints, &settings);
        let webhooks = usize::try_from(settings.webhooks_in_flight.get()).unwrap_or(usize::MAX);
        let webhooks = Arc::new(Semaphore::new(webhooks.min(Semaphore::MAX_PERMITS)));
        let state = State {
            host,
            storage,
            requests,
            keyring,
            opened_keys: OpenedKeys::default(),
            clock,
            tenants,
            keys,
            limits,
            consent_page,
            settings,
            metrics,
            outgoing,
            webhooks,
            calls,
        };
        Shared::new(state)
    }

    /// Serves requests, sweeps and sends webhooks, until `stop` completes. Then accepts no further connection, lets
    /// running requests, calls, refreshes and deliveries finish, and returns. If they take longer than
    /// [`Settings::shutdown_deadline`], returns all the same. If the process then ends while TikTok Shop replaces the
    /// tokens of a connection, the seller may have to consent again. A new consent may have to be repeated, too.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let state = self.into_state();
        let stopping = CancellationToken::new();
        if let Some(every) = state.settings.sweep_every {
            state.calls.spawn(sweeper::sweep(state.clone(), every, stopping.clone()));
        }
        state.calls.spawn(sweeper::tidy(state.clone(), stopping.clone()));
        state.calls.spawn(census::count(state.clone(), stopping.clone()));
        dispatch::start(&state, &stopping);
        state.calls.spawn(backlog::watch(state.clone(), stopping.clone()));
        let connections = GracefulShutdown::new();
        // Nothing new begins from here on. A client notices it, because the listener is closed afterwards.
        let stop = async {
            stop.await;
            stopping.cancel();
        };
        tokio::select! {
            biased;
            () = stop => {}
            () = accept(&state, listener, &connections) => {}
        }
        stopping.cancel();
        state.calls.close();
        let finished = async {
            connections.shutdown().await;
            state.calls.wait().await;
        };
        if tokio::time::timeout(state.settings.shutdown_deadline, finished).await.is_err() {
            let running = state.calls.len();
            tracing::error!(running, "the service ends although calls are still running");
        }
    }
}

/// Accepts connections for ever. If too many are open, waits until one is closed.
async fn accept(state: &Shared, mut listener: TcpListener, connections: &GracefulShutdown) {
    let app = router(state.clone());
    let max = usize::try_from(state.settings.max_connections.get()).unwrap_or(usize::MAX);
    let places = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        // Waits after an error such as too many open files, and tries again.
        let (stream, _) = Listener::accept(&mut listener).await;
        serve_connection(state, app.clone(), stream, place, connections);
    }
}

fn serve_connection(
    state: &Shared,
    app: Router,
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    connections: &GracefulShutdown,
) {
    // Without TCP_NODELAY a small answer may wait for the client's next acknowledgement. A failure here only costs
    // time.
    let _ = stream.set_nodelay(true);
    let stream = WriteDeadline::new(stream, state.settings.write_deadline);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.settings.head_deadline)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        // A connection that a client breaks off is no event of the service.
        let _ = connection.await;
        drop(place);
    });
}
