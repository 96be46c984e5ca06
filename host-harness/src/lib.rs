//! The reference host of the TikTok Shop connector, as a library: it runs the connector's WebAssembly component on wasmtime.
//!
//! [`ConnectorHost`] gives the component what it may have and nothing else: outbound HTTP to TikTok Shop's two hosts,
//! clocks, randomness, the app's credentials, and storage. There is no file system, environment, socket or standard stream
//! to reach. Every call runs in a fresh instance, for one tenant that the caller names; the guest cannot name one.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use tiktok_shop_host_harness::{
//!     Action, AppCredentials, BrowserSession, CallError, Component, ConnectorHost, ConsentError, CustomerId, HostKeys,
//!     MemoryStorage, ShopPolicy, StaticCredentials, SystemClock, TenantId,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tenant: TenantId = "acme".parse()?;
//! let credentials = AppCredentials {
//!     app_key: "6a1b2c3d4e5f6".to_owned(),
//!     app_secret: std::fs::read_to_string("app-secret")?.trim_end().into(),
//!     previous_app_secret: None,
//!     authorization_link: Some("https://services.tiktokshop.com/open/authorize?service_id=1".to_owned()),
//! };
//! let host = ConnectorHost::builder()
//!     .component(Component::File("tiktok_shop_connector.wasm".into()))
//!     .storage(Arc::new(MemoryStorage::new(Arc::new(SystemClock::new()))))
//!     .keys(Arc::new(HostKeys::draw()?))
//!     .credentials(Arc::new(StaticCredentials::new().with(tenant.clone(), credentials)))
//!     .build()?;
//!
//! // The seller consents under this link, and TikTok sends the same browser back with a query.
//! let customer: CustomerId = "customer-7".parse()?;
//! # let (cookie, query) = ("", "");
//! let browser = BrowserSession::new(cookie.into()).ok_or("nobody is signed in")?;
//! let consent = host.begin_consent(&tenant, &customer, &browser, ShopPolicy::All).await?;
//! println!("send the browser to {}", consent.url.expose());
//!
//! match host.finish_consent(&tenant, &browser, query.into()).await {
//!     Ok(connection) => println!("{} shops", connection.shops.len()),
//!     Err(ConsentError::Call(CallError::Connector(error))) if error.action() == Action::Reauthorize => {
//!         println!("ask again: {error}");
//!     }
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Logs
//!
//! This library logs through `tracing` and no secret at any level. Every call is a span `call` (`operation`, `tenant`,
//! `customer`, `account` where one was named) and one event at its end, whoever still waits for it:
//!
//! | level | what |
//! | --- | --- |
//! | `ERROR` | a call that the host had to end (`outcome` is `trapped`, `deadline-exceeded`, `exhausted`, …), or `internal` |
//! | `WARN` | a call that ended in one of the connector's errors (`outcome` names the case; `code`, `http_status`, `request_id`, `retry_after_ms`) or found no free instance (`busy`); a request without a response; a webhook that is handled but not remembered, a state that should be usable again and is not |
//! | `INFO` | a `connect`, `refresh`, `link-shops` or `disconnect` that is done |
//! | `DEBUG` | a call that only read; each response's host, method and status |
//! | `TRACE` | what each call answers, its secrets redacted |
//!
//! The crates under it are not as careful: requests to TikTok Shop carry the app secret, codes and tokens in their URL, and
//! `wasmtime-wasi-http` prints it at `TRACE`. Put a [`LogFilter`] on every layer that writes logs; with it any level is safe:
//!
//! ```
//! use tiktok_shop_host_harness::LogFilter;
//! use tracing_subscriber::filter::{EnvFilter, FilterExt as _};
//! use tracing_subscriber::prelude::*;
//!
//! let wanted = EnvFilter::new("info,tiktok_shop_host_harness=trace");
//! let subscriber = tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().with_filter(wanted.and(LogFilter)));
//! # drop(subscriber);
//! ```

mod api_call;
mod bindings;
mod builder;
mod call_log;
mod clock;
mod connection;
mod consent;
#[cfg(any(test, feature = "contract-tests"))]
pub mod contract_tests;
mod convert;
mod credentials;
mod crossing;
mod deadlines;
mod digest;
mod egress;
mod engine;
mod error;
mod event;
#[cfg(test)]
mod guest_memory;
mod host;
mod id;
mod imports;
mod lifecycle;
mod limits;
mod log_filter;
mod notice;
pub mod private_file;
mod randomness;
mod retry;
mod seal;
mod secret;
mod state;
mod storage;
mod sweep;
mod webhook_entry;

pub use api_call::{CallRequest, CallResponse, CallScope, HttpMethod, ValidToken};
pub use builder::{BuildError, Component, ConnectorHostBuilder};
pub use clock::{Clock, ManualClock, SystemClock};
pub use connection::{
    Connection, ConnectionKey, ConnectionStatus, Grant, PastFailure, ReauthorizationReason, Rotation, Shop, ShopPolicy,
    ShopStanding, StateCheck, UnixSeconds,
};
pub use consent::{BrowserDigest, BrowserSession, Consent, ConsentError, ConsentRecord, StoredConsent};
pub use credentials::{AppCredentials, CredentialsError, CredentialsProvider, StaticCredentials};
pub use crossing::{Crossing, Direction};
pub use deadlines::{CLAIM, Deadlines, DeadlinesError, REQUEST, SAVE};
pub use digest::{OnceDigest, StateDigest, WebhookDigest};
pub use egress::{Authority, EgressPolicy, NotLoopback, Resolver, SystemResolver};
pub use error::{Action, CallError, ConnectorError, Failure, Plugin, Resource, Trap};
pub use event::{Event, EventKind, EventPosition, NewEvent};
pub use host::ConnectorHost;
pub use id::{AccountId, CustomerId, HostKeyId, InvalidId, KeyId, Revision, ShopId, TenantId};
pub use lifecycle::{DisconnectTarget, Disconnected, NotRevoked, RemoteGrant, Webhook, WebhookEffect, WebhookOwner};
pub use limits::Limits;
pub use log_filter::LogFilter;
pub use private_file::PrivateFileError;
pub use randomness::{Randomness, SystemRandomness};
pub use retry::with_retries;
pub use seal::{
    DataKey, Erased, HostKeys, InvalidHostKeys, KeyError, KeyFile, KeyFileError, KeyProvider, KeyStatus, Keyring,
    Rotated, RotationError, RotationStep, TenantKeyStatus,
};
pub use secret::Secret;
#[cfg(feature = "sql")]
pub use storage::{BootClock, MachineClock, NewConnection, OpenError, PostgresOptions, SqlStorage};
pub use storage::{
    Due, Ending, HostStorage, KeyUse, MemoryStorage, Next, Purpose, Row, RowEntry, Sealed, SealedRecord, StorageError,
    Swapped, TenantKey, TokenEntry, TokenWrite, WrappedKey,
};
pub use sweep::{Sweep, SweepError, Swept};
pub use webhook_entry::WebhookReply;
