//! The addresses of the service.

use std::any::Any;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyDeadlineLayer;

use crate::api::{
    access_token, apps, calls, connect_sessions, connections, deliveries, disconnect, events, export, imports,
    installs, refresh, shops, tiktok,
};
use crate::observe::observe;
use crate::problem::{Problem, method_not_allowed, only};
use crate::server::MAX_HEAD_BYTES;
use crate::state::Shared;
use crate::{connect_page, idempotency, operations, webhook};

/// Defines the routes of programs and the list of their addresses together, so that a test can compare the addresses
/// with the OpenAPI document.
macro_rules! routes {
    ($($path:literal => $methods:expr,)*) => {
        #[cfg(test)]
        pub(crate) const ROUTES: &[&str] = &[$($path),*];

        fn routes(state: &Shared) -> Router<Shared> {
            // The layer must not answer for a method that the address does not have.
            let once = || from_fn_with_state(state.clone(), idempotency::once);
            Router::new()$(.route($path, $methods.route_layer(once())))*
        }
    };
}

routes! {
    "/v1/apps" => get(apps::list),
    "/v1/connections" => get(connections::of_tenant),
    "/v1/events" => get(events::list),
    "/v1/deliveries" => get(deliveries::list),
    "/v1/deliveries/redeliver" => post(deliveries::redeliver_all),
    "/v1/deliveries/{delivery}" => get(deliveries::show),
    "/v1/deliveries/{delivery}/redeliver" => post(deliveries::redeliver),
    "/v1/webhook-endpoints" => get(deliveries::endpoints),
    "/v1/webhook-endpoints/{endpoint}/test" => post(deliveries::test),
    "/v1/customers/{customer}/connect-sessions" => post(connect_sessions::begin),
    "/v1/customers/{customer}/connect-sessions/{session}" => get(connect_sessions::show),
    "/v1/customers/{customer}/connections" => get(connections::of_customer),
    "/v1/customers/{customer}/connections/{account}" => get(connections::one),
    "/v1/customers/{customer}/connections/{account}/linked-shops" => put(shops::link),
    "/v1/customers/{customer}/connections/{account}/refresh" => post(refresh::refresh),
    "/v1/customers/{customer}/connections/{account}/access-token" => post(access_token::get),
    "/v1/customers/{customer}/connections/{account}/export" => post(export::export),
    "/v1/customers/{customer}/shops" => get(shops::list),
    "/v1/customers/{customer}/disconnect" => post(disconnect::disconnect),
    "/v1/customers/{customer}/shared-connections" => post(disconnect::shared),
    "/v1/customers/{customer}/imports" => post(imports::import),
    "/v1/customers/{customer}/installs" => post(installs::begin),
    "/v1/customers/{customer}/installs/{install}/confirm" => post(installs::confirm),
    "/v1/customers/{customer}/installs/{install}/cancel" => post(installs::cancel),
    "/v1/customers/{customer}/calls" => post(calls::call),
    "/v1/customers/{customer}/shops/{shop}/tiktok/{*path}" => calls_for_shop(),
    "/v1/customers/{customer}/accounts/{account}/tiktok/{*path}" => calls_for_account(),
    "/healthz" => get(operations::health),
    "/readyz" => get(operations::ready),
    "/metrics" => get(operations::metrics),
}

fn calls_for_shop() -> MethodRouter<Shared> {
    get(tiktok::for_shop).post(tiktok::for_shop).put(tiktok::for_shop).delete(tiktok::for_shop).head(no_head)
}

fn calls_for_account() -> MethodRouter<Shared> {
    get(tiktok::for_account)
        .post(tiktok::for_account)
        .put(tiktok::for_account)
        .delete(tiktok::for_account)
        .head(no_head)
}

/// Refuses HEAD. A HEAD request to TikTok Shop does not exist.
async fn no_head() -> Response {
    only("GET,POST,PUT,DELETE")
}

/// Refuses HEAD. Programs that preview links send it, and it would use up the address.
async fn no_preview_of_address() -> Response {
    only("GET,POST")
}

/// Refuses HEAD. Programs that preview links send it, and it would use up the consent.
async fn no_preview_of_callback() -> Response {
    only("GET")
}

pub(crate) fn router(state: Shared) -> Router {
    let body_deadline = state.settings.body_deadline;
    routes(&state)
        .route("/openapi.json", get(operations::openapi))
        .route("/connect/{secret}", get(connect_page::open).post(connect_page::confirm).head(no_preview_of_address))
        .route("/callback", get(connect_page::callback).head(no_preview_of_callback))
        .route("/webhooks/{tenant}", post(webhook::receive))
        .fallback(async || Problem::unknown_route())
        .method_not_allowed_fallback(method_not_allowed)
        // Each handler limits its own body, because a signed call may have a larger one.
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyDeadlineLayer::new(body_deadline))
        .layer(from_fn(limit_head))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), observe))
        .with_state(state)
}

/// Refuses a request whose headers are too large. The buffer of a connection has the same limit, but a head that arrives
/// at once may be larger than the buffer was meant to be.
async fn limit_head(request: Request, next: middleware::Next) -> Response {
    let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_HEAD_BYTES {
        return Problem::head_too_large(MAX_HEAD_BYTES).into_response();
    }
    next.run(request).await
}

/// Answers a request whose handler has panicked. The text of the panic is not logged, because it may contain any value.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("the handler of a request panicked");
    Problem::internal().into_response()
}
