//! Sample data: two tenants with five connections each. The host key `old` encrypts (wraps) the data keys of both
//! tenants. The file also contains a storage that fails at one write.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::id::HostKeyId;
use crate::storage::{Access, Intercepted, Interceptor, Passage};

pub(super) fn host_key(id: &str, byte: u8) -> (HostKeyId, DataKey) {
    (id.parse().unwrap(), DataKey::new([byte; 32]))
}

pub(super) fn old() -> HostKeys {
    HostKeys::new([host_key("old", 1)]).unwrap()
}

/// Returns the host keys after a new one was added. The new key wraps data keys from now on. The old key can still
/// unwrap the data keys that it has wrapped.
pub(super) fn new() -> HostKeys {
    HostKeys::new([host_key("new", 2), host_key("old", 1)]).unwrap()
}

pub(super) fn new_alone() -> HostKeys {
    HostKeys::new([host_key("new", 2)]).unwrap()
}

pub(super) const CONNECTIONS: usize = 5;

pub(super) fn connections() -> Vec<(TenantId, ConnectionKey)> {
    let of = |t: &'static str| (0..CONNECTIONS).map(move |n| (tenant(t), key(&format!("c{n}"), "a")));
    of("t").chain(of("u")).collect()
}

/// Returns a storage with the connections of both tenants. The old host key wraps the data keys of both tenants.
pub(super) async fn stored() -> Arc<MemoryStorage> {
    let storage = memory();
    let ring = keyring(&storage, &old());
    for (tenant, key) in connections() {
        put(&storage, &ring, &tenant, &key, &format!("{tenant}{}", key.customer)).await;
    }
    storage
}

/// Asserts that every token record and every cipher can be decrypted with these host keys.
pub(super) async fn assert_everything_opens(storage: &Arc<MemoryStorage>, keys: &HostKeys) {
    let ring = keyring(storage, keys);
    for (tenant, key) in connections() {
        let clear = format!("{tenant}{}", key.customer);
        assert_eq!(opened(storage, &ring, &tenant, &key).await, Ok((clear.clone(), clear)));
    }
}

/// Lets one write fail.
struct FailsAt {
    /// The number of writes so far.
    writes: AtomicUsize,
    /// The number of the write that fails, counted from 0.
    at: usize,
}

/// Returns a storage that fails at one write and forwards every other access to `storage`. `at` is the number of this
/// write, counted from 0.
pub(super) fn failing_at(at: usize, storage: &Arc<MemoryStorage>) -> Arc<Intercepted> {
    let fails = Arc::new(FailsAt { writes: AtomicUsize::new(0), at });
    Arc::new(Intercepted::new(Arc::clone(storage) as _, fails))
}

#[async_trait]
impl Interceptor for FailsAt {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let is_write =
            ["add_key", "rewrap_key", "reseal", "remove_key", "swap_token", "swap_row", "delete_tenant", "append_once"]
                .contains(&access.method());
        if is_write && self.writes.fetch_add(1, Ordering::SeqCst) == self.at {
            return Passage::Fail(StorageError::Unavailable("interrupted".to_owned()));
        }
        Passage::Forward
    }
}
