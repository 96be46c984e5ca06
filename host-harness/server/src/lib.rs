//! The service of the TikTok Shop connector: one process with an HTTP API, for platforms in any language.
//!
//! [`Server`] puts a [`ConnectorHost`](tiktok_shop_host::ConnectorHost) behind `/v1`. It starts consents for sellers,
//! receives their callbacks and TikTok Shop's webhooks, sends [webhooks](delivery) to platforms, refreshes due
//! connections in the background, and reports its health and its metrics. The embedder opens the storage and the keys,
//! builds the host, and binds the listener. Any number of processes may serve one storage: a request may reach any of
//! them.
//!
//! The service never decides about tokens, never returns a token without the scope `token`, and logs no secret.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use tiktok_shop_host::ConnectorHost;
//! use tiktok_shop_host::clock::SystemClock;
//! use tiktok_shop_host::seal::Keyring;
//! use tiktok_shop_host::storage::{HostStorage, RequestStorage};
//! use tiktok_shop_server::delivery::{DeliveryStorage, Endpoints};
//! use tiktok_shop_server::{ApiKeys, Parts, Server, Settings};
//! use tokio::net::TcpListener;
//!
//! # async fn example(
//! #     host: ConnectorHost, storage: Arc<dyn HostStorage>, requests: Arc<dyn RequestStorage>, keyring: Keyring,
//! #     keys: ApiKeys, deliveries: Arc<dyn DeliveryStorage>, endpoints: Endpoints,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:4020").await?;
//! let settings = Settings::new("http://127.0.0.1:4020".parse()?);
//! let clock = Arc::new(SystemClock::new());
//! let (tenants, consent_page) = (Vec::new(), None);
//! let parts =
//!     Parts { host, storage, requests, keyring, clock, tenants, keys, consent_page, deliveries, endpoints };
//! Server::new(parts, settings).serve(listener, std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! The API is described by an OpenAPI 3.1 document: [`openapi_json`].

mod address;
mod api;
mod api_key;
mod caller;
mod census;
mod connect_page;
mod cookie;
pub mod delivery;
mod idempotency;
mod input;
mod install_page;
mod limits;
mod malformed;
mod metrics;
mod model;
mod observe;
mod openapi;
mod operations;
mod problem;
mod router;
mod server;
mod session;
mod settings;
mod state;
mod sweeper;
mod webhook;
mod whole_number;
mod write_deadline;

pub use address::{
    InstallAddress, InvalidInstallAddress, InvalidPublicAddress, InvalidReturnAddress, PublicAddress, ReturnAddress,
};
pub use api_key::{
    ApiKey, ApiKeyDigest, ApiKeyEntry, ApiKeys, DuplicateApiKey, InvalidApiKeyDigest, Scope, UnknownScope,
};
pub use metrics::Metrics;
pub use openapi::openapi_json;
pub use server::{ConsentPage, Parts, Server};
pub use settings::Settings;
