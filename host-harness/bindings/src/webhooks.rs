//! Receives a webhook, and lets a function of the other language handle it.

use serde_json::{Value, json};
use tiktok_shop_host::ConnectorHost;
use tiktok_shop_host::webhook::WebhookReply;

use crate::error::BindingError;
use crate::foreign::{Foreign, ForeignError};
use crate::operations::WebhookHead;
use crate::shape;

/// Receives a webhook, and calls the function `handle` of `platform` unless the webhook was handled before. The result
/// has the HTTP status for TikTok, and says what happened.
pub(crate) async fn accept(host: &ConnectorHost, head: WebhookHead, body: Vec<u8>, platform: &dyn Foreign) -> Value {
    let WebhookHead { tenant, app, authorization } = head;
    let handle = async |webhook| platform.call("handle", shape::webhook(&webhook)).await.map(drop);
    let reply = host.accept_webhook(&tenant, app.as_ref(), &authorization, body, handle).await;
    let (word, error) = describe(&reply);
    json!({ "status": reply.status(), "reply": word, "error": error.map(|error| error.to_json()) })
}

/// Returns the word for a reply, and its error.
fn describe(reply: &WebhookReply<ForeignError>) -> (&'static str, Option<BindingError>) {
    match reply {
        WebhookReply::Handled => ("handled", None),
        WebhookReply::Repeated => ("repeated", None),
        WebhookReply::Forged => ("forged", None),
        WebhookReply::TooLarge => ("too-large", None),
        WebhookReply::Late => ("late", None),
        WebhookReply::Malformed(error) => ("malformed", Some(error.into())),
        // The other language has the error itself.
        WebhookReply::NotHandled(_) => ("not-handled", None),
        WebhookReply::NotReceived(error) => ("not-received", Some(error.clone().into())),
        WebhookReply::NotRead(error) => ("not-read", Some(error.clone().into())),
    }
}
