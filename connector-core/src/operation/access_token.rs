//! `access-token`: a token that is good for a while, renewed if need be.

use super::valid_token::{Served, valid_token};
use super::{credentials, tokens};
use crate::error::{Cause, Error};
use crate::identity::{AccountId, CustomerId};
use crate::ports::Effects;
use crate::rotation::Mode;
use crate::secret::AccessToken;
use crate::time::UnixSeconds;
use core::time::Duration;

/// No token can be asked to be good for longer than this many seconds: it would be renewed all the time.
pub const LONGEST_VALIDITY: u32 = 3600;

/// A token to be used now.
pub struct ValidToken {
    /// Whose.
    pub account: AccountId,
    /// For the API host.
    pub token: AccessToken,
    /// Its believed end; none: TikTok named no believable one.
    pub expires: Option<UnixSeconds>,
}

/// A token that is good for at least so many seconds, at most [`LONGEST_VALIDITY`]; where it can't be renewed now, the
/// valid one, with its real end.
///
/// # Errors
/// - Invalid request: `not-connected`, `account-required`, `validity-too-long`.
/// - What `refresh` says, when there is no valid token.
pub async fn access_token(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
    min_validity_seconds: u32,
) -> Result<ValidToken, Error> {
    if min_validity_seconds > LONGEST_VALIDITY {
        return Err(Error::new(Cause::ValidityTooLong));
    }
    let key = tokens::resolve(effects, customer, account).await?;
    let app = credentials(effects).await?;
    let mode = Mode::GoodFor(Duration::from_secs(min_validity_seconds.into()));
    let Served { held, .. } = valid_token(effects, &app, &key, mode).await?;
    let Some(token) = held.record.current.access else { return Err(Error::new(Cause::TokenAnswerIncomplete)) };
    Ok(ValidToken { account: key.account, token, expires: held.record.current.access_ends })
}
