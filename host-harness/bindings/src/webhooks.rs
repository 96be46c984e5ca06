//! Receives a webhook, and lets a function of the other language handle it.

use serde_json::{Value, json};
use tiktok_shop_host::ConnectorHost;
use tiktok_shop_host::webhook::WebhookReply;

use crate::error::BindingError;
use crate::foreign::{Foreign, ForeignError, WaitsFor};
use crate::operations::WebhookHead;
use crate::shape;

/// Receives a webhook, and calls the function `handle` of `platform` unless the webhook was handled before. The result
/// has the HTTP status for TikTok, and says what happened.
pub(crate) async fn accept(host: &ConnectorHost, head: WebhookHead, body: Vec<u8>, platform: &dyn Foreign) -> Value {
    let WebhookHead { tenant, app, authorization } = head;
    let handle = async |webhook| platform.call("handle", shape::webhook(&webhook), WaitsFor::End).await.map(drop);
    let reply = host.accept_webhook(&tenant, app.as_ref(), &authorization, body, handle).await;
    let error = error_of(&reply).map(|error| error.to_json());
    json!({ "status": reply.status(), "reply": reply.as_str(), "error": error })
}

fn error_of(reply: &WebhookReply<ForeignError>) -> Option<BindingError> {
    match reply {
        WebhookReply::Malformed(error) => Some(error.into()),
        WebhookReply::NotReceived(error) => Some(error.clone().into()),
        WebhookReply::NotRead(error) => Some(error.clone().into()),
        // The other language has the error of a webhook that its function did not handle.
        WebhookReply::Handled
        | WebhookReply::Repeated
        | WebhookReply::Forged
        | WebhookReply::TooLarge
        | WebhookReply::Late
        | WebhookReply::NotHandled(_) => None,
    }
}
