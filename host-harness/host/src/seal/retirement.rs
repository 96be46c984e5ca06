//! Removes a host key that is no longer needed.

use super::key_file::{KeyFile, KeyFileError};
use super::keyring::Keyring;
use super::rotation_error::RotationError;
use crate::events::{Cause, EventKind};
use crate::id::HostKeyId;
use crate::storage::OnceDigest;

impl Keyring {
    /// Removes a host key from its file if the key wraps no data key. Each tenant that has data keys gets the event
    /// [`EventKind::HostKeyRetired`], once for each host key. If the process ends between the removal and the events,
    /// the events are missing.
    ///
    /// # Errors
    /// See [`RotationError`]. If the key is in use or is the current one, or if an event can't be stored, the key stays
    /// in the file.
    pub async fn retire(&self, file: &KeyFile, host_key: &HostKeyId) -> Result<(), RotationError> {
        let keys = file.keys()?;
        let current = keys.ids().next();
        if current == Some(host_key) {
            return Err(RotationError::Current(host_key.clone()));
        }
        let Some((_, key)) = keys.expose().find(|(id, _)| *id == host_key) else {
            return Err(KeyFileError::NoSuchKey(host_key.clone()).into());
        };
        self.check_unused(host_key).await?;
        if !file.remove(host_key)? {
            // Somebody has promoted or removed the key since it was read.
            return Err(RotationError::Current(host_key.clone()));
        }
        // A host that read the file of host keys before the removal may still have wrapped a new data key with the
        // removed host key.
        let retired = async {
            self.check_unused(host_key).await?;
            self.record_retirement(host_key).await
        };
        let retired = retired.await;
        if retired.is_err() {
            file.restore(host_key, key)?;
        }
        retired
    }

    /// Writes the event of a retirement for each tenant that has data keys.
    async fn record_retirement(&self, host_key: &HostKeyId) -> Result<(), RotationError> {
        let once = OnceDigest::of(&format!("host-key-retired/{host_key}"));
        let kind = EventKind::HostKeyRetired { host_key: host_key.clone() };
        self.record_for_tenants(&once, &self.event(kind, Cause::KeyRetirement)).await
    }

    /// Checks that a host key wraps no data key.
    async fn check_unused(&self, host_key: &HostKeyId) -> Result<(), RotationError> {
        let uses = self.data_keys().await?;
        let uses = uses.iter().filter(|key| key.host_key.as_ref() == Some(host_key));
        match uses.fold((0, 0), |(keys, records), key| (keys + 1, records + key.records)) {
            (0, _) => Ok(()),
            (keys, records) => Err(RotationError::InUse { key: host_key.clone(), keys, records }),
        }
    }
}
