//! The authenticated encryption (AEAD) that seals values and wraps data keys: XChaCha20-Poly1305.

use std::io;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::randomness::Randomness;

/// The version of the format. It is the first byte of every sealed value, and part of its associated data.
pub(super) const FORMAT: u8 = 1;
/// The length of a nonce in bytes.
pub(super) const NONCE: usize = 24;

/// An unwrapped data key, which seals a tenant's values. A [`KeyProvider`](super::KeyProvider) wraps it. Its bytes are
/// zeroed on drop.
pub struct DataKey([u8; 32]);

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl DataKey {
    /// Creates a data key from its unwrapped bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the unwrapped bytes of the key. Only a [`KeyProvider`](super::KeyProvider) needs them, to wrap the key.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn draw(randomness: &dyn Randomness) -> io::Result<Self> {
        let mut key = Self([0; 32]);
        randomness.fill(&mut key.0)?;
        Ok(key)
    }

    /// Returns whether the key consists of zeros only. Such a key was not drawn at random. It is a placeholder, or
    /// memory that nobody has written to.
    pub(super) fn is_zero(&self) -> bool {
        self.0.ct_eq(&[0; 32]).into()
    }

    /// Reads a key from 64 hexadecimal digits. Returns `None` if the text is anything else.
    pub(super) fn from_hex(digits: &str) -> Option<Self> {
        let mut key = Self([0; 32]);
        hex::decode_to_slice(digits, &mut key.0).ok()?;
        Some(key)
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Encrypts a text with a key and a new random nonce. The result is the format byte, the nonce and the ciphertext.
///
/// # Errors
/// The source of randomness failed, or the text is longer than the AEAD accepts (256 GiB).
pub(super) fn encrypt(
    key: &DataKey,
    associated_data: &[u8],
    clear: &[u8],
    randomness: &dyn Randomness,
) -> io::Result<Vec<u8>> {
    encrypt_with(key, associated_data, clear, &Nonce::draw(randomness)?)
}

/// A nonce that was drawn before it is needed. It seals one value, so it is not `Clone`.
pub(super) struct Nonce([u8; NONCE]);

impl Nonce {
    pub(super) fn draw(randomness: &dyn Randomness) -> io::Result<Self> {
        let mut nonce = Self([0; NONCE]);
        randomness.fill(&mut nonce.0)?;
        Ok(nonce)
    }
}

/// Encrypts a text as [`encrypt`] does, with this nonce.
pub(super) fn encrypt_with(key: &DataKey, associated_data: &[u8], clear: &[u8], nonce: &Nonce) -> io::Result<Vec<u8>> {
    let payload = Payload { msg: clear, aad: associated_data };
    let sealed = XChaCha20Poly1305::new(&key.0.into())
        .encrypt(&XNonce::from(nonce.0), payload)
        .map_err(|_too_long| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok([&[FORMAT], nonce.0.as_slice(), &sealed].concat())
}

/// Decrypts a sealed value. Returns `None` if the value was sealed with another key or with other associated data, or
/// if it was changed after it was sealed.
pub(super) fn decrypt(key: &DataKey, associated_data: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.strip_prefix(&[FORMAT])?.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: associated_data };
    XChaCha20Poly1305::new(&key.0.into()).decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
}

/// Encodes the parts of associated data in their order. The length of each part is written before the part, so two
/// different lists never have the same encoding. `domain` identifies the kind of data, so that a value of one kind
/// can't be decrypted as a value of another kind.
pub(crate) fn encode_associated_data(domain: &str, parts: &[&str]) -> Vec<u8> {
    let mut bytes = b"tiktok-shop-connector\0".to_vec();
    bytes.push(FORMAT);
    for part in std::iter::once(&domain).chain(parts) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}
