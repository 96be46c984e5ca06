//! `authorization-url`: builds the consent link with the host's state. It uses no network and no storage.

use super::apps;
use crate::authorization_link;
use crate::error::Error;
use crate::ports::Effects;
use crate::secret::State;
use alloc::string::String;
use maybe_async::maybe_async;

/// Returns the link to which the host sends the seller. If `app` is `None`, it is the link of the tenant's only app.
///
/// # Errors
/// - Misconfigured: `authorization-link-missing`, `authorization-link-invalid`, `app-unknown`, `credentials-refused`.
/// - Storage failed: `credentials-unavailable`.
/// - Invalid request: `state-invalid`, `app-required`.
#[maybe_async]
pub async fn authorization_url(effects: &impl Effects, app: Option<String>, state: State) -> Result<String, Error> {
    let app = apps::chosen(effects, app).await?;
    authorization_link::with_state(app.authorization_link.as_deref(), app.link_scheme, &state)
}
