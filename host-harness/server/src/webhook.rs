//! `POST /webhooks/{tenant}`: receives TikTok Shop's webhooks. Their effect on connections is recorded, and they are
//! stored for delivery to the platform before TikTok Shop gets the answer 200. Everything else is decided by the host
//! library, which refuses a forged webhook before it works for it.

use axum::body::Body;
use axum::extract::State;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::webhook::{Webhook, WebhookReply};

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
    let shared = state.clone();
    let reply = state
        .run(async move {
            let (stored_in, owner) = (&shared, &tenant);
            let store = |webhook: Webhook| async move { stored_in.deliver_webhook(owner, &webhook).await };
            shared.host.accept_webhook(&tenant, None, &signature, body, store).await
        })
        .await?;
    if let WebhookReply::NotHandled(error) = &reply {
        tracing::error!(%error, "an event of TikTok Shop could not be stored; TikTok Shop sends it again");
    }
    Ok(StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}
