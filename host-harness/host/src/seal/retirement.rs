//! Removes a host key that is no longer needed.

use super::key_file::KeyFile;
use super::keyring::Keyring;
use super::rotation_error::RotationError;
use crate::id::HostKeyId;

impl Keyring {
    /// Removes a host key from its file if the key wraps no data key.
    ///
    /// # Errors
    /// See [`RotationError`]. If the key is in use or is the current one, it stays in the file.
    pub async fn retire(&self, file: &KeyFile, host_key: &HostKeyId) -> Result<(), RotationError> {
        let keys = file.keys()?;
        let current = keys.ids().next();
        if current == Some(host_key) {
            return Err(RotationError::Current(host_key.clone()));
        }
        let Some((_, key)) = keys.expose().find(|(id, _)| *id == host_key) else {
            return Err(RotationError::NoSuchKey(host_key.clone()));
        };
        self.check_unused(host_key).await?;
        file.remove(host_key)?;
        // A host that read the file of host keys before the removal may still have wrapped a new data key with the
        // removed host key.
        let still_unused = self.check_unused(host_key).await;
        if still_unused.is_err() {
            file.restore(host_key, key)?;
        }
        still_unused
    }

    /// Checks that a host key wraps no data key.
    async fn check_unused(&self, host_key: &HostKeyId) -> Result<(), RotationError> {
        let status = self.status().await?;
        match status.by_host_key().get(&Some(host_key)) {
            None | Some((0, _)) => Ok(()),
            Some(&(keys, records)) => Err(RotationError::InUse { key: host_key.clone(), keys, records }),
        }
    }
}
