//! Tests of the keyring: keys that several hosts share, keys that are not available, and wrong keys.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;

use super::*;
use crate::id::HostKeyId;
use crate::storage::{Access, Intercepted, Interceptor, Passage, RowFilter, Swapped, TenantKey, WrappedKey};

#[tokio::test]
async fn hosts_that_seal_for_a_new_tenant_at_the_same_time_agree_on_one_key() {
    let (storage, keys) = (memory(), HostKeys::draw().unwrap());
    let rings: Vec<_> = (0..8).map(|_| keyring(&storage, &keys)).collect();
    let t = tenant("t");
    let sealed = join_all(rings.iter().enumerate().map(async |(at, ring)| {
        let key = key(&format!("c{at}"), "a");
        (key.clone(), ring.seal_token(&t, &key, &revision("r"), &[at as u8]).await.unwrap())
    }))
    .await;
    assert_eq!(storage.tenant_keys(&t).await.unwrap().len(), 1);
    for ring in &rings {
        for (at, (key, sealed)) in sealed.iter().enumerate() {
            assert_eq!(**ring.open_token(&t, key, &revision("r"), sealed).await.unwrap(), [at as u8]);
        }
    }
}

#[tokio::test]
async fn every_tenant_has_its_own_key() {
    let ring = keyring(&memory(), &HostKeys::draw().unwrap());
    let of = async |id| ring.seal_token(&tenant(id), &key("c", "a"), &revision("r"), b"").await.unwrap().key().clone();
    assert_ne!(of("t").await, of("u").await);
    assert_eq!(of("t").await, of("t").await);
}

/// Somebody who can write to the storage copies a tenant's wrapped key to another tenant, or gives the key another id.
/// The host key does not unwrap the copy, so the two tenants never share a key.
#[tokio::test]
async fn a_wrapped_key_unwraps_only_for_its_own_tenant_and_its_own_id() {
    let (storage, keys) = (memory(), HostKeys::new([("h-1".parse().unwrap(), DataKey::new([1; 32]))]).unwrap());
    let ring = keyring(&storage, &keys);
    let (t, k, r) = (tenant("t"), key("c", "a"), revision("r"));
    let sealed = ring.seal_token(&t, &k, &r, b"record").await.unwrap();
    let own = storage.tenant_keys(&t).await.unwrap().remove(0);
    let renamed = TenantKey { id: "renamed".parse().unwrap(), ..own.clone() };
    // If the tenant's id and the key's id are joined without a boundary, `joined_tenant` and `joined` have the same
    // bytes as the original tenant and key.
    let joined = TenantKey { id: own.id.as_str().get(1..).unwrap().parse().unwrap(), ..own.clone() };
    let joined_tenant = format!("t{}", own.id.as_str().get(..1).unwrap());
    for (other, copy) in [("u", &own), ("t", &renamed), ("u", &renamed), (&*joined_tenant, &joined)] {
        let (other, storage) = (tenant(other), memory());
        assert!(storage.add_key(&other, None, copy).await.unwrap());
        let ring = keyring(&storage, &keys);
        let refused = StorageError::Refused(
            "key-unavailable(h-1): the host key of that name does not unwrap this data key".to_owned(),
        );
        assert_eq!(ring.seal_token(&other, &k, &r, b"record").await.unwrap_err(), refused, "{other}");
        let copied = Sealed::new(copy.id.clone(), sealed.bytes().to_vec());
        assert_eq!(ring.open_token(&other, &k, &r, &copied).await.unwrap_err(), refused, "{other}");
    }
    assert_eq!(**keyring(&storage, &keys).open_token(&t, &k, &r, &sealed).await.unwrap(), *b"record");
}

/// A key service that counts how often it unwraps a data key. It fails while `down` is set. It knows no host key while
/// `lost` is set.
struct Service {
    keys: HostKeys,
    down: AtomicBool,
    lost: AtomicBool,
    unwrapped: AtomicUsize,
}

#[async_trait]
impl KeyProvider for Service {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.keys.current().await
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.reachable(None)?;
        self.keys.wrap(tenant, key, context).await
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.reachable(Some(&wrapped.host_key))?;
        if self.lost.load(Ordering::SeqCst) {
            return Err(KeyError::Unknown(wrapped.host_key.clone()));
        }
        self.unwrapped.fetch_add(1, Ordering::SeqCst);
        self.keys.unwrap(tenant, wrapped, context).await
    }
}

impl Service {
    fn reachable(&self, key: Option<&HostKeyId>) -> Result<(), KeyError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(KeyError::Unavailable { key: key.cloned(), why: "connection refused".to_owned() });
        }
        Ok(())
    }
}

/// Makes the storage fail while the flag is set.
struct Outage(AtomicBool);

#[async_trait]
impl Interceptor for Outage {
    async fn passage(&self, _: Access<'_>, _: &dyn HostStorage) -> Passage {
        if self.0.load(Ordering::SeqCst) {
            Passage::Fail(StorageError::Unavailable("down".to_owned()))
        } else {
            Passage::Forward
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cached_keys_seal_and_open_while_the_key_service_and_the_storage_are_down() {
    let (storage, t, r) = (memory(), tenant("t"), revision("r"));
    let service = Arc::new(Service {
        keys: HostKeys::draw().unwrap(),
        down: AtomicBool::new(false),
        lost: AtomicBool::new(false),
        unwrapped: AtomicUsize::new(0),
    });
    let outage = Arc::new(Outage(AtomicBool::new(false)));
    let front: Arc<dyn HostStorage> = Arc::new(Intercepted::new(Arc::clone(&storage) as _, Arc::clone(&outage) as _));
    let ring = Keyring::new(Arc::clone(&front), Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let sealed = ring.seal_token(&t, &key("c", "a"), &r, b"record").await.unwrap();

    service.down.store(true, Ordering::SeqCst);
    outage.0.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        tokio::time::advance(PAST_CACHE_AGE).await;
        assert_eq!(**ring.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap(), *b"record");
        ring.seal_token(&t, &key("c", "b"), &r, b"record").await.unwrap();
    }
    assert_eq!(service.unwrapped.load(Ordering::SeqCst), 1, "a key is unwrapped once");

    // A host without the tenant's keys in its cache fails until the key service answers again.
    outage.0.store(false, Ordering::SeqCst);
    let new = Keyring::new(front, Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let id = service.keys.ids().next().unwrap();
    let error = StorageError::Unavailable(format!("key-unavailable({id}): connection refused"));
    assert_eq!(new.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap_err(), error);
    let error = StorageError::Unavailable("key-unavailable(current): connection refused".to_owned());
    assert_eq!(new.ensure_key(&tenant("u")).await.unwrap_err(), error);
    service.down.store(false, Ordering::SeqCst);
    assert_eq!(**new.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap(), *b"record");
}

#[tokio::test(start_paused = true)]
async fn a_cached_key_is_asked_for_again_after_5_minutes_and_used_in_an_outage_for_one_hour() {
    let (storage, t, r) = (memory(), tenant("t"), revision("r"));
    let service = Arc::new(Service {
        keys: HostKeys::draw().unwrap(),
        down: AtomicBool::new(false),
        lost: AtomicBool::new(false),
        unwrapped: AtomicUsize::new(0),
    });
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let asked = || service.unwrapped.load(Ordering::SeqCst);
    let sealed = ring.seal_token(&t, &key("c", "a"), &r, b"record").await.unwrap();
    tokio::time::advance(Duration::from_secs(299)).await;
    ring.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap();
    assert_eq!(asked(), 1, "a key that was unwrapped less than 5 minutes ago is used");
    tokio::time::advance(Duration::from_secs(2)).await;
    ring.seal_token(&t, &key("c", "a"), &r, b"record").await.unwrap();
    assert_eq!(asked(), 1, "a call that has begun seals without a question to the service");
    ring.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap();
    assert_eq!(asked(), 2, "a key that was unwrapped 5 minutes ago is asked for again");

    service.down.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(3_599)).await;
    ring.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let id = service.keys.ids().next().unwrap();
    let down = StorageError::Unavailable(format!("key-unavailable({id}): connection refused"));
    assert_eq!(ring.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap_err(), down);
    assert_eq!(ring.ensure_key(&t).await.unwrap_err(), down, "a call that needs a key does not begin");
    service.down.store(false, Ordering::SeqCst);
    ring.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap();
    assert_eq!(asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_begun_in_an_outage_can_still_seal_its_new_tokens() {
    let (storage, t, r) = (memory(), tenant("t"), revision("r"));
    let service = Arc::new(Service {
        keys: HostKeys::draw().unwrap(),
        down: AtomicBool::new(false),
        lost: AtomicBool::new(false),
        unwrapped: AtomicUsize::new(0),
    });
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let sealed = ring.seal_token(&t, &key("c", "a"), &r, b"record").await.unwrap();
    service.down.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(3_599)).await;
    ring.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap();
    tokio::time::advance(Duration::from_secs(119)).await;
    ring.seal_token(&t, &key("c", "a"), &r, b"new tokens").await.unwrap();
}

/// This test stands for a refresh that waits for TikTok's answer. Meanwhile, another call of the same tenant asks the
/// provider to unwrap the data key, but the provider has lost the host key.
#[tokio::test(start_paused = true)]
async fn a_call_that_has_begun_before_the_host_key_was_lost_can_still_seal_its_new_tokens() {
    let (storage, t, k, r) = (memory(), tenant("t"), key("c", "a"), revision("r"));
    let service = Arc::new(Service {
        keys: HostKeys::draw().unwrap(),
        down: AtomicBool::new(false),
        lost: AtomicBool::new(false),
        unwrapped: AtomicUsize::new(0),
    });
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let sealed = ring.seal_token(&t, &k, &r, b"record").await.unwrap();
    tokio::time::advance(Duration::from_secs(299)).await;
    ring.open_token(&t, &k, &r, &sealed).await.unwrap();

    service.lost.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(1)).await;
    let id = service.keys.ids().next().unwrap();
    let unknown = StorageError::Refused(format!("key-unavailable({id}): no host key of that name is here"));
    assert_eq!(ring.open_token(&t, &k, &r, &sealed).await.unwrap_err(), unknown);
    assert_eq!(ring.ensure_key(&t).await.unwrap_err(), unknown, "a call that needs the key does not begin");
    tokio::time::advance(Duration::from_secs(119)).await;
    ring.seal_token(&t, &k, &r, b"new tokens").await.unwrap();
    assert_eq!(ring.open_token(&t, &k, &r, &sealed).await.unwrap_err(), unknown);
    service.down.store(true, Ordering::SeqCst);
    let down = StorageError::Unavailable(format!("key-unavailable({id}): connection refused"));
    assert_eq!(ring.open_token(&t, &k, &r, &sealed).await.unwrap_err(), down, "an outage does not open it, either");
    service.down.store(false, Ordering::SeqCst);

    tokio::time::advance(Duration::from_secs(1)).await;
    let late = ring.seal_token(&t, &k, &r, b"new tokens").await.unwrap_err();
    assert_eq!(late, unknown, "the second refusal did not prolong the time for sealing");

    service.lost.store(false, Ordering::SeqCst);
    ring.open_token(&t, &k, &r, &sealed).await.unwrap();
}

/// This test stands for a refresh that opens a value without asking the provider, because the storage is unavailable.
/// Later the save of the same refresh asks the provider, which has lost the host key.
#[tokio::test(start_paused = true)]
async fn a_save_that_learns_itself_that_the_host_key_was_lost_still_succeeds() {
    let (storage, t, k, r) = (memory(), tenant("t"), key("c", "a"), revision("r"));
    let service = Arc::new(Service {
        keys: HostKeys::draw().unwrap(),
        down: AtomicBool::new(false),
        lost: AtomicBool::new(false),
        unwrapped: AtomicUsize::new(0),
    });
    let outage = Arc::new(Outage(AtomicBool::new(false)));
    let front: Arc<dyn HostStorage> = Arc::new(Intercepted::new(Arc::clone(&storage) as _, Arc::clone(&outage) as _));
    let ring = Keyring::new(front, Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let sealed = ring.seal_token(&t, &k, &r, b"record").await.unwrap();
    service.lost.store(true, Ordering::SeqCst);
    outage.0.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(600)).await;
    ring.open_token(&t, &k, &r, &sealed).await.unwrap();
    outage.0.store(false, Ordering::SeqCst);
    ring.seal_token(&t, &k, &r, b"new tokens").await.unwrap();
    let id = service.keys.ids().next().unwrap();
    let unknown = StorageError::Refused(format!("key-unavailable({id}): no host key of that name is here"));
    assert_eq!(ring.open_token(&t, &k, &r, &sealed).await.unwrap_err(), unknown);
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(ring.seal_token(&t, &k, &r, b"new tokens").await.unwrap_err(), unknown);
}

#[tokio::test]
async fn a_provider_after_another_unwraps_what_the_other_one_wrapped_and_wraps_with_its_own_key() {
    let (t, earlier, current) = (tenant("t"), HostKeys::draw().unwrap(), HostKeys::draw().unwrap());
    let old = earlier.wrap(&t, &DataKey::new([7; 32]), b"context").await.unwrap();
    let both = KeySuccession::new(Arc::new(current.clone()), Arc::new(earlier.clone()));
    assert_eq!(both.unwrap(&t, &old, b"context").await.unwrap().expose(), &[7; 32]);
    let new = both.wrap(&t, &DataKey::new([8; 32]), b"context").await.unwrap();
    assert_eq!(Some(&new.host_key), current.ids().next());
    assert_eq!(both.current_for(&t).await.unwrap(), new.host_key);
    assert_eq!(earlier.unwrap(&t, &new, b"context").await.unwrap_err(), KeyError::Unknown(new.host_key.clone()));
}

/// A provider that only answers `destroy`.
struct Destroys(Destruction);

#[async_trait]
impl KeyProvider for Destroys {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        Err(KeyError::Unavailable { key: None, why: "not asked in this test".to_owned() })
    }

    async fn wrap(&self, _: &TenantId, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
        Err(KeyError::Unavailable { key: None, why: "not asked in this test".to_owned() })
    }

    async fn unwrap(&self, _: &TenantId, wrapped: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
        Err(KeyError::Unknown(wrapped.host_key.clone()))
    }

    async fn destroy(&self, _: &TenantId, _: &[HostKeyId]) -> Result<Destruction, KeyError> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn a_host_key_counts_as_destroyed_only_if_no_provider_of_a_succession_keeps_one() {
    use Destruction::{Destroyed, NotPossible};

    let kept = |key: &str| Destruction::NotAllowed { key: key.to_owned(), next: format!("delete {key}") };
    let both = Destruction::NotAllowed { key: "a or b".to_owned(), next: "delete a; delete b".to_owned() };
    for (current, earlier, expected) in [
        (Destroyed, NotPossible, Destroyed),
        (Destroyed, Destroyed, Destroyed),
        (NotPossible, Destroyed, Destroyed),
        (NotPossible, NotPossible, NotPossible),
        (Destroyed, kept("b"), kept("b")),
        (NotPossible, kept("b"), kept("b")),
        (kept("a"), Destroyed, kept("a")),
        (kept("a"), NotPossible, kept("a")),
        (kept("a"), kept("b"), both),
    ] {
        let providers = KeySuccession::new(Arc::new(Destroys(current.clone())), Arc::new(Destroys(earlier.clone())));
        assert_eq!(providers.destroy(&tenant("t"), &[]).await.unwrap(), expected, "{current:?} {earlier:?}");
    }
}

/// More than the 60 s for which a cached key is used before the host reads the tenant's keys again.
const PAST_CACHE_AGE: Duration = Duration::from_secs(61);

#[tokio::test]
async fn a_missing_or_wrong_host_key_is_named_and_nothing_is_overwritten() {
    let (storage, t, k) = (memory(), tenant("t"), key("c", "a"));
    let (first, id): (_, HostKeyId) = (DataKey::new([1; 32]), "h-1".parse().unwrap());
    let right = HostKeys::new([(id.clone(), first)]).unwrap();
    put(&storage, &keyring(&storage, &right), &t, &k, "precious").await;
    let before = (storage.load_token(&t, &k).await, storage.load_row(&t, &k).await, storage.tenant_keys(&t).await);

    let missing = HostKeys::draw().unwrap();
    let wrong = HostKeys::new([(id, DataKey::new([2; 32]))]).unwrap();
    for (keys, why) in [
        (missing, "no host key of that name is here"),
        (wrong, "the host key of that name does not unwrap this data key"),
    ] {
        let ring = keyring(&storage, &keys);
        let refused = StorageError::Refused(format!("key-unavailable(h-1): {why}"));
        assert_eq!(opened(&storage, &ring, &t, &k).await.unwrap_err(), refused);
        assert_eq!(ring.seal_token(&t, &k, &revision("r"), b"").await.unwrap_err(), refused);
        let sealed =
            SealedStorage::new(Arc::clone(&storage) as _, Arc::new(keyring(&storage, &keys)), UnsealedRows::Accept);
        assert_eq!(sealed.load_token(&t, &k, None).await.unwrap_err(), refused);
        assert_eq!(sealed.load_row(&t, &k).await.unwrap_err(), refused);
        let next = Next { revision: revision("r2"), value: open_write("new") };
        assert_eq!(sealed.swap_token(&t, &k, None, Some(&next)).await.unwrap_err(), refused);
    }
    let after = (storage.load_token(&t, &k).await, storage.load_row(&t, &k).await, storage.tenant_keys(&t).await);
    assert_eq!(after, before);
    let found = opened(&storage, &keyring(&storage, &right), &t, &k).await.unwrap();
    assert_eq!(found, ("precious".to_owned(), "precious".to_owned()));
}

fn open_write(clear: &str) -> OpenWrite {
    OpenWrite { value: clear.as_bytes().to_vec().into(), refresh_due_at: None }
}

#[tokio::test]
async fn connections_are_listed_without_their_keys() {
    let (storage, t, k) = (memory(), tenant("t"), key("c", "a"));
    put(&storage, &keyring(&storage, &HostKeys::draw().unwrap()), &t, &k, "precious").await;
    let keyless = Arc::new(keyring(&storage, &HostKeys::draw().unwrap()));
    let sealed = SealedStorage::new(Arc::clone(&storage) as _, keyless, UnsealedRows::Accept);
    assert!(matches!(sealed.list_rows(&t, &k.customer).await, Err(StorageError::Refused(_))));
    let rows = sealed.leaving_out_missing_keys(TIMEOUT).list_rows(&t, &k.customer).await.unwrap().0;
    let [Ok(row)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((&row.entry.row, row.secrets.as_slice()), (&row_in(&storage, &t, &k).await, b"".as_slice()));
}

/// The time that a call has for one read.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A key service that unwraps no data key. It counts how often it is asked.
struct UnwrapsNothing {
    asked: AtomicUsize,
    /// Whether the service never answers. Otherwise it answers at once that it does not know the host key.
    hangs: bool,
}

#[async_trait]
impl KeyProvider for UnwrapsNothing {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        Err(KeyError::Unavailable { key: None, why: "not asked in this test".to_owned() })
    }

    async fn wrap(&self, _: &TenantId, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
        Err(KeyError::Unavailable { key: None, why: "not asked in this test".to_owned() })
    }

    async fn unwrap(&self, _: &TenantId, wrapped: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(KeyError::Unknown(wrapped.host_key.clone()))
    }
}

/// The clock of this test is paused, so waiting takes no time.
#[tokio::test(start_paused = true)]
async fn a_call_that_can_do_without_keys_asks_the_key_service_once_for_all_its_connections() {
    for (hangs, seconds) in [(false, 0), (true, 9)] {
        let (storage, t) = (memory(), tenant("t"));
        let ring = keyring(&storage, &HostKeys::draw().unwrap());
        let keys: Vec<_> = ["a", "b", "c", "d"].into_iter().map(|account| key("c", account)).collect();
        for key in &keys {
            put(&storage, &ring, &t, key, "precious").await;
        }
        let service = Arc::new(UnwrapsNothing { asked: AtomicUsize::new(0), hangs });
        let keyless = Keyring::new(Arc::clone(&storage) as _, Arc::clone(&service) as _, Arc::new(SystemRandomness));
        let sealed = SealedStorage::new(Arc::clone(&storage) as _, Arc::new(keyless), UnsealedRows::Accept)
            .leaving_out_missing_keys(TIMEOUT);

        let began = tokio::time::Instant::now();
        let listed = sealed.list_rows(&t, &keys[0].customer).await.unwrap().0;
        let page = sealed.tenant_rows(&t, &RowFilter::default(), None, 9).await.unwrap();
        assert_eq!((listed.len(), page.len()), (4, 4));
        for (row, key) in listed.iter().zip(&keys).chain(page.iter().zip(&keys)) {
            let row = row.as_ref().unwrap();
            assert_eq!((&row.entry.row, row.secrets.as_slice()), (&row_in(&storage, &t, key).await, b"".as_slice()));
        }
        for key in &keys {
            assert_eq!(*sealed.load_token(&t, key, None).await.unwrap().unwrap().value, b"");
            let row = sealed.load_row(&t, key).await.unwrap().unwrap();
            assert_eq!(*row.secrets, b"");
            // Nobody has checked the row, so no row that follows from it is written.
            let next = Next { revision: revision("next"), value: row_write("other") };
            let written = sealed.swap_row(&t, key, Some(&row.entry.revision), Some(&next), &[]).await.unwrap_err();
            let why = "the stored row can't be checked, because its key is missing";
            assert_eq!(written, StorageError::Refused(why.to_owned()));
        }
        assert_eq!(service.asked.load(Ordering::SeqCst), 1, "hangs: {hangs}");
        assert_eq!(began.elapsed().as_secs(), seconds, "hangs: {hangs}");
    }
}

#[tokio::test]
async fn a_call_over_rows_of_release_0_1_without_ciphers_does_not_ask_the_key_service() {
    let (storage, t, k) = (memory(), tenant("t"), key("c", "a"));
    let value = Row { origin: RowOrigin::Columns, ..row(&[None]).encode().unwrap() };
    let next = Next { revision: revision("r"), value };
    storage.swap_row(&t, &k, None, Some(&next), &[]).await.unwrap();
    let service = Arc::new(UnwrapsNothing { asked: AtomicUsize::new(0), hangs: true });
    let keyless = Keyring::new(Arc::clone(&storage) as _, Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let sealed = SealedStorage::new(Arc::clone(&storage) as _, Arc::new(keyless), UnsealedRows::Accept)
        .leaving_out_missing_keys(TIMEOUT);
    assert_eq!(sealed.list_rows(&t, &k.customer).await.unwrap().0.len(), 1);
    assert_eq!(service.asked.load(Ordering::SeqCst), 0);
}

fn row_write(cipher: &str) -> RowWrite {
    let row = row(&[Some(cipher)]);
    RowWrite { row: row.encode().unwrap(), secrets: row.secrets().unwrap().expose().to_vec().into() }
}

async fn row_in(storage: &MemoryStorage, tenant: &TenantId, key: &ConnectionKey) -> Row {
    storage.load_row(tenant, key).await.unwrap().unwrap().row
}

/// One host still caches the old key, but another host has added a new key and removed the old one.
#[tokio::test]
async fn a_value_sealed_under_a_removed_key_is_sealed_again() {
    let (storage, keys, t, k) = (memory(), HostKeys::draw().unwrap(), tenant("t"), key("c", "a"));
    let ring = Arc::new(keyring(&storage, &keys));
    ring.ensure_key(&t).await.unwrap();
    let old = storage.tenant_keys(&t).await.unwrap().remove(0);
    assert!(keyring(&storage, &keys).add_key(&t, Some(&old.id)).await.unwrap());
    assert!(storage.remove_key(&t, &old.id).await.unwrap());

    let sealed = SealedStorage::new(Arc::clone(&storage) as _, Arc::clone(&ring), UnsealedRows::Accept);
    let next = Next { revision: revision("r1"), value: open_write("precious") };
    assert!(matches!(sealed.swap_token(&t, &k, None, Some(&next)).await, Ok(Swapped::Done)));
    ring.forget_keys(&t);
    ring.unwrap_key(&t, &storage.tenant_keys(&t).await.unwrap()[0]).await.unwrap();
    let next = Next { revision: revision("r1"), value: row_write("cipher") };
    assert!(matches!(sealed.swap_row(&t, &k, None, Some(&next), &[]).await, Ok(Swapped::Done)));
    assert_eq!(*sealed.load_token(&t, &k, None).await.unwrap().unwrap().value, b"precious");
}

/// A key service that has lost its keys, and returns a key of zeros instead of an error.
struct Zeros(HostKeys);

#[async_trait]
impl KeyProvider for Zeros {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.0.current().await
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.0.wrap(tenant, key, context).await
    }

    async fn unwrap(&self, _: &TenantId, _: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
        Ok(DataKey::new([0; 32]))
    }
}

#[tokio::test]
async fn nothing_is_sealed_under_a_data_key_of_zeros() {
    let (storage, t) = (memory(), tenant("t"));
    let keys = HostKeys::new([("h-1".parse().unwrap(), DataKey::new([1; 32]))]).unwrap();
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::new(Zeros(keys)), Arc::new(SystemRandomness));
    let refused = "key-unavailable(h-1): the host key of that name does not unwrap this data key".to_owned();
    assert_eq!(ring.ensure_key(&t).await, Err(StorageError::Refused(refused.clone())));
    let sealed = ring.seal_token(&t, &key("c", "a"), &revision("r"), b"precious").await;
    assert_eq!(sealed, Err(StorageError::Refused(refused)));
}
