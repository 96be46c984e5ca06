//! `authorization-url`: builds the consent link with the host's state. It uses no network and no storage.

use crate::authorization_link;
use crate::error::Error;
use crate::ports::Effects;
use crate::secret::State;
use alloc::string::String;

/// Returns the link to which the host sends the seller.
///
/// # Errors
/// - Misconfigured: `authorization-link-missing`, `authorization-link-invalid`, `credentials-refused`.
/// - Storage failed: `credentials-unavailable`.
/// - Invalid request: `state-invalid`.
pub async fn authorization_url(effects: &impl Effects, state: State) -> Result<String, Error> {
    let app = super::credentials(effects).await?;
    authorization_link::with_state(app.authorization_link.as_deref(), &state)
}
