//! The addresses for operators: health, readiness, metrics, and the description of the API.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::seal::Keyring;
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
    /// `ok`, or a short text without secrets. If the host keys are only unavailable now, the process is ready.
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

/// The storage answers with the tables of this release, and the host keys fit the stored data keys.
///
/// During an outage of the key service, the process stays ready for an hour after it has last opened a data key, and `keys`
/// names the error.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "The process can serve requests", body = Readiness),
        (status = 503, description = "The storage or the host keys can't be used", body = Readiness),
    )
)]
pub(crate) async fn ready(State(state): State<Shared>) -> Response {
    let Parts { storage, keys } = check_readiness(&state).await;
    let is_ready = ![&storage, &keys].iter().any(|part| matches!(part, PartState::Unusable(_)));
    let (status, word) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not-ready") };
    (status, Json(Readiness { status: word, storage: storage.into_text(), keys: keys.into_text() })).into_response()
}

/// How long the check of the host keys may take. An orchestrator usually waits 5 s for the answer of a probe.
const KEYS_DEADLINE: Duration = Duration::from_secs(4);

/// The state of the storage or of the host keys. The texts contain no secret.
#[derive(Debug, PartialEq, Eq)]
enum PartState {
    Ok,
    /// The part does not answer now. The process continues to work with the data keys that it has cached, so an
    /// orchestrator must not take it out of service.
    Unavailable(String),
    Unusable(String),
}

impl PartState {
    fn into_text(self) -> String {
        match self {
            Self::Ok => "ok".to_owned(),
            Self::Unavailable(why) | Self::Unusable(why) => why,
        }
    }
}

/// The parts without which no request can be served.
pub(crate) struct Parts {
    storage: PartState,
    keys: PartState,
}

/// Checks the storage and the host keys. The metrics show the result.
pub(crate) async fn check_readiness(state: &Shared) -> Parts {
    // This read needs the tables of this release, and finds nothing: no token was due in 1970.
    let storage = in_time(state.storage.due(UnixSeconds(0), None, 1));
    let (storage, keys) = tokio::join!(storage, check_keys(&state.keyring, &state.tenants));
    let keys = state.opened_keys.judge(keys, state.clock.monotonic());
    let storage = storage.map_or_else(|error| PartState::Unusable(error.to_string()), |_| PartState::Ok);
    state.metrics.ready("storage", storage == PartState::Ok);
    state.metrics.ready("keys", keys == PartState::Ok);
    Parts { storage, keys }
}

/// How long a process works with the data keys that it has cached: one hour, as [`Keyring`] does.
const CACHED_KEYS_LIFE: Duration = Duration::from_secs(3600);

/// When a host key last opened a data key, by the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct OpenedKeys(Mutex<Option<Duration>>);

impl OpenedKeys {
    /// Remembers that a host key has opened a data key. If the host keys are unavailable now and none has opened one for
    /// an hour, or ever in this process, then this process has no cached data keys, and can serve nobody.
    fn judge(&self, keys: PartState, now: Duration) -> PartState {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match keys {
            PartState::Ok => *last = Some(now),
            PartState::Unavailable(why) if last.is_none_or(|last| now.saturating_sub(last) > CACHED_KEYS_LIFE) => {
                return PartState::Unusable(why);
            }
            PartState::Unavailable(_) | PartState::Unusable(_) => {}
        }
        keys
    }
}

/// Checks whether a host key opens a data key. The check begins with the data keys of these tenants.
async fn check_keys(keyring: &Keyring, tenants: &[TenantId]) -> PartState {
    match tokio::time::timeout(KEYS_DEADLINE, keyring.check_any_host_key(tenants)).await {
        Ok(Ok(check)) if check.fits_nothing() => {
            PartState::Unusable("the host keys open no stored data key".to_owned())
        }
        Ok(Ok(check)) => {
            check.nothing_available().map_or(PartState::Ok, |error| PartState::Unavailable(error.to_string()))
        }
        Ok(Err(error)) => PartState::Unusable(error.to_string()),
        // If the cause is a storage that hangs, the check of the storage reports it.
        Err(_elapsed) => PartState::Unavailable(format!("no host key opened in {} s", KEYS_DEADLINE.as_secs())),
    }
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

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use async_trait::async_trait;
    use tiktok_shop_host::clock::ManualClock;
    use tiktok_shop_host::randomness::SystemRandomness;
    use tiktok_shop_host::seal::{DataKey, HostKeys, KeyError, KeyProvider};
    use tiktok_shop_host::storage::{HostStorage, MemoryStorage, WrappedKey};
    use tiktok_shop_host::{HostKeyId, TenantId};

    use super::*;

    #[test]
    fn an_outage_leaves_a_process_ready_for_an_hour_after_a_host_key_has_opened_a_data_key() {
        let opened = OpenedKeys::default();
        let away = || PartState::Unavailable("away".to_owned());
        let unusable = || PartState::Unusable("away".to_owned());
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (minute, found, judged) in [
            (0, away(), unusable()),
            (1, PartState::Ok, PartState::Ok),
            (2, away(), away()),
            (61, away(), away()),
            (62, away(), unusable()),
            (63, PartState::Ok, PartState::Ok),
            (64, away(), away()),
            (65, unusable(), unusable()),
        ] {
            assert_eq!(opened.judge(found, minutes(minute)), judged, "{minute}");
        }
    }

    /// A key service that takes every request and never answers.
    struct Hangs;

    #[async_trait]
    impl KeyProvider for Hangs {
        async fn current(&self) -> Result<HostKeyId, KeyError> {
            pending().await
        }

        async fn wrap(&self, _: &TenantId, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
            pending().await
        }

        async fn unwrap(&self, _: &TenantId, _: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
            pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_service_that_never_answers_does_not_hold_up_the_check() {
        let storage: Arc<dyn HostStorage> = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
        let keyring = |keys| Keyring::new(Arc::clone(&storage), keys, Arc::new(SystemRandomness));
        let tenants: [TenantId; 2] = ["one", "two"].map(|tenant| tenant.parse().unwrap());
        let here: Arc<dyn KeyProvider> = Arc::new(HostKeys::draw().unwrap());
        for tenant in &tenants {
            keyring(Arc::clone(&here)).ensure_key(tenant).await.unwrap();
        }
        assert_eq!(check_keys(&keyring(here), &tenants).await, PartState::Ok);
        let begin = tokio::time::Instant::now();
        let late = PartState::Unavailable("no host key opened in 4 s".to_owned());
        assert_eq!(check_keys(&keyring(Arc::new(Hangs)), &tenants).await, late);
        assert_eq!(begin.elapsed(), KEYS_DEADLINE);
    }
}
