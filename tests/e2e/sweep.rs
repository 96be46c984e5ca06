//! Tests of the host library's sweep. A sweep refreshes every due connection once. An account that fails does not delay
//! the other accounts.

use std::collections::BTreeSet;
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fake_tiktok_shop::Fault;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider, StaticCredentials};
use tiktok_shop_host::deadlines::Deadlines;
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::sweep::{AccessTokenState, PassedOver, PassedOverReason, Sweep, SweepOutcome, Swept};
use tiktok_shop_host::{ConnectorHost, TenantId};
use tiktok_shop_tests::{
    Access, BEGIN, DAY, Interceptor, Passage, SHOPS, Stage, TOKEN_REFRESH, app_credentials, sweep_at, tenant,
};

const SELLERS: [&str; 2] = ["one-shop", "several-regions"];
const CUSTOMERS: usize = 10;

/// Connects [`CUSTOMERS`] customers, and moves the clocks until all of their connections are due.
async fn due_stage() -> Stage {
    let stage = Stage::new();
    for customer in 0..CUSTOMERS {
        stage.connect(&format!("customer-{customer}"), SELLERS[customer % 2]).await.unwrap();
    }
    stage.clear_requests();
    stage.advance(8 * DAY);
    stage
}

/// Returns a sweep at the time to which [`due_stage`] has moved the clocks.
fn sweep(concurrency: usize) -> Sweep {
    sweep_at(BEGIN + 8 * DAY, concurrency)
}

#[tokio::test]
async fn every_due_connection_is_refreshed_once() {
    for concurrency in [1, 3, 100] {
        let stage = due_stage().await;
        let mut seen = Vec::new();
        let swept = stage.host.sweep(sweep(concurrency), pending(), |due, _| seen.push(due.clone())).await.unwrap();
        assert_eq!(swept, Swept { refreshed: 10, ..Swept::default() });
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), stage.requests_to(TOKEN_REFRESH)), (CUSTOMERS, CUSTOMERS));
        let again = stage.host.sweep(sweep(concurrency), pending(), |_, _| ()).await.unwrap();
        assert_eq!(again, Swept::default(), "no connection is due any more");
    }
}

#[tokio::test]
async fn two_hosts_that_sweep_at_the_same_time_refresh_each_connection_once() {
    let stage = due_stage().await;
    let other = stage.another_host();
    let (one, two) =
        tokio::join!(stage.host.sweep(sweep(4), pending(), |_, _| ()), other.sweep(sweep(4), pending(), |_, _| ()),);
    assert_eq!(stage.requests_to(TOKEN_REFRESH), CUSTOMERS);
    let (one, two) = (one.unwrap(), two.unwrap());
    // If a host finds a claim of the other host on a connection, it sends nothing, and counts the connection as `held`.
    // If the other host has already refreshed a connection, the host counts it as `no_longer_due`.
    let all = [one, two].map(|swept| swept.refreshed + swept.held + swept.no_longer_due);
    assert!(one.refreshed + two.refreshed >= 10 && all.iter().all(|count| *count <= 10), "{one} and {two}");
    for customer in 0..CUSTOMERS {
        let connection = stage.connection(&format!("customer-{customer}")).await;
        assert_eq!(connection.refreshed_at, UnixSeconds(BEGIN + 8 * DAY));
    }
}

/// An interceptor that lets another host refresh all connections. The other host does this after the sweep has listed
/// the due connections, and before the sweep refreshes the first of them.
struct AnotherHostIsFaster {
    other: ConnectorHost,
    /// How often a list of due connections was read.
    lists: AtomicUsize,
}

#[async_trait]
impl Interceptor for AnotherHostIsFaster {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "due" && self.lists.fetch_add(1, Ordering::SeqCst) == 1 {
            let swept = self.other.sweep(sweep(1), pending(), |_, _| ()).await.unwrap();
            assert_eq!(swept.refreshed, CUSTOMERS as u64);
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn a_sweep_skips_connections_that_another_host_has_refreshed_meanwhile() {
    let stage = due_stage().await;
    let other = stage.another_host();
    stage.intercept(Arc::new(AnotherHostIsFaster { other, lists: AtomicUsize::new(0) }));
    let (mut customers, mut outcomes) = (BTreeSet::new(), Vec::new());
    let swept = stage
        .host
        .sweep(sweep(1), pending(), |due, outcome| {
            customers.insert(due.key.customer.clone());
            outcomes.push(outcome.clone());
        })
        .await
        .unwrap();
    assert_eq!(swept, Swept { no_longer_due: 10, ..Swept::default() });
    assert_eq!((customers.len(), outcomes), (CUSTOMERS, vec![SweepOutcome::NoLongerDue; CUSTOMERS]));
    assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(SHOPS)), (CUSTOMERS, CUSTOMERS));
}

/// An interceptor that lets another host disconnect the customer whose token record a sweep loads first.
struct DisconnectsTheFirst {
    other: ConnectorHost,
    is_done: AtomicBool,
}

#[async_trait]
impl Interceptor for DisconnectsTheFirst {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if let Access::LoadToken(tenant, key) = access
            && !self.is_done.swap(true, Ordering::SeqCst)
        {
            let target = DisconnectTarget::All(None);
            self.other.disconnect(tenant, &key.customer, target, RemoteGrant::Keep).await.unwrap();
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn a_connection_that_is_disconnected_during_a_sweep_is_counted_once_and_is_no_failure() {
    let stage = due_stage().await;
    let other = stage.another_host();
    stage.intercept(Arc::new(DisconnectsTheFirst { other, is_done: AtomicBool::new(false) }));
    let mut seen = BTreeSet::new();
    let swept = stage
        .host
        .sweep(sweep(1), pending(), |due, _| assert!(seen.insert(due.key.clone()), "{due:?} was reported before"))
        .await
        .unwrap();
    assert_eq!(swept, Swept { refreshed: 9, no_longer_due: 1, ..Swept::default() });
    assert_eq!((seen.len(), stage.requests_to(TOKEN_REFRESH)), (CUSTOMERS, CUSTOMERS - 1));
}

#[tokio::test]
async fn a_refresh_that_gets_no_answer_does_not_delay_the_other_connections() {
    let stage = due_stage().await;
    stage.fake.fault_next(TOKEN_REFRESH, "no first byte", Fault::named("no first byte").unwrap());
    let deadlines = Deadlines { first_byte: Duration::from_millis(500), ..Deadlines::default() };
    let host = stage.host_builder().deadlines(deadlines).build().unwrap();
    let swept = host.sweep(sweep(2), pending(), |_, _| ()).await.unwrap();
    assert_eq!(swept, Swept { refreshed: 9, failed: 1, ..Swept::default() });
    assert_eq!(stage.requests_to(TOKEN_REFRESH), CUSTOMERS);
    // The refresh that got no answer has left a claim in the token record. The claim says that one caller is sending
    // the refresh token now. The connection is not due before the claim expires. Its access token has already expired.
    let mut passed_over = Vec::new();
    let swept = host.sweep(sweep(2), pending(), |_, outcome| passed_over.push(outcome.clone())).await.unwrap();
    assert_eq!(swept, Swept { held: 1, unusable: 1, ..Swept::default() });
    let [SweepOutcome::PassedOver(PassedOver { reason, until, access_token, error })] = &*passed_over else {
        panic!("{passed_over:?}")
    };
    assert_eq!((*reason, *access_token), (PassedOverReason::Held, AccessTokenState::Unusable));
    assert_eq!((*until, error.failure().code.as_str()), (UnixSeconds(BEGIN + 8 * DAY + 120), "refresh-in-progress"));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), CUSTOMERS);
    stage.advance(121);
    let later = Sweep { now: UnixSeconds(BEGIN + 8 * DAY + 121), ..sweep(2) };
    assert_eq!(host.sweep(later, pending(), |_, _| ()).await.unwrap().refreshed, 1);
}

#[tokio::test]
async fn a_sweep_tries_a_connection_that_stays_due_only_once() {
    let stage = due_stage().await;
    let mut app = app_credentials(&stage.fake.apps()[0]);
    app.app_key = "another-app".to_owned();
    let host = stage.host_with(StaticCredentials::new().with(tenant(0), app));
    let swept = host.sweep(sweep(3), pending(), |_, _| ()).await.unwrap();
    assert_eq!(swept, Swept { failed: 10, ..Swept::default() });
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0);
}

/// A source of credentials that fails the first times, and then names this app. It counts the requests.
struct FailsFirst {
    left: AtomicUsize,
    asked: AtomicUsize,
    app: AppCredentials,
}

#[async_trait]
impl CredentialsProvider for FailsFirst {
    async fn apps(&self, _: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let less = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Err(CredentialsError::Unavailable("the vault is sealed".to_owned())),
            Err(_) => Ok(vec![self.app.clone()]),
        }
    }
}

#[tokio::test]
async fn a_sweep_gives_up_a_tenant_whose_credentials_fail_three_times() {
    for (failures, asked, swept) in [
        (usize::MAX, 3, Swept { failed: 10, ..Swept::default() }),
        (2, 10, Swept { failed: 2, refreshed: 8, ..Swept::default() }),
    ] {
        let stage = due_stage().await;
        let app = app_credentials(&stage.fake.apps()[0]);
        let provider = Arc::new(FailsFirst { left: failures.into(), asked: 0.into(), app });
        let host = stage.host_builder().credentials(Arc::clone(&provider) as Arc<_>).build().unwrap();
        let mut seen = BTreeSet::new();
        let result =
            host.sweep(sweep(1), pending(), |due, _| assert!(seen.insert(due.clone()), "one outcome each")).await;
        assert_eq!((result.unwrap(), seen.len()), (swept, CUSTOMERS), "{failures}");
        assert_eq!(provider.asked.load(Ordering::SeqCst), asked, "{failures}");
    }
}

#[tokio::test]
async fn a_stopped_sweep_finishes_the_refreshes_that_have_begun() {
    let stage = due_stage().await;
    let swept = stage.host.sweep(sweep(3), ready(()), |_, _| ()).await.unwrap();
    assert_eq!((swept.stopped, stage.requests_to(TOKEN_REFRESH)), (true, usize::try_from(swept.refreshed).unwrap()));
    assert!(swept.refreshed <= 3 && swept.refreshed + swept.left == 10, "{swept}");

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut stop = Some(stop);
    let swept = stage
        .host
        .sweep(sweep(2), async { stopped.await.unwrap() }, |_, _| {
            if let Some(stop) = stop.take() {
                stop.send(()).unwrap();
            }
        })
        .await
        .unwrap();
    assert!(swept.stopped && (1..=3).contains(&swept.refreshed), "{swept}");
    let rest = stage.host.sweep(sweep(2), pending(), |_, _| ()).await.unwrap();
    assert!(!rest.stopped && rest.refreshed > 0, "{rest}");
    assert_eq!(stage.requests_to(TOKEN_REFRESH), CUSTOMERS);
    assert!(stage.refresh("customer-0", RefreshMode::WhenDue).await.is_ok());
}

/// Returns a sweep at the current time of the stage's clocks.
fn sweep_now(stage: &Stage) -> Sweep {
    sweep_at(stage.fake.now(), 4)
}

#[tokio::test]
async fn connections_that_wait_after_a_failure_are_reported_with_the_end_of_their_pause() {
    let stage = Stage::new();
    stage.connect("customer-0", "one-shop").await.unwrap();
    stage.advance(6 * DAY + 3 * 3600);
    // After HTTP 429, it is certain that TikTok did not act. So the claim is removed, and a pause begins.
    let name = "HTTP 429, no Retry-After";
    stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap());
    let swept = stage.host.sweep(sweep_now(&stage), pending(), |_, _| ()).await.unwrap();
    assert_eq!(swept, Swept { failed: 1, ..Swept::default() }, "the second list does not count it again");

    for (days, unusable) in [(0, 0), (1, 1)] {
        // On the second pass, a refresh fails again, now after the access token has expired.
        if days == 1 {
            stage.advance(DAY);
            stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap());
            let swept = stage.host.sweep(sweep_now(&stage), pending(), |_, _| ()).await.unwrap();
            assert_eq!(swept, Swept { failed: 1, ..Swept::default() });
        }
        stage.clear_requests();
        let mut seen = Vec::new();
        let swept = stage
            .host
            .sweep(sweep_now(&stage), pending(), |due, outcome| seen.push((due.at, outcome.clone())))
            .await
            .unwrap();
        assert_eq!(swept, Swept { backing_off: 1, unusable, ..Swept::default() });
        let [(at, SweepOutcome::PassedOver(PassedOver { reason, until, error, .. }))] = &*seen else {
            panic!("{seen:?}")
        };
        assert_eq!(
            (*reason, until, matches!(error.action(), Action::RetryAfter(_))),
            (PassedOverReason::BackingOff, at, true)
        );
        assert!(*until > UnixSeconds(stage.fake.now()));
        assert_eq!(stage.fake.requests(), [], "a report sends nothing to TikTok");
    }
}

#[tokio::test]
async fn a_seller_who_has_revoked_is_an_outcome_and_no_failure() {
    let stage = due_stage().await;
    stage.fake.deauthorize(&stage.fake.apps()[0].service_id, "one-shop").unwrap();
    let mut codes = Vec::new();
    let swept = stage
        .host
        .sweep(sweep(3), pending(), |_, outcome| {
            if let SweepOutcome::Ended(error) = outcome {
                codes.push(error.failure().code.clone());
            }
        })
        .await
        .unwrap();
    assert_eq!(swept, Swept { refreshed: 5, ended: 5, ..Swept::default() });
    assert_eq!(codes, ["authorization-revoked"; 5]);
    let again = stage.host.sweep(sweep(3), pending(), |_, _| ()).await.unwrap();
    assert_eq!(again, Swept::default(), "an ended connection is not due any more");
}

#[tokio::test]
async fn a_connection_that_is_not_overdue_is_not_reported_and_sends_nothing() {
    let stage = Stage::new();
    stage.connect("customer-0", "one-shop").await.unwrap();
    stage.clear_requests();
    // The renewal becomes due in 30 to 150 minutes. A sweep lists a connection up to one hour before the connection is
    // due.
    stage.advance(6 * DAY - 1800);
    for _ in 0..5 {
        let due = stage.storage.due(UnixSeconds(stage.fake.now()), None, 1).await.unwrap();
        if !due.is_empty() {
            break;
        }
        let swept = stage.host.sweep(sweep_now(&stage), pending(), |due, _| panic!("{due:?}")).await.unwrap();
        assert_eq!((swept, stage.fake.requests()), (Swept::default(), vec![]));
        stage.advance(1800);
    }
}
