//! The reference host of the TikTok Shop connector, as a library. It runs the connector's WebAssembly component on
//! wasmtime.
//!
//! [`ConnectorHost`] gives the component clocks, randomness, the app's credentials, storage, and outbound HTTP to
//! TikTok Shop's two servers, and nothing else. The component can't reach a file system, environment variables, a
//! socket or a standard stream. Every call runs in a fresh instance, for one tenant. The caller chooses the tenant; the
//! guest can't.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use tiktok_shop_host::clock::SystemClock;
//! use tiktok_shop_host::connection::ShopPolicy;
//! use tiktok_shop_host::consent::{BrowserSession, ConsentError};
//! use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
//! use tiktok_shop_host::error::Action;
//! use tiktok_shop_host::seal::HostKeys;
//! use tiktok_shop_host::storage::MemoryStorage;
//! use tiktok_shop_host::{CallError, Component, ConnectorHost, CustomerId, TenantId};
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
//! // The seller opens the link `consent.url` and consents. TikTok then sends the same browser to your callback, with a
//! // query.
//! let customer: CustomerId = "customer-7".parse()?;
//! # let (cookie, query) = ("", "");
//! let browser = BrowserSession::new(cookie.into()).ok_or("no user is signed in")?;
//! let consent = host.begin_consent(&tenant, &customer, None, &browser, ShopPolicy::All).await?;
//! println!("send the browser to {}", consent.url.expose());
//!
//! match host.finish_consent(&tenant, &browser, query.into()).await {
//!     Ok(connection) => println!("{} shops", connection.shops.len()),
//!     Err(ConsentError::Call(CallError::Connector(error))) if error.action() == Action::Reauthorize => {
//!         println!("ask the seller for a new consent: {error}");
//!     }
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! The crate root contains the names that every embedder needs: the host, its builder, its error and the ids.
//! Everything else is in a module. There is one module for each call: [`connect`], [`consent`], [`existing_grant`],
//! [`export_grant`], [`install`], [`list`], [`refresh`], [`access_token`], [`call`], [`disconnect`], [`webhook`],
//! [`sweep`]. The module [`events`] contains the events, which say who did what. There is one module for each part that
//! an embedder provides or chooses: [`storage`], [`seal`], [`credentials`], [`egress`], [`clock`], [`randomness`],
//! [`certificates`].
//!
//! # Logs
//!
//! This library logs through `tracing`. It logs no secret at any level. Every call has a span `call` with the fields
//! `operation`, `tenant` and `customer`. The span also has the field `account` if the call is for one account, and
//! `actor` if the caller named an actor. When a call ends, the library logs one event, even if the caller no longer
//! waits. This table shows the events and their levels:
//!
//! | level | event |
//! | --- | --- |
//! | `ERROR` | The host had to end the call (`outcome` is `trapped`, `deadline-exceeded`, `exhausted`, …), or the connector returned `internal`. The event `TokenShown` of a returned access token, `GrantExported` of an exported grant, or the event of a pending install could not be stored. |
//! | `WARN` | The connector returned another error. `outcome` is the error's action. The event also has the fields `code`, `http_status`, `request_id` and `retry_after_ms`. No instance was free (`busy`). An export was refused because the host does not allow it. No connection to TikTok Shop could be made: the field `failure` names the step that failed, for example `connection refused` or `the certificate was not accepted`. A request got no response. A handled webhook could not be remembered. A state stays used although its callback could be repeated. A confirmed install could not be closed. A list leaves out a connection because of its row. |
//! | `INFO` | A `connect`, `refresh`, `link-shops` or `disconnect` succeeded. |
//! | `DEBUG` | A call that only reads succeeded. Each response: host, method and status. |
//! | `TRACE` | The answer of each call, with its secrets redacted. |
//!
//! The crates that this library uses can log secrets. Requests to TikTok Shop carry the app secret, codes and tokens in
//! their URL, and `wasmtime-wasi-http` logs that URL at `TRACE`. Put a [`LogFilter`](log_filter::LogFilter) on every
//! layer that writes logs. With this filter, the logs contain no secret at any level:
//!
//! ```
//! use tiktok_shop_host::log_filter::LogFilter;
//! use tracing_subscriber::filter::{EnvFilter, FilterExt as _};
//! use tracing_subscriber::prelude::*;
//!
//! let wanted = EnvFilter::new("info,tiktok_shop_host=trace");
//! let subscriber = tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().with_filter(wanted.and(LogFilter)));
//! # drop(subscriber);
//! ```

pub mod access_token;
pub mod boundary;
mod build_error;
mod builder;
pub mod call;
pub mod certificates;
pub mod clock;
pub mod compiled_cache;
mod component;
pub mod connect;
pub mod connection;
pub mod consent;
pub mod credentials;
pub mod deadlines;
pub mod disconnect;
pub mod egress;
mod environment_guard;
pub mod error;
pub mod events;
pub mod existing_grant;
pub mod export_grant;
mod guest;
mod host;
mod id;
mod import_grant;
pub mod install;
mod install_tokens;
mod known_tenants;
pub mod limits;
mod link_shops;
pub mod list;
pub mod log_filter;
pub mod metrics;
pub mod randomness;
pub mod refresh;
pub mod retry;
pub mod seal;
mod secret;
mod secret_use;
pub mod storage;
pub mod sweep;
pub mod webhook;
mod words;

pub use build_error::BuildError;
pub use builder::{Component, ConnectorHostBuilder};
pub use component::{ComponentDigest, InvalidComponentDigest};
pub use error::CallError;
pub use host::ConnectorHost;
pub use id::{AccountId, AppKey, CustomerId, HostKeyId, InvalidId, KeyId, Revision, ShopId, TenantId};
pub use secret::Secret;
pub use words::UnknownWord;
