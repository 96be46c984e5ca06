//! Events and notices: each transition of a connection once, in order, however many hosts, repetitions and restarts.

use std::future::{pending, poll_fn};
use std::num::NonZeroUsize;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use tiktok_shop_host::ConnectorHost;
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, UnixSeconds};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::events::{Event, EventKind};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::sweep::{Sweep, Swept};
use tiktok_shop_host::webhook::WebhookEffect;
use tiktok_shop_tests::{BEGIN, DAY, Stage, customer_id, refusal, tenant};

use crate::webhook_entry::{ends, signature};

const HOSTS: usize = 3;

async fn events(stage: &Stage) -> Vec<Event> {
    stage.storage.events(&tenant(0), None, usize::MAX).await.unwrap()
}

async fn kinds(stage: &Stage) -> Vec<EventKind> {
    events(stage).await.into_iter().map(|event| event.event.kind).collect()
}

/// TikTok announces to one of the hosts that the authorization of `one-shop` ends.
async fn announce(stage: &Stage, host: &ConnectorHost, at: u64, occurred: u64) -> WebhookEffect {
    let body = ends("7600000000000000007", at, occurred);
    let authorization = signature(stage, 0, &body);
    host.receive_webhook(&tenant(0), &authorization, body.into()).await.unwrap().effect
}

async fn sweep(host: &ConnectorHost, now: u64) -> Swept {
    let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(UnixSeconds(now), NonZeroUsize::MIN) };
    host.sweep(sweep, pending(), |_, _| ()).await.unwrap()
}

fn hosts(stage: &Stage) -> Vec<ConnectorHost> {
    (0..HOSTS).map(|_| stage.host_builder().build().unwrap()).collect()
}

fn disconnect_alice(stage: &Stage) -> impl Future<Output = ()> {
    let (host, target) = (stage.host.clone(), DisconnectTarget::All(None));
    async move {
        host.disconnect(&tenant(0), &customer_id("alice"), target, RemoteGrant::Keep).await.unwrap();
    }
}

#[tokio::test]
async fn the_life_of_a_connection_is_told_in_order() {
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
    // Renewed in time.
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

    let told = events(&stage).await;
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
    let found: Vec<_> = told.iter().map(|event| (event.event.at.0, event.event.kind)).collect();
    assert_eq!(found, expected);
    assert!(told.iter().all(|event| event.event.key.customer == customer_id("alice")));

    let (mut read, mut after) = (Vec::new(), None);
    while let Some(event) = stage.storage.events(&tenant(0), after, 1).await.unwrap().pop() {
        after = Some(event.position);
        read.push(event);
    }
    assert_eq!(read, told);
    assert_eq!(stage.storage.events(&tenant(1), None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn hosts_that_race_tell_everything_once() {
    let stage = Stage::new();
    let hosts = hosts(&stage);
    stage.connect("alice", "one-shop").await.unwrap();
    let end = BEGIN + 20 * DAY;
    let effects = join_all(hosts.iter().map(|host| announce(&stage, host, end, BEGIN + 5))).await;
    assert_eq!(effects, [WebhookEffect::AuthorizationEnding; HOSTS]);
    let swept = join_all(hosts.iter().map(|host| sweep(host, BEGIN))).await;
    assert_eq!(swept.iter().map(|swept| swept.notices).sum::<u64>(), 1);

    // The grant dies, and every host finds that out in its own time.
    stage.fake.revoke("one-shop").unwrap();
    stage.advance(8 * DAY);
    let (ours, alice) = (tenant(0), customer_id("alice"));
    for _ in 0..2 {
        join_all(hosts.iter().map(|host| host.refresh(&ours, &alice, None, RefreshMode::WhenDue))).await;
    }
    let listed = stage.host.list_connections(&tenant(0), &alice).await.unwrap();
    let revoked = ReauthorizationReason::AuthorizationRevoked;
    assert_eq!(listed[0].status, ConnectionStatus::ReauthorizationRequired(revoked));
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
async fn a_restarted_host_repeats_nothing() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let end = UnixSeconds(BEGIN + 6 * DAY);
    for host in hosts(&stage) {
        announce(&stage, &host, end.0, BEGIN + 5).await;
        sweep(&host, BEGIN).await;
        host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await.unwrap();
    }
    // The tightest threshold alone: who hears of a week needs not hear of a month.
    let expected =
        [EventKind::Connected, EventKind::AuthorizationEnding { ends: end }, EventKind::Notice { days: 7, ends: end }];
    assert_eq!(kinds(&stage).await, expected);
}

#[tokio::test]
async fn a_new_consent_has_notices_of_its_own() {
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
async fn a_dead_connection_has_no_notice() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    announce(&stage, &stage.host, BEGIN + 20 * DAY, BEGIN + 5).await;
    stage.fake.revoke("one-shop").unwrap();
    stage.refresh("alice", RefreshMode::Forced).await.unwrap_err();
    assert_eq!(sweep(&stage.host, BEGIN).await.notices, 0);
}

#[tokio::test]
async fn a_sweep_that_is_told_to_stop_gives_no_further_notice() {
    let stage = Stage::in_memory();
    for customer in ["alice", "bob"] {
        stage.connect(customer, "one-shop").await.unwrap();
    }
    announce(&stage, &stage.host, BEGIN + 20 * DAY, BEGIN + 5).await;
    let ours = tenant(0);
    let once_there_is_a_notice = poll_fn(|_| {
        let told = stage.storage.events(&ours, None, usize::MAX).now_or_never().unwrap().unwrap();
        let is_notice = |event: &Event| matches!(event.event.kind, EventKind::Notice { .. });
        if told.iter().any(is_notice) { Poll::Ready(()) } else { Poll::Pending }
    });
    let now = Sweep { jitter: Duration::ZERO, ..Sweep::new(UnixSeconds(BEGIN), NonZeroUsize::MIN) };
    let swept = stage.host.sweep(now, once_there_is_a_notice, |_, _| ()).await.unwrap();
    assert_eq!(swept, Swept { notices: 1, stopped: true, ..Swept::default() });
    assert_eq!(sweep(&stage.host, BEGIN).await.notices, 1);
}
