//! `export-grant`: returns the tokens of a connection, so that another installation of the connector can take it over. It
//! only reads the token record. It sends no request and changes nothing.

use super::tokens::{self, VersionedRecord};
use crate::contract::CLAIM_LIFE;
use crate::error::{Cause, Error};
use crate::existing_grant::ExistingGrant;
use crate::identity::{AccountId, CustomerId};
use crate::ports::Effects;
use maybe_async::maybe_async;

/// Returns the newest tokens of a connection, with the account and the ends of the tokens. The caller must make sure
/// that nobody refreshes this connection any more.
///
/// The grant contains only the current refresh token. The fallbacks stay in the record, so do not delete the record
/// before the other installation has connected the customer.
///
/// # Errors
/// - Invalid request: `not-connected`, `account-required`.
/// - Reauthorize: the connection is dead.
/// - Retry after: `refresh-in-progress`. Another call may have sent the refresh token, so the stored token may be
///   replaced within the next seconds.
/// - Storage failed: the record could not be read.
#[maybe_async]
pub async fn export_grant(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
) -> Result<ExistingGrant, Error> {
    let key = tokens::resolve(effects, customer, account).await?;
    // A load may return an older record, whose refresh token was replaced since.
    let stored = tokens::load_linearizable(effects, &key).await?;
    let Some(VersionedRecord { record, age, .. }) = stored else { return Err(Error::new(Cause::NotConnected)) };
    if let Some(reason) = record.dead() {
        return Err(Error::new(reason.cause()));
    }
    // After a claim has lapsed, nobody knows whether TikTok has replaced the token. Waiting longer does not help, and a
    // refresh would send the same token. So the token is exported.
    if record.current_claim().is_some() && age < CLAIM_LIFE {
        return Err(Error::new(Cause::RefreshInProgress).with_delay(CLAIM_LIFE.saturating_sub(age)));
    }
    let current = record.into_current();
    let Some(refresh) = current.refresh else { return Err(Error::new(Cause::TokenAnswerIncomplete)) };
    Ok(ExistingGrant {
        account: Some(key.account),
        refresh,
        access: current.access,
        access_ends: current.access_ends,
        refresh_ends: current.refresh_ends,
    })
}
