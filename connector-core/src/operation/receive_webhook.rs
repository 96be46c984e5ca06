//! `receive-webhook`: checks the signature of an event, finds the connections that the event concerns, and records what
//! the event means for them. It uses no network. If TikTok must be asked, the next `refresh` does that.

use super::{credentials, rows, storage_error, tokens};
use crate::connection::{Outcome, RowUpdate, ShopUpdate};
use crate::credentials::Credentials;
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::Effects;
use crate::record::VerificationRequest;
use crate::signing::Webhook;
use crate::time::UnixSeconds;
use crate::webhook::{MAX_BODY_BYTES, Meaning, Notification, counts_as_handled};
use alloc::vec::Vec;

/// The change that an event has made to the stored connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookEffect {
    /// The event changed nothing.
    None,
    /// A `refresh` is now due. It verifies the event with TikTok.
    VerificationDue,
    /// The row now shows when the authorization ends.
    AuthorizationEnding,
}

/// A connection that knows the shop of an event.
pub struct Owner {
    /// The connection.
    pub key: ConnectionKey,
    /// Whether its customer has linked the shop.
    pub linked: bool,
}

/// An event and the connections that it concerns.
pub struct Received {
    /// The event as TikTok sent it.
    pub notification: Notification,
    /// The connections that know the shop, in the order in which storage lists them.
    pub owners: Vec<Owner>,
    /// The change that the event has made.
    pub effect: WebhookEffect,
}

/// Checks the signature of a webhook with the current and the previous app secret. A host calls this function before it
/// spends anything on a webhook, and the operation calls it again.
///
/// # Errors
/// Invalid request: `webhook-signature-invalid`.
pub fn check_signature(app: &Credentials, authorization: &[u8], body: &[u8]) -> Result<(), Error> {
    let signed = Webhook { app_key: &app.app_key, body, authorization };
    match signed.signed_with(&app.app_secret, app.previous_app_secret.as_ref()) {
        Some(_) => Ok(()),
        None => Err(Error::new(Cause::WebhookSignatureInvalid)),
    }
}

/// Receives one webhook. Idempotent. An event that [counts as handled](counts_as_handled) because of its age changes
/// nothing.
///
/// # Errors
/// - Invalid request: `webhook-signature-invalid`, `webhook-malformed`; nothing was written.
/// - Storage failed, storage conflict, misconfigured: the host must refuse the webhook, so that TikTok sends it again.
pub async fn receive_webhook(effects: &impl Effects, authorization: &[u8], body: &[u8]) -> Result<Received, Error> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Error::new(Cause::WebhookMalformed));
    }
    check_signature(&credentials(effects).await?, authorization, body)?;
    let notification = Notification::read(body).ok_or_else(|| Error::new(Cause::WebhookMalformed))?;
    let owners = match &notification.shop {
        Some(shop) => owners(effects, shop).await?,
        None => Vec::new(),
    };
    let mut effect = WebhookEffect::None;
    let is_old = counts_as_handled(notification.occurred, effects.now().wall);
    let meaning = if is_old { Meaning::Nothing } else { notification.meaning() };
    for Owner { key, .. } in &owners {
        match meaning {
            Meaning::Nothing => {}
            Meaning::MayHaveEnded => match tokens::request_verification(effects, key, notification.occurred).await? {
                VerificationRequest::New | VerificationRequest::Known => effect = WebhookEffect::VerificationDue,
                VerificationRequest::Void => {}
            },
            Meaning::Ends(end) => {
                if announce(effects, key, notification.occurred, end).await? {
                    effect = WebhookEffect::AuthorizationEnding;
                }
            }
        }
    }
    Ok(Received { notification, owners, effect })
}

/// Returns the connections that know the shop. A row without a token record is not a connection.
async fn owners(effects: &impl Effects, shop: &str) -> Result<Vec<Owner>, Error> {
    let mut owners = Vec::new();
    for key in effects.owners(shop).await.map_err(storage_error)? {
        let row = effects.load_row(&key).await.map_err(storage_error)?;
        let shops = row.map(|entry| entry.value.connection.shops).unwrap_or_default();
        let Some(found) = shops.iter().find(|known| known.listed.id == shop) else { continue };
        let accounts = effects.accounts(&key.customer).await.map_err(storage_error)?;
        if accounts.contains(&key.account) {
            owners.push(Owner { key, linked: found.linked });
        }
    }
    Ok(owners)
}

/// Writes the time at which the authorization ends (`end`) into the row. Writes nothing if the grant is dead, or if its
/// latest consent is newer than the event or than `end`. Returns whether the row was written.
async fn announce(
    effects: &impl Effects,
    key: &ConnectionKey,
    occurred: Option<UnixSeconds>,
    end: UnixSeconds,
) -> Result<bool, Error> {
    let Some(stored) = tokens::load_linearizable(effects, key).await? else { return Ok(false) };
    let record = stored.record;
    if record.dead().is_some() || end < record.granted_at() || occurred.is_some_and(|at| at < record.granted_at()) {
        return Ok(false);
    }
    let mut update = RowUpdate::shops(effects.now().wall, ShopUpdate::Unread, Outcome::Unchanged);
    update.authorization_ends = Some(end);
    Ok(rows::write(effects, key, record.lineage(), &update).await?.is_some())
}
