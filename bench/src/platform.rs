//! The platform that the benchmarks measure. It is a host with the component and a storage. The host sends its requests
//! to a fake TikTok Shop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use fake_tiktok_shop::{App, Control, Decision};
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::{Connection, ConnectionKey, ShopPolicy};
use tiktok_shop_host::credentials::{AppCredentials, CredentialsProvider, StaticCredentials};
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{KeyProvider, Keyring};
use tiktok_shop_host::storage::{HostStorage, Next, OpenRow, TokenWrite};
use tiktok_shop_host::{Component, ConnectorHost, CustomerId, Revision, ShopId, TenantId};
use tiktok_shop_sql_storage::NewConnection;

/// The name of a seller of the fake TikTok Shop. This seller has one shop.
pub(crate) const SELLER: &str = "one-shop";
/// The tenant whose calls are measured.
const TENANT: &str = "acme";

pub(crate) struct Platform {
    pub(crate) host: ConnectorHost,
    pub(crate) tenant: TenantId,
    pub(crate) storage: Arc<dyn HostStorage>,
    keyring: Keyring,
}

impl Platform {
    /// Builds a host that uses this storage and sends its requests to the fake TikTok Shop at the address `fake`.
    pub(crate) fn new(
        storage: Arc<dyn HostStorage>,
        keys: Arc<dyn KeyProvider>,
        component: PathBuf,
        app: &App,
        fake: SocketAddr,
    ) -> Result<Self> {
        let credentials = StaticCredentials::new().with(TENANT.parse()?, credentials(app));
        Self::with_credentials(storage, keys, component, Arc::new(credentials), fake)
    }

    /// Does the same as [`new`](Self::new), but the host gets its credentials from `credentials`.
    pub(crate) fn with_credentials(
        storage: Arc<dyn HostStorage>,
        keys: Arc<dyn KeyProvider>,
        component: PathBuf,
        credentials: Arc<dyn CredentialsProvider>,
        fake: SocketAddr,
    ) -> Result<Self> {
        let tenant: TenantId = TENANT.parse()?;
        let egress = EgressPolicy::production().stand_in(Authority::Auth, fake)?.stand_in(Authority::Api, fake)?;
        let host = ConnectorHost::builder()
            .component(Component::File(component))
            .storage(Arc::clone(&storage))
            .keys(Arc::clone(&keys))
            .credentials(credentials)
            .egress(egress)
            .build()?;
        let keyring = Keyring::new(Arc::clone(&storage), keys, Arc::new(SystemRandomness));
        Ok(Self { host, tenant, storage, keyring })
    }

    /// Connects a customer. `query` is the query of a callback, as [`consent`] returns it.
    pub(crate) async fn connect(&self, customer: &CustomerId, query: String) -> Result<Connection> {
        let shops = ShopPolicy::All;
        let code = query.split('&').find_map(|pair| pair.strip_prefix("code=")).context("a callback without a code")?;
        Ok(self.host.connect(&self.tenant, customer, None, Grant::Code(code.into()), shops).await?)
    }

    /// Loads and decrypts a connection, so that [`Template::copy`] can make copies of it.
    pub(crate) async fn template(&self, key: &ConnectionKey) -> Result<Template<'_>> {
        let token = self.storage.load_token(&self.tenant, key).await?.context("no token record")?;
        let record = self.keyring.open_token(&self.tenant, key, &token.revision, &token.value).await?.to_vec();
        let entry = self.storage.load_row(&self.tenant, key).await?.context("no row")?;
        let row = self.keyring.open_row(&self.tenant, &entry.revision, &entry.row).await?;
        Ok(Template { platform: self, record, row })
    }
}

/// Returns the credentials of an app of the fake TikTok Shop.
pub(crate) fn credentials(app: &App) -> AppCredentials {
    AppCredentials {
        app_key: app.app_key.clone(),
        app_secret: app.app_secret.as_str().into(),
        previous_app_secret: None,
        authorization_link: None,
    }
}

/// Lets the seller [`SELLER`] consent to this app, and returns the query of the callback.
pub(crate) fn consent(tiktok: &Control, app: &App) -> Result<String> {
    Ok(tiktok.consent(&app.service_id, SELLER, None, Decision::Allow)?)
}

/// Returns the id of the customer who gets the copy with this number.
pub(crate) fn customer(number: u64) -> Result<CustomerId> {
    Ok(format!("customer-{number}").parse()?)
}

/// The decrypted content of a connection. The benchmarks store copies of it.
pub(crate) struct Template<'a> {
    platform: &'a Platform,
    record: Vec<u8>,
    row: OpenRow,
}

impl Template<'_> {
    /// Makes an encrypted (sealed) copy for the customer with this number. If `shop` is some, the shops of the copy have
    /// this id.
    pub(crate) async fn copy(&self, number: u64, shop: Option<&ShopId>) -> Result<NewConnection> {
        let Platform { tenant, keyring, .. } = self.platform;
        let key = ConnectionKey { customer: customer(number)?, account: self.row.connection.key.account.clone() };
        let revision: Revision = format!("copy-{number}").parse()?;
        let value = keyring.seal_token(tenant, &key, &revision, &self.record).await?;
        let token = Next { revision: revision.clone(), value: TokenWrite { value, refresh_due_at: None } };
        let mut row = self.row.clone();
        row.connection.key = key.clone();
        for (held, id) in row.connection.shops.iter_mut().zip(std::iter::repeat(shop).flatten()) {
            held.id = id.clone();
        }
        let value = keyring.seal_row(tenant, &revision, &row).await?;
        Ok(NewConnection { key, token, row: Next { revision, value } })
    }
}
