//! `refresh`: renews the tokens if due, re-reads the shops, repairs what a crash left half done.

use super::credentials;
use super::renewal::{self, NotRenewed, Renewed};
use super::rows;
use super::shop_sync::{read_shops, record_shops, token_refused};
use super::tokens::{self, Held};
use crate::connection::{Connection, News, Outcome, ShopNews};
use crate::error::{Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::{Credentials, Effects};
use crate::rotation::{self, Mode};

/// Whether to wait until a renewal is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Only when due, and at most once in ten minutes.
    WhenDue,
    /// Now, under the same claim rules.
    Forced,
}

/// # Errors
/// - Invalid request: `not-connected`, `account-required`.
/// - Reauthorize: the grant is dead; only a new consent helps.
/// - Retry after: TikTok was not reached, limits, or another call renews and the access token is no longer valid.
/// - Storage failed (`token-not-saved` above all), misconfigured, upstream: as their codes say.
pub async fn refresh(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
    rotation: Rotation,
) -> Result<Connection, Error> {
    let key = tokens::resolve(effects, customer, account).await?;
    let app = credentials(effects).await?;
    let mode = match rotation {
        Rotation::WhenDue => Mode::WhenDue,
        Rotation::Forced => Mode::Forced,
    };
    let (held, just_rotated, account_changed) = match renewal::renew(effects, &app, &key, mode).await {
        Ok(Renewed::NotDue(held)) => (held, false, false),
        Ok(Renewed::Rotated { held, account_changed }) => (held, true, account_changed),
        Ok(Renewed::Waiting { held, error }) => return waiting(effects, &key, held, error).await,
        Ok(Renewed::Dead { held, error }) => {
            return Err(rows::write_down(effects, &key, NotRenewed { error, held: Some(held) }).await.1);
        }
        Err(failed) => return Err(rows::write_down(effects, &key, failed).await.1),
    };
    sync(effects, &app, &key, held, just_rotated, account_changed).await
}

/// Somebody else is renewing, or it is too soon: the connection as it is while its access token is valid.
async fn waiting(effects: &impl Effects, key: &ConnectionKey, held: Held, error: Error) -> Result<Connection, Error> {
    let at = effects.now().wall;
    if !rotation::serves(&held.record, at) {
        return Err(error);
    }
    let lineage = held.record.lineage;
    if let Some(row) = rows::read(effects, key, lineage).await? {
        return Ok(row.connection.at(at));
    }
    rows::write(effects, key, lineage, &News::outcome(at, Outcome::Success))
        .await?
        .ok_or_else(|| Error::new(Cause::NotConnected))
}

/// Reads the shops. A token that TikTok refuses causes one renewal, unless it was renewed a moment ago.
async fn sync(
    effects: &impl Effects,
    app: &Credentials,
    key: &ConnectionKey,
    mut held: Held,
    mut just_rotated: bool,
    mut account_changed: bool,
) -> Result<Connection, Error> {
    let mut reading = read_shops(effects, app, &held).await;
    if let (Err(fault), Some(refused)) = (&reading, &held.record.current.access)
        && token_refused(&fault.error)
        && !just_rotated
    {
        let refused = refused.duplicate();
        held = match renewal::renew(effects, app, key, Mode::Refused(&refused)).await {
            Ok(Renewed::NotDue(held)) => held,
            Ok(Renewed::Rotated { held, account_changed: changed }) => {
                account_changed = changed;
                just_rotated = true;
                held
            }
            Ok(Renewed::Waiting { held, error }) => {
                let told = fault.error.clone().after(error.delay);
                // A claim brings a sweep back when it lapses; after a recent renewal only this keeps it from spinning.
                if error.cause == Cause::BackingOff && !rotation::held_back(&held.record, effects.now().wall) {
                    let _row_is_a_projection =
                        record_shops(effects, key, held, ShopNews::Unread, Some(&told), false).await;
                }
                return Err(error);
            }
            Ok(Renewed::Dead { held, error }) => {
                return Err(rows::write_down(effects, key, NotRenewed { error, held: Some(held) }).await.1);
            }
            Err(failed) => return Err(rows::write_down(effects, key, failed).await.1),
        };
        reading = read_shops(effects, app, &held).await;
    }
    let (shops, failure, told) = match reading.map_err(|fault| fault.error) {
        Ok(listed) => (ShopNews::Listed(listed), account_changed.then(|| Error::new(Cause::AccountChanged)), None),
        Err(error) if matches!(error.cause, Cause::SellerInactive | Cause::ShopInactive) => {
            (ShopNews::Inactive, Some(error), None)
        }
        Err(error) if token_refused(&error) && just_rotated => {
            let error = error.becoming(Cause::TokenRefused);
            (ShopNews::Unread, Some(error.clone()), Some(error))
        }
        Err(error) => (ShopNews::Unread, Some(error.clone()), Some(error)),
    };
    let connection = record_shops(effects, key, held, shops, failure.as_ref(), false).await;
    if let Some(error) = told {
        return Err(error);
    }
    connection?.ok_or_else(|| Error::new(Cause::NotConnected))
}
