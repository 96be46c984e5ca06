//! Rotates keys: adds new data keys that the current host key wraps, and seals every record again with a new data key,
//! while calls continue.

use std::collections::BTreeSet;
use std::time::Duration;

use tiktok_shop_connector_core::contract::CLAIM_LIFE;

use super::keyring::{Keyring, MAX_CACHE_AGE, Use, wrapping_context};
use super::place::Place;
use super::provider::KeyError;
use super::rotation_error::RotationError;
use crate::connection::ConnectionKey;
use crate::events::{Cause, EventKind};
use crate::id::TenantId;
use crate::storage::{OnceDigest, Purpose, SealedRecord, StorageError, TenantKey};

/// The number of records that are listed at a time.
const PAGE: usize = 500;
/// The maximum number of passes over the records of one key. Another pass is needed if a host did not know the new key
/// yet, and sealed a record with the old key.
const MAX_PASSES: usize = 20;
/// The maximum number of attempts to add a tenant's key, while other hosts add keys or the current host key changes.
const MAX_ATTEMPTS: usize = 8;

/// The result of a rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// The number of tenants that were checked.
    pub tenants: u64,
    /// The number of added data keys.
    pub added: u64,
    /// The number of earlier data keys that stay, because at least one of their records can't be decrypted. The current
    /// host key now wraps these data keys.
    pub rewrapped: u64,
    /// The number of records that were sealed again, with a new data key.
    pub resealed: u64,
    /// The number of earlier data keys that were removed because no record needs them any more.
    pub removed: u64,
    /// The number of records that could not be decrypted. They stay as they are, sealed with an earlier data key.
    pub unopened: u64,
}

/// The progress of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// One more record was checked.
    Record,
    /// All records were checked. The rotation now waits for this time, so that writes that are under way finish.
    Waiting(Duration),
}

impl Keyring {
    /// How long an old data key is still needed after a new one was added: 180 seconds. A call may begin with keys that
    /// its host read 60 seconds ago, for example because a new connection has no record yet that names the new key.
    /// After that, the call's claim lasts 120 seconds, and in this time the call sends its request and saves the new
    /// tokens. So after 180 seconds, every call that began with the old key has saved its tokens.
    ///
    /// A call that takes even longer loses nothing, either. The storage refuses a value that is sealed with a removed
    /// key, and the host seals the value again with the newest key. But for this the host may have to ask the provider,
    /// which may be unavailable at that moment.
    pub const GRACE: Duration = CLAIM_LIFE.saturating_add(MAX_CACHE_AGE);

    /// Moves every tenant to the current host key. Gives each tenant a new data key, and seals all records of the
    /// tenant again with this data key. Then waits for `grace`, so that writes that are under way finish, and removes
    /// the earlier data keys.
    ///
    /// The current host key does not wrap the earlier data keys. So once the earlier host keys are destroyed, nobody
    /// can open an older copy of the database any more, not even with the current host key. There is one exception: if
    /// a record does not open, its data key stays, and the current host key wraps this data key at the end.
    ///
    /// Calls continue during the rotation. If a call writes a record before the rotation has replaced it, the rotation
    /// does not overwrite the new record. A record that is sealed again keeps its revision and its age.
    ///
    /// Every host must have the earlier and the current host key before the rotation starts, and all hosts must have
    /// the same current host key. After the rotation has started, calls fail on a host that does not have both host
    /// keys. These calls lose nothing if `grace` is at least [`GRACE`](Self::GRACE). This function does not add a host
    /// key. If the host keys are in a file, first add a host key with [`KeyFile::add`](super::KeyFile::add), and make
    /// it the current one with [`KeyFile::promote`](super::KeyFile::promote).
    ///
    /// Each tenant gets the event [`EventKind::KeysRotated`], once for each new data key.
    ///
    /// If the rotation is interrupted, the next rotation continues where it stopped. If everything is rotated already,
    /// the function changes nothing and does not wait.
    ///
    /// # Errors
    /// See [`RotationError`]. If one tenant can't be rotated, for example because one of its data keys does not unwrap,
    /// the function rotates all other tenants before it returns the error.
    pub async fn rotate(
        &self,
        grace: Duration,
        mut on_step: impl FnMut(RotationStep),
    ) -> Result<Rotated, RotationError> {
        let mut rotated = Rotated::default();
        let tenants: BTreeSet<_> = self.data_keys().await?.into_iter().map(|key| key.tenant).collect();
        let mut earlier_keys = Vec::new();
        let mut first_error = None;
        for tenant in &tenants {
            rotated.tenants += 1;
            match self.rotate_tenant(tenant, &mut rotated, &mut on_step).await {
                Ok(keys) => earlier_keys.extend(keys.into_iter().map(|key| (tenant, key))),
                Err(error) => {
                    tracing::warn!(%tenant, %error, "a tenant is not rotated");
                    first_error.get_or_insert(error);
                }
            }
        }
        if !earlier_keys.is_empty() {
            on_step(RotationStep::Waiting(grace));
            tokio::time::sleep(grace).await;
        }
        for (tenant, key) in earlier_keys {
            if let Err(error) = self.remove_data_key(tenant, &key, &mut rotated, &mut on_step).await {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(rotated), Err)
    }

    /// Adds a new data key to the tenant if it needs one, and seals every record again under the newest data key.
    /// Returns the earlier data keys.
    async fn rotate_tenant(
        &self,
        tenant: &TenantId,
        rotated: &mut Rotated,
        on_step: &mut impl FnMut(RotationStep),
    ) -> Result<Vec<TenantKey>, RotationError> {
        let earlier_keys = self.rotate_tenant_keys(tenant, rotated).await?;
        for key in &earlier_keys {
            self.reseal_all(tenant, key, rotated, on_step).await?;
        }
        Ok(earlier_keys)
    }

    /// Adds a new data key to the tenant, unless the current host key already wraps the tenant's newest data key.
    /// Writes one event for each new data key, even if several hosts rotate at the same time. The earlier data keys
    /// stay until the event is written. So if a rotation was interrupted before the event, the next rotation writes the
    /// event. Returns the earlier data keys.
    async fn rotate_tenant_keys(
        &self,
        tenant: &TenantId,
        rotated: &mut Rotated,
    ) -> Result<Vec<TenantKey>, RotationError> {
        let mut keys = self.load_keys(tenant).await?;
        // Records can be sealed again only if the host can unwrap every data key that the tenant has now. If it can't
        // unwrap one of these data keys, the rotation ends here with an error, and this tenant gets no new data key.
        for key in keys.iter().filter(|key| key.wrapped.is_some()) {
            self.unwrap_key(tenant, key).await?;
        }
        for _ in 0..MAX_ATTEMPTS {
            let current = self.provider().current_for(tenant).await?;
            let Some(TenantKey { id, wrapped: Some(wrapped) }) = keys.last() else { break };
            if wrapped.host_key == current {
                break;
            }
            let is_added = self.add_key(tenant, Some(id)).await?;
            rotated.added += u64::from(is_added);
            keys = self.load_keys(tenant).await?;
            let newest = keys.last().and_then(|newest| newest.wrapped.as_ref());
            if is_added
                && newest.is_some_and(|newest| newest.host_key != current)
                && self.provider().current_for(tenant).await? == current
            {
                // Every further rotation would add a data key and never end.
                let why = "the provider wraps with another host key than the one that it calls current".to_owned();
                return Err(KeyError::Unavailable { key: Some(current), why }.into());
            }
        }
        let Some(newest) = keys.pop().filter(|newest| newest.wrapped.is_some()) else { return Ok(Vec::new()) };
        self.unwrap_key(tenant, &newest).await?;
        if let Some(wrapped) = &newest.wrapped
            && keys.iter().any(|key| key.wrapped.is_some())
        {
            let kind = EventKind::KeysRotated { host_key: wrapped.host_key.clone() };
            let once = OnceDigest::of(&format!("keys-rotated/{}", newest.id));
            self.storage().append_once(tenant, &once, &self.event(kind, Cause::KeyRotation), None).await?;
        }
        Ok(keys)
    }

    /// Wraps a data key with the current host key. Changes nothing if the data key is erased or is already wrapped by
    /// the current host key. Returns whether the wrapping changed.
    async fn rewrap(&self, tenant: &TenantId, key: &TenantKey) -> Result<bool, RotationError> {
        let current = self.provider().current_for(tenant).await?;
        if key.wrapped.as_ref().is_none_or(|wrapped| wrapped.host_key == current) {
            return Ok(false);
        }
        let data_key = self.unwrap_key(tenant, key).await?;
        let wrapped = self.provider().wrap(tenant, &data_key, &wrapping_context(tenant, &key.id)).await?;
        Ok(self.storage().rewrap_key(tenant, key, Some(&wrapped)).await?)
    }

    /// Finds every record that is sealed with `key`, and seals it again with the tenant's newest key. Returns the
    /// number of records that could not be decrypted.
    async fn reseal_all(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        rotated: &mut Rotated,
        on_step: &mut impl FnMut(RotationStep),
    ) -> Result<u64, RotationError> {
        let mut unopened = 0;
        let mut after: Option<(Purpose, ConnectionKey)> = None;
        loop {
            let from = after.as_ref().map(|(purpose, key)| (*purpose, key));
            let page = self.storage().sealed_under(tenant, &key.id, from, PAGE).await?;
            for record in &page {
                on_step(RotationStep::Record);
                match self.reseal(tenant, record).await? {
                    Resealed::Yes => rotated.resealed += 1,
                    Resealed::WrittenMeanwhile => {}
                    Resealed::NotOpened => unopened += 1,
                }
            }
            let Some(last) = page.into_iter().next_back() else { return Ok(unopened) };
            after = Some((last.purpose, last.key));
        }
    }

    /// Removes a data key. If other hosts have sealed more records with the key, seals these records again first. If
    /// one of the records does not open, the key stays, and the current host key wraps it.
    async fn remove_data_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        rotated: &mut Rotated,
        on_step: &mut impl FnMut(RotationStep),
    ) -> Result<(), RotationError> {
        for _ in 0..MAX_PASSES {
            if self.storage().remove_key(tenant, &key.id).await? {
                rotated.removed += 1;
                return Ok(());
            }
            if self.storage().tenant_keys(tenant).await?.iter().all(|left| left.id != key.id) {
                return Ok(()); // Another rotation has removed the key.
            }
            let unopened = self.reseal_all(tenant, key, rotated, on_step).await?;
            if unopened > 0 {
                rotated.unopened += unopened;
                rotated.rewrapped += u64::from(self.rewrap(tenant, key).await?);
                return Ok(());
            }
        }
        Err(RotationError::Busy(key.id.clone()))
    }

    /// Seals one record again.
    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord) -> Result<Resealed, StorageError> {
        let SealedRecord { key, purpose, revision, sealed } = record;
        let place = Place { tenant, key, purpose: *purpose, revision };
        let clear = match self.open(Use::Open, &place, sealed).await {
            Ok(clear) => clear,
            // The record can't be decrypted. It stays as it is, because somebody may be able to repair it.
            Err(StorageError::Refused(_)) => return Ok(Resealed::NotOpened),
            Err(error) => return Err(error),
        };
        let resealed = self.seal(&place, &clear).await?;
        let is_done = self.storage().reseal(tenant, record, &resealed).await?;
        Ok(if is_done { Resealed::Yes } else { Resealed::WrittenMeanwhile })
    }
}

/// What happened to a record that should be sealed again.
enum Resealed {
    Yes,
    /// Another host has written the record since it was listed.
    WrittenMeanwhile,
    NotOpened,
}
