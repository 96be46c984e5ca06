//! `POST /webhooks/{tenant}`: receives TikTok Shop's webhooks. Their effect on connections is recorded, and they are
//! stored for delivery to the platform before TikTok Shop gets the answer 200. Everything else is decided by the host
//! library, which refuses a forged webhook before it works for it.
//!
//! Anybody can send requests to this address. So a body is read only if the request has a text with the form of a
//! signature, and only a limited number of bodies is in memory at the same time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::webhook::{Webhook, WebhookReply, has_the_form_of_a_signature};

use crate::input::{PathOf, whole_body};
use crate::problem::Problem;
use crate::state::Shared;

/// The maximum length of a body: 256 KiB, as the host library allows by default.
const MAX_BYTES: usize = 256 << 10;
/// The maximum time for a body to arrive: 3 s. TikTok Shop waits no longer for the answer.
const BODY_DEADLINE: Duration = Duration::from_secs(3);

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
    let Some(signature) = signature_of(&headers) else {
        state.metrics.webhook_without_signature();
        return Ok(StatusCode::UNAUTHORIZED);
    };
    let place = Arc::clone(&state.webhooks).try_acquire_owned().map_err(|_| Problem::too_many_webhooks())?;
    let body = tokio::time::timeout(BODY_DEADLINE, whole_body(body, MAX_BYTES)).await;
    let body: Vec<u8> = body.map_err(|_| Problem::body_not_received())??.into();
    let shared = state.clone();
    let reply = state
        .run(async move {
            // The place is free after the call, even if the client has gone away.
            let _place = place;
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

/// Returns the header `Authorization` if it occurs once and has the form of a signature: 64 hexadecimal digits in lower
/// case.
fn signature_of(headers: &HeaderMap) -> Option<String> {
    let mut signatures = headers.get_all(AUTHORIZATION).iter();
    let signature = signatures.next().filter(|_| signatures.next().is_none())?.to_str().ok()?;
    has_the_form_of_a_signature(signature.as_bytes()).then(|| signature.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_text_of_64_hexadecimal_digits_in_lower_case_has_the_form_of_a_signature() {
        let digits = "0123456789abcdef".repeat(4);
        let found = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            signature_of(&headers)
        };
        assert_eq!(found(&[&digits]), Some(digits.clone()));
        for wrong in ["", "00", &digits[1..], &format!("{digits}0"), &digits.to_uppercase(), &digits.replace('0', "g")]
        {
            assert_eq!(found(&[wrong]), None, "{wrong}");
        }
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[&digits, &digits]), None);
    }
}
