//! What every storage of deliveries promises. The same checks run on the storage in memory, on SQLite and on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::KeyStorage as _;
use tiktok_shop_host::{CustomerId, TenantId};
use tiktok_shop_server::delivery::{
    Attempt, Backlog, Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryStorage, EndpointName, LEASE, Lease,
    MemoryDeliveries, NewDelivery, Settlement,
};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};

/// A new and empty storage.
pub(crate) struct Place {
    pub(crate) storage: Arc<dyn DeliveryStorage>,
    /// The storage again, if it is one in SQL.
    pub(crate) sql: Option<SqlStorage>,
    ages: Ages,
    _folder: Option<TempDir>,
}

/// How the leases of a storage are made older.
enum Ages {
    Clock(Arc<ManualClock>),
    Sqlite(String),
    Postgres(String),
}

impl Place {
    pub(crate) fn memory() -> Self {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW.0)));
        let storage = Arc::new(MemoryDeliveries::new(clock.clone()));
        Self { storage, sql: None, ages: Ages::Clock(clock), _folder: None }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storage.db");
        let storage = SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap();
        let ages = Ages::Sqlite(format!("sqlite://{}", path.display()));
        Self { storage: Arc::new(storage.clone()), sql: Some(storage), ages, _folder: Some(folder) }
    }

    /// `None` if there is no server.
    pub(crate) async fn postgres() -> Option<Self> {
        let server = tiktok_shop_test_postgres::test_postgres()?;
        sqlx::any::install_default_drivers();
        let mut bytes = [0; 8];
        SystemRandomness.fill(&mut bytes).unwrap();
        let name = format!("deliveries_{:016x}", u64::from_be_bytes(bytes));
        let mut connection = AnyConnection::connect(&server).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
        connection.close().await.unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let address = format!("{server}{separator}options=-c%20search_path%3D{name}");
        let storage = SqlStorage::postgres(&address, OpenMode::Create, PostgresOptions::default()).await.unwrap();
        let ages = Ages::Postgres(address);
        Some(Self { storage: Arc::new(storage.clone()), sql: Some(storage), ages, _folder: None })
    }

    /// Opens the storage once more, as another process does.
    pub(crate) async fn again(&self) -> Arc<dyn DeliveryStorage> {
        match &self.ages {
            Ages::Clock(_) => self.storage.clone(),
            Ages::Sqlite(address) => {
                let path = address.strip_prefix("sqlite://").unwrap();
                Arc::new(SqlStorage::sqlite(path, OpenMode::Existing).await.unwrap())
            }
            Ages::Postgres(address) => {
                let options = PostgresOptions::default();
                Arc::new(SqlStorage::postgres(address, OpenMode::Existing, options).await.unwrap())
            }
        }
    }

    /// Makes every lease older by this number of seconds.
    pub(crate) async fn age(&self, seconds: u64) {
        let (address, sql) = match &self.ages {
            Ages::Clock(clock) => return clock.advance(Duration::from_secs(seconds)),
            Ages::Sqlite(address) => {
                let ms = seconds * 1000;
                (address, format!("UPDATE tiktok_shop_delivery_queues SET leased_ms = leased_ms - {ms}"))
            }
            Ages::Postgres(address) => {
                let interval = format!("INTERVAL '{seconds} seconds'");
                (address, format!("UPDATE tiktok_shop_delivery_queues SET leased_at = leased_at - {interval}"))
            }
        };
        execute(address, sql).await;
    }

    /// Changes a storage in SQL, as an operator can.
    pub(crate) async fn execute(&self, sql: &str) {
        let (Ages::Sqlite(address) | Ages::Postgres(address)) = &self.ages else { panic!("not a storage in SQL") };
        execute(address, sql.to_owned()).await;
    }

    /// Gives every delivery an attempt with a word that this release does not know. Returns `false` for the storage in
    /// memory, which no other release can write.
    async fn add_attempt_of_newer_release(&self) -> bool {
        let (Ages::Sqlite(address) | Ages::Postgres(address)) = &self.ages else { return false };
        let attempt = r#"{"at":1,"took_ms":7,"status":null,"failure":"new-word"}"#;
        execute(address, format!("UPDATE tiktok_shop_deliveries SET attempts = '[{attempt}]', tries = 1")).await;
        true
    }

    /// All storages that can be tried here.
    pub(crate) async fn all() -> Vec<Self> {
        let mut all = vec![Self::memory(), Self::sqlite().await];
        all.extend(Self::postgres().await);
        all
    }
}

async fn execute(address: &str, sql: String) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(address).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}

const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

fn later(seconds: u64) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn main_endpoint() -> EndpointName {
    "main".parse().unwrap()
}

fn delivery(id: &str, customer: Option<&str>) -> NewDelivery {
    delivery_to("main", id, customer)
}

fn delivery_to(endpoint: &str, id: &str, customer: Option<&str>) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::parse(id).unwrap(),
        endpoint: endpoint.parse().unwrap(),
        customer: customer.map(|customer| customer.parse::<CustomerId>().unwrap()),
        event_type: "tiktok.1".to_owned(),
        body: format!("{{\"id\":\"{id}\"}}"),
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.id.as_str()).collect()
}

/// Adds an attempt, as a service does before it settles a delivery.
fn attempted(delivery: &Delivery) -> Delivery {
    let attempt = Attempt { at: NOW.0, took_ms: 7, status: Some(500), failure: None };
    Delivery { tries: delivery.tries + 1, attempts: [&*delivery.attempts, &[attempt]].concat(), ..delivery.clone() }
}

async fn claim(storage: &dyn DeliveryStorage, lease: &Lease, now: UnixSeconds) -> Vec<Delivery> {
    storage.claim(&tenant(), &main_endpoint(), lease, now, 9).await.unwrap()
}

async fn settle(storage: &dyn DeliveryStorage, lease: &Lease, delivery: &Delivery, settlement: Settlement) -> bool {
    storage.settle(&tenant(), lease, &attempted(delivery), settlement, NOW).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_queue_gives_its_first_delivery_to_one_lease() {
    for place in Place::all().await {
        let (storage, other) = (place.storage.clone(), place.again().await);
        let new = [
            delivery("a1", Some("a")),
            delivery("b1", Some("b")),
            delivery("a2", Some("a")),
            delivery("t1", None),
            delivery("a1", Some("a")),
        ];
        assert_eq!(storage.append(&tenant(), &new, NOW).await, Ok(4), "an id is stored once");
        assert_eq!(storage.append(&tenant(), &new, NOW).await, Ok(0));
        assert_eq!(storage.append(&"other".parse().unwrap(), &new[..1], NOW).await, Ok(1));
        let (first, second) = (Lease::draw().unwrap(), Lease::draw().unwrap());
        assert!(claim(&*storage, &first, UnixSeconds(NOW.0 - 1)).await.is_empty(), "nothing is due yet");
        let mut claimed = claim(&*storage, &first, NOW).await;
        claimed.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(ids(&claimed), ["a1", "b1", "t1"]);
        assert_eq!((claimed[0].body.as_deref(), &claimed[2].customer), (Some("{\"id\":\"a1\"}"), &None));
        assert!(claim(&*other, &second, later(1)).await.is_empty(), "everything is leased");

        // A settled delivery makes room for the next one of its queue.
        assert!(settle(&*storage, &first, &claimed[0], Settlement::Delivered).await);
        assert!(settle(&*storage, &first, &claimed[2], Settlement::Delivered).await);
        assert!(!settle(&*storage, &first, &claimed[2], Settlement::Delivered).await, "settled once");
        assert_eq!(ids(&claim(&*other, &second, NOW).await), ["a2"]);

        // A lease lapses, and what its holder says afterwards does not count.
        place.age(LEASE.as_secs()).await;
        let third = Lease::draw().unwrap();
        let mut again = claim(&*other, &third, NOW).await;
        again.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(ids(&again), ["a2", "b1"]);
        assert!(!settle(&*storage, &first, &claimed[1], Settlement::Delivered).await);
        let stored = storage.load(&tenant(), &again[1].id).await.unwrap().unwrap();
        assert_eq!((stored.state, stored.tries), (DeliveryState::Waiting, 0));
    }
}

/// A storage in SQL adds them with several statements.
#[tokio::test(flavor = "multi_thread")]
async fn many_deliveries_are_added_in_their_order_and_each_once() {
    for place in Place::all().await {
        let storage = &*place.storage;
        let customer = |number: usize| format!("c{}", number % 7);
        let new: Vec<_> = (0..450).map(|number| delivery(&format!("d{number}"), Some(&customer(number)))).collect();
        assert_eq!(storage.append(&tenant(), &new[100..110], NOW).await, Ok(10));
        let with_repetitions = [&new[..], &new[3..4], &new[449..]].concat();
        assert_eq!(storage.append(&tenant(), &with_repetitions, NOW).await, Ok(440));
        let order = [&new[100..110], &new[..100], &new[110..]].concat();
        let stored = storage.list(&tenant(), &DeliveryFilter::default(), None, 999).await.unwrap();
        assert_eq!(ids(&stored), order.iter().map(|new| new.id.as_str()).collect::<Vec<_>>());
        for (stored, new) in stored.iter().zip(&order) {
            assert_eq!((&stored.endpoint, &stored.customer), (&new.endpoint, &new.customer));
            assert_eq!((&stored.event_type, stored.stored_at, stored.waiting_since), (&new.event_type, NOW, NOW));
            assert_eq!((stored.state, stored.tries, stored.due_at), (DeliveryState::Waiting, 0, Some(NOW)));
        }
        let mut claimed = claim(storage, &Lease::draw().unwrap(), NOW).await;
        claimed.sort_by_key(|delivery| delivery.number);
        assert_eq!(ids(&claimed), ["d100", "d101", "d102", "d103", "d104", "d105", "d106"]);
        assert_eq!(claimed[1].body.as_deref(), Some("{\"id\":\"d101\"}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_finds_the_oldest_delivery_among_many_endpoints() {
    for place in Place::all().await {
        let storage = &*place.storage;
        let oldest =
            async |endpoints: &[(TenantId, EndpointName)]| storage.backlog(endpoints).await.unwrap().oldest_waiting;
        let named = |name: &str| (tenant(), name.parse::<EndpointName>().unwrap());
        for (at, endpoint, id) in [(5, "main", "m5"), (1, "removed", "r1"), (3, "second", "s3"), (4, "second", "s4")] {
            storage.append(&tenant(), &[delivery_to(endpoint, id, Some("a"))], later(at)).await.unwrap();
        }
        storage.append(&"other".parse().unwrap(), &[delivery("o2", None)], later(2)).await.unwrap();
        assert_eq!(oldest(&[named("main")]).await, Some(later(5)));
        // Each of these names comes immediately before one with a waiting delivery.
        assert_eq!(oldest(&[named("mai"), named("remove"), named("n")]).await, None);
        // One statement asks for 100 endpoints.
        let mut many: Vec<_> = (0..250).map(|number| named(&format!("unknown-{number}"))).collect();
        assert_eq!(oldest(&many).await, None);
        many.insert(120, named("second"));
        many.push(named("main"));
        assert_eq!(oldest(&many).await, Some(later(3)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_takes_the_queues_that_are_due_for_longest() {
    for place in Place::all().await {
        let storage = &*place.storage;
        storage.append(&tenant(), &[delivery("b1", Some("b"))], later(5)).await.unwrap();
        storage.append(&tenant(), &[delivery("c1", Some("c"))], later(3)).await.unwrap();
        storage.append(&tenant(), &[delivery("a1", Some("a"))], later(4)).await.unwrap();
        let lease = Lease::draw().unwrap();
        let claimed = storage.claim(&tenant(), &main_endpoint(), &lease, later(9), 2).await.unwrap();
        let mut found = ids(&claimed);
        found.sort_unstable();
        assert_eq!(found, ["a1", "c1"]);
        assert_eq!(ids(&storage.claim(&tenant(), &main_endpoint(), &lease, later(9), 2).await.unwrap()), ["b1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_waits_with_its_whole_queue() {
    for place in Place::all().await {
        let storage = &*place.storage;
        storage.append(&tenant(), &[delivery("a1", Some("a")), delivery("a2", Some("a"))], NOW).await.unwrap();
        let lease = Lease::draw().unwrap();
        let first = claim(storage, &lease, NOW).await.remove(0);
        assert!(settle(storage, &lease, &first, Settlement::Retry(later(5))).await);
        // A later delivery changes nothing about the pause.
        storage.append(&tenant(), &[delivery("a3", Some("a"))], NOW).await.unwrap();
        assert!(claim(storage, &lease, later(4)).await.is_empty());
        let stored = storage.load(&tenant(), &first.id).await.unwrap().unwrap();
        assert_eq!((stored.due_at, stored.tries, stored.attempts.len()), (Some(later(5)), 1, 1));
        let first = claim(storage, &lease, later(5)).await.remove(0);
        assert_eq!((first.id.as_str(), first.tries, first.body.is_some()), ("a1", 1, true));
        assert!(settle(storage, &lease, &first, Settlement::Dead).await);
        assert_eq!(ids(&claim(storage, &lease, NOW).await), ["a2"], "the queue goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_redelivered_in_their_order_and_before_what_still_waits() {
    for place in Place::all().await {
        let storage = &*place.storage;
        let new = ["a1", "a2", "b1", "a3"].map(|id| delivery(id, Some(&id[..1])));
        storage.append(&tenant(), &new, NOW).await.unwrap();
        let lease = Lease::draw().unwrap();
        for _ in 0..2 {
            for claimed in claim(storage, &lease, NOW).await {
                assert!(settle(storage, &lease, &claimed, Settlement::Dead).await);
            }
        }
        let backlog = Backlog { oldest_waiting: Some(NOW), dead: 3 };
        let other = "other".parse().unwrap();
        let endpoints = [(other, main_endpoint()), (tenant(), main_endpoint())];
        assert_eq!(storage.backlog(&endpoints).await, Ok(backlog));
        // Deliveries to an endpoint that is no longer configured are not sent, so they do not count as waiting.
        let removed = Backlog { oldest_waiting: None, dead: 3 };
        assert_eq!(storage.backlog(&endpoints[..1]).await, Ok(removed));
        assert_eq!(storage.backlog(&[(tenant(), "another".parse().unwrap())]).await, Ok(removed));
        assert_eq!(storage.backlog(&[]).await, Ok(removed));
        let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() };
        assert_eq!(ids(&storage.list(&tenant(), &dead, None, 9).await.unwrap()), ["a1", "a2", "b1"]);

        // While a3 is on its way and then waits, a1 and a2 come back.
        let third = claim(storage, &lease, NOW).await.remove(0);
        let of_a = DeliveryFilter { customer: Some("a".parse().unwrap()), ..DeliveryFilter::default() };
        let redelivered = storage.redeliver(&tenant(), &of_a, None, later(1), 1).await.unwrap();
        assert_eq!(redelivered.len(), 1);
        let rest = storage.redeliver(&tenant(), &of_a, redelivered.last().copied(), later(1), 9).await.unwrap();
        assert!(rest.len() == 1 && rest[0] > redelivered[0], "{redelivered:?} {rest:?}");
        assert_eq!(storage.redeliver(&tenant(), &of_a, None, later(1), 9).await, Ok(vec![]), "they are dead no more");
        assert!(claim(storage, &Lease::draw().unwrap(), later(1)).await.is_empty(), "a3 is still on its way");
        assert!(settle(storage, &lease, &third, Settlement::Retry(later(50))).await);
        for expected in ["a1", "a2"] {
            let claimed = claim(storage, &lease, later(1)).await.remove(0);
            assert_eq!((claimed.id.as_str(), claimed.tries, claimed.waiting_since), (expected, 0, later(1)));
            assert_eq!(claimed.attempts.len(), 1, "the earlier attempt is kept");
            assert!(settle(storage, &lease, &claimed, Settlement::Delivered).await);
        }
        assert_eq!(ids(&claim(storage, &lease, later(1)).await), ["a3"]);
        let all = storage.redeliver(&"other".parse().unwrap(), &DeliveryFilter::default(), None, NOW, 9).await;
        assert_eq!(all, Ok(vec![]));
        let b1 = DeliveryFilter { id: DeliveryId::parse("b1"), ..DeliveryFilter::default() };
        assert_eq!(storage.redeliver(&tenant(), &b1, None, NOW, 9).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_events_moves_once_together_with_their_deliveries() {
    for place in Place::all().await {
        let (storage, other) = (place.storage.clone(), place.again().await);
        let (tenant, main) = (tenant(), main_endpoint());
        let [zero, seven, nine] = [0, 7, 9].map(EventPosition);
        assert_eq!(storage.position(&tenant, &main).await, Ok(None));
        assert_eq!(storage.advance(&tenant, &main, Some(zero), seven, &[], NOW).await, Ok(false));
        assert_eq!(storage.advance(&tenant, &main, None, zero, &[], NOW).await, Ok(true));
        assert_eq!(other.advance(&tenant, &main, None, seven, &[], NOW).await, Ok(false));
        let new = [delivery("e7", Some("a"))];
        assert_eq!(storage.advance(&tenant, &main, Some(zero), seven, &new, NOW).await, Ok(true));
        let late = [delivery("e9", Some("a"))];
        assert_eq!(other.advance(&tenant, &main, Some(zero), nine, &late, NOW).await, Ok(false));
        assert_eq!(other.position(&tenant, &main).await, Ok(Some(seven)));
        let stored = storage.list(&tenant, &DeliveryFilter::default(), None, 9).await.unwrap();
        assert_eq!(ids(&stored), ["e7"]);
        assert_eq!(storage.position(&"other".parse().unwrap(), &main).await, Ok(None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_in_pages_and_old_ones_are_deleted() {
    for place in Place::all().await {
        let storage = &*place.storage;
        let new = ["a1", "a2", "b1"].map(|id| delivery(id, Some(&id[..1])));
        storage.append(&tenant(), &new, NOW).await.unwrap();
        let lease = Lease::draw().unwrap();
        for claimed in claim(storage, &lease, NOW).await {
            let settlement = if claimed.id.as_str() == "a1" { Settlement::Delivered } else { Settlement::Dead };
            assert!(settle(storage, &lease, &claimed, settlement).await);
        }
        let all = DeliveryFilter::default();
        let page = storage.list(&tenant(), &all, None, 2).await.unwrap();
        assert_eq!(ids(&page), ["a1", "a2"]);
        assert_eq!(ids(&storage.list(&tenant(), &all, Some(page[1].number), 2).await.unwrap()), ["b1"]);
        assert!(page.iter().all(|delivery| delivery.body.is_none()), "a list has no bodies");
        assert_eq!((page[0].due_at, page[1].due_at), (None, Some(NOW)));
        let of = async |filter: DeliveryFilter| storage.list(&tenant(), &filter, None, 9).await.unwrap();
        let waiting = DeliveryFilter { state: Some(DeliveryState::Waiting), ..all.clone() };
        assert_eq!(ids(&of(waiting).await), ["a2"]);
        let of_b =
            DeliveryFilter { customer: Some("b".parse().unwrap()), endpoint: Some(main_endpoint()), ..all.clone() };
        assert_eq!(ids(&of(of_b).await), ["b1"]);
        let elsewhere = DeliveryFilter { endpoint: Some("second".parse().unwrap()), ..all.clone() };
        assert!(of(elsewhere).await.is_empty());
        assert!(storage.list(&"other".parse().unwrap(), &all, None, 9).await.unwrap().is_empty());
        assert_eq!(storage.load(&"other".parse().unwrap(), &page[0].id).await, Ok(None));

        assert_eq!(storage.delete_old(DeliveryState::Delivered, NOW, 9).await, Ok(0));
        assert_eq!(storage.delete_old(DeliveryState::Delivered, later(1), 9).await, Ok(1));
        assert_eq!(ids(&of(all.clone()).await), ["a2", "b1"]);
        assert_eq!(storage.delete_old(DeliveryState::Waiting, later(1), 9).await, Ok(1));
        assert_eq!(ids(&of(all).await), ["b1"]);
        assert!(claim(storage, &lease, later(1)).await.is_empty(), "the queue is empty");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_erasure_of_a_tenant_deletes_its_deliveries() {
    for place in Place::all().await {
        let Some(sql) = &place.sql else { continue };
        let other: TenantId = "other".parse().unwrap();
        for tenant in [&tenant(), &other] {
            place.storage.append(tenant, &[delivery("a1", Some("a"))], NOW).await.unwrap();
        }
        assert!(sql.delete_tenant(&tenant(), 100).await.unwrap().is_complete);
        let all = DeliveryFilter::default();
        assert!(place.storage.list(&tenant(), &all, None, 9).await.unwrap().is_empty());
        assert!(claim(&*place.storage, &Lease::draw().unwrap(), NOW).await.is_empty());
        assert_eq!(ids(&place.storage.list(&other, &all, None, 9).await.unwrap()), ["a1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_a_newer_release_has_written_stops_no_delivery() {
    for place in Place::all().await {
        place.storage.append(&tenant(), &[delivery("a1", Some("a")), delivery("b1", Some("b"))], NOW).await.unwrap();
        let tries = u32::from(place.add_attempt_of_newer_release().await);
        let lease = Lease::draw().unwrap();
        let claimed = claim(&*place.storage, &lease, NOW).await;
        assert_eq!(ids(&claimed), ["a1", "b1"]);
        assert_eq!((claimed[0].tries, &claimed[0].attempts), (tries, &Vec::new()));
        assert!(settle(&*place.storage, &lease, &claimed[0], Settlement::Delivered).await);
    }
}
