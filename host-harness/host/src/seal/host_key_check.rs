//! Checks at the start of a program whether the host keys fit the storage: whether they open the stored data keys.

use super::keyring::{Keyring, wrapping_context};
use super::provider::KeyError;
use crate::id::{HostKeyId, KeyId, TenantId};
use crate::storage::{StorageError, TenantKey};

/// The number of data keys that the check reads at a time, when it reads the data keys of all tenants.
const PAGE: usize = 20;

/// The result of [`Keyring::check_host_keys`]: the host keys that wrap the checked data keys, and for each host key
/// whether it opened a data key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostKeyCheck {
    /// The host keys that opened a data key.
    pub usable: Vec<HostKeyId>,
    /// The host keys that opened no data key, each with the reason.
    pub unusable: Vec<(HostKeyId, KeyError)>,
}

impl HostKeyCheck {
    /// Returns true if the check found data keys, and if the host keys of this host opened none of them. A host must
    /// not start in this state: every call that needs a token would fail, and new connections would be sealed with a
    /// key that nobody has asked for. If a host key is unavailable now, it may fit later, so the function returns
    /// false.
    #[must_use]
    pub fn fits_nothing(&self) -> bool {
        self.usable.is_empty() && !self.unusable.is_empty() && self.unavailable().is_none()
    }

    /// Returns the error [`KeyError::Unavailable`] if the check met this error, and if no host key opened a data key.
    /// One example is a key service that can't be reached.
    #[must_use]
    pub fn nothing_available(&self) -> Option<&KeyError> {
        self.unavailable().filter(|_| self.usable.is_empty())
    }

    fn unavailable(&self) -> Option<&KeyError> {
        self.unusable.iter().map(|(_, error)| error).find(|error| matches!(error, KeyError::Unavailable { .. }))
    }

    /// Returns true if the check found no data key. Then any host key fits.
    #[must_use]
    pub const fn found_no_data_key(&self) -> bool {
        self.usable.is_empty() && self.unusable.is_empty()
    }
}

impl Keyring {
    /// Checks whether the host keys open the stored data keys. Call this function at the start of a host, before its
    /// first call.
    ///
    /// The check unwraps data keys until each host key that it finds has opened one. First it reads the data keys of `tenants`, which
    /// costs one read of the storage for each tenant. Pass the tenant that is about to be used, or some tenants of the
    /// fleet. Only if none of these tenants has a data key, the check reads the data keys of all tenants in pages of 20
    /// data keys, until it finds a data key that opens. So with the right host keys it reads one page, even if there
    /// are many tenants. The storage counts the records of each data key in a page, so a page of tenants with a million
    /// records takes a moment. A key service has a host key for each tenant. So the check asks the key service once for
    /// each tenant whose data keys it reads. The check ends when a host key is unavailable, so that it does not wait
    /// for the service again and again. The check caches nothing.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn check_host_keys(&self, tenants: &[TenantId]) -> Result<HostKeyCheck, StorageError> {
        let mut check = HostKeyCheck::default();
        for tenant in tenants {
            let keys = self.storage().tenant_keys(tenant).await?;
            self.check_keys(keys.into_iter().map(|key| (tenant.clone(), key)), &mut check).await;
        }
        if !check.found_no_data_key() || self.provider().has_key_per_tenant() {
            return Ok(check);
        }
        let mut last: Option<(TenantId, KeyId)> = None;
        loop {
            let after = last.as_ref().map(|(tenant, key)| (tenant, key));
            let page = self.storage().key_uses(after, PAGE).await?;
            let Some(newest) = page.last() else { return Ok(check) };
            last = Some((newest.tenant.clone(), newest.key.id.clone()));
            self.check_keys(page.into_iter().map(|found| (found.tenant, found.key)), &mut check).await;
            if !check.usable.is_empty() || check.unavailable().is_some() {
                return Ok(check);
            }
        }
    }

    /// Unwraps these data keys, until each host key has opened one. One damaged data key says nothing about its host key,
    /// so further data keys of the host key are tried.
    async fn check_keys(&self, keys: impl Iterator<Item = (TenantId, TenantKey)>, check: &mut HostKeyCheck) {
        for (tenant, TenantKey { id, wrapped }) in keys {
            let Some(wrapped) = wrapped else { continue };
            let host_key = wrapped.host_key.clone();
            let known = check.unusable.iter().position(|(known, _)| *known == host_key);
            let is_unknown = known.is_some_and(|at| matches!(check.unusable.get(at), Some((_, KeyError::Unknown(_)))));
            if check.usable.contains(&host_key) || is_unknown {
                continue;
            }
            if check.unavailable().is_some() {
                return;
            }
            match self.provider().unwrap(&tenant, &wrapped, &wrapping_context(&tenant, &id)).await {
                Ok(_) => {
                    if let Some(at) = known {
                        check.unusable.remove(at);
                    }
                    check.usable.push(host_key);
                }
                Err(_) if known.is_some() => {}
                Err(error) => check.unusable.push((host_key, error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::clock::ManualClock;
    use crate::randomness::SystemRandomness;
    use crate::seal::{DataKey, HostKeys, KeyProvider};
    use crate::storage::{HostStorage, MemoryStorage, WrappedKey};

    fn host_keys(ids: &[&str]) -> Arc<HostKeys> {
        let key = |id: &&str| (id.parse().unwrap(), DataKey::new([u8::try_from(id.len()).unwrap(); 32]));
        Arc::new(HostKeys::new(ids.iter().map(key)).unwrap())
    }

    fn keyring(storage: &Arc<dyn HostStorage>, ids: &[&str]) -> Keyring {
        Keyring::new(Arc::clone(storage), host_keys(ids), Arc::new(SystemRandomness))
    }

    /// Returns a storage with one data key for each pair of a tenant and a host key. The data key belongs to this
    /// tenant and is wrapped with this host key.
    async fn storage(tenants: &[(&str, &str)]) -> Arc<dyn HostStorage> {
        let storage: Arc<dyn HostStorage> = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
        for (tenant, host_key) in tenants {
            keyring(&storage, &[host_key]).ensure_key(&tenant.parse().unwrap()).await.unwrap();
        }
        storage
    }

    fn ids(keys: &[HostKeyId]) -> Vec<&str> {
        keys.iter().map(HostKeyId::as_str).collect()
    }

    #[tokio::test]
    async fn any_host_key_fits_a_storage_without_data_keys() {
        let storage = storage(&[]).await;
        let check = keyring(&storage, &["a"]).check_host_keys(&["t".parse().unwrap()]).await.unwrap();
        assert!(check.found_no_data_key() && !check.fits_nothing());
    }

    #[tokio::test]
    async fn the_keys_of_the_given_tenants_decide_and_else_the_keys_of_all_tenants() {
        let storage = storage(&[("one", "old"), ("two", "newer")]).await;
        let check = async |ids: &[&str], tenants: &[&str]| {
            let tenants: Vec<_> = tenants.iter().map(|tenant| tenant.parse().unwrap()).collect();
            keyring(&storage, ids).check_host_keys(&tenants).await.unwrap()
        };
        for (here, tenants, usable, fits_nothing) in [
            (["old"].as_slice(), ["one"].as_slice(), vec!["old"], false),
            (&["old"], &["two"], vec![], true),
            (&["old"], &["two", "one"], vec!["old"], false),
            (&["old"], &["new-tenant"], vec!["old"], false),
            (&["old"], &[], vec!["old"], false),
            (&["newer", "old"], &[], vec!["newer", "old"], false),
            (&["another"], &["new-tenant"], vec![], true),
            (&["another"], &[], vec![], true),
        ] {
            let found = check(here, tenants).await;
            assert_eq!((ids(&found.usable), found.fits_nothing()), (usable, fits_nothing), "{here:?} {tenants:?}");
        }
        let missing = check(&["old"], &[]).await.unusable;
        let newer: HostKeyId = "newer".parse().unwrap();
        assert_eq!(missing, [(newer.clone(), KeyError::Unknown(newer))]);
    }

    #[tokio::test]
    async fn one_damaged_data_key_does_not_make_its_host_key_unusable() {
        let storage = storage(&[("two", "old")]).await;
        let damaged = WrappedKey { host_key: "old".parse().unwrap(), bytes: b"damaged".to_vec() };
        let damaged = TenantKey { id: "damaged".parse().unwrap(), wrapped: Some(damaged) };
        assert!(storage.add_key(&"one".parse().unwrap(), None, &damaged).await.unwrap());
        for tenants in [vec![], vec!["one".parse().unwrap(), "two".parse().unwrap()]] {
            let check = keyring(&storage, &["old"]).check_host_keys(&tenants).await.unwrap();
            assert_eq!((ids(&check.usable), check.unusable), (vec!["old"], vec![]), "{tenants:?}");
        }
    }

    #[tokio::test]
    async fn a_host_key_of_the_right_name_with_other_bytes_does_not_fit() {
        let storage = storage(&[("one", "old")]).await;
        let wrong = HostKeys::new([("old".parse().unwrap(), DataKey::new([9; 32]))]).unwrap();
        let ring = Keyring::new(Arc::clone(&storage), Arc::new(wrong), Arc::new(SystemRandomness));
        let check = ring.check_host_keys(&[]).await.unwrap();
        assert!(check.fits_nothing() && matches!(*check.unusable, [(_, KeyError::Mismatch(_))]), "{check:?}");
    }

    /// A key service that can't be reached. It counts how often it is asked.
    #[derive(Default)]
    struct Away(AtomicUsize);

    #[async_trait]
    impl KeyProvider for Away {
        async fn current(&self) -> Result<HostKeyId, KeyError> {
            Err(KeyError::Unavailable { key: None, why: "away".to_owned() })
        }

        async fn wrap(&self, _: &TenantId, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
            Err(KeyError::Unavailable { key: None, why: "away".to_owned() })
        }

        async fn unwrap(&self, _: &TenantId, wrapped: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(KeyError::Unavailable { key: Some(wrapped.host_key.clone()), why: "away".to_owned() })
        }
    }

    #[tokio::test]
    async fn a_source_that_does_not_answer_is_asked_once_and_says_nothing_about_the_fit() {
        let storage = storage(&[("one", "old"), ("two", "newer")]).await;
        let away = Arc::new(Away::default());
        let provider: Arc<dyn KeyProvider> = Arc::clone(&away) as _;
        let ring = Keyring::new(storage, provider, Arc::new(SystemRandomness));
        for (asked, tenants) in [(1, vec!["one", "two"]), (2, vec![])] {
            let tenants: Vec<_> = tenants.into_iter().map(|tenant| tenant.parse().unwrap()).collect();
            let check = ring.check_host_keys(&tenants).await.unwrap();
            assert!(!check.fits_nothing() && check.nothing_available().is_some(), "{check:?}");
            assert_eq!(away.0.load(Ordering::Relaxed), asked);
        }
    }

    #[tokio::test]
    async fn with_many_tenants_the_check_reads_on_until_a_host_key_fits() {
        let mut tenants: Vec<_> = (0..45).map(|number| (format!("t{number:02}"), "old")).collect();
        tenants.push(("t99".to_owned(), "newer"));
        let tenants: Vec<_> = tenants.iter().map(|(tenant, key)| (tenant.as_str(), *key)).collect();
        let storage = storage(&tenants).await;
        let check = keyring(&storage, &["newer"]).check_host_keys(&[]).await.unwrap();
        assert_eq!(ids(&check.usable), ["newer"]);
        assert_eq!(check.unusable.len(), 1, "each host key is tried once");
    }
}
