//! `disconnect`: TikTok is asked to take the shops back, if wanted; then, whatever it said, the token record goes, so that
//! a refresh in flight finds nothing and discards its pair; then the row.

use super::call::Target;
use super::{credentials, rows, storage_error, tokens};
use crate::connection::{Connection, News, Outcome, Row, Shop, ShopNews, ShopStanding};
use crate::endpoint::deauthorize;
use crate::error::{Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::{Credentials, Effects};
use crate::secret::ShopCipher;
use crate::time::Moment;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// What is to end.
pub enum Ending {
    /// The account with all its shops; none: every account of the customer.
    All(Option<AccountId>),
    /// One shop, in every connection of the customer that knows it.
    Shop(String),
}

/// Whether TikTok is asked to take the shops back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteGrant {
    /// No: the seller can still remove the app in Seller Center.
    Keep,
    /// Yes, and the seller gets an e-mail.
    Revoke,
}

/// A shop that TikTok was to take back, and did not.
pub struct NotRevoked {
    /// Of which account.
    pub account: AccountId,
    /// None: the shops of this account are not known.
    pub shop: Option<String>,
    /// Why.
    pub error: Error,
}

/// What came of it.
#[derive(Default)]
pub struct Disconnected {
    /// Connections that go on without the shop.
    pub remaining: Vec<Connection>,
    /// The local side is done all the same.
    pub not_revoked: Vec<NotRevoked>,
}

/// TikTok is asked for nothing more after this time, so that the deletion has some left: a request that was begun by then
/// is over after 80 s, repeated for a wrong clock, a renewal after 70 s, and a host ends a call after 105 s at the earliest.
const ASKING: Duration = Duration::from_secs(20);

/// Ends connections of a customer. Twice is once.
///
/// # Errors
/// Storage failed or lost every race: what was not deleted is deleted by a repetition.
pub async fn disconnect(
    effects: &impl Effects,
    customer: CustomerId,
    ending: Ending,
    remote: RemoteGrant,
) -> Result<Disconnected, Error> {
    let rows = effects.list_rows(&customer).await.map_err(storage_error)?;
    let mut revocation = match remote {
        RemoteGrant::Revoke => Some(Revocation::begin(effects).await),
        RemoteGrant::Keep => None,
    };
    let mut remaining = Vec::new();
    match ending {
        Ending::All(account) => {
            for key in keys_of(effects, customer, account, &rows).await? {
                if let Some(revocation) = &mut revocation {
                    let row = rows.iter().find(|row| row.connection.key == key);
                    revocation.all(effects, &key, row).await;
                }
                end(effects, &key).await?;
            }
        }
        Ending::Shop(id) => {
            for row in &rows {
                let Some(shop) = row.connection.shops.iter().find(|shop| shop.listed.id == id) else { continue };
                let revoked = match &mut revocation {
                    Some(revocation) => revocation.one(effects, row, shop).await,
                    None => false,
                };
                remaining.extend(unlink(effects, &row.connection.key, &id, revoked).await?);
            }
        }
    }
    let not_revoked = revocation.map(|revocation| revocation.failed).unwrap_or_default();
    Ok(Disconnected { remaining, not_revoked })
}

/// What has a record or a row.
async fn keys_of(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
    rows: &[Row],
) -> Result<Vec<ConnectionKey>, Error> {
    if let Some(account) = account {
        return Ok(Vec::from([ConnectionKey { customer, account }]));
    }
    let accounts = effects.accounts(&customer).await.map_err(storage_error)?;
    let mut keys: Vec<_> =
        accounts.into_iter().map(|account| ConnectionKey { customer: customer.clone(), account }).collect();
    for row in rows {
        if !keys.contains(&row.connection.key) {
            keys.push(row.connection.key.clone());
        }
    }
    Ok(keys)
}

async fn end(effects: &impl Effects, key: &ConnectionKey) -> Result<(), Error> {
    tokens::delete(effects, key).await?;
    rows::delete_orphan(effects, key).await
}

/// The connection without the shop; none where it was the last one linked, and the connection ended with it.
async fn unlink(
    effects: &impl Effects,
    key: &ConnectionKey,
    id: &str,
    revoked: bool,
) -> Result<Option<Connection>, Error> {
    if let Some(held) = tokens::load_surely(effects, key).await? {
        let shops = ShopNews::Unlinked { id: id.into(), revoked };
        let news = News::shops(effects.now().wall, shops, Outcome::Unchanged);
        let left = rows::write(effects, key, held.record.lineage, &news).await?;
        if left.as_ref().is_some_and(|left| left.shops.iter().any(|shop| shop.linked)) {
            if revoked {
                // What becomes of the other shops is not documented: the next refresh finds out. If this is not
                // recorded, it does so in its own time.
                let _recorded = tokens::suspect(effects, key, None).await;
            }
            return Ok(left);
        }
        if left.is_some() {
            tokens::delete(effects, key).await?;
        }
    }
    // Whose tokens are gone; those of a consent that came meanwhile are not touched.
    rows::delete_orphan(effects, key).await?;
    Ok(None)
}

/// Asks TikTok to take shops back, and keeps what it did not.
struct Revocation {
    began: Moment,
    app: Result<Credentials, Error>,
    failed: Vec<NotRevoked>,
}

impl Revocation {
    async fn begin(effects: &impl Effects) -> Self {
        Self { began: effects.now(), app: credentials(effects).await, failed: Vec::new() }
    }

    async fn all(&mut self, effects: &impl Effects, key: &ConnectionKey, row: Option<&Row>) {
        let shops = row.map(|row| row.connection.shops.as_slice()).unwrap_or_default();
        for (row, shop) in row.into_iter().flat_map(|row| shops.iter().map(move |shop| (row, shop))) {
            self.one(effects, row, shop).await;
        }
        if shops.is_empty() {
            let error = Error::new(Cause::RevocationNotTried);
            self.failed.push(NotRevoked { account: key.account.clone(), shop: None, error });
        }
    }

    /// Whether TikTok has taken the shop back.
    async fn one(&mut self, effects: &impl Effects, row: &Row, shop: &Shop) -> bool {
        if shop.standing == ShopStanding::NoLongerGranted {
            return true;
        }
        match self.ask(effects, row, shop).await {
            Ok(()) => true,
            // The whole grant is gone: nothing is left to take back.
            Err(error) if matches!(error.cause, Cause::AuthorizationRevoked | Cause::AuthorizationExpired) => true,
            Err(error) => {
                let account = row.connection.key.account.clone();
                self.failed.push(NotRevoked { account, shop: Some(shop.listed.id.clone()), error });
                false
            }
        }
    }

    async fn ask(&self, effects: &impl Effects, row: &Row, shop: &Shop) -> Result<(), Error> {
        let app = self.app.as_ref().map_err(Error::clone)?;
        let not_tried = || Error::new(Cause::RevocationNotTried);
        let in_time = || {
            let asking = effects.now().elapsed_since(&self.began) <= ASKING;
            if asking { Ok(()) } else { Err(not_tried()) }
        };
        in_time()?;
        let cipher = shop.listed.cipher.as_ref().map(ShopCipher::duplicate).ok_or_else(not_tried)?;
        let target = Target::shop(row.connection.key.clone(), row.lineage.clone(), Some(cipher));
        deauthorize::read(&target.ask(effects, app, &deauthorize::request(), in_time).await?)
    }
}
