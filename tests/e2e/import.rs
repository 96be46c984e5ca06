//! Tests of `import_grant`: sellers who have consented in another system are connected with the tokens of that system.

use std::collections::BTreeSet;

use fake_tiktok_shop::{Fault, ReplacedRefreshToken};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ReauthorizationReason, ShopPolicy, UnixSeconds};
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::events::{Cause, EventKind};
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{AccountId, AppKey, CallError, ConnectorHost, Secret};
use tiktok_shop_tests::{
    BEGIN, DAY, SHOPS, Stage, TOKEN_REFRESH, app_credentials, customer_id, order_search, refusal, tenant,
};

const SELLER: &str = "one-shop";

/// Imports a grant for the customer alice.
async fn import_by(host: &ConnectorHost, app: Option<&AppKey>, grant: &ExistingGrant) -> Result<Connection, CallError> {
    host.import_grant(&tenant(0), &customer_id("alice"), app, grant.clone(), ShopPolicy::All).await
}

async fn import(stage: &Stage, grant: &ExistingGrant) -> Result<Connection, CallError> {
    import_by(&stage.host, None, grant).await
}

/// Returns the grant with its account, and without.
fn both_forms(grant: &ExistingGrant) -> [ExistingGrant; 2] {
    [grant.clone(), ExistingGrant { account: None, ..grant.clone() }]
}

fn refused(outcome: Result<Connection, CallError>, action: &str, code: &str) {
    let (actual, actual_code) = refusal(outcome);
    assert_eq!((actual, actual_code.as_str()), (action, code));
}

/// Asserts that nothing is stored for alice.
async fn assert_nothing_stored(stage: &Stage) {
    assert_eq!(stage.connections("alice").await, []);
    let accounts = stage.storage.accounts(&tenant(0), &customer_id("alice")).await.unwrap();
    assert_eq!(accounts, Vec::<AccountId>::new());
}

#[tokio::test]
async fn an_imported_grant_is_refreshed_once_and_used() {
    for number in 0..2 {
        let stage = Stage::new();
        let grant = both_forms(&stage.grant_in_another_system(SELLER).await)[number].clone();
        stage.advance(DAY);
        stage.clear_requests();
        let connection = import(&stage, &grant).await.unwrap();
        assert_eq!((connection.status, connection.seller_name.as_str()), (ConnectionStatus::Active, "Teapot Corner"));
        assert_eq!(connection.access_expires_at, Some(UnixSeconds(BEGIN + 8 * DAY)));
        assert_eq!((connection.connected_at, connection.last_failure.as_ref()), (UnixSeconds(BEGIN + DAY), None));
        assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(SHOPS)), (1, 1));
        assert_eq!(stage.connection("alice").await, connection);

        let [shop] = connection.shops.as_slice() else { panic!("one shop") };
        let answer = stage.host.call(&tenant(0), &customer_id("alice"), order_search(&shop.id)).await.unwrap();
        assert!(answer.is_success());
        // The connector goes on with its own tokens.
        stage.advance(7 * DAY);
        stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
        assert_eq!(stage.issued(SELLER).refresh_tokens.len(), 3);
    }
}

#[tokio::test]
async fn an_import_writes_its_events_with_its_cause() {
    let stage = Stage::new();
    let grant = stage.grant_in_another_system(SELLER).await;
    import(&stage, &grant).await.unwrap();
    let events = stage.storage.events(&tenant(0), None, usize::MAX).await.unwrap();
    let events: Vec<_> = events.into_iter().map(|event| (event.event.kind, event.event.origin.cause)).collect();
    let shops = vec!["7490000000000000001".parse().unwrap()];
    let import = Some(Cause::Import);
    assert_eq!(events, [(EventKind::Connected, import), (EventKind::ShopsLinked { shops }, import)]);
}

#[tokio::test]
async fn a_rejected_grant_leaves_nothing() {
    let stage = Stage::new();
    let grant = stage.grant_in_another_system(SELLER).await;
    stage.fake.revoke_refresh_token(grant.refresh_token.expose()).unwrap();
    for grant in both_forms(&grant) {
        refused(import(&stage, &grant).await, "reauthorize", "authorization-revoked");
        assert_nothing_stored(&stage).await;
    }
    let unknown = ExistingGrant { refresh_token: "ROW_never-issued-by-tiktok".into(), ..grant };
    refused(import(&stage, &unknown).await, "reauthorize", "authorization-revoked");
    assert_nothing_stored(&stage).await;
}

#[tokio::test]
async fn an_expired_grant_leaves_nothing() {
    let stage = Stage::new();
    let grant = stage.grant_in_another_system(SELLER).await;
    stage.fake.end_authorization(SELLER).unwrap();
    stage.advance(8 * DAY);
    for grant in both_forms(&grant) {
        refused(import(&stage, &grant).await, "reauthorize", "authorization-expired");
        assert_nothing_stored(&stage).await;
    }
}

#[tokio::test]
async fn the_grant_of_a_creator_leaves_nothing() {
    let stage = Stage::new();
    let connected = stage.connect("bob", "creator").await;
    refused(connected, "invalid-request", "not-a-seller");
    let token = stage.issued("creator").refresh_tokens.pop().unwrap().token;
    refused(import(&stage, &ExistingGrant::new(token.into())).await, "invalid-request", "not-a-seller");
    let token = stage.issued("creator").refresh_tokens.pop().unwrap().token;
    let account = Some("account-of-a-creator".parse().unwrap());
    let named = ExistingGrant { account, ..ExistingGrant::new(token.into()) };
    refused(import(&stage, &named).await, "invalid-request", "not-a-seller");
    assert_nothing_stored(&stage).await;
}

#[tokio::test]
async fn a_grant_of_another_app_leaves_nothing() {
    let stage = Stage::new();
    let grant = stage.grant_in_another_system(SELLER).await;
    let apps = stage.fake.apps();
    let with = |all: StaticCredentials, app: &fake_tiktok_shop::App| all.with(tenant(0), app_credentials(app));
    let host = stage.host_with([&apps[0], &apps[2]].into_iter().fold(StaticCredentials::new(), with));
    let (own, other): (AppKey, AppKey) = (apps[0].app_key.parse().unwrap(), apps[2].app_key.parse().unwrap());
    for grant in both_forms(&grant) {
        refused(import_by(&host, None, &grant).await, "invalid-request", "app-required");
        refused(import_by(&host, Some(&other), &grant).await, "reauthorize", "authorization-revoked");
        assert_nothing_stored(&stage).await;
    }
    let connection = import_by(&host, Some(&own), &grant).await.unwrap();
    assert_eq!(connection.app, Some(own));
    // The account belongs to the first app now.
    refused(import_by(&host, Some(&other), &grant).await, "invalid-request", "account-of-another-app");
    // The caller named the wrong app, so the token was sent with the key of this app, to TikTok's token host only.
    let sent = "refresh token in refresh_token of auth.tiktok-shops.com/api/v2/token/refresh".to_owned();
    assert_eq!(stage.misplaced_secrets(), BTreeSet::from([sent]));
    stage.fake.clear_requests();
}

#[tokio::test]
async fn a_connected_customer_keeps_what_they_have() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::Honoured);
    let grant = stage.grant_in_another_system(SELLER).await;
    let connection = stage.connect("alice", SELLER).await.unwrap();
    let before = stage.token_record(&connection.key).await.unwrap();
    stage.clear_requests();
    refused(import(&stage, &grant).await, "invalid-request", "already-connected");
    assert_eq!(stage.fake.requests().len(), 0);
    assert_eq!(stage.token_record(&connection.key).await.unwrap(), before);
    assert_eq!(stage.connection("alice").await, connection);

    let unnamed = ExistingGrant { account: None, ..grant };
    refused(import(&stage, &unnamed).await, "invalid-request", "already-connected");
    assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(SHOPS)), (1, 0));
    let after = TokenRecord::decode(&stage.token_record(&connection.key).await.unwrap()).unwrap();
    let before = TokenRecord::decode(&before).unwrap();
    let refresh = |record: &TokenRecord| record.current().refresh.as_ref().unwrap().expose().to_owned();
    assert_eq!((refresh(&after), after.fallbacks().len()), (refresh(&before), 1));
    assert_eq!(stage.connection("alice").await, connection);
}

#[tokio::test]
async fn a_dead_connection_is_replaced() {
    for number in 0..2 {
        let stage = Stage::new();
        let connection = stage.connect("alice", SELLER).await.unwrap();
        stage.fake.revoke(SELLER).unwrap();
        refused(stage.refresh("alice", RefreshMode::Forced).await, "reauthorize", "authorization-revoked");
        let dead = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked);
        assert_eq!(stage.connection("alice").await.status, dead);

        // The seller has consented again, but in the other system.
        let grant = both_forms(&stage.grant_in_another_system(SELLER).await)[number].clone();
        let imported = import(&stage, &grant).await.unwrap();
        assert_eq!((imported.status, &imported.key), (ConnectionStatus::Active, &connection.key));
        assert_eq!(imported.connected_at, connection.connected_at);
        let [shop] = imported.shops.as_slice() else { panic!("one shop") };
        let answer = stage.host.call(&tenant(0), &customer_id("alice"), order_search(&shop.id)).await.unwrap();
        assert!(answer.is_success());
    }
}

#[tokio::test]
async fn a_grant_under_a_wrong_account_is_kept_and_the_connection_says_so() {
    let stage = Stage::new();
    let account: AccountId = "an-account-that-the-old-system-mixed-up".parse().unwrap();
    let grant = stage.grant_in_another_system(SELLER).await;
    let connection = import(&stage, &ExistingGrant { account: Some(account.clone()), ..grant }).await.unwrap();
    assert_eq!((connection.key.account.clone(), connection.status), (account, ConnectionStatus::Active));
    let failure = connection.last_failure.as_ref().map(|past| past.failure.code.as_str());
    assert_eq!((failure, connection.shops.len()), (Some("account-changed"), 1));
}

#[tokio::test]
async fn a_malformed_grant_is_refused_without_a_request() {
    let stage = Stage::new();
    let malformed = |text: &str| ExistingGrant::new(Secret::from(text));
    for grant in [malformed(""), malformed("ROW_with a space"), malformed(&"R".repeat(4097))] {
        refused(import(&stage, &grant).await, "invalid-request", "grant-malformed");
    }
    assert_eq!(stage.fake.requests().len(), 0);
}

/// Lets TikTok Shop act on the next refresh, and loses its answer.
fn lose_next_answer(stage: &Stage) {
    let name = "reply lost: TikTok acted, then reset";
    stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap());
}

/// TikTok acts on the first request, and its answer is lost. It answers the replaced token once more.
#[tokio::test]
async fn the_same_import_continues_after_a_lost_answer() {
    for number in 0..2 {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| {
            switches.replaced_refresh_token = ReplacedRefreshToken::AnsweredAgainForSeconds(600);
        });
        let grant = both_forms(&stage.grant_in_another_system(SELLER).await)[number].clone();
        lose_next_answer(&stage);
        refused(import(&stage, &grant).await, "retry-after", "answer-incomplete");
        assert_eq!(stage.connections("alice").await, [], "no connection that has never worked");
        stage.advance(121);
        let connection = import(&stage, &grant).await.unwrap();
        assert_eq!(connection.status, ConnectionStatus::Active);
        refused(import(&stage, &grant).await, "invalid-request", "already-connected");
    }
}

#[tokio::test]
async fn a_sweep_continues_an_import_after_a_lost_answer() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| {
        switches.replaced_refresh_token = ReplacedRefreshToken::AnsweredAgainForSeconds(600);
    });
    let grant = stage.grant_in_another_system(SELLER).await;
    lose_next_answer(&stage);
    refused(import(&stage, &grant).await, "retry-after", "answer-incomplete");
    stage.advance(121);
    assert_eq!(stage.due().await, 1);
    stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!(stage.connection("alice").await.status, ConnectionStatus::Active);
}
