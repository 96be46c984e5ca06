//! Tests of host keys that are missing, wrong, or change during calls, and of tenants that are erased. A data key
//! encrypts (seals) the tokens and ciphers of one tenant, and a host key encrypts the data keys. A missing host key
//! never destroys a stored value. If an earlier sealed value is put back into its record, or a sealed value is moved to
//! another record, it can't be decrypted.

use std::sync::Arc;
use std::time::Duration;

use fake_tiktok_shop::{Decision, ReplacedRefreshToken};
use futures::future::join_all;
use tiktok_shop_host::connection::{ConnectionStatus, ShopPolicy, UnixSeconds};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::events::{Cause, EventKind, NewEvent, Origin};
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::{DataKey, HostKeys, KeyProvider, Keyring, RotationStep};
use tiktok_shop_host::storage::{Next, Swapped, TokenWrite};
use tiktok_shop_host::{CallError, ConnectorHost, HostKeyId};
use tiktok_shop_tests::{
    BEGIN, DAY, HoldsBackThePair, STATE, Stage, TOKEN_GET, TOKEN_REFRESH, customer_id, grant, refusal, sweep_at, tenant,
};

/// Returns host keys with these ids. Equal ids get equal key bytes.
fn keys(ids: &[&str]) -> Arc<dyn KeyProvider> {
    let keys = ids.iter().map(|id| {
        let byte = id.bytes().fold(0, u8::wrapping_add);
        (id.parse::<HostKeyId>().unwrap(), DataKey::new([byte; 32]))
    });
    Arc::new(HostKeys::new(keys).unwrap())
}

fn host(stage: &Stage, keys: &Arc<dyn KeyProvider>) -> ConnectorHost {
    stage.host_builder().keys(Arc::clone(keys)).build().unwrap()
}

fn keyring(stage: &Stage, keys: &Arc<dyn KeyProvider>) -> Keyring {
    Keyring::new(Arc::clone(&stage.storage), Arc::clone(keys), Arc::new(SystemRandomness))
}

async fn connect(stage: &Stage, host: &ConnectorHost, customer: &str, seller: &str) -> Result<(), CallError> {
    let consent = grant(&stage.callback(seller, Decision::Allow));
    host.connect(&tenant(0), &customer_id(customer), None, consent, ShopPolicy::All).await.map(drop)
}

/// Returns the action, the code and the detail of the connector's error. Panics if there is no such error.
fn error_of<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> (Action, String, String) {
    match outcome {
        Err(CallError::Connector(error)) => {
            (error.action(), error.failure().code.clone(), error.failure().detail.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_the_host_key_every_error_names_the_key_and_nothing_is_lost() {
    let stage = Stage::new();
    let right = keys(&["host-1"]);
    let (alice, ours) = (customer_id("alice"), tenant(0));
    let working = host(&stage, &right);
    connect(&stage, &working, "alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    let rows = stage.storage.list_rows(&ours, &alice).await.unwrap();
    let key = rows[0].row.key.clone();
    let before = stage.storage.load_token(&ours, &key).await.unwrap().unwrap();

    let other: Arc<dyn KeyProvider> =
        Arc::new(HostKeys::new([("host-1".parse().unwrap(), DataKey::new([9; 32]))]).unwrap());
    for (wrong, why) in [
        (keys(&["host-2"]), "no host key of that name is here"),
        (other, "the host key of that name does not unwrap this data key"),
    ] {
        let expected = format!("key-unavailable(host-1): {why}");
        let keyless = host(&stage, &wrong);
        let refused = |(action, code, detail): (Action, String, String)| {
            assert_eq!((action, code.as_str()), (Action::StorageFailed, "storage-refused"));
            assert!(detail.contains(&expected), "{detail}");
        };
        refused(error_of(keyless.refresh(&ours, &alice, None, RefreshMode::Forced).await));
        refused(error_of(keyless.access_token(&ours, &alice, None, Duration::ZERO).await));
        refused(error_of(keyless.list_shops(&ours, &alice).await));
        // A request to revoke a shop at TikTok needs the shop's cipher. If one of several shops is removed from a
        // connection, the ciphers of the remaining shops are sealed again.
        let shop = DisconnectTarget::Shop(rows[0].row.index.shops[0].id.clone());
        for (target, remote) in [(DisconnectTarget::All(None), RemoteGrant::Revoke), (shop, RemoteGrant::Keep)] {
            refused(error_of(keyless.disconnect(&ours, &alice, target, remote).await));
        }
        // No code is exchanged, because the host could not seal the new tokens. This also holds for a new customer.
        for customer in ["alice", "bob"] {
            refused(error_of(connect(&stage, &keyless, customer, "one-shop").await));
        }
        assert_eq!((stage.requests_to(TOKEN_GET), stage.requests_to(TOKEN_REFRESH)), (1, 0));
        // The connections can still be listed, without their ciphers.
        let listed = keyless.list_connections(&ours, &alice).await.unwrap();
        assert_eq!(listed[0].status, ConnectionStatus::Active);
        assert!(listed[0].shops.iter().all(|shop| shop.cipher.is_none()));
        let sweep = sweep_at(stage.fake.now(), 1);
        assert_eq!(keyless.sweep(sweep, std::future::pending(), |_, _| ()).await.unwrap().failed, 1);
    }
    let after = stage.storage.load_token(&ours, &key).await.unwrap().unwrap();
    assert_eq!((after.revision, after.value), (before.revision, before.value));
    assert_eq!(stage.storage.list_rows(&ours, &alice).await.unwrap(), rows);

    let renewed = working.refresh(&ours, &alice, None, RefreshMode::WhenDue).await.unwrap().connection;
    assert_eq!((renewed.status, renewed.last_failure), (ConnectionStatus::Active, None));
    assert!(renewed.shops[0].cipher.is_some());
}

/// With `RemoteGrant::Keep`, whole connections can be ended after the host keys are lost, because `disconnect` then
/// opens no sealed value.
#[tokio::test]
async fn connections_end_without_the_host_key_and_other_customers_keep_theirs() {
    let stage = Stage::new();
    let right = keys(&["host-1"]);
    let (alice, bob, ours) = (customer_id("alice"), customer_id("bob"), tenant(0));
    let (working, keyless) = (host(&stage, &right), host(&stage, &keys(&["host-2"])));
    for seller in ["one-shop", "several-regions"] {
        connect(&stage, &working, "alice", seller).await.unwrap();
    }
    connect(&stage, &working, "bob", "one-shop").await.unwrap();
    let listed = keyless.list_connections(&ours, &alice).await.unwrap();
    let (first, second) = (listed[0].key.clone(), listed[1].key.clone());

    let one = DisconnectTarget::All(Some(first.account.clone()));
    keyless.disconnect(&ours, &alice, one, RemoteGrant::Keep).await.unwrap();
    assert!(stage.storage.load_token(&ours, &first).await.unwrap().is_none());
    assert!(stage.storage.load_token(&ours, &second).await.unwrap().is_some());
    working.refresh(&ours, &alice, None, RefreshMode::Forced).await.unwrap();

    keyless.disconnect(&ours, &alice, DisconnectTarget::All(None), RemoteGrant::Keep).await.unwrap();
    assert!(stage.storage.load_token(&ours, &second).await.unwrap().is_none());
    assert_eq!(working.list_connections(&ours, &alice).await.unwrap(), []);
    let events = stage.storage.events(&ours, None, 100).await.unwrap();
    let ended = events.iter().filter(|event| event.event.kind == EventKind::Disconnected);
    let accounts: Vec<_> = ended.map(|event| event.event.key.clone().unwrap()).collect();
    assert_eq!(accounts, [first, second]);
    // Without the host key, too, `disconnect` succeeds if nothing is connected.
    keyless.disconnect(&ours, &alice, DisconnectTarget::All(None), RemoteGrant::Keep).await.unwrap();
    working.refresh(&ours, &bob, None, RefreshMode::Forced).await.unwrap();
}

/// An attacker who can write to the database but has no key could make the same changes as this test.
#[tokio::test]
async fn a_sealed_value_that_was_moved_or_put_back_does_not_open() {
    let stage = Stage::new();
    let alice = stage.connect("alice", "one-shop").await.unwrap().key;
    let bob = stage.connect("bob", "one-shop").await.unwrap().key;
    let load = async |key| stage.storage.load_token(&tenant(0), key).await.unwrap().unwrap();
    let put = async |key, value| {
        let expected = load(key).await.revision;
        let revision = format!("{expected}-put").parse().unwrap();
        let next = Next { revision, value: TokenWrite { value, refresh_due_at: None } };
        let swapped = stage.storage.swap_token(&tenant(0), key, Some(&expected), Some(&next)).await.unwrap();
        assert_eq!(swapped, Swapped::Done);
    };
    // Bob's connection gets the record of alice's connection. Both connections have the same account.
    put(&bob, load(&alice).await.value).await;
    // Alice's connection gets its own earlier record back.
    let earlier = load(&alice).await.value;
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
    put(&alice, earlier).await;
    for customer in ["alice", "bob"] {
        let (action, code, detail) = error_of(stage.refresh(customer, RefreshMode::Forced).await);
        assert_eq!((action, code.as_str()), (Action::StorageFailed, "storage-refused"));
        assert!(detail.contains("it has been changed, or moved from another place"), "{detail}");
    }
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1, "no token of these records was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_while_hosts_refresh_and_no_token_is_lost() {
    const CUSTOMERS: usize = 12;
    const ROUNDS: usize = 6;
    let stage = Stage::new();
    // TikTok refuses replaced refresh tokens. So the test fails if a new token was not stored.
    stage.fake.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::Refused);
    let (old, both, new) = (keys(&["old"]), keys(&["new", "old"]), keys(&["new"]));
    let first = host(&stage, &old);
    let customers: Vec<_> = (0..CUSTOMERS).map(|number| format!("customer-{number}")).collect();
    join_all(customers.iter().map(async |id| connect(&stage, &first, id, "one-shop").await.unwrap())).await;

    // When the rotation begins, neither host knows the new data key. The second host has not even loaded the old data
    // key.
    let hosts = [host(&stage, &both), host(&stage, &both)];
    hosts[0].list_shops(&tenant(0), &customer_id("customer-0")).await.unwrap();
    let ring = keyring(&stage, &both);
    let refreshing = join_all(customers.iter().enumerate().map(async |(at, id)| {
        for round in 0..ROUNDS {
            let host = &hosts[(at + round) % hosts.len()];
            let renewed = host.refresh(&tenant(0), &customer_id(id), None, RefreshMode::Forced).await.unwrap();
            assert_eq!(renewed.connection.last_failure, None);
        }
    }));
    let (rotated, _) = tokio::join!(ring.rotate(Duration::ZERO, |_| ()), refreshing);
    rotated.unwrap();
    ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
    let status = ring.status().await.unwrap();
    assert!(status.is_rotated(), "{status:?}");
    assert_eq!(status.by_host_key().get(&Some(&"new".parse().unwrap())), Some(&(1, 2 * CUSTOMERS as u64)));

    // A host that has only the new key can refresh each connection. So TikTok Shop accepts every stored refresh token.
    let after = host(&stage, &new);
    for id in &customers {
        let renewed = after.refresh(&tenant(0), &customer_id(id), None, RefreshMode::Forced).await.unwrap().connection;
        assert_eq!((renewed.status, renewed.last_failure), (ConnectionStatus::Active, None));
    }
}

/// The keys are rotated while a host that has only the old host key refreshes a connection. That host seals the new
/// tokens with the old data key, which it knows.
#[tokio::test]
async fn a_rotation_waits_for_tokens_that_are_saved_under_the_earlier_key() {
    let stage = Stage::in_memory();
    stage.fake.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::Refused);
    let (old, both, new) = (keys(&["old"]), keys(&["new", "old"]), keys(&["new"]));
    connect(&stage, &host(&stage, &old), "alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    let held_back = Arc::new(HoldsBackThePair::default());
    stage.intercept(Arc::clone(&held_back) as Arc<_>);
    let outdated = host(&stage, &old);
    let alice = customer_id("alice");
    let refreshing = tokio::spawn({
        let alice = alice.clone();
        async move { outdated.refresh(&tenant(0), &alice, None, RefreshMode::WhenDue).await }
    });
    held_back.held().await;

    // TikTok has answered, so nothing waits for the network. With tokio's clock paused, the minutes for which the
    // rotation waits pass at once.
    tokio::time::pause();
    let ring = keyring(&stage, &both);
    let mut steps = Vec::new();
    let rotated = ring.rotate(Keyring::GRACE, |step| {
        if let RotationStep::Waiting(_) = step {
            held_back.release();
        }
        steps.push(step);
    });
    let rotated = rotated.await.unwrap();
    tokio::time::resume();
    assert_eq!(steps.iter().filter(|step| **step == RotationStep::Waiting(Keyring::GRACE)).count(), 1);
    assert_eq!((rotated.added, rotated.removed), (1, 1));
    // The row is already sealed with the new key, which the outdated host does not have.
    let outcome = refreshing.await.unwrap();
    assert_eq!(refusal(outcome), ("storage-failed", "connection-row-not-saved".to_owned()));

    let after = host(&stage, &new).refresh(&tenant(0), &alice, None, RefreshMode::Forced).await.unwrap().connection;
    assert_eq!((after.status, after.last_failure), (ConnectionStatus::Active, None));
}

#[tokio::test]
async fn an_erased_tenant_has_no_connections_and_other_tenants_keep_theirs() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let theirs = stage.connect_app(1, "alice", "one-shop").await.unwrap();
    let erased = stage.keyring().erase(&tenant(0)).await.unwrap();
    assert_eq!((erased.keys, erased.connections), (1, 1));
    let events = stage.storage.events(&tenant(0), None, 9).await.unwrap();
    let origin = Origin { cause: Some(Cause::Erasure), ..Origin::default() };
    let event = NewEvent { at: UnixSeconds(BEGIN), key: None, kind: EventKind::TenantErased, origin };
    assert_eq!(events.into_iter().map(|event| event.event).collect::<Vec<_>>(), [event]);

    let ours = stage.another_host();
    assert_eq!(ours.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), []);
    let outcome = ours.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::Forced).await;
    assert_eq!(refusal(outcome), ("invalid-request", "not-connected".to_owned()));
    assert_eq!(ours.list_connections(&tenant(1), &customer_id("alice")).await.unwrap(), [theirs]);
    // After the erasure, the tenant's customers can connect again.
    assert_eq!(stage.connect("alice", "one-shop").await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_rotation_and_an_erasure_are_recorded_for_each_tenant_with_actor_and_reason() {
    let stage = Stage::new();
    let (old, both) = (keys(&["old"]), keys(&["new", "old"]));
    connect(&stage, &host(&stage, &old), "alice", "one-shop").await.unwrap();
    let kept = host(&stage, &old);
    let query = stage.callback_of(1, "one-shop", Some(STATE), Decision::Allow);
    kept.connect(&tenant(1), &customer_id("alice"), None, grant(&query), ShopPolicy::All).await.unwrap();
    stage.advance(60);

    let ring = |actor: &str| {
        let ring = keyring(&stage, &both).clock(Arc::clone(&stage.clock) as _);
        ring.acting_as(actor.parse().unwrap()).because("yearly".parse().unwrap())
    };
    // Two rotations run at the same time. The actor of both rotations is ana.
    let rotated =
        join_all([ring("ana"), ring("ana")].map(|ring| async move { ring.rotate(Duration::ZERO, |_| ()).await }));
    assert!(rotated.await.iter().all(Result::is_ok));
    stage.advance(30);
    ring("ben").erase(&tenant(0)).await.unwrap();

    let event = |at, kind, actor: &str, cause| {
        let (actor, stated_reason) = (Some(actor.parse().unwrap()), Some("yearly".parse().unwrap()));
        NewEvent {
            at: UnixSeconds(BEGIN + at),
            key: None,
            kind,
            origin: Origin { actor, stated_reason, cause: Some(cause) },
        }
    };
    let host_key = "new".parse().unwrap();
    let rotated = event(60, EventKind::KeysRotated { host_key }, "ana", Cause::KeyRotation);
    let erased = event(90, EventKind::TenantErased, "ben", Cause::Erasure);
    // The erasure deletes the earlier events of its tenant.
    for (app, expected) in [(0, vec![erased]), (1, vec![rotated])] {
        let events = stage.storage.events(&tenant(app), None, usize::MAX).await.unwrap();
        let of_tenant = events.into_iter().map(|event| event.event).filter(|event| event.key.is_none());
        assert_eq!(of_tenant.collect::<Vec<_>>(), expected);
    }
}
