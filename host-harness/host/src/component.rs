//! Reads the file of a component, and computes the digest that identifies a component.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use tiktok_shop_private_file::{self as private_file, PrivateFileError};

use crate::limits::Limits;

/// SHA-256 of a component's bytes. As text it has 64 hexadecimal digits, as `cargo xtask dist` prints them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComponentDigest([u8; 32]);

/// The error for a text that is not a [`ComponentDigest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 of 64 hexadecimal digits")]
pub struct InvalidComponentDigest;

impl ComponentDigest {
    /// Computes the digest of a component.
    #[must_use]
    pub fn of(component: &[u8]) -> Self {
        Self(Sha256::digest(component).into())
    }
}

impl FromStr for ComponentDigest {
    type Err = InvalidComponentDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| InvalidComponentDigest)?;
        Ok(Self(digest))
    }
}

impl fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Reads a component's file. Stops one byte after the limit, because this byte shows that the file is too large.
///
/// If a digest is pinned, the digest proves the content, so anybody may own the file.
pub(crate) fn read(path: &Path, pinned: Option<ComponentDigest>, limits: &Limits) -> Result<Vec<u8>, PrivateFileError> {
    let file = match pinned {
        Some(_) => private_file::open_regular(path),
        None => private_file::open_unwritable(path),
    };
    let mut bytes = Vec::new();
    let read = file?.take(limits.component_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| PrivateFileError::Io { path: path.to_owned(), source })?;
    Ok(bytes)
}
