//! The tenant's app: the key and secrets that Partner Center issued for it.

use crate::secret::AppSecret;
use alloc::string::String;

/// The credentials of the tenant's app.
pub struct Credentials {
    /// The public identifier of the app.
    pub app_key: String,
    /// The secret that signs requests and authenticates token requests.
    pub app_secret: AppSecret,
    /// The secret that was in use before `app_secret`. It only verifies webhooks; no request is signed with it.
    pub previous_app_secret: Option<AppSecret>,
    /// The authorization link as Partner Center shows it.
    pub authorization_link: Option<String>,
}
