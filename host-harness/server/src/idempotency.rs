//! Carries out a request with the header `Idempotency-Key` at most once, also if it is sent again after a lost answer.
//!
//! The storage remembers the request before it is carried out, so only one of several simultaneous copies is carried
//! out. The answer is kept sealed for 24 hours, and a copy of the request gets it. A request that ended without an
//! effect, for example because it was malformed or must be repeated later, is forgotten. If the storage fails at the
//! end of a request, the client gets its answer nevertheless, and the service tries for a minute to store the outcome
//! of the request. If the process ends in the middle, it is unknown whether the request took effect. A copy then gets
//! `idempotency-outcome-unknown`, and is never carried out.
//!
//! The header is that of draft-ietf-httpapi-idempotency-key-header-07.

mod answer;
mod key;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use sha2::{Digest as _, Sha256};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::{BegunRequest, RequestDigest, RequestStorage, StorageError, StoredRequest};
use tracing::Instrument as _;

use self::answer::{Ended, Opened, Seal};
use self::key::IdempotencyKey;
use crate::api::calls::MAX_CALL_BYTES;
use crate::api::tiktok::MAX_BODY_BYTES;
use crate::caller::Admitted;
use crate::input::{MAX_JSON_BYTES, whole_body};
use crate::problem::Problem;
use crate::state::{Shared, in_time};

/// The maximum time of a request: 5 minutes. The body may take 60 s and the call 130 s. If a request began earlier and
/// has no answer, it was cut off.
const MAX_RUNNING: Duration = Duration::from_secs(300);
/// The number of attempts to store a request. A second attempt finds out whether the first one succeeded.
const MAX_ATTEMPTS: usize = 2;
/// How long the service tries to store the outcome of a request: 60 s. A restart or a failover of a database takes
/// less.
const MAX_REPEATING: Duration = Duration::from_secs(60);
/// The pause before the first repetition. Each further pause is twice as long, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Marks an answer that the service has given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Returns whether requests to this route with this method may have an idempotency key. Reads need none. The answers of
/// `access-token` and `export` contain tokens, which are not kept, and these requests may be repeated.
pub(crate) fn applies(route: &str, method: &Method) -> bool {
    let changes = ![Method::GET, Method::HEAD].contains(method);
    changes && route.starts_with("/v1/") && !route.ends_with("/access-token") && !route.ends_with("/export")
}

pub(crate) async fn once(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    if !applies(route, request.method()) || !key::is_present(request.headers()) {
        return next.run(request).await;
    }
    let max = match route {
        _ if route.contains("/tiktok/") => MAX_BODY_BYTES,
        _ if route.ends_with("/calls") => MAX_CALL_BYTES,
        _ => MAX_JSON_BYTES,
    };
    guarded(&state, request, next, max).await.unwrap_or_else(Problem::into_response)
}

async fn guarded(state: &Shared, request: Request, next: Next, max: usize) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let admitted = Arc::new(Admitted::of(&parts, state)?);
    parts.extensions.insert(Arc::clone(&admitted));
    let key = IdempotencyKey::of(&parts.headers)?;
    let body = whole_body(body, max).await?;
    let seal = Seal::new(admitted.key(), admitted.tenant(), &key)?;
    let (tenant, digest) = (admitted.tenant().clone(), RequestDigest::of(key.as_str()));
    let mut attempt = [0; 16];
    SystemRandomness.fill(&mut attempt).map_err(|_| Problem::no_randomness())?;
    let begun = BegunRequest { fingerprint: fingerprint(&parts, &body), attempt };
    let shared = state.clone();
    // If the client goes away, the request is carried out nevertheless, and its answer is kept. The beginning is a part
    // of this task, too: otherwise the key of a request that was remembered and never carried out could not be used
    // for 24 hours.
    let running = async move {
        if let Some(stored) = begin(&shared, &tenant, &digest, &begun).await? {
            return replay(&stored, &begun, &seal);
        }
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        let (response, ended) = answer::kept(response, seal).await;
        // The request counts as running until its answer is kept, because the answer takes memory. A request whose
        // outcome is only deleted does not count as running. Otherwise an outage would use up the places of its API
        // key.
        let admitted = matches!(ended, Ended::Keep(_)).then_some(admitted);
        RequestOutcome { tenant, digest, attempt, ended }.store(&shared, admitted).await;
        Ok(response)
    };
    state.run(running).await?
}

/// Remembers that the request begins. Returns what is remembered of an earlier one with the same key.
async fn begin(
    state: &Shared,
    tenant: &TenantId,
    digest: &RequestDigest,
    begun: &BegunRequest,
) -> Result<Option<StoredRequest>, StorageError> {
    let mut failed = None;
    for _ in 0..MAX_ATTEMPTS {
        match in_time(state.requests.begin_request(tenant, digest, begun)).await {
            // The answer to the first attempt was lost.
            Ok(Some(stored)) if stored.begun.attempt == begun.attempt => return Ok(None),
            Ok(stored) => return Ok(stored),
            Err(error) => failed = Some(error),
        }
    }
    let Some(error) = failed else { return Ok(None) };
    // An attempt may have taken effect nevertheless. The request is not carried out, so its key must become free again.
    let end = RequestOutcome { tenant: tenant.clone(), digest: *digest, attempt: begun.attempt, ended: Ended::Forget };
    end.store(state, None).await;
    Err(error)
}

/// The outcome of a request.
struct RequestOutcome {
    tenant: TenantId,
    digest: RequestDigest,
    attempt: [u8; 16],
    ended: Ended,
}

impl RequestOutcome {
    /// Stores the outcome. If the storage fails, returns nevertheless, so that the client gets its answer at once, and
    /// a task repeats the write. The task keeps `admitted`, and the service waits for the task before it ends.
    async fn store(self, state: &Shared, admitted: Option<Arc<Admitted>>) {
        let Err(error) = self.write(&*state.requests).await else { return };
        tracing::warn!(%error, "the outcome of a request with an idempotency key is not stored yet");
        let requests = Arc::clone(&state.requests);
        let repeating = async move {
            let _admitted = admitted;
            if let Err(error) = self.repeat(&*requests).await {
                tracing::error!(%error, "the outcome is not stored, so the idempotency key is used up for 24 hours");
            }
        };
        state.calls.spawn(repeating.in_current_span());
    }

    /// Writes the outcome again and again, with growing pauses. An earlier write may have taken effect, or another
    /// attempt may have begun since then: a write changes only what this attempt has begun, so a repetition is safe.
    async fn repeat(&self, requests: &dyn RequestStorage) -> Result<(), StorageError> {
        let late = || StorageError::Unavailable(format!("not stored within {} s", MAX_REPEATING.as_secs()));
        let repeating = async {
            let mut pause = FIRST_PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                match self.write(requests).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "the outcome of a request is not stored yet"),
                }
                pause = pause.saturating_mul(2).min(MAX_PAUSE);
            }
        };
        tokio::time::timeout(MAX_REPEATING, repeating).await.map_err(|_elapsed| late())
    }

    async fn write(&self, requests: &dyn RequestStorage) -> Result<(), StorageError> {
        let Self { tenant, digest, attempt, ended } = self;
        match ended {
            Ended::Keep(sealed) => in_time(requests.finish_request(tenant, digest, attempt, sealed)).await,
            Ended::Forget => in_time(requests.forget_request(tenant, digest, attempt)).await,
            Ended::Unknown => Ok(()),
        }
    }
}

/// Returns the answer to a request with a key that was used before.
fn replay(stored: &StoredRequest, begun: &BegunRequest, seal: &Seal) -> Result<Response, Problem> {
    if stored.begun.fingerprint != begun.fingerprint {
        return Err(Problem::refused(
            "idempotency-key-reused",
            "another request had this Idempotency-Key in the last 24 hours; draw a new key for each request",
        ));
    }
    let Some(sealed) = &stored.answer else {
        return Err(if stored.age < MAX_RUNNING {
            Problem::still_running()
        } else {
            Problem::outcome_unknown(
                "the first request with this Idempotency-Key was cut off, so nobody knows whether it \
                                      took effect; find out before you send the request with a new key",
            )
        });
    };
    match seal.open(sealed) {
        Some(Opened::Answer(mut response)) => {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Some(Opened::TooLarge) => Err(Problem::outcome_unknown(
            "the request with this Idempotency-Key was carried out, and its answer was too large to be kept",
        )),
        None => Err(Problem::refused(
            "idempotency-key-of-another-api-key",
            "the request with this Idempotency-Key was carried out for another API key, so its answer can't be shown",
        )),
    }
}

/// Returns the SHA-256 of everything in the request that decides what it does.
fn fingerprint(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let target = parts.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
    let mut digest = Sha256::new();
    for part in [parts.method.as_str().as_bytes(), target.as_bytes(), content_type, body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use tokio::time::Instant;

    use super::*;

    /// Fails the first outcomes of requests.
    struct FailsEnds {
        failures: u32,
        written: AtomicU32,
    }

    impl FailsEnds {
        fn written(&self) -> Result<(), StorageError> {
            let earlier = self.written.fetch_add(1, Ordering::Relaxed);
            if earlier < self.failures { Err(StorageError::Unavailable("down".to_owned())) } else { Ok(()) }
        }
    }

    #[async_trait]
    impl RequestStorage for FailsEnds {
        async fn begin_request(
            &self,
            _: &TenantId,
            _: &RequestDigest,
            _: &BegunRequest,
        ) -> Result<Option<StoredRequest>, StorageError> {
            Ok(None)
        }

        async fn finish_request(
            &self,
            _: &TenantId,
            _: &RequestDigest,
            _: &[u8; 16],
            _: &[u8],
        ) -> Result<(), StorageError> {
            self.written()
        }

        async fn forget_request(&self, _: &TenantId, _: &RequestDigest, _: &[u8; 16]) -> Result<(), StorageError> {
            self.written()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_outcome_of_a_request_is_written_again_for_a_minute_with_growing_pauses() {
        for (ended, failures, written, took_ms) in [
            (Ended::Forget, 0, 1, 100),
            (Ended::Keep(vec![1]), 3, 4, 100 + 200 + 400 + 800),
            (Ended::Keep(vec![1]), u32::MAX, 11, 60_000),
        ] {
            let end = RequestOutcome {
                tenant: "acme".parse().unwrap(),
                digest: RequestDigest::of("k"),
                attempt: [7; 16],
                ended,
            };
            let requests = FailsEnds { failures, written: AtomicU32::new(0) };
            let began = Instant::now();
            let stored = end.repeat(&requests).await;
            assert_eq!(stored.is_ok(), failures < u32::MAX, "{stored:?}");
            assert_eq!(requests.written.load(Ordering::Relaxed), written);
            assert_eq!(began.elapsed(), Duration::from_millis(took_ms));
        }
    }

    #[test]
    fn keys_belong_to_requests_that_change_something_and_return_no_token() {
        for (route, method, expected) in [
            ("/v1/customers/{customer}/disconnect", Method::POST, true),
            ("/v1/customers/{customer}/shops/{shop}/tiktok/{*path}", Method::DELETE, true),
            ("/v1/customers/{customer}/shops/{shop}/tiktok/{*path}", Method::GET, false),
            ("/v1/customers/{customer}/connections/{account}/access-token", Method::POST, false),
            ("/v1/customers/{customer}/connections/{account}/export", Method::POST, false),
            ("/webhooks/{tenant}", Method::POST, false),
            ("", Method::POST, false),
        ] {
            assert_eq!(applies(route, &method), expected, "{method} {route}");
        }
    }

    #[test]
    fn a_fingerprint_depends_on_each_part_of_the_request() {
        let of = |method: &str, target: &str, content_type: &str, body: &str| {
            let request = http::Request::builder().method(method).uri(target).header(CONTENT_TYPE, content_type);
            fingerprint(&request.body(()).unwrap().into_parts().0, body.as_bytes())
        };
        let first = of("POST", "/v1/a?b=c", "application/json", "{}");
        assert_eq!(first, of("POST", "/v1/a?b=c", "application/json", "{}"));
        for other in [
            of("PUT", "/v1/a?b=c", "application/json", "{}"),
            of("POST", "/v1/a?b=d", "application/json", "{}"),
            of("POST", "/v1/a?b=c", "text/plain", "{}"),
            of("POST", "/v1/a?b=c", "application/json", "{ }"),
        ] {
            assert_ne!(first, other);
        }
    }
}
