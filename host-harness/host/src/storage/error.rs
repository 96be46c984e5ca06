//! Why a call to a storage failed.

use tiktok_shop_connector_core::ports::Revision as CoreRevision;

use crate::id::Revision;

/// Why a call to a storage failed. The text of the error appears in error details and in logs, so it must not contain a
/// stored value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// If the call was a write, it is unknown whether the write happened. The host tries again.
    #[error("storage unavailable: {0}")]
    Unavailable(String),
    /// Nothing was written, for example because of a quota, a size limit or a missing key.
    #[error("storage refused: {0}")]
    Refused(String),
    /// Nothing was written, because the tenant no longer has the key with which the value is sealed. The host seals the
    /// value with another key and tries again.
    #[error("storage refused: the value is sealed under a key that is gone")]
    KeyGone,
    /// The stored row with this revision is not the row that the host wrote. Somebody changed it in the database, or
    /// moved it from another place. A storage never returns this error: the host does, when it checks the seal.
    #[error("the stored row was changed in the database")]
    RowChanged(Revision),
}

impl From<StorageError> for tiktok_shop_connector_core::ports::StorageError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(why) => Self::Unavailable(why),
            StorageError::Refused(why) => Self::Refused(why),
            StorageError::KeyGone => Self::Refused(error.to_string()),
            StorageError::RowChanged(revision) => Self::RowChanged(CoreRevision(revision.into())),
        }
    }
}

impl StorageError {
    /// Returns a short name of the error. Programs use this name, and count errors by it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "storage-unavailable",
            Self::Refused(_) | Self::KeyGone => "storage-refused",
            Self::RowChanged(_) => "row-changed",
        }
    }
}
