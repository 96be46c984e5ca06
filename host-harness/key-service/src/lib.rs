//! Host keys in a key service: OpenBao or HashiCorp Vault, with the transit engine.
//!
//! [`KeyService`] is a [`KeyProvider`](tiktok_shop_host::seal::KeyProvider). The service has one key for each tenant.
//! This key never leaves the service. The host sends a tenant's data key to the service to wrap (encrypt) or unwrap
//! (decrypt) it. If somebody deletes a tenant's key in the service, nobody can open a value of this tenant any more, in
//! any copy or backup of the database.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tiktok_shop_key_service::{Auth, KeyService, Options};
//!
//! let auth = Auth::AppRole { mount: "approle".into(), role_id: "connector".into(), secret_id: "…".into() };
//! let keys = KeyService::new(Options::new("https://bao.internal:8200", auth))?;
//! # let _ = keys;
//! # Ok(())
//! # }
//! ```

mod address;
mod auth;
mod client;
mod error;
mod key_name;
mod options;
mod provider;
mod session;

pub use self::auth::Auth;
pub use self::error::SetupError;
pub use self::options::{DEFAULT_PREFIX, Options};
pub use self::provider::KeyService;
