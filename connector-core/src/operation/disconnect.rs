//! `disconnect`: ends connections. The call first reads which grants are stored, and ends only these grants. A consent
//! that is stored during the call stays. If the caller wants it, the call then asks TikTok to revoke the shops. Then it
//! deletes the token record, whatever TikTok answered. A refresh that is under way then finds no record and discards
//! its new tokens. Last, the call deletes the row.

use super::call::Target;
use super::tokens::{self, Deletion, Seen};
use super::{credentials, rows, storage_error};
use crate::connection::{Connection, Outcome, Row, RowUpdate, Shop, ShopGrant, ShopStanding, ShopUpdate};
use crate::credentials::Credentials;
use crate::endpoint::deauthorize;
use crate::error::{Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::Effects;
use crate::secret::ShopCipher;
use crate::time::Moment;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The account or shop to disconnect.
pub enum DisconnectTarget {
    /// An account with all its shops. `None` means every account of the customer.
    All(Option<AccountId>),
    /// One shop, given by its id, in every connection of the customer that contains the shop.
    Shop(String),
}

/// Whether to ask TikTok to revoke the shops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteGrant {
    /// TikTok is not asked. The seller can still remove the app in Seller Center.
    Keep,
    /// TikTok is asked, and sends the seller an e-mail.
    Revoke,
}

/// A shop that TikTok did not revoke although the caller wanted it. Perhaps TikTok was not even asked, for example
/// because no time was left.
pub struct NotRevoked {
    /// The account of the shop.
    pub account: AccountId,
    /// The id of the shop; `None` if the shops of this account are not known.
    pub shop: Option<String>,
    /// The reason why the shop was not revoked.
    pub error: Error,
}

/// The result of a disconnect.
#[derive(Default)]
pub struct Disconnected {
    /// The connections that continue without the shop.
    pub remaining: Vec<Connection>,
    /// The shops that TikTok did not revoke. In storage they are disconnected nevertheless.
    pub not_revoked: Vec<NotRevoked>,
}

/// From 20 s after its start, a call begins no new request to TikTok and no renewal of the tokens, so that time is left
/// for the deletion. A request that the call began earlier takes at most 30 s. It is sent a second time only if TikTok
/// refuses its timestamp because of a wrong clock, so it ends 80 s after the start at the latest. A renewal that the
/// call began earlier takes at most 50 s, so it ends 70 s after the start at the latest. With its default deadlines for
/// requests and saves, the reference host lets a call run for at least 105 s.
const REVOCATION_BUDGET: Duration = Duration::from_secs(20);

/// Ends connections of a customer. Idempotent.
///
/// # Errors
/// Storage failed, storage conflict. If the host calls again, the call deletes what is left.
pub async fn disconnect(
    effects: &impl Effects,
    customer: CustomerId,
    target: DisconnectTarget,
    remote: RemoteGrant,
) -> Result<Disconnected, Error> {
    let rows = effects.list_rows(&customer).await.map_err(storage_error)?;
    let mut revocation = match remote {
        RemoteGrant::Revoke => Some(Revocation::begin(effects).await),
        RemoteGrant::Keep => None,
    };
    let mut remaining = Vec::new();
    match target {
        DisconnectTarget::All(account) => {
            let mut found = Vec::new();
            for key in keys_of(effects, customer, account, &rows).await? {
                let seen = tokens::see(effects, &key).await?;
                found.push((key, seen));
            }
            for (key, seen) in found {
                if let Some(revocation) = &mut revocation {
                    let row = rows.iter().find(|row| row.connection.key == key);
                    revocation.revoke_all(effects, &key, row, &seen).await;
                }
                delete(effects, &key, &seen, remote).await?;
            }
        }
        DisconnectTarget::Shop(id) => {
            let mut found = Vec::new();
            for row in &rows {
                let Some(shop) = row.connection.shops.iter().find(|shop| shop.listed.id == id) else { continue };
                found.push((row, shop, tokens::see(effects, &row.connection.key).await?));
            }
            for (row, shop, seen) in found {
                let grant = match &mut revocation {
                    Some(revocation) => revocation.revoke(effects, row, shop, &seen).await,
                    None => ShopGrant::Kept,
                };
                let key = &row.connection.key;
                match unlink(effects, key, &id, grant, &seen).await? {
                    Some(left) => remaining.push(left),
                    None => delete(effects, key, &seen, remote).await?,
                }
            }
        }
    }
    let not_revoked = revocation.map(|revocation| revocation.failed).unwrap_or_default();
    Ok(Disconnected { remaining, not_revoked })
}

/// Returns the key of the connection to `account`, even if this connection does not exist. If `account` is `None`,
/// returns the key of every connection of the customer that has a record or a row.
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

/// Deletes the record, then the row. If the seller has consented again during this call, record and row stay.
async fn delete(effects: &impl Effects, key: &ConnectionKey, seen: &Seen, remote: RemoteGrant) -> Result<(), Error> {
    let deletion = tokens::delete(effects, key, seen).await?;
    if deletion == Deletion::Replaced && remote == RemoteGrant::Revoke {
        // TikTok may have revoked shops of the new consent, too. The next refresh finds out. This write makes the
        // refresh due now. If the write fails, the refresh only happens later.
        let _requested = tokens::request_verification(effects, key, None).await;
    }
    rows::delete_orphan(effects, key).await
}

/// Unlinks a shop of the grant in `seen`. Returns the connection if another of its shops is still linked, and `None`
/// otherwise. If the seller has consented again during this call, the shop stays linked.
async fn unlink(
    effects: &impl Effects,
    key: &ConnectionKey,
    id: &str,
    grant: ShopGrant,
    seen: &Seen,
) -> Result<Option<Connection>, Error> {
    let (lineage, granted_at) = match seen {
        Seen::Nothing => return Ok(None),
        Seen::Unreadable(_, error) => return Err(error.clone()),
        Seen::Grant { lineage, granted_at, .. } => (*lineage, *granted_at),
    };
    let shops = ShopUpdate::Unlinked { id: id.into(), grant, granted_at };
    let update = RowUpdate::shops(effects.now().wall, shops, Outcome::Unchanged);
    let left = rows::write(effects, key, lineage, &update).await?;
    let left = left.filter(|left| left.shops.iter().any(|shop| shop.linked));
    if left.is_some() && grant == ShopGrant::Revoked {
        // TikTok does not document whether it also revokes the other shops. The next refresh finds out. This write
        // makes the refresh due now. If the write fails, the refresh only happens later.
        let _requested = tokens::request_verification(effects, key, None).await;
    }
    Ok(left)
}

/// Asks TikTok to revoke shops, and collects the failures.
struct Revocation {
    began: Moment,
    app: Result<Credentials, Error>,
    failed: Vec<NotRevoked>,
}

impl Revocation {
    async fn begin(effects: &impl Effects) -> Self {
        Self { began: effects.now(), app: credentials(effects).await, failed: Vec::new() }
    }

    /// Asks TikTok to revoke every shop of a row.
    async fn revoke_all(&mut self, effects: &impl Effects, key: &ConnectionKey, row: Option<&Row>, seen: &Seen) {
        let shops = row.map(|row| row.connection.shops.as_slice()).unwrap_or_default();
        for (row, shop) in row.into_iter().flat_map(|row| shops.iter().map(move |shop| (row, shop))) {
            self.revoke(effects, row, shop, seen).await;
        }
        if shops.is_empty() {
            let error = Error::new(Cause::RevocationNotTried);
            self.failed.push(NotRevoked { account: key.account.clone(), shop: None, error });
        }
    }

    /// Asks TikTok to revoke one shop, unless TikTok has already said that the shop is no longer granted. Returns
    /// whether TikTok still grants the shop.
    async fn revoke(&mut self, effects: &impl Effects, row: &Row, shop: &Shop, seen: &Seen) -> ShopGrant {
        if shop.standing == ShopStanding::NoLongerGranted {
            return ShopGrant::Revoked;
        }
        match self.request(effects, row, shop, seen).await {
            Ok(()) => ShopGrant::Revoked,
            // The whole grant has ended, so the shop is also revoked.
            Err(error) if matches!(error.cause, Cause::AuthorizationRevoked | Cause::AuthorizationExpired) => {
                ShopGrant::Revoked
            }
            Err(error) => {
                let account = row.connection.key.account.clone();
                self.failed.push(NotRevoked { account, shop: Some(shop.listed.id.clone()), error });
                ShopGrant::Kept
            }
        }
    }

    /// Asks TikTok to revoke one shop.
    async fn request(&self, effects: &impl Effects, row: &Row, shop: &Shop, seen: &Seen) -> Result<(), Error> {
        let app = self.app.as_ref().map_err(Error::clone)?;
        let not_tried = || Error::new(Cause::RevocationNotTried);
        let in_time = || {
            let in_budget = effects.now().elapsed_since(&self.began) <= REVOCATION_BUDGET;
            if in_budget { Ok(()) } else { Err(not_tried()) }
        };
        in_time()?;
        // The row of a dead connection has no ciphers.
        let unusable = || row.connection.dead().map_or_else(not_tried, |reason| Error::new(reason.cause()));
        let cipher = shop.listed.cipher.as_ref().map(ShopCipher::duplicate).ok_or_else(unusable)?;
        let consent = match *seen {
            Seen::Grant { granted_at, .. } => Some(granted_at),
            Seen::Nothing | Seen::Unreadable(..) => None,
        };
        let target = Target::shop(row.connection.key.clone(), row.lineage.clone(), Some(cipher)).of_consent(consent);
        match target.exchange(effects, app, &deauthorize::request(), in_time).await {
            Ok(response) => deauthorize::read(&response),
            Err(error) if error.cause == Cause::UnknownShop => {
                Err(not_tried().with_note("the seller has consented again meanwhile"))
            }
            Err(error) => Err(error),
        }
    }
}
