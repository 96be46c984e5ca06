//! Handles an install from TikTok's App Store, in two steps.
//!
//! The callback of such an install has no state, so it proves nothing about the person in whose browser it arrives. An
//! attacker can send somebody else's browser to the callback with a code of the attacker's own account. So the first
//! step attaches nothing: [`begin_install`](ConnectorHost::begin_install) exchanges the code, stores the tokens sealed,
//! and returns the seller and the shops. The platform shows them to the signed-in customer. If the customer says that
//! these are their shops, [`confirm_install`](ConnectorHost::confirm_install) makes the connection.
//!
//! The code is exchanged in the first step, because TikTok names the seller only together with the tokens, and because
//! a code is valid for a short time only.

use std::time::Duration;

use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use tiktok_shop_connector_core::callback::read_install;
use tiktok_shop_connector_core::error::{Cause as CoreCause, Error as CoreError};
use tokio::time::Instant;
use tracing::Instrument as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::connect::Grant;
use crate::connection::{Connection, ConnectionKey, ShopPolicy, UnixSeconds};
use crate::consent::{BrowserSession, digest_of_install};
use crate::error::{Action, CallError, ConnectorError};
use crate::events::{Cause, EventKind, NewEvent};
use crate::guest::{Operation, Scope, Secrets, read_all};
use crate::host::ConnectorHost;
use crate::id::{AccountId, AppKey, CustomerId, ShopId, TenantId};
pub use crate::install_tokens::InstallTokens;
use crate::seal::{InstallSeal, name_of_install};
use crate::secret::Secret;
use crate::storage::{
    HostStorage, InstallDigest, InstallRecord, OnceDigest, RetryBackoff, StorageError, StoredInstall, run_within,
};

/// An install can be confirmed within this time after its start: 30 minutes.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// The minimum number of attempts to store or close an install. A storage that hangs may use up the whole time of the first
/// attempt, and the next attempt may get another connection.
const MIN_ATTEMPTS: u32 = 3;
/// The number of hexadecimal digits in an [`InstallId`].
const ID_DIGITS: usize = 64;
/// The version of [`Content`].
const VERSION: u8 = 1;

/// The id of a pending install. It is useful only in the browser session in which the install began. Put it into the
/// form with which the customer confirms. Nobody who lacks the secret of the session can calculate the id, so a foreign
/// page can't send the form. `Debug` prints `[redacted]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallId(Secret);

impl InstallId {
    /// Reads the text of an id. Returns `None` if the text is not 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then(|| Self(text.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn digest(&self) -> InstallDigest {
        InstallDigest::of(&self.0)
    }
}

/// An install that nobody has confirmed yet. Show the seller and the shops to the customer, and ask whether these are
/// theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingInstall {
    /// The id with which the customer confirms or cancels.
    pub id: InstallId,
    /// The app that the seller has installed.
    pub app: AppKey,
    /// The account of the seller.
    pub account: AccountId,
    /// The display name of the seller.
    pub seller_name: String,
    /// The region of the seller account. Its shops may have other regions.
    pub seller_base_region: String,
    /// The scopes that the seller has granted to the app.
    pub granted_scopes: Vec<String>,
    /// The shops that TikTok lists for the seller.
    pub shops: Vec<InstallShop>,
}

/// A shop of a pending install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallShop {
    /// The id of the shop.
    pub id: ShopId,
    /// The display name of the shop.
    pub name: String,
    /// The region of the shop.
    pub region: String,
    /// `LOCAL`, `CROSS_BORDER`, or a value that TikTok adds in the future.
    pub seller_type: String,
    /// The code that the seller sees in Seller Center.
    pub code: String,
}

/// Why an install did not begin, or was not confirmed. Nothing was attached, except in
/// [`confirm_install`](ConnectorHost::confirm_install): after [`InstallError::Call`], the error says what happened, and
/// after [`InstallError::Storage`], the connection may exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// No install with this id waits for this tenant. It was cancelled, it is older than 30 minutes, or it belongs to
    /// another tenant. Let the customer install the app again, or begin a consent.
    #[error("no install with this id waits for a confirmation")]
    Unknown,
    /// The install began in another browser session. Ask the customer to confirm it there.
    #[error("this install began in another browser session")]
    OtherBrowser,
    /// The install was shown to another customer in this session. Ask this customer to sign in again.
    #[error("this install was shown to another customer")]
    OtherCustomer,
    /// The install is confirmed already. Show the connection.
    #[error("this install is confirmed already")]
    Confirmed,
    /// The install began more than 30 minutes ago, and its tokens are deleted. Let the customer install the app again,
    /// or begin a consent.
    #[error("this install began more than 30 minutes ago")]
    Expired,
    /// The code is spent, and its tokens could not be stored. Let the customer install the app again, or begin a
    /// consent.
    #[error("the code is spent, and its tokens could not be stored: {0}")]
    NotStored(StorageError),
    /// The storage failed. Make the same call again.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The call to the connector failed. If the error says to call again, make the same call again.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl InstallError {
    /// Returns what the caller does next, if the error is the host's own. `None` if the error of the storage or of the
    /// call decides.
    #[must_use]
    pub const fn own_action(&self) -> Option<Action> {
        match self {
            // The code is spent, so only a new install or a consent helps.
            Self::Unknown | Self::Expired | Self::NotStored(_) => Some(Action::Reauthorize),
            Self::OtherBrowser | Self::OtherCustomer | Self::Confirmed => Some(Action::InvalidRequest),
            Self::Storage(_) | Self::Call(_) => None,
        }
    }

    /// Returns a short name of the error, for counting and for programs: the code of the connector's error, or a word
    /// for the host's own error.
    #[must_use]
    pub fn code(&self) -> &str {
        if let Self::Call(error) = self { error.code() } else { self.known_code() }
    }

    /// Returns the code as a label of a metric: see [`CallError::known_code`].
    #[must_use]
    pub fn known_code(&self) -> &'static str {
        match self {
            Self::Unknown => "install-unknown",
            Self::OtherBrowser => "other-browser",
            Self::OtherCustomer => "other-customer",
            Self::Confirmed => "install-confirmed",
            Self::Expired => "install-expired",
            Self::NotStored(_) => "install-not-stored",
            Self::Storage(_) => "storage-failed",
            Self::Call(error) => error.known_code(),
        }
    }
}

/// The answer of `exchange-install`.
#[derive(Debug)]
pub(crate) struct ExchangedInstall {
    pub(crate) app: AppKey,
    pub(crate) account: AccountId,
    pub(crate) seller_name: String,
    pub(crate) seller_base_region: String,
    pub(crate) granted_scopes: Vec<String>,
    pub(crate) tokens: InstallTokens,
}

/// A pending install as it is sealed and stored.
struct Content {
    customer: CustomerId,
    install: ExchangedInstall,
}

/// The form of [`Content`]. Later versions may add members.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Wire {
    version: u8,
    customer: CustomerId,
    app: AppKey,
    account: AccountId,
    seller_name: String,
    seller_base_region: String,
    granted_scopes: Vec<String>,
    /// Hexadecimal digits.
    tokens: String,
}

impl Content {
    /// Returns the bytes to seal.
    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let ExchangedInstall { app, account, seller_name, seller_base_region, granted_scopes, tokens } = &self.install;
        let mut wire = Wire {
            version: VERSION,
            customer: self.customer.clone(),
            app: app.clone(),
            account: account.clone(),
            seller_name: seller_name.clone(),
            seller_base_region: seller_base_region.clone(),
            granted_scopes: granted_scopes.clone(),
            tokens: hex::encode(tokens.expose()),
        };
        let bytes = serde_json::to_vec(&wire).map(Zeroizing::new);
        wire.tokens.zeroize();
        bytes
    }

    /// Reads the bytes that were sealed. Returns `None` if a newer version of the host wrote them.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(bytes).ok()?;
        let Wire { version, customer, app, account, seller_name, seller_base_region, granted_scopes, tokens } = wire;
        let digits = Zeroizing::new(tokens);
        let tokens = InstallTokens::from(hex::decode(&*digits).ok().filter(|_| version == VERSION)?);
        let install = ExchangedInstall { app, account, seller_name, seller_base_region, granted_scopes, tokens };
        Some(Self { customer, install })
    }
}

/// The customer and the session of an install, and the tenant for which it begins.
#[derive(Clone)]
struct Visit {
    tenant: TenantId,
    customer: CustomerId,
    browser: BrowserSession,
}

impl ConnectorHost {
    /// Begins an install of an app of the tenant from TikTok's App Store. `app` is the app that the seller installed;
    /// `None` means the tenant's only app. `query` is the text after the `?` of the callback's address, unchanged. Call
    /// this function after the customer has signed in, with the session of this sign-in.
    ///
    /// The function exchanges the code, stores the tokens sealed, and then reads the shops. It attaches nothing. The
    /// result can be confirmed for 30 minutes, by the same customer in the same session. If the function is called
    /// again with the same query, for example because the customer reloads the page, it sends no code and returns the
    /// same install.
    ///
    /// If the shops cannot be read, the function fails and returns no id, so nobody can confirm shops that were not
    /// shown. The tokens stay stored: call the function again with the same query.
    ///
    /// Each install causes one event [`EventKind::InstallBegun`]. If the event can't be stored, the function fails and
    /// returns no id. The tokens stay stored in this case, too.
    ///
    /// If the caller drops the future, the exchange and the write continue.
    ///
    /// # Errors
    /// See [`InstallError`]. If this process ends between TikTok's answer and the write, the grant is lost: the code is
    /// spent, and a repetition fails with the code `authorization-code-spent`.
    pub async fn begin_install(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        app: Option<&AppKey>,
        browser: &BrowserSession,
        query: Secret,
    ) -> Result<PendingInstall, InstallError> {
        let refused = |error: CoreError| CallError::Connector(ConnectorError::from_core(self.plugin().clone(), &error));
        let consented = read_install(query.expose()).map_err(refused)?;
        let id = InstallId(name_of_install(tenant, browser.secret(), consented.code.expose()));
        let visit = Visit { tenant: tenant.clone(), customer: customer.clone(), browser: browser.clone() };
        let install = match self.find_install(&visit, &id).await {
            Ok(install) if app.is_some_and(|app| *app != install.app) => {
                return Err(refused(CoreError::new(CoreCause::CallbackOfAnotherApp)).into());
            }
            Ok(install) => {
                // The call that has stored the install may have ended before it wrote the event.
                let key = ConnectionKey { customer: customer.clone(), account: install.account.clone() };
                self.record_install(tenant, &id, key, EventKind::InstallBegun).await?;
                install
            }
            Err(InstallError::Unknown) => self.exchange_and_store(visit, &id, app.cloned(), query).await?,
            Err(error) => return Err(error),
        };
        let shops = self.install_shops(tenant, &install.tokens).await?;
        let ExchangedInstall { app, account, seller_name, seller_base_region, granted_scopes, tokens: _ } = install;
        Ok(PendingInstall { id, app, account, seller_name, seller_base_region, granted_scopes, shops })
    }

    /// Connects the customer after they have confirmed the install. `browser` and `customer` must be those with which
    /// the install began. `shops` decides which shops are linked. Sends no code, so a call that failed or was killed
    /// can be repeated for 30 minutes. If the account is already connected under the same app, its older tokens are
    /// replaced.
    ///
    /// # Errors
    /// See [`InstallError`]. After [`InstallError::Storage`], the connection may exist already. Call the function
    /// again: it then finds the connection, and closes the install. An install that is not closed could be confirmed
    /// again after a disconnect, by the same customer in the same session. The code `account-of-another-app` means that
    /// the account is connected with another app of the tenant.
    pub async fn confirm_install(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        browser: &BrowserSession,
        id: &InstallId,
        shops: ShopPolicy,
    ) -> Result<Connection, InstallError> {
        let visit = Visit { tenant: tenant.clone(), customer: customer.clone(), browser: browser.clone() };
        let ExchangedInstall { app, tokens, .. } = self.find_install(&visit, id).await?;
        let connection = self.connect(tenant, customer, Some(&app), Grant::Pending(tokens), shops).await?;
        close_install(self.storage(), self.storage_timeout(), tenant, &id.digest()).await?;
        Ok(connection)
    }

    /// Deletes a pending install and its tokens, because the customer says that it is not theirs. `browser` and
    /// `customer` must be those with which the install began. Returns whether such an install was waiting. TikTok still
    /// grants the app what the seller has granted. The seller can remove the app in Seller Center.
    ///
    /// The event [`EventKind::InstallCancelled`] is stored before the install is deleted.
    ///
    /// # Errors
    /// [`InstallError::OtherBrowser`], [`InstallError::OtherCustomer`], [`InstallError::Confirmed`] or
    /// [`InstallError::Storage`], or [`CallError::NotRecorded`] if the event can't be stored; nothing was deleted.
    pub async fn cancel_install(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        browser: &BrowserSession,
        id: &InstallId,
    ) -> Result<bool, InstallError> {
        let visit = Visit { tenant: tenant.clone(), customer: customer.clone(), browser: browser.clone() };
        match self.find_install(&visit, id).await {
            Ok(install) => {
                let key = ConnectionKey { customer: customer.clone(), account: install.account };
                self.record_install(tenant, id, key, EventKind::InstallCancelled).await?;
                self.delete_install(tenant, id).await?;
                Ok(true)
            }
            Err(InstallError::Unknown | InstallError::Expired) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Exchanges the code and stores the tokens, on a task of its own.
    async fn exchange_and_store(
        &self,
        visit: Visit,
        id: &InstallId,
        app: Option<AppKey>,
        query: Secret,
    ) -> Result<ExchangedInstall, InstallError> {
        // The nonce of the seal is drawn before the code is spent.
        let seal = InstallSeal::new(&visit.tenant, visit.browser.secret(), &id.0, &*self.sandbox.randomness);
        let seal = seal.map_err(|error| {
            tracing::error!(%error, "no randomness");
            CallError::NoRandomness { plugin: self.plugin().clone() }
        })?;
        let (host, id) = (self.clone(), id.clone());
        let work = async move {
            let install = match host.exchange_install(&visit.tenant, app, query).await {
                Ok(install) => install,
                // A simultaneous call of the same session may have spent the code and stored the tokens.
                Err(error) => return host.find_install(&visit, &id).await.map_err(|_| InstallError::from(error)),
            };
            let Visit { tenant, customer, browser } = visit;
            let content = Content { customer, install };
            let sealed = content.encode().map_err(std::io::Error::from).and_then(|clear| seal.seal(&clear));
            let sealed = sealed.map_err(|error| InstallError::NotStored(StorageError::Refused(error.to_string())))?;
            let digest = id.digest();
            let record = InstallRecord { browser: digest_of_install(&tenant, &browser, &digest), sealed };
            store_install(host.storage(), host.storage_timeout(), &tenant, &digest, &record).await?;
            let Content { customer, install } = content;
            let key = ConnectionKey { customer, account: install.account.clone() };
            host.record_install(&tenant, &id, key, EventKind::InstallBegun).await?;
            Ok::<_, InstallError>(install)
        };
        let task = tokio::spawn(work.in_current_span());
        task.await.unwrap_or_else(|_| Err(CallError::Aborted { plugin: self.plugin().clone() }.into()))
    }

    /// Writes an event of a pending install. An install has at most one event of each kind.
    async fn record_install(
        &self,
        tenant: &TenantId,
        id: &InstallId,
        key: ConnectionKey,
        kind: EventKind,
    ) -> Result<(), CallError> {
        let once = OnceDigest::of(&format!("{}/{}", kind.as_str(), hex::encode(id.digest().as_bytes())));
        let at = UnixSeconds(self.sandbox.clock.wall().as_secs());
        let event = NewEvent { at, key: Some(key), kind, origin: self.origin(Cause::Connect) };
        self.record(tenant, &once, &event).await
    }

    /// Calls the export `exchange-install`.
    async fn exchange_install(
        &self,
        tenant: &TenantId,
        app: Option<AppKey>,
        query: Secret,
    ) -> Result<ExchangedInstall, CallError> {
        let scope = Scope::without_customer(tenant, self.origin(Cause::Connect));
        let log = self.log(Operation::ExchangeInstall, &scope, None);
        let secrets = Secrets::of_install_callback(&query);
        let app = app.map(String::from);
        self.sandbox
            .call(log, scope, secrets, ExchangedInstall::try_from, move |guest, wasm_store| {
                async move { guest.exchange_install(wasm_store, app.as_deref(), query.expose()).await }.boxed()
            })
            .await
    }

    /// Calls the export `install-shops`.
    async fn install_shops(&self, tenant: &TenantId, tokens: &InstallTokens) -> Result<Vec<InstallShop>, CallError> {
        let scope = Scope::without_customer(tenant, self.origin(Cause::Read));
        let log = self.log(Operation::InstallShops, &scope, None);
        let secrets = Secrets::of_install(tokens);
        let pending = Zeroizing::new(tokens.expose().to_vec());
        self.sandbox
            .call(log, scope, secrets, read_all, move |guest, wasm_store| {
                async move { guest.install_shops(wasm_store, &pending).await }.boxed()
            })
            .await
    }

    /// Returns a pending install that this customer may confirm or cancel in this session.
    async fn find_install(&self, visit: &Visit, id: &InstallId) -> Result<ExchangedInstall, InstallError> {
        let sealed = self.load_install(&visit.tenant, &visit.browser, id).await?;
        let clear = InstallSeal::open(&visit.tenant, visit.browser.secret(), &id.0, &sealed);
        let Some(Content { customer, install }) = clear.and_then(|clear| Content::decode(&clear)) else {
            let what = "the pending install does not open: it was changed in the storage, or a newer host wrote it";
            return Err(StorageError::Refused(what.to_owned()).into());
        };
        if customer == visit.customer { Ok(install) } else { Err(InstallError::OtherCustomer) }
    }

    /// Returns the sealed content of a pending install of this session.
    async fn load_install(
        &self,
        tenant: &TenantId,
        browser: &BrowserSession,
        id: &InstallId,
    ) -> Result<Vec<u8>, InstallError> {
        let digest = id.digest();
        let found = run_within(self.storage_timeout(), self.storage().load_install(tenant, &digest)).await?;
        let StoredInstall { browser: owner, sealed, age } = found.ok_or(InstallError::Unknown)?;
        // A host of an earlier release has stored the SHA-256 of the session. A person who can write to the storage
        // gains nothing with it, because only the secret of the session opens the sealed content.
        let is_own = [digest_of_install(tenant, browser, &digest), browser.sha256()].contains(&owner);
        // This check comes first, so that another session does not learn whether the install is confirmed or too old.
        if !is_own {
            return Err(InstallError::OtherBrowser);
        }
        let sealed = sealed.ok_or(InstallError::Confirmed)?;
        if age > MAX_AGE {
            if let Err(error) = self.delete_install(tenant, id).await {
                tracing::warn!(%error, "an expired install could not be deleted");
            }
            return Err(InstallError::Expired);
        }
        Ok(sealed)
    }

    async fn delete_install(&self, tenant: &TenantId, id: &InstallId) -> Result<(), StorageError> {
        run_within(self.storage_timeout(), self.storage().delete_install(tenant, &id.digest())).await
    }
}

/// Stores a pending install. Its tokens exist nowhere else, so a write that may have failed is repeated until the
/// storage says what happened. After `timeout`, and at least [`MIN_ATTEMPTS`], it gives up.
async fn store_install(
    storage: &dyn HostStorage,
    timeout: Duration,
    tenant: &TenantId,
    digest: &InstallDigest,
    record: &InstallRecord,
) -> Result<(), InstallError> {
    let mut pauses = RetryBackoff::until(Instant::now() + timeout);
    let mut attempt = 0;
    loop {
        attempt += 1;
        match run_within(timeout, storage.put_install(tenant, digest, record)).await {
            Ok(()) => return Ok(()),
            // The storage refuses a second write of the same install, so the answer to an earlier write was lost. It
            // may also refuse for another reason. Then the install is not there.
            Err(error @ StorageError::Refused(_)) if attempt > 1 => {
                let found = run_within(timeout, storage.load_install(tenant, digest)).await;
                let is_missing = found.is_ok_and(|found| found.is_none());
                return if is_missing { Err(InstallError::NotStored(error)) } else { Ok(()) };
            }
            Err(error @ StorageError::Unavailable(_)) => {
                if !pauses.wait().await && attempt >= MIN_ATTEMPTS {
                    return Err(InstallError::NotStored(error));
                }
            }
            Err(error) => return Err(InstallError::NotStored(error)),
        }
    }
}

/// Closes a confirmed install. Repeats the write until the storage says what happened, and gives up as [`store_install`]
/// does. An install that stays open could be confirmed again after a disconnect.
async fn close_install(
    storage: &dyn HostStorage,
    timeout: Duration,
    tenant: &TenantId,
    digest: &InstallDigest,
) -> Result<(), StorageError> {
    let mut pauses = RetryBackoff::until(Instant::now() + timeout);
    let mut attempt = 0;
    loop {
        attempt += 1;
        match run_within(timeout, storage.close_install(tenant, digest)).await {
            Err(StorageError::Unavailable(why)) => {
                if !pauses.wait().await && attempt >= MIN_ATTEMPTS {
                    return Err(StorageError::Unavailable(why));
                }
            }
            settled => return settled,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::clock::ManualClock;
    use crate::storage::{
        Access, BrowserDigest, ConsentStorage as _, Intercepted, Interceptor, MemoryStorage, Passage,
    };

    const STORED: &str = concat!(
        r#"{"version":1,"customer":"customer-7","app":"6fakeapp00001","account":"o_1","seller-name":"Teapot Corner","#,
        r#""seller-base-region":"GB","granted-scopes":["seller.order.info"],"tokens":"7b7d"}"#
    );

    #[test]
    fn an_id_has_64_hexadecimal_digits() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(InstallId::parse(&digits).unwrap().expose(), digits);
        for wrong in ["", &digits[1..], &digits.to_uppercase(), &digits.replace('0', "g"), &format!("{digits}0")] {
            assert_eq!(InstallId::parse(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{:?}", InstallId::parse(&digits)), "Some(InstallId([redacted]))");
    }

    /// A stored install must be readable after an update of the host.
    #[test]
    fn the_stored_form_is_written_and_read_byte_for_byte() {
        let content = Content::decode(STORED.as_bytes()).unwrap();
        assert_eq!(content.customer.as_str(), "customer-7");
        assert_eq!((content.install.account.as_str(), content.install.tokens.expose()), ("o_1", b"{}".as_slice()));
        assert_eq!(content.encode().unwrap().as_slice(), STORED.as_bytes());
        assert_eq!(format!("{:?}", content.install.tokens), "[redacted]");
    }

    #[test]
    fn a_form_of_another_version_is_not_read() {
        for other in [STORED.replace("\"version\":1", "\"version\":2"), STORED.replace("7b7d", "7b7"), String::new()] {
            assert!(Content::decode(other.as_bytes()).is_none(), "{other}");
        }
    }

    /// A storage that fails at once, as often as this says. A server that fails over refuses connections in this way.
    struct Failing(AtomicUsize);

    #[async_trait]
    impl Interceptor for Failing {
        async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
            let is_write = matches!(access.method(), "put_install" | "close_install");
            let decrease = |left: usize| left.checked_sub(1);
            if is_write && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrease).is_ok() {
                Passage::Fail(StorageError::Unavailable("down".to_owned()))
            } else {
                Passage::Forward
            }
        }
    }

    /// A storage that does not answer the first writes.
    struct Hanging(AtomicUsize);

    #[async_trait]
    impl Interceptor for Hanging {
        async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
            let is_write = matches!(access.method(), "put_install" | "close_install");
            let decrease = |left: usize| left.checked_sub(1);
            if is_write && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrease).is_ok() {
                std::future::pending().await
            } else {
                Passage::Forward
            }
        }
    }

    const TIMEOUT: Duration = Duration::from_secs(10);
    /// With the pauses between them, this many attempts begin within [`TIMEOUT`]. The last one begins after 9.55 s.
    const ATTEMPTS: usize = 11;

    fn failing(memory: &Arc<MemoryStorage>, times: usize) -> Intercepted {
        Intercepted::new(Arc::clone(memory) as _, Arc::new(Failing(AtomicUsize::new(times))))
    }

    #[tokio::test(start_paused = true)]
    async fn the_writes_of_an_install_outlast_a_failover_of_the_storage() {
        let tenant: TenantId = "acme".parse().unwrap();
        let digest = InstallDigest::new([1; 32]);
        let record = InstallRecord { browser: BrowserDigest::new([2; 32]), sealed: vec![3] };
        let down = || StorageError::Unavailable("down".to_owned());
        let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));

        let began = Instant::now();
        let lost = store_install(&failing(&memory, ATTEMPTS), TIMEOUT, &tenant, &digest, &record).await;
        assert_eq!(lost, Err(InstallError::NotStored(down())));
        assert!(began.elapsed() <= TIMEOUT);
        assert_eq!(memory.load_install(&tenant, &digest).await, Ok(None));
        let stored = store_install(&failing(&memory, ATTEMPTS - 1), TIMEOUT, &tenant, &digest, &record).await;
        assert_eq!(stored, Ok(()));
        let sealed = async || memory.load_install(&tenant, &digest).await.unwrap().unwrap().sealed;
        assert_eq!(sealed().await, Some(vec![3]));

        let open = close_install(&failing(&memory, ATTEMPTS), TIMEOUT, &tenant, &digest).await;
        assert_eq!((open, sealed().await), (Err(down()), Some(vec![3])));
        let closed = close_install(&failing(&memory, ATTEMPTS - 1), TIMEOUT, &tenant, &digest).await;
        assert_eq!((closed, sealed().await), (Ok(()), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_storage_that_hangs_twice_gets_a_third_attempt() {
        let tenant: TenantId = "acme".parse().unwrap();
        let digest = InstallDigest::new([1; 32]);
        let record = InstallRecord { browser: BrowserDigest::new([2; 32]), sealed: vec![3] };
        let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
        let hanging = |times| Intercepted::new(Arc::clone(&memory) as _, Arc::new(Hanging(AtomicUsize::new(times))));
        let lost = store_install(&hanging(3), TIMEOUT, &tenant, &digest, &record).await;
        assert!(matches!(lost, Err(InstallError::NotStored(StorageError::Unavailable(_)))), "{lost:?}");
        assert_eq!(store_install(&hanging(2), TIMEOUT, &tenant, &digest, &record).await, Ok(()));
        let open = close_install(&hanging(3), TIMEOUT, &tenant, &digest).await;
        assert!(matches!(open, Err(StorageError::Unavailable(_))), "{open:?}");
        assert_eq!(close_install(&hanging(2), TIMEOUT, &tenant, &digest).await, Ok(()));
    }
}
