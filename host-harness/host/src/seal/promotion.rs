//! Adds a host key to its file, and makes a host key of the file the current one. Both steps write events.

use super::key_file::KeyFile;
use super::keyring::{Keyring, no_randomness};
use super::rotation_error::RotationError;
use crate::events::{Cause, EventKind};
use crate::id::HostKeyId;
use crate::storage::OnceDigest;

impl Keyring {
    /// Appends a new host key to its file, and returns its id, as [`KeyFile::add`] does. Each tenant that has data keys
    /// gets the event [`EventKind::HostKeyAdded`]. If the process ends between the change of the file and the events,
    /// the events are missing.
    ///
    /// # Errors
    /// See [`RotationError`]. If an event can't be stored, the new key is removed from the file again.
    pub async fn add_host_key(&self, file: &KeyFile) -> Result<HostKeyId, RotationError> {
        let host_key = file.add()?;
        let once = OnceDigest::of(&format!("host-key-added/{host_key}"));
        let kind = EventKind::HostKeyAdded { host_key: host_key.clone() };
        let recorded = self.record_for_tenants(&once, &self.event(kind, Cause::KeyRotation)).await;
        if recorded.is_err() {
            file.remove(&host_key)?;
        }
        recorded.map(|()| host_key)
    }

    /// Makes a host key of the file the current one, as [`KeyFile::promote`] does. Each tenant that has data keys gets
    /// the event [`EventKind::HostKeyPromoted`]. If the process ends between the change of the file and the events, the
    /// events are missing.
    ///
    /// # Errors
    /// See [`RotationError`]. If an event can't be stored, the earlier key becomes the current one again.
    pub async fn promote(&self, file: &KeyFile, host_key: &HostKeyId) -> Result<(), RotationError> {
        // The same host key may be promoted again later, and then has another event.
        let once = OnceDigest::draw(self.randomness()).map_err(no_randomness)?;
        let earlier = file.keys()?.ids().next().cloned();
        file.promote(host_key)?;
        let kind = EventKind::HostKeyPromoted { host_key: host_key.clone() };
        let recorded = self.record_for_tenants(&once, &self.event(kind, Cause::KeyRotation)).await;
        if let (Err(_), Some(earlier)) = (&recorded, earlier) {
            // Both keys stay in the file, because a host may have wrapped a data key with the promoted key meanwhile.
            file.promote(&earlier)?;
        }
        recorded
    }
}
