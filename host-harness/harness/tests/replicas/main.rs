//! Tests that three processes of `serve` on one PostgreSQL database work as one service, although they are killed again
//! and again: customers connect, use and end connections, TikTok Shop sends webhooks, sweeps refresh due connections,
//! and the platform reads events. At the end, everything that a process has acknowledged must have happened.
//!
//! `TIKTOK_SHOP_TEST_REPLICAS_DAYS` sets the number of days, and `TIKTOK_SHOP_TEST_REPLICAS_SEED` the first seed. With
//! the same seed, the customers do the same things, but the processes run as fast as the machine allows.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken expectation is a failed test")]
#![allow(clippy::indexing_slicing, reason = "the tests read JSON")]
#![allow(clippy::print_stdout, reason = "shown if a test fails, and with --nocapture")]

mod activity;
mod customer;
mod events;
mod http;
mod proxy;
mod receiver;
mod replica;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use fake_tiktok_shop::ReplacedRefreshToken;
use fastrand::Rng;
use futures::stream::{self, FuturesUnordered, StreamExt as _};
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::{ConnectionStorage as _, TokenStorage as _};
use tokio::sync::{Mutex, watch};

use crate::customer::{Customer, State};
use crate::events::Reader;
use crate::stage::Stage;

const REPLICAS: usize = 3;
const CUSTOMERS: usize = 16;
/// The number of customers who act at the same time.
const AT_ONCE: usize = 12;
/// The number of customers whose refresh is lost in an evening.
const LOST_ANSWERS: usize = 3;
/// The number of days without `TIKTOK_SHOP_TEST_REPLICAS_DAYS`.
const DAYS: u64 = 3;
/// The number of kills in a run without `TIKTOK_SHOP_TEST_REPLICAS_DAYS`, at least.
const MIN_KILLS: usize = 24;

/// The number of sweeps after which nothing may be due. A sweep passes over a connection that another one refreshes.
const SWEEPS: u64 = 2;

/// The number of sweeps in which all waiting webhooks must be sent. There is a sweep each second.
const SWEEPS_UNTIL_SENT: u64 = 60;

/// Each test locks this mutex while it runs, because the processes of two tests would disturb each other.
static MACHINE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_replicas_lose_no_connection_that_tiktok_shop_honours() {
    live_with(ReplacedRefreshToken::RevokesFamily, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_replicas_lose_no_connection_at_all_if_an_old_refresh_token_still_works() {
    live_with(ReplacedRefreshToken::Honoured, 2).await;
}

#[expect(clippy::disallowed_methods, reason = "the environment says how long the test runs")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

async fn live_with(replaced: ReplacedRefreshToken, seed: u64) {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let _lock = MACHINE.lock().await;
    let days = number("TIKTOK_SHOP_TEST_REPLICAS_DAYS").unwrap_or(DAYS);
    let mut rng = Rng::with_seed(seed + number("TIKTOK_SHOP_TEST_REPLICAS_SEED").unwrap_or_default());
    let stage = Stage::new(&server, CUSTOMERS, replaced).await;
    let mut customers: Vec<_> = (0..CUSTOMERS).map(|number| Customer::new(number, rng.fork())).collect();
    let mut reader = Reader::new(rng.fork());
    for _ in 0..days {
        day(&stage, &mut customers, &mut reader, &mut rng).await;
        evening(&stage, &mut customers).await;
        stage.night().await;
    }
    settle(&stage).await;
    for customer in &mut customers {
        check_at_the_end(&stage, customer).await;
    }
    reader.read_new(&stage).await;
    wait_for_webhooks(&stage, reader.count()).await;
    reader.check(&stage, &customers, replaced).await;
    let lost: usize = customers.iter().map(|customer| customer.seen.lost).sum();
    if replaced == ReplacedRefreshToken::Honoured {
        assert_eq!(lost, 0);
    } else {
        assert!(lost > 0, "no answer of TikTok Shop was lost, so the test has not tried it");
    }
    stage.assert_no_secret_was_logged();
    let sum = |count: fn(&Customer) -> usize| customers.iter().map(count).sum::<usize>();
    let kills = stage.replicas.kills();
    println!(
        "{days} days, {kills} kills: {} consents, {} calls, {} webhooks, {} disconnections, {} events; {lost} \
         connections lost with an answer of TikTok Shop, {} things put off",
        sum(|customer| customer.seen.connected.len()),
        sum(|customer| customer.seen.calls),
        sum(|customer| customer.seen.webhooks),
        sum(|customer| customer.seen.disconnected),
        reader.count(),
        sum(|customer| customer.seen.put_off),
    );
    assert!(kills >= MIN_KILLS, "{kills} kills");
    stage.end().await;
}

/// Lets all customers act while each replica is killed and started again.
async fn day(stage: &Stage, customers: &mut [Customer], reader: &mut Reader, rng: &mut Rng) {
    let over = Arc::new(watch::Sender::new(false));
    let is_over = || {
        let mut over = over.subscribe();
        // The sender lives until the end of the day.
        async move { drop(over.wait_for(|over| *over).await) }
    };
    let disturb = |place: usize, rng: Rng| stage.replicas.disturb(place, &stage.activity, rng, is_over());
    let [one, two, three] = [0, 1, 2].map(|place| disturb(place, rng.fork()));
    let live = async {
        stream::iter(customers).for_each_concurrent(AT_ONCE, |customer| customer.day(stage)).await;
        over.send_replace(true);
    };
    tokio::join!(live, one, two, three, reader.follow(stage, is_over()));
}

/// Lets some customers ask for new tokens, whose answers are lost in the night: TikTok Shop has acted, and the replicas
/// are killed before they learn it.
async fn evening(stage: &Stage, customers: &mut [Customer]) {
    stage.replicas.start_all().await;
    let connected = customers.iter_mut().filter(|customer| customer.state == State::Works);
    let before = stage.refreshes();
    stage.way.hold_answers();
    let mut asking: FuturesUnordered<_> =
        connected.take(LOST_ANSWERS).map(|customer| customer.refresh(stage)).collect();
    let goal = before + asking.len();
    let mut answered = 0;
    // A refresh that finds the claim of a killed replica is answered, and sends nothing.
    while answered + stage.refreshes() < goal {
        tokio::select! {
            Some(()) = asking.next() => answered += 1,
            () = stage.activity.further(1) => {}
        }
    }
}

/// Waits until every replica has swept. No replica is killed any more, so nothing may be due afterwards.
async fn settle(stage: &Stage) {
    // A service does not tell when it has swept, so its metrics are read again and again.
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    for replica in stage.replicas.addresses() {
        while stage.complete_sweeps(replica).await < SWEEPS {
            pause.tick().await;
        }
    }
    let due = stage.storage.due(UnixSeconds(stage.fake.now()), None, CUSTOMERS).await.unwrap();
    assert_eq!(due, [], "still due after {SWEEPS} sweeps of every replica");
}

/// Waits until the platform has got all lifecycle events, and no webhook waits any more.
async fn wait_for_webhooks(stage: &Stage, events: usize) {
    let [replica, ..] = stage.replicas.addresses();
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    loop {
        let waiting = stage.get("/v1/deliveries?state=waiting").await;
        if stage.receiver.lifecycle_events() == events && waiting["deliveries"] == serde_json::json!([]) {
            break;
        }
        let sweeps = stage.complete_sweeps(replica).await;
        assert!(sweeps < SWEEPS_UNTIL_SENT, "{events} events; webhooks still wait: {waiting}");
        pause.tick().await;
    }
    let dead = stage.get("/v1/deliveries?state=dead").await;
    assert_eq!(dead["deliveries"], serde_json::json!([]), "the receiver has refused nothing");
}

/// Asserts that a customer is connected if the last thing that it saw was a connection, and that nothing is left of a
/// connection that it has ended.
async fn check_at_the_end(stage: &Stage, customer: &mut Customer) {
    let id = customer.id();
    let rows = stage.storage.list_rows(&stage.tenant, &id.parse().unwrap()).await.unwrap();
    if customer.state == State::None {
        assert_eq!(customer.connection(stage).await, None, "{id} was disconnected");
        assert!(rows.is_empty(), "{id}: {rows:?}");
        return;
    }
    let connection = customer.connection(stage).await.expect("a connection that was confirmed");
    assert_eq!(rows.len(), 1, "{id}: {rows:?}");
    if connection["status"] == "reauthorization-required" {
        customer.assert_tiktok_has_ended_it(stage).await;
        customer.seen.lost += usize::from(customer.state == State::Works);
        return;
    }
    assert_eq!(customer.state, State::Works, "{id}: no sweep has noticed the end of {connection}");
    let record = stage.record(&customer.key(stage).await).await.expect("the record of a connection");
    let token = record.current().refresh.as_ref().expect("a refresh token");
    assert!(stage.fake.honours(token.expose()), "{id} has a token that TikTok Shop does not accept");
    let calls = customer.seen.calls;
    customer.call(stage).await;
    assert_eq!(customer.seen.calls, calls + 1, "{id} can't be used: {connection}");
}
