//! A storage that uses several handles to one database in turn, in the same way as the hosts of a fleet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tiktok_shop_host::storage::{Access, HostStorage, Intercepted, Interceptor, Passage};

/// Returns a storage that passes each access to the next of these handles in turn, starting with `first`.
///
/// The hosts of a fleet share a database and nothing else. Each host has its own database connections and its own
/// memory. To check a storage as a fleet uses it, open one handle for each host, and run the checks on the storage that
/// this function returns.
#[must_use]
pub fn alternating(first: Arc<dyn HostStorage>, others: Vec<Arc<dyn HostStorage>>) -> Intercepted {
    let turns = Turns { others, accesses: AtomicUsize::new(0) };
    Intercepted::new(first, Arc::new(turns))
}

/// Chooses the handle for each access. The first handle is the storage of the [`Intercepted`], so `others` does not
/// contain it.
struct Turns {
    others: Vec<Arc<dyn HostStorage>>,
    accesses: AtomicUsize,
}

#[async_trait]
impl Interceptor for Turns {
    async fn passage(&self, _: Access<'_>, _: &dyn HostStorage) -> Passage {
        let turn = self.accesses.fetch_add(1, Ordering::Relaxed) % (self.others.len() + 1);
        let other = turn.checked_sub(1).and_then(|other| self.others.get(other));
        other.map_or(Passage::Forward, |other| Passage::ForwardTo(Arc::clone(other)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tiktok_shop_host::TenantId;
    use tiktok_shop_host::clock::SystemClock;
    use tiktok_shop_host::storage::{MemoryStorage, StateDigest};

    use super::*;

    /// Records every access to one handle: the number of the handle, and the name of the method.
    struct Notes {
        handle: u8,
        accesses: Arc<Mutex<Vec<(u8, &'static str)>>>,
    }

    #[async_trait]
    impl Interceptor for Notes {
        async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
            self.accesses.lock().unwrap().push((self.handle, access.method()));
            Passage::Forward
        }
    }

    #[tokio::test]
    async fn each_access_goes_to_the_next_handle_in_turn() {
        let memory: Arc<dyn HostStorage> = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
        let accesses = Arc::new(Mutex::new(Vec::new()));
        let handle = |handle| -> Arc<dyn HostStorage> {
            let notes = Notes { handle, accesses: Arc::clone(&accesses) };
            Arc::new(Intercepted::new(Arc::clone(&memory), Arc::new(notes)))
        };
        let storage: Arc<dyn HostStorage> = Arc::new(alternating(handle(1), vec![handle(2), handle(3)]));
        let tenant: TenantId = "tenant".parse().unwrap();
        let state = StateDigest::new([1; 32]);
        storage.tenant_keys(&tenant).await.unwrap();
        storage.load_state(&tenant, &state).await.unwrap();
        storage.use_state(&tenant, &state).await.unwrap();
        storage.key_uses(None, 1).await.unwrap();
        let expected = [(1, "tenant_keys"), (2, "load_state"), (3, "use_state"), (1, "key_uses")];
        assert_eq!(*accesses.lock().unwrap(), expected);
    }
}
