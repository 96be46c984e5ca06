//! Loads and swaps of the token record, decoded.

use super::storage_error;
use crate::error::{Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::{Effects, Entry, Revision, StorageError, Swapped, TokenValue, TokenWrite};
use crate::record::{DecodeError, Lineage, TokenRecord};
use crate::rotation::{self, MOST_ROUNDS, MOST_TRIES, Suspicion, next_due};
use crate::time::UnixSeconds;
use alloc::boxed::Box;
use core::time::Duration;

/// A token record as stored.
pub(super) struct Held {
    pub(super) revision: Revision,
    pub(super) record: Box<TokenRecord>,
    /// By the storage's clock, when it was read.
    pub(super) age: Duration,
}

impl Held {
    /// A record just written.
    pub(super) const fn written(revision: Revision, record: Box<TokenRecord>) -> Self {
        Self { revision, record, age: Duration::ZERO }
    }

    pub(super) fn read(entry: Entry<TokenValue>) -> Result<Self, Error> {
        let record = TokenRecord::decode(entry.value.bytes.expose()).map_err(|error| match error {
            DecodeError::TooNew => Error::new(Cause::TokenRecordTooNew),
            DecodeError::Unreadable => Error::new(Cause::TokenRecordUnreadable),
        })?;
        Ok(Self { revision: entry.revision, record: Box::new(record), age: Duration::from_millis(entry.value.age_ms) })
    }
}

pub(super) async fn load(effects: &impl Effects, key: &ConnectionKey) -> Result<Option<Held>, Error> {
    effects.load_token(key).await.map_err(storage_error)?.map(Held::read).transpose()
}

/// The record as it stands, if any. A load may be older than the newest write, so none is believed only of a swap that
/// changes nothing.
pub(super) async fn load_surely(effects: &impl Effects, key: &ConnectionKey) -> Result<Option<Held>, Error> {
    let loaded = load(effects, key).await?;
    if loaded.is_some() { Ok(loaded) } else { read_by_swap(effects, key).await }
}

/// The record of this lineage; none once a swap has shown that it is gone or replaced.
pub(super) async fn load_of(
    effects: &impl Effects,
    key: &ConnectionKey,
    lineage: Lineage,
) -> Result<Option<Held>, Error> {
    let ours = |held: &Held| held.record.lineage == lineage;
    if let Some(held) = load(effects, key).await?.filter(ours) {
        return Ok(Some(held));
    }
    Ok(read_by_swap(effects, key).await?.filter(ours))
}

/// Deletes nothing where nothing is: the one read that cannot be old.
pub(super) async fn read_by_swap(effects: &impl Effects, key: &ConnectionKey) -> Result<Option<Held>, Error> {
    match effects.swap_token(key, None, None).await.map_err(storage_error)? {
        Swapped::Stale(found) => found.map(Held::read).transpose(),
        Swapped::Deleted | Swapped::Stored(_) => Ok(None),
    }
}

/// How a swap of one record ended.
pub(super) enum Swap {
    Stored(Revision),
    /// What stands there instead: it was read after the write was refused, so a pair may be judged by it.
    Stale(Option<Held>),
    /// Nobody knows whether it was written.
    Unavailable(Error),
    /// Certainly not written, or what stands there cannot be read.
    Failed(Error),
}

/// Writes a record, due when its own state says so.
pub(super) async fn swap(
    effects: &impl Effects,
    key: &ConnectionKey,
    expected: Option<&Revision>,
    record: &TokenRecord,
    now: UnixSeconds,
) -> Swap {
    swap_due_at(effects, key, expected, record, next_due(record, now)).await
}

/// Writes a record, due at a given time.
pub(super) async fn swap_due_at(
    effects: &impl Effects,
    key: &ConnectionKey,
    expected: Option<&Revision>,
    record: &TokenRecord,
    refresh_due_at: Option<UnixSeconds>,
) -> Swap {
    let Some(bytes) = record.encode() else { return Swap::Failed(Error::new(Cause::Internal)) };
    let write = TokenWrite { bytes, refresh_due_at };
    match effects.swap_token(key, expected, Some(write)).await {
        Ok(Swapped::Stored(revision)) => Swap::Stored(revision),
        Ok(Swapped::Stale(entry)) => match entry.map(Held::read).transpose() {
            Ok(held) => Swap::Stale(held),
            Err(error) => Swap::Failed(error),
        },
        // A write was asked for: a host that answers "deleted" did something, and nobody knows what.
        Ok(Swapped::Deleted) => Swap::Unavailable(Error::new(Cause::StorageUnavailable)),
        Err(StorageError::Unavailable(text)) => Swap::Unavailable(storage_error(StorageError::Unavailable(text))),
        Err(StorageError::Refused(text)) => Swap::Failed(storage_error(StorageError::Refused(text))),
    }
}

/// Records that the grant may have ended since a time (none: now). Void where there is no record.
pub(super) async fn suspect(
    effects: &impl Effects,
    key: &ConnectionKey,
    since: Option<UnixSeconds>,
) -> Result<Suspicion, Error> {
    let mut stored = read_by_swap(effects, key).await?;
    let mut unavailable = 0;
    for _ in 0..MOST_ROUNDS {
        let Some(Held { revision, mut record, .. }) = stored else { return Ok(Suspicion::Void) };
        match rotation::suspect(&mut record, since) {
            Suspicion::New => {}
            settled @ (Suspicion::Void | Suspicion::Known) => return Ok(settled),
        }
        stored = match swap(effects, key, Some(&revision), &record, effects.now().wall).await {
            Swap::Stored(_) => return Ok(Suspicion::New),
            Swap::Stale(found) => found,
            Swap::Failed(error) => return Err(error),
            Swap::Unavailable(error) if unavailable + 1 >= MOST_TRIES => return Err(error),
            Swap::Unavailable(_) => {
                unavailable += 1;
                read_by_swap(effects, key).await?
            }
        };
    }
    Err(Error::new(Cause::StorageConflict))
}

/// Deletes the record, readable or not. There being none is as good.
pub(super) async fn delete(effects: &impl Effects, key: &ConnectionKey) -> Result<(), Error> {
    // Expecting nothing finds what is there, without waiting for a load that lags.
    let mut expected = None;
    let mut unavailable = 0;
    for _ in 0..MOST_ROUNDS {
        expected = match effects.swap_token(key, expected.as_ref(), None).await {
            Ok(Swapped::Deleted | Swapped::Stale(None)) => return Ok(()),
            Ok(Swapped::Stale(Some(entry))) => Some(entry.revision),
            Err(error @ StorageError::Refused(_)) => return Err(storage_error(error)),
            Err(error @ StorageError::Unavailable(_)) if unavailable + 1 >= MOST_TRIES => {
                return Err(storage_error(error));
            }
            // Perhaps deleted: asked anew.
            Ok(Swapped::Stored(_)) | Err(StorageError::Unavailable(_)) => {
                unavailable += 1;
                None
            }
        };
    }
    Err(Error::new(Cause::StorageConflict))
}

/// The connection that is meant: none means the customer's only account.
pub(super) async fn resolve(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
) -> Result<ConnectionKey, Error> {
    if let Some(account) = account {
        return Ok(ConnectionKey { customer, account });
    }
    let mut accounts = effects.accounts(&customer).await.map_err(storage_error)?.into_iter();
    match (accounts.next(), accounts.next()) {
        (None, _) => Err(Error::new(Cause::NotConnected)),
        (Some(account), None) => Ok(ConnectionKey { customer, account }),
        (Some(_), Some(_)) => Err(Error::new(Cause::AccountRequired)),
    }
}
