//! Host keys in a private file: for one machine, or one that is copied to each machine of a fleet.
//!
//! A line a key, `ID:KEY` with 64 hexadecimal digits, the current one first. The file is read at each use, so a key that is
//! added needs no restart.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tiktok_shop_private_file::{self as private_file, PrivateFileError};

use super::DataKey;
use super::provider::{HostKeys, InvalidHostKeys, KeyError, KeyProvider};
use crate::id::HostKeyId;

use crate::storage::WrappedKey;

/// Longest file, in bytes: hundreds of keys.
const MAX_BYTES: u64 = 64 * 1024;

/// A file of host keys.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

/// Why a file of host keys is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can't be reached, or others can reach it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// There is none.
    #[error("{}: there is no such file", .0.display())]
    Missing(PathBuf),
    /// It does not hold host keys.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidHostKeys,
    },
    /// No key could be drawn.
    #[error("no randomness: {0}")]
    NoRandomness(io::Error),
}

impl KeyFile {
    /// The file at this path. Unless there is one, it is made, private, with one new key. Of two processes that make it, one
    /// does.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let file = Self { path: path.into() };
        if !private_file::check(&file.path)? {
            let keys = HostKeys::draw().map_err(KeyFileError::NoRandomness)?;
            private_file::create(&file.path, &text(&keys))?;
        }
        file.keys()?;
        Ok(file)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it now.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn keys(&self) -> Result<HostKeys, KeyFileError> {
        let text = private_file::read(&self.path, MAX_BYTES)?
            .ok_or_else(|| KeyFileError::Missing(self.path.clone()))
            .map(zeroize::Zeroizing::new)?;
        HostKeys::parse(&text).map_err(|source| KeyFileError::Malformed { path: self.path.clone(), source })
    }

    /// Adds a new key, which is the current one from now on; the earlier ones stay and go on unwrapping. Hosts on other
    /// machines need the file before they meet what is wrapped under it.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn add(&self) -> Result<HostKeyId, KeyFileError> {
        let _alone = private_file::lock(&self.path)?;
        let keys = self.keys()?;
        let new = HostKeys::draw().map_err(KeyFileError::NoRandomness)?;
        let id = new.ids().next().cloned().ok_or_else(|| KeyFileError::Missing(self.path.clone()))?;
        private_file::replace(&self.path, &(text(&new) + &text(&keys)))?;
        Ok(id)
    }

    /// Takes a key out that nothing is wrapped under any more: see [`Keyring::retire`](super::Keyring::retire), which looks.
    /// The current one stays.
    ///
    /// # Errors
    /// See [`KeyFileError`]; `Ok(false)`: there is no such key, or it is the current one.
    pub(super) fn remove(&self, id: &HostKeyId) -> Result<bool, KeyFileError> {
        let _alone = private_file::lock(&self.path)?;
        let keys = self.keys()?;
        if !keys.ids().skip(1).any(|known| known == id) {
            return Ok(false);
        }
        let left: String = keys.expose().filter(|(known, _)| *known != id).map(|(id, key)| line(id, key)).collect();
        private_file::replace(&self.path, &left)?;
        Ok(true)
    }

    /// Puts a key back behind the others.
    pub(super) fn put_back(&self, id: &HostKeyId, key: &DataKey) -> Result<(), KeyFileError> {
        let _alone = private_file::lock(&self.path)?;
        let keys = self.keys()?;
        private_file::replace(&self.path, &(text(&keys) + &line(id, key)))?;
        Ok(())
    }

    /// In a task that may wait for a disk.
    async fn read(&self, wanted: Option<&HostKeyId>) -> Result<HostKeys, KeyError> {
        let file = self.clone();
        let read = tokio::task::spawn_blocking(move || file.keys().map_err(|error| error.to_string())).await;
        let unavailable = |why| KeyError::Unavailable { key: wanted.cloned(), why };
        read.map_err(|error| unavailable(error.to_string()))?.map_err(unavailable)
    }
}

fn text(keys: &HostKeys) -> String {
    keys.expose().map(|(id, key)| line(id, key)).collect()
}

fn line(id: &HostKeyId, key: &DataKey) -> String {
    format!("{id}:{}\n", hex::encode(key.expose()))
}

#[async_trait]
impl KeyProvider for KeyFile {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.read(None).await?.current().await
    }

    async fn wrap(&self, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.read(None).await?.wrap(key, context).await
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.read(Some(&wrapped.host_key)).await?.unwrap(wrapped, context).await
    }
}
