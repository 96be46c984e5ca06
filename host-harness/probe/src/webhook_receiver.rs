//! Receives webhooks on this machine. A proxy of the operator passes TikTok Shop's webhooks on to it.
//!
//! The receiver answers 200, except to the second notification: it answers 401 to that one each time, so that the probe
//! sees whether TikTok Shop sends it again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The most webhooks that are kept. A proxy may pass on the webhooks of other shops, too.
const MAX_KEPT: usize = 1_000;
/// The largest body that is read: 64 KiB.
const MAX_BYTES: usize = 64 * 1024;

/// A webhook that has arrived.
#[derive(Clone)]
pub struct Arrival {
    /// The time of its arrival since 1970, by the clock of [`World::now`](crate::world::World::now).
    pub at: Duration,
    /// The header `authorization`, empty if there is none.
    pub authorization: Vec<u8>,
    /// The raw body.
    pub body: Bytes,
    /// The status that the receiver answered.
    pub answered: u16,
}

/// Reads the time of an arrival.
pub type ReadClock = Arc<dyn Fn() -> Duration + Send + Sync>;

#[derive(Default)]
struct Kept {
    arrivals: Vec<Arrival>,
    /// The first two different notifications.
    known: Vec<Bytes>,
}

#[derive(Clone)]
struct Shared {
    kept: Arc<Mutex<Kept>>,
    clock: ReadClock,
}

/// A receiver that listens until it is dropped.
pub struct WebhookReceiver {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl WebhookReceiver {
    /// Listens on this address. `clock` stamps each arrival.
    ///
    /// # Errors
    /// Nothing can listen on this address.
    pub async fn listen(address: SocketAddr, clock: ReadClock) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Shared { kept: Arc::default(), clock };
        let router = Router::new().fallback(receive).layer(DefaultBodyLimit::max(MAX_BYTES)).with_state(shared.clone());
        // The server fails only if accepting fails for good. The probe then sees no webhooks, and says so.
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { address, shared, server })
    }

    /// Returns the address on which the receiver listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the webhooks that have arrived since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).arrivals)
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    let mut kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.known.len() < 2 && !kept.known.contains(&body) {
        kept.known.push(body.clone());
    }
    let is_second = kept.known.get(1) == Some(&body);
    let status = if is_second { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    if kept.arrivals.len() < MAX_KEPT {
        kept.arrivals.push(Arrival { at: (shared.clock)(), authorization, body, answered: status.as_u16() });
    }
    status
}
