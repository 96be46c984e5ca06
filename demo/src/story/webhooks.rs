//! Delivers TikTok's webhooks to the platform, as the platform's HTTP route would receive them.

use std::convert::Infallible;
use std::future::ready;

use anyhow::{Context as _, Result};
use fake_tiktok_shop::WebhookDelivery;
use tiktok_shop_host::webhook::{Webhook, WebhookReply};

use crate::stage::Stage;

/// Delivers every webhook that the fake TikTok Shop has to deliver now, and reports the platform's answers to the fake.
/// Returns each webhook that the platform has handled, with the HTTP status of the platform's answer. An event that
/// happened more than two days ago counts as already handled. The platform answers such a webhook, and the result does
/// not contain it.
pub(super) async fn deliver_all(stage: &Stage) -> Result<Vec<(Webhook, u16)>> {
    let mut delivered = Vec::new();
    for delivery in stage.tiktok.webhooks_due() {
        stage.journal.call();
        let (webhook, reply) = accept(stage, &delivery).await?;
        stage.tiktok.webhook_answered(delivery.number, Some(reply.status()))?;
        if reply == WebhookReply::Repeated {
            continue;
        }
        let webhook = webhook.with_context(|| format!("a webhook was not handled: {reply:?}"))?;
        delivered.push((webhook, reply.status()));
    }
    Ok(delivered)
}

/// Lets the platform accept a webhook. Returns the reply for TikTok. Also returns the webhook, if the platform's
/// handler was called with it.
pub(super) async fn accept(
    stage: &Stage,
    delivery: &WebhookDelivery,
) -> Result<(Option<Webhook>, WebhookReply<Infallible>)> {
    let mut handled = None;
    let handle = |webhook| {
        handled = Some(webhook);
        ready(Ok(()))
    };
    let authorization = delivery.header("authorization").context("the webhook has no signature")?;
    let body = delivery.body.clone().into_bytes();
    let reply = stage.host.accept_webhook(&stage.tenant, None, authorization, body, handle).await;
    Ok((handled, reply))
}
