//! Keeps host keys in a private file. Use the file on one machine, or copy it to each machine of a fleet.
//!
//! Each line has the form `ID:KEY`, where `KEY` is 64 hexadecimal digits. The first line is the current key, which
//! wraps new data keys. Every key of the file unwraps data keys. The host reads the file at each use, so the host needs
//! no restart after the file has changed.
//!
//! Change the current key in four steps, so that every machine always has the host key of every data key that it reads:
//! [`Keyring::add_host_key`] appends a new key, [`Keyring::promote`] makes the new key the current key,
//! [`Keyring::rotate`] moves every tenant to the current key, and [`Keyring::retire`] removes the earlier key. If
//! several machines have a copy of the file, copy the changed file to all of them after each step that changes it, and
//! before the next step.
//!
//! [`Keyring::add_host_key`]: super::Keyring::add_host_key
//! [`Keyring::promote`]: super::Keyring::promote
//! [`Keyring::rotate`]: super::Keyring::rotate
//! [`Keyring::retire`]: super::Keyring::retire

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tiktok_shop_private_file::{self as private_file, Access, PrivateFileError};

use super::aead::DataKey;
use super::provider::{HostKeys, InvalidHostKeys, KeyError, KeyProvider};
use crate::id::{HostKeyId, TenantId};
use crate::storage::WrappedKey;

/// The maximum size of the file in bytes. It has room for hundreds of keys.
const MAX_BYTES: u64 = 64 * 1024;

/// A file of host keys.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
    access: Access,
}

/// The reason why a file of host keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file can't be read or written, or other users can access it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The file does not exist.
    #[error("{}: there is no such file", .0.display())]
    Missing(PathBuf),
    /// The file exists already, so no new file was created.
    #[error("{}: the file exists already, and stays as it is", .0.display())]
    Exists(PathBuf),
    /// The file does not contain valid host keys.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The path of the file.
        path: PathBuf,
        /// The reason why the keys are invalid.
        source: InvalidHostKeys,
    },
    /// The file contains no key with this id, so this key can't become the current key, and can't be retired.
    #[error("there is no host key {0}")]
    NoSuchKey(HostKeyId),
    /// The key with this id is already the current key.
    #[error("host key {0} is the current one already")]
    AlreadyCurrent(HostKeyId),
    /// The system's source of randomness failed, so no key could be drawn.
    #[error("no randomness: {0}")]
    NoRandomness(io::Error),
}

impl KeyFile {
    /// Opens the file at this path. The file must exist. In production, use this function: if the file is missing, the
    /// host must not start with a new key, because the new key can't open the stored connections.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        Self::open_with_access(path, Access::Owner)
    }

    /// Opens a file that more users than its owner may read, for example because a container mounts it. The file must
    /// exist. Functions that write to the file keep its owner, group and mode, so that the same users can read it. If
    /// this is not possible, these functions fail and change nothing.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn open_with_access(path: impl Into<PathBuf>, access: Access) -> Result<Self, KeyFileError> {
        let file = Self { path: path.into(), access };
        file.keys()?;
        Ok(file)
    }

    /// Creates the file at this path with one new key, readable only by its owner. Call this function once, when you
    /// set a database up, and back the file up.
    ///
    /// # Errors
    /// See [`KeyFileError`]. If the file exists, it stays as it is, and the error is [`KeyFileError::Exists`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let file = Self { path: path.into(), access: Access::Owner };
        if file.path.exists() || !file.write_first()? {
            return Err(KeyFileError::Exists(file.path));
        }
        file.keys()?;
        Ok(file)
    }

    /// Opens the file at this path. If the file does not exist, creates it with one new key, readable only by its
    /// owner. If two processes try to create the file at the same time, only one of them creates it, and both use the
    /// key in this file.
    ///
    /// Use this function only for tests and for a first try. If the file is lost, this function draws a new key, and
    /// this key opens none of the stored connections. [`open`](Self::open) reports the loss instead.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let file = Self { path: path.into(), access: Access::Owner };
        if !private_file::check(&file.path)? {
            file.write_first()?;
        }
        file.keys()?;
        Ok(file)
    }

    /// Creates the file with one new key, if the file does not exist. Returns true if it has created the file.
    fn write_first(&self) -> Result<bool, KeyFileError> {
        let keys = HostKeys::draw().map_err(KeyFileError::NoRandomness)?;
        Ok(private_file::create(&self.path, lines(&keys))?)
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the keys that the file contains now.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn keys(&self) -> Result<HostKeys, KeyFileError> {
        let text = private_file::read_with_access(&self.path, MAX_BYTES, self.access)?
            .ok_or_else(|| KeyFileError::Missing(self.path.clone()))
            .map(zeroize::Zeroizing::new)?;
        HostKeys::parse(&text).map_err(|source| KeyFileError::Malformed { path: self.path.clone(), source })
    }

    /// Appends a new key at the end of the file. Returns the id of the new key. The current key stays the current one,
    /// so the new key wraps no data key yet. Copy the file to the other machines, and then call
    /// [`promote`](Self::promote). Writes no event. [`Keyring::add_host_key`](super::Keyring::add_host_key) does.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn add(&self) -> Result<HostKeyId, KeyFileError> {
        let _lock = private_file::lock(&self.path)?;
        let keys = self.keys()?;
        let new = HostKeys::draw().map_err(KeyFileError::NoRandomness)?;
        let id = new.ids().next().cloned().ok_or_else(|| KeyFileError::Missing(self.path.clone()))?;
        self.replace(&(lines(&keys) + &lines(&new)))?;
        Ok(id)
    }

    /// Makes a key of the file the current key. From now on, hosts that read this file wrap new data keys with this
    /// key. The other keys stay in the file and can still unwrap data keys.
    ///
    /// Before you call this function, every machine must have the key. Otherwise a machine that lacks the key can't
    /// open what other machines seal. The function knows only this file, so it can't check the other machines. It
    /// writes no event. [`Keyring::promote`](super::Keyring::promote) does.
    ///
    /// # Errors
    /// See [`KeyFileError`]. After [`NoSuchKey`](KeyFileError::NoSuchKey) and
    /// [`AlreadyCurrent`](KeyFileError::AlreadyCurrent), the file is unchanged.
    pub fn promote(&self, id: &HostKeyId) -> Result<(), KeyFileError> {
        let _lock = private_file::lock(&self.path)?;
        let keys = self.keys()?;
        if keys.ids().next() == Some(id) {
            return Err(KeyFileError::AlreadyCurrent(id.clone()));
        }
        let (promoted, others): (Vec<_>, Vec<_>) = keys.expose().partition(|(known, _)| *known == id);
        if promoted.is_empty() {
            return Err(KeyFileError::NoSuchKey(id.clone()));
        }
        let ordered: String = promoted.into_iter().chain(others).map(|(id, key)| line(id, key)).collect();
        self.replace(&ordered)?;
        Ok(())
    }

    /// Removes a key. Returns `false`, and changes nothing, if the file has no such key or if the key is the current
    /// one. The caller must have checked that the key wraps no data key.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub(super) fn remove(&self, id: &HostKeyId) -> Result<bool, KeyFileError> {
        let _lock = private_file::lock(&self.path)?;
        let keys = self.keys()?;
        if !keys.ids().skip(1).any(|known| known == id) {
            return Ok(false);
        }
        let left: String = keys.expose().filter(|(known, _)| *known != id).map(|(id, key)| line(id, key)).collect();
        self.replace(&left)?;
        Ok(true)
    }

    /// Adds a removed key again. It becomes the last key of the file. Changes nothing if the file has the key.
    pub(super) fn restore(&self, id: &HostKeyId, key: &DataKey) -> Result<(), KeyFileError> {
        let _lock = private_file::lock(&self.path)?;
        let keys = self.keys()?;
        if keys.ids().any(|known| known == id) {
            return Ok(());
        }
        self.replace(&(lines(&keys) + &line(id, key)))
    }

    /// Replaces the text of the file. If a group can read the file, the file keeps its owner, group and mode.
    fn replace(&self, text: &str) -> Result<(), KeyFileError> {
        Ok(private_file::replace_with_access(&self.path, text, self.access)?)
    }

    /// Reads the keys in a task that may block. If the file can't be read, the error contains the id `wanted`.
    async fn read(&self, wanted: Option<&HostKeyId>) -> Result<HostKeys, KeyError> {
        let file = self.clone();
        let read = tokio::task::spawn_blocking(move || file.keys().map_err(|error| error.to_string())).await;
        let unavailable = |why| KeyError::Unavailable { key: wanted.cloned(), why };
        read.map_err(|error| unavailable(error.to_string()))?.map_err(unavailable)
    }
}

fn lines(keys: &HostKeys) -> String {
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

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.read(None).await?.wrap(tenant, key, context).await
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.read(Some(&wrapped.host_key)).await?.unwrap(tenant, wrapped, context).await
    }
}
