//! Loads, decodes, encodes, writes and deletes token records.

use super::storage_error;
use crate::error::{Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::{Effects, Entry, Revision, StorageError, Swapped, TokenValue, TokenWrite};
use crate::record::{ConsentTime, DecodeError, Lineage, TokenRecord, VerificationRequest};
use crate::rotation::{MAX_ROUNDS, MAX_TRIES};
use crate::time::UnixSeconds;
use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;
use maybe_async::maybe_async;

/// A token record, and the revision of the write that stored it.
pub(super) struct VersionedRecord {
    pub(super) revision: Revision,
    pub(super) record: Box<TokenRecord>,
    /// The time since this revision was written, by the clock of the storage.
    pub(super) age: Duration,
    /// The due time that is stored with this revision. [`DueTime::Unknown`] if this call did not write it.
    pub(super) due: DueTime,
}

/// The due time that is stored beside a record. A load does not return it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DueTime {
    Unknown,
    /// `None` means that no refresh is due.
    Stored(Option<UnixSeconds>),
}

impl VersionedRecord {
    /// Combines a record with the revision that storage gave it a moment ago.
    pub(super) const fn written(revision: Revision, record: Box<TokenRecord>) -> Self {
        Self { revision, record, age: Duration::ZERO, due: DueTime::Unknown }
    }

    /// Decodes a stored record.
    pub(super) fn read(entry: Entry<TokenValue>) -> Result<Self, Error> {
        let record = TokenRecord::decode(entry.value.bytes.expose()).map_err(|error| match error {
            DecodeError::TooNew => Error::new(Cause::TokenRecordTooNew),
            DecodeError::Unreadable => Error::new(Cause::TokenRecordUnreadable),
        })?;
        Ok(Self {
            revision: entry.revision,
            record: Box::new(record),
            age: Duration::from_millis(entry.value.age_ms.into()),
            due: DueTime::Unknown,
        })
    }
}

/// Loads the record. The result may be older than the newest write.
#[maybe_async]
pub(super) async fn load(effects: &impl Effects, key: &ConnectionKey) -> Result<Option<VersionedRecord>, Error> {
    effects.load_token(key).await.map_err(storage_error)?.map(VersionedRecord::read).transpose()
}

/// Loads the record. The record that is found may be older than the newest write. If the load finds no record,
/// [`load_linearizable`] checks again, because a load may return an old state.
#[maybe_async]
pub(super) async fn load_or_confirm_absence(
    effects: &impl Effects,
    key: &ConnectionKey,
) -> Result<Option<VersionedRecord>, Error> {
    let loaded = load(effects, key).await?;
    if loaded.is_some() { Ok(loaded) } else { load_linearizable(effects, key).await }
}

/// Loads the record of this lineage. `None` means that [`load_linearizable`] has confirmed that the record is deleted
/// or replaced.
#[maybe_async]
pub(super) async fn load_lineage(
    effects: &impl Effects,
    key: &ConnectionKey,
    lineage: Lineage,
) -> Result<Option<VersionedRecord>, Error> {
    let ours = |stored: &VersionedRecord| stored.record.lineage() == lineage;
    if let Some(stored) = load(effects, key).await?.filter(ours) {
        return Ok(Some(stored));
    }
    Ok(load_linearizable(effects, key).await?.filter(ours))
}

/// Reads the newest record with a compare-and-swap that changes nothing: a delete that expects no record deletes
/// nothing and returns the record that is stored.
#[maybe_async]
pub(super) async fn load_linearizable(
    effects: &impl Effects,
    key: &ConnectionKey,
) -> Result<Option<VersionedRecord>, Error> {
    match effects.swap_token(key, None, None).await.map_err(storage_error)? {
        Swapped::Stale(found) => found.map(VersionedRecord::read).transpose(),
        Swapped::Deleted | Swapped::Stored(_) => Ok(None),
    }
}

/// The outcome of a compare-and-swap of one record.
pub(super) enum SwapOutcome {
    Stored(Revision),
    /// Nothing was written, because the stored revision is not the expected one, or because there is no record. The
    /// content is what storage had when it refused the write, not the result of an earlier load. So it shows reliably
    /// whether new tokens are stored.
    Stale(Option<VersionedRecord>),
    /// It is unknown whether the record was written.
    Unavailable(Error),
    /// The record was certainly not written, or the record that is stored cannot be read.
    Failed(Error),
}

/// Writes a record. The due time is calculated from the record and from `now`.
#[maybe_async]
pub(super) async fn swap(
    effects: &impl Effects,
    key: &ConnectionKey,
    expected: Option<&Revision>,
    record: &TokenRecord,
    now: UnixSeconds,
) -> SwapOutcome {
    swap_due_at(effects, key, expected, record, record.next_due(now)).await
}

/// Writes a record with the given due time.
#[maybe_async]
pub(super) async fn swap_due_at(
    effects: &impl Effects,
    key: &ConnectionKey,
    expected: Option<&Revision>,
    record: &TokenRecord,
    refresh_due_at: Option<UnixSeconds>,
) -> SwapOutcome {
    let Some(bytes) = record.encode() else { return SwapOutcome::Failed(Error::new(Cause::Internal)) };
    let write = TokenWrite { bytes, refresh_due_at };
    match effects.swap_token(key, expected, Some(write)).await {
        Ok(Swapped::Stored(revision)) => SwapOutcome::Stored(revision),
        Ok(Swapped::Stale(entry)) => match entry.map(VersionedRecord::read).transpose() {
            Ok(found) => SwapOutcome::Stale(found),
            Err(error) => SwapOutcome::Failed(error),
        },
        // A host that answers a write with "deleted" is broken, so it is unknown what it did.
        Ok(Swapped::Deleted) => SwapOutcome::Unavailable(Error::new(Cause::StorageUnavailable)),
        Err(StorageError::Unavailable(text)) => {
            SwapOutcome::Unavailable(storage_error(StorageError::Unavailable(text)))
        }
        Err(error @ (StorageError::Refused(_) | StorageError::RowChanged(_) | StorageError::RowUnreadable(..))) => {
            SwapOutcome::Failed(storage_error(error))
        }
    }
}

/// Records that the grant may have ended at `since`. If `since` is `None`, the grant may have ended now. Returns `Void`
/// if there is no record.
#[maybe_async]
pub(super) async fn request_verification(
    effects: &impl Effects,
    key: &ConnectionKey,
    since: Option<UnixSeconds>,
) -> Result<VerificationRequest, Error> {
    let mut stored = load_linearizable(effects, key).await?;
    let mut unavailable = 0;
    for _ in 0..MAX_ROUNDS {
        let Some(VersionedRecord { revision, mut record, .. }) = stored else { return Ok(VerificationRequest::Void) };
        match record.request_verification(since) {
            VerificationRequest::New => {}
            unchanged @ (VerificationRequest::Void | VerificationRequest::Known) => return Ok(unchanged),
        }
        stored = match swap(effects, key, Some(&revision), &record, effects.wall()).await {
            SwapOutcome::Stored(_) => return Ok(VerificationRequest::New),
            SwapOutcome::Stale(found) => found,
            SwapOutcome::Failed(error) => return Err(error),
            SwapOutcome::Unavailable(error) if unavailable + 1 >= MAX_TRIES => return Err(error),
            SwapOutcome::Unavailable(_) => {
                unavailable += 1;
                load_linearizable(effects, key).await?
            }
        };
    }
    Err(Error::new(Cause::StorageConflict))
}

/// The state of a connection when `disconnect` began. `disconnect` ends only the grant in this state, and no later
/// grant.
pub(super) enum Seen {
    /// There is no record.
    Nothing,
    /// The grant of one consent. A refresh changes the revision, but not the lineage.
    Grant {
        revision: Revision,
        lineage: Lineage,
        /// The key of the app that the grant belongs to.
        app_key: String,
        /// A new consent for a connected account keeps the lineage and has another time.
        consent: ConsentTime,
    },
    /// A record that cannot be decoded, and the reason.
    Unreadable(Revision, Error),
}

/// Reads the newest record of a connection that is about to be disconnected.
#[maybe_async]
pub(super) async fn see(effects: &impl Effects, key: &ConnectionKey) -> Result<Seen, Error> {
    let Swapped::Stale(Some(entry)) = effects.swap_token(key, None, None).await.map_err(storage_error)? else {
        return Ok(Seen::Nothing);
    };
    let revision = entry.revision.clone();
    Ok(match VersionedRecord::read(entry) {
        Ok(VersionedRecord { revision, record, .. }) => {
            let (lineage, consent) = (record.lineage(), record.consent_time());
            Seen::Grant { revision, lineage, app_key: record.app_key().into(), consent }
        }
        Err(error) => Seen::Unreadable(revision, error),
    })
}

/// The outcome of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deletion {
    /// The record that [`Seen`] describes is deleted, or there was no record.
    Gone,
    /// The seller has consented again during the call. The record of that consent stays.
    Replaced,
}

/// Deletes the record in `seen`, even if it cannot be decoded or a refresh has changed it since. Succeeds if there is
/// no record.
#[maybe_async]
pub(super) async fn delete(effects: &impl Effects, key: &ConnectionKey, seen: &Seen) -> Result<Deletion, Error> {
    let mut expected = match seen {
        Seen::Nothing => return Ok(Deletion::Gone),
        Seen::Grant { revision, .. } | Seen::Unreadable(revision, _) => Some(revision.clone()),
    };
    let mut unavailable = 0;
    for _ in 0..MAX_ROUNDS {
        expected = match effects.swap_token(key, expected.as_ref(), None).await {
            Ok(Swapped::Deleted | Swapped::Stale(None)) => return Ok(Deletion::Gone),
            Ok(Swapped::Stale(Some(entry))) => {
                let found = entry.revision.clone();
                match (seen, VersionedRecord::read(entry)) {
                    (Seen::Grant { lineage, consent, .. }, Ok(VersionedRecord { record, .. }))
                        if record.lineage() == *lineage && consent.is_that_of(&record) => {}
                    (Seen::Unreadable(revision, _), Err(_)) if *revision == found => {}
                    (_, Ok(_)) => return Ok(Deletion::Replaced),
                    (_, Err(error)) => return Err(error),
                }
                Some(found)
            }
            Err(error @ (StorageError::Refused(_) | StorageError::RowChanged(_) | StorageError::RowUnreadable(..))) => {
                return Err(storage_error(error));
            }
            Err(error @ StorageError::Unavailable(_)) if unavailable + 1 >= MAX_TRIES => {
                return Err(storage_error(error));
            }
            // Nobody knows whether the record is deleted. The next swap expects no record, so its outcome shows whether
            // a record is left.
            Ok(Swapped::Stored(_)) | Err(StorageError::Unavailable(_)) => {
                unavailable += 1;
                None
            }
        };
    }
    Err(Error::new(Cause::StorageConflict))
}

/// Makes a refresh due now, so that it reads the shops again. If another call holds a claim, a refresh is due soon
/// anyway, and nothing is written. A failed write only means that the refresh happens later.
#[maybe_async]
pub(super) async fn make_due(effects: &impl Effects, key: &ConnectionKey, stored: &VersionedRecord) {
    if stored.record.current_claim().is_none() {
        let now = Some(effects.wall());
        let _stale_or_failed = swap_due_at(effects, key, Some(&stored.revision), &stored.record, now).await;
    }
}

/// Returns the key of the connection to this account, even if there is no such connection. If `account` is `None`,
/// returns the key of the connection to the customer's only account.
#[maybe_async]
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
