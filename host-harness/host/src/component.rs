//! The component that a host runs: where the host gets it from, and the digest that identifies it.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use tiktok_shop_private_file::{self as private_file, PrivateFileError};

use crate::build_error::BuildError;
use crate::host::ConnectorHost;
use crate::limits::Limits;

/// Where the host gets the component from.
#[derive(Debug, Clone)]
pub enum Component {
    /// A file. If no digest is pinned, the host refuses a file that other users can change or replace, because the
    /// component runs with the tenants' credentials. Other users may read the file.
    File(PathBuf),
    /// The component's bytes.
    Bytes(Vec<u8>),
    /// The component of another host. It is not compiled again. Use this variant if one process has several hosts with
    /// different storages or egress policies. The new host shares the other host's pool of instances and its
    /// [`Limits`].
    SharedWith(ConnectorHost),
}

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

    /// Checks that this digest equals the pinned digest. If no digest is pinned, every digest is accepted.
    pub(crate) fn check(self, pinned: Option<Self>) -> Result<(), BuildError> {
        match pinned {
            Some(pinned) if pinned != self => Err(BuildError::OtherComponent { pinned, found: self }),
            Some(_) | None => Ok(()),
        }
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
pub(crate) fn read(path: &Path, pinned: Option<ComponentDigest>, limits: &Limits) -> Result<Vec<u8>, BuildError> {
    let file = match pinned {
        Some(_) => private_file::open_regular(path),
        None => private_file::open_unwritable(path),
    };
    let mut file = file.map_err(BuildError::Unreadable)?.take(limits.component_bytes.saturating_add(1));
    let failed = |source| BuildError::Unreadable(PrivateFileError::Io { path: path.to_owned(), source });
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
