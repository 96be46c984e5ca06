//! `receive-webhook`: checks the signature, says whom the event concerns, and records what it means for their connections.
//! No network: what needs TikTok is left to the next `refresh`.

use super::{credentials, rows, storage_error, tokens};
use crate::connection::{News, Outcome, ShopNews};
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::Effects;
use crate::rotation::Suspicion;
use crate::signing::Webhook;
use crate::time::UnixSeconds;
use crate::webhook::{MOST_BODY_BYTES, Meaning, Notification};
use alloc::vec::Vec;

/// What the event changed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// A `refresh` is due that verifies it.
    VerificationDue,
    /// The end of the authorization is shown.
    AuthorizationEnding,
}

/// A connection that knows the shop of an event.
pub struct Owner {
    /// Which.
    pub key: ConnectionKey,
    /// Whether its customer uses the shop.
    pub linked: bool,
}

/// An event, and whom it concerns.
pub struct Received {
    /// As TikTok sent it.
    pub notification: Notification,
    /// In the order of storage.
    pub owners: Vec<Owner>,
    /// What changed.
    pub effect: Effect,
}

/// Twice is once.
///
/// # Errors
/// - Invalid request: `webhook-signature-invalid`, `webhook-malformed`; nothing was written.
/// - Storage failed or lost every race, credentials failed: TikTok sends it again.
pub async fn receive_webhook(effects: &impl Effects, authorization: &[u8], body: &[u8]) -> Result<Received, Error> {
    if body.len() > MOST_BODY_BYTES {
        return Err(Error::new(Cause::WebhookMalformed));
    }
    let app = credentials(effects).await?;
    let signed = Webhook { app_key: &app.app_key, body, authorization };
    if signed.signed_with(&app.app_secret, app.previous_app_secret.as_ref()).is_none() {
        return Err(Error::new(Cause::WebhookSignatureInvalid));
    }
    let notification = Notification::read(body).ok_or_else(|| Error::new(Cause::WebhookMalformed))?;
    let owners = match &notification.shop {
        Some(shop) => owners(effects, shop).await?,
        None => Vec::new(),
    };
    let mut effect = Effect::None;
    let meaning = notification.meaning();
    for Owner { key, .. } in &owners {
        match meaning {
            Meaning::Nothing => {}
            Meaning::MayHaveEnded => match tokens::suspect(effects, key, notification.occurred).await? {
                Suspicion::New | Suspicion::Known => effect = Effect::VerificationDue,
                Suspicion::Void => {}
            },
            Meaning::Ends(end) => {
                if announce(effects, key, notification.occurred, end).await? {
                    effect = Effect::AuthorizationEnding;
                }
            }
        }
    }
    Ok(Received { notification, owners, effect })
}

/// The connections that know the shop; a row whose token record is gone is none.
async fn owners(effects: &impl Effects, shop: &str) -> Result<Vec<Owner>, Error> {
    let mut owners = Vec::new();
    for key in effects.owners(shop).await.map_err(storage_error)? {
        let row = effects.load_row(&key).await.map_err(storage_error)?;
        let shops = row.map(|entry| entry.value.connection.shops).unwrap_or_default();
        let Some(held) = shops.iter().find(|held| held.listed.id == shop) else { continue };
        let accounts = effects.accounts(&key.customer).await.map_err(storage_error)?;
        if accounts.contains(&key.account) {
            owners.push(Owner { key, linked: held.linked });
        }
    }
    Ok(owners)
}

/// Shows the end of a grant that lives, unless a consent came after the notice.
async fn announce(
    effects: &impl Effects,
    key: &ConnectionKey,
    occurred: Option<UnixSeconds>,
    end: UnixSeconds,
) -> Result<bool, Error> {
    let Some(held) = tokens::read_by_swap(effects, key).await? else { return Ok(false) };
    let record = held.record;
    if record.dead.is_some() || end < record.granted_at || occurred.is_some_and(|at| at < record.granted_at) {
        return Ok(false);
    }
    let mut news = News::shops(effects.now().wall, ShopNews::Unread, Outcome::Unchanged);
    news.ends = Some(end);
    Ok(rows::write(effects, key, record.lineage, &news).await?.is_some())
}
