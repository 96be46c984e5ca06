//! The addresses for operators: health, readiness, metrics, and the description of the API.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tiktok_shop_host::connection::UnixSeconds;
use utoipa::ToSchema;

use crate::openapi::openapi_json;
use crate::state::{Shared, in_time};

/// Whether the process works.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the process can serve requests.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready` or `not-ready`.
    status: &'static str,
    /// `ok`, or a short text without secrets.
    storage: String,
    /// `ok`, or a short text without secrets.
    keys: String,
}

/// The process runs.
///
/// It does not depend on the storage, so that an orchestrator does not restart the process when the storage fails.
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "The process works", body = Health))
)]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The storage answers with the tables of this release, and the host keys open stored data keys.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "The process can serve requests", body = Readiness),
        (status = 503, description = "The storage or the host keys can't be used", body = Readiness),
    )
)]
pub(crate) async fn ready(State(state): State<Shared>) -> Response {
    let Parts { storage, keys } = check_readiness(&state).await;
    let is_ready = storage == OK && keys == OK;
    let (status, word) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not-ready") };
    (status, Json(Readiness { status: word, storage, keys })).into_response()
}

/// What a part is if it can be used.
const OK: &str = "ok";

/// The parts without which no request can be served. Each is [`OK`], or a short text without secrets.
pub(crate) struct Parts {
    storage: String,
    keys: String,
}

/// Checks the storage and the host keys. The metrics show the result.
pub(crate) async fn check_readiness(state: &Shared) -> Parts {
    // This read needs the tables of this release, and finds nothing: no token was due in 1970.
    let storage = in_time(state.storage.due(UnixSeconds(0), None, 1)).await;
    let keys = in_time(state.keyring.check_host_keys_of_all(&state.tenants)).await;
    let keys = match keys {
        Ok(check) if check.fits_nothing() => "the host keys open no stored data key".to_owned(),
        Ok(check) => check.nothing_available().map_or_else(|| OK.to_owned(), ToString::to_string),
        Err(error) => error.to_string(),
    };
    let storage = storage.map_or_else(|error| error.to_string(), |_| OK.to_owned());
    state.metrics.ready("storage", storage == OK);
    state.metrics.ready("keys", keys == OK);
    Parts { storage, keys }
}

/// The metrics of this process, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Metrics in Prometheus' text format", body = String,
               content_type = "text/plain; version=0.0.4"))
)]
pub(crate) async fn metrics(State(state): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}

/// `GET /openapi.json`
pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}
