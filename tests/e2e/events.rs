//! Tests of the events of connections. Every change of a connection is recorded once and in order, even if several
//! hosts make calls, calls are repeated, or a host restarts. A sweep also records expiry notices: 30 days, 7 days and 1
//! day before an authorization ends. Every access token that a caller gets is recorded, too. Every event names its
//! call, and the actor and the reason if the host knows them.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use fake_tiktok_shop::Decision;
use futures::FutureExt as _;
use futures::future::join_all;
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, ShopPolicy, UnixSeconds};
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::events::{Actor, Event, EventKind, NewEvent, Origin};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::{HostStorage, StorageError};
use tiktok_shop_host::sweep::Swept;
use tiktok_shop_host::webhook::WebhookEffect;
use tiktok_shop_host::{CallError, ConnectorHost, ShopId};
use tiktok_shop_tests::{
    Access, BEGIN, DAY, Interceptor, Passage, Stage, TOKEN_REFRESH, app_credentials, customer_id, grant, order_search,
    refusal, sweep_at, tenant,
};

use crate::webhook_entry::{ending_notice, signature};

const HOSTS: usize = 3;

async fn events(stage: &Stage) -> Vec<Event> {
    stage.storage.events(&tenant(0), None, usize::MAX).await.unwrap()
}

/// Returns the event which says that the only shop of the seller `one-shop` was linked. It is recorded when the
/// connection begins.
fn linked() -> EventKind {
    EventKind::ShopsLinked { shops: shops(&["7490000000000000001"]) }
}

/// Returns the event which says that the customer can no longer use the only shop of the seller `one-shop`.
fn lost() -> EventKind {
    EventKind::ShopsLost { shops: shops(&["7490000000000000001"]) }
}

fn shops(ids: &[&str]) -> Vec<ShopId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

async fn kinds(stage: &Stage) -> Vec<EventKind> {
    events(stage).await.into_iter().map(|event| event.event.kind).collect()
}

/// Delivers a webhook of type 7 to this host. In the webhook, TikTok announces at the time `occurred` that the
/// authorization of the seller `one-shop` ends at the time `at`.
async fn announce(stage: &Stage, host: &ConnectorHost, at: u64, occurred: u64) -> WebhookEffect {
    let body = ending_notice("7600000000000000007", at, occurred);
    let authorization = signature(stage, 0, &body);
    host.receive_webhook(&tenant(0), None, &authorization, body.into()).await.unwrap().effect
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
    use EventKind::{
        AuthorizationEnding, Connected, ConsentRenewed, Disconnected, Notice, ReauthorizationRequired, Recovered,
        RefreshForced, ShopsRegained,
    };

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
        (BEGIN, linked()),
        (BEGIN + 60, AuthorizationEnding { ends: end }),
        (BEGIN + 10 * DAY, Notice { days: 30, ends: end }),
        (BEGIN + 33 * DAY, Notice { days: 7, ends: end }),
        (BEGIN + 39 * DAY, Notice { days: 1, ends: end }),
        (BEGIN + 39 * DAY, ConsentRenewed),
        (BEGIN + 39 * DAY, Recovered),
        (BEGIN + 47 * DAY, RefreshForced),
        (BEGIN + 47 * DAY, ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked)),
        (BEGIN + 47 * DAY, lost()),
        (BEGIN + 55 * DAY, RefreshForced),
        (BEGIN + 63 * DAY, RefreshForced),
        (BEGIN + 63 * DAY, ConsentRenewed),
        (BEGIN + 63 * DAY, Recovered),
        (BEGIN + 63 * DAY, ShopsRegained { shops: shops(&["7490000000000000001"]) }),
        (BEGIN + 63 * DAY, Disconnected),
    ];
    let found: Vec<_> = recorded.iter().map(|event| (event.event.at.0, event.event.kind.clone())).collect();
    assert_eq!(found, expected);
    let is_alice = |event: &Event| event.event.key.as_ref().is_some_and(|key| key.customer == customer_id("alice"));
    assert!(recorded.iter().all(is_alice));

    let (mut read, mut after) = (Vec::new(), None);
    while let Some(event) = stage.storage.events(&tenant(0), after, 1).await.unwrap().pop() {
        after = Some(event.position);
        read.push(event);
    }
    assert_eq!(read, recorded, "read one by one");
    assert_eq!(stage.storage.events(&tenant(1), None, 9).await.unwrap(), []);
}

/// Counts the accesses that write, without the deletion at the end of each sweep.
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
                | Access::PutInstall(..)
                | Access::Reseal(..)
        ) || matches!(access, Access::Write(name) if name != "delete_expired");
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
        linked(),
        EventKind::AuthorizationEnding { ends },
        EventKind::Notice { days: 30, ends },
        EventKind::ReauthorizationRequired(revoked),
        lost(),
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
    let ending = [EventKind::AuthorizationEnding { ends: end }, EventKind::Notice { days: 7, ends: end }];
    assert_eq!(kinds(&stage).await, [[EventKind::Connected, linked()], ending].concat());
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

/// What alice does after a sweep has found that a notice is due. The sweep has not written the notice yet.
#[derive(Clone, Copy)]
enum Meanwhile {
    Disconnect,
    Consent,
}

struct BeforeNotice {
    meanwhile: Meanwhile,
    host: ConnectorHost,
    callback: String,
}

#[async_trait]
impl Interceptor for BeforeNotice {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if matches!(access, Access::AppendOnce(..)) {
            let (ours, alice) = (tenant(0), customer_id("alice"));
            match self.meanwhile {
                Meanwhile::Disconnect => {
                    let all = DisconnectTarget::All(None);
                    self.host.disconnect(&ours, &alice, all, RemoteGrant::Keep).await.unwrap();
                }
                Meanwhile::Consent => {
                    self.host.connect(&ours, &alice, None, grant(&self.callback), ShopPolicy::All).await.unwrap();
                }
            }
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn a_connection_that_ends_during_a_sweep_gets_no_notice() {
    for meanwhile in [Meanwhile::Disconnect, Meanwhile::Consent] {
        let stage = Stage::new();
        stage.connect("alice", "one-shop").await.unwrap();
        announce(&stage, &stage.host, BEGIN + 20 * DAY, BEGIN + 5).await;
        stage.advance(60);
        let callback = stage.callback("one-shop", Decision::Allow);
        stage.intercept(Arc::new(BeforeNotice { meanwhile, host: stage.another_host(), callback }));
        assert_eq!(sweep(&stage.host, BEGIN + 60).await.notices, 0);
        let last = match meanwhile {
            Meanwhile::Disconnect => vec![EventKind::Disconnected],
            // The new authorization ends later, so the connection recovers.
            Meanwhile::Consent => vec![EventKind::ConsentRenewed, EventKind::Recovered],
        };
        let ending = EventKind::AuthorizationEnding { ends: UnixSeconds(BEGIN + 20 * DAY) };
        assert_eq!(kinds(&stage).await, [vec![EventKind::Connected, linked(), ending], last].concat());
    }
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

/// Returns the kind of every event, and the actor, the call and the reason that the event names.
async fn origins(stage: &Stage) -> Vec<(EventKind, Option<String>, &'static str, Option<String>)> {
    let line = |NewEvent { kind, origin: Origin { actor, stated_reason, cause }, .. }| {
        (kind, actor.map(String::from), cause.unwrap().as_str(), stated_reason.map(String::from))
    };
    events(stage).await.into_iter().map(|event| line(event.event)).collect()
}

#[tokio::test]
async fn every_event_names_its_actor_its_call_and_its_reason() {
    use EventKind::{
        AuthorizationEnding, Connected, ConsentRenewed, Disconnected, Notice, Recovered, RefreshForced, ShopsLinked,
        ShopsUnlinked, TokenShown,
    };

    const DE: &str = "7490000000000000002";
    const FR: &str = "7490000000000000003";
    const IE: &str = "7490000000000000004";
    let stage = Stage::new();
    let (ours, alice) = (tenant(0), customer_id("alice"));
    let ana = stage.host.acting_as("ana@platform.example".parse().unwrap());
    let ben = ana.acting_as("ben".parse().unwrap()).because("case 4711".parse().unwrap());
    let connect = async |host: &ConnectorHost| {
        let query = stage.callback("several-regions", Decision::Allow);
        host.connect(&ours, &alice, None, grant(&query), ShopPolicy::All).await.unwrap()
    };
    connect(&ana).await;
    ana.link_shops(&ours, &alice, None, &shops(&[FR])).await.unwrap();
    ben.link_shops(&ours, &alice, None, &shops(&[FR, IE])).await.unwrap();
    // This call changes no link, so it causes no event.
    ben.link_shops(&ours, &alice, None, &shops(&[IE, FR])).await.unwrap();
    ben.refresh(&ours, &alice, None, RefreshMode::Forced).await.unwrap();
    ana.refresh(&ours, &alice, None, RefreshMode::WhenDue).await.unwrap();
    ben.access_token(&ours, &alice, None, Duration::from_secs(60)).await.unwrap();
    ana.access_token(&ours, &alice, None, Duration::from_secs(60)).await.unwrap();
    // A call and a list cause no event.
    ben.call(&ours, &alice, order_search(&FR.parse().unwrap())).await.unwrap();
    ben.list_shops(&ours, &alice).await.unwrap();
    ben.list_connections(&ours, &alice).await.unwrap();
    // The platform itself receives the webhook, so its event has no actor. The sweep then gives a notice of the
    // announced end.
    let ends = UnixSeconds(BEGIN + 20 * DAY);
    let body = ending_notice("7600000000000000007", ends.0, BEGIN + 5).replace("7490000000000000001", FR);
    stage.host.receive_webhook(&ours, None, &signature(&stage, 0, &body), body.into()).await.unwrap();
    sweep(&ana, BEGIN).await;
    connect(&ana).await;
    ben.disconnect(&ours, &alice, DisconnectTarget::Shop(FR.parse().unwrap()), RemoteGrant::Keep).await.unwrap();
    ana.disconnect(&ours, &alice, DisconnectTarget::All(None), RemoteGrant::Keep).await.unwrap();

    let by_ana = |kind, cause| (kind, Some("ana@platform.example".to_owned()), cause, None);
    let by_ben = |kind, cause| (kind, Some("ben".to_owned()), cause, Some("case 4711".to_owned()));
    let expected = [
        by_ana(Connected, "connect"),
        by_ana(ShopsLinked { shops: shops(&[DE, FR, IE]) }, "connect"),
        by_ana(ShopsUnlinked { shops: shops(&[DE, IE]) }, "link-shops"),
        by_ben(ShopsLinked { shops: shops(&[IE]) }, "link-shops"),
        by_ben(RefreshForced, "refresh"),
        by_ben(TokenShown, "access-token"),
        by_ana(TokenShown, "access-token"),
        (AuthorizationEnding { ends }, None, "webhook", None),
        by_ana(Notice { days: 30, ends }, "sweep"),
        by_ana(ConsentRenewed, "connect"),
        by_ana(Recovered, "connect"),
        by_ben(ShopsUnlinked { shops: shops(&[FR]) }, "disconnect"),
        by_ana(Disconnected, "disconnect"),
    ];
    assert_eq!(origins(&stage).await, expected);
}

/// If TikTok lists another shop later, a sweep links the shop by the connection's policy. The event of this link has no
/// actor.
#[tokio::test]
async fn a_shop_that_is_linked_by_the_policy_is_recorded() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let updated = stage.fake.update_seller("one-shop", |seller| {
        let mut second = seller.shops[0].clone();
        second.id = "7490000000000000099".to_owned();
        seller.shops.push(second);
    });
    updated.unwrap();
    stage.advance(7 * DAY);
    sweep(&stage.host, stage.fake.now()).await;
    let second = EventKind::ShopsLinked { shops: shops(&["7490000000000000099"]) };
    let expected = [
        (EventKind::Connected, None, "connect", None),
        (linked(), None, "connect", None),
        (second, None, "sweep", None),
    ];
    assert_eq!(origins(&stage).await, expected);
}

/// Two of the seller's three shops are linked to the customer. The seller removes the shop that is not linked, then one
/// of the linked shops, and later consents again.
#[tokio::test]
async fn a_shop_that_a_customer_loses_and_gets_back_is_recorded_with_its_call() {
    const FR: &str = "7490000000000000003";
    const IE: &str = "7490000000000000004";
    let stage = Stage::new();
    stage.connect("alice", "several-regions").await.unwrap();
    let (ours, alice) = (tenant(0), customer_id("alice"));
    stage.host.link_shops(&ours, &alice, None, &shops(&[FR, IE])).await.unwrap();
    let before = events(&stage).await.len();
    let service_id = stage.fake.apps()[0].service_id.clone();
    // The first of these shops is not linked to customer alice, so its loss causes no event.
    for shop in ["7490000000000000002", FR] {
        stage.fake.deauthorize_shop(&service_id, "several-regions", shop).unwrap();
        stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    }
    stage.connect("alice", "several-regions").await.unwrap();
    let expected = [
        (EventKind::ShopsLost { shops: shops(&[FR]) }, None, "refresh", None),
        (EventKind::ConsentRenewed, None, "connect", None),
        (EventKind::ShopsRegained { shops: shops(&[FR]) }, None, "connect", None),
    ];
    let recorded: Vec<_> = origins(&stage).await.into_iter().skip(before).collect();
    // The consent also links the first shop again, because the policy of the consent links all shops.
    let (relinked, rest): (Vec<_>, Vec<_>) =
        recorded.into_iter().partition(|(kind, ..)| matches!(kind, EventKind::ShopsLinked { .. }));
    assert_eq!(rest, expected);
    assert_eq!(relinked.len(), 1);
}

/// If another call makes a forced refresh impossible, the forced refresh changes nothing, so it causes no event.
#[tokio::test]
async fn racing_forced_refreshes_that_change_nothing_cause_no_event() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let hosts = hosts(&stage);
    let (ours, alice) = (tenant(0), customer_id("alice"));
    join_all(hosts.iter().map(|host| host.refresh(&ours, &alice, None, RefreshMode::Forced))).await;
    let renewals = stage.requests_to(TOKEN_REFRESH);
    let forced = kinds(&stage).await.into_iter().filter(|kind| *kind == EventKind::RefreshForced).count();
    assert!((1..=HOSTS).contains(&renewals), "{renewals}");
    assert_eq!(forced, renewals);
}

#[tokio::test]
async fn a_forced_refresh_that_sends_nothing_causes_no_event() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.clear_requests();
    let mut app = app_credentials(&stage.fake.apps()[0]);
    app.app_key = "another-app".to_owned();
    let host = stage.host_with(StaticCredentials::new().with(tenant(0), app));
    let refused = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::Forced).await;
    assert_eq!(refusal(refused), ("misconfigured", "app-unknown".to_owned()));
    assert!(stage.connection("alice").await.last_failure.is_some(), "the row shows the failure");
    assert_eq!((stage.fake.requests(), kinds(&stage).await), (vec![], vec![EventKind::Connected, linked()]));
}

/// Lets writes of events fail or lose their answers.
struct EventWrites {
    /// The number of writes that lose their answer. Later writes succeed.
    lost: AtomicUsize,
    /// Whether every write is refused.
    refused: bool,
}

#[async_trait]
impl Interceptor for EventWrites {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let Access::AppendOnce(..) = access else { return Passage::Forward };
        if self.refused {
            return Passage::Fail(StorageError::Refused("out of space".to_owned()));
        }
        let lost = self.lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |lost| lost.checked_sub(1));
        if lost.is_ok() { Passage::LoseAnswer } else { Passage::Forward }
    }
}

#[tokio::test]
async fn no_token_is_shown_without_its_event() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let before = kinds(&stage).await;
    stage.intercept(Arc::new(EventWrites { lost: AtomicUsize::new(0), refused: true }));
    let (ours, alice) = (tenant(0), customer_id("alice"));
    let ask = || stage.host.access_token(&ours, &alice, None, Duration::from_secs(60));
    let error = ask().await.unwrap_err();
    let why = StorageError::Refused("out of space".to_owned());
    assert_eq!(error, CallError::NotRecorded { plugin: stage.host.plugin().clone(), why });
    assert_eq!(error.code(), "event-not-stored");
    assert_eq!(kinds(&stage).await, before);
    // `call` shows no token to its caller, so it works even if no event can be stored.
    let shop = stage.connection("alice").await.shops[0].id.clone();
    assert!(stage.host.call(&ours, &alice, order_search(&shop)).await.unwrap().is_success());

    // Two answers of the storage are lost. The host repeats the write, and the event is stored once.
    stage.intercept(Arc::new(EventWrites { lost: AtomicUsize::new(2), refused: false }));
    ask().await.unwrap();
    assert_eq!(kinds(&stage).await, [before, vec![EventKind::TokenShown]].concat());
}

#[tokio::test]
async fn each_of_many_concurrent_uses_of_a_token_has_its_own_event() {
    const USES: usize = 24;
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let hosts = hosts(&stage);
    let (ours, alice) = (tenant(0), customer_id("alice"));
    let shown = join_all((0..USES).map(|number| {
        let actor: Actor = format!("user {number}").parse().unwrap();
        let host = hosts[number % HOSTS].acting_as(actor);
        let (ours, alice) = (ours.clone(), alice.clone());
        async move { host.access_token(&ours, &alice, None, Duration::from_secs(60)).await.unwrap() }
    }));
    assert_eq!(shown.await.len(), USES);
    let recorded = origins(&stage).await.into_iter().filter(|(kind, ..)| *kind == EventKind::TokenShown);
    let mut actors: Vec<_> = recorded.map(|(_, actor, ..)| actor.unwrap()).collect();
    actors.sort();
    let mut expected: Vec<_> = (0..USES).map(|number| format!("user {number}")).collect();
    expected.sort();
    assert_eq!(actors, expected);
}
