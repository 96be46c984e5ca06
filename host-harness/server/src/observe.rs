//! What happens to every request: it gets an id, a log line and a place in the metrics, and its answer gets headers.
//!
//! The log contains the route and not the address, because an address can contain a secret.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method};
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tracing::Instrument as _;

use crate::state::Shared;

/// The header with the id of a request, which the log contains, too.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The headers of every answer. No answer may be stored by a cache, and a browser must run nothing that is in one.
const HEADERS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

pub(crate) async fn observe(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let began = state.clock.monotonic();
    let (route, method) = (route_of(&request), method_of(request.method()));
    let id = request_id();
    let span = tracing::info_span!(
        "request",
        id,
        method,
        route,
        tenant = tracing::field::Empty,
        actor = tracing::field::Empty
    );
    let answered = async {
        let mut response = next.run(request).await;
        let took = state.clock.monotonic().saturating_sub(began);
        let status = response.status().as_u16();
        state.metrics.request(&route, method, status, took);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(status, millis, "answered");
        let headers = response.headers_mut();
        for (name, value) in HEADERS {
            // A page with a form has a policy of its own.
            headers.entry(name).or_insert_with(|| HeaderValue::from_static(value));
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, id);
        }
        response
    };
    answered.instrument(span.clone()).await
}

/// Returns the pattern of the route. An unknown address has none.
fn route_of(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or_else(|| "unknown".to_owned(), |matched| matched.as_str().to_owned())
}

/// Returns the name of a common method. A client can invent any number of methods, and each would be a metric.
fn method_of(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// Draws the id of a request. The client's own id is not used, because it could imitate another one in the log.
fn request_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness, the id is all zeros. The request itself does not depend on it.
    let _ = SystemRandomness.fill(&mut bytes);
    hex::encode(bytes)
}
