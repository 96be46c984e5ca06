//! Reads the parts of a request. Every mistake in a request becomes a problem, whose text never contains a value.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, RawPathParams, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::malformed;
use crate::problem::Problem;
use crate::state::Shared;

/// The maximum length of a JSON body: 64 KiB. The largest is a list of 1000 shop ids.
pub(crate) const MAX_JSON_BYTES: usize = 64 << 10;

/// The parameters of the path that contain an id that the platform or TikTok Shop has chosen.
const CHOSEN_IDS: [&str; 2] = ["customer", "account"];

/// The parameters in the path of the address.
pub(crate) struct PathOf<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        let malformed = || {
            Problem::invalid_parameter(
                "a customer, an account and a session have 1 to 256 bytes of percent-encoded UTF-8, and a shop has 1 \
                 to 19 digits",
            )
        };
        let Path(read) = Path::<T>::from_request_parts(parts, state).await.map_err(|_| malformed())?;
        let parameters = RawPathParams::from_request_parts(parts, state).await.map_err(|_| malformed())?;
        // Many clients and proxies remove dot segments, also encoded ones. Such an id would then name another address:
        // `/v1/customers/../connections` is the list of the whole tenant.
        let is_dots = |(name, id): (&str, &str)| CHOSEN_IDS.contains(&name) && [".", ".."].contains(&id);
        if parameters.iter().any(is_dots) {
            return Err(Problem::invalid_parameter("a customer and an account must not be \".\" or \"..\""));
        }
        Ok(Self(read))
    }
}

/// The query of the address.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        let Query(read) = Query::<T>::from_request_parts(parts, state).await.map_err(|_| {
            Problem::invalid_parameter("a parameter of the query is unknown, repeated, or not in the documented form")
        })?;
        Ok(Self(read))
    }
}

/// A JSON body of at most `MAX` bytes.
pub(crate) struct JsonOf<T, const MAX: usize = MAX_JSON_BYTES>(pub(crate) T);

impl<T: DeserializeOwned, const MAX: usize> FromRequest<Shared> for JsonOf<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Shared) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type());
        }
        let bytes = whole_body(request.into_body(), MAX).await?;
        let read = malformed::read(&bytes).map_err(Problem::malformed_body)?;
        Ok(Self(read))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads a body of at most `max` bytes.
pub(crate) async fn whole_body(body: Body, max: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::body_too_large(max)),
        Err(_) => Err(Problem::body_not_received()),
    }
}
