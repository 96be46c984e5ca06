//! A receiver of webhooks that plays the platform, for `serve --with-fake`. It accepts every webhook and shows the
//! latest ones. It does not check signatures; a platform must.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_server::delivery::{Endpoint, Endpoints, EventTypes, SigningSecret};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::failure::Failure;

/// The number of webhooks that the receiver keeps.
const MAX_KEPT: usize = 100;
/// How long a request waits for webhooks that have not come yet.
const WAIT: Duration = Duration::from_secs(10);

/// The receiver, until it is dropped.
pub(super) struct Receiver {
    address: SocketAddr,
    secret: SigningSecret,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    bodies: Mutex<VecDeque<Value>>,
    changed: Notify,
}

#[derive(Deserialize)]
struct Wanted {
    /// The number of webhooks to wait for.
    #[serde(default)]
    at_least: usize,
}

impl Kept {
    fn all(&self) -> Vec<Value> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

async fn receive(State(kept): State<Arc<Kept>>, Json(body): Json<Value>) -> StatusCode {
    let mut bodies = kept.bodies.lock().unwrap_or_else(PoisonError::into_inner);
    bodies.push_back(body);
    if bodies.len() > MAX_KEPT {
        bodies.pop_front();
    }
    drop(bodies);
    kept.changed.notify_waiters();
    StatusCode::NO_CONTENT
}

/// Shows the webhooks, in the order in which they came. Waits until there are as many as the request wants.
async fn show(State(kept): State<Arc<Kept>>, Query(Wanted { at_least }): Query<Wanted>) -> Json<Vec<Value>> {
    let enough = async {
        loop {
            let changed = kept.changed.notified();
            if kept.all().len() >= at_least.min(MAX_KEPT) {
                return;
            }
            changed.await;
        }
    };
    let _late = tokio::time::timeout(WAIT, enough).await;
    Json(kept.all())
}

impl Receiver {
    pub(super) async fn start() -> Result<Self, Failure> {
        let unavailable = |error: std::io::Error| Failure::Unavailable(format!("the receiver of webhooks: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        let secret = SigningSecret::draw(&SystemRandomness).map_err(unavailable)?;
        let routes = Router::new().route("/webhooks", post(receive)).route("/received", get(show));
        let app = routes.with_state(Arc::new(Kept::default()));
        let serving = tokio::spawn(async move {
            // The receiver ends with the process.
            let _ended = axum::serve(listener, app).await;
        });
        Ok(Self { address, secret, serving })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns these endpoints with this receiver.
    pub(super) fn added_to(&self, endpoints: Endpoints) -> Result<Endpoints, Failure> {
        let malformed = |error: &dyn std::fmt::Display| Failure::Malformed(error.to_string());
        let own = Endpoint {
            tenant: "default".parse().map_err(|error| malformed(&error))?,
            name: "receiver-of-fake".parse().map_err(|error| malformed(&error))?,
            address: format!("http://{}/webhooks", self.address).parse().map_err(|error| malformed(&error))?,
            secret: self.secret.clone(),
            previous_secret: None,
            types: EventTypes::default(),
        };
        let all = endpoints.iter().cloned().chain([own]).collect();
        Endpoints::new(all).map_err(|error| malformed(&error))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
