//! Where tokens and connections are kept. A platform implements [`HostStorage`] on its own database.
//!
//! `docs/storage.md` shows how to write an implementation, and the crate `tiktok-shop-storage-contract` checks one. Every
//! secret is sealed before it reaches a storage: see [`Sealed`].
//!
//! The five parts of the trait:
//!
//! | part | keeps |
//! | --- | --- |
//! | [`TokenStorage`] | one sealed token record per connection |
//! | [`ConnectionStorage`] | one row per connection, which the customer sees, and the tenant's events |
//! | [`ConsentStorage`] | consents that have begun |
//! | [`WebhookStorage`] | which webhooks were handled |
//! | [`KeyStorage`] | the tenants' wrapped data keys |

mod connections;
mod consents;
mod deadline;
mod digest;
mod error;
mod intercept;
mod keys;
mod memory;
mod swap;
mod tokens;
mod webhooks;

pub use self::connections::OnceDigest;
pub use self::connections::{ConnectionStorage, Ending, Row, RowEntry};
pub use self::consents::{BrowserDigest, ConsentRecord, ConsentStorage, StateDigest, StoredConsent};
pub(crate) use self::deadline::{run_to_deadline, run_within};
pub use self::error::StorageError;
pub use self::intercept::{Access, Answer, Intercepted, Interceptor, Passage};
pub use self::keys::{KeyStorage, KeyUse, Purpose, Sealed, SealedRecord, TenantKey, WrappedKey};
pub use self::memory::MemoryStorage;
pub use self::swap::{Next, Swapped};
pub use self::tokens::{Due, TokenEntry, TokenStorage, TokenWrite};
pub use self::webhooks::{WebhookDigest, WebhookStorage};

/// Storage of all tenants: their tokens, their connections and events, and what consents, webhooks and keys need.
///
/// A type that implements the five parts implements this trait as well.
///
/// # What an implementation promises
///
/// - **Swaps are linearizable per key, and durable once they answer.** When two swaps expect the same revision, one of them
///   succeeds. The other one gets [`Swapped::Stale`] with the record that won. `expected: None` means that no record exists.
/// - **Reads may be stale.** A load may return an older record than the newest one. The next swap then fails as stale and
///   changes nothing. A load never returns a record that nobody wrote.
/// - **The storage keeps each record's revision as the host gave it.** The host draws revisions from 128 random bits. It uses
///   one revision twice only when it repeats the same write.
/// - **A write is atomic**, even if the caller stops waiting for it.
/// - **The storage's own clock measures the age of a token record**, from the write of its revision. No other machine's clock
///   takes part. If the age is unknown, it is [`Duration::MAX`](std::time::Duration::MAX).
/// - **Keys are compared byte by byte.** Tenant, customer and account are separate parts of a key. An id may contain any
///   character, including separators and NUL. *Byte order* is the order of the ids' UTF-8 bytes.
/// - **The storage returns every value unchanged**: any text, up to the 16 MiB that the connector may write.
/// - **A row and its events are written in one transaction.** A token record and a row are independent of each other.
/// - **Events are append-only.** No event ever appears at a position before one that was already read. A database sequence
///   commits its numbers in another order than it hands them out, so writers of one tenant must wait for each other.
/// - **Every sealed value has its key.** A swap answers [`StorageError::KeyGone`] and writes nothing if the tenant no longer
///   has the value's key, or has [erased](KeyStorage::rewrap_key) it. A key that still seals a value can't be
///   [removed](KeyStorage::remove_key).
///
/// The host turns a panic, an error or a late answer of the storage into an error value for the connector. The call goes on.
pub trait HostStorage: TokenStorage + ConnectionStorage + ConsentStorage + WebhookStorage + KeyStorage {}

impl<S: TokenStorage + ConnectionStorage + ConsentStorage + WebhookStorage + KeyStorage + ?Sized> HostStorage for S {}
