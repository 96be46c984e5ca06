//! Seals (encrypts) tokens and shop ciphers before they reach a storage, and opens (decrypts) them when they are read.
//! Sealing can't be turned off.
//!
//! There are two kinds of keys. A **data key** seals the values of one tenant with an AEAD: XChaCha20-Poly1305 with
//! 256-bit keys and 192-bit random nonces. The storage keeps data keys only in wrapped form. A **host key** wraps
//! (encrypts) the data keys. It never leaves its [`KeyProvider`], which may be a key service. Without its data keys, no
//! value of a tenant can be opened. So the host erases a tenant by erasing the tenant's data keys.
//!
//! The tokens of an install from TikTok's App Store that nobody has confirmed yet are sealed in the same way, but with a
//! key that the host derives from the secret of the browser session. Neither the storage nor the host keeps that key.
//!
//! A sealed value belongs to one record. Its associated data are the tenant, the customer, the account, the purpose,
//! the revision, the id of the data key and the version of the format. If a value is copied to another record, or
//! stored with another revision, it can't be decrypted. The sealed value of a row also contains a digest of the row's
//! document, so that the host notices a change of the row.

mod aead;
mod erasure;
mod host_key_check;
mod install;
mod key_file;
mod key_status;
mod key_succession;
mod keyring;
#[cfg(feature = "measurements")]
mod measured;
mod place;
mod promotion;
mod provider;
mod retirement;
mod rotation;
mod rotation_error;
mod row_seal;
mod sealed_storage;

pub use self::aead::DataKey;
pub(crate) use self::aead::encode_associated_data;
pub use self::erasure::Erased;
pub use self::host_key_check::HostKeyCheck;
pub(crate) use self::install::{InstallSeal, name_of_install};
pub use self::key_file::{KeyFile, KeyFileError};
pub use self::key_status::{KeyStatus, TenantKeyStatus};
pub use self::key_succession::KeySuccession;
pub use self::keyring::Keyring;
#[cfg(feature = "measurements")]
pub use self::measured::{EncodedRow, Opened, SealedRecords};
pub use self::provider::{Destruction, HostKeys, InvalidHostKeys, KeyError, KeyProvider};
pub use self::rotation::{Rotated, RotationStep};
pub use self::rotation_error::RotationError;
pub(crate) use self::sealed_storage::{CheckedRow, OpenToken, OpenWrite, RowWrite, SealedStorage, UnsealedRows};

#[cfg(test)]
mod tests;
