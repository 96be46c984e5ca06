//! `disconnect`: ends connections. The call first reads which grants are stored, and ends only these grants. A consent
//! that is stored during the call stays. If the caller asks for a revocation, the call then asks TikTok to revoke the
//! shops. A revocation needs the shop's cipher, so if a cipher is missing, the call first reads the shops from TikTok.
//! After that, the call deletes the token record, whatever TikTok answered. A refresh that is under way then finds no
//! record and discards its new tokens. Last, the call deletes the row.

use super::apps::Apps;
use super::call::Target;
use super::tokens::{self, Deletion, Seen};
use super::{rows, storage_error};
use crate::connection::{Connection, Outcome, Row, RowUpdate, Shop, ShopGrant, ShopList, ShopStanding, ShopUpdate};
use crate::endpoint::{business, deauthorize, shops};
use crate::error::{Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::{Effects, ListedRow};
use crate::record::{ConsentTime, DeadReason};
use crate::secret::ShopCipher;
use crate::time::Moment;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use maybe_async::maybe_async;

/// The account or shop to disconnect.
pub enum DisconnectTarget {
    /// An account with all its shops. `None` means every account of the customer.
    All(Option<AccountId>),
    /// One shop, given by its id, in every connection of the customer that contains the shop.
    Shop(String),
}

/// A [`DisconnectTarget`] as texts, so that a host can ask what a disconnect of the target means without a copy of its
/// ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetText<'a> {
    /// An account with all its shops. `None` means every account of the customer.
    All(Option<&'a str>),
    /// One shop, given by its id.
    Shop(&'a str),
}

impl<'a> TargetText<'a> {
    /// Returns whether the target names a connection to this account that contains these shops.
    #[must_use]
    pub fn names(self, account: &str, shops: impl IntoIterator<Item = &'a str>) -> bool {
        match self {
            Self::All(only) => only.is_none_or(|only| only == account),
            Self::Shop(id) => shops.into_iter().any(|shop| shop == id),
        }
    }

    /// Returns whether a revocation of the target asks TikTok to revoke this stored shop of this account. Every other
    /// customer whose connection contains the shop loses it, too. `dead` is the reason why the connection is dead. A
    /// revocation sends nothing for a dead connection, so nobody loses its shops.
    #[must_use]
    pub fn revokes(self, account: &str, dead: Option<DeadReason>, shop: &'a str, standing: ShopStanding) -> bool {
        self.names(account, [shop]) && dead.is_none() && standing.can_be_revoked()
    }
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
#[maybe_async]
pub async fn disconnect(
    effects: &impl Effects,
    customer: CustomerId,
    target: DisconnectTarget,
    remote: RemoteGrant,
) -> Result<Disconnected, Error> {
    let (mut rows, mut unusable) = (Vec::new(), Vec::new());
    for ListedRow { account, row } in effects.list_rows(&customer).await.map_err(storage_error)? {
        match row {
            Ok(row) => rows.push(row),
            Err(error) => unusable.push((account, error)),
        }
    }
    let mut revocation = match remote {
        RemoteGrant::Revoke => Some(Revocation::begin(effects)),
        RemoteGrant::Keep => None,
    };
    let mut remaining = Vec::new();
    match target {
        DisconnectTarget::All(account) => {
            let mut found = Vec::new();
            let accounts = rows.iter().map(|row| &row.connection.key.account);
            let with_row: Vec<_> = accounts.chain(unusable.iter().map(|(account, _)| account)).cloned().collect();
            for key in keys_of(effects, customer, account, with_row).await? {
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
                let key = &row.connection.key;
                let grant = match &mut revocation {
                    Some(revocation) => revocation.revoke_one(effects, row, shop, &seen).await,
                    None => ShopGrant::Kept,
                };
                match unlink(effects, key, &id, grant, &seen).await? {
                    Some(left) => remaining.push(left),
                    None => delete(effects, key, &seen, remote).await?,
                }
            }
            // The shop may also be in a row that cannot be used.
            if let Some((_, error)) = unusable.into_iter().next() {
                return Err(storage_error(error));
            }
        }
    }
    let not_revoked = revocation.map(|revocation| revocation.failed).unwrap_or_default();
    Ok(Disconnected { remaining, not_revoked })
}

/// Returns the key of the connection to `account`, even if this connection does not exist. If `account` is `None`,
/// returns the key of every connection of the customer that has a record or a row.
#[maybe_async]
async fn keys_of(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
    with_row: Vec<AccountId>,
) -> Result<Vec<ConnectionKey>, Error> {
    if let Some(account) = account {
        return Ok(Vec::from([ConnectionKey { customer, account }]));
    }
    let accounts = effects.accounts(&customer).await.map_err(storage_error)?;
    let mut keys: Vec<_> =
        accounts.into_iter().map(|account| ConnectionKey { customer: customer.clone(), account }).collect();
    for account in with_row {
        let key = ConnectionKey { customer: customer.clone(), account };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Deletes the record, then the row. If the seller has consented again during this call, record and row stay.
#[maybe_async]
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
#[maybe_async]
async fn unlink(
    effects: &impl Effects,
    key: &ConnectionKey,
    id: &str,
    grant: ShopGrant,
    seen: &Seen,
) -> Result<Option<Connection>, Error> {
    let (lineage, consent) = match seen {
        Seen::Nothing => return Ok(None),
        Seen::Unreadable(_, error) => return Err(error.clone()),
        Seen::Grant { lineage, consent, .. } => (*lineage, *consent),
    };
    let shops = ShopUpdate::Unlinked { id: id.into(), grant, consent };
    let update = RowUpdate::shops(effects.wall(), shops, Outcome::Unchanged);
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
    apps: Apps,
    failed: Vec<NotRevoked>,
}

#[maybe_async]
impl Revocation {
    fn begin(effects: &impl Effects) -> Self {
        Self { began: effects.now(), apps: Apps::default(), failed: Vec::new() }
    }

    /// Asks TikTok to revoke every shop of a connection. If a shop has no cipher, or if no shop is known, this function
    /// first reads TikTok's list of shops. It then also asks TikTok to revoke the shops that are only in this list.
    async fn revoke_all(&mut self, effects: &impl Effects, key: &ConnectionKey, row: Option<&Row>, seen: &Seen) {
        let shops = row.map(|row| row.connection.shops.as_slice()).unwrap_or_default();
        let listed = match row {
            Some(row) => self.list_for(effects, row, shops, seen).await,
            None => self.list_without_row(effects, key, seen).await,
        };
        for (row, shop) in row.into_iter().flat_map(|row| shops.iter().map(move |shop| (row, shop))) {
            self.revoke(effects, row, shop, seen, &listed).await;
        }
        let lineage = lineage_of(row, seen);
        let unknown = |id: &str| shops.iter().all(|shop| shop.listed.id != id);
        let mut asked = 0_usize;
        if let (Listed::Read(list), Some(lineage)) = (&listed, lineage) {
            for shop in list.shops.iter().filter(|shop| unknown(&shop.id)) {
                asked += 1;
                let cipher = shop.cipher.as_ref().map(ShopCipher::duplicate).ok_or_else(without_cipher);
                let outcome = match cipher {
                    Ok(cipher) => self.request(effects, key, &lineage, cipher, seen).await,
                    Err(error) => Err(error),
                };
                self.note(key, Some(&shop.id), outcome);
            }
        }
        if shops.is_empty() && asked == 0 {
            match listed {
                // TikTok's complete list is empty, so TikTok grants no shop.
                Listed::Read(list) if list.unreadable == 0 => {}
                Listed::Failed(error) => {
                    self.note(key, None, Err(error));
                }
                Listed::Read(_) | Listed::NotNeeded => {
                    self.note(key, None, Err(Error::new(Cause::RevocationNotTried)));
                }
            }
        }
    }

    /// Asks TikTok to revoke one shop of a row. If the row has no cipher of the shop, this function first reads
    /// TikTok's list of shops, which contains the ciphers. Returns whether TikTok still grants the shop.
    async fn revoke_one(&mut self, effects: &impl Effects, row: &Row, shop: &Shop, seen: &Seen) -> ShopGrant {
        let listed = self.list_for(effects, row, core::slice::from_ref(shop), seen).await;
        self.revoke(effects, row, shop, seen, &listed).await
    }

    /// Asks TikTok to revoke one shop, unless TikTok has already said that the shop is no longer granted, or the
    /// connection is dead. Returns whether TikTok still grants the shop.
    async fn revoke(
        &mut self,
        effects: &impl Effects,
        row: &Row,
        shop: &Shop,
        seen: &Seen,
        listed: &Listed,
    ) -> ShopGrant {
        if !shop.standing.can_be_revoked() {
            return ShopGrant::Revoked;
        }
        let key = &row.connection.key;
        let outcome = match (row.connection.dead(), cipher_of(shop, listed)) {
            (Some(reason), _) => Err(Error::new(reason.cause())),
            (None, CipherFound::Cipher(cipher)) => self.request(effects, key, &row.lineage, cipher, seen).await,
            (None, CipherFound::NotListed) => Ok(()),
            (None, CipherFound::Missing(error)) => Err(error),
        };
        self.note(key, Some(&shop.listed.id), outcome)
    }

    /// If a revocation failed, adds its error to the result of the operation, unless the whole grant has ended. Returns
    /// whether TikTok still grants the shop.
    fn note(&mut self, key: &ConnectionKey, shop: Option<&str>, outcome: Result<(), Error>) -> ShopGrant {
        match outcome {
            Ok(()) => ShopGrant::Revoked,
            // The whole grant has ended, so the shop is also revoked.
            Err(error) if matches!(error.cause, Cause::AuthorizationRevoked | Cause::AuthorizationExpired) => {
                ShopGrant::Revoked
            }
            Err(error) => {
                self.failed.push(NotRevoked { account: key.account.clone(), shop: shop.map(Into::into), error });
                ShopGrant::Kept
            }
        }
    }

    /// Reads TikTok's list of shops if the connection is alive, and if `shops` is empty or contains a shop without a
    /// cipher. A shop that TikTok no longer grants needs no cipher.
    async fn list_for(&mut self, effects: &impl Effects, row: &Row, shops: &[Shop], seen: &Seen) -> Listed {
        let lacks = |shop: &Shop| shop.standing.can_be_revoked() && shop.listed.cipher.is_none();
        if row.connection.dead().is_some() || !(shops.is_empty() || shops.iter().any(lacks)) {
            return Listed::NotNeeded;
        }
        self.list(effects, &row.connection.key, row.lineage.clone(), seen).await
    }

    /// Reads TikTok's list of shops for a connection that has a token record but no row. Reads nothing if the lineage
    /// of the record is unknown.
    async fn list_without_row(&mut self, effects: &impl Effects, key: &ConnectionKey, seen: &Seen) -> Listed {
        match lineage_of(None, seen) {
            Some(lineage) => self.list(effects, key, lineage, seen).await,
            None => Listed::NotNeeded,
        }
    }

    async fn list(&mut self, effects: &impl Effects, key: &ConnectionKey, lineage: String, seen: &Seen) -> Listed {
        match self.read_list(effects, key, lineage, seen).await {
            Ok(list) => Listed::Read(list),
            Err(error) => Listed::Failed(error),
        }
    }

    async fn read_list(
        &mut self,
        effects: &impl Effects,
        key: &ConnectionKey,
        lineage: String,
        seen: &Seen,
    ) -> Result<ShopList, Error> {
        let target = Target::shop(key.clone(), lineage, None).of_consent(consent_of(seen));
        let response = self.exchange(effects, &target, &shops::business_request()).await?;
        let app = match seen {
            Seen::Grant { app_key, .. } => Some(self.apps.of(app_key)?),
            Seen::Nothing | Seen::Unreadable(..) => None,
        };
        let secret = app.map(|app| app.app_secret.expose()).unwrap_or_default();
        shops::read_business(response, &[secret]).map_err(|fault| without_cipher_because(fault.error.cause))
    }

    /// Asks TikTok to revoke the shop to which this cipher belongs.
    async fn request(
        &mut self,
        effects: &impl Effects,
        key: &ConnectionKey,
        lineage: &str,
        cipher: ShopCipher,
        seen: &Seen,
    ) -> Result<(), Error> {
        let target = Target::shop(key.clone(), lineage.into(), Some(cipher)).of_consent(consent_of(seen));
        deauthorize::read(&self.exchange(effects, &target, &deauthorize::request()).await?)
    }

    /// Sends a request. Fails without sending it if more than [`REVOCATION_BUDGET`] has passed since the revocation
    /// began.
    async fn exchange(
        &mut self,
        effects: &impl Effects,
        target: &Target,
        request: &business::BusinessRequest,
    ) -> Result<business::BusinessResponse, Error> {
        let Self { began, apps, .. } = self;
        let in_time = || {
            let in_budget = effects.now().elapsed_since(began) <= REVOCATION_BUDGET;
            if in_budget { Ok(()) } else { Err(Error::new(Cause::RevocationNotTried)) }
        };
        in_time()?;
        target.exchange(effects, apps, request, in_time).await.map_err(|error| {
            if error.cause == Cause::UnknownShop {
                Error::new(Cause::RevocationNotTried).with_note("the seller has consented again meanwhile")
            } else {
                error
            }
        })
    }
}

/// The result of reading TikTok's list of shops. The list is needed if a cipher is missing or if no shop is known.
enum Listed {
    /// The list was not read: every cipher is known, the connection is dead, or the lineage is unknown.
    NotNeeded,
    /// TikTok's list.
    Read(ShopList),
    /// The list could not be read. Each revocation that needs the list fails with this error.
    Failed(Error),
}

/// The result of looking for the cipher of a shop. A revocation needs the cipher.
enum CipherFound {
    Cipher(ShopCipher),
    /// TikTok's complete list does not contain the shop, so TikTok no longer grants it.
    NotListed,
    Missing(Error),
}

/// Returns the cipher of a shop: from the row, or if the row has no cipher of the shop, from TikTok's list.
fn cipher_of(shop: &Shop, listed: &Listed) -> CipherFound {
    if let Some(cipher) = &shop.listed.cipher {
        return CipherFound::Cipher(cipher.duplicate());
    }
    match listed {
        Listed::NotNeeded => CipherFound::Missing(without_cipher()),
        Listed::Failed(error) => CipherFound::Missing(error.clone()),
        Listed::Read(list) => match list.shops.iter().find(|listed| listed.id == shop.listed.id) {
            Some(listed) => match &listed.cipher {
                Some(cipher) => CipherFound::Cipher(cipher.duplicate()),
                None => CipherFound::Missing(without_cipher()),
            },
            None if list.unreadable == 0 => CipherFound::NotListed,
            None => CipherFound::Missing(without_cipher()),
        },
    }
}

/// Returns the lineage of the grant that is disconnected. Returns `None` if the lineage is unknown.
fn lineage_of(row: Option<&Row>, seen: &Seen) -> Option<String> {
    match (row, seen) {
        (Some(row), _) => Some(row.lineage.clone()),
        (None, Seen::Grant { lineage, .. }) => Some(lineage.to_text()),
        (None, Seen::Nothing | Seen::Unreadable(..)) => None,
    }
}

/// Returns the time of the consent whose grant is disconnected. Returns `None` if the time is unknown.
const fn consent_of(seen: &Seen) -> Option<ConsentTime> {
    match *seen {
        Seen::Grant { consent, .. } => Some(consent),
        Seen::Nothing | Seen::Unreadable(..) => None,
    }
}

fn without_cipher() -> Error {
    Error::new(Cause::RevocationNotTried).with_note("the shop has no cipher")
}

fn without_cipher_because(cause: Cause) -> Error {
    Error::new(Cause::RevocationNotTried).with_note(&format!("the list of shops could not be read: {}", cause.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_revokes_its_own_shops_that_tiktok_still_grants() {
        use DeadReason::{AuthorizationExpired, AuthorizationRevoked, RefreshOutcomeUnknown};
        use ShopStanding::{Granted, Inactive, NoLongerGranted, Unconfirmed};

        for (target, account, shop, expected) in [
            (TargetText::All(None), "a", "1", true),
            (TargetText::All(Some("a")), "a", "1", true),
            (TargetText::All(Some("a")), "b", "1", false),
            (TargetText::Shop("1"), "a", "1", true),
            (TargetText::Shop("1"), "b", "1", true),
            (TargetText::Shop("1"), "a", "2", false),
        ] {
            for standing in [Granted, Inactive, Unconfirmed] {
                assert_eq!(target.revokes(account, None, shop, standing), expected, "{target:?} {account} {shop}");
                for dead in [AuthorizationExpired, AuthorizationRevoked, RefreshOutcomeUnknown] {
                    assert!(!target.revokes(account, Some(dead), shop, standing), "{target:?} {account} {shop}");
                }
            }
            assert!(!target.revokes(account, None, shop, NoLongerGranted), "{target:?} {account} {shop}");
        }
        assert!(TargetText::Shop("2").names("a", ["1", "2"]));
        assert!(!TargetText::Shop("3").names("a", ["1", "2"]));
        assert!(TargetText::All(Some("a")).names("a", []), "an account without shops is named, too");
    }
}
