//! Tests of an install from TikTok's App Store. The first step exchanges the code, keeps the tokens sealed and shows the
//! seller and the shops. Only the same customer in the same browser session can confirm, once, within 30 minutes.
//! Until then nothing is attached.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fake_tiktok_shop::{Decision, Fault};
use tiktok_shop_host::connection::{Connection, ConnectionKey, ConnectionStatus, ShopPolicy, UnixSeconds};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::events::{Actor, Cause, EventKind, NewEvent, Origin};
use tiktok_shop_host::install::{InstallError, InstallId, PendingInstall};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::{
    Access, BrowserDigest, ConsentStorage as _, HostStorage, InstallDigest, InstallRecord, Interceptor, MemoryStorage,
    Passage, StateDigest, StorageError,
};
use tiktok_shop_host::{CallError, ConnectorHost};
use tiktok_shop_tests::{
    SHOPS, Sink, Stage, TOKEN_GET, browser, browser_secret, customer_id, refusal, state_of, sweep_at, tenant,
};

/// Lets the seller `one-shop` install the app, and returns the query of the callback. The callback has no state.
fn installed(stage: &Stage) -> String {
    stage.callback_of(0, "one-shop", None, Decision::Allow)
}

/// Begins an install for a customer, in the customer's own browser session.
async fn begin(host: &ConnectorHost, customer: &str, query: &str) -> Result<PendingInstall, InstallError> {
    host.begin_install(&tenant(0), &customer_id(customer), None, &browser(customer), query.into()).await
}

/// Confirms an install for a customer, in the customer's own browser session.
async fn confirm(host: &ConnectorHost, customer: &str, id: &InstallId) -> Result<Connection, InstallError> {
    host.confirm_install(&tenant(0), &customer_id(customer), &browser(customer), id, ShopPolicy::All).await
}

/// Returns the kinds of the tenant's events.
async fn kinds(stage: &Stage) -> Vec<EventKind> {
    let events = stage.storage.events(&tenant(0), None, 10).await.unwrap();
    events.into_iter().map(|event| event.event.kind).collect()
}

/// Returns the action and the code of the error, as [`refusal`] does. Panics if the outcome is not
/// [`InstallError::Call`].
fn call_refusal<T: std::fmt::Debug>(outcome: Result<T, InstallError>) -> (&'static str, String) {
    match outcome {
        Err(InstallError::Call(error)) => refusal(Err::<(), _>(error)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_install_shows_seller_and_shops_and_attaches_nothing_before_the_confirmation() {
    let stage = Stage::new();
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    assert_eq!((pending.seller_name.as_str(), pending.seller_base_region.as_str()), ("Teapot Corner", "GB"));
    assert_eq!(Some(pending.account.as_str()), stage.issued("one-shop").open_id.as_deref());
    let shops = &pending.shops;
    assert_eq!(shops.iter().map(|shop| shop.id.as_str()).collect::<Vec<_>>(), ["7490000000000000001"]);
    assert_eq!((stage.requests_to(TOKEN_GET), stage.requests_to(SHOPS)), (1, 1));
    assert_eq!((stage.connections("alice").await, stage.due().await), (Vec::new(), 0));
    assert_eq!(kinds(&stage).await, [EventKind::InstallBegun]);

    let actor: Actor = "agent-7".parse().unwrap();
    let connection = confirm(&stage.host.acting_as(actor.clone()), "alice", &pending.id).await.unwrap();
    assert_eq!((connection.key.customer.as_str(), connection.key.account), ("alice", pending.account));
    assert_eq!((connection.status, connection.shops.len()), (ConnectionStatus::Active, 1));
    assert_eq!(stage.requests_to(TOKEN_GET), 1, "the confirmation sends no code");
    let events = stage.storage.events(&tenant(0), None, 10).await.unwrap();
    assert_eq!(events[1].event.kind, EventKind::Connected);
    assert_eq!(
        (events[1].event.origin.actor.as_ref(), events[1].event.origin.cause),
        (Some(&actor), Some(Cause::Connect))
    );
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
}

#[tokio::test]
async fn the_stored_install_contains_digests_and_sealed_bytes_only() {
    let stage = Stage::new();
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    // When the stage ends, it asserts that no stored value contains a token or the code.
    let stored = String::from_utf8(stage.watch.written(Sink::Rows)).unwrap();
    let install = stored.lines().find(|line| line.contains("PutInstall")).unwrap();
    assert!(install.contains("InstallRecord { browser: [digest], sealed: ["), "{install}");
    for clear in ["alice", "Teapot", pending.account.as_str(), pending.id.expose()] {
        assert!(!install.contains(clear), "{clear}: {install}");
    }
    assert!(format!("{pending:?}").contains("InstallId([redacted])"));
}

#[tokio::test]
async fn another_session_cannot_confirm_see_or_cancel_an_install() {
    let stage = Stage::new();
    let query = installed(&stage);
    let pending = begin(&stage.host, "alice", &query).await.unwrap();
    let (tenant, alice, mallory) = (tenant(0), customer_id("alice"), browser("mallory"));
    for _ in 0..2 {
        assert_eq!(confirm(&stage.host, "mallory", &pending.id).await, Err(InstallError::OtherBrowser));
        let as_alice = stage.host.confirm_install(&tenant, &alice, &mallory, &pending.id, ShopPolicy::All);
        assert_eq!(as_alice.await, Err(InstallError::OtherBrowser));
        let cancelled = stage.host.cancel_install(&tenant, &alice, &mallory, &pending.id).await;
        assert_eq!(cancelled, Err(InstallError::OtherBrowser));
        // The code is spent, and the id of the install belongs to the session of alice.
        let seen = begin(&stage.host, "mallory", &query).await;
        assert_eq!(call_refusal(seen), ("reauthorize", "authorization-code-spent".to_owned()));
    }
    assert_eq!(stage.connections("mallory").await, []);
    assert_eq!(confirm(&stage.host, "alice", &pending.id).await.unwrap().key.customer, alice);
    assert_eq!(confirm(&stage.host, "mallory", &pending.id).await, Err(InstallError::OtherBrowser));
}

/// Answers `load_install` from another storage.
struct Elsewhere(Arc<MemoryStorage>);

#[async_trait]
impl Interceptor for Elsewhere {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "load_install" {
            Passage::ForwardTo(Arc::clone(&self.0) as Arc<_>)
        } else {
            Passage::Forward
        }
    }
}

/// A host of an earlier release has stored the SHA-256 of the session. If the secret of a session is longer than 64 bytes,
/// this digest helps to calculate the key of the install, so it is no longer stored.
#[tokio::test]
async fn an_install_that_a_host_of_an_earlier_release_began_is_confirmed() {
    let stage = Stage::new();
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    let sha256 = |text: &str| *StateDigest::of(&text.into()).as_bytes();
    let digest = InstallDigest::new(sha256(pending.id.expose()));
    let stored = stage.storage.load_install(&tenant(0), &digest).await.unwrap().unwrap();
    let browser = BrowserDigest::new(sha256(browser_secret("alice").expose()));
    assert_ne!(stored.browser, browser);

    let storage = Arc::new(MemoryStorage::new(Arc::clone(&stage.clock) as Arc<_>));
    let record = InstallRecord { browser, sealed: stored.sealed.unwrap() };
    storage.put_install(&tenant(0), &digest, &record).await.unwrap();
    stage.intercept(Arc::new(Elsewhere(storage)));
    assert_eq!(confirm(&stage.host, "mallory", &pending.id).await, Err(InstallError::OtherBrowser));
    assert_eq!(confirm(&stage.host, "alice", &pending.id).await.unwrap().key.customer, customer_id("alice"));
}

#[tokio::test]
async fn another_customer_in_the_same_session_cannot_confirm_or_cancel_an_install() {
    let stage = Stage::new();
    let query = installed(&stage);
    let pending = begin(&stage.host, "alice", &query).await.unwrap();
    let (bob, session) = (customer_id("bob"), browser("alice"));
    let confirmed = stage.host.confirm_install(&tenant(0), &bob, &session, &pending.id, ShopPolicy::All).await;
    assert_eq!(confirmed, Err(InstallError::OtherCustomer));
    let cancelled = stage.host.cancel_install(&tenant(0), &bob, &session, &pending.id).await;
    assert_eq!(cancelled, Err(InstallError::OtherCustomer));
    let seen = stage.host.begin_install(&tenant(0), &bob, None, &session, query.as_str().into()).await;
    assert_eq!(seen, Err(InstallError::OtherCustomer));
    assert_eq!(stage.connections("bob").await, []);
    assert_eq!(confirm(&stage.host, "alice", &pending.id).await.unwrap().key.customer, customer_id("alice"));
}

#[tokio::test]
async fn an_install_of_another_tenant_or_app_attaches_nothing() {
    let stage = Stage::new();
    let query = installed(&stage);
    let pending = begin(&stage.host, "alice", &query).await.unwrap();
    let (alice, session) = (customer_id("alice"), browser("alice"));
    let elsewhere = stage.host.confirm_install(&tenant(1), &alice, &session, &pending.id, ShopPolicy::All).await;
    assert_eq!(elsewhere, Err(InstallError::Unknown));
    let other_app = "6fakeapp00002".parse().unwrap();
    let seen = stage.host.begin_install(&tenant(0), &alice, Some(&other_app), &session, query.as_str().into()).await;
    assert_eq!(call_refusal(seen), ("invalid-request", "callback-of-another-app".to_owned()));
    assert_eq!(stage.connections("alice").await, []);
    assert_eq!(confirm(&stage.host, "alice", &pending.id).await.unwrap().app, Some(pending.app));
}

#[tokio::test]
async fn an_install_can_be_confirmed_for_30_minutes_by_the_storages_clock() {
    let stage = Stage::new();
    let (in_time, late) = (begin(&stage.host, "alice", &installed(&stage)).await.unwrap(), "bob");
    let late = begin(&stage.host, late, &installed(&stage)).await.unwrap();
    stage.advance(1_800);
    assert_eq!(confirm(&stage.host, "alice", &in_time.id).await.unwrap().status, ConnectionStatus::Active);
    stage.advance(1);
    stage.clear_requests();
    assert_eq!(confirm(&stage.host, "bob", &late.id).await, Err(InstallError::Expired));
    assert_eq!(confirm(&stage.host, "bob", &late.id).await, Err(InstallError::Unknown), "its tokens are deleted");
    assert_eq!((stage.fake.requests(), stage.connections("bob").await), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_sweep_deletes_an_install_that_nobody_has_confirmed_in_time() {
    let stage = Stage::new();
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    for (seconds, expected) in [(1_800, InstallError::OtherBrowser), (1, InstallError::Unknown)] {
        stage.advance(seconds);
        stage.host.sweep(sweep_at(stage.fake.now(), 1), std::future::pending(), |_, _| ()).await.unwrap();
        // Another session may not confirm the install, but learns whether it exists.
        let (alice, session) = (customer_id("alice"), browser("bob"));
        let confirmed = stage.host.confirm_install(&tenant(0), &alice, &session, &pending.id, ShopPolicy::All).await;
        assert_eq!(confirmed, Err(expected), "after {seconds} s more");
    }
}

#[tokio::test]
async fn a_repeated_confirmation_changes_nothing_and_says_so() {
    let stage = Stage::new();
    let query = installed(&stage);
    let pending = begin(&stage.host, "alice", &query).await.unwrap();
    let connection = confirm(&stage.host, "alice", &pending.id).await.unwrap();
    stage.clear_requests();
    assert_eq!(confirm(&stage.host, "alice", &pending.id).await, Err(InstallError::Confirmed));
    assert_eq!(begin(&stage.host, "alice", &query).await, Err(InstallError::Confirmed));
    let cancelled = stage.host.cancel_install(&tenant(0), &customer_id("alice"), &browser("alice"), &pending.id).await;
    assert_eq!(cancelled, Err(InstallError::Confirmed));
    assert_eq!(stage.fake.requests(), []);
    assert_eq!(stage.connections("alice").await, [connection]);
}

#[tokio::test]
async fn two_simultaneous_confirmations_make_one_connection() {
    let stage = Stage::new();
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    let other = stage.another_host();
    let (one, two) = tokio::join!(confirm(&stage.host, "alice", &pending.id), confirm(&other, "alice", &pending.id));
    assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
    for outcome in [one, two] {
        assert!(matches!(outcome, Ok(_) | Err(InstallError::Confirmed)), "{outcome:?}");
    }
    assert_eq!(stage.connections("alice").await.len(), 1);
    assert_eq!(stage.requests_to(TOKEN_GET), 1);
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_install_is_gone() {
    let stage = Stage::new();
    let query = installed(&stage);
    let pending = begin(&stage.host, "alice", &query).await.unwrap();
    for was_waiting in [true, false] {
        let (tenant, alice, session) = (tenant(0), customer_id("alice"), browser("alice"));
        let cancelled = stage.host.cancel_install(&tenant, &alice, &session, &pending.id);
        assert_eq!(cancelled.await, Ok(was_waiting));
    }
    assert_eq!(confirm(&stage.host, "alice", &pending.id).await, Err(InstallError::Unknown));
    let again = begin(&stage.host, "alice", &query).await;
    assert_eq!(call_refusal(again), ("reauthorize", "authorization-code-spent".to_owned()));
    assert_eq!(stage.connections("alice").await, []);
}

#[tokio::test]
async fn an_install_that_begins_and_is_cancelled_has_two_events_with_actor_and_reason() {
    let stage = Stage::new();
    let origin = Origin {
        actor: Some("agent-7".parse().unwrap()),
        stated_reason: Some("case 4711".parse().unwrap()),
        cause: Some(Cause::Connect),
    };
    let host = stage.host.acting_as("agent-7".parse().unwrap()).because("case 4711".parse().unwrap());
    let query = installed(&stage);
    let pending = begin(&host, "alice", &query).await.unwrap();
    // Neither a reloaded page nor a second cancellation writes an event.
    begin(&host, "alice", &query).await.unwrap();
    for was_waiting in [true, false] {
        let cancelled = host.cancel_install(&tenant(0), &customer_id("alice"), &browser("alice"), &pending.id).await;
        assert_eq!(cancelled, Ok(was_waiting));
    }
    let key = ConnectionKey { customer: customer_id("alice"), account: pending.account };
    let at = UnixSeconds(stage.fake.now());
    let event = |kind| NewEvent { at, key: Some(key.clone()), kind, origin: origin.clone() };
    let events = stage.storage.events(&tenant(0), None, 10).await.unwrap();
    let events: Vec<_> = events.into_iter().map(|event| event.event).collect();
    assert_eq!(events, [event(EventKind::InstallBegun), event(EventKind::InstallCancelled)]);
}

#[tokio::test]
async fn an_install_without_its_event_is_not_shown_and_a_reload_writes_the_event() {
    let stage = Stage::new();
    failing(&stage, "append_once", 1, Failure::Refuses);
    let query = installed(&stage);
    let unrecorded = begin(&stage.host, "alice", &query).await.unwrap_err();
    assert_eq!(unrecorded.code(), "event-not-stored");
    let pending = begin(&stage.host, "alice", &query).await.unwrap();
    assert_eq!((kinds(&stage).await, stage.requests_to(TOKEN_GET)), (vec![EventKind::InstallBegun], 1));
    confirm(&stage.host, "alice", &pending.id).await.unwrap();
}

#[tokio::test]
async fn an_install_is_not_cancelled_without_its_event() {
    let stage = Stage::new();
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    failing(&stage, "append_once", 1, Failure::Refuses);
    let cancelled = stage.host.cancel_install(&tenant(0), &customer_id("alice"), &browser("alice"), &pending.id).await;
    assert_eq!(cancelled.unwrap_err().code(), "event-not-stored");
    confirm(&stage.host, "alice", &pending.id).await.unwrap();
}

#[tokio::test]
async fn an_erased_tenant_has_no_pending_install() {
    let stage = Stage::new();
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    let erased = stage.keyring().erase_existing(&tenant(0)).await.unwrap().unwrap();
    // The install, its event, and the digest that prevents a second copy of the event.
    assert_eq!(erased.others, 3);
    assert_eq!(confirm(&stage.host, "alice", &pending.id).await, Err(InstallError::Unknown));
}

#[tokio::test]
async fn a_reloaded_page_shows_the_same_install_and_sends_no_code() {
    let stage = Stage::new();
    let query = installed(&stage);
    stage.fake.fault_next(SHOPS, "HTTP 500, HTML", Fault::named("HTTP 500, HTML").unwrap());
    // Shops that the customer has not seen cannot be confirmed, so there is no id.
    let unread = begin(&stage.host, "alice", &query).await;
    assert_eq!(call_refusal(unread), ("retry-after", "tiktok-unavailable".to_owned()));
    let first = begin(&stage.another_host(), "alice", &query).await.unwrap();
    let second = begin(&stage.host, "alice", &query).await.unwrap();
    assert_eq!((&second.id, second.shops.len()), (&first.id, 1));
    assert_eq!(stage.requests_to(TOKEN_GET), 1);
    confirm(&stage.host, "alice", &second.id).await.unwrap();
}

#[tokio::test]
async fn two_simultaneous_callbacks_of_one_session_show_the_same_install() {
    let stage = Stage::new();
    let (query, other) = (installed(&stage), stage.another_host());
    let (one, two) = tokio::join!(begin(&stage.host, "alice", &query), begin(&other, "alice", &query));
    // The slower call may find its code spent before the faster call has stored the tokens. A reload then shows them.
    let ids: Vec<_> = [one, two].into_iter().filter_map(|outcome| Some(outcome.ok()?.id)).collect();
    assert!(!ids.is_empty());
    let reloaded = begin(&stage.host, "alice", &query).await.unwrap();
    assert!(ids.iter().all(|id| *id == reloaded.id));
    confirm(&stage.host, "alice", &reloaded.id).await.unwrap();
}

#[tokio::test]
async fn a_callback_with_a_state_is_no_install_and_a_callback_without_one_is_no_consent() {
    let stage = Stage::new();
    let (ours, alice) = (tenant(0), customer_id("alice"));
    let consent = stage.host.begin_consent(&ours, &alice, None, &browser("alice"), ShopPolicy::All).await.unwrap();
    let query = stage.callback_of(0, "one-shop", Some(state_of(&consent)), Decision::Allow);
    let outcome = begin(&stage.host, "bob", &query).await;
    assert_eq!(call_refusal(outcome), ("invalid-request", "state-mismatch".to_owned()));
    let refused = stage.callback_of(0, "one-shop", None, Decision::Refuse);
    assert_eq!(call_refusal(begin(&stage.host, "bob", &refused).await), ("reauthorize", "consent-refused".to_owned()));
    for malformed in ["", "locale=en", "code=a&code=b", "code="] {
        let outcome = begin(&stage.host, "bob", malformed).await;
        assert_eq!(call_refusal(outcome), ("invalid-request", "callback-malformed".to_owned()), "{malformed}");
    }
    assert_eq!(stage.fake.requests(), []);
    stage.host.finish_consent(&ours, &browser("alice"), query.into()).await.unwrap();
}

#[tokio::test]
async fn an_account_that_is_connected_already_gets_the_newer_tokens() {
    let stage = Stage::new();
    let before = stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(60);
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    let after = confirm(&stage.host, "alice", &pending.id).await.unwrap();
    assert_eq!((after.key, after.connected_at), (before.key, before.connected_at));
    assert!(after.granted_at > before.granted_at);
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
}

/// How a storage fails.
#[derive(Clone, Copy)]
enum Failure {
    /// It does not answer for a moment. The host repeats a write.
    Down,
    /// It writes, but its answer is lost. The host repeats a write.
    LosesAnswers,
    /// It refuses. The host does not repeat a write.
    Refuses,
}

/// A storage that fails the first accesses of one method.
struct Failing {
    method: &'static str,
    /// The number of accesses that still fail.
    left: AtomicUsize,
    failure: Failure,
}

#[async_trait]
impl Interceptor for Failing {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let is_met = access.method() == self.method;
        let fails =
            is_met && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        match (fails, self.failure) {
            (false, _) => Passage::Forward,
            (true, Failure::LosesAnswers) => Passage::LoseAnswer,
            (true, Failure::Down) => Passage::Fail(StorageError::Unavailable("down".to_owned())),
            (true, Failure::Refuses) => Passage::Fail(StorageError::Refused("read-only".to_owned())),
        }
    }
}

fn failing(stage: &Stage, method: &'static str, times: usize, failure: Failure) {
    stage.intercept(Arc::new(Failing { method, left: AtomicUsize::new(times), failure }));
}

#[tokio::test]
async fn the_tokens_of_an_exchanged_code_are_stored_by_a_repeated_write() {
    for failure in [Failure::Down, Failure::LosesAnswers] {
        let stage = Stage::new();
        failing(&stage, "put_install", 3, failure);
        let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
        confirm(&stage.host, "alice", &pending.id).await.unwrap();
        assert_eq!(stage.requests_to(TOKEN_GET), 1);
    }
    let stage = Stage::new();
    failing(&stage, "put_install", 1, Failure::Refuses);
    let query = installed(&stage);
    let lost = begin(&stage.host, "alice", &query).await;
    assert_eq!(lost, Err(InstallError::NotStored(StorageError::Refused("read-only".to_owned()))));
    let again = begin(&stage.host, "alice", &query).await;
    assert_eq!(call_refusal(again), ("reauthorize", "authorization-code-spent".to_owned()));
}

#[tokio::test]
async fn a_code_is_not_spent_while_the_storage_is_down() {
    let stage = Stage::new();
    failing(&stage, "load_install", 1, Failure::Down);
    let query = installed(&stage);
    let down = begin(&stage.host, "alice", &query).await;
    assert_eq!(down, Err(InstallError::Storage(StorageError::Unavailable("down".to_owned()))));
    assert_eq!(stage.fake.requests(), []);
    begin(&stage.host, "alice", &query).await.unwrap();
}

/// The connection is stored, but the confirmation succeeds only when the install is closed. Otherwise the install could
/// be confirmed again after a disconnect. A repetition finds the connection, and does not bring back older tokens.
#[tokio::test]
async fn a_confirmation_that_could_not_be_closed_can_be_repeated_without_harm() {
    let stage = Stage::new();
    let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
    failing(&stage, "close_install", 1, Failure::Refuses);
    let open = confirm(&stage.host, "alice", &pending.id).await.unwrap_err();
    assert_eq!(open, InstallError::Storage(StorageError::Refused("read-only".to_owned())));
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
    confirm(&stage.host, "alice", &pending.id).await.unwrap();
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
    assert_eq!(confirm(&stage.host, "alice", &pending.id).await, Err(InstallError::Confirmed));
}

#[tokio::test]
async fn a_confirmed_install_is_closed_although_the_storage_fails_three_times() {
    for failure in [Failure::Down, Failure::LosesAnswers] {
        let stage = Stage::new();
        let pending = begin(&stage.host, "alice", &installed(&stage)).await.unwrap();
        failing(&stage, "close_install", 3, failure);
        confirm(&stage.host, "alice", &pending.id).await.unwrap();
        let (alice, all) = (customer_id("alice"), DisconnectTarget::All(None));
        stage.host.disconnect(&tenant(0), &alice, all, RemoteGrant::Keep).await.unwrap();
        assert_eq!(confirm(&stage.host, "alice", &pending.id).await, Err(InstallError::Confirmed));
    }
}

/// Begins an install and kills the call at the boundary event with this number, counted over both calls of the guest.
/// Returns the outcome and whether the kill happened.
async fn begin_killed(stage: &Stage, query: &str, point: usize) -> (Result<PendingInstall, InstallError>, bool) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let builder = stage.host_builder().on_boundary(move |_| {
        let is_over = counted.fetch_add(1, Ordering::SeqCst) + 1 >= point;
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let outcome = begin(&builder.build().unwrap(), "alice", query).await;
    (outcome, seen.load(Ordering::SeqCst) >= point)
}

/// A kill loses the code only between TikTok's answer and the write of the host. After every other kill, the same
/// session begins the install again and confirms it.
#[tokio::test]
async fn a_killed_install_is_lost_only_if_tiktok_had_answered_and_nothing_was_stored() {
    let (mut lost, mut kept) = (0, 0);
    for point in 1.. {
        let stage = Stage::in_memory();
        let query = installed(&stage);
        let (killed, happened) = begin_killed(&stage, &query, point).await;
        if !happened {
            killed.unwrap();
            break;
        }
        assert!(matches!(killed, Err(InstallError::Call(CallError::Aborted { .. }))), "{point}: {killed:?}");
        assert_eq!(stage.connections("alice").await, [], "{point}");
        stage.quiet().await;
        let exchanged = stage.requests_to(TOKEN_GET);
        match begin(&stage.another_host(), "alice", &query).await {
            Ok(install) => {
                confirm(&stage.host, "alice", &install.id).await.unwrap();
                kept += 1;
            }
            Err(error) => {
                assert_eq!(exchanged, 1, "{point}");
                let spent = ("reauthorize", "authorization-code-spent".to_owned());
                assert_eq!(call_refusal(Err::<(), _>(error)), spent, "{point}");
                lost += 1;
            }
        }
    }
    assert!(lost > 0 && kept > lost, "{lost} lost, {kept} kept");
}

/// A storage that is down when an install is first written, and then refuses the write for another reason than that the
/// install is already there.
struct DownThenRefusing(AtomicUsize);

#[async_trait]
impl Interceptor for DownThenRefusing {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() != "put_install" {
            return Passage::Forward;
        }
        Passage::Fail(match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => StorageError::Unavailable("down".to_owned()),
            _ => StorageError::Refused("read-only".to_owned()),
        })
    }
}

#[tokio::test]
async fn a_refused_write_counts_as_an_earlier_one_only_if_the_install_is_there() {
    let stage = Stage::new();
    stage.intercept(Arc::new(DownThenRefusing(AtomicUsize::new(0))));
    let lost = begin(&stage.host, "alice", &installed(&stage)).await;
    assert_eq!(lost, Err(InstallError::NotStored(StorageError::Refused("read-only".to_owned()))));
}
