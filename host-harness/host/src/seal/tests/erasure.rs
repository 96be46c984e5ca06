//! Tests of the erasure of a tenant: in one run, after an interruption, and while other hosts write.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::two_tenants::*;
use super::*;
use crate::connection::UnixSeconds;
use crate::events::{Cause, Event, EventKind, EventPosition, NewEvent, Origin};
use crate::id::HostKeyId;
use crate::storage::{
    Access, Intercepted, Interceptor, OnceDigest, Passage, Swapped, WebhookDigest, WebhookStorage as _, WrappedKey,
};

#[tokio::test(start_paused = true)]
async fn no_host_can_open_a_copy_of_an_erased_record() {
    let storage = stored().await;
    let (t, k) = (tenant("t"), key("c0", "a"));
    let clock = Arc::new(ManualClock::at(Duration::from_secs(9)));
    let ring = keyring(&storage, &old()).acting_as("ana".parse().unwrap());
    let ring = ring.because("case 4711".parse().unwrap()).clock(clock);
    let elsewhere = keyring(&storage, &old());
    let token = storage.load_token(&t, &k).await.unwrap().unwrap();
    let open = async |ring: &Keyring| ring.open_token(&t, &k, &token.revision, &token.value).await;
    open(&elsewhere).await.unwrap();

    let event =
        NewEvent { at: UnixSeconds(7), key: Some(k.clone()), kind: EventKind::Recovered, origin: Origin::default() };
    assert!(storage.append_once(&t, &OnceDigest::new([0; 32]), &event, None).await.unwrap());
    let erased = ring.erase(&t).await.unwrap();
    assert_eq!(erased, Erased { keys: 1, connections: CONNECTIONS as u64, others: 2 });
    for (tenant, key) in connections() {
        let left = (storage.load_token(&tenant, &key).await.unwrap(), storage.load_row(&tenant, &key).await.unwrap());
        assert_eq!((left.0.is_some(), left.1.is_some()), (tenant != t, tenant != t));
    }
    // The event of the erasure has a higher position than the deleted event.
    let (actor, stated_reason) = (Some("ana".parse().unwrap()), Some("case 4711".parse().unwrap()));
    let origin = Origin { actor, stated_reason, cause: Some(Cause::Erasure) };
    let event = NewEvent { at: UnixSeconds(9), key: None, kind: EventKind::TenantErased, origin };
    assert_eq!(storage.events(&t, None, 99).await.unwrap(), [Event { position: EventPosition(2), event }]);
    assert_eq!(storage.tenant_keys(&t).await.unwrap(), []);

    // From now on, the host that erased the tenant can't decrypt a copy of the record. The other host still caches the
    // keys. It notices the erasure when it reads the keys again after 60 seconds.
    let gone = format!("key-unavailable({}): the tenant has no key of that name", token.value.key());
    assert_eq!(open(&ring).await.unwrap_err(), StorageError::Refused(gone.clone()));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(open(&elsewhere).await.unwrap_err(), StorageError::Refused(gone));

    // The erasure is idempotent, and the tenant can connect again. The second erasure deletes the event of the first
    // erasure and the digest of this event.
    assert_eq!(ring.erase(&t).await.unwrap(), Erased { others: 2, ..Erased::default() });
    put(&storage, &elsewhere, &t, &k, "anew").await;
    assert_eq!(opened(&storage, &ring, &t, &k).await.unwrap().0, "anew");
}

#[tokio::test]
async fn a_tenant_of_which_nothing_is_stored_is_told_and_gets_no_event() {
    let (storage, absent) = (stored().await, tenant("typo"));
    let ring = keyring(&storage, &old());
    assert_eq!(ring.erase_existing(&absent).await.unwrap(), None);
    assert_eq!(storage.events(&absent, None, 99).await.unwrap(), []);

    let erased = ring.erase_existing(&tenant("t")).await.unwrap();
    assert_eq!(erased, Some(Erased { keys: 1, connections: CONNECTIONS as u64, others: 0 }));
    // The event of the first erasure and the digest of this event are still stored.
    let again = ring.erase_existing(&tenant("t")).await.unwrap();
    assert_eq!(again, Some(Erased { others: 2, ..Erased::default() }));
    assert_eq!(storage.events(&tenant("t"), None, 99).await.unwrap().len(), 1);

    // A tenant also counts as existing if only the digest of a webhook is stored for it.
    let (begun, webhook) = (tenant("begun"), WebhookDigest::new([1; 32]));
    storage.remember_webhook(&begun, &webhook).await.unwrap();
    let erased = ring.erase_existing(&begun).await.unwrap();
    assert_eq!(erased, Some(Erased { others: 1, ..Erased::default() }));
    let kinds: Vec<_> =
        storage.events(&begun, None, 99).await.unwrap().into_iter().map(|event| event.event.kind).collect();
    assert_eq!(kinds, [EventKind::TenantErased]);
}

/// The number of writes of one erasure, which erases the key, deletes the tenant, removes the key, deletes what was
/// written meanwhile, and writes the event.
const WRITES: usize = 5;

#[tokio::test]
async fn an_interrupted_erasure_is_finished_by_the_next_and_no_record_opens_in_between() {
    let (t, k) = (tenant("t"), key("c4", "a"));
    for at in 0..=WRITES {
        let storage = stored().await;
        let token = storage.load_token(&t, &k).await.unwrap().unwrap();
        let ring = Keyring::new(failing_at(at, &storage), Arc::new(old()), Arc::new(SystemRandomness));
        assert_eq!(ring.erase(&t).await.is_err(), at < WRITES, "{at}");
        if at > 0 {
            let opened = keyring(&storage, &old()).open_token(&t, &k, &token.revision, &token.value).await;
            let gone = if at < WRITES - 2 {
                "the tenant's key of that name has been erased"
            } else {
                "the tenant has no key of that name"
            };
            let why = format!("key-unavailable({}): {gone}", token.value.key());
            assert_eq!(opened.unwrap_err(), StorageError::Refused(why), "{at}");
        }
        keyring(&storage, &old()).erase(&t).await.unwrap();
        assert_eq!(storage.tenant_keys(&t).await.unwrap(), []);
        for n in 0..CONNECTIONS {
            let key = key(&format!("c{n}"), "a");
            assert!(storage.load_token(&t, &key).await.unwrap().is_none(), "{at}");
            assert!(storage.load_row(&t, &key).await.unwrap().is_none(), "{at}");
        }
        // An erasure also deletes the event of an earlier erasure.
        let events = storage.events(&t, None, 99).await.unwrap();
        let kinds: Vec<_> = events.into_iter().map(|event| event.event.kind).collect();
        assert_eq!(kinds, [EventKind::TenantErased], "{at}");
    }
}

/// An interceptor that writes a token record during an erasure, like another host on which a seller has just consented.
/// It adds a new key and seals the record with this key.
struct WritesMeanwhile {
    ring: Keyring,
    /// The number of times that the erasure has removed a key.
    removed: AtomicUsize,
}

#[async_trait]
impl Interceptor for WritesMeanwhile {
    async fn passage(&self, access: Access<'_>, storage: &dyn HostStorage) -> Passage {
        // When the erasure removes the first key, it has already deleted all connections.
        if access.method() == "remove_key" && self.removed.fetch_add(1, Ordering::SeqCst) == 0 {
            let (t, k, next) = (tenant("t"), key("c2", "a"), revision("meanwhile"));
            let value = self.ring.seal_token(&t, &k, &next, b"precious").await.unwrap();
            let next = Next { revision: next, value: TokenWrite { value, refresh_due_at: None } };
            assert_eq!(storage.swap_token(&t, &k, None, Some(&next)).await, Ok(Swapped::Done));
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn a_record_that_another_host_writes_during_an_erasure_is_erased_too() {
    let (storage, t, k) = (stored().await, tenant("t"), key("c2", "a"));
    let writes = Arc::new(WritesMeanwhile { ring: keyring(&storage, &old()), removed: AtomicUsize::new(0) });
    let front = Arc::new(Intercepted::new(Arc::clone(&storage) as _, Arc::clone(&writes) as _));
    let ring = Keyring::new(front, Arc::new(old()), Arc::new(SystemRandomness));
    let erased = ring.erase(&t).await.unwrap();
    assert_eq!(erased, Erased { keys: 2, connections: CONNECTIONS as u64 + 1, others: 0 });
    assert_eq!(writes.removed.load(Ordering::SeqCst), 2);
    assert_eq!(storage.load_token(&t, &k).await, Ok(None));
    assert_eq!(storage.tenant_keys(&t).await, Ok(Vec::new()));
}

/// The connection `bare` has no sealed value: its row has no ciphers, and it has no token record.
#[tokio::test]
async fn a_row_without_ciphers_is_erased_with_its_tenant() {
    let (storage, t) = (stored().await, tenant("t"));
    let mut row = row(&[]);
    row.connection.key = key("bare", "a");
    let (bare, kind) = (Some(key("bare", "a")), EventKind::Connected);
    let connected = NewEvent { at: UnixSeconds(1), key: bare, kind, origin: Origin::default() };
    let value = Row { origin: RowOrigin::Columns, ..row.encode().unwrap() };
    let next = Next { revision: revision("bare"), value };
    storage.swap_row(&t, &key("bare", "a"), None, Some(&next), &[connected]).await.unwrap();
    let erased = keyring(&storage, &old()).erase(&t).await.unwrap();
    assert_eq!(erased, Erased { keys: 1, connections: CONNECTIONS as u64 + 1, others: 1 });
    assert_eq!(storage.load_row(&t, &key("bare", "a")).await, Ok(None));
}

/// A provider that has a host key for each tenant. It destroys the host key only if a data key of the database names
/// it. Just before the first destruction, another host adds a data key.
struct ConsentBeforeDestruction {
    keys: HostKeys,
    storage: Arc<MemoryStorage>,
    /// The host keys that the caller named in each call of `destroy`.
    named: Mutex<Vec<Vec<HostKeyId>>>,
}

#[async_trait]
impl KeyProvider for ConsentBeforeDestruction {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.keys.current().await
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.keys.wrap(tenant, key, context).await
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.keys.unwrap(tenant, wrapped, context).await
    }

    async fn destroy(&self, tenant: &TenantId, wrapped_by: &[HostKeyId]) -> Result<Destruction, KeyError> {
        let is_first = {
            let mut named = self.named.lock().unwrap();
            named.push(wrapped_by.to_vec());
            named.len() == 1
        };
        if is_first {
            keyring(&self.storage, &self.keys).ensure_key(tenant).await.unwrap();
        }
        if wrapped_by.is_empty() {
            return Ok(Destruction::NotAllowed { key: "old".to_owned(), next: "ask".to_owned() });
        }
        Ok(Destruction::Destroyed)
    }

    fn has_key_per_tenant(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_data_key_that_another_host_adds_before_the_destruction_of_the_host_key_is_noticed() {
    let (storage, t) = (memory(), tenant("t"));
    let provider =
        Arc::new(ConsentBeforeDestruction { keys: old(), storage: Arc::clone(&storage), named: Mutex::default() });
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::clone(&provider) as _, Arc::new(SystemRandomness));
    assert_eq!(ring.destroy_host_key(&t).await.unwrap(), Destruction::Destroyed);
    assert_eq!(*provider.named.lock().unwrap(), [vec![], vec!["old".parse::<HostKeyId>().unwrap()]]);
    assert_eq!(ring.erase(&t).await.unwrap(), Erased { keys: 1, ..Erased::default() });
    assert_eq!(storage.tenant_keys(&t).await, Ok(Vec::new()));
}
