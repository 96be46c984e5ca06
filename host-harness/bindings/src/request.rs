//! A request to a host, and the reply to it.

use serde_json::Value;
use tiktok_shop_host::events::{Actor, StatedReason};
use tokio_util::sync::CancellationToken;

/// A request to a [`Binding`](crate::Binding).
#[derive(Default)]
pub struct Request {
    /// The name of the operation in kebab case, for example `begin-consent`.
    pub operation: String,
    /// The arguments, an object.
    pub arguments: Value,
    /// The body of a call or of a webhook. Empty for every other operation.
    pub body: Vec<u8>,
    /// Who makes the call. `None` means the platform itself.
    pub actor: Option<Actor>,
    /// Why the caller makes the call.
    pub reason: Option<StatedReason>,
    /// Stops `sweep` and `shared-connections`: they finish what has begun, and begin nothing else. It has no effect on
    /// other operations.
    pub stop: CancellationToken,
}

impl Request {
    /// Creates a request without a body, an actor and a reason.
    #[must_use]
    pub fn new(operation: impl Into<String>, arguments: Value) -> Self {
        Self { operation: operation.into(), arguments, ..Self::default() }
    }
}

/// The reply to a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The result.
    pub value: Value,
    /// The body of TikTok Shop's answer to a signed call.
    pub body: Option<Vec<u8>>,
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self { value, body: None }
    }
}
