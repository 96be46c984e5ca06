//! The same core without a component: the yardstick for the cost of the sandbox. It sends its requests with the client
//! of the host, and stores in memory. It seals nothing and logs nothing, so the figures count sealing and logging as
//! costs of the component.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow};
use http_body_util::{BodyExt as _, Full};
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::connection::{Connection, ListedShop, Row, Shop};
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::http::{ACCEPT_ENCODING, Method, Request, Response, TransportFailure};
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey, CustomerId};
use tiktok_shop_connector_core::operation::refresh::RefreshMode;
use tiktok_shop_connector_core::operation::{connect, refresh};
use tiktok_shop_connector_core::ports::{
    Effects, Entry, ListedRow, Revision, StorageError, Swapped, TokenValue, TokenWrite,
};
use tiktok_shop_connector_core::record::{Nonce, ShopPolicy};
use tiktok_shop_connector_core::secret::{AppSecret, AuthorizationCode, SecretBytes};
use tiktok_shop_connector_core::time::{Moment, UnixSeconds};
use tiktok_shop_host::clock::{Clock as _, SystemClock};
use tiktok_shop_host::egress::PooledClient;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};

use crate::platform::APP;

/// The core, run natively.
pub(crate) struct Native {
    client: PooledClient,
    clock: SystemClock,
    stored: Mutex<Stored>,
    writes: AtomicU64,
}

#[derive(Default)]
struct Stored {
    tokens: Table<Vec<u8>>,
    rows: Table<Row>,
}

/// Values by customer and account, each with the revision of its last write.
struct Table<T>(BTreeMap<CustomerId, BTreeMap<AccountId, (Revision, T)>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Table<T> {
    fn of(&self, customer: &CustomerId) -> impl Iterator<Item = (&AccountId, &(Revision, T))> {
        self.0.get(customer).into_iter().flatten()
    }

    fn get(&self, key: &ConnectionKey) -> Option<&(Revision, T)> {
        self.0.get(&key.customer)?.get(&key.account)
    }

    /// Writes `next` under this revision, or deletes the value, if the stored revision is `expected`. Makes the stale
    /// entry with `entry`.
    fn swap<V>(
        &mut self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<T>,
        revision: Revision,
        entry: fn(&(Revision, T)) -> Entry<V>,
    ) -> Swapped<V> {
        let found = self.get(key);
        if found.map(|(revision, _)| revision) != expected {
            return Swapped::Stale(found.map(entry));
        }
        let accounts = self.0.entry(key.customer.clone()).or_default();
        let Some(next) = next else {
            accounts.remove(&key.account);
            return Swapped::Deleted;
        };
        accounts.insert(key.account.clone(), (revision.clone(), next));
        Swapped::Stored(revision)
    }
}

impl Native {
    pub(crate) fn new(client: PooledClient) -> Self {
        Self { client, clock: SystemClock::new(), stored: Mutex::default(), writes: AtomicU64::new(0) }
    }

    /// Connects a customer with a new consent.
    pub(crate) async fn connect(&self, customer: &str) -> Result<()> {
        let grant = Grant::Code(AuthorizationCode::new("bench-authorization-code".to_owned()));
        let customer = CustomerId::parse(customer.to_owned()).map_err(shown)?;
        connect::connect(self, customer, None, grant, ShopPolicy::All).await.map_err(shown)?;
        Ok(())
    }

    /// Renews the tokens of a customer, and reads the shops again.
    pub(crate) async fn refresh(&self, customer: &str) -> Result<()> {
        let customer = CustomerId::parse(customer.to_owned()).map_err(shown)?;
        refresh::refresh(self, customer, None, RefreshMode::Forced).await.map_err(shown)?;
        Ok(())
    }

    fn stored<T>(&self, access: impl FnOnce(&mut Stored) -> T) -> T {
        access(&mut self.stored.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn next_revision(&self) -> Revision {
        Revision(self.writes.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

fn shown(error: tiktok_shop_connector_core::error::Error) -> anyhow::Error {
    anyhow!("the native core failed: {}", error.detail())
}

impl Effects for Native {
    fn now(&self) -> Moment {
        Moment { wall: UnixSeconds::new(self.clock.wall().as_secs()), monotonic: self.clock.monotonic() }
    }

    fn random(&self) -> Nonce {
        let mut bits = Nonce::default();
        // If the system has no randomness, the figures are as good without it.
        let _drawn = SystemRandomness.fill(&mut bits);
        bits
    }

    async fn apps(&self) -> Result<Vec<String>, StorageError> {
        Ok(vec![APP.0.to_owned()])
    }

    async fn credentials(&self, _: &str) -> Result<Credentials, StorageError> {
        let (app_key, app_secret) = (APP.0.to_owned(), AppSecret::new(APP.1.to_owned()));
        Ok(Credentials {
            app_key,
            app_secret,
            previous_app_secret: None,
            authorization_link: None,
            link_scheme: LinkScheme::Https,
        })
    }

    async fn send(&self, request: Request<'_>) -> Result<Response, TransportFailure> {
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Delete => http::Method::DELETE,
        };
        let uri = format!("https://{}{}", request.authority.host(), request.path_and_query.expose());
        let mut builder = http::Request::builder().method(method).uri(uri).header("accept-encoding", ACCEPT_ENCODING);
        if let Some(token) = &request.access_token {
            builder = builder.header("x-tts-access-token", token.expose());
        }
        if let Some(content_type) = request.content_type {
            builder = builder.header("content-type", content_type);
        }
        let body = Full::new(bytes::Bytes::copy_from_slice(request.body)).map_err(|never| match never {});
        let request = builder.body(body.boxed_unsync()).map_err(|_| TransportFailure::Denied)?;
        let response = self.client.send(request).await.map_err(|_| TransportFailure::Interrupted)?;
        let (head, body) = response.into_parts();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = body.collect().await.map_err(|_| TransportFailure::Interrupted)?.to_bytes();
        Ok(Response {
            status: head.status.as_u16(),
            content_type: header("content-type"),
            content_encoding: header("content-encoding"),
            retry_after: header("retry-after"),
            date: header("date"),
            body: body.into(),
        })
    }

    async fn accounts(&self, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        Ok(self.stored(|stored| stored.tokens.of(customer).map(|(account, _)| account.clone()).collect()))
    }

    async fn load_token(&self, key: &ConnectionKey) -> Result<Option<Entry<TokenValue>>, StorageError> {
        Ok(self.stored(|stored| stored.tokens.get(key).map(token_entry)))
    }

    async fn swap_token(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<TokenWrite>,
    ) -> Result<Swapped<TokenValue>, StorageError> {
        let (revision, next) = (self.next_revision(), next.map(|next| next.bytes.expose().to_vec()));
        Ok(self.stored(|stored| stored.tokens.swap(key, expected, next, revision, token_entry)))
    }

    async fn list_rows(&self, customer: &CustomerId) -> Result<Vec<ListedRow>, StorageError> {
        let listed = |(account, (_, row)): (&AccountId, &(Revision, Row))| ListedRow {
            account: account.clone(),
            row: Ok(copy(row)),
        };
        Ok(self.stored(|stored| stored.rows.of(customer).map(listed).collect()))
    }

    async fn load_row(&self, key: &ConnectionKey) -> Result<Option<Entry<Row>>, StorageError> {
        Ok(self.stored(|stored| stored.rows.get(key).map(row_entry)))
    }

    async fn swap_row(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Row>,
    ) -> Result<Swapped<Row>, StorageError> {
        let revision = self.next_revision();
        Ok(self.stored(|stored| stored.rows.swap(key, expected, next.map(copy), revision, row_entry)))
    }

    /// No measured operation asks for owners.
    async fn owners(&self, _: &str) -> Result<Vec<ConnectionKey>, StorageError> {
        Ok(Vec::new())
    }
}

/// Records are never claimed when they are loaded, so their age does not matter.
fn token_entry((revision, bytes): &(Revision, Vec<u8>)) -> Entry<TokenValue> {
    let value = TokenValue { bytes: SecretBytes::new(bytes.clone()), age_ms: 0 };
    Entry { revision: revision.clone(), value }
}

fn row_entry((revision, row): &(Revision, Row)) -> Entry<Row> {
    Entry { revision: revision.clone(), value: copy(row) }
}

/// Copies a row. `Row` has no `Clone`, because it holds ciphers.
fn copy(row: &Row) -> Row {
    let connection = &row.connection;
    let shop = |shop: &Shop| Shop { listed: ListedShop::duplicate(&shop.listed), ..*shop };
    Row {
        connection: Connection {
            key: connection.key.clone(),
            app: connection.app.clone(),
            seller_name: connection.seller_name.clone(),
            base_region: connection.base_region.clone(),
            scopes: connection.scopes.clone(),
            shops: connection.shops.iter().map(shop).collect(),
            last_failure: connection.last_failure.clone(),
            ..*connection
        },
        lineage: row.lineage.clone(),
        generation: row.generation,
    }
}
