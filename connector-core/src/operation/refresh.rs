//! `refresh`: renews the tokens if they are due, reads the shops again, and repairs a connection that a crash left half
//! written.

use super::apps::Apps;
use super::renewal::{self, NotRenewed, Renewed};
use super::rows;
use super::shop_sync::{Occasion, Recorded, read_shops, record_shops, token_refused};
use super::tokens::{self, VersionedRecord};
use crate::connection::{Connection, Outcome, RowUpdate, ShopUpdate};
use crate::error::{Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::Effects;
use crate::rotation::{Trigger, shown_if_repeated};
use maybe_async::maybe_async;

/// When to renew the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshMode {
    /// Renews the tokens only if they are due, and at most once in ten minutes.
    WhenDue,
    /// Renews the tokens now, unless another call holds a claim that has not lapsed.
    Forced,
}

/// The effect of a `refresh`.
#[derive(Debug)]
pub enum RefreshEffect {
    /// TikTok has issued new tokens, and they are stored. Then the shops were read.
    Renewed,
    /// This call did not renew the tokens, because they were not due or another call had just renewed them. The shops
    /// were read.
    ShopsRead,
    /// Nothing was sent to TikTok, because no renewal is possible now. The error contains the reason and the time to
    /// wait. The access token is still valid, so the connection works.
    NothingSent(Error),
}

/// The result of a `refresh` that did not fail.
pub struct Refreshed {
    /// The connection as it is stored now.
    pub connection: Connection,
    /// The effect of this call.
    pub effect: RefreshEffect,
}

/// Renews the tokens if they are due, and reads the shops. If no renewal is possible now and the access token is still
/// valid, it sends nothing and returns the connection as it is stored. [`Refreshed::effect`] says what the call did.
///
/// # Errors
/// - Invalid request: `not-connected`, `account-required`.
/// - Reauthorize: the grant is dead; only a new consent helps.
/// - Retry after: TikTok was not reached, or TikTok limits the rate, or the access token is not valid any more and
///   another call is renewing the tokens.
/// - Storage failed, misconfigured, upstream: the code says why. The most important code is `token-not-saved`. The code
///   `app-unknown` means that the tenant no longer has the app of the connection; nothing was sent.
#[maybe_async]
pub async fn refresh(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
    mode: RefreshMode,
) -> Result<Refreshed, Error> {
    let key = tokens::resolve(effects, customer, account).await?;
    let mut apps = Apps::default();
    let trigger = match mode {
        RefreshMode::WhenDue => Trigger::WhenDue,
        RefreshMode::Forced => Trigger::Forced,
    };
    let renewal = match renewal::renew(effects, &mut apps, &key, trigger).await {
        Ok(Renewed::NotDue(stored)) => Renewal { stored, just_rotated: false, account_changed: false },
        Ok(Renewed::Rotated { stored, account_changed }) => Renewal { stored, just_rotated: true, account_changed },
        Ok(Renewed::Waiting { stored, error }) => return waiting(effects, &key, stored, error).await,
        Ok(Renewed::Dead { stored, error }) => {
            return Err(rows::record_failure(effects, &key, NotRenewed { error, stored: Some(stored) }).await.error);
        }
        Err(failed) => return Err(rows::record_failure(effects, &key, failed).await.error),
    };
    sync(effects, &mut apps, &key, renewal).await
}

/// The record whose access token is used to read the shops, and what this call has done to the record.
struct Renewal {
    stored: VersionedRecord,
    just_rotated: bool,
    /// Whether TikTok's answer contained another account than the account that consented.
    account_changed: bool,
}

/// Returns the stored connection if its access token is still valid, and `error` otherwise. `error` says why no renewal
/// is possible now: another call is renewing the tokens, or the next attempt is not due yet.
#[maybe_async]
async fn waiting(
    effects: &impl Effects,
    key: &ConnectionKey,
    stored: VersionedRecord,
    error: Error,
) -> Result<Refreshed, Error> {
    let at = effects.wall();
    if !stored.record.serves(at) {
        return Err(error);
    }
    let lineage = stored.record.lineage();
    let connection = match rows::read(effects, key, lineage).await? {
        Some(row) => row.connection.at(at),
        None => rows::write(effects, key, lineage, &RowUpdate::outcome(at, Outcome::Success))
            .await?
            .ok_or_else(|| Error::new(Cause::NotConnected))?,
    };
    Ok(Refreshed { connection, effect: RefreshEffect::NothingSent(error) })
}

/// Reads the shops and writes the row. If TikTok refuses the token, this call renews the token once, unless it has just
/// renewed the token.
#[maybe_async]
async fn sync(
    effects: &impl Effects,
    apps: &mut Apps,
    key: &ConnectionKey,
    renewal: Renewal,
) -> Result<Refreshed, Error> {
    let Renewal { mut stored, mut just_rotated, mut account_changed } = renewal;
    let app = apps.of(stored.record.app_key())?;
    let mut reading = read_shops(effects, app, &stored.record).await;
    if let (Err(fault), Some(refused)) = (&reading, &stored.record.current().access)
        && token_refused(&fault.error)
        && !just_rotated
    {
        let refused = refused.duplicate();
        stored = match renewal::renew(effects, apps, key, Trigger::Refused(&refused)).await {
            Ok(Renewed::NotDue(stored)) => stored,
            Ok(Renewed::Rotated { stored, account_changed: changed }) => {
                account_changed = changed;
                just_rotated = true;
                stored
            }
            Ok(Renewed::Waiting { stored, error }) => {
                let shown = fault.error.clone().with_delay(error.delay);
                // `record_shops` allows only forced attempts for a while, so that a sweep does not call `refresh` in a
                // loop. This is not needed if another call holds a claim, because the record is then not due before the
                // claim lapses.
                if error.cause == Cause::BackingOff && !stored.record.is_held_back(effects.wall()) {
                    let _row_is_a_projection =
                        record_shops(effects, key, stored, ShopUpdate::Unread, Some(&shown), Occasion::LaterCall).await;
                }
                return Err(error);
            }
            Ok(Renewed::Dead { stored, error }) => {
                return Err(rows::record_failure(effects, key, NotRenewed { error, stored: Some(stored) }).await.error);
            }
            Err(failed) => return Err(rows::record_failure(effects, key, failed).await.error),
        };
        let app = apps.of(stored.record.app_key())?;
        reading = read_shops(effects, app, &stored.record).await;
    }
    // `shown` stays in the row as the last failure. `returned` is the error of this call.
    let (shops, shown, returned) = match reading.map_err(|fault| fault.error) {
        Ok(listing) => {
            let shown = account_changed.then(|| Error::new(Cause::AccountChanged)).or(listing.flaw);
            (ShopUpdate::Listed(listing.list), shown, None)
        }
        Err(error) if matches!(error.cause, Cause::SellerInactive | Cause::ShopInactive) => {
            (ShopUpdate::Inactive, Some(error), None)
        }
        Err(error) if token_refused(&error) && just_rotated => {
            let error = error.with_cause(Cause::TokenRefused);
            (ShopUpdate::Unread, Some(error.clone()), Some(error))
        }
        Err(error) => {
            let error = shown_if_repeated(error, stored.record.failures());
            (ShopUpdate::Unread, Some(error.clone()), Some(error))
        }
    };
    let Recorded { connection, refused } =
        record_shops(effects, key, stored, shops, shown.as_ref(), Occasion::LaterCall).await;
    if let Some(error) = returned.or(refused) {
        return Err(error);
    }
    let connection = connection?.ok_or_else(|| Error::new(Cause::NotConnected))?;
    let effect = if just_rotated { RefreshEffect::Renewed } else { RefreshEffect::ShopsRead };
    Ok(Refreshed { connection, effect })
}
