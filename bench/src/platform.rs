//! The platform that is measured: a host with the component and a storage. It sends its requests to the bench's server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing;
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::clock::{Clock, SystemClock};
use tiktok_shop_host::compiled_cache::CompiledCache;
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::{Connection, ConnectionKey, ShopPolicy, UnixSeconds};
use tiktok_shop_host::credentials::{AppCredentials, CredentialsProvider, StaticCredentials};
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::{HostKeys, KeyProvider, Keyring};
use tiktok_shop_host::storage::{HostStorage, MemoryStorage, Next, OpenRow, TokenWrite};
use tiktok_shop_host::{Component, ConnectorHost, CustomerId, Revision, TenantId};
use tiktok_shop_sql_storage::NewConnection;

use crate::server::{ORDERS, SHOP};

/// The tenant whose calls are measured.
pub(crate) const TENANT: &str = "acme";
/// The key and the secret of the tenant's app.
pub(crate) const APP: (&str, &str) = ("6benchapp0001", "1f0e8a5b7c2d4396a1b2c3d4e5f60718293a4b5c");
/// The link to the consent page of every app.
pub(crate) const LINK: &str = "https://services.tiktokshop.com/open/authorize?service_id=1";
/// The body of the measured search for orders.
pub(crate) const FILTER: &str = r#"{"order_status":"AWAITING_SHIPMENT"}"#;

/// A host and the parts that it was built from. A clone shares all of them.
#[derive(Clone)]
pub(crate) struct Platform {
    pub(crate) host: ConnectorHost,
    pub(crate) tenant: TenantId,
    pub(crate) storage: Arc<dyn HostStorage>,
    keys: Arc<dyn KeyProvider>,
}

/// The parts of a host that figures choose. The rest is the same for all figures.
pub(crate) struct Parts {
    component: PathBuf,
    cache: Option<CompiledCache>,
    server: SocketAddr,
    pub(crate) storage: Arc<dyn HostStorage>,
    pub(crate) keys: Arc<dyn KeyProvider>,
    pub(crate) credentials: Arc<dyn CredentialsProvider>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
}

impl Parts {
    /// Returns the parts of a host with a storage in memory, the default limits and one tenant, who may use all
    /// instances.
    pub(crate) fn new(component: &Path, server: SocketAddr) -> Result<Self> {
        let credentials = StaticCredentials::new().with(TENANT.parse()?, app(APP.0, APP.1));
        Ok(Self {
            component: component.to_owned(),
            cache: None,
            server,
            storage: in_memory(),
            keys: Arc::new(HostKeys::draw()?),
            credentials: Arc::new(credentials),
            clock: Arc::new(SystemClock::new()),
            limits: Limits { tenant_percent: 100, ..Limits::default() },
        })
    }

    /// Takes the compiled component from this folder if it is there.
    pub(crate) fn cached_in(mut self, folder: &Path) -> Self {
        self.cache = Some(CompiledCache::in_folder(folder));
        self
    }

    /// Stores in this storage.
    pub(crate) fn storing_in(mut self, storage: Arc<dyn HostStorage>) -> Self {
        self.storage = storage;
        self
    }

    pub(crate) fn build(self) -> Result<Platform> {
        let egress =
            EgressPolicy::production().stand_in(Authority::Auth, self.server)?.stand_in(Authority::Api, self.server)?;
        let mut builder = ConnectorHost::builder()
            .component(Component::File(self.component))
            .storage(Arc::clone(&self.storage))
            .keys(Arc::clone(&self.keys))
            .credentials(self.credentials)
            .clock(self.clock)
            .limits(self.limits)
            .egress(egress);
        if let Some(cache) = self.cache {
            builder = builder.compiled_cache(cache);
        }
        Ok(Platform { host: builder.build()?, tenant: TENANT.parse()?, storage: self.storage, keys: self.keys })
    }
}

/// Returns an empty storage in the memory of this process.
pub(crate) fn in_memory() -> Arc<dyn HostStorage> {
    Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())))
}

/// Returns the credentials of an app.
pub(crate) fn app(key: &str, secret: &str) -> AppCredentials {
    AppCredentials {
        app_key: key.to_owned(),
        app_secret: secret.into(),
        previous_app_secret: None,
        authorization_link: Some(LINK.to_owned()),
    }
}

/// Returns the id of the customer with this number.
pub(crate) fn customer(number: u64) -> Result<CustomerId> {
    Ok(format!("customer-{number}").parse()?)
}

/// Returns the number of one of `of` connections, for the call with this number. The connections of two consecutive
/// calls are 7919 numbers apart. 7919 is prime, so the calls spread over all connections.
pub(crate) fn spread(call: u64, of: u64) -> u64 {
    call.wrapping_mul(7_919) % of.max(1)
}

/// Returns the measured signed call: a search for orders of the shop.
pub(crate) fn order_search() -> Result<CallRequest> {
    let scope = CallScope::Shop(SHOP.parse()?);
    Ok(CallRequest::new(scope, HttpMethod::Post, ORDERS).query("page_size", "20").json(FILTER))
}

impl Platform {
    /// Connects a customer with a new consent.
    pub(crate) async fn connect(&self, customer: &CustomerId) -> Result<Connection> {
        let grant = Grant::Code("bench-authorization-code".into());
        Ok(self.host.connect(&self.tenant, customer, None, grant, ShopPolicy::All).await?)
    }

    /// Renews the tokens of a customer, and reads the shops again.
    pub(crate) async fn refresh(&self, customer: &CustomerId) -> Result<()> {
        self.host.refresh(&self.tenant, customer, None, RefreshMode::Forced).await?;
        Ok(())
    }

    /// Lists the shops of a customer who has one shop.
    pub(crate) async fn list_shops(&self, customer: &CustomerId) -> Result<()> {
        let shops = self.host.list_shops(&self.tenant, customer).await?;
        anyhow::ensure!(shops.len() == 1, "{} shops in place of one", shops.len());
        Ok(())
    }

    /// Searches for orders of a customer's shop.
    pub(crate) async fn search(&self, customer: &CustomerId) -> Result<()> {
        let answer = self.host.call(&self.tenant, customer, order_search()?).await?;
        anyhow::ensure!(answer.is_success(), "the search ended with HTTP {}", answer.http_status);
        Ok(())
    }

    /// Opens a stored connection, so that [`Template::copy`] can make copies of it.
    pub(crate) async fn template(&self, key: &ConnectionKey) -> Result<Template> {
        let keyring = Keyring::new(Arc::clone(&self.storage), Arc::clone(&self.keys), Arc::new(SystemRandomness));
        let token = self.storage.load_token(&self.tenant, key).await?.context("no token record")?;
        let record = keyring.open_token(&self.tenant, key, &token.revision, &token.value).await?.to_vec();
        let entry = self.storage.load_row(&self.tenant, key).await?.context("no row")?;
        let row = keyring.open_row(&self.tenant, &entry.revision, &entry.row).await?;
        Ok(Template { tenant: self.tenant.clone(), keyring, record, row, due: None })
    }

    /// Adds copies of a connection to a storage in memory, for the customers with these numbers.
    pub(crate) async fn fill_memory(&self, template: &Template, customers: std::ops::Range<u64>) -> Result<()> {
        for number in customers {
            let NewConnection { key, token, row } = template.copy(number).await?;
            self.storage.swap_token(&self.tenant, &key, None, Some(&token)).await?;
            self.storage.swap_row(&self.tenant, &key, None, Some(&row), &[]).await?;
        }
        Ok(())
    }
}

/// The decrypted content of a connection.
pub(crate) struct Template {
    tenant: TenantId,
    keyring: Keyring,
    record: Vec<u8>,
    row: OpenRow,
    /// When the copies are due. `None` if they are not due.
    pub(crate) due: Option<UnixSeconds>,
}

impl Template {
    /// Makes a sealed (encrypted) copy for the customer with this number.
    pub(crate) async fn copy(&self, number: u64) -> Result<NewConnection> {
        let Self { tenant, keyring, .. } = self;
        let key = ConnectionKey { customer: customer(number)?, account: self.row.connection.key.account.clone() };
        let revision: Revision = format!("copy-{number}").parse()?;
        let value = keyring.seal_token(tenant, &key, &revision, &self.record).await?;
        let token = Next { revision: revision.clone(), value: TokenWrite { value, refresh_due_at: self.due } };
        let mut row = self.row.clone();
        row.connection.key = key.clone();
        let value = keyring.seal_row(tenant, &revision, &row).await?;
        Ok(NewConnection { key, token, row: Next { revision, value } })
    }
}

/// Returns the signature and the body of a webhook about a changed order.
pub(crate) fn webhook(number: u64) -> (String, Vec<u8>) {
    let body = json!({
        "type": 1,
        "tts_notification_id": number.to_string(),
        "shop_id": SHOP,
        "timestamp": now().0,
        "data": { "order_id": number.to_string(), "order_status": "AWAITING_SHIPMENT" },
    });
    let (body, (app_key, secret)) = (body.to_string().into_bytes(), APP);
    let unsigned = signing::Webhook { app_key, body: &body, authorization: &[] };
    (unsigned.signature(&AppSecret::new(secret.to_owned())), body)
}

/// Returns the time of this machine.
pub(crate) fn now() -> UnixSeconds {
    UnixSeconds(SystemClock::new().wall().as_secs())
}

/// Returns the time since an arbitrary point as a text that no earlier run of the bench has used.
pub(crate) fn unique() -> String {
    format!("{}-{}", std::process::id(), SystemClock::new().wall().as_nanos())
}

/// Returns the time since an arbitrary point as a number that no earlier call has returned.
pub(crate) fn unique_number() -> u64 {
    u64::try_from(SystemClock::new().wall().as_nanos()).unwrap_or_default()
}

/// The time by which the clock of a host is behind that stores connections which are due now: ten days.
pub(crate) const LONG_AGO: Duration = Duration::from_secs(10 * 86_400);
