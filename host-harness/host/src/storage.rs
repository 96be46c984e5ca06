//! The trait of the storage that keeps tokens, connections and keys: [`HostStorage`]. A platform implements this trait
//! on its own database.
//!
//! `docs/storage.md` shows how to write an implementation, and the crate `tiktok-shop-storage-contract` checks one.
//! Every secret is sealed before it reaches a storage: see [`Sealed`].
//!
//! The five parts of the trait:
//!
//! | part | keeps |
//! | --- | --- |
//! | [`TokenStorage`] | one sealed token record per connection |
//! | [`ConnectionStorage`] | one row per connection, as the customer sees the connection, and the tenant's events |
//! | [`ConsentStorage`] | consents that have begun, and installs that wait for a confirmation |
//! | [`WebhookStorage`] | which webhooks were handled |
//! | [`KeyStorage`] | the tenants' wrapped data keys; it also deletes tenants |

mod connections;
mod consents;
mod deadline;
mod digest;
mod document;
mod environment;
mod error;
mod host_storage;
mod intercept;
mod keys;
mod memory;
mod requests;
mod swap;
mod tokens;
mod webhooks;

pub use self::connections::{
    ConnectionStorage, Ending, IndexedShop, OnceDigest, OpenRow, Row, RowCount, RowEntry, RowFilter, RowIndex,
    RowOrigin,
};
pub use self::consents::{
    BrowserDigest, ConsentRecord, ConsentStorage, InstallDigest, InstallRecord, StateDigest, StoredConsent,
    StoredInstall,
};
pub(crate) use self::deadline::{RetryBackoff, run_to_deadline, run_within};
pub use self::environment::Environment;
pub use self::error::StorageError;
pub use self::host_storage::HostStorage;
pub use self::intercept::{Access, Answer, Intercepted, Interceptor, Passage};
pub use self::keys::{Deleted, KeyStorage, KeyUse, Purpose, Sealed, SealedRecord, TenantKey, WrappedKey};
pub use self::memory::MemoryStorage;
pub use self::requests::{BegunRequest, RequestDigest, RequestStorage, StoredRequest};
pub use self::swap::{Next, Swapped};
pub use self::tokens::{Due, TokenEntry, TokenStorage, TokenWrite};
pub use self::webhooks::{WebhookDigest, WebhookStorage};
