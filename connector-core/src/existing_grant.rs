//! A grant that another system holds: the tokens of a seller who has consented there.

use crate::error::{Cause, Error};
use crate::identity::AccountId;
use crate::secret::{AccessToken, RefreshToken};
use crate::time::UnixSeconds;
use crate::token::{EXPIRY_MARGIN, Expiry};

/// The largest length of a token that another system brings, in bytes. TikTok's tokens have less than 200 bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// The tokens of a seller that another system holds. That system must not use the refresh token any more.
pub struct ExistingGrant {
    /// TikTok's `open_id`, if the other system knows it.
    pub account: Option<AccountId>,
    /// The newest refresh token of the other system.
    pub refresh: RefreshToken,
    /// The newest access token, if the other system still has it.
    pub access: Option<AccessToken>,
    /// When the access token expires, if the other system knows it.
    pub access_ends: Option<UnixSeconds>,
    /// When the refresh token expires, if the other system knows it.
    pub refresh_ends: Option<UnixSeconds>,
}

impl ExistingGrant {
    /// Checks the form of both tokens.
    ///
    /// # Errors
    /// Invalid request: `grant-malformed`.
    pub fn check(&self) -> Result<(), Error> {
        check_token(self.refresh.expose())?;
        self.access.as_ref().map_or(Ok(()), |access| check_token(access.expose()))
    }

    /// Returns the access token if it may be used at `now`, and when it expires.
    pub(crate) fn usable_access(&self, now: UnixSeconds) -> Option<(&AccessToken, Expiry)> {
        let has_ended = self.access_ends.is_some_and(|end| end <= now.plus(EXPIRY_MARGIN));
        let access = self.access.as_ref().filter(|_| !has_ended)?;
        Some((access, Expiry::believed(self.access_ends, now)))
    }
}

/// Checks the form of one token: 1 to 4096 visible ASCII characters. Another text is not a token of TikTok Shop. A host
/// can check the tokens of a file with this function before it makes a call.
///
/// # Errors
/// Invalid request: `grant-malformed`.
pub fn check_token(text: &str) -> Result<(), Error> {
    let is_token =
        !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token { Ok(()) } else { Err(Error::new(Cause::GrantMalformed)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const NOW: UnixSeconds = UnixSeconds::new(1_767_225_600);

    #[test]
    fn a_token_has_1_to_4096_visible_ascii_characters() {
        let (longest, too_long) = ("t".repeat(MAX_TOKEN_BYTES), "t".repeat(MAX_TOKEN_BYTES + 1));
        for (text, expected) in [
            ("ROW_abc-123.~%", Ok(())),
            (longest.as_str(), Ok(())),
            (too_long.as_str(), Err(Cause::GrantMalformed)),
            ("", Err(Cause::GrantMalformed)),
            (" ROW_abc", Err(Cause::GrantMalformed)),
            ("ROW_abc\n", Err(Cause::GrantMalformed)),
            ("\u{feff}ROW_abc", Err(Cause::GrantMalformed)),
            ("ROW_äbc", Err(Cause::GrantMalformed)),
        ] {
            assert_eq!(check_token(text).map_err(|error| error.cause), expected, "{} bytes", text.len());
        }
    }

    #[test]
    fn both_tokens_are_checked() {
        for (refresh, access, expected) in [
            ("RT", None, Ok(())),
            ("RT", Some("AT"), Ok(())),
            ("R T", Some("AT"), Err(Cause::GrantMalformed)),
            ("RT", Some("A\tT"), Err(Cause::GrantMalformed)),
        ] {
            let grant = ExistingGrant {
                account: None,
                refresh: RefreshToken::new(refresh.to_string()),
                access: access.map(|text| AccessToken::new(text.to_string())),
                access_ends: None,
                refresh_ends: None,
            };
            assert_eq!(grant.check().map_err(|error| error.cause), expected, "{refresh} {access:?}");
        }
    }

    #[test]
    fn an_access_token_that_has_ended_is_not_used() {
        for (ends, expected) in [
            (None, Some(Expiry::Unknown)),
            (Some(NOW.plus(3600)), Some(Expiry::At(NOW.plus(3600)))),
            (Some(NOW.plus(EXPIRY_MARGIN + 1)), Some(Expiry::Unknown)),
            (Some(NOW.plus(EXPIRY_MARGIN)), None),
            (Some(NOW.minus(1)), None),
        ] {
            let grant = ExistingGrant {
                account: None,
                refresh: RefreshToken::new("RT".to_string()),
                access: Some(AccessToken::new("AT".to_string())),
                access_ends: ends,
                refresh_ends: None,
            };
            assert_eq!(grant.usable_access(NOW).map(|(_, expiry)| expiry), expected, "{ends:?}");
        }
    }
}
