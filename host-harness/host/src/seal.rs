//! Seals tokens and ciphers on their way to a storage, and opens them on their way back. There is no switch to turn it off.
//!
//! Two layers of keys. A **data key** per tenant seals that tenant's values with an AEAD (XChaCha20-Poly1305, 256-bit keys,
//! 192-bit random nonces); the storage keeps it, wrapped. A **host key** wraps data keys; it never leaves its
//! [`KeyProvider`], which may be a key service. So a host key changes without a value being touched, and a tenant is erased
//! by erasing its data keys.
//!
//! A sealed value opens at its own place only: tenant, customer, account, purpose, revision, key and the format's version are
//! its associated data. Put elsewhere, or under a later revision, it does not open.

mod key_file;
mod keyring;
mod provider;
mod rotation;
mod sealed_storage;

use std::io;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize as _, Zeroizing};

pub use self::key_file::{KeyFile, KeyFileError};
pub use self::keyring::Keyring;
pub use self::provider::{HostKeys, InvalidHostKeys, KeyError, KeyProvider};
pub use self::rotation::{Erased, KeyStatus, Rotated, RotationError, RotationStep, TenantKeyStatus};
pub(crate) use self::sealed_storage::{OpenToken, OpenWrite, SealedStorage};
use crate::connection::ConnectionKey;
use crate::id::{KeyId, Revision, TenantId};
use crate::randomness::Randomness;
use crate::storage::Purpose;

/// Version of the format: a byte in front of every sealed value, and part of its associated data.
const FORMAT: u8 = 1;
const NONCE: usize = 24;

/// A key that seals a tenant's values, in clear: for a [`KeyProvider`], which wraps it. Wiped when it is dropped.
pub struct DataKey([u8; 32]);

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl DataKey {
    /// As it was unwrapped.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be wrapped.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn draw(randomness: &dyn Randomness) -> io::Result<Self> {
        let mut key = Self([0; 32]);
        randomness.fill(&mut key.0)?;
        Ok(key)
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Under a key, with a nonce of its own.
///
/// # Errors
/// The source of randomness failed, or the text is longer than the AEAD takes (256 GiB).
fn encrypt(key: &DataKey, associated: &[u8], clear: &[u8], randomness: &dyn Randomness) -> io::Result<Vec<u8>> {
    let mut nonce = [0; NONCE];
    randomness.fill(&mut nonce)?;
    let payload = Payload { msg: clear, aad: associated };
    let sealed = XChaCha20Poly1305::new(&key.0.into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_too_long| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok([&[FORMAT], nonce.as_slice(), &sealed].concat())
}

/// `None`: it was not sealed under this key with these associated data, or has been changed since.
fn decrypt(key: &DataKey, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.strip_prefix(&[FORMAT])?.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: associated };
    XChaCha20Poly1305::new(&key.0.into()).decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
}

/// Where a value stands. It opens nowhere else.
struct Place<'a> {
    tenant: &'a TenantId,
    key: &'a ConnectionKey,
    purpose: Purpose,
    revision: &'a Revision,
}

impl Place<'_> {
    fn associated(&self, sealed_by: &KeyId) -> Vec<u8> {
        let purpose = match self.purpose {
            Purpose::Token => "token",
            Purpose::Ciphers => "ciphers",
        };
        let ConnectionKey { customer, account } = self.key;
        associated(
            "record",
            &[
                self.tenant.as_str(),
                customer.as_str(),
                account.as_str(),
                purpose,
                sealed_by.as_str(),
                self.revision.as_str(),
            ],
        )
    }
}

/// Parts in their order, each behind its length, so that no two lists of parts are written alike.
fn associated(what: &str, parts: &[&str]) -> Vec<u8> {
    let mut bytes = b"tiktok-shop-connector\0".to_vec();
    bytes.push(FORMAT);
    for part in std::iter::once(&what).chain(parts) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests;
