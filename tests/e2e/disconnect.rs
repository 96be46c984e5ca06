//! Tests of the export `disconnect`. They check what stays in the storage and at TikTok after every kind of answer from
//! TikTok.

use std::collections::BTreeSet;
use std::fs;
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use fake_tiktok_shop::{DeauthorizeNotice, DeauthorizeShop, Decision, Fault, ReplacedRefreshToken};
use futures::future::join;
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, ShopPolicy, ShopStanding};
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, RemoteGrant, SharedConnection, SharedConnections};
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode};
use tiktok_shop_host::storage::{HostStorage, Swapped};
use tiktok_shop_host::{ConnectorHost, ShopId};
use tiktok_shop_sql_storage::{OpenMode, SqlStorage};
use tiktok_shop_tests::{
    Access, DAY, DEAUTHORIZE, Interceptor, Passage, SHOPS, Stage, TOKEN_REFRESH, customer_id, grant, refusal, tenant,
};

async fn disconnect(stage: &Stage, target: DisconnectTarget, remote: RemoteGrant) -> Disconnected {
    stage.host.disconnect(&tenant(0), &customer_id("alice"), target, remote).await.unwrap()
}

/// Returns which connections of other customers a revocation of alice's connections concerns. No signal stops the call.
async fn shared(stage: &Stage, target: &DisconnectTarget) -> SharedConnections {
    stage.host.shared_connections(&tenant(0), &customer_id("alice"), target, pending()).await.unwrap()
}

/// Returns how many token records and how many rows of the customer alice are stored.
async fn stored(stage: &Stage) -> (usize, usize) {
    let (tenant, customer) = (tenant(0), customer_id("alice"));
    let accounts = stage.storage.accounts(&tenant, &customer).await.unwrap();
    (accounts.len(), stage.storage.list_rows(&tenant, &customer).await.unwrap().len())
}

/// Returns the error codes of the shops whose authorization TikTok did not revoke.
fn failures(ended: &Disconnected) -> Vec<&str> {
    ended.not_revoked.iter().map(|left| left.failure.code.as_str()).collect()
}

/// Returns whether TikTok still accepts a refresh token of the seller's grant.
fn is_granted_at_tiktok(stage: &Stage, seller: &str) -> bool {
    stage.issued(seller).refresh_tokens.iter().any(|token| token.honoured)
}

#[tokio::test]
async fn a_disconnect_that_keeps_the_grant_sends_nothing_and_erases_everything_in_the_storage() {
    let stage = Stage::new();
    stage.connect("alice", "cross-border").await.unwrap();
    stage.clear_requests();
    for _ in 0..2 {
        let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Keep).await;
        assert_eq!((ended.remaining, ended.not_revoked), (Vec::new(), Vec::new()));
        assert_eq!(stored(&stage).await, (0, 0), "a second disconnect changes nothing");
    }
    assert_eq!(stage.fake.requests(), []);
    assert!(is_granted_at_tiktok(&stage, "cross-border"));
    assert_eq!(refusal(stage.refresh("alice", RefreshMode::Forced).await).1, "not-connected");
}

/// The tenant's data key is still in use, and it decrypts every copy of a token record. So the files of SQLite must
/// contain no copy. This test uses SQLite even if the other tests use another storage.
#[tokio::test]
async fn after_a_disconnect_no_file_of_sqlite_contains_a_token_record_or_a_cipher() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let storage = SqlStorage::sqlite(folder.path().join("connections.sqlite"), OpenMode::Create).await.unwrap();
    let storage: Arc<dyn HostStorage> = Arc::new(storage);
    let host = stage.host_builder().storage(Arc::clone(&storage)).build().unwrap();
    let (tenant, alice) = (tenant(0), customer_id("alice"));
    let consent = grant(&stage.callback("cross-border", Decision::Allow));
    let key = host.connect(&tenant, &alice, None, consent, ShopPolicy::All).await.unwrap().key;
    let mut sealed = BTreeSet::new();
    for _ in 0..3 {
        host.refresh(&tenant, &alice, None, RefreshMode::Forced).await.unwrap();
        let (token, row) = (storage.load_token(&tenant, &key).await, storage.load_row(&tenant, &key).await);
        sealed.insert(token.unwrap().unwrap().value.bytes().to_vec());
        sealed.insert(row.unwrap().unwrap().row.sealed.unwrap().bytes().to_vec());
        stage.advance(DAY);
    }
    // SQLite may divide a value among several pages. So a value is searched for by its parts of 32 bytes.
    let parts: BTreeSet<&[u8]> = sealed.iter().flat_map(|value| value.chunks_exact(32)).collect();
    let found = || {
        let files = fs::read_dir(folder.path()).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        let files: Vec<_> = files.collect();
        let is_found = |part: &&[u8]| files.iter().any(|file| file.windows(32).any(|bytes| bytes == *part));
        parts.iter().copied().filter(|part| is_found(part)).count()
    };
    let newest = storage.load_token(&tenant, &key).await.unwrap().unwrap().value.bytes().len() / 32;
    assert!(found() > 2 * newest, "the log still has earlier records: {} parts", found());
    host.disconnect(&tenant, &alice, DisconnectTarget::All(None), RemoteGrant::Keep).await.unwrap();
    assert_eq!(found(), 0);
}

#[tokio::test]
async fn a_disconnect_that_revokes_the_grant_revokes_every_shop() {
    let stage = Stage::new();
    stage.connect("alice", "cross-border").await.unwrap();
    stage.clear_requests();
    let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await;
    assert_eq!(failures(&ended), [""; 0]);
    assert_eq!(stage.requests_to(DEAUTHORIZE), 5);
    assert!(!is_granted_at_tiktok(&stage, "cross-border"));
    assert_eq!(stored(&stage).await, (0, 0));
}

#[tokio::test]
async fn a_disconnect_says_which_connections_it_has_found() {
    let stage = Stage::new();
    let key = stage.connect("alice", "one-shop").await.unwrap().key;
    stage.connect("bob", "one-shop").await.unwrap();
    let shop = stage.connection("alice").await.shops[0].id.clone();
    let nothing =
        [DisconnectTarget::All(Some("nope".parse().unwrap())), DisconnectTarget::Shop("999".parse().unwrap())];
    for target in nothing {
        assert_eq!(disconnect(&stage, target.clone(), RemoteGrant::Keep).await.found, [], "{target:?}");
    }
    stage.host.link_shops(&tenant(0), &customer_id("alice"), None, &[]).await.unwrap();
    // The shop is not linked to the customer any more, but it is still a shop of the customer's connection.
    let ended = disconnect(&stage, DisconnectTarget::Shop(shop), RemoteGrant::Keep).await;
    assert_eq!(ended.found, std::slice::from_ref(&key));
    assert_eq!(disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Keep).await.found, []);

    let again = stage.connect("alice", "one-shop").await.unwrap().key;
    assert_eq!(disconnect(&stage, DisconnectTarget::All(Some(again.account)), RemoteGrant::Keep).await.found, [key]);
}

#[tokio::test]
async fn the_connections_of_other_customers_that_lose_shops_are_told_before_a_revocation() {
    let stage = Stage::new();
    let account = stage.connect("alice", "cross-border").await.unwrap().key.account;
    stage.connect("alice", "one-shop").await.unwrap();
    let bob = stage.connect("bob", "cross-border").await.unwrap();
    stage.connect("carol", "several-regions").await.unwrap();
    let shared = async |target: DisconnectTarget| {
        let shared = shared(&stage, &target).await.connections;
        shared.into_iter().map(|shared| (shared.key, shared.shops)).collect::<Vec<_>>()
    };
    let shops: Vec<_> = bob.shops.iter().map(|shop| shop.id.clone()).collect();
    let all = vec![(bob.key.clone(), shops.clone())];
    assert_eq!(shared(DisconnectTarget::All(None)).await, all);
    assert_eq!(shared(DisconnectTarget::All(Some(account))).await, all);
    assert_eq!(shared(DisconnectTarget::All(Some("nope".parse().unwrap()))).await, []);
    assert_eq!(shared(DisconnectTarget::Shop(shops[1].clone())).await, [(bob.key, vec![shops[1].clone()])]);
    assert_eq!(shared(DisconnectTarget::Shop("7490000000000000001".parse().unwrap())).await, []);
}

/// The seller opens a shop after alice has connected. No row of alice contains this shop before the revocation.
#[tokio::test]
async fn a_shop_that_only_tiktoks_latest_list_contains_is_found_before_a_revocation_and_named_after_it() {
    let stage = Stage::new();
    let bob = stage.connect("bob", "cross-border").await.unwrap();
    let shops: Vec<ShopId> = bob.shops.iter().map(|shop| shop.id.clone()).collect();
    let new = stage.fake.remove_shop("cross-border", shops[4].as_str()).unwrap();
    let key = stage.connect("alice", "cross-border").await.unwrap().key;
    assert_eq!(stage.connection("alice").await.shops.len(), 4);
    stage.fake.add_shop("cross-border", new).unwrap();
    stage.clear_requests();

    let of_shop = shared(&stage, &DisconnectTarget::Shop(shops[4].clone())).await;
    assert_eq!((of_shop, stage.requests_to(SHOPS)), (SharedConnections::default(), 0));
    let connections = vec![SharedConnection { key: bob.key, shops: shops.clone() }];
    let expected = SharedConnections { connections, shops_not_read: Vec::new() };
    assert_eq!(shared(&stage, &DisconnectTarget::All(None)).await, expected);
    assert_eq!(stage.requests_to(SHOPS), 1);

    let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await;
    let revoked: BTreeSet<_> = ended.revoked.iter().map(|revoked| revoked.shop.clone()).collect();
    assert_eq!((revoked, failures(&ended)), (shops.into_iter().collect(), vec![]));
    assert!(ended.revoked.iter().all(|revoked| revoked.account == key.account));
    assert_eq!(stage.requests_to(DEAUTHORIZE), 5);
}

/// An interrupted `connect` has stored alice's tokens without a row.
#[tokio::test]
async fn a_connection_that_has_only_tokens_is_read_before_a_revocation() {
    let stage = Stage::new();
    let bob = stage.connect("bob", "one-shop").await.unwrap();
    let key = stage.connect("alice", "one-shop").await.unwrap().key;
    let row = stage.storage.load_row(&tenant(0), &key).await.unwrap().unwrap();
    let deleted = stage.storage.swap_row(&tenant(0), &key, Some(&row.revision), None, &[]).await;
    assert_eq!((deleted, stored(&stage).await), (Ok(Swapped::Done), (1, 0)));
    let shops = bob.shops.into_iter().map(|shop| shop.id).collect();
    let connections = vec![SharedConnection { key: bob.key, shops }];
    let expected = SharedConnections { connections, shops_not_read: Vec::new() };
    assert_eq!(shared(&stage, &DisconnectTarget::All(Some(key.account))).await, expected);
}

/// A list of shops can't be read. If the seller is inactive, the refresh succeeds nevertheless.
#[tokio::test]
async fn an_account_whose_shops_are_not_read_is_named_before_a_revocation() {
    for fault in ["HTTP 503, HTML", "HTTP 200, code 36009044"] {
        let stage = Stage::new();
        let bob = stage.connect("bob", "one-shop").await.unwrap();
        let account = stage.connect("alice", "one-shop").await.unwrap().key.account;
        let shops = bob.shops.into_iter().map(|shop| shop.id).collect();
        let connections = vec![SharedConnection { key: bob.key, shops }];
        stage.fake.fault_next(SHOPS, fault, Fault::named(fault).unwrap());
        let expected = SharedConnections { connections, shops_not_read: vec![account.clone()] };
        assert_eq!(shared(&stage, &DisconnectTarget::All(Some(account))).await, expected, "{fault}");
    }
}

/// TikTok refuses to renew the tokens, so the connection waits before the next attempt. The access token is still
/// valid.
#[tokio::test]
async fn an_account_that_waits_after_failures_is_named_before_a_revocation() {
    let stage = Stage::new();
    let account = stage.connect("alice", "one-shop").await.unwrap().key.account;
    stage.advance(6 * DAY + DAY / 8);
    let fault = "HTTP 429, HTML";
    stage.fake.fault_every(TOKEN_REFRESH, fault, Fault::named(fault).unwrap());
    for _ in 0..2 {
        let _failed = stage.refresh("alice", RefreshMode::WhenDue).await;
    }
    let refreshed = stage.host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await.unwrap();
    let RefreshEffect::NothingSent(error) = refreshed.effect else { panic!("{:?}", refreshed.effect) };
    assert_eq!(error.failure().code, "backing-off");
    stage.clear_requests();
    let expected = SharedConnections { connections: Vec::new(), shops_not_read: vec![account] };
    assert_eq!(shared(&stage, &DisconnectTarget::All(None)).await, expected);
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn after_a_stop_no_shops_are_read_before_a_revocation() {
    let stage = Stage::new();
    let mut accounts = Vec::new();
    for seller in ["one-shop", "several-regions"] {
        accounts.push(stage.connect("alice", seller).await.unwrap().key.account);
    }
    accounts.sort();
    stage.clear_requests();
    let (tenant, alice) = (tenant(0), customer_id("alice"));
    let shared = stage.host.shared_connections(&tenant, &alice, &DisconnectTarget::All(None), ready(())).await;
    assert_eq!(shared, Ok(SharedConnections { connections: Vec::new(), shops_not_read: accounts }));
    assert_eq!(stage.fake.requests(), []);
}

/// The seller has removed the app. No cipher of the shop is stored any more, so TikTok is asked for nothing.
#[tokio::test]
async fn a_revocation_of_a_dead_connection_concerns_nobody_and_names_no_shop() {
    for by_shop in [false, true] {
        let stage = Stage::new();
        stage.connect("bob", "one-shop").await.unwrap();
        let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
        stage.fake.revoke("one-shop").unwrap();
        stage.advance(8 * DAY);
        let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-revoked".to_owned()));
        assert_eq!(stage.connection("alice").await.shops[0].standing, ShopStanding::Unconfirmed);
        stage.clear_requests();
        let target = if by_shop { DisconnectTarget::Shop(shop) } else { DisconnectTarget::All(None) };
        assert_eq!(shared(&stage, &target).await, SharedConnections::default());
        let ended = disconnect(&stage, target, RemoteGrant::Revoke).await;
        assert_eq!((ended.found.len(), failures(&ended)), (1, Vec::new()));
        assert_eq!((ended.revoked, stage.fake.requests()), (Vec::new(), Vec::new()));
    }
}

/// The connection dies while the lists of shops are read. It then needs no list, and takes no shop from bob.
#[tokio::test]
async fn a_connection_that_is_found_dead_before_a_revocation_concerns_nobody() {
    let stage = Stage::new();
    stage.connect("bob", "one-shop").await.unwrap();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.fake.revoke("one-shop").unwrap();
    stage.advance(8 * DAY);
    stage.clear_requests();
    assert_eq!(shared(&stage, &DisconnectTarget::All(None)).await, SharedConnections::default());
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
    assert_eq!(disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await.revoked, []);
}

#[tokio::test]
async fn a_revocation_names_exactly_the_shops_that_it_has_ended() {
    let stage = Stage::new();
    let shops: Vec<ShopId> =
        stage.connect("alice", "cross-border").await.unwrap().shops.into_iter().map(|shop| shop.id).collect();
    let revoked = |ended: &Disconnected| ended.revoked.iter().map(|revoked| revoked.shop.clone()).collect::<Vec<_>>();
    // The customer only unlinks the first shop, and TikTok still grants it.
    let ended = disconnect(&stage, DisconnectTarget::Shop(shops[0].clone()), RemoteGrant::Keep).await;
    assert_eq!(revoked(&ended), []);
    let ended = disconnect(&stage, DisconnectTarget::Shop(shops[1].clone()), RemoteGrant::Revoke).await;
    assert_eq!(revoked(&ended), [shops[1].clone()]);
    // TikTok has already revoked the second shop, and does not revoke the next one now.
    let fault = "HTTP 503, HTML";
    stage.fake.fault_next(DEAUTHORIZE, fault, Fault::named(fault).unwrap());
    let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await;
    let kept: Vec<_> = ended.not_revoked.iter().filter_map(|kept| kept.shop.clone()).collect();
    assert_eq!(kept.len(), 1);
    let mut expected: Vec<_> =
        shops.iter().filter(|shop| **shop != shops[1] && !kept.contains(shop)).cloned().collect();
    expected.sort();
    assert_eq!(revoked(&ended), expected);
}

/// When the seller connects, TikTok's list of shops contains no ciphers. Later the list contains ciphers, but the
/// connector has not read the list again before `disconnect`.
#[tokio::test]
async fn a_shop_without_a_stored_cipher_is_revoked_as_well() {
    let stage = Stage::new();
    let ciphers = |present: bool| {
        let updated = stage.fake.update_seller("one-shop", |seller| {
            seller
                .shops
                .iter_mut()
                .for_each(|shop| shop.cipher = present.then(|| "ROW_fixture99cipherThatComesLate".to_owned()));
        });
        updated.unwrap();
    };
    ciphers(false);
    let connection = stage.connect("alice", "one-shop").await.unwrap();
    assert!(connection.shops.iter().all(|shop| shop.cipher.is_none()));
    ciphers(true);
    let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await;
    assert_eq!(failures(&ended), [""; 0]);
    assert!(!is_granted_at_tiktok(&stage, "one-shop"));
}

#[tokio::test]
async fn if_revoking_one_shop_ends_the_whole_grant_no_failure_is_reported() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.deauthorize_shop = DeauthorizeShop::Grant);
    stage.connect("alice", "cross-border").await.unwrap();
    // More than ten minutes pass after the consent. Earlier, the connector would not ask TikTok's token server whether
    // the grant has ended, and would report the other shops as failures.
    stage.advance(601);
    let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await;
    assert_eq!(failures(&ended), [""; 0]);
    assert_eq!(stored(&stage).await, (0, 0));
}

#[tokio::test]
async fn a_shop_that_tiktok_does_not_revoke_is_reported_and_erased_in_the_storage() {
    for (fault, code) in [
        ("HTTP 503, HTML", "outcome-unknown"),
        ("HTTP 429, HTML", "rate-limited"),
        ("reply lost: TikTok acted, cut off in the body", "outcome-unknown"),
    ] {
        let Some(scripted) = Fault::named(fault) else { panic!("no fault {fault}") };
        let stage = Stage::new();
        let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0);
        stage.fake.fault_every(DEAUTHORIZE, fault, scripted);
        let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await;
        assert_eq!(failures(&ended), [code], "{fault}");
        assert_eq!(ended.not_revoked[0].shop.as_ref(), Some(&shop.id));
        assert_eq!(stored(&stage).await, (0, 0), "{fault}");
    }
}

#[tokio::test]
async fn after_one_shop_of_several_is_disconnected_the_others_stay() {
    for (answer, status) in [
        (DeauthorizeShop::Shop, ConnectionStatus::Active),
        (
            DeauthorizeShop::Grant,
            ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked),
        ),
    ] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.deauthorize_shop = answer);
        let shops = stage.connect("alice", "cross-border").await.unwrap().shops;
        // More than ten minutes pass after the consent. Earlier, only a forced refresh would renew a refused token.
        stage.advance(601);
        let target = DisconnectTarget::Shop(shops[0].id.clone());
        let ended = disconnect(&stage, target, RemoteGrant::Revoke).await;
        assert_eq!(failures(&ended), [""; 0]);
        let left = &ended.remaining[0].shops[0];
        assert_eq!((left.linked, left.standing), (false, ShopStanding::NoLongerGranted));
        assert_eq!(stored(&stage).await, (1, 1));
        // The connection is due at once. So the next refresh shows the state of the other shops.
        assert_eq!(stage.due().await, 1);
        let _outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(stage.connection("alice").await.status, status, "{answer:?}");
        assert_eq!(stage.due().await, 0);
    }
}

#[tokio::test]
async fn disconnecting_the_last_linked_shop_erases_the_tokens() {
    let stage = Stage::new();
    let shops: Vec<ShopId> =
        stage.connect("alice", "several-regions").await.unwrap().shops.into_iter().map(|shop| shop.id).collect();
    for (at, id) in shops.iter().enumerate() {
        let ended = disconnect(&stage, DisconnectTarget::Shop(id.clone()), RemoteGrant::Keep).await;
        assert_eq!(ended.remaining.len(), usize::from(at < 2));
    }
    assert_eq!(stored(&stage).await, (0, 0));
}

#[tokio::test]
async fn disconnecting_one_account_leaves_the_other_unchanged() {
    let stage = Stage::new();
    let first = stage.connect("alice", "one-shop").await.unwrap();
    let second = stage.connect("alice", "cross-border").await.unwrap();
    disconnect(&stage, DisconnectTarget::All(Some(first.key.account)), RemoteGrant::Keep).await;
    assert_eq!(stage.connections("alice").await, [second]);
}

#[tokio::test]
async fn a_disconnect_changes_no_other_customer_and_no_other_tenant() {
    let stage = Stage::new();
    let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
    stage.connect("bob", "one-shop").await.unwrap();
    let (other, alice) = (tenant(1), customer_id("alice"));
    let ended = stage.host.disconnect(&other, &alice, DisconnectTarget::All(None), RemoteGrant::Keep).await;
    assert_eq!(ended.unwrap().remaining, []);
    assert_eq!(stored(&stage).await, (1, 1));
    disconnect(&stage, DisconnectTarget::Shop(shop), RemoteGrant::Keep).await;
    assert_eq!(stored(&stage).await, (0, 0));
    assert_eq!(stage.connections("bob").await.len(), 1);
}

/// A refresh and a disconnect run at the same time, 20 times. Nothing stays stored, no matter which of the two calls is
/// first.
#[tokio::test]
async fn a_refresh_during_a_disconnect_brings_nothing_back() {
    for round in 0..20 {
        let stage = Stage::new();
        stage.connect("alice", "cross-border").await.unwrap();
        stage.advance(if round % 2 == 0 { 8 * DAY } else { 0 });
        let refresh = stage.refresh("alice", RefreshMode::Forced);
        let end = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Keep);
        let (refreshed, _) = join(refresh, end).await;
        if let Err(error) = refreshed {
            assert_eq!(refusal::<()>(Err(error)).1, "not-connected");
        }
        assert_eq!(stage.connections("alice").await, []);
        assert_eq!(stage.storage.accounts(&tenant(0), &customer_id("alice")).await.unwrap(), []);
    }
}

/// A refresh and a new consent run at the same time, 20 times. The connection then uses tokens that TikTok accepts, no
/// matter which of the two calls is first.
#[tokio::test]
async fn a_refresh_during_a_reconnect_leaves_a_working_connection() {
    for round in 0..20 {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::RevokesFamily);
        stage.connect("alice", "cross-border").await.unwrap();
        stage.advance(if round % 2 == 0 { 8 * DAY } else { 0 });
        let (_, connected) =
            join(stage.refresh("alice", RefreshMode::Forced), stage.connect("alice", "cross-border")).await;
        connected.unwrap();
        stage.advance(700);
        let connection = stage.refresh("alice", RefreshMode::Forced).await.unwrap();
        assert_eq!((connection.status, connection.shops.len()), (ConnectionStatus::Active, 5), "round {round}");
        assert_eq!(stage.connections("alice").await, [connection]);
    }
}

#[tokio::test]
async fn a_customer_who_connects_again_starts_without_the_earlier_choice_of_shops() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::Refused);
    let shops = stage.connect("alice", "several-regions").await.unwrap().shops;
    stage.host.link_shops(&tenant(0), &customer_id("alice"), None, &[shops[0].id.clone()]).await.unwrap();
    disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Keep).await;
    stage.advance(DAY);
    let again = stage.connect("alice", "several-regions").await.unwrap();
    assert!(again.shops.iter().all(|shop| shop.linked), "the earlier choice is erased");
    assert_eq!(again.connected_at, again.granted_at);
}

#[tokio::test]
async fn a_new_consent_links_a_revoked_shop_again_but_not_a_shop_that_the_customer_unlinked() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.deauthorize_notice = DeauthorizeNotice::None);
    let shops = stage.connect("alice", "cross-border").await.unwrap().shops;
    for id in [&shops[0].id, &shops[1].id] {
        let remote = if id == &shops[0].id { RemoteGrant::Revoke } else { RemoteGrant::Keep };
        disconnect(&stage, DisconnectTarget::Shop(id.clone()), remote).await;
    }
    let again = stage.connect("alice", "cross-border").await.unwrap();
    let linked: Vec<_> = again.shops.iter().map(|shop| (shop.standing, shop.linked)).collect();
    assert_eq!(linked[0], (ShopStanding::Granted, true), "the shop was revoked at TikTok");
    assert_eq!(linked[1], (ShopStanding::Granted, false), "the customer has only unlinked the shop");
}

/// An interceptor that lets another host store a new consent just before the first deletion of a token record.
struct ConsentFirst {
    other: ConnectorHost,
    query: String,
    is_done: AtomicBool,
}

#[async_trait]
impl Interceptor for ConsentFirst {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if matches!(access, Access::SwapToken(_, _, Some(_), None)) && !self.is_done.swap(true, Ordering::SeqCst) {
            let grant = grant(&self.query);
            self.other.connect(&tenant(0), &customer_id("alice"), None, grant, ShopPolicy::All).await.unwrap();
        }
        Passage::Forward
    }
}

#[tokio::test]
async fn a_consent_that_is_stored_during_a_disconnect_stays_connected() {
    let stage = Stage::new();
    stage.connect("alice", "cross-border").await.unwrap();
    stage.advance(60);
    let (other, query) = (stage.another_host(), stage.callback("cross-border", Decision::Allow));
    let interceptor = Arc::new(ConsentFirst { other, query, is_done: AtomicBool::new(false) });
    stage.intercept(Arc::clone(&interceptor) as Arc<_>);
    disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Keep).await;
    assert!(interceptor.is_done.load(Ordering::SeqCst));
    assert_eq!(stored(&stage).await, (1, 1));
    let connection = stage.refresh("alice", RefreshMode::Forced).await.unwrap();
    assert_eq!((connection.status, connection.shops.len()), (ConnectionStatus::Active, 5));

    // A second disconnect finds the connection of the new consent, and ends this connection.
    disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Keep).await;
    assert_eq!(stored(&stage).await, (0, 0));
}
