//! `access-token`: returns an access token that stays valid for the requested time. It renews the token if necessary.

use super::apps::Apps;
use super::tokens;
use super::valid_token::{Served, valid_token};
use crate::error::{Cause, Error};
use crate::identity::{AccountId, CustomerId};
use crate::ports::Effects;
use crate::rotation::Trigger;
use crate::secret::AccessToken;
use crate::time::UnixSeconds;
use core::time::Duration;
use maybe_async::maybe_async;

/// The longest validity that a caller may ask for: 3600 seconds. A longer validity would cause a renewal at nearly
/// every call.
pub const MAX_VALIDITY_SECONDS: u32 = 3600;

/// A token that may be used now.
pub struct ValidToken {
    /// The account that the token belongs to.
    pub account: AccountId,
    /// The access token. Send it only to TikTok's API server.
    pub token: AccessToken,
    /// When the token expires. `None` if TikTok sent no time, or a time that cannot be true.
    pub expires: Option<UnixSeconds>,
}

/// Returns an access token that is valid for at least `min_validity_seconds`. The largest value that a caller may pass
/// is [`MAX_VALIDITY_SECONDS`]. If no renewal is possible now but the stored token is still valid, the function returns
/// this token with its real expiry time.
///
/// # Errors
/// - Invalid request: `not-connected`, `account-required`, `validity-too-long`.
/// - The errors of `refresh`, if there is no valid token.
#[maybe_async]
pub async fn access_token(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
    min_validity_seconds: u32,
) -> Result<ValidToken, Error> {
    if min_validity_seconds > MAX_VALIDITY_SECONDS {
        return Err(Error::new(Cause::ValidityTooLong));
    }
    let key = tokens::resolve(effects, customer, account).await?;
    let trigger = Trigger::GoodFor(Duration::from_secs(min_validity_seconds.into()));
    let Served { stored, .. } = valid_token(effects, &mut Apps::default(), &key, trigger).await?;
    let current = stored.record.into_current();
    let Some(token) = current.access else { return Err(Error::new(Cause::TokenAnswerIncomplete)) };
    Ok(ValidToken { account: key.account, token, expires: current.access_ends })
}
