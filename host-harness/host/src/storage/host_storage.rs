//! The trait of a complete storage. It joins the traits of the five parts of a storage.

use super::connections::ConnectionStorage;
use super::consents::ConsentStorage;
use super::keys::KeyStorage;
use super::tokens::TokenStorage;
use super::webhooks::WebhookStorage;

/// A complete storage. It keeps the tokens, connections, events, consents and data keys of all tenants, and remembers
/// which webhooks were handled.
///
/// A type that implements the five traits of the parts also implements this trait.
///
/// # What an implementation promises
///
/// - **Swaps are linearizable per key, and durable once they answer.** When two swaps expect the same revision, only
///   one of them succeeds. The other swap gets [`Swapped::Stale`](super::Swapped::Stale) with the record that is stored
///   now. `expected: None` means that the swap expects no record.
/// - **Reads may be stale.** A load may return a record that is older than the newest record. If a swap then expects
///   the revision of the older record, the swap is stale and changes nothing. A load never returns a record that nobody
///   wrote.
/// - **The storage keeps each record's revision as the host gave it.** The host draws revisions from 128 random bits.
///   It uses a revision a second time only to repeat the same write.
/// - **A write is atomic**, even if the caller stops waiting for it.
/// - **The storage's own clock measures the age of a token record.** The age counts from the write of the current
///   revision. The clocks of other machines are not used. If the age is unknown, it is
///   [`Duration::MAX`](std::time::Duration::MAX).
/// - **Keys are compared byte by byte.** Tenant, customer and account are separate parts of a key. An id may contain
///   any character, including separators and NUL. *Byte order* is the order of the ids' UTF-8 bytes.
/// - **The storage returns every value unchanged.** A text may contain any characters. The connector writes values of
///   up to 16 MiB.
/// - **A row and its events are written in one transaction.** The token record of a connection is written independently
///   of its row.
/// - **Events are append-only.** After an event was read, no event ever appears at an earlier position. If the
///   positions come from a database sequence, transactions may get their positions in one order and commit in another
///   order. So writers of one tenant must wait for each other.
/// - **Every sealed value has its key.** If the tenant no longer has the key of a value, or has
///   [erased](KeyStorage::rewrap_key) this key, a swap writes nothing and answers
///   [`StorageError::KeyGone`](super::StorageError::KeyGone). While a value is sealed with a key, the key can't be
///   [removed](KeyStorage::remove_key).
///
/// The host turns a panic, an error or a late answer of the storage into an error value for the connector. The
/// connector's call goes on.
pub trait HostStorage: TokenStorage + ConnectionStorage + ConsentStorage + WebhookStorage + KeyStorage {}

impl<S: TokenStorage + ConnectionStorage + ConsentStorage + WebhookStorage + KeyStorage + ?Sized> HostStorage for S {}
