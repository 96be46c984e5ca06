//! TikTok's webhooks, as the platform's route takes them.

use std::convert::Infallible;
use std::future::ready;

use anyhow::{Context as _, Result};
use fake_tiktok_shop::WebhookDelivery;
use tiktok_shop_host::webhook::{Webhook, WebhookReply};

use crate::stage::Stage;

/// Takes what TikTok has to deliver now, and answers it: each event with the status of the answer.
pub(super) async fn deliver_all(stage: &Stage) -> Result<Vec<(Webhook, u16)>> {
    let mut delivered = Vec::new();
    for delivery in stage.tiktok.webhooks_due() {
        stage.journal.call();
        let (webhook, reply) = accept(stage, &delivery).await?;
        let webhook = webhook.with_context(|| format!("a webhook was not handled: {reply:?}"))?;
        stage.tiktok.webhook_answered(delivery.number, Some(reply.status()))?;
        delivered.push((webhook, reply.status()));
    }
    Ok(delivered)
}

/// The event, if it is the platform's turn to handle it, and what became of it.
pub(super) async fn accept(
    stage: &Stage,
    delivery: &WebhookDelivery,
) -> Result<(Option<Webhook>, WebhookReply<Infallible>)> {
    let mut handled = None;
    let handle = |webhook| {
        handled = Some(webhook);
        ready(Ok(()))
    };
    let authorization = delivery.header("authorization").context("a webhook without a signature")?;
    let body = delivery.body.clone().into_bytes();
    let reply = stage.host.accept_webhook(&stage.tenant, authorization, body, handle).await;
    Ok((handled, reply))
}
