//! Checks whether the host keys fit the storage: whether they open the stored data keys. A program checks it at its
//! start, and a service at each probe of its readiness.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};

use super::keyring::{Keyring, wrapping_context};
use super::provider::KeyError;
use crate::id::{HostKeyId, KeyId, TenantId};
use crate::storage::{StorageError, TenantKey, WrappedKey};

/// The number of data keys that the check reads at a time, when it reads the data keys of all tenants.
const PAGE: usize = 20;
/// The number of tenants with data keys that [`Keyring::check_any_host_key`] tries. The check runs often, so its cost
/// must not grow with the number of tenants.
const MAX_TRIED_TENANTS: usize = 20;
/// If a data key takes longer than this time, [`Keyring::check_any_host_key`] also tries the next one. Otherwise the
/// host key of one tenant that hangs would hide that the others work.
const PATIENCE: Duration = Duration::from_millis(500);

/// The result of [`Keyring::check_host_keys`]: the host keys that wrap the checked data keys, and for each host key
/// whether it opened a data key. Both lists are in the byte order of the ids.
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

/// The question that a check answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Which host keys open a data key. The first host key that is unavailable ends the check.
    EachHostKey,
    /// Whether any host key opens a data key. The first one that does ends the check.
    AnyHostKey,
}

/// What the check has found out so far.
struct Findings {
    goal: Goal,
    /// For each host key, whether it opened a data key.
    found: BTreeMap<HostKeyId, Result<(), KeyError>>,
    /// Whether a host key was unavailable.
    has_unavailable: bool,
}

impl Findings {
    const fn new(goal: Goal) -> Self {
        Self { goal, found: BTreeMap::new(), has_unavailable: false }
    }

    fn has_usable(&self) -> bool {
        self.found.values().any(Result::is_ok)
    }

    /// Returns whether no other data key must be tried.
    fn are_enough(&self) -> bool {
        match self.goal {
            Goal::EachHostKey => self.has_unavailable,
            Goal::AnyHostKey => self.has_usable(),
        }
    }

    fn add(&mut self, host_key: HostKeyId, found: Result<(), KeyError>) {
        self.has_unavailable |= matches!(found, Err(KeyError::Unavailable { .. }));
        // A host key that was unavailable may fit, whatever a later data key says, unless that one opens.
        if found.is_ok() || !matches!(self.found.get(&host_key), Some(Err(KeyError::Unavailable { .. }))) {
            self.found.insert(host_key, found);
        }
    }

    /// Returns whether another data key of this host key must be tried. One damaged data key says nothing about its
    /// host key. But a host key that is not here opens no data key.
    fn needs_trial(&self, host_key: &HostKeyId) -> bool {
        !matches!(self.found.get(host_key), Some(Ok(()) | Err(KeyError::Unknown(_))))
    }

    fn into_check(self) -> HostKeyCheck {
        let mut check = HostKeyCheck::default();
        for (host_key, found) in self.found {
            match found {
                Ok(()) => check.usable.push(host_key),
                Err(error) => check.unusable.push((host_key, error)),
            }
        }
        check
    }
}

/// The host key that wraps a data key, and whether it opened the data key.
type Found = (HostKeyId, Result<(), KeyError>);

/// The data keys that [`Keyring::check_any_host_key`] tries at the same time.
#[derive(Default)]
struct Trials<'a> {
    running: FuturesUnordered<BoxFuture<'a, (usize, Found)>>,
    begun: usize,
}

impl<'a> Trials<'a> {
    /// Begins a trial, and waits for its end for at most [`PATIENCE`]. A trial that takes longer goes on.
    async fn begin(&mut self, trial: BoxFuture<'a, Found>, findings: &mut Findings) {
        self.begun += 1;
        let number = self.begun;
        self.running.push(trial.map(move |found| (number, found)).boxed());
        let ended = async {
            while let Some((done, (host_key, found))) = self.running.next().await {
                findings.add(host_key, found);
                if done == number || findings.are_enough() {
                    return;
                }
            }
        };
        let _is_late = tokio::time::timeout(PATIENCE, ended).await.is_err();
    }

    /// Waits for the trials that go on, until the findings are enough.
    async fn finish(mut self, findings: &mut Findings) {
        while !findings.are_enough()
            && let Some((_, (host_key, found))) = self.running.next().await
        {
            findings.add(host_key, found);
        }
    }
}

impl Keyring {
    /// Checks whether the host keys open the stored data keys of these tenants. Call this function at the start of a
    /// host, before its first call. If the host works with all tenants, call
    /// [`check_host_keys_of_all`](Self::check_host_keys_of_all) instead.
    ///
    /// The check unwraps data keys until each host key that it finds has opened one. It reads the data keys of
    /// `tenants`, which costs one read of the storage for each tenant. If none of these tenants has a data key, the
    /// check reads the data keys of all tenants in pages of 20 data keys, until it finds a data key that opens. So with
    /// the right host keys it reads one page, even if there are many tenants. The storage counts the records of each
    /// data key in a page, so a page of tenants with a million records takes a moment. If each tenant has a host key of
    /// its own, as in a key service, the check reads the data keys of `tenants` only, because the host keys of other
    /// tenants say nothing about these tenants. The check ends when a host key is unavailable, so that it does not wait
    /// for the service again and again. The check caches nothing.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn check_host_keys(&self, tenants: &[TenantId]) -> Result<HostKeyCheck, StorageError> {
        let mut findings = Findings::new(Goal::EachHostKey);
        self.check_keys_of(tenants, &mut findings).await?;
        if findings.found.is_empty() && !self.provider().has_key_per_tenant() {
            self.check_all_keys(&mut findings).await?;
        }
        Ok(findings.into_check())
    }

    /// Checks the host keys of a host that works with all tenants, for example for a sweep. The check first reads the
    /// data keys of `first`, for example of some tenants whose apps are configured. If none of these data keys opens,
    /// the check reads the data keys of all tenants in pages, until one opens. So the broken key of one tenant does not
    /// keep the host from its other tenants: [`HostKeyCheck::fits_nothing`] is true only if no stored data key opens.
    ///
    /// With the right host keys, this check costs as much as [`check_host_keys`](Self::check_host_keys). If no data key
    /// opens, and if each tenant has a host key of its own, the check asks the provider for every tenant.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn check_host_keys_of_all(&self, first: &[TenantId]) -> Result<HostKeyCheck, StorageError> {
        let mut findings = Findings::new(Goal::EachHostKey);
        self.check_keys_of(first, &mut findings).await?;
        if !findings.has_usable() && !findings.are_enough() {
            self.check_all_keys(&mut findings).await?;
        }
        Ok(findings.into_check())
    }

    /// Checks whether any host key opens a stored data key, for a program that asks again and again whether it can
    /// work, for example at each probe of its readiness. The check ends at the first data key that opens. It tries the
    /// data keys of at most 20 tenants: first those of `first`, and then those of any others. It also goes on after an
    /// unavailable host key, and beside one that has not answered within half a second. So tenants whose host keys the
    /// provider refuses, or whose host keys hang, do not hide that others can be served.
    ///
    /// [`HostKeyCheck::fits_nothing`] is true if data keys were tried, none opened, and no host key was unavailable.
    /// [`HostKeyCheck::nothing_available`] returns an error if a host key was unavailable, and none opened a data key.
    /// Then a host can still serve the tenants whose data keys it has cached. The check caches nothing, and has no
    /// deadline of its own.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn check_any_host_key(&self, first: &[TenantId]) -> Result<HostKeyCheck, StorageError> {
        let (mut findings, mut trials) = (Findings::new(Goal::AnyHostKey), Trials::default());
        let first = first.get(..MAX_TRIED_TENANTS).unwrap_or(first);
        let mut tried = 0;
        for tenant in first {
            let keys = self.storage().tenant_keys(tenant).await?;
            tried += usize::from(keys.iter().any(|key| key.wrapped.is_some()));
            self.try_keys(keys.into_iter().map(|key| (tenant.clone(), key)), &mut trials, &mut findings).await;
            if findings.are_enough() {
                return Ok(findings.into_check());
            }
        }
        if tried < MAX_TRIED_TENANTS {
            let page = self.storage().key_uses(None, PAGE).await?;
            let others = page.into_iter().filter(|found| !first.contains(&found.tenant));
            let others = others.take(MAX_TRIED_TENANTS - tried).map(|found| (found.tenant, found.key));
            self.try_keys(others, &mut trials, &mut findings).await;
        }
        trials.finish(&mut findings).await;
        Ok(findings.into_check())
    }

    async fn check_keys_of(&self, tenants: &[TenantId], findings: &mut Findings) -> Result<(), StorageError> {
        for tenant in tenants {
            let keys = self.storage().tenant_keys(tenant).await?;
            self.check_keys(keys.into_iter().map(|key| (tenant.clone(), key)), findings).await;
        }
        Ok(())
    }

    /// Checks the data keys of all tenants, page by page, until one opens or the provider is unavailable.
    async fn check_all_keys(&self, findings: &mut Findings) -> Result<(), StorageError> {
        let mut last: Option<(TenantId, KeyId)> = None;
        loop {
            let after = last.as_ref().map(|(tenant, key)| (tenant, key));
            let page = self.storage().key_uses(after, PAGE).await?;
            let Some(newest) = page.last() else { return Ok(()) };
            last = Some((newest.tenant.clone(), newest.key.id.clone()));
            self.check_keys(page.into_iter().map(|found| (found.tenant, found.key)), findings).await;
            if findings.has_usable() || findings.are_enough() {
                return Ok(());
            }
        }
    }

    /// Unwraps these data keys, until each host key has opened one or the findings are enough.
    async fn check_keys(&self, keys: impl Iterator<Item = (TenantId, TenantKey)>, findings: &mut Findings) {
        for (tenant, TenantKey { id, wrapped }) in keys {
            let Some(wrapped) = wrapped.filter(|wrapped| findings.needs_trial(&wrapped.host_key)) else { continue };
            if findings.are_enough() {
                return;
            }
            let (host_key, found) = self.try_key(tenant, id, wrapped).await;
            findings.add(host_key, found);
        }
    }

    /// Does the same as [`check_keys`](Self::check_keys), and does not wait for a data key that takes long.
    async fn try_keys<'a>(
        &'a self,
        keys: impl Iterator<Item = (TenantId, TenantKey)>,
        trials: &mut Trials<'a>,
        findings: &mut Findings,
    ) {
        for (tenant, TenantKey { id, wrapped }) in keys {
            let Some(wrapped) = wrapped.filter(|wrapped| findings.needs_trial(&wrapped.host_key)) else { continue };
            if findings.are_enough() {
                return;
            }
            trials.begin(self.try_key(tenant, id, wrapped).boxed(), findings).await;
        }
    }

    async fn try_key(&self, tenant: TenantId, id: KeyId, wrapped: WrappedKey) -> Found {
        let unwrapped = self.provider().unwrap(&tenant, &wrapped, &wrapping_context(&tenant, &id)).await;
        (wrapped.host_key, unwrapped.map(drop))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::clock::ManualClock;
    use crate::randomness::SystemRandomness;
    use crate::seal::{DataKey, HostKeys, KeyProvider};
    use crate::storage::{HostStorage, MemoryStorage};

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

    /// A sweep works with all tenants. The broken key of one tenant must not stop it.
    #[tokio::test]
    async fn the_broken_keys_of_some_tenants_do_not_stop_a_host_that_works_with_all() {
        let many: Vec<_> = (0..25).map(|number| format!("broken{number:02}")).collect();
        let broken: Vec<TenantId> = many.iter().map(|tenant| tenant.parse().unwrap()).collect();
        let lost = many.iter().map(|tenant| (tenant.as_str(), "lost"));
        let storage = storage(&lost.chain([("fine", "here")]).collect::<Vec<_>>()).await;
        let missing: HostKeyId = "lost".parse().unwrap();
        let missing = [(missing.clone(), KeyError::Unknown(missing))];

        let check = keyring(&storage, &["here"]).check_host_keys_of_all(&broken).await.unwrap();
        assert_eq!((ids(&check.usable), check.fits_nothing()), (vec!["here"], false));
        assert_eq!(check.unusable, missing);
        let check = keyring(&storage, &["another"]).check_host_keys_of_all(&broken).await.unwrap();
        assert_eq!((ids(&check.usable), check.fits_nothing()), (vec![], true));
        let check = keyring(&storage, &["here"]).check_host_keys(&broken).await.unwrap();
        assert_eq!((check.fits_nothing(), &*check.unusable), (true, &missing[..]), "these tenants alone decide");
    }

    /// A provider that has a host key for each tenant. It has lost the host keys of the tenants whose names begin with
    /// `broken`, and refuses those of the tenants whose names begin with `refused`. It never answers for the tenants
    /// whose names begin with `hangs`, and answers late for `finelate`. It counts how often it is asked.
    struct PerTenant(Arc<HostKeys>, AtomicUsize);

    impl PerTenant {
        fn new() -> Self {
            Self(host_keys(&["service"]), AtomicUsize::new(0))
        }

        fn asked(&self) -> usize {
            self.1.swap(0, Ordering::Relaxed)
        }
    }

    #[async_trait]
    impl KeyProvider for PerTenant {
        async fn current(&self) -> Result<HostKeyId, KeyError> {
            self.0.current().await
        }

        async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
            let WrappedKey { bytes, .. } = self.0.wrap(tenant, key, context).await?;
            Ok(WrappedKey { host_key: tenant.as_str().parse().unwrap(), bytes })
        }

        async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            let host_key = wrapped.host_key.clone();
            if tenant.as_str().starts_with("broken") {
                return Err(KeyError::Unknown(host_key));
            }
            if tenant.as_str().starts_with("refused") {
                return Err(KeyError::Unavailable { key: Some(host_key), why: "refused".to_owned() });
            }
            if tenant.as_str().starts_with("hangs") {
                return pending().await;
            }
            if tenant.as_str() == "finelate" {
                sleep(3 * PATIENCE).await;
            }
            let wrapped = WrappedKey { host_key: self.0.current().await?, bytes: wrapped.bytes.clone() };
            self.0.unwrap(tenant, &wrapped, context).await
        }

        fn has_key_per_tenant(&self) -> bool {
            true
        }
    }

    /// Returns a keyring over a storage in which each of these tenants has a data key.
    async fn per_tenant(tenants: &[&str]) -> (Keyring, Arc<PerTenant>) {
        let storage = storage(&[]).await;
        let provider = Arc::new(PerTenant::new());
        let ring = Keyring::new(Arc::clone(&storage), Arc::clone(&provider) as _, Arc::new(SystemRandomness));
        for tenant in tenants {
            if tenant.starts_with("fine") {
                ring.ensure_key(&tenant.parse().unwrap()).await.unwrap();
                continue;
            }
            // The storage gets these data keys directly, because the provider does not open them.
            let wrapped = WrappedKey { host_key: tenant.parse().unwrap(), bytes: b"lost".to_vec() };
            let key = TenantKey { id: "k".parse().unwrap(), wrapped: Some(wrapped) };
            assert!(storage.add_key(&tenant.parse().unwrap(), None, &key).await.unwrap());
        }
        provider.asked();
        (ring, provider)
    }

    #[tokio::test]
    async fn a_host_can_work_although_the_service_refuses_the_host_keys_of_some_tenants() {
        let (ring, service) = per_tenant(&["broken", "fine", "fine2", "refused1", "refused2", "refused3"]).await;
        for (first, asked, usable, fits_nothing, nothing_available) in [
            (["fine", "fine2"].as_slice(), 1, vec!["fine"], false, false),
            (&["refused1", "fine", "fine2"], 2, vec!["fine"], false, false),
            (&["refused1", "broken", "refused2", "fine"], 4, vec!["fine"], false, false),
            (&["refused1", "refused2", "refused3", "fine"], 4, vec!["fine"], false, false),
            // The tenants that are not named are tried, too, and those that are named only once.
            (&["refused1", "refused2"], 4, vec!["fine"], false, false),
            (&["new"], 2, vec!["fine"], false, false),
        ] {
            let tenants: Vec<TenantId> = first.iter().map(|tenant| tenant.parse().unwrap()).collect();
            let check = ring.check_any_host_key(&tenants).await.unwrap();
            assert_eq!((service.asked(), ids(&check.usable)), (asked, usable), "{first:?}");
            let found = (check.fits_nothing(), check.nothing_available().is_some());
            assert_eq!(found, (fits_nothing, nothing_available), "{first:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_key_that_hangs_does_not_hide_that_another_one_works() {
        for (names, usable, took) in [
            (["hangs1", "hangs2", "fine"], "fine", 2 * PATIENCE),
            // The check waits for the data keys that it has begun to try.
            (["hangs1", "finelate", "hangs2"], "finelate", 4 * PATIENCE),
        ] {
            let (ring, service) = per_tenant(&names).await;
            let tenants: [TenantId; 3] = names.map(|name| name.parse().unwrap());
            let began = Instant::now();
            let check = ring.check_any_host_key(&tenants).await.unwrap();
            assert_eq!((service.asked(), ids(&check.usable), began.elapsed()), (3, vec![usable], took));
        }
    }

    #[tokio::test]
    async fn a_host_key_that_was_unavailable_may_fit_whatever_other_data_keys_say() {
        let (ring, _) = per_tenant(&["broken", "refused1"]).await;
        let check = ring.check_any_host_key(&[]).await.unwrap();
        assert!(!check.fits_nothing() && check.nothing_available().is_some(), "{check:?}");

        let shared: HostKeyId = "shared".parse().unwrap();
        let mut findings = Findings::new(Goal::AnyHostKey);
        findings.add(shared.clone(), Err(KeyError::Unavailable { key: None, why: "away".to_owned() }));
        findings.add(shared.clone(), Err(KeyError::Unknown(shared.clone())));
        assert!(!findings.into_check().fits_nothing());
    }

    #[tokio::test]
    async fn the_check_of_any_host_key_tries_at_most_twenty_tenants() {
        let many: Vec<_> = (0..25).map(|number| format!("broken{number:02}")).collect();
        let names: Vec<_> = many.iter().map(String::as_str).chain(["fine"]).collect();
        let (ring, service) = per_tenant(&names).await;
        let broken: Vec<TenantId> = many.iter().map(|tenant| tenant.parse().unwrap()).collect();
        for first in [&broken[..], &broken[..5], &[]] {
            let check = ring.check_any_host_key(first).await.unwrap();
            assert_eq!((service.asked(), check.fits_nothing()), (20, true), "{}", first.len());
        }
        let fine = ring.check_any_host_key(&["fine".parse().unwrap()]).await.unwrap();
        assert_eq!((service.asked(), ids(&fine.usable)), (1, vec!["fine"]));
    }

    #[tokio::test]
    async fn with_a_host_key_for_each_tenant_one_lost_host_key_stops_only_its_own_tenant() {
        let (ring, _) = per_tenant(&["broken", "fine"]).await;
        let tenant = |id: &str| id.parse::<TenantId>().unwrap();
        let check = ring.check_host_keys_of_all(&[tenant("broken")]).await.unwrap();
        assert_eq!((ids(&check.usable), check.fits_nothing()), (vec!["fine"], false));
        let check = ring.check_host_keys(&[tenant("broken")]).await.unwrap();
        assert!(check.usable.is_empty() && check.fits_nothing(), "{check:?}");
        let check = ring.check_host_keys(&[tenant("new")]).await.unwrap();
        assert!(check.found_no_data_key(), "the keys of other tenants say nothing about a new tenant: {check:?}");
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
