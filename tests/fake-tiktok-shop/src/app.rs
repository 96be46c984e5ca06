//! Apps, as registered in Partner Center.

use std::fmt;

/// An app. It stands for one tenant of a platform.
#[derive(Clone, PartialEq, Eq)]
pub struct App {
    /// Shown on the consent page.
    pub name: String,
    /// The `app_key` of token requests and signed requests.
    pub app_key: String,
    /// The `app_secret` of token requests, and the key of signatures.
    pub app_secret: String,
    /// The `service_id` of the consent link: a number of its own, not the app key.
    pub service_id: String,
    /// Scopes the app asks for; the seller decides which it grants.
    pub scopes: Vec<String>,
    /// Where the seller's browser goes after the consent; `None` is a page of the fake that shows the callback.
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
