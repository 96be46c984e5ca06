//! Tests of the events of connections. Every change of a connection is recorded once and in order, also with several
//! hosts, repetitions and restarts. A sweep also records expiry notices: 30 days, 7 days and 1 day before an
//! authorization ends.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::join_all;
use tiktok_shop_host::ConnectorHost;
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, UnixSeconds};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::events::{Event, EventKind};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::sweep::Swept;
use tiktok_shop_host::webhook::WebhookEffect;
use tiktok_shop_tests::{Access, BEGIN, DAY, Interceptor, Passage, Stage, customer_id, refusal, sweep_at, tenant};

use crate::webhook_entry::{ending_notice, signature};

const HOSTS: usize = 3;

async fn events(stage: &Stage) -> Vec<Event> {
    stage.storage.events(&tenant(0), None, usize::MAX).await.unwrap()
}

async fn kinds(stage: &Stage) -> Vec<EventKind> {
    events(stage).await.into_iter().map(|event| event.event.kind).collect()
}

/// Delivers a webhook of type 7 to one of the hosts. TikTok announces in it, at the time `occurred`, that the
/// authorization of the seller `one-shop` ends at the time `at`.
async fn announce(stage: &Stage, host: &ConnectorHost, at: u64, occurred: u64) -> WebhookEffect {
    let body = ending_notice("7600000000000000007", at, occurred);
    let authorization = signature(stage, 0, &body);
    host.receive_webhook(&tenant(0), &authorization, body.into()).await.unwrap().effect
}

async fn sweep(host: &ConnectorHost, now: u64) -> Swept {
    host.sweep(sweep_at(now, 1), pending(), |_, _| ()).await.unwrap()
}

fn hosts(stage: &Stage) -> Vec<ConnectorHost> {
    (0..HOSTS).map(|_| stage.another_host()).collect()
}

fn disconnect_alice(stage: &Stage) -> impl Future<Output = ()> {
    let (host, target) = (stage.host.clone(), DisconnectTarget::All(None));
    async move {
        host.disconnect(&tenant(0), &customer_id("alice"), target, RemoteGrant::Keep).await.unwrap();
    }
}

#[tokio::test]
async fn every_change_of_a_connection_is_recorded_in_order() {
    use EventKind::{AuthorizationEnding, Connected, Disconnected, Notice, ReauthorizationRequired, Recovered};

    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(60);
    let end = UnixSeconds(BEGIN + 40 * DAY);
    assert_eq!(announce(&stage, &stage.host, end.0, BEGIN + 30).await, WebhookEffect::AuthorizationEnding);
    for (day, notices) in [(9, 0), (10, 1), (32, 0), (33, 1), (38, 0), (39, 1), (39, 0)] {
        let now = BEGIN + day * DAY;
        stage.advance(now - stage.fake.now());
        assert_eq!(sweep(&stage.host, now).await.notices, notices, "day {day}");
    }
    // The seller consents again before the authorization ends.
    stage.connect("alice", "one-shop").await.unwrap();
    assert_eq!(sweep(&stage.host, BEGIN + 39 * DAY).await.notices, 0);
    stage.fake.revoke("one-shop").unwrap();
    for _ in 0..3 {
        stage.advance(8 * DAY);
        let outcome = stage.refresh("alice", RefreshMode::Forced).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-revoked".to_owned()));
    }
    stage.connect("alice", "one-shop").await.unwrap();
    disconnect_alice(&stage).await;
    disconnect_alice(&stage).await;

    let recorded = events(&stage).await;
    let expected = [
        (BEGIN, Connected),
        (BEGIN + 60, AuthorizationEnding { ends: end }),
        (BEGIN + 10 * DAY, Notice { days: 30, ends: end }),
        (BEGIN + 33 * DAY, Notice { days: 7, ends: end }),
        (BEGIN + 39 * DAY, Notice { days: 1, ends: end }),
        (BEGIN + 39 * DAY, Recovered),
        (BEGIN + 47 * DAY, ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked)),
        (BEGIN + 63 * DAY, Recovered),
        (BEGIN + 63 * DAY, Disconnected),
    ];
    let found: Vec<_> = recorded.iter().map(|event| (event.event.at.0, event.event.kind)).collect();
    assert_eq!(found, expected);
    assert!(recorded.iter().all(|event| event.event.key.customer == customer_id("alice")));

    let (mut read, mut after) = (Vec::new(), None);
    while let Some(event) = stage.storage.events(&tenant(0), after, 1).await.unwrap().pop() {
        after = Some(event.position);
        read.push(event);
    }
    assert_eq!(read, recorded, "read one by one");
    assert_eq!(stage.storage.events(&tenant(1), None, 9).await.unwrap(), []);
}

/// Counts the accesses that write.
#[derive(Default)]
struct CountWrites(AtomicUsize);

#[async_trait]
impl Interceptor for CountWrites {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let writes = matches!(
            access,
            Access::SwapToken(..)
                | Access::SwapRow(..)
                | Access::AppendOnce(..)
                | Access::PutState(..)
                | Access::Reseal(..)
                | Access::Write(_)
        );
        self.0.fetch_add(usize::from(writes), Ordering::SeqCst);
        Passage::Forward
    }
}

#[tokio::test]
async fn a_sweep_writes_nothing_if_every_notice_was_given() {
    const CUSTOMERS: usize = 5;
    let stage = Stage::new();
    for customer in 0..CUSTOMERS {
        stage.connect(&format!("customer-{customer}"), "one-shop").await.unwrap();
    }
    announce(&stage, &stage.host, BEGIN + 20 * DAY, BEGIN + 5).await;
    let counter = Arc::new(CountWrites::default());
    stage.intercept(Arc::clone(&counter) as Arc<_>);
    // No token is due in these sweeps. Only the notice for 30 days is due, once for each customer.
    for (now, notices) in [(BEGIN, CUSTOMERS), (BEGIN, 0), (BEGIN + 60, 0)] {
        assert_eq!(sweep(&stage.host, now).await, Swept { notices: notices as u64, ..Swept::default() });
        assert_eq!(counter.0.swap(0, Ordering::SeqCst), notices, "one write for each notice");
    }
    let another = stage.another_host();
    assert_eq!(sweep(&another, BEGIN + 120).await, Swept::default());
    assert_eq!(counter.0.load(Ordering::SeqCst), 0, "another host writes nothing either");
}

#[tokio::test]
async fn racing_hosts_record_every_event_once() {
    let stage = Stage::new();
    let hosts = hosts(&stage);
    stage.connect("alice", "one-shop").await.unwrap();
    let end = BEGIN + 20 * DAY;
    let effects = join_all(hosts.iter().map(|host| announce(&stage, host, end, BEGIN + 5))).await;
    assert_eq!(effects, [WebhookEffect::AuthorizationEnding; HOSTS]);
    let swept = join_all(hosts.iter().map(|host| sweep(host, BEGIN))).await;
    assert_eq!(swept.iter().map(|swept| swept.notices).sum::<u64>(), 1);

    // The grant is revoked, and every host finds this out by itself.
    stage.fake.revoke("one-shop").unwrap();
    stage.advance(8 * DAY);
    let (ours, alice) = (tenant(0), customer_id("alice"));
    for _ in 0..2 {
        join_all(hosts.iter().map(|host| host.refresh(&ours, &alice, None, RefreshMode::WhenDue))).await;
    }
    let status = stage.connection("alice").await.status;
    let revoked = ReauthorizationReason::AuthorizationRevoked;
    assert_eq!(status, ConnectionStatus::ReauthorizationRequired(revoked));
    join_all(hosts.iter().map(|_| disconnect_alice(&stage))).await;

    let ends = UnixSeconds(end);
    let expected = [
        EventKind::Connected,
        EventKind::AuthorizationEnding { ends },
        EventKind::Notice { days: 30, ends },
        EventKind::ReauthorizationRequired(revoked),
        EventKind::Disconnected,
    ];
    assert_eq!(kinds(&stage).await, expected);
}

#[tokio::test]
async fn a_restarted_host_repeats_no_event() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let end = UnixSeconds(BEGIN + 6 * DAY);
    for host in hosts(&stage) {
        announce(&stage, &host, end.0, BEGIN + 5).await;
        sweep(&host, BEGIN).await;
        host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await.unwrap();
    }
    // The authorization ends in 6 days, so the expiry notice of 7 days is recorded. The expiry notice of 30 days is
    // skipped, because it would add nothing.
    let expected =
        [EventKind::Connected, EventKind::AuthorizationEnding { ends: end }, EventKind::Notice { days: 7, ends: end }];
    assert_eq!(kinds(&stage).await, expected);
}

#[tokio::test]
async fn a_new_consent_has_its_own_notices() {
    let stage = Stage::new();
    for day in [0, 1] {
        let now = BEGIN + day * DAY;
        stage.advance(now - stage.fake.now());
        stage.connect("alice", "one-shop").await.unwrap();
        announce(&stage, &stage.host, now + 5 * DAY, now + 5).await;
        assert_eq!(sweep(&stage.host, now).await.notices, 1);
        assert_eq!(sweep(&stage.host, now).await.notices, 0);
    }
}

#[tokio::test]
async fn a_connection_whose_grant_was_revoked_gets_no_notice() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    announce(&stage, &stage.host, BEGIN + 20 * DAY, BEGIN + 5).await;
    stage.fake.revoke("one-shop").unwrap();
    stage.refresh("alice", RefreshMode::Forced).await.unwrap_err();
    assert_eq!(sweep(&stage.host, BEGIN).await.notices, 0);
}

#[tokio::test]
async fn a_stopped_sweep_records_no_further_notice() {
    let stage = Stage::in_memory();
    for customer in ["alice", "bob"] {
        stage.connect(customer, "one-shop").await.unwrap();
    }
    announce(&stage, &stage.host, BEGIN + 20 * DAY, BEGIN + 5).await;
    let ours = tenant(0);
    let first_notice = poll_fn(|_| {
        let recorded = stage.storage.events(&ours, None, usize::MAX).now_or_never().unwrap().unwrap();
        let is_notice = |event: &Event| matches!(event.event.kind, EventKind::Notice { .. });
        if recorded.iter().any(is_notice) { Poll::Ready(()) } else { Poll::Pending }
    });
    let swept = stage.host.sweep(sweep_at(BEGIN, 1), first_notice, |_, _| ()).await.unwrap();
    assert_eq!(swept, Swept { notices: 1, stopped: true, ..Swept::default() });
    assert_eq!(sweep(&stage.host, BEGIN).await.notices, 1);
}
