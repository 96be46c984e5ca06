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
//!     Action, AppCredentials, CallError, Component, ConnectorHost, CustomerId, Grant, MemoryStorage, ShopPolicy, StateCheck,
//!     StaticCredentials, SystemClock, TenantId,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tenant: TenantId = "acme".parse()?;
//! let credentials = AppCredentials {
//!     app_key: "6a1b2c3d4e5f6".to_owned(),
//!     app_secret: std::fs::read_to_string("app-secret")?.into(),
//!     previous_app_secret: None,
//!     authorization_link: Some("https://services.tiktokshop.com/open/authorize?service_id=1".to_owned()),
//! };
//! let host = ConnectorHost::builder()
//!     .component(Component::File("tiktok_shop_connector.wasm".into()))
//!     .storage(Arc::new(MemoryStorage::new(Arc::new(SystemClock::new()))))
//!     .credentials(Arc::new(StaticCredentials::new().with(tenant.clone(), credentials)))
//!     .build()?;
//!
//! // The seller consents under this link, and TikTok sends the browser back with a query.
//! let link = host.authorization_url(&tenant, "the-state".into()).await?;
//! # let query = link.as_str();
//!
//! let customer: CustomerId = "customer-7".parse()?;
//! let grant = Grant::Callback { query: query.into(), state: StateCheck::Expected("the-state".into()) };
//! match host.connect(&tenant, &customer, grant, ShopPolicy::All).await {
//!     Ok(connection) => println!("{} shops", connection.shops.len()),
//!     Err(CallError::Connector(error)) if error.action() == Action::Reauthorize => println!("ask again: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Logs
//!
//! This library logs no secret at any level. `wasmtime-wasi-http`, `hyper` and `h2` print whole requests at `TRACE`, and
//! requests to TikTok Shop carry the app secret and tokens in their URL: keep those targets below `TRACE`.

mod bindings;
mod builder;
mod clock;
mod connection;
mod convert;
mod credentials;
mod deadlines;
mod egress;
mod engine;
mod error;
mod host;
mod id;
mod imports;
mod limits;
mod randomness;
mod secret;
mod state;
mod storage;

pub use builder::{BuildError, Component, ConnectorHostBuilder};
pub use clock::{Clock, ManualClock, SystemClock};
pub use connection::{
    Connection, ConnectionKey, ConnectionStatus, Grant, PastFailure, ReauthorizationReason, Rotation, Shop, ShopPolicy,
    ShopStanding, StateCheck, UnixSeconds,
};
pub use credentials::{AppCredentials, CredentialsError, CredentialsProvider, StaticCredentials};
pub use deadlines::{CLAIM, Deadlines, DeadlinesError, REQUEST, SAVE};
pub use egress::{Authority, EgressPolicy, NotLoopback, Resolver, SystemResolver};
pub use error::{Action, CallError, ConnectorError, Failure, Plugin, Resource, Trap};
pub use host::ConnectorHost;
pub use id::{AccountId, CustomerId, InvalidId, Revision, ShopId, TenantId};
pub use limits::Limits;
pub use randomness::{Randomness, SystemRandomness};
pub use secret::Secret;
pub use storage::{
    HostStorage, MemoryStorage, Next, Row, RowEntry, StorageError, Swapped, TokenEntry, TokenValue, TokenWrite,
};
