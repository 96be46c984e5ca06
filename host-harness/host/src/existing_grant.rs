//! The tokens of a seller that another system holds.

use std::fmt;

use tiktok_shop_connector_core::existing_grant::check_token;

use crate::connection::UnixSeconds;
use crate::id::AccountId;
use crate::secret::Secret;

/// The tokens of one seller that another system holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingGrant {
    /// TikTok's `open_id`, if the other system knows it. With the account, the token is stored before it is sent, so
    /// the same import or a sweep continues after a crash. The tokens are lost if the host crashes between TikTok's
    /// action and the save of its answer.
    pub account: Option<AccountId>,
    /// The newest refresh token of the other system.
    pub refresh_token: Secret,
    /// The newest access token, if the other system has it. The connection uses it until TikTok has answered.
    pub access_token: Option<Secret>,
    /// When the access token expires, if the other system knows it.
    pub access_token_ends: Option<UnixSeconds>,
    /// When the refresh token expires, if the other system knows it.
    pub refresh_token_ends: Option<UnixSeconds>,
}

impl ExistingGrant {
    /// Returns a grant of which only the refresh token is known.
    #[must_use]
    pub const fn new(refresh_token: Secret) -> Self {
        Self { account: None, refresh_token, access_token: None, access_token_ends: None, refresh_token_ends: None }
    }

    /// Checks the form of the tokens, without a request. `import_grant` refuses a grant that fails this check
    /// (`grant-malformed`).
    ///
    /// # Errors
    /// Names the token that has another form.
    pub fn check(&self) -> Result<(), MalformedToken> {
        let check = |token: &Secret, kind| check_token(token.expose()).map_err(|_| MalformedToken(kind));
        check(&self.refresh_token, "refresh token")?;
        self.access_token.as_ref().map_or(Ok(()), |token| check(token, "access token"))
    }
}

/// A token is not in the form of TikTok Shop's tokens. The error does not contain the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedToken(&'static str);

impl fmt::Display for MalformedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} is not 1 to 4096 visible ASCII characters", self.0)
    }
}

impl std::error::Error for MalformedToken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_token_is_named_and_not_shown() {
        let with_access = |text: &str| ExistingGrant {
            access_token: Some(Secret::from(text)),
            ..ExistingGrant::new(Secret::from("ROW_refresh"))
        };
        let refused = |grant: &ExistingGrant| grant.check().err().map(|error| error.to_string());
        assert_eq!(refused(&with_access("ROW_access")), None);
        let message = "the access token is not 1 to 4096 visible ASCII characters";
        assert_eq!(refused(&with_access("ROW access")).as_deref(), Some(message));
        let message = "the refresh token is not 1 to 4096 visible ASCII characters";
        assert_eq!(refused(&ExistingGrant::new(Secret::from(""))).as_deref(), Some(message));
    }

    #[test]
    fn the_debug_output_shows_no_token() {
        let grant = ExistingGrant { access_token: Some("ROW_a".into()), ..ExistingGrant::new("ROW_r".into()) };
        assert!(!format!("{grant:?}").contains("ROW_"));
    }
}
