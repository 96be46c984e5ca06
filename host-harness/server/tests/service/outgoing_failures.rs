//! Webhooks while parts of the storage fail, and after a failover of the database that has lost the latest writes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::{EventKind, EventPosition, NewEvent, Origin};
use tiktok_shop_host::storage::{
    Access, ConnectionStorage, HostStorage, Interceptor, MemoryStorage, OnceDigest, Passage, StorageError,
};
use tiktok_shop_server::delivery::{DeliveryStorage, Lease, MemoryDeliveries, Settlement};

use crate::faulty_deliveries::FaultyDeliveries;
use crate::outgoing::{acme, append, is_delivered, new, until};
use crate::receiver::{Received, Receiver};
use crate::stage::{BEGIN, DAY, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_whose_result_can_not_be_stored_at_once_is_sent_once() {
    let stage = Stage::new().await;
    let (storage, mut receiver) = (Arc::new(FaultyDeliveries::new(stage.clock())), Receiver::accepting().await);
    storage.failing_settles.store(3, Ordering::SeqCst);
    append(&*storage, &[new("main", "a", 1), new("main", "a", 2)]).await;
    let _service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    for id in ["a_1", "a_2"] {
        let delivered = until(&storage.inner, id, is_delivered).await;
        assert_eq!((delivered.tries, delivered.attempts.len()), (1, 1));
        assert_eq!(receiver.next().await.id(), id);
    }
    assert!(receiver.already().is_none());
}

/// Stores a delivery that has waited for 34 days, and a new dead letter.
async fn with_an_old_delivery() -> (Stage, Arc<FaultyDeliveries>) {
    let stage = Stage::new().await;
    let storage = Arc::new(FaultyDeliveries::new(stage.clock()));
    append(&*storage, &[new("removed-endpoint", "old", 1), new("main", "a", 1)]).await;
    stage.pass(34 * DAY);
    let (now, lease) = (UnixSeconds(BEGIN + 34 * DAY), Lease::draw().unwrap());
    let claimed = storage.claim(&acme(), &"main".parse().unwrap(), &lease, now, 1).await.unwrap().remove(0);
    assert_eq!(storage.settle(&acme(), &lease, &claimed, Settlement::Dead, now).await, Ok(true));
    (stage, storage)
}

/// The next turn begins 30 s after the first one.
const FIRST_TURN: Duration = Duration::from_secs(20);

async fn old_delivery_is_deleted(storage: &FaultyDeliveries) {
    let deleted = async {
        while storage.inner.list(&acme(), &Default::default(), None, 9).await.unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FIRST_TURN, deleted).await.expect("the first turn deletes the old delivery");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_deliveries_are_deleted_even_if_the_backlog_can_not_be_measured() {
    let (stage, storage) = with_an_old_delivery().await;
    storage.backlog_fails.store(true, Ordering::SeqCst);
    let _service = stage.serve_another(storage.clone(), Vec::new(), |_| {}).await;
    old_delivery_is_deleted(&storage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_fails_stops_neither_the_others_nor_the_measurement() {
    let (stage, storage) = with_an_old_delivery().await;
    storage.deletion_of_delivered_fails.store(true, Ordering::SeqCst);
    let service = stage.serve_another(storage.clone(), Vec::new(), |_| {}).await;
    old_delivery_is_deleted(&storage).await;
    let shown = async {
        let line = "tiktok_shop_webhook_dead_letters 1";
        while !service.get("/metrics").await.text().lines().any(|found| found == line) {}
    };
    tokio::time::timeout(FIRST_TURN, shown).await.expect("the first turn counts the dead letter");
}

/// Lets the events of a storage fail, or takes them from another storage.
#[derive(Default)]
struct Failover {
    is_down: AtomicBool,
    /// The number of reads that have failed.
    failures: AtomicU32,
    standby: Mutex<Option<Arc<dyn HostStorage>>>,
}

#[async_trait::async_trait]
impl Interceptor for Failover {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() != "events" {
            return Passage::Forward;
        }
        if self.is_down.load(Ordering::SeqCst) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Passage::Fail(StorageError::Unavailable("switched off".to_owned()));
        }
        let standby = self.standby.lock().unwrap().clone();
        standby.map_or(Passage::Forward, Passage::ForwardTo)
    }
}

/// Appends an event of a customer with this number.
async fn happens(storage: &dyn ConnectionStorage, number: u8) {
    let (customer, account) = (format!("c{number}").parse().unwrap(), "a".parse().unwrap());
    let key = Some(ConnectionKey { customer, account });
    let event = NewEvent { at: UnixSeconds(BEGIN), key, kind: EventKind::Connected, origin: Origin::default() };
    assert_eq!(storage.append_once(&acme(), &OnceDigest::new([number; 32]), &event, None).await, Ok(true));
}

/// The position and the customer of a lifecycle event.
fn event_of(received: &Received) -> (Value, Value) {
    let data = received.json()["data"].clone();
    (data["position"].clone(), data["customer"].clone())
}

/// Lets a service deliver three events. Then makes a standby that has only the first of them, and moves the position of
/// the endpoint back as the failover does.
async fn lose_two_of_three_events(
    stage: &Stage,
    storage: &MemoryDeliveries,
    receiver: &mut Receiver,
    down: impl AsyncFnOnce(),
) -> Arc<MemoryStorage> {
    let name = "main".parse().unwrap();
    while storage.position(&acme(), &name).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let standby = Arc::new(MemoryStorage::new(stage.clock()));
    happens(&*standby, 1).await;
    for number in 1..=3 {
        happens(&*stage.storage(), number).await;
        assert_eq!(event_of(&receiver.next().await), (json!(number), json!(format!("c{number}"))));
    }
    down().await;
    let [first, third] = [1, 3].map(EventPosition);
    let moved = storage.advance(&acme(), &name, Some(third), first, &[], UnixSeconds(BEGIN)).await;
    assert_eq!(moved, Ok(true));
    standby
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_gets_the_position_of_a_lost_event_is_delivered_after_half_a_minute() {
    let failover = Arc::new(Failover::default());
    let stage = Stage::with(|_| {}, Some(failover.clone())).await;
    let (storage, mut receiver) = (Arc::new(MemoryDeliveries::new(stage.clock())), Receiver::accepting().await);
    let _service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    let standby = lose_two_of_three_events(&stage, &storage, &mut receiver, async || {}).await;
    happens(&*standby, 4).await;
    *failover.standby.lock().unwrap() = Some(standby.clone());
    // The service knows the position 3, and finds no event behind it.
    stage.pass(30);
    assert_eq!(event_of(&receiver.next().await), (json!(2), json!("c4")));
    happens(&*standby, 5).await;
    assert_eq!(event_of(&receiver.next().await), (json!(3), json!("c5")));
    assert!(receiver.already().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_seen_a_failure_of_the_database_reads_its_position_again_at_once() {
    let failover = Arc::new(Failover::default());
    let stage = Stage::with(|_| {}, Some(failover.clone())).await;
    let (storage, mut receiver) = (Arc::new(MemoryDeliveries::new(stage.clock())), Receiver::accepting().await);
    let _service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    let down = async || failover.is_down.store(true, Ordering::SeqCst);
    let standby = lose_two_of_three_events(&stage, &storage, &mut receiver, down).await;
    happens(&*standby, 4).await;
    *failover.standby.lock().unwrap() = Some(standby);
    // A turn that has read the position before the failover fails, too.
    let before = failover.failures.load(Ordering::SeqCst);
    while failover.failures.load(Ordering::SeqCst) < before + 2 {
        tokio::task::yield_now().await;
    }
    failover.is_down.store(false, Ordering::SeqCst);
    assert_eq!(event_of(&receiver.next().await), (json!(2), json!("c4")));
}
