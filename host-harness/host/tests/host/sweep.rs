//! Tests that a sweep waits for a random time before it starts, so that the hosts of a fleet do not sweep at the same
//! moment, that a refresh that panics does not stop the sweep, and that each end of an authorization gets its notices.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_host::clock::{Clock, ManualClock};
use tiktok_shop_host::connection::{Connection, ConnectionKey, UnixSeconds};
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::randomness::Randomness;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::{
    Access, ConnectionStorage as _, HostStorage, Intercepted, Interceptor, KeyStorage as _, MemoryStorage, Next,
    OpenRow, Passage, Sealed, StorageError, Swapped, TenantKey, TokenStorage as _, TokenWrite, WrappedKey,
};
use tiktok_shop_host::sweep::{Sweep, SweepOutcome, Swept};
use tiktok_shop_host::{CallError, Component, ConnectorHost, KeyId, TenantId};
use tokio::time::Instant;

use crate::guest::{self, Body};

/// A source of randomness that always returns this byte. If the byte is `None`, the source always fails.
struct Always(Option<u8>);

impl Randomness for Always {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(self.0.ok_or(io::ErrorKind::Unsupported)?);
        Ok(())
    }
}

fn host(randomness: Always) -> ConnectorHost {
    ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", Body::Trap)))
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new()))
        .randomness(Arc::new(randomness))
        .build()
        .unwrap()
}

/// The clock of this test is paused, so it advances only while the sweep waits. The storage is empty, so the sweep
/// waits only before it starts.
#[tokio::test(start_paused = true)]
async fn a_sweep_starts_after_a_random_part_of_its_jitter() {
    let sweep = Sweep::new(UnixSeconds(7), NonZeroUsize::MIN);
    assert_eq!(sweep.jitter, Duration::from_secs(30));
    let table = [(Some(0), 0), (Some(0x80), 15), (Some(0xff), 30), (None, 30)];
    for (byte, expected) in table {
        let host = host(Always(byte));
        let began = Instant::now();
        assert_eq!(host.sweep(sweep, pending(), |_, _| ()).await.unwrap(), Swept::default());
        assert_eq!(began.elapsed().as_secs(), expected, "{byte:?}");

        let at_once = Sweep { jitter: Duration::ZERO, ..sweep };
        let began = Instant::now();
        host.sweep(at_once, pending(), |_, _| ()).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 0, "{byte:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_can_be_stopped_while_it_waits() {
    let host = host(Always(Some(0xff)));
    let began = Instant::now();
    let swept = host.sweep(Sweep::new(UnixSeconds(7), NonZeroUsize::MIN), ready(()), |_, _| ()).await.unwrap();
    assert_eq!((swept, began.elapsed().as_secs()), (Swept { stopped: true, ..Swept::default() }, 0));
}

/// A clock that panics when it is read for the first time. It stands for a bug in code of the embedder.
struct PanicsOnce(AtomicBool);

impl Clock for PanicsOnce {
    fn wall(&self) -> Duration {
        assert!(self.0.swap(true, Ordering::SeqCst), "a bug in the clock");
        Duration::from_secs(7)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Returns a storage in which the connections of these customers are due.
async fn storage_with_due(customers: &[&str]) -> MemoryStorage {
    let storage = MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)));
    let (tenant, id): (TenantId, KeyId) = ("t".parse().unwrap(), "k".parse().unwrap());
    let wrapped = Some(WrappedKey { host_key: "h".parse().unwrap(), bytes: Vec::new() });
    assert_eq!(storage.add_key(&tenant, None, &TenantKey { id: id.clone(), wrapped }).await, Ok(true));
    for customer in customers {
        let key = ConnectionKey { customer: customer.parse().unwrap(), account: "a".parse().unwrap() };
        let value = Sealed::new(id.clone(), b"sealed".to_vec());
        let write = TokenWrite { value, refresh_due_at: Some(UnixSeconds(1)) };
        let next = Next { revision: "r".parse().unwrap(), value: write };
        storage.swap_token(&tenant, &key, None, Some(&next)).await.unwrap();
    }
    storage
}

/// Counts the accesses to the storage by method.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<&'static str, usize>>);

#[async_trait]
impl Interceptor for Counts {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        *self.0.lock().unwrap().entry(access.method()).or_default() += 1;
        Passage::Forward
    }
}

/// The three connections are due in the second after the sweep. Their rows say that they are not overdue, so the sweep
/// has nothing to do for them.
#[tokio::test]
async fn a_sweep_reads_the_rows_of_a_page_with_one_call() {
    let customers = ["customer-1", "customer-2", "customer-3"];
    let memory = storage_with_due(&customers).await;
    for customer in customers {
        let key = ConnectionKey { customer: customer.parse().unwrap(), account: "a".parse().unwrap() };
        let next = Next {
            revision: "r".parse().unwrap(),
            value: OpenRow::new(Connection::new(key.clone())).encode().unwrap(),
        };
        memory.swap_row(&"t".parse().unwrap(), &key, None, Some(&next), &[]).await.unwrap();
    }
    let counts = Arc::new(Counts::default());
    let host = ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", Body::Trap)))
        .storage(Arc::new(Intercepted::new(Arc::new(memory), Arc::clone(&counts) as Arc<_>)))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new()))
        .build()
        .unwrap();
    let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(UnixSeconds(0), NonZeroUsize::MIN) };
    assert_eq!(host.sweep(sweep, pending(), |_, _| ()).await.unwrap(), Swept::default());
    // The list of due connections is empty. The list of connections that become due later has one page.
    let expected = [("delete_expired", 1), ("due", 3), ("load_rows", 1), ("endings", 1)];
    assert_eq!(*counts.0.lock().unwrap(), BTreeMap::from(expected));
}

#[tokio::test]
async fn a_refresh_that_panics_fails_only_its_own_connection() {
    let customers = ["customer-1", "customer-2", "customer-3"];
    let host = ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", Body::Trap)))
        .storage(Arc::new(storage_with_due(&customers).await))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new()))
        .clock(Arc::new(PanicsOnce(AtomicBool::new(false))))
        .build()
        .unwrap();
    let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(UnixSeconds(7), NonZeroUsize::MIN) };
    let (mut seen, mut aborted) = (Vec::new(), 0);
    let swept = host
        .sweep(sweep, pending(), |due, outcome| {
            seen.push(due.key.customer.as_str().to_owned());
            aborted += usize::from(matches!(outcome, SweepOutcome::Failed(CallError::Aborted { .. })));
        })
        .await
        .unwrap();
    assert_eq!((swept, aborted), (Swept { failed: 3, ..Swept::default() }, 1));
    seen.sort();
    assert_eq!(seen, customers);
}

/// Refuses every read that contains the row of `customer-2`, as a storage does that finds the row damaged.
struct DamagedRow;

#[async_trait]
impl Interceptor for DamagedRow {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        match access {
            Access::Read("load_rows") => {}
            Access::LoadRow(_, key) if key.customer.as_str() == "customer-2" => {}
            _ => return Passage::Forward,
        }
        Passage::Fail(StorageError::Refused("the row is damaged".to_owned()))
    }
}

#[tokio::test]
async fn a_damaged_row_holds_up_neither_other_connections_nor_the_notices() {
    let customers = ["customer-1", "customer-2", "customer-3"];
    let memory = storage_with_due(&customers).await;
    for customer in customers {
        let key = ConnectionKey { customer: customer.parse().unwrap(), account: "a".parse().unwrap() };
        let mut connection = Connection::new(key.clone());
        // The authorization ends in a week, so a notice is due. The access token has not ended.
        connection.authorization_ends_at = Some(UnixSeconds(7 * 24 * 3600));
        let next = Next { revision: "r".parse().unwrap(), value: OpenRow::new(connection).encode().unwrap() };
        memory.swap_row(&"t".parse().unwrap(), &key, None, Some(&next), &[]).await.unwrap();
    }
    let memory = Arc::new(memory);
    let host = ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", Body::Trap)))
        .storage(Arc::new(Intercepted::new(Arc::clone(&memory) as Arc<_>, Arc::new(DamagedRow))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new()))
        .build()
        .unwrap();
    let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(UnixSeconds(0), NonZeroUsize::MIN) };
    let mut tried = Vec::new();
    let swept = host.sweep(sweep, pending(), |due, _| tried.push(due.key.customer.as_str().to_owned())).await.unwrap();
    assert_eq!((tried, swept.failed), (vec!["customer-2".to_owned()], 1));
    let events = memory.events(&"t".parse().unwrap(), None, 10).await.unwrap();
    let noticed: Vec<_> = events.iter().filter_map(|event| Some(event.event.key.as_ref()?.customer.as_str())).collect();
    assert_eq!(noticed, customers);
}

const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

/// A host and the only row of its storage. The consent was given at the time 0.
struct Authorization {
    memory: Arc<MemoryStorage>,
    counts: Arc<Counts>,
    host: ConnectorHost,
}

impl Authorization {
    async fn ending_at(end: u64) -> Self {
        let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
        let counts = Arc::new(Counts::default());
        let host = ConnectorHost::builder()
            .component(Component::Bytes(guest::component("plugin", Body::Trap)))
            .storage(Arc::new(Intercepted::new(Arc::clone(&memory) as Arc<_>, Arc::clone(&counts) as Arc<_>)))
            .keys(Arc::new(HostKeys::draw().unwrap()))
            .credentials(Arc::new(StaticCredentials::new()))
            .build()
            .unwrap();
        let authorization = Self { memory, counts, host };
        authorization.put(None, "1", end).await;
        authorization
    }

    /// Writes the row with this end, as a refresh does.
    async fn put(&self, expected: Option<&str>, revision: &str, end: u64) {
        let key = ConnectionKey { customer: "customer-7".parse().unwrap(), account: "a".parse().unwrap() };
        let connection = Connection { authorization_ends_at: Some(UnixSeconds(end)), ..Connection::new(key.clone()) };
        let next = Next { revision: revision.parse().unwrap(), value: OpenRow::new(connection).encode().unwrap() };
        let expected = expected.map(|revision| revision.parse().unwrap());
        let swapped = self.memory.swap_row(&"t".parse().unwrap(), &key, expected.as_ref(), Some(&next), &[]).await;
        assert_eq!(swapped, Ok(Swapped::Done));
    }

    /// Returns how many notices a sweep at this time writes.
    async fn notices(&self, now: u64) -> u64 {
        let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(UnixSeconds(now), NonZeroUsize::MIN) };
        self.host.sweep(sweep, pending(), |_, _| ()).await.unwrap().notices
    }

    fn questions(&self) -> usize {
        self.counts.0.lock().unwrap().get("knows_once").copied().unwrap_or_default()
    }
}

/// A seller extends an authorization in Seller Center, without a new consent. TikTok may also move an end by some
/// seconds.
#[tokio::test]
async fn an_authorization_that_was_extended_gets_its_notices_again() {
    let authorization = Authorization::ending_at(YEAR).await;
    assert_eq!(authorization.notices(YEAR - DAY).await, 1);
    authorization.put(Some("1"), "2", YEAR + 3_600).await;
    assert_eq!(authorization.notices(YEAR - DAY + 3_600).await, 0, "the end has moved by an hour");
    authorization.put(Some("2"), "3", 2 * YEAR).await;
    assert_eq!(authorization.notices(YEAR).await, 0, "it ends in a year");
    assert_eq!(authorization.notices(2 * YEAR - DAY).await, 1);
    assert_eq!(authorization.notices(2 * YEAR - DAY).await, 0);
}

#[tokio::test]
async fn a_host_asks_about_a_written_notice_only_once() {
    let authorization = Authorization::ending_at(YEAR).await;
    for (now, notices, questions) in
        [(YEAR - 20 * DAY, 1, 1), (YEAR - 20 * DAY, 0, 2), (YEAR - 19 * DAY, 0, 2), (YEAR - 6 * DAY, 1, 3)]
    {
        assert_eq!((authorization.notices(now).await, authorization.questions()), (notices, questions));
    }
}
