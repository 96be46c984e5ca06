//! `POST /webhooks/{tenant}`: receives TikTok Shop's webhooks. Their effect on connections is recorded. Everything is
//! decided by the host library, which refuses a forged webhook before it works for it.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Body;
use axum::extract::State;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tiktok_shop_host::TenantId;

use crate::input::{PathOf, whole_body};
use crate::problem::Problem;
use crate::state::Shared;

/// The maximum length of a body: 256 KiB, as the host library allows by default.
const MAX_BYTES: usize = 256 << 10;

#[derive(Deserialize)]
pub(crate) struct Place {
    tenant: TenantId,
}

pub(crate) async fn receive(
    State(state): State<Shared>,
    PathOf(Place { tenant }): PathOf<Place>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let mut signatures = headers.get_all(AUTHORIZATION).iter();
    let signature = signatures.next().filter(|_| signatures.next().is_none());
    // Without a signature, the body is not read.
    let Some(signature) = signature.and_then(|value| value.to_str().ok()).map(str::to_owned) else {
        state.metrics.webhook_without_signature();
        return Ok(StatusCode::UNAUTHORIZED);
    };
    let body = whole_body(body, MAX_BYTES).await?.to_vec();
    let host = state.host.clone();
    let reply = state
        .run(async move {
            // The effect on the connections is already recorded. This release passes no event on.
            host.accept_webhook(&tenant, None, &signature, body, |_| ready(Ok::<(), Infallible>(()))).await
        })
        .await?;
    Ok(StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}
