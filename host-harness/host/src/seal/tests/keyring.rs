//! Keys that are found, shared by hosts, out of reach, or the wrong ones.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;

use super::*;
use crate::id::HostKeyId;
use crate::storage::{Access, Intercepted, Interceptor, Passage};
use crate::storage::{Swapped, WrappedKey};

#[tokio::test]
async fn hosts_that_meet_a_new_tenant_at_once_agree_on_one_key() {
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
async fn a_tenant_has_keys_of_its_own() {
    let ring = keyring(&memory(), &HostKeys::draw().unwrap());
    let of = async |id| ring.seal_token(&tenant(id), &key("c", "a"), &revision("r"), b"").await.unwrap().key().clone();
    assert_ne!(of("t").await, of("u").await);
    assert_eq!(of("t").await, of("t").await);
}

/// Counts what is asked of host keys, and is out of reach while it is told to be.
struct Service {
    keys: HostKeys,
    down: AtomicBool,
    unwrapped: AtomicUsize,
}

#[async_trait]
impl KeyProvider for Service {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.keys.current().await
    }

    async fn wrap(&self, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.reachable(None)?;
        self.keys.wrap(key, context).await
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.reachable(Some(&wrapped.host_key))?;
        self.unwrapped.fetch_add(1, Ordering::SeqCst);
        self.keys.unwrap(wrapped, context).await
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

/// Storage that does not answer while it is told not to.
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
async fn known_keys_serve_while_the_key_service_and_the_storage_are_down() {
    let (storage, t, r) = (memory(), tenant("t"), revision("r"));
    let service = Arc::new(Service {
        keys: HostKeys::draw().unwrap(),
        down: AtomicBool::new(false),
        unwrapped: AtomicUsize::new(0),
    });
    let outage = Arc::new(Outage(AtomicBool::new(false)));
    let front: Arc<dyn HostStorage> = Arc::new(Intercepted::new(Arc::clone(&storage) as _, Arc::clone(&outage) as _));
    let ring = Keyring::new(Arc::clone(&front), Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let sealed = ring.seal_token(&t, &key("c", "a"), &r, b"record").await.unwrap();

    service.down.store(true, Ordering::SeqCst);
    outage.0.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(**ring.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap(), *b"record");
        ring.seal_token(&t, &key("c", "b"), &r, b"record").await.unwrap();
    }
    assert_eq!(service.unwrapped.load(Ordering::SeqCst), 1, "a key is unwrapped once");

    // A host that has not met the tenant can't: for now.
    outage.0.store(false, Ordering::SeqCst);
    let new = Keyring::new(front, Arc::clone(&service) as _, Arc::new(SystemRandomness));
    let id = service.keys.ids().next().unwrap();
    let told = StorageError::Unavailable(format!("key-unavailable({id}): connection refused"));
    assert_eq!(new.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap_err(), told);
    let told = StorageError::Unavailable("key-unavailable(current): connection refused".to_owned());
    assert_eq!(new.ready(&tenant("u")).await.unwrap_err(), told);
    service.down.store(false, Ordering::SeqCst);
    assert_eq!(**new.open_token(&t, &key("c", "a"), &r, &sealed).await.unwrap(), *b"record");
}

/// Longer than a host goes without looking after a tenant's keys.
const REMEMBERED: Duration = Duration::from_secs(61);

#[tokio::test]
async fn a_missing_host_key_and_a_wrong_one_are_named_and_nothing_is_overwritten() {
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
        let told = StorageError::Refused(format!("key-unavailable(h-1): {why}"));
        assert_eq!(opened(&storage, &ring, &t, &k).await.unwrap_err(), told);
        assert_eq!(ring.seal_token(&t, &k, &revision("r"), b"").await.unwrap_err(), told);
        let sealed = SealedStorage::new(Arc::clone(&storage) as _, Arc::new(keyring(&storage, &keys)));
        assert_eq!(sealed.load_token(&t, &k).await.unwrap_err(), told);
        assert_eq!(sealed.load_row(&t, &k).await.unwrap_err(), told);
        let next = Next { revision: revision("r2"), value: open_write("new") };
        assert_eq!(sealed.swap_token(&t, &k, None, Some(&next)).await.unwrap_err(), told);
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
async fn how_connections_are_is_told_without_their_keys() {
    let (storage, t, k) = (memory(), tenant("t"), key("c", "a"));
    put(&storage, &keyring(&storage, &HostKeys::draw().unwrap()), &t, &k, "precious").await;
    let keyless = Arc::new(keyring(&storage, &HostKeys::draw().unwrap()));
    let sealed = SealedStorage::new(Arc::clone(&storage) as _, keyless);
    assert!(matches!(sealed.list_rows(&t, &k.customer).await, Err(StorageError::Refused(_))));
    let rows = sealed.list_rows_without_keys(&t, &k.customer).await.unwrap();
    let [entry] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(entry.row, Row { ciphers: None, ..row_in(&storage, &t, &k).await });
}

async fn row_in(storage: &MemoryStorage, tenant: &TenantId, key: &ConnectionKey) -> Row {
    storage.load_row(tenant, key).await.unwrap().unwrap().row
}

/// As when another host has rotated the tenant's keys to their end.
#[tokio::test]
async fn what_a_host_seals_under_a_key_that_is_gone_meanwhile_is_sealed_anew() {
    let (storage, keys, t, k) = (memory(), HostKeys::draw().unwrap(), tenant("t"), key("c", "a"));
    let ring = Arc::new(keyring(&storage, &keys));
    ring.ready(&t).await.unwrap();
    let old = storage.tenant_keys(&t).await.unwrap().remove(0);
    assert!(keyring(&storage, &keys).add(&t, Some(&old.id)).await.unwrap());
    assert!(storage.remove_key(&t, &old.id).await.unwrap());

    let sealed = SealedStorage::new(Arc::clone(&storage) as _, Arc::clone(&ring));
    let next = Next { revision: revision("r1"), value: open_write("precious") };
    assert!(matches!(sealed.swap_token(&t, &k, None, Some(&next)).await, Ok(Swapped::Done)));
    ring.forget(&t);
    ring.unwrapped(&t, &storage.tenant_keys(&t).await.unwrap()[0]).await.unwrap();
    let next = Next { revision: revision("r1"), value: row(&[Some("cipher")]) };
    assert!(matches!(sealed.swap_row(&t, &k, None, Some(&next), &[]).await, Ok(Swapped::Done)));
    assert_eq!(*sealed.load_token(&t, &k).await.unwrap().unwrap().value, b"precious");
}
