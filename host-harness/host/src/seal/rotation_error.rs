//! The error of every operation that changes keys.

use super::key_file::KeyFileError;
use super::provider::KeyError;
use crate::id::{HostKeyId, KeyId};
use crate::storage::StorageError;

/// The reason why a change of the keys stopped. Steps that were finished before the error are not undone, except where
/// a function says so. If the caller repeats the operation, the operation continues where it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// A host key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file of host keys can't be used, or contains no host key with this id.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The storage did not answer, or refused the operation.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The current host key can't be retired, because it wraps new data keys. First make another host key the current
    /// one, and rotate.
    #[error("host key {0} is the current one: promote another host key and rotate first")]
    Current(HostKeyId),
    /// The host key still wraps data keys. Without this host key, the records that are sealed with these data keys
    /// could not be decrypted. Rotate first.
    #[error("host key {key} is in use: it wraps {keys} data keys with {records} records; rotate first")]
    InUse {
        /// The host key.
        key: HostKeyId,
        /// The number of data keys that the host key wraps.
        keys: u64,
        /// The number of records that these data keys seal.
        records: u64,
    },
    /// Other hosts still seal records with a data key that should be removed. They notice the new key within 60
    /// seconds, so try again after this time.
    #[error("hosts keep writing under data key {0}: try again in a minute")]
    Busy(KeyId),
}
