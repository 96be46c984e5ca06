//! The parts that end-to-end tests share: the shipped component, a fake TikTok Shop, and hosts whose clocks move
//! together with the fake's clock.
//!
//! The component is built and compiled once per process. No code here sleeps: the clocks move only when a test moves
//! them. A [`Stage`] is the surroundings of one test. When the test ends, the stage searches all output of the test
//! (logs, panic messages, stored data, requests) for the stage's secrets.
#![allow(clippy::expect_used, reason = "a test that can't set its stage has nothing to assert")]

pub mod crash;
mod database;
mod intercept;
pub mod kill_points;
mod secrets;
mod stage;
mod watch;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use fake_tiktok_shop::App;
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::consent::{BrowserSession, Consent};
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::sweep::Sweep;
use tiktok_shop_host::{CallError, CustomerId, Secret, ShopId, TenantId};

pub use database::Schema;
pub use intercept::HoldsBackThePair;
pub use stage::Stage;
pub use tiktok_shop_host::storage::{Access, Answer, Interceptor, Passage};
pub use watch::{Leak, LogBridge, Sink, Watch};

/// The time at which every stage begins, in Unix seconds: 2026-01-01T00:00:00Z.
pub const BEGIN: u64 = 1_767_225_600;
/// A day, in seconds.
pub const DAY: u64 = 86_400;
/// The `state` parameter of a consent, unless a test chooses another state.
pub const STATE: &str = "st-8kQ2vXw0Zr5LmN7pTfBh3A";

/// The path of the request that exchanges an authorization code for tokens.
pub const TOKEN_GET: &str = "/api/v2/token/get";
/// The path of the request that exchanges a refresh token for new tokens.
pub const TOKEN_REFRESH: &str = "/api/v2/token/refresh";
/// The path of the request that lists the shops.
pub const SHOPS: &str = "/authorization/202309/shops";
/// The path of the request that revokes the authorization of one shop.
pub const DEAUTHORIZE: &str = "/authorization/202403/shops";
/// The path of the request that searches for orders.
pub const ORDERS: &str = "/order/202309/orders/search";

/// Returns the tenant that uses the fake's app with this index. The indices begin at 0.
///
/// # Panics
/// Never, because the ids are valid.
#[must_use]
pub fn tenant(app: usize) -> TenantId {
    format!("tenant-{app}").parse().expect("a tenant id")
}

/// Parses a customer id.
///
/// # Panics
/// If the text is not a customer id.
#[must_use]
pub fn customer_id(text: &str) -> CustomerId {
    text.parse().expect("a customer id")
}

/// Returns the browser session in which this customer is signed in.
///
/// # Panics
/// Never, because the secret is long enough.
#[must_use]
pub fn browser(customer: &str) -> BrowserSession {
    BrowserSession::new(browser_secret(customer)).expect("a secret of 16 bytes or more")
}

/// Returns the secret of the browser in which this customer is signed in.
#[must_use]
pub fn browser_secret(customer: &str) -> Secret {
    format!("the session cookie of {customer}").into()
}

/// Returns the state in the link of a consent.
///
/// # Panics
/// If the link has no state.
#[must_use]
pub fn state_of(consent: &Consent) -> &str {
    consent.url.expose().split_once("&state=").expect("a link with a state").1
}

/// Returns the grant of a callback with this query. `connect` accepts it only if the query contains the state
/// [`STATE`].
#[must_use]
pub fn grant(query: &str) -> Grant {
    Grant::Callback { query: query.into(), state: STATE.into() }
}

/// Returns a request that searches for orders of a shop. The answer has at most two orders.
#[must_use]
pub fn order_search(shop: &ShopId) -> CallRequest {
    CallRequest::new(CallScope::Shop(shop.clone()), HttpMethod::Post, ORDERS).query("page_size", "2").json("{}")
}

/// Returns a sweep without jitter. It takes `now`, in Unix seconds, as the current time.
///
/// # Panics
/// If the concurrency is 0.
#[must_use]
pub fn sweep_at(now: u64, concurrency: usize) -> Sweep {
    let concurrency = NonZeroUsize::new(concurrency).expect("a concurrency of 1 or more");
    Sweep { jitter: Duration::ZERO, ..Sweep::new(UnixSeconds(now), concurrency) }
}

/// Returns an egress policy that sends the requests for both of TikTok Shop's network hosts to this address.
///
/// # Panics
/// If the address is not on this machine.
#[must_use]
pub fn egress_to(address: SocketAddr) -> EgressPolicy {
    [Authority::Auth, Authority::Api].into_iter().fold(EgressPolicy::production(), |policy, authority| {
        policy.stand_in(authority, address).expect("an address on this machine")
    })
}

/// Returns the credentials of these apps. Each app has one tenant: see [`tenant`].
#[must_use]
pub fn credentials(apps: &[App]) -> StaticCredentials {
    apps.iter().enumerate().fold(StaticCredentials::new(), |all, (at, app)| all.with(tenant(at), app_credentials(app)))
}

/// Returns the credentials of one app.
#[must_use]
pub fn app_credentials(app: &App) -> AppCredentials {
    AppCredentials {
        app_key: app.app_key.clone(),
        app_secret: Secret::from(app.app_secret.as_str()),
        previous_app_secret: Some(secrets::previous_app_secret(app).into()),
        authorization_link: Some(app.authorization_link()),
    }
}

/// Returns the action and the code of the connector's error. If the host ended the call, returns `ended by the host`
/// and the host's error text. If there is no error, returns `no error` and an empty text.
#[must_use]
pub fn refusal<T>(outcome: Result<T, CallError>) -> (&'static str, String) {
    match outcome {
        Err(CallError::Connector(error)) => (error.action().as_str(), error.failure().code.clone()),
        Err(other) => ("ended by the host", other.to_string()),
        Ok(_) => ("no error", String::new()),
    }
}

/// Returns the path of the component as shipped. Builds it first if needed.
///
/// # Panics
/// If the component can't be built.
#[must_use]
pub fn component() -> std::path::PathBuf {
    xtask::component().expect("the component")
}
