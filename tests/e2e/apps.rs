//! Tests of a tenant with two apps: one for the US, and one for the rest of the world. A customer has shops under both.

use std::convert::Infallible;
use std::time::Duration;

use fake_tiktok_shop::{App, CallbackExtras, Decision, Market, Shop};
use serde_json::{Map, json};
use tiktok_shop_host::connection::{Connection, ShopPolicy};
use tiktok_shop_host::consent::{BrowserSession, ConsentError};
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::webhook::{WebhookEffect, WebhookReply};
use tiktok_shop_host::{AppKey, CallError, ConnectorHost};
use tiktok_shop_tests::{DAY, Stage, app_credentials, customer_id, grant, order_search, refusal, tenant};

/// A seller with shops in Germany, France and Ireland. In these tests, the seller also has a shop in the US.
const SELLER: &str = "several-regions";
const GERMAN_SHOP: &str = "7490000000000000002";
const US_SHOP: &str = "7490000000000000077";

/// The app for the rest of the world and the app for the US.
fn both(stage: &Stage) -> (App, App) {
    let apps = stage.fake.apps();
    (apps[0].clone(), apps[2].clone())
}

fn key(app: &App) -> AppKey {
    app.app_key.parse().unwrap()
}

/// Builds a host whose first tenant has these apps.
fn host_with(stage: &Stage, apps: &[&App]) -> ConnectorHost {
    let with = |all: StaticCredentials, app: &&App| all.with(tenant(0), app_credentials(app));
    stage.host_with(apps.iter().fold(StaticCredentials::new(), with))
}

fn stage_of_two_markets() -> Stage {
    let stage = Stage::new();
    let (global, us) = both(&stage);
    stage.fake.update_app(&global.service_id, |app| app.market = Market::OutsideUs).unwrap();
    assert_eq!(us.market, Market::Us);
    let us_shop = Shop {
        id: US_SHOP.to_owned(),
        name: "Lantern & Loom US".to_owned(),
        region: "US".to_owned(),
        seller_type: "LOCAL".to_owned(),
        cipher: Some("ROW_fixture77cipherOfUS".to_owned()),
        code: "USLCFIX077".to_owned(),
        extra: Map::new(),
    };
    stage.fake.add_shop(SELLER, us_shop).unwrap();
    stage
}

/// Begins a consent of alice to an app, lets the seller consent, and finishes the consent.
async fn connect(stage: &Stage, host: &ConnectorHost, app: &App) -> Connection {
    let at = stage.fake.apps().iter().position(|known| known.app_key == app.app_key).unwrap();
    let state = begin(host, Some(&key(app))).await.unwrap();
    let query = stage.callback_of(at, SELLER, Some(&state), Decision::Allow);
    host.finish_consent(&tenant(0), &browser(), query.into()).await.unwrap()
}

fn browser() -> BrowserSession {
    BrowserSession::new("the session of alice, signed in".into()).unwrap()
}

/// Begins a consent of alice, and returns its state.
async fn begin(host: &ConnectorHost, app: Option<&AppKey>) -> Result<String, ConsentError> {
    let alice = customer_id("alice");
    let consent = host.begin_consent(&tenant(0), &alice, app, &browser(), ShopPolicy::All).await?;
    let link = consent.url.expose().to_owned();
    Ok(link.split_once("&state=").unwrap().1.to_owned())
}

/// Connects alice under both apps. Returns the connections under the app for the rest of the world and for the US.
async fn connect_both(stage: &Stage, host: &ConnectorHost) -> (Connection, Connection) {
    let (global, us) = both(stage);
    (connect(stage, host, &global).await, connect(stage, host, &us).await)
}

async fn search_orders(host: &ConnectorHost, shop: &str) -> Result<u16, CallError> {
    let answer = host.call(&tenant(0), &customer_id("alice"), order_search(&shop.parse().unwrap())).await?;
    assert!(answer.is_success(), "{answer:?}");
    Ok(answer.http_status)
}

/// Returns the keys of the apps for which requests were sent, in the order of the requests.
fn askers(stage: &Stage) -> Vec<String> {
    let app_key = |request: &fake_tiktok_shop::RequestRecord| {
        request.query.iter().find(|(name, _)| name == "app_key").map(|(_, value)| value.clone())
    };
    stage.fake.requests().iter().filter_map(app_key).collect()
}

fn regions(connection: &Connection) -> Vec<&str> {
    connection.shops.iter().map(|shop| shop.region.as_str()).collect()
}

#[tokio::test]
async fn a_customer_has_shops_under_two_apps() {
    let stage = stage_of_two_markets();
    let (global, us) = both(&stage);
    let host = host_with(&stage, &[&global, &us]);
    let (german, american) = connect_both(&stage, &host).await;
    assert_eq!((regions(&german), regions(&american)), (vec!["DE", "FR", "IE"], vec!["US"]));
    assert_eq!((german.app.clone(), american.app.clone()), (Some(key(&global)), Some(key(&us))));
    assert_ne!(german.key.account, american.key.account, "the same seller has another account id in each app");

    let listed = host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap();
    let mut expected = vec![german.clone(), american.clone()];
    expected.sort_by(|one, other| one.key.account.as_str().cmp(other.key.account.as_str()));
    assert_eq!(listed, expected);
    let shops = host.list_shops(&tenant(0), &customer_id("alice")).await.unwrap();
    let mut shops: Vec<_> = shops.into_iter().map(|shop| shop.region).collect();
    shops.sort();
    assert_eq!(shops, ["DE", "FR", "IE", "US"]);

    stage.clear_requests();
    assert_eq!(search_orders(&host, GERMAN_SHOP).await, Ok(200));
    assert_eq!(search_orders(&host, US_SHOP).await, Ok(200));
    assert_eq!(askers(&stage), [global.app_key.clone(), us.app_key.clone()]);

    // Both tokens are renewed, each with its own app.
    stage.advance(8 * DAY);
    stage.clear_requests();
    for (connection, app) in [(&german, &global), (&american, &us)] {
        let account = Some(&connection.key.account);
        host.refresh(&tenant(0), &connection.key.customer, account, RefreshMode::WhenDue).await.unwrap();
        let asked = askers(&stage);
        assert_eq!(asked, [app.app_key.clone(), app.app_key.clone()], "for new tokens and for the shops");
        stage.clear_requests();
    }
}

#[tokio::test]
async fn a_lost_app_ends_its_own_connections_only() {
    let stage = stage_of_two_markets();
    let (global, us) = both(&stage);
    let both_apps = host_with(&stage, &[&global, &us]);
    let (german, american) = connect_both(&stage, &both_apps).await;
    let host = host_with(&stage, &[&global]);
    stage.advance(8 * DAY);
    stage.clear_requests();

    let account = Some(&american.key.account);
    let refused = host.refresh(&tenant(0), &american.key.customer, account, RefreshMode::WhenDue).await;
    assert_eq!(refusal(refused), ("misconfigured", "app-unknown".to_owned()));
    assert_eq!(refusal(search_orders(&host, US_SHOP).await), ("misconfigured", "app-unknown".to_owned()));
    let refused = host.access_token(&tenant(0), &american.key.customer, account, Duration::ZERO).await;
    assert_eq!(refusal(refused), ("misconfigured", "app-unknown".to_owned()));
    assert_eq!(stage.fake.requests(), [], "nothing is sent");

    assert_eq!(search_orders(&host, GERMAN_SHOP).await, Ok(200));
    let listed = host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap();
    let failure = |connection: &Connection| {
        let found = listed.iter().find(|listed| listed.key == connection.key).unwrap();
        found.last_failure.as_ref().map(|past| past.failure.code.clone())
    };
    assert_eq!((failure(&german), failure(&american)), (None, Some("app-unknown".to_owned())));

    // The tokens were kept: with its app the connection works again.
    host.refresh(&tenant(0), &german.key.customer, Some(&german.key.account), RefreshMode::WhenDue).await.unwrap();
    let restored = both_apps.refresh(&tenant(0), &american.key.customer, account, RefreshMode::WhenDue).await.unwrap();
    assert_eq!(restored.connection.last_failure, None);
    assert_eq!(search_orders(&both_apps, US_SHOP).await, Ok(200));

    // A connection whose app is lost can be deleted. TikTok can't be asked to revoke its shop.
    let target = DisconnectTarget::All(account.cloned());
    let ended = host.disconnect(&tenant(0), &customer_id("alice"), target, RemoteGrant::Revoke).await.unwrap();
    let codes: Vec<_> = ended.not_revoked.iter().map(|shop| shop.failure.code.as_str()).collect();
    assert_eq!(codes, ["app-unknown"]);
    let left = host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap();
    assert_eq!(left.iter().map(|connection| &connection.key).collect::<Vec<_>>(), [&german.key]);
}

#[tokio::test]
async fn a_consent_without_an_app_names_the_apps_that_there_are() {
    let stage = stage_of_two_markets();
    let (global, us) = both(&stage);
    let host = host_with(&stage, &[&global, &us]);
    let error = begin(&host, None).await.unwrap_err();
    let ConsentError::Call(CallError::Connector(error)) = error else { panic!("{error}") };
    assert_eq!(error.failure().code, "app-required");
    let named = format!("[apps: {}, {}]", global.app_key, us.app_key);
    assert!(error.failure().detail.ends_with(&named), "{}", error.failure().detail);

    let link = host.authorization_url(&tenant(0), None, "s".into()).await;
    assert_eq!(refusal(link), ("invalid-request", "app-required".to_owned()));
    let install = grant(&stage.callback(SELLER, Decision::Allow));
    let refused = host.connect(&tenant(0), &customer_id("alice"), None, install, ShopPolicy::All).await;
    assert_eq!(refusal(refused), ("invalid-request", "app-required".to_owned()));
    let unknown: AppKey = "6anotherapp".parse().unwrap();
    let link = host.authorization_url(&tenant(0), Some(&unknown), "s".into()).await;
    let error = link.unwrap_err();
    assert!(error.to_string().contains(&named), "{error}");
    assert_eq!(refusal::<()>(Err(error)), ("misconfigured", "app-unknown".to_owned()));
    assert_eq!(stage.fake.requests(), []);

    for (app, start) in [(&global, "https://services.tiktokshop.com/"), (&us, "https://services.us.tiktokshop.com/")] {
        let link = host.authorization_url(&tenant(0), Some(&key(app)), "s".into()).await.unwrap();
        assert!(link.expose().starts_with(start), "{start}");
    }
}

#[tokio::test]
async fn a_state_belongs_to_the_app_of_its_link() {
    let stage = stage_of_two_markets();
    stage.fake.update_switches(|switches| switches.callback_extras = CallbackExtras::AppKeyLocaleAndRegion);
    let (global, us) = both(&stage);
    let host = host_with(&stage, &[&global, &us]);
    let state = begin(&host, Some(&key(&us))).await.unwrap();
    let of_another_app = stage.callback_of(0, SELLER, Some(&state), Decision::Allow);
    let refused = host.finish_consent(&tenant(0), &browser(), of_another_app.into()).await.unwrap_err();
    assert_eq!(refused.code(), "callback-of-another-app");
    assert_eq!(stage.fake.requests(), []);

    // The tenant gets its second app while the seller consents to its first. The consent needs no app afterwards.
    let first = host_with(&stage, &[&global]);
    let state = begin(&first, None).await.unwrap();
    let query = stage.callback_of(0, SELLER, Some(&state), Decision::Allow);
    let connection = host.finish_consent(&tenant(0), &browser(), query.into()).await.unwrap();
    assert_eq!(connection.app, Some(key(&global)));
}

#[tokio::test]
async fn an_account_of_another_app_is_refused_and_nothing_changes() {
    let stage = stage_of_two_markets();
    let (global, us) = both(&stage);
    let connection = connect(&stage, &host_with(&stage, &[&global, &us]), &global).await;
    let before = stage.token_record(&connection.key).await.unwrap();
    stage.clear_requests();
    // TikTok's account ids differ from app to app. Here, an app gets another key and keeps its account ids.
    stage.fake.update_app(&global.service_id, |app| app.app_key = "6fakeapp00011".to_owned()).unwrap();
    let renamed = stage.fake.apps()[0].clone();
    let host = host_with(&stage, &[&renamed, &us]);
    let query = grant(&stage.callback(SELLER, Decision::Allow));
    let app = Some(key(&renamed));
    let refused = host.connect(&tenant(0), &customer_id("alice"), app.as_ref(), query, ShopPolicy::All).await;
    assert_eq!(refusal(refused), ("invalid-request", "account-of-another-app".to_owned()));
    assert_eq!(stage.token_record(&connection.key).await.unwrap(), before);
    assert_eq!(host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), [connection]);
}

#[tokio::test]
async fn the_webhooks_of_each_app_reach_its_customers() {
    let stage = stage_of_two_markets();
    let (global, us) = both(&stage);
    let host = host_with(&stage, &[&global, &us]);
    let (german, american) = connect_both(&stage, &host).await;
    stage.advance(60);
    for (app, shop, owner) in [(&global, GERMAN_SHOP, &german), (&us, US_SHOP, &american)] {
        stage.fake.queue_webhook(&app.service_id, 1, Some(shop), json!({})).unwrap();
        let [delivery] = &stage.fake.webhooks_due()[..] else { panic!("one webhook") };
        let (authorization, body) = (delivery.header("authorization").unwrap(), delivery.body.clone().into_bytes());
        let receive =
            async |app: Option<&AppKey>| host.receive_webhook(&tenant(0), app, authorization, body.clone()).await;
        for named in [None, Some(&key(app))] {
            let received = receive(named).await.unwrap();
            let owners: Vec<_> = received.owners.iter().map(|owner| (&owner.key, owner.may_use)).collect();
            assert_eq!((received.app, owners), (key(app), vec![(&owner.key, true)]));
        }
        let other = if app.app_key == us.app_key { &global } else { &us };
        let refused = receive(Some(&key(other))).await;
        assert_eq!(refusal(refused), ("invalid-request", "webhook-signature-invalid".to_owned()));
        let unknown = receive(Some(&"6anotherapp".parse().unwrap())).await;
        assert_eq!(refusal(unknown), ("misconfigured", "app-unknown".to_owned()));
        // A host that has lost the app can't check its webhooks.
        let lost = host_with(&stage, &[other]).receive_webhook(&tenant(0), None, authorization, body.clone()).await;
        assert_eq!(refusal(lost), ("invalid-request", "webhook-signature-invalid".to_owned()));
        stage.fake.webhook_answered(delivery.number, Some(200)).unwrap();
    }

    // The seller removes the app for the US only.
    stage.fake.deauthorize(&us.service_id, SELLER).unwrap();
    let [delivery] = &stage.fake.webhooks_due()[..] else { panic!("one webhook") };
    let authorization = delivery.header("authorization").unwrap();
    let effect = host.receive_webhook(&tenant(0), None, authorization, delivery.body.clone().into_bytes()).await;
    assert_eq!(effect.unwrap().effect, WebhookEffect::VerificationDue);
    let refreshed = async |connection: &Connection| {
        let account = Some(&connection.key.account);
        host.refresh(&tenant(0), &connection.key.customer, account, RefreshMode::Forced).await
    };
    assert_eq!(refusal(refreshed(&american).await), ("reauthorize", "authorization-revoked".to_owned()));
    refreshed(&german).await.unwrap();
    assert_eq!(search_orders(&host, GERMAN_SHOP).await, Ok(200));
}

/// TikTok may send the same event to two apps. The platform must get it once for each app.
#[tokio::test]
async fn an_event_is_handled_once_for_each_app() {
    let stage = stage_of_two_markets();
    let (global, us) = both(&stage);
    let host = host_with(&stage, &[&global, &us]);
    connect_both(&stage, &host).await;
    let now = stage.fake.now();
    let with_id = format!(r#"{{"type":1,"tts_notification_id":"7","shop_id":"{GERMAN_SHOP}","timestamp":{now}}}"#);
    let without_id = format!(r#"{{"type":1,"shop_id":"{GERMAN_SHOP}","timestamp":{now}}}"#);
    for body in [with_id, without_id] {
        let mut replies = Vec::new();
        for app in [&global, &us, &global, &us] {
            let authorization = stage.fake.webhook_signature(&app.service_id, body.as_bytes()).unwrap();
            let handle = async |_| Ok::<_, Infallible>(());
            replies.push(host.accept_webhook(&tenant(0), None, &authorization, body.clone().into(), handle).await);
        }
        use WebhookReply::{Handled, Repeated};
        assert_eq!(replies, [Handled, Handled, Repeated, Repeated], "{body}");
    }
}

#[tokio::test]
async fn a_tenant_with_too_many_apps_is_misconfigured() {
    let stage = Stage::new();
    let app = &stage.fake.apps()[0];
    let numbered = (0..17).map(|number| App { app_key: format!("6app{number:02}"), ..app.clone() });
    let with = |all: StaticCredentials, app: App| all.with(tenant(0), app_credentials(&app));
    for (count, expected) in [(16, ("invalid-request", "app-required")), (17, ("misconfigured", "credentials-refused"))]
    {
        let host = stage.host_with(numbered.clone().take(count).fold(StaticCredentials::new(), with));
        let link = host.authorization_url(&tenant(0), None, "s".into()).await;
        assert_eq!(refusal(link), (expected.0, expected.1.to_owned()), "{count}");
    }
}
