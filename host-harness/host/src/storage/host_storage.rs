//! The storage as a whole: the trait that joins the five parts.

use super::connections::ConnectionStorage;
use super::consents::ConsentStorage;
use super::keys::KeyStorage;
use super::tokens::TokenStorage;
use super::webhooks::WebhookStorage;

/// Storage of all tenants: their tokens, their connections and events, and what consents, webhooks and keys need.
///
/// A type that implements the five parts implements this trait as well.
///
/// # What an implementation promises
///
/// - **Swaps are linearizable per key, and durable once they answer.** When two swaps expect the same revision, one of
///   them succeeds. The other one gets [`Swapped::Stale`](super::Swapped::Stale) with the record that won. `expected:
///   None` means that no record exists.
/// - **Reads may be stale.** A load may return an older record than the newest one. The next swap then fails as stale
///   and changes nothing. A load never returns a record that nobody wrote.
/// - **The storage keeps each record's revision as the host gave it.** The host draws revisions from 128 random bits.
///   It uses one revision twice only when it repeats the same write.
/// - **A write is atomic**, even if the caller stops waiting for it.
/// - **The storage's own clock measures the age of a token record**, from the write of its revision. No other machine's
///   clock takes part. If the age is unknown, it is [`Duration::MAX`](std::time::Duration::MAX).
/// - **Keys are compared byte by byte.** Tenant, customer and account are separate parts of a key. An id may contain
///   any character, including separators and NUL. *Byte order* is the order of the ids' UTF-8 bytes.
/// - **The storage returns every value unchanged**: any text, up to the 16 MiB that the connector may write.
/// - **A row and its events are written in one transaction.** A token record and a row are independent of each other.
/// - **Events are append-only.** No event ever appears at a position before one that was already read. Transactions may
///   get their numbers from a database sequence in one order and commit in another order. So writers of one tenant must
///   wait for each other.
/// - **Every sealed value has its key.** A swap answers [`StorageError::KeyGone`](super::StorageError::KeyGone) and
///   writes nothing if the tenant no longer has the value's key, or has [erased](KeyStorage::rewrap_key) it. A key that
///   still seals a value can't be [removed](KeyStorage::remove_key).
///
/// The host turns a panic, an error or a late answer of the storage into an error value for the connector. The call
/// goes on.
pub trait HostStorage: TokenStorage + ConnectionStorage + ConsentStorage + WebhookStorage + KeyStorage {}

impl<S: TokenStorage + ConnectionStorage + ConsentStorage + WebhookStorage + KeyStorage + ?Sized> HostStorage for S {}
