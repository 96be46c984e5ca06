//! `receive-webhook`: checks the signature of a webhook, finds the connections that its event concerns, and records
//! what the event means for these connections. It uses no network. If TikTok must be asked, the next `refresh` does
//! that.

use super::tokens::{self, VersionedRecord};
use super::{apps, rows, storage_error};
use crate::connection::{Outcome, RowUpdate, ShopUpdate, ShopUse};
use crate::credentials::Credentials;
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::{Effects, Entry, StorageError};
use crate::record::VerificationRequest;
use crate::signing::Webhook;
use crate::time::UnixSeconds;
use crate::webhook::{MAX_BODY_BYTES, Meaning, Notification, counts_as_handled};
use alloc::string::String;
use alloc::vec::Vec;
use maybe_async::maybe_async;

/// The change that an event has made to the stored connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookEffect {
    /// The event changed nothing.
    None,
    /// A `refresh` is now due. The refresh asks TikTok whether the event is true.
    VerificationDue,
    /// The row now shows when the authorization ends.
    AuthorizationEnding,
}

/// A connection whose row contains the shop of an event.
pub struct Owner {
    /// The connection.
    pub key: ConnectionKey,
    /// Whether its customer may use the shop now ([`ShopUse`]), and so may see the event.
    pub may_use: bool,
}

/// An event and the connections that it concerns.
pub struct Received {
    /// The key of the app that signed the webhook.
    pub app: String,
    /// The event as TikTok sent it.
    pub notification: Notification,
    /// The connections whose rows contain the shop, in the order in which storage lists them.
    pub owners: Vec<Owner>,
    /// The change that the event has made.
    pub effect: WebhookEffect,
}

/// The note of the error for a body of more than [`MAX_BODY_BYTES`].
const TOO_LARGE: &str = "the connector reads at most 1048576 bytes";

/// Checks that a webhook is signed with the current or the previous secret of one of these apps, and returns the key of
/// this app. A host calls this function before it does any other work for a webhook, and [`receive_webhook`] calls it
/// again.
///
/// All secrets of all apps are tried in any case, so the time does not show which app or secret signed the webhook. A
/// tenant has at most [`crate::credentials::MAX_APPS`] apps, so this bounds the work for a forged webhook.
///
/// # Errors
/// Invalid request: `webhook-signature-invalid`.
pub fn check_signature<'a>(apps: &'a [Credentials], authorization: &[u8], body: &[u8]) -> Result<&'a str, Error> {
    let signed_with = |app: &Credentials| {
        let signed = Webhook { app_key: &app.app_key, body, authorization };
        signed.signed_with(&app.app_secret, app.previous_app_secret.as_ref())
    };
    let signed = apps.iter().filter(|app| signed_with(app).is_some());
    let signed_by = signed.fold(None, |found: Option<&Credentials>, app| found.or(Some(app)));
    signed_by.map(|app| app.app_key.as_str()).ok_or_else(|| Error::new(Cause::WebhookSignatureInvalid))
}

/// Receives one webhook of the app with the key `app`. If `app` is `None`, the webhook may be of any app of the tenant.
/// The event concerns only the connections of the app that signed it. Idempotent. An event that
/// [counts as handled](counts_as_handled) because of its age changes nothing.
///
/// # Errors
/// - Invalid request: `webhook-signature-invalid`, `webhook-malformed`; nothing was written.
/// - Storage failed, storage conflict, misconfigured: the host must refuse the webhook, so that TikTok sends it again.
#[maybe_async]
pub async fn receive_webhook(
    effects: &impl Effects,
    app: Option<String>,
    authorization: &[u8],
    body: &[u8],
) -> Result<Received, Error> {
    if body.len() > MAX_BODY_BYTES {
        // The note tells this case from a body that TikTok has signed.
        return Err(Error::new(Cause::WebhookMalformed).with_note(TOO_LARGE));
    }
    let app = signed_by(effects, app, authorization, body).await?;
    let notification = Notification::read(body).ok_or_else(|| Error::new(Cause::WebhookMalformed))?;
    let owners = match &notification.shop {
        Some(shop) => owners(effects, &app, shop).await?,
        None => Vec::new(),
    };
    let mut effect = WebhookEffect::None;
    let now = effects.wall();
    let is_old = counts_as_handled(notification.occurred, now);
    let meaning = if is_old { Meaning::Nothing } else { notification.meaning(now) };
    // If the event cannot be recorded for one owner, it is still recorded for the other owners. Then the call returns
    // the error, and TikTok sends the webhook again.
    let mut failed = None;
    for (Owner { key, .. }, record) in &owners {
        match (*record, meaning) {
            (RecordState::Unreadable, _) | (RecordState::WithoutUsableRow, Meaning::Ends(_)) => continue,
            (RecordState::Readable, _) | (RecordState::WithoutUsableRow, Meaning::Nothing | Meaning::MayHaveEnded) => {}
        }
        match record_meaning(effects, key, notification.occurred, meaning).await {
            Ok(WebhookEffect::None) => {}
            Ok(made) => effect = made,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let owners = owners.into_iter().map(|(owner, _)| owner).collect();
    failed.map_or(Ok(Received { app, notification, owners, effect }), Err)
}

/// Returns the key of the app that signed a webhook.
#[maybe_async]
async fn signed_by(
    effects: &impl Effects,
    app: Option<String>,
    authorization: &[u8],
    body: &[u8],
) -> Result<String, Error> {
    let keys = match app {
        Some(app_key) => Vec::from([app_key]),
        None => apps::all(effects).await?,
    };
    let mut candidates = Vec::with_capacity(keys.len());
    // If the secrets of one app can't be read, the webhooks of the other apps are received nevertheless.
    let mut unread = None;
    for app_key in &keys {
        match apps::fetch(effects, app_key).await {
            Ok(app) => candidates.push(app),
            Err(error) => unread = unread.or(Some(error)),
        }
    }
    match check_signature(&candidates, authorization, body) {
        Ok(app_key) => Ok(app_key.into()),
        Err(invalid) => Err(unread.unwrap_or(invalid)),
    }
}

/// Whether this release can read the token record of an owner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RecordState {
    Readable,
    /// The record can be read. The row was changed in the database or cannot be decoded, so nothing can be written
    /// into the row.
    WithoutUsableRow,
    /// The record cannot be decrypted or decoded, so nothing can be written into it.
    Unreadable,
}

/// Records what an event means for one connection.
#[maybe_async]
async fn record_meaning(
    effects: &impl Effects,
    key: &ConnectionKey,
    occurred: Option<UnixSeconds>,
    meaning: Meaning,
) -> Result<WebhookEffect, Error> {
    Ok(match meaning {
        Meaning::Nothing => WebhookEffect::None,
        Meaning::MayHaveEnded => match tokens::request_verification(effects, key, occurred).await? {
            VerificationRequest::New | VerificationRequest::Known => WebhookEffect::VerificationDue,
            VerificationRequest::Void => WebhookEffect::None,
        },
        Meaning::Ends(end) if announce(effects, key, occurred, end).await? => WebhookEffect::AuthorizationEnding,
        Meaning::Ends(_) => WebhookEffect::None,
    })
}

/// Returns the connections of this app whose rows contain the shop. TikTok sends an event of a shop to each app that
/// the seller has authorized, so the customers of another app get it from the webhook of their app. A row without a
/// token record is left out, because it is not a connection.
///
/// A row may be older than its record, for example if a call crashed after TikTok ended the grant. So a connection
/// counts as dead if its record or its row says so. If the record or the row cannot be read, the customer may not use
/// the shop.
#[maybe_async]
async fn owners(effects: &impl Effects, app: &str, shop: &str) -> Result<Vec<(Owner, RecordState)>, Error> {
    let mut owners = Vec::new();
    for key in effects.owners(shop).await.map_err(storage_error)? {
        let row = match effects.load_row(&key).await {
            Ok(Some(Entry { value: row, .. })) => row,
            Ok(None) => continue,
            Err(StorageError::RowChanged(_) | StorageError::RowUnreadable(..)) => {
                owners.extend(owner_without_row(effects, key, app).await?);
                continue;
            }
            Err(error) => return Err(storage_error(error)),
        };
        let Some(found) = row.connection.shops.iter().find(|known| known.listed.id == shop) else { continue };
        let (may_use, state) = match tokens::load_or_confirm_absence(effects, &key).await {
            Ok(None) => continue,
            Ok(Some(VersionedRecord { record, .. })) if record.app_key() != app => continue,
            Ok(Some(VersionedRecord { record, .. })) => {
                let dead = record.dead().or_else(|| row.connection.dead());
                let row_is_current = row.lineage == record.lineage().to_text();
                let may_use = row_is_current && ShopUse { dead, ..row.connection.use_of(found) }.is_allowed();
                (may_use, RecordState::Readable)
            }
            Err(error) if is_unreadable(&error) => {
                if row.connection.app.as_deref().is_some_and(|known| known != app) {
                    continue;
                }
                (false, RecordState::Unreadable)
            }
            Err(error) => return Err(error),
        };
        owners.push((Owner { key, may_use }, state));
    }
    Ok(owners)
}

/// Returns an owner whose row cannot be used. Returns `None` if the owner has no token record, or if its record belongs
/// to another app.
#[maybe_async]
async fn owner_without_row(
    effects: &impl Effects,
    key: ConnectionKey,
    app: &str,
) -> Result<Option<(Owner, RecordState)>, Error> {
    let state = match tokens::load_or_confirm_absence(effects, &key).await {
        Ok(None) => return Ok(None),
        Ok(Some(VersionedRecord { record, .. })) if record.app_key() != app => return Ok(None),
        Ok(Some(_)) => RecordState::WithoutUsableRow,
        Err(error) if is_unreadable(&error) => RecordState::Unreadable,
        Err(error) => return Err(error),
    };
    Ok(Some((Owner { key, may_use: false }, state)))
}

/// Returns whether a token record cannot be decrypted or decoded.
fn is_unreadable(error: &Error) -> bool {
    matches!(error.cause, Cause::TokenRecordTooNew | Cause::TokenRecordUnreadable | Cause::StorageRefused)
}

/// Writes the time at which the authorization ends (`end`) into the row. Writes nothing if the grant is dead, or if the
/// latest consent is newer than the event or than `end`, or if TikTok has renewed the tokens after `end`. Returns whether
/// the row was written.
#[maybe_async]
async fn announce(
    effects: &impl Effects,
    key: &ConnectionKey,
    occurred: Option<UnixSeconds>,
    end: UnixSeconds,
) -> Result<bool, Error> {
    let Some(stored) = tokens::load_linearizable(effects, key).await? else { return Ok(false) };
    let record = stored.record;
    let is_past = end < record.granted_at() || record.has_outlived(end);
    if record.dead().is_some() || is_past || occurred.is_some_and(|at| at < record.granted_at()) {
        return Ok(false);
    }
    let mut update = RowUpdate::shops(effects.wall(), ShopUpdate::Unread, Outcome::Unchanged);
    update.authorization_ends = Some(end);
    Ok(rows::write(effects, key, record.lineage(), &update).await?.is_some())
}
