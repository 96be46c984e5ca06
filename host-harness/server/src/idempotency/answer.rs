//! The answers that are kept. They are sealed with a key that is derived from the API key and the idempotency key of the
//! request. The service itself knows only digests of the API keys, so nobody can open an answer with the database and the
//! configuration, and only the same API key gets it again.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Collected};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use zeroize::Zeroizing;

use super::key::IdempotencyKey;
use crate::api::tiktok::{ANSWERED_BY, TIKTOK_CODE, TIKTOK_REQUEST_ID};
use crate::api_key::ApiKey;
use crate::problem::{Effect, Problem};

/// The maximum length of a body that is kept: 256 KiB. The answer of a request that changes something is much smaller.
const MAX_KEPT_BYTES: usize = 256 << 10;
/// The headers that belong to an answer. All others are added to every answer.
const HEADERS: [HeaderName; 5] = [CONTENT_TYPE, RETRY_AFTER, ANSWERED_BY, TIKTOK_CODE, TIKTOK_REQUEST_ID];
const NONCE: usize = 24;

/// The part of an answer before its body.
#[derive(Serialize, Deserialize)]
struct Head {
    /// The status of the answer. Zero if the body was too large to be kept.
    status: u16,
    headers: Vec<(String, String)>,
}

/// An answer that was kept.
#[derive(Debug)]
pub(super) enum Opened {
    Answer(Response),
    TooLarge,
}

/// What to do with the request after it has ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The request had no effect, so it may be sent again with the same key.
    Forget,
    /// The sealed answer is kept.
    Keep(Vec<u8>),
    /// The answer can't be kept. A copy of the request learns that its outcome is unknown.
    Unknown,
}

/// Seals and opens the answer of one request.
pub(super) struct Seal {
    key: Zeroizing<[u8; 32]>,
    place: Vec<u8>,
    /// Drawn before the request is carried out, so that sealing can't fail afterwards for lack of randomness.
    nonce: [u8; NONCE],
}

impl Seal {
    /// # Errors
    /// The source of randomness failed.
    pub(super) fn new(api_key: &ApiKey, tenant: &TenantId, key: &IdempotencyKey) -> Result<Self, Problem> {
        let place = joined(&["idempotency answer", tenant.as_str(), key.as_str()]);
        // The API key has 256 random bits, so one hash is a good derivation.
        let derived = Sha256::new().chain_update(joined(&["idempotency key", api_key.expose()])).chain_update(&place);
        let mut nonce = [0; NONCE];
        SystemRandomness.fill(&mut nonce).map_err(|_| Problem::no_randomness())?;
        Ok(Self { key: Zeroizing::new(derived.finalize().into()), place, nonce })
    }

    /// Seals the answer. `None` if it is longer than the cipher accepts.
    fn seal(self, clear: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload { msg: clear, aad: &self.place };
        let cipher = XChaCha20Poly1305::new(&(*self.key).into());
        let sealed = cipher.encrypt(&XNonce::from(self.nonce), payload).ok()?;
        Some([&self.nonce[..], &sealed].concat())
    }

    /// Opens an answer. `None` if it was sealed for another API key.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Opened> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: &self.place };
        let cipher = XChaCha20Poly1305::new(&(*self.key).into());
        decode(&cipher.decrypt(&XNonce::from(*nonce), payload).ok()?)
    }
}

/// Joins texts so that two different lists never have the same result.
fn joined(parts: &[&str]) -> Vec<u8> {
    parts.iter().flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.bytes())).collect()
}

/// Returns the answer of a request that has ended, and what to do with the request.
pub(super) async fn kept(response: Response, seal: Seal) -> (Response, Ended) {
    if response.extensions().get::<Effect>() == Some(&Effect::None) {
        return (response, Ended::Forget);
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await.map(Collected::to_bytes) else {
        return (Problem::internal().into_response(), Ended::Unknown);
    };
    let headers = HEADERS.into_iter().filter_map(|name| {
        let value = parts.headers.get(&name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let clear = if body.len() > MAX_KEPT_BYTES {
        encode(&Head { status: 0, headers: Vec::new() }, &[])
    } else {
        encode(&Head { status: parts.status.as_u16(), headers: headers.collect() }, &body)
    };
    let ended = seal.seal(&clear).map_or(Ended::Unknown, Ended::Keep);
    (Response::from_parts(parts, Body::from(body)), ended)
}

/// Returns the length of the head, the head and the body.
fn encode(head: &Head, body: &[u8]) -> Zeroizing<Vec<u8>> {
    // The head contains only texts and a number, so it can always be serialized.
    let head = serde_json::to_vec(head).unwrap_or_default();
    Zeroizing::new([&(head.len() as u64).to_be_bytes()[..], &head, body].concat())
}

fn decode(clear: &[u8]) -> Option<Opened> {
    let (length, rest) = clear.split_first_chunk::<8>()?;
    let (head, body) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
    let Head { status, headers } = serde_json::from_slice(head).ok()?;
    if status == 0 {
        return Some(Opened::TooLarge);
    }
    let mut response = Response::new(Body::from(Bytes::copy_from_slice(body)));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    for (name, value) in headers {
        response.headers_mut().insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some(Opened::Answer(response))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn seal(api_key: &ApiKey, tenant: &str, key: &str) -> Seal {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", key.parse().unwrap());
        Seal::new(api_key, &tenant.parse().unwrap(), &IdempotencyKey::of(&headers).unwrap()).unwrap()
    }

    fn answer(bytes: usize) -> Response {
        let mut response = Response::new(Body::from("a".repeat(bytes)));
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert("x-request-id", HeaderValue::from_static("first"));
        response
    }

    #[tokio::test]
    async fn an_answer_is_opened_only_for_the_same_api_key_tenant_and_idempotency_key() {
        let [first, second] = [(); 2].map(|()| ApiKey::draw(&SystemRandomness).unwrap());
        let (_, Ended::Keep(sealed)) = kept(answer(7), seal(&first, "acme", "k")).await else { panic!("not kept") };
        assert!(!sealed.windows(7).any(|window| window == b"aaaaaaa"), "the answer is not in clear");
        let Some(Opened::Answer(response)) = seal(&first, "acme", "k").open(&sealed) else { panic!("not opened") };
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/json");
        assert_eq!(response.headers().len(), 1, "the id of the first request is not repeated");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "aaaaaaa");
        for other in [seal(&second, "acme", "k"), seal(&first, "other", "k"), seal(&first, "acme", "l")] {
            assert!(other.open(&sealed).is_none());
        }
        assert!(seal(&first, "acme", "k").open(&sealed[1..]).is_none());
        assert!(seal(&first, "acme", "k").open(b"").is_none());
    }

    #[tokio::test]
    async fn a_problem_is_kept_only_if_the_request_may_have_had_an_effect() {
        let key = ApiKey::draw(&SystemRandomness).unwrap();
        for (problem, is_kept) in [
            (Problem::malformed_body(""), false),
            (Problem::unauthenticated(), false),
            (Problem::no_randomness(), false),
            (Problem::internal(), true),
            (Problem::outcome_unknown(""), true),
        ] {
            let (_, ended) = kept(problem.into_response(), seal(&key, "acme", "k")).await;
            assert_eq!((matches!(ended, Ended::Keep(_)), matches!(ended, Ended::Forget)), (is_kept, !is_kept));
        }
    }

    #[tokio::test]
    async fn a_large_answer_is_given_but_not_kept() {
        let key = ApiKey::draw(&SystemRandomness).unwrap();
        for (bytes, is_kept) in [(MAX_KEPT_BYTES, true), (MAX_KEPT_BYTES + 1, false)] {
            let (response, Ended::Keep(sealed)) = kept(answer(bytes), seal(&key, "acme", "k")).await else {
                panic!("not kept")
            };
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), bytes);
            let opened = seal(&key, "acme", "k").open(&sealed).unwrap();
            assert_eq!(matches!(opened, Opened::Answer(_)), is_kept);
        }
    }
}
