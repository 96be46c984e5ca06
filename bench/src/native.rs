//! The same core without a component: the yardstick for the cost of the component and its sandbox. It sends its requests
//! with the client of the host, and stores in the sealed storage of the host: it seals every value, and encodes and
//! decodes token records and rows as the component does. It does not search for secrets, appends no events and logs no
//! call, so the figures count these steps as costs of the component.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow};
use http_body_util::{BodyExt as _, Full};
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::connection::{Row, document};
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
use tiktok_shop_host::seal::{EncodedRow, Opened, SealedRecords};
use tiktok_shop_host::{TenantId, connection, storage};
use zeroize::Zeroizing;

use crate::platform::{APP, Platform};

/// The tenant whose connections are stored. The connections of the component have another tenant.
const TENANT: &str = "native";

/// The core, run natively.
pub(crate) struct Native {
    client: PooledClient,
    records: SealedRecords,
    tenant: TenantId,
    clock: SystemClock,
    writes: AtomicU64,
}

impl Native {
    /// Uses the client and the storage of this platform.
    pub(crate) fn of(platform: &Platform) -> Result<Self> {
        Ok(Self {
            client: platform.host.pooled_client(),
            records: platform.host.sealed_records(),
            tenant: TENANT.parse()?,
            clock: SystemClock::new(),
            writes: AtomicU64::new(0),
        })
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

    /// Returns a revision that no other write has.
    fn next_revision(&self) -> Result<tiktok_shop_host::Revision, StorageError> {
        self.writes.fetch_add(1, Ordering::Relaxed).to_string().parse().map_err(refused)
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
        let customer: tiktok_shop_host::CustomerId = customer.as_str().parse().map_err(refused)?;
        let accounts = self.records.accounts(&self.tenant, &customer).await.map_err(failed)?;
        accounts.into_iter().map(|account| AccountId::parse(account.into()).map_err(refused)).collect()
    }

    async fn load_token(&self, key: &ConnectionKey) -> Result<Option<Entry<TokenValue>>, StorageError> {
        let loaded = self.records.load_token(&self.tenant, &host_key(key)?).await.map_err(failed)?;
        Ok(loaded.map(token_entry))
    }

    async fn swap_token(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<TokenWrite>,
    ) -> Result<Swapped<TokenValue>, StorageError> {
        let revision = self.next_revision()?;
        let expected = expected.map(host_revision).transpose()?;
        let write = |next: TokenWrite| {
            let due = next.refresh_due_at.map(|due| connection::UnixSeconds(due.seconds()));
            (revision.clone(), Zeroizing::new(next.bytes.expose().to_vec()), due)
        };
        let next = next.map(write);
        let is_write = next.is_some();
        let swapped = self.records.swap_token(&self.tenant, &host_key(key)?, expected.as_ref(), next).await;
        Ok(match swapped.map_err(failed)? {
            storage::Swapped::Done if is_write => Swapped::Stored(Revision(revision.into())),
            storage::Swapped::Done => Swapped::Deleted,
            storage::Swapped::Stale(entry) => Swapped::Stale(entry.map(token_entry)),
        })
    }

    /// No measured operation lists rows.
    async fn list_rows(&self, _: &CustomerId) -> Result<Vec<ListedRow>, StorageError> {
        Ok(Vec::new())
    }

    async fn load_row(&self, key: &ConnectionKey) -> Result<Option<Entry<Row>>, StorageError> {
        let loaded = self.records.load_row(&self.tenant, &host_key(key)?).await.map_err(failed)?;
        loaded.map(|row| row_entry(key, row)).transpose()
    }

    async fn swap_row(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Row>,
    ) -> Result<Swapped<Row>, StorageError> {
        let revision = self.next_revision()?;
        let expected = expected.map(host_revision).transpose()?;
        let write = |row: &Row| {
            let (document, secrets) = document::encode(row).zip(document::encode_secrets(row))?;
            Some((revision.clone(), (document, Zeroizing::new(secrets.expose().to_vec()))))
        };
        let not_encoded = || StorageError::Refused("the row cannot be encoded".to_owned());
        let next = next.map(|row| write(row).ok_or_else(not_encoded)).transpose()?;
        let is_write = next.is_some();
        let swapped = self.records.swap_row(&self.tenant, &host_key(key)?, expected.as_ref(), next).await;
        Ok(match swapped.map_err(failed)? {
            storage::Swapped::Done if is_write => Swapped::Stored(Revision(revision.into())),
            storage::Swapped::Done => Swapped::Deleted,
            storage::Swapped::Stale(row) => Swapped::Stale(row.map(|row| row_entry(key, row)).transpose()?),
        })
    }

    /// No measured operation asks for owners.
    async fn owners(&self, _: &str) -> Result<Vec<ConnectionKey>, StorageError> {
        Ok(Vec::new())
    }
}

fn host_key(key: &ConnectionKey) -> Result<connection::ConnectionKey, StorageError> {
    let customer = key.customer.as_str().parse().map_err(refused)?;
    Ok(connection::ConnectionKey { customer, account: key.account.as_str().parse().map_err(refused)? })
}

fn host_revision(revision: &Revision) -> Result<tiktok_shop_host::Revision, StorageError> {
    revision.0.parse().map_err(refused)
}

fn failed(error: storage::StorageError) -> StorageError {
    StorageError::Unavailable(error.to_string())
}

/// The core and the host have the same rules for identifiers, so a measurement never gets here.
fn refused<E>(_: E) -> StorageError {
    StorageError::Refused("an identifier that the host does not accept".to_owned())
}

/// Records are never claimed when they are loaded, so their age does not matter.
fn token_entry(Opened { revision, value }: Opened<Zeroizing<Vec<u8>>>) -> Entry<TokenValue> {
    let value = TokenValue { bytes: SecretBytes::new(value.to_vec()), age_ms: 0 };
    Entry { revision: Revision(revision.into()), value }
}

fn row_entry(key: &ConnectionKey, Opened { revision, value }: Opened<EncodedRow>) -> Result<Entry<Row>, StorageError> {
    let ((document, secrets), revision) = (value, Revision(revision.into()));
    match document::decode(key.clone(), &document, &secrets) {
        Ok(value) => Ok(Entry { revision, value }),
        Err(why) => Err(StorageError::RowUnreadable(revision, why)),
    }
}
