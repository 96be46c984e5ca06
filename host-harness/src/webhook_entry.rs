//! What a platform's route for webhooks calls: verifies, drops repetitions, has the event handled, and says how to answer.
//!
//! TikTok Shop wants its answer within 3 seconds, and repeats after 2 minutes, 30 minutes, 3 hours and 12 hours what was not
//! answered with 200 (partner.tiktokshop.com/docv2/page/tts-webhooks-overview, 2026).

use std::future::Future;
use std::time::Duration;

use tiktok_shop_connector_core::error::code;
use tiktok_shop_connector_core::webhook::MAX_BODY_BYTES;

use crate::digest::WebhookDigest;
use crate::error::{Action, CallError, ConnectorError};
use crate::host::ConnectorHost;
use crate::id::TenantId;
use crate::imports::answered_within;
use crate::lifecycle::Webhook;
use crate::storage::StorageError;

/// Of TikTok's 3 seconds, what is spent before the platform handles the event.
const BEFORE_HANDLING: Duration = Duration::from_secs(2);

/// What became of a webhook. Answer TikTok with [`status`](Self::status) and an empty body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookReply<E> {
    /// The platform has handled it.
    Handled,
    /// The platform has handled it before.
    Repeated,
    /// It is not TikTok's, or not for this tenant's app.
    Forged,
    /// TikTok has signed it, but it is no event: sent again it would be the same.
    Malformed(ConnectorError),
    /// Its body is larger than 1 MiB, and was not looked at.
    TooLarge,
    /// The platform could not handle it.
    NotHandled(E),
    /// The connector could not say whom it concerns.
    NotReceived(CallError),
    /// Whether it was handled before could not be read.
    NotRead(StorageError),
    /// The connector or the storage took too long. What began goes on, and the repetition finds it done.
    Late,
}

impl<E> WebhookReply<E> {
    /// The status of the answer: after 500 and 503 TikTok sends it again.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Handled | Self::Repeated | Self::Malformed(_) => 200,
            Self::Forged => 401,
            Self::TooLarge => 413,
            Self::NotHandled(_) => 500,
            Self::NotReceived(_) | Self::NotRead(_) | Self::Late => 503,
        }
    }
}

impl ConnectorHost {
    /// Takes a webhook of the tenant's app: `authorization` is the value of that header (empty where it is missing), `body`
    /// every byte as it arrived. Records what it means for connections, then gives it to `handle` once, and remembers it if
    /// that succeeds. `handle` should store or queue the event, within a second, and show it to the owners that
    /// [link](crate::WebhookOwner::linked) the shop.
    ///
    /// Each event is handled at least once: two deliveries at the same moment may both be, and one whose answer was lost, or
    /// that the storage could not remember. `handle` must bear that.
    pub async fn accept_webhook<E, F>(
        &self,
        tenant: &TenantId,
        authorization: &str,
        body: Vec<u8>,
        handle: impl FnOnce(Webhook) -> F,
    ) -> WebhookReply<E>
    where
        F: Future<Output = Result<(), E>>,
    {
        if body.len() > MAX_BODY_BYTES {
            return WebhookReply::TooLarge;
        }
        let new = tokio::time::timeout(BEFORE_HANDLING, self.new_webhook(tenant, authorization, body));
        let (id, webhook) = match new.await {
            Ok(Ok(new)) => new,
            Ok(Err(reply)) => return reply,
            Err(_late) => return WebhookReply::Late,
        };
        if let Err(error) = handle(webhook).await {
            return WebhookReply::NotHandled(error);
        }
        let remembered = answered_within(self.answer(), self.storage().remember_webhook(tenant, &id)).await;
        if let Err(error) = remembered {
            tracing::warn!(tenant = tenant.as_str(), %error, "a webhook is handled, but not remembered");
        }
        WebhookReply::Handled
    }

    /// A webhook that is TikTok's and was not handled yet, and what it is remembered by.
    async fn new_webhook<E>(
        &self,
        tenant: &TenantId,
        authorization: &str,
        body: Vec<u8>,
    ) -> Result<(WebhookDigest, Webhook), WebhookReply<E>> {
        let of_body = WebhookDigest::of_body(&body);
        let webhook = self.receive_webhook(tenant, authorization, body).await.map_err(not_received)?;
        let id = webhook.notification_id.as_deref().map_or(of_body, WebhookDigest::of_id);
        let known = answered_within(self.answer(), self.storage().knows_webhook(tenant, &id)).await;
        if known.map_err(WebhookReply::NotRead)? { Err(WebhookReply::Repeated) } else { Ok((id, webhook)) }
    }
}

/// The contract names two codes of an invalid request here.
fn not_received<E>(error: CallError) -> WebhookReply<E> {
    match error {
        CallError::Connector(error) if error.failure().code == code::WEBHOOK_SIGNATURE_INVALID => WebhookReply::Forged,
        CallError::Connector(error) if error.action() == Action::InvalidRequest => WebhookReply::Malformed(error),
        error @ (CallError::Connector(_)
        | CallError::Trapped { .. }
        | CallError::DeadlineExceeded { .. }
        | CallError::Exhausted { .. }
        | CallError::ContractBroken { .. }
        | CallError::Busy { .. }
        | CallError::NoRandomness { .. }
        | CallError::Aborted { .. }) => WebhookReply::NotReceived(error),
    }
}
