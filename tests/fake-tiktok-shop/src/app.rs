//! Apps, as they are registered in Partner Center.

use std::fmt;

/// An app of TikTok Shop. Each tenant of a platform has an app of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct App {
    /// The name that the consent page shows.
    pub name: String,
    /// The `app_key` of token requests and signed requests.
    pub app_key: String,
    /// The `app_secret` of token requests, and the key of signatures.
    pub app_secret: String,
    /// The `service_id` of the consent link. It is a number that differs from the app key.
    pub service_id: String,
    /// The scopes that the app asks for. The seller may grant fewer.
    pub scopes: Vec<String>,
    /// The address to which the seller's browser goes after the consent. If this is `None`, the browser goes to a page
    /// of the fake that shows the callback.
    pub redirect_address: Option<String>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("name", &self.name)
            .field("app_key", &self.app_key)
            .field("app_secret", &"[redacted]")
            .field("service_id", &self.service_id)
            .field("scopes", &self.scopes)
            .field("redirect_address", &self.redirect_address)
            .finish()
    }
}
