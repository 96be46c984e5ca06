//! `disconnect`: what is left here and at TikTok, under every answer that TikTok might give.

use fake_tiktok_shop::{DeauthorizeNotice, DeauthorizeShop, Decision, Fault, ReplacedRefreshToken};
use futures::future::join;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ReauthorizationReason, ShopPolicy, ShopStanding};
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, RemoteGrant};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{AccountId, ShopId};
use tiktok_shop_tests::{DAY, Stage, customer_id, grant, refusal, tenant};

const DEAUTHORIZE: &str = "/authorization/202403/shops";

async fn disconnect(stage: &Stage, target: DisconnectTarget, remote: RemoteGrant) -> Disconnected {
    stage.host.disconnect(&tenant(0), &customer_id("alice"), target, remote).await.unwrap()
}

async fn connections(stage: &Stage) -> Vec<Connection> {
    stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap()
}

/// What storage holds of the customer: accounts with tokens, and rows.
async fn stored(stage: &Stage) -> (usize, usize) {
    let (tenant, customer) = (tenant(0), customer_id("alice"));
    let accounts = stage.storage.accounts(&tenant, &customer).await.unwrap();
    (accounts.len(), stage.storage.list_rows(&tenant, &customer).await.unwrap().len())
}

fn failures(ended: &Disconnected) -> Vec<&str> {
    ended.not_revoked.iter().map(|left| left.failure.code.as_str()).collect()
}

/// Whether TikTok still honours anything of the seller's grant.
fn lives_at_tiktok(stage: &Stage, seller: &str) -> bool {
    let service = &stage.fake.apps()[0].service_id;
    stage.fake.issued(service, seller).unwrap().refresh_tokens.iter().any(|token| token.honoured)
}

#[tokio::test]
async fn keeping_the_grant_asks_tiktok_nothing_and_erases_everything_here() {
    let stage = Stage::new();
    stage.connect("alice", "cross-border").await.unwrap();
    stage.clear_requests();
    for _ in 0..2 {
        let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Keep).await;
        assert_eq!((ended.remaining, ended.not_revoked), (Vec::new(), Vec::new()));
        assert_eq!(stored(&stage).await, (0, 0), "twice is once");
    }
    assert_eq!(stage.fake.requests(), []);
    assert!(lives_at_tiktok(&stage, "cross-border"));
    assert_eq!(refusal(stage.refresh("alice", RefreshMode::Forced).await).1, "not-connected");
}

#[tokio::test]
async fn revoking_takes_every_shop_back() {
    let stage = Stage::new();
    stage.connect("alice", "cross-border").await.unwrap();
    stage.clear_requests();
    let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await;
    assert_eq!(failures(&ended), [""; 0]);
    assert_eq!(stage.requests_to(DEAUTHORIZE), 5);
    assert!(!lives_at_tiktok(&stage, "cross-border"));
    assert_eq!(stored(&stage).await, (0, 0));
}

#[tokio::test]
async fn where_the_first_shop_takes_the_whole_grant_along_there_is_nothing_to_report() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.deauthorize_shop = DeauthorizeShop::Grant);
    stage.connect("alice", "cross-border").await.unwrap();
    // Within ten minutes of the consent the connector would not ask the token host again, and report the others.
    stage.advance(601);
    let ended = disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Revoke).await;
    assert_eq!(failures(&ended), [""; 0]);
    assert_eq!(stored(&stage).await, (0, 0));
}

#[tokio::test]
async fn what_tiktok_does_not_take_back_is_told_and_gone_here() {
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
async fn one_shop_of_several_goes_and_the_others_work_on() {
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
        stage.advance(601);
        let target = DisconnectTarget::Shop(shops[0].id.clone());
        let ended = disconnect(&stage, target, RemoteGrant::Revoke).await;
        assert_eq!(failures(&ended), [""; 0]);
        let left = &ended.remaining[0].shops[0];
        assert_eq!((left.linked, left.standing), (false, ShopStanding::NoLongerGranted));
        assert_eq!(stored(&stage).await, (1, 1));
        // What became of the others is found out at once, not when the tokens are due.
        assert_eq!(due(&stage).await, 1);
        let _either = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(connections(&stage).await[0].status, status, "{answer:?}");
        assert_eq!(due(&stage).await, 0);
    }
}

async fn due(stage: &Stage) -> usize {
    let now = tiktok_shop_host::connection::UnixSeconds(stage.fake.now());
    stage.storage.due(now, None, 10).await.unwrap().len()
}

#[tokio::test]
async fn the_last_linked_shop_takes_the_tokens_along() {
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
async fn one_account_of_two_ends_and_the_other_is_untouched() {
    let stage = Stage::new();
    let first = stage.connect("alice", "one-shop").await.unwrap();
    let second = stage.connect("alice", "cross-border").await.unwrap();
    let account: AccountId = first.key.account.clone();
    disconnect(&stage, DisconnectTarget::All(Some(account)), RemoteGrant::Keep).await;
    assert_eq!(connections(&stage).await, [second]);
}

#[tokio::test]
async fn nothing_of_another_customer_or_tenant_is_touched() {
    let stage = Stage::new();
    let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
    stage.connect("bob", "one-shop").await.unwrap();
    let (other, alice) = (tenant(1), customer_id("alice"));
    let ended = stage.host.disconnect(&other, &alice, DisconnectTarget::All(None), RemoteGrant::Keep).await;
    assert_eq!(ended.unwrap().remaining, []);
    assert_eq!(stored(&stage).await, (1, 1));
    disconnect(&stage, DisconnectTarget::Shop(shop), RemoteGrant::Keep).await;
    assert_eq!(stored(&stage).await, (0, 0));
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("bob")).await.unwrap().len(), 1);
}

/// Both at once, many times over: whoever is first, nothing stays or comes back.
#[tokio::test]
async fn a_refresh_in_flight_resurrects_nothing() {
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
        assert_eq!(connections(&stage).await, []);
        assert_eq!(stage.storage.accounts(&tenant(0), &customer_id("alice")).await.unwrap(), []);
    }
}

/// The same with a consent in place of the end: whoever is first, one of the pairs lives, and it is found.
#[tokio::test]
async fn a_reconnect_and_a_refresh_in_flight_leave_a_connection_that_works() {
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
        assert_eq!(connections(&stage).await, [connection]);
    }
}

#[tokio::test]
async fn a_customer_who_comes_back_starts_anew() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::Refused);
    let shops = stage.connect("alice", "several-regions").await.unwrap().shops;
    stage.host.link_shops(&tenant(0), &customer_id("alice"), None, &[shops[0].id.clone()]).await.unwrap();
    disconnect(&stage, DisconnectTarget::All(None), RemoteGrant::Keep).await;
    stage.advance(DAY);
    let again = stage.connect("alice", "several-regions").await.unwrap();
    assert!(again.shops.iter().all(|shop| shop.linked), "what was chosen before is forgotten");
    assert_eq!(again.connected_at, again.granted_at);
}

#[tokio::test]
async fn a_shop_taken_back_is_linked_again_by_the_consent_that_brings_it_back() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.deauthorize_notice = DeauthorizeNotice::None);
    let shops = stage.connect("alice", "cross-border").await.unwrap().shops;
    for id in [&shops[0].id, &shops[1].id] {
        let remote = if id == &shops[0].id { RemoteGrant::Revoke } else { RemoteGrant::Keep };
        disconnect(&stage, DisconnectTarget::Shop(id.clone()), remote).await;
    }
    let query = stage.callback("cross-border", Decision::Allow);
    let again = stage.host.connect(&tenant(0), &customer_id("alice"), grant(&query), ShopPolicy::All).await.unwrap();
    let linked: Vec<_> = again.shops.iter().map(|shop| (shop.standing, shop.linked)).collect();
    assert_eq!(linked[0], (ShopStanding::Granted, true), "it was TikTok's to give");
    assert_eq!(linked[1], (ShopStanding::Granted, false), "it was the customer's choice");
}
