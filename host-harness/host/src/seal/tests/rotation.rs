//! Keys over time: rotated while hosts write, interrupted anywhere, retired, erased.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::connection::UnixSeconds;
use crate::events::{EventKind, NewEvent};
use crate::id::HostKeyId;
use crate::storage::Swapped;
use crate::storage::{Access, Intercepted, Interceptor, Passage};

fn host_key(id: &str, byte: u8) -> (HostKeyId, DataKey) {
    (id.parse().unwrap(), DataKey::new([byte; 32]))
}

fn old() -> HostKeys {
    HostKeys::new([host_key("old", 1)]).unwrap()
}

/// The old key still unwraps.
fn new() -> HostKeys {
    HostKeys::new([host_key("new", 2), host_key("old", 1)]).unwrap()
}

fn new_alone() -> HostKeys {
    HostKeys::new([host_key("new", 2)]).unwrap()
}

const CONNECTIONS: usize = 5;

fn connections() -> Vec<(TenantId, ConnectionKey)> {
    let of = |t: &'static str| (0..CONNECTIONS).map(move |n| (tenant(t), key(&format!("c{n}"), "a")));
    of("t").chain(of("u")).collect()
}

/// Connections of two tenants under the old host key.
async fn stored() -> Arc<MemoryStorage> {
    let storage = memory();
    let ring = keyring(&storage, &old());
    for (tenant, key) in connections() {
        put(&storage, &ring, &tenant, &key, &format!("{tenant}{}", key.customer)).await;
    }
    storage
}

async fn everything_opens(storage: &Arc<MemoryStorage>, keys: &HostKeys) {
    let ring = keyring(storage, keys);
    for (tenant, key) in connections() {
        let clear = format!("{tenant}{}", key.customer);
        assert_eq!(opened(storage, &ring, &tenant, &key).await, Ok((clear.clone(), clear)));
    }
}

#[tokio::test]
async fn a_rotation_brings_everything_under_the_new_keys_and_the_old_host_key_is_needed_no_longer() {
    let storage = stored().await;
    let ring = keyring(&storage, &new());
    let before = ring.status().await.unwrap();
    let (old, new) = ("old".parse().unwrap(), "new".parse().unwrap());
    let records = 4 * CONNECTIONS as u64;
    assert_eq!(before.by_host_key(), [(Some(&new), (0, 0)), (Some(&old), (2, records))].into());
    assert!(!before.is_rotated());

    let mut heard = Vec::new();
    let rotated = ring.rotate(Duration::ZERO, |step| heard.push(step)).await.unwrap();
    assert_eq!(heard.pop(), Some(RotationStep::Waiting(Duration::ZERO)));
    assert_eq!(heard, vec![RotationStep::Record; 4 * CONNECTIONS]);
    let all = Rotated { tenants: 2, added: 2, rewrapped: 2, resealed: records, removed: 2, unopened: 0 };
    assert_eq!(rotated, all);
    let after = ring.status().await.unwrap();
    assert_eq!(after.by_host_key(), [(Some(&new), (2, records))].into());
    assert!(after.is_rotated());
    everything_opens(&storage, &new_alone()).await;
    let nothing = ring.rotate(Keyring::GRACE, |step| panic!("{step:?}")).await.unwrap();
    assert_eq!(nothing, Rotated { tenants: 2, ..Rotated::default() });
}

#[tokio::test]
async fn a_rotation_keeps_revision_and_age() {
    let clock = Arc::new(ManualClock::at(Duration::ZERO));
    let storage = Arc::new(MemoryStorage::new(Arc::clone(&clock) as _));
    let (t, k) = (tenant("t"), key("c", "a"));
    put(&storage, &keyring(&storage, &old()), &t, &k, "precious").await;
    clock.advance(Duration::from_secs(90));
    let before = storage.load_token(&t, &k).await.unwrap().unwrap();
    keyring(&storage, &new()).rotate(Duration::ZERO, |_| ()).await.unwrap();
    let after = storage.load_token(&t, &k).await.unwrap().unwrap();
    assert_eq!((after.revision, after.age), (before.revision, Duration::from_secs(90)));
    assert_ne!(after.value.key(), before.value.key());
}

#[tokio::test]
async fn a_rotation_without_the_earlier_host_key_changes_nothing() {
    let storage = stored().await;
    let before = keyring(&storage, &old()).status().await.unwrap().keys;
    let ring = keyring(&storage, &new_alone());
    let told = ring.rotate(Duration::ZERO, |_| ()).await.unwrap_err().to_string();
    assert_eq!(told, "storage refused: key-unavailable(old): no host key of that name is here");
    assert_eq!(ring.status().await.unwrap().keys, before);
}

/// Fails at one write, counted from 0.
struct FailsAt {
    writes: AtomicUsize,
    at: usize,
}

#[async_trait]
impl Interceptor for FailsAt {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let writes =
            ["add_key", "rewrap_key", "reseal", "remove_key", "swap_token", "swap_row"].contains(&access.method());
        if writes && self.writes.fetch_add(1, Ordering::SeqCst) == self.at {
            return Passage::Fail(StorageError::Unavailable("interrupted".to_owned()));
        }
        Passage::Forward
    }
}

/// Whichever write is the one that does not happen, in both of its meanings: before it nothing more is done.
#[tokio::test]
async fn a_rotation_that_is_interrupted_anywhere_is_finished_by_the_next() {
    let writes = 2 * (3 + 2 * CONNECTIONS);
    for at in 0..=writes {
        let storage = stored().await;
        let fails = Arc::new(FailsAt { writes: AtomicUsize::new(0), at });
        let front = Arc::new(Intercepted::new(Arc::clone(&storage) as _, fails));
        let interrupted =
            Keyring::new(front, Arc::new(new()), Arc::new(SystemRandomness)).rotate(Duration::ZERO, |_| ()).await;
        assert_eq!(interrupted.is_ok(), at == writes, "{at}");
        everything_opens(&storage, &new()).await;

        let ring = keyring(&storage, &new());
        ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
        let status = ring.status().await.unwrap();
        assert!(status.is_rotated(), "{at}: {status:?}");
        everything_opens(&storage, &new_alone()).await;
    }
}

/// Before each value is replaced, a call writes the record, under whatever key its host knows.
struct Writes {
    ring: Arc<Keyring>,
    left: AtomicUsize,
}

#[async_trait]
impl Interceptor for Writes {
    async fn passage(&self, access: Access<'_>, beneath: &dyn HostStorage) -> Passage {
        let Access::Reseal(tenant, record) = access else { return Passage::Forward };
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if let (Ok(left), Purpose::Token) = (left, record.purpose) {
            let revision = revision(&format!("written-{left}"));
            let value = self.ring.seal_token(tenant, &record.key, &revision, b"newer").await.unwrap();
            let next = Next { revision, value: TokenWrite { value, refresh_due_at: None } };
            let swapped = beneath.swap_token(tenant, &record.key, Some(&record.revision), Some(&next)).await;
            assert_eq!(swapped, Ok(Swapped::Done));
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn a_rotation_loses_nothing_that_calls_write_meanwhile() {
    let storage = stored().await;
    // A host that has not heard of the new key, and goes on under the old one.
    let unaware = Arc::new(keyring(&storage, &old()));
    for id in ["t", "u"] {
        unaware.ready(&tenant(id)).await.unwrap();
    }
    let writes = Arc::new(Writes { ring: unaware, left: AtomicUsize::new(3) });
    let front = Arc::new(Intercepted::new(Arc::clone(&storage) as _, writes));
    let ring = Keyring::new(front, Arc::new(new()), Arc::new(SystemRandomness));
    let rotated = ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
    assert_eq!((rotated.resealed, rotated.removed), (4 * CONNECTIONS as u64, 2));
    assert!(ring.status().await.unwrap().is_rotated());

    let ring = keyring(&storage, &new_alone());
    let mut newer = 0;
    for (tenant, key) in connections() {
        let (record, cipher) = opened(&storage, &ring, &tenant, &key).await.unwrap();
        let clear = format!("{tenant}{}", key.customer);
        assert_eq!(cipher, clear);
        newer += usize::from(record == "newer");
        assert!(record == "newer" || record == clear, "{record}");
    }
    assert_eq!(newer, 3);
}

#[tokio::test]
async fn what_does_not_open_stays_where_it_is_with_its_key() {
    let storage = stored().await;
    let (t, k) = (tenant("t"), key("c3", "a"));
    let entry = storage.load_token(&t, &k).await.unwrap().unwrap();
    let damaged = Sealed::new(entry.value.key().clone(), b"damaged".to_vec());
    let next = Next { revision: revision("d"), value: TokenWrite { value: damaged, refresh_due_at: None } };
    storage.swap_token(&t, &k, Some(&entry.revision), Some(&next)).await.unwrap();

    let ring = keyring(&storage, &new());
    let rotated = ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
    assert_eq!((rotated.unopened, rotated.removed), (1, 1));
    assert!(!ring.status().await.unwrap().is_rotated());
    assert_eq!(storage.load_token(&t, &k).await.unwrap().unwrap().value, next.value.value);
    // Even so the old host key is needed no longer.
    assert_eq!(ring.status().await.unwrap().by_host_key().get(&Some(&"old".parse().unwrap())), None);
}

#[tokio::test]
async fn a_host_key_is_retired_once_nothing_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let first = file.current().await.unwrap();
    let storage = memory();
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::new(file.clone()), Arc::new(SystemRandomness));
    let (t, k) = (tenant("t"), key("c", "a"));
    put(&storage, &ring, &t, &k, "precious").await;

    let told = async |id: &HostKeyId| ring.retire(&file, id).await.unwrap_err().to_string();
    assert_eq!(told(&first).await, format!("host key {first} is the current one: rotate to another first"));
    let second = file.add().unwrap();
    assert_eq!(file.current().await.unwrap(), second);
    let in_use = format!("host key {first} is in use: it wraps 1 data keys with 2 records; rotate first");
    assert_eq!(told(&first).await, in_use);
    let unknown = "unknown".parse().unwrap();
    assert_eq!(told(&unknown).await, "there is no host key unknown");
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&second, &first]);

    ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
    ring.retire(&file, &first).await.unwrap();
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&second]);
    let fresh = Keyring::new(Arc::clone(&storage) as _, Arc::new(file), Arc::new(SystemRandomness));
    assert_eq!(opened(&storage, &fresh, &t, &k).await.unwrap().0, "precious");
}

#[tokio::test(start_paused = true)]
async fn an_erased_tenant_opens_never_again_on_no_host_and_in_no_copy() {
    let storage = stored().await;
    let (t, k) = (tenant("t"), key("c0", "a"));
    let (ring, elsewhere) = (keyring(&storage, &old()), keyring(&storage, &old()));
    let token = storage.load_token(&t, &k).await.unwrap().unwrap();
    let open = async |ring: &Keyring| ring.open_token(&t, &k, &token.revision, &token.value).await;
    open(&elsewhere).await.unwrap();

    let now = UnixSeconds(7);
    let erased = ring.erase(&t, now).await.unwrap();
    assert_eq!(erased, Erased { keys: 1, connections: CONNECTIONS as u64 });
    for (tenant, key) in connections() {
        let left = (storage.load_token(&tenant, &key).await.unwrap(), storage.load_row(&tenant, &key).await.unwrap());
        assert_eq!((left.0.is_some(), left.1.is_some()), (tenant != t, tenant != t));
    }
    let events = storage.events(&t, None, 99).await.unwrap();
    assert!(events.iter().all(|event| event.event.kind == EventKind::Disconnected && event.event.at == now));
    assert_eq!(events.len(), CONNECTIONS);
    assert_eq!(storage.tenant_keys(&t).await.unwrap(), []);

    // A copy of the record is worth nothing: here at once, elsewhere within a minute.
    let gone = format!("key-unavailable({}): the tenant has no key of that name", token.value.key());
    assert_eq!(open(&ring).await.unwrap_err(), StorageError::Refused(gone.clone()));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(open(&elsewhere).await.unwrap_err(), StorageError::Refused(gone));

    // Twice is once, and the tenant may begin anew.
    assert_eq!(ring.erase(&t, now).await.unwrap(), Erased::default());
    put(&storage, &elsewhere, &t, &k, "anew").await;
    assert_eq!(opened(&storage, &ring, &t, &k).await.unwrap().0, "anew");
}

/// Erasing a key, deleting each connection's two records, removing the key.
const ERASURE: usize = 1 + 2 * CONNECTIONS + 1;

#[tokio::test]
async fn an_erasure_that_is_interrupted_is_finished_by_the_next_and_nothing_opens_in_between() {
    let (t, k) = (tenant("t"), key("c4", "a"));
    for at in 0..=ERASURE {
        let storage = stored().await;
        let token = storage.load_token(&t, &k).await.unwrap().unwrap();
        let fails = Arc::new(FailsAt { writes: AtomicUsize::new(0), at });
        let front = Arc::new(Intercepted::new(Arc::clone(&storage) as _, fails));
        let ring = Keyring::new(front, Arc::new(old()), Arc::new(SystemRandomness));
        assert_eq!(ring.erase(&t, UnixSeconds(7)).await.is_err(), at < ERASURE, "{at}");
        if at > 0 {
            let opened = keyring(&storage, &old()).open_token(&t, &k, &token.revision, &token.value).await;
            let gone = if at < ERASURE {
                "the tenant's key of that name has been erased"
            } else {
                "the tenant has no key of that name"
            };
            let told = format!("key-unavailable({}): {gone}", token.value.key());
            assert_eq!(opened.unwrap_err(), StorageError::Refused(told), "{at}");
        }
        keyring(&storage, &old()).erase(&t, UnixSeconds(7)).await.unwrap();
        assert_eq!(storage.tenant_keys(&t).await.unwrap(), []);
        for n in 0..CONNECTIONS {
            let key = key(&format!("c{n}"), "a");
            assert!(storage.load_token(&t, &key).await.unwrap().is_none(), "{at}");
            assert!(storage.load_row(&t, &key).await.unwrap().is_none(), "{at}");
        }
        assert_eq!(storage.events(&t, None, 99).await.unwrap().len(), CONNECTIONS, "{at}");
    }
}

/// Writes a connection's record anew as a host does that had opened it before: under a key that it adds.
struct WritesMeanwhile {
    ring: Keyring,
    written: AtomicUsize,
}

#[async_trait]
impl Interceptor for WritesMeanwhile {
    async fn passage(&self, access: Access<'_>, beneath: &dyn HostStorage) -> Passage {
        // The keys are erased, and the connections not yet listed.
        if access.method() == "sealed_under" && self.written.fetch_add(1, Ordering::SeqCst) == 0 {
            let (t, k, next) = (tenant("t"), key("c2", "a"), revision("meanwhile"));
            let before = beneath.load_token(&t, &k).await.unwrap().unwrap().revision;
            let value = self.ring.seal_token(&t, &k, &next, b"precious").await.unwrap();
            let next = Next { revision: next, value: TokenWrite { value, refresh_due_at: None } };
            assert_eq!(beneath.swap_token(&t, &k, Some(&before), Some(&next)).await, Ok(Swapped::Done));
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn what_a_host_writes_while_its_tenant_is_erased_is_erased_too() {
    let (storage, t, k) = (stored().await, tenant("t"), key("c2", "a"));
    let writes = Arc::new(WritesMeanwhile { ring: keyring(&storage, &old()), written: AtomicUsize::new(0) });
    let front = Arc::new(Intercepted::new(Arc::clone(&storage) as _, Arc::clone(&writes) as _));
    let ring = Keyring::new(front, Arc::new(old()), Arc::new(SystemRandomness));
    let erased = ring.erase(&t, UnixSeconds(7)).await.unwrap();
    assert_eq!(erased, Erased { keys: 2, connections: CONNECTIONS as u64 });
    assert!(writes.written.load(Ordering::SeqCst) > 1);
    assert_eq!(storage.load_token(&t, &k).await, Ok(None));
    assert_eq!(storage.tenant_keys(&t).await, Ok(Vec::new()));
}

/// Without ciphers a row is sealed under no key, and its token record may be gone already.
#[tokio::test]
async fn a_row_that_nothing_is_sealed_in_is_erased_with_its_tenant() {
    let (storage, t) = (stored().await, tenant("t"));
    let mut row = row(&[]);
    row.connection.key = key("bare", "a");
    let connected = NewEvent { at: UnixSeconds(1), key: key("bare", "a"), kind: EventKind::Connected };
    let next = Next { revision: revision("bare"), value: row };
    storage.swap_row(&t, &key("bare", "a"), None, Some(&next), &[connected]).await.unwrap();
    let erased = keyring(&storage, &old()).erase(&t, UnixSeconds(7)).await.unwrap();
    assert_eq!(erased, Erased { keys: 1, connections: CONNECTIONS as u64 + 1 });
    assert_eq!(storage.load_row(&t, &key("bare", "a")).await, Ok(None));
}
