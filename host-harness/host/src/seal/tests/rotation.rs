//! Tests of the rotation of keys and of the retirement of host keys. Some tests interrupt the rotation, and in some
//! tests other hosts write during the rotation.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::time::Instant;

use super::two_tenants::*;
use super::*;
use crate::connection::UnixSeconds;
use crate::events::{Cause, EventKind, NewEvent, Origin};
use crate::id::HostKeyId;
use crate::seal::keyring::wrapping_context;
use crate::storage::{Access, Intercepted, Interceptor, Passage, Swapped, TenantKey, WrappedKey};

#[tokio::test]
async fn a_rotation_seals_everything_under_new_keys_so_that_the_old_host_key_is_no_longer_needed() {
    let storage = stored().await;
    let ring = keyring(&storage, &new());
    let before = ring.status().await.unwrap();
    let (old, new) = ("old".parse().unwrap(), "new".parse().unwrap());
    let records = 4 * CONNECTIONS as u64;
    assert_eq!(before.by_host_key(), [(Some(&new), (0, 0)), (Some(&old), (2, records))].into());
    assert!(!before.is_rotated());

    let mut steps = Vec::new();
    let rotated = ring.rotate(Duration::ZERO, |step| steps.push(step)).await.unwrap();
    assert_eq!(steps.pop(), Some(RotationStep::Waiting(Duration::ZERO)));
    assert_eq!(steps, vec![RotationStep::Record; 4 * CONNECTIONS]);
    let expected = Rotated { tenants: 2, added: 2, rewrapped: 0, resealed: records, removed: 2, unopened: 0 };
    assert_eq!(rotated, expected);
    let after = ring.status().await.unwrap();
    assert_eq!(after.by_host_key(), [(Some(&new), (2, records))].into());
    assert!(after.is_rotated());
    assert_everything_opens(&storage, &new_alone()).await;
    let repeated = ring.rotate(Keyring::GRACE, |step| panic!("{step:?}")).await.unwrap();
    assert_eq!(repeated, Rotated { tenants: 2, ..Rotated::default() });
}

/// The clock of this test is paused, so waiting takes no time.
#[tokio::test(start_paused = true)]
async fn a_rotation_waits_for_the_whole_grace_before_it_removes_a_key() {
    assert_eq!(Keyring::GRACE, Duration::from_secs(180));
    for grace in [Duration::ZERO, Duration::from_secs(1), Keyring::GRACE] {
        let storage = stored().await;
        let ring = keyring(&storage, &new());
        let (began, mut waiting) = (Instant::now(), None);
        let removes = Arc::new(FirstRemoval::default());
        let front = Arc::new(Intercepted::new(Arc::clone(&storage) as _, Arc::clone(&removes) as _));
        let rotating = Keyring::new(front, Arc::new(new()), Arc::new(SystemRandomness));
        let rotated = rotating
            .rotate(grace, |step| {
                if step == RotationStep::Waiting(grace) {
                    waiting = Some(Instant::now());
                }
            })
            .await
            .unwrap();
        assert_eq!(rotated.removed, 2);
        assert_eq!(waiting, Some(began), "sealing again takes no time on this clock");
        let removed_after = removes.at.lock().unwrap().map(|at| (at - began).as_secs());
        assert_eq!(removed_after, Some(grace.as_secs()));
        assert!(ring.status().await.unwrap().is_rotated());
    }
}

/// A host has read the tenant's keys just before the rotation adds a new key. Almost 60 seconds later, a `connect`
/// begins with these keys, because no stored record tells the host of the new key. Its tokens are saved almost 120
/// seconds after that. The old key is still there, so the save needs no other key. The clock of this test is paused.
#[tokio::test(start_paused = true)]
async fn a_call_that_begins_with_the_oldest_cached_keys_saves_its_tokens_within_the_grace() {
    let storage = stored().await;
    let (t, k) = (tenant("t"), key("new", "a"));
    let elsewhere = Arc::new(keyring(&storage, &new()));
    let sealed = SealedStorage::new(Arc::clone(&storage) as _, Arc::clone(&elsewhere), UnsealedRows::Accept);
    elsewhere.ensure_key(&t).await.unwrap();
    let old_key = storage.tenant_keys(&t).await.unwrap().remove(0).id;
    let ring = keyring(&storage, &new());
    let rotating = ring.rotate(Keyring::GRACE, |_| ());
    let connecting = async {
        tokio::time::sleep(Duration::from_secs(59)).await;
        elsewhere.ensure_key(&t).await.unwrap();
        tokio::time::sleep(Duration::from_secs(119)).await;
        let value = OpenWrite { value: b"new tokens".to_vec().into(), refresh_due_at: None };
        let next = Next { revision: revision("connected"), value };
        let swapped = sealed.swap_token(&t, &k, None, Some(&next)).await;
        assert!(matches!(swapped, Ok(Swapped::Done)), "{swapped:?}");
        storage.load_token(&t, &k).await.unwrap().unwrap().value.key().clone()
    };
    let (rotated, sealed_by) = tokio::join!(rotating, connecting);
    assert_eq!(sealed_by, old_key, "the save needed no other key");
    let rotated = rotated.unwrap();
    assert_eq!((rotated.removed, rotated.resealed), (2, 4 * CONNECTIONS as u64 + 1));
    let token = storage.load_token(&t, &k).await.unwrap().unwrap();
    let opened = keyring(&storage, &new_alone()).open_token(&t, &k, &token.revision, &token.value).await;
    assert_eq!(**opened.unwrap(), *b"new tokens");
}

/// Another host has added a key. A call that begins more than 60 seconds after the last reading must not seal with the
/// earlier key, because a rotation counts on this.
#[tokio::test(start_paused = true)]
async fn a_call_that_begins_reads_keys_again_that_are_older_than_60_seconds() {
    let (storage, t) = (memory(), tenant("t"));
    let ring = keyring(&storage, &old());
    let sealed_by = async || {
        ring.ensure_key(&t).await.unwrap();
        ring.seal_token(&t, &key("c", "a"), &revision("r"), b"").await.unwrap().key().clone()
    };
    let first = sealed_by().await;
    assert!(keyring(&storage, &old()).add_key(&t, Some(&first)).await.unwrap());
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(sealed_by().await, first);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(sealed_by().await, storage.tenant_keys(&t).await.unwrap()[1].id);
}

/// Records when the first key is removed.
#[derive(Default)]
struct FirstRemoval {
    at: Mutex<Option<Instant>>,
}

#[async_trait]
impl Interceptor for FirstRemoval {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "remove_key" {
            self.at.lock().unwrap().get_or_insert_with(Instant::now);
        }
        Passage::Forward
    }
}

/// Counts the times that a data key is wrapped again.
struct CountsRewraps(AtomicUsize);

#[async_trait]
impl Interceptor for CountsRewraps {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        self.0.fetch_add(usize::from(access.method() == "rewrap_key"), Ordering::SeqCst);
        Passage::Forward
    }
}

/// A database keeps deleted rows in its log. If an earlier data key was ever stored in a form that the new host key
/// unwraps, the new host key can open the deleted rows, too.
#[tokio::test]
async fn a_rotation_never_stores_an_earlier_data_key_under_the_new_host_key() {
    let (storage, counts) = (stored().await, Arc::new(CountsRewraps(AtomicUsize::new(0))));
    let front = Arc::new(Intercepted::new(Arc::clone(&storage) as _, Arc::clone(&counts) as _));
    let ring = Keyring::new(front, Arc::new(new()), Arc::new(SystemRandomness));
    assert_eq!(ring.rotate(Duration::ZERO, |_| ()).await.unwrap().removed, 2);
    assert_eq!(counts.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_rotation_keeps_the_revision_and_the_age_of_each_record() {
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
    let ring = keyring(&storage, &new_alone());
    let before = ring.data_keys().await.unwrap();
    let error = ring.rotate(Duration::ZERO, |_| ()).await.unwrap_err().to_string();
    assert_eq!(error, "storage refused: key-unavailable(old): no host key of that name is here");
    assert_eq!(ring.data_keys().await.unwrap(), before);
}

/// Two hosts have copies of one key file. The new host key is rolled out step by step. After each step, both hosts can
/// open everything that either host has sealed, also for a tenant that is new in this step.
#[tokio::test]
async fn hosts_with_copies_of_a_key_file_open_everything_in_each_step_of_a_roll_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let replica = folder.path().join("copy");
    let copy = || {
        std::fs::copy(file.path(), &replica).unwrap();
    };
    copy();
    let other = KeyFile::open_or_create(&replica).unwrap();
    let storage = memory();
    let ring =
        |file: &KeyFile| Keyring::new(Arc::clone(&storage) as _, Arc::new(file.clone()), Arc::new(SystemRandomness));
    let mut tenants = Vec::new();
    let mut assert_both_open = async |step: &str| {
        for (writer, name) in [(&file, "here"), (&other, "there")] {
            let (t, k) = (tenant(&format!("{step}-{name}")), key("c", "a"));
            put(&storage, &ring(writer), &t, &k, step).await;
            tenants.push((t, step.to_owned()));
        }
        for reader in [&file, &other] {
            for (tenant, clear) in &tenants {
                let (token, cipher) = opened(&storage, &ring(reader), tenant, &key("c", "a")).await.unwrap();
                assert_eq!((&token, &cipher), (clear, clear), "{step}: {tenant}");
            }
        }
    };
    assert_both_open("begin").await;
    let (first, second) = (file.current().await.unwrap(), file.add().unwrap());
    assert_both_open("added").await;
    copy();
    file.promote(&second).unwrap();
    assert_both_open("promoted").await;
    copy();
    ring(&file).rotate(Duration::ZERO, |_| ()).await.unwrap();
    assert_both_open("rotated").await;
    ring(&file).retire(&file, &first).await.unwrap();
    assert_both_open("retired").await;
    copy();
    assert_both_open("end").await;
    assert_eq!(other.keys().unwrap().ids().collect::<Vec<_>>(), [&second]);
}

#[tokio::test]
async fn the_check_of_data_keys_names_a_host_key_that_is_missing_or_wrong() {
    let storage = stored().await;
    keyring(&storage, &new()).check_data_keys().await.unwrap();
    let wrong = HostKeys::new([host_key("old", 77)]).unwrap();
    for (keys, why) in [
        (new_alone(), "no host key of that name is here"),
        (wrong, "the host key of that name does not unwrap this data key"),
    ] {
        let error = keyring(&storage, &keys).check_data_keys().await.unwrap_err().to_string();
        assert_eq!(error, format!("storage refused: key-unavailable(old): {why}"));
    }
}

fn rotated(host_key: &str) -> EventKind {
    EventKind::KeysRotated { host_key: host_key.parse().unwrap() }
}

/// Returns the kinds of a tenant's events. Every event must concern the whole tenant.
async fn kinds(storage: &MemoryStorage, id: &str) -> Vec<EventKind> {
    let events = storage.events(&tenant(id), None, 99).await.unwrap();
    assert!(events.iter().all(|event| event.event.key.is_none()));
    events.into_iter().map(|event| event.event.kind).collect()
}

#[tokio::test]
async fn a_rotation_writes_one_event_for_each_tenant_with_actor_and_reason() {
    let storage = stored().await;
    let clock = Arc::new(ManualClock::at(Duration::from_secs(7)));
    let ring =
        keyring(&storage, &new()).acting_as("ana".parse().unwrap()).because("leak".parse().unwrap()).clock(clock);
    for _ in 0..2 {
        ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
    }
    let (actor, stated_reason) = (Some("ana".parse().unwrap()), Some("leak".parse().unwrap()));
    let origin = Origin { actor, stated_reason, cause: Some(Cause::KeyRotation) };
    let event = NewEvent { at: UnixSeconds(7), key: None, kind: rotated("new"), origin };
    for id in ["t", "u"] {
        let events = storage.events(&tenant(id), None, 99).await.unwrap();
        let events: Vec<_> = events.into_iter().map(|event| event.event).collect();
        assert_eq!(events, std::slice::from_ref(&event));
    }
}

#[tokio::test]
async fn a_host_key_whose_retirement_can_t_be_recorded_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let first = file.current().await.unwrap();
    let storage = memory();
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::new(file.clone()), Arc::new(SystemRandomness));
    for id in ["t", "u"] {
        put(&storage, &ring, &tenant(id), &key("c", "a"), "precious").await;
    }
    let second = file.add().unwrap();
    file.promote(&second).unwrap();
    ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
    // The event of the first tenant is stored, and the event of the second tenant is not.
    let failing = Keyring::new(failing_at(1, &storage), Arc::new(file.clone()), Arc::new(SystemRandomness));
    let error = failing.retire(&file, &first).await.unwrap_err();
    assert!(matches!(error, RotationError::Storage(StorageError::Unavailable(_))), "{error}");
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&second, &first]);
    // The repetition finishes the retirement, and writes only the missing event.
    failing.retire(&file, &first).await.unwrap();
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&second]);
    let retired = EventKind::HostKeyRetired { host_key: first };
    for id in ["t", "u"] {
        assert_eq!(kinds(&storage, id).await, [rotated(second.as_str()), retired.clone()]);
    }
}

#[tokio::test]
async fn every_tenant_with_data_keys_learns_who_added_and_promoted_a_host_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let first = file.current().await.unwrap();
    let storage = memory();
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::new(file.clone()), Arc::new(SystemRandomness))
        .acting_as("ana".parse().unwrap())
        .because("leak".parse().unwrap())
        .clock(Arc::new(ManualClock::at(Duration::from_secs(7))));
    for id in ["t", "u"] {
        put(&storage, &ring, &tenant(id), &key("c", "a"), "precious").await;
    }
    let second = ring.add_host_key(&file).await.unwrap();
    ring.promote(&file, &second).await.unwrap();
    // A host key that was the current one before has another event.
    ring.promote(&file, &first).await.unwrap();

    let (actor, stated_reason) = (Some("ana".parse().unwrap()), Some("leak".parse().unwrap()));
    let origin = Origin { actor, stated_reason, cause: Some(Cause::KeyRotation) };
    let event = |kind| NewEvent { at: UnixSeconds(7), key: None, kind, origin: origin.clone() };
    let expected = [
        event(EventKind::HostKeyAdded { host_key: second.clone() }),
        event(EventKind::HostKeyPromoted { host_key: second }),
        event(EventKind::HostKeyPromoted { host_key: first }),
    ];
    for id in ["t", "u"] {
        let events = storage.events(&tenant(id), None, 99).await.unwrap();
        assert_eq!(events.into_iter().map(|event| event.event).collect::<Vec<_>>(), expected, "{id}");
    }
}

#[tokio::test]
async fn a_host_key_is_neither_added_nor_promoted_without_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let first = file.current().await.unwrap();
    let storage = memory();
    let ring = |storage| Keyring::new(storage, Arc::new(file.clone()), Arc::new(SystemRandomness));
    for id in ["t", "u"] {
        put(&storage, &ring(Arc::clone(&storage) as _), &tenant(id), &key("c", "a"), "precious").await;
    }
    // The event of the first tenant is stored, and the event of the second tenant is not.
    let error = ring(failing_at(1, &storage) as _).add_host_key(&file).await.unwrap_err();
    assert!(matches!(error, RotationError::Storage(StorageError::Unavailable(_))), "{error}");
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&first]);

    let second = file.add().unwrap();
    let error = ring(failing_at(1, &storage) as _).promote(&file, &second).await.unwrap_err();
    assert!(matches!(error, RotationError::Storage(StorageError::Unavailable(_))), "{error}");
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&first, &second]);
}

/// Each round interrupts the rotation at a different write. In the last round, no write fails.
#[tokio::test]
async fn an_interrupted_rotation_is_finished_by_the_next_rotation() {
    let writes = 2 * (3 + 2 * CONNECTIONS);
    for at in 0..=writes {
        let storage = stored().await;
        let failing = failing_at(at, &storage);
        let interrupted =
            Keyring::new(failing, Arc::new(new()), Arc::new(SystemRandomness)).rotate(Duration::ZERO, |_| ()).await;
        assert_eq!(interrupted.is_ok(), at == writes, "{at}");
        assert_everything_opens(&storage, &new()).await;

        let ring = keyring(&storage, &new());
        ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
        let status = ring.status().await.unwrap();
        assert!(status.is_rotated(), "{at}: {status:?}");
        assert_everything_opens(&storage, &new_alone()).await;
        for id in ["t", "u"] {
            assert_eq!(kinds(&storage, id).await, [rotated("new")], "{at}");
        }
    }
}

/// Writes a newer token record just before the rotation seals the old record with the new key. The newer record is
/// sealed by a keyring that does not know the new key.
struct WritesBeforeReseal {
    ring: Arc<Keyring>,
    /// The number of records that the rotation still seals while this interceptor is active. The interceptor writes a
    /// newer record only if such a record is a token record, not a row.
    left: AtomicUsize,
}

#[async_trait]
impl Interceptor for WritesBeforeReseal {
    async fn passage(&self, access: Access<'_>, storage: &dyn HostStorage) -> Passage {
        let Access::Reseal(tenant, record) = access else { return Passage::Forward };
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if let (Ok(left), Purpose::Token) = (left, record.purpose) {
            let revision = revision(&format!("written-{left}"));
            let value = self.ring.seal_token(tenant, &record.key, &revision, b"newer").await.unwrap();
            let next = Next { revision, value: TokenWrite { value, refresh_due_at: None } };
            let swapped = storage.swap_token(tenant, &record.key, Some(&record.revision), Some(&next)).await;
            assert_eq!(swapped, Ok(Swapped::Done));
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn a_rotation_keeps_records_that_calls_write_meanwhile() {
    let storage = stored().await;
    // This host does not know the new key, and still seals with the old key.
    let unaware = Arc::new(keyring(&storage, &old()));
    for id in ["t", "u"] {
        unaware.ensure_key(&tenant(id)).await.unwrap();
    }
    let writes = Arc::new(WritesBeforeReseal { ring: unaware, left: AtomicUsize::new(3) });
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
async fn a_record_that_does_not_open_stays_in_place_and_so_does_its_key() {
    let storage = stored().await;
    let (t, k) = (tenant("t"), key("c3", "a"));
    let entry = storage.load_token(&t, &k).await.unwrap().unwrap();
    let damaged = Sealed::new(entry.value.key().clone(), b"damaged".to_vec());
    let next = Next { revision: revision("d"), value: TokenWrite { value: damaged, refresh_due_at: None } };
    storage.swap_token(&t, &k, Some(&entry.revision), Some(&next)).await.unwrap();

    let ring = keyring(&storage, &new());
    let rotated = ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
    assert_eq!((rotated.unopened, rotated.removed, rotated.rewrapped), (1, 1, 1));
    assert!(!ring.status().await.unwrap().is_rotated());
    assert_eq!(storage.load_token(&t, &k).await.unwrap().unwrap().value, next.value.value);
    // Although one record can't be decrypted, the old host key is no longer needed.
    assert_eq!(ring.status().await.unwrap().by_host_key().get(&Some(&"old".parse().unwrap())), None);
}

#[tokio::test]
async fn a_tenant_whose_data_key_does_not_unwrap_does_not_stop_the_rotation_of_the_others() {
    let storage = stored().await;
    let broken = tenant("broken");
    let lost = HostKeys::new([host_key("lost", 9)]).unwrap();
    keyring(&storage, &lost).ensure_key(&broken).await.unwrap();

    let ring = keyring(&storage, &new());
    assert_eq!(ring.status().await.unwrap().keys[0].tenant, broken);
    let error = ring.rotate(Duration::ZERO, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("key-unavailable(lost)"), "{error}");
    let (new, lost) = ("new".parse().unwrap(), "lost".parse().unwrap());
    let uses = [(Some(&new), (2, 4 * CONNECTIONS as u64)), (Some(&lost), (1, 0))];
    assert_eq!(ring.status().await.unwrap().by_host_key(), uses.into());
    assert_everything_opens(&storage, &new_alone()).await;
}

/// A host that reads the host keys for the first data key of a tenant. Then `current` becomes the only host key, and
/// only after that the host writes the data key.
struct WrapsTooLate {
    earlier: HostKeys,
    wrapped: AtomicUsize,
    current: HostKeys,
}

#[async_trait]
impl KeyProvider for WrapsTooLate {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.current.current().await
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        let keys = if self.wrapped.fetch_add(1, Ordering::SeqCst) == 0 { &self.earlier } else { &self.current };
        keys.wrap(tenant, key, context).await
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.current.unwrap(tenant, wrapped, context).await
    }
}

#[tokio::test]
async fn a_data_key_that_is_wrapped_while_its_host_key_is_retired_is_wrapped_again() {
    let storage = memory();
    let late = WrapsTooLate { earlier: old(), wrapped: AtomicUsize::new(0), current: new_alone() };
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::new(late), Arc::new(SystemRandomness));
    let (t, k) = (tenant("t"), key("c", "a"));
    put(&storage, &ring, &t, &k, "precious").await;
    assert!(ring.status().await.unwrap().is_rotated());
    let other = keyring(&storage, &new_alone());
    assert_eq!(opened(&storage, &other, &t, &k).await.unwrap().0, "precious");
}

#[tokio::test]
async fn a_host_key_is_retired_only_when_it_wraps_no_data_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let first = file.current().await.unwrap();
    let storage = memory();
    let ring = Keyring::new(Arc::clone(&storage) as _, Arc::new(file.clone()), Arc::new(SystemRandomness));
    let (t, k) = (tenant("t"), key("c", "a"));
    put(&storage, &ring, &t, &k, "precious").await;

    let refusal = async |id: &HostKeyId| ring.retire(&file, id).await.unwrap_err().to_string();
    let is_current = format!("host key {first} is the current one: promote another host key and rotate first");
    assert_eq!(refusal(&first).await, is_current);
    let second = file.add().unwrap();
    assert_eq!(refusal(&first).await, is_current, "the new key is not the current one yet");
    file.promote(&second).unwrap();
    assert_eq!(file.current().await.unwrap(), second);
    let in_use = format!("host key {first} is in use: it wraps 1 data keys with 2 records; rotate first");
    assert_eq!(refusal(&first).await, in_use);
    let unknown = "unknown".parse().unwrap();
    assert_eq!(refusal(&unknown).await, "there is no host key unknown");
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&second, &first]);

    ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
    ring.retire(&file, &first).await.unwrap();
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&second]);
    let fresh = Keyring::new(Arc::clone(&storage) as _, Arc::new(file), Arc::new(SystemRandomness));
    assert_eq!(opened(&storage, &fresh, &t, &k).await.unwrap().0, "precious");
}

/// Imitates another host, which read the key file before a host key was removed from the file. After the removal, and
/// before the storage is asked again, this other host wraps a new data key with the removed host key.
struct WrapsAfterRemoval {
    file: KeyFile,
    removed: HostKeyId,
    unaware: HostKeys,
}

#[async_trait]
impl Interceptor for WrapsAfterRemoval {
    async fn passage(&self, access: Access<'_>, storage: &dyn HostStorage) -> Passage {
        let late = tenant("late");
        if access.method() == "key_uses"
            && !self.file.keys().unwrap().ids().any(|id| *id == self.removed)
            && storage.tenant_keys(&late).await.unwrap().is_empty()
        {
            let id = "late-key".parse().unwrap();
            let wrapped =
                self.unaware.wrap(&late, &DataKey::new([9; 32]), &wrapping_context(&late, &id)).await.unwrap();
            assert!(storage.add_key(&late, None, &TenantKey { id, wrapped: Some(wrapped) }).await.unwrap());
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn a_host_key_that_another_host_still_uses_comes_back_into_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let (first, unaware) = (file.current().await.unwrap(), file.keys().unwrap());
    let second = file.add().unwrap();
    file.promote(&second).unwrap();
    let storage = memory();
    let wraps = WrapsAfterRemoval { file: file.clone(), removed: first.clone(), unaware };
    let front = Arc::new(Intercepted::new(Arc::clone(&storage) as _, Arc::new(wraps)));
    let ring = Keyring::new(front, Arc::new(file.clone()), Arc::new(SystemRandomness));

    let error = ring.retire(&file, &first).await.unwrap_err().to_string();
    assert_eq!(error, format!("host key {first} is in use: it wraps 1 data keys with 0 records; rotate first"));
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&second, &first]);
    let restored = Keyring::new(Arc::clone(&storage) as _, Arc::new(file.clone()), Arc::new(SystemRandomness));
    restored.ensure_key(&tenant("late")).await.unwrap();
    restored.rotate(Duration::ZERO, |_| ()).await.unwrap();
    restored.retire(&file, &first).await.unwrap();
    assert_eq!(file.keys().unwrap().ids().collect::<Vec<_>>(), [&second]);
}
