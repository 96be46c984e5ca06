//! Tests which app a call uses. A consent and a webhook belong to the app that the caller names, or to the tenant's only
//! app. Every other call uses the app of the stored record, and no request is sent with the key of another app.

use super::code;
use crate::samples::{
    APP_KEY, APP_SECRET, NOW, OTHER_APP, customer, expired, fresh, key, key_of, last_failure, outcome, pair_answer,
    pair_answer_with, row_of, secret_of, shops_answer, shops_of, stored_form, with,
};
use crate::scripted_host::{Answer, ScriptedHost, Step, run};
use serde_json::json;
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::connection::{Connection, Status};
use tiktok_shop_connector_core::credentials::{MAX_APPS, check_apps, only_app};
use tiktok_shop_connector_core::endpoint::business::{BusinessRequest, BusinessResponse};
use tiktok_shop_connector_core::error::{Action, Cause, Error};
use tiktok_shop_connector_core::http::Method;
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey};
use tiktok_shop_connector_core::operation::access_token::access_token;
use tiktok_shop_connector_core::operation::authorization_url::authorization_url;
use tiktok_shop_connector_core::operation::call::{CallScope, call};
use tiktok_shop_connector_core::operation::connect::connect;
use tiktok_shop_connector_core::operation::disconnect::{DisconnectTarget, RemoteGrant, disconnect};
use tiktok_shop_connector_core::operation::list_connections::list_connections;
use tiktok_shop_connector_core::operation::receive_webhook::{Received, WebhookEffect, receive_webhook};
use tiktok_shop_connector_core::operation::refresh::{RefreshMode, refresh};
use tiktok_shop_connector_core::ports::StorageError;
use tiktok_shop_connector_core::record::{DeadReason, Lineage, ShopPolicy, TokenRecord};
use tiktok_shop_connector_core::secret::{AppSecret, State};
use tiktok_shop_connector_core::signing::Webhook;

const BOTH: &[&str] = &[APP_KEY, OTHER_APP];

/// The connection of the customer's second account, which consented to the second app.
fn other_key() -> ConnectionKey {
    key_of("customer-1", "account-2")
}

fn of_other_app(record: TokenRecord) -> TokenRecord {
    with(record, |record| {
        record.app_key = OTHER_APP.into();
        record.lineage = Lineage([0x22; 16]);
    })
}

/// Returns a host whose tenant has two apps. The customer has shop 1 under the first app and shop 2 under the second.
fn under_both_apps(first: &TokenRecord, second: TokenRecord) -> ScriptedHost {
    let (host, second) = (ScriptedHost::with_record(first).apps_are(BOTH), of_other_app(second));
    host.put_row(&row_of(&key(), first, &["1"]));
    host.put(&other_key(), &second);
    host.put_row(&row_of(&other_key(), &second, &["2"]));
    host
}

fn connect_to(host: &ScriptedHost, app: Option<&str>) -> Result<Connection, Error> {
    run(connect(host, customer(), app.map(Into::into), code(), ShopPolicy::All))
}

fn refresh_account(host: &ScriptedHost, account: &AccountId) -> Result<Connection, Error> {
    let refreshed = run(refresh(host, customer(), Some(account.clone()), RefreshMode::WhenDue));
    refreshed.map(|refreshed| refreshed.connection)
}

fn get(host: &ScriptedHost, shop: &str) -> Result<BusinessResponse, Error> {
    let request = BusinessRequest {
        method: Method::Get,
        path: "/p".into(),
        query: Vec::new(),
        content_type: None,
        body: Vec::new(),
        max_response_bytes: 1 << 20,
    };
    run(call(host, customer(), CallScope::Shop(shop.into()), &request))
}

fn success() -> Answer {
    Answer::success(&json!({}))
}

/// Makes the host receive an event of shop 1 that this app has signed with this secret.
fn receive_signed(
    host: &ScriptedHost,
    app: Option<&str>,
    signer: &str,
    secret: &AppSecret,
    event_type: u32,
) -> Result<Received, Error> {
    let body = json!({"type": event_type, "shop_id": "1", "timestamp": NOW.seconds()}).to_string().into_bytes();
    let signature = Webhook { app_key: signer, body: &body, authorization: b"" }.signature(secret);
    run(receive_webhook(host, app.map(Into::into), signature.as_bytes(), &body))
}

fn receive(host: &ScriptedHost, app: Option<&str>, signer: &str, event_type: u32) -> Result<Received, Error> {
    receive_signed(host, app, signer, &secret_of(signer), event_type)
}

#[test]
fn a_tenant_has_1_to_16_different_apps_with_keys_of_1_to_64_bytes() {
    let numbered: Vec<_> = (1..=MAX_APPS + 1).map(|number| format!("app-{number}")).collect();
    let numbered: Vec<_> = numbered.iter().map(String::as_str).collect();
    let (longest, too_long) = ("k".repeat(64), "k".repeat(65));
    let table: [(&[&str], Option<&str>); 9] = [
        (&["a"], None),
        (&["a", "b"], None),
        (&[&longest], None),
        (&numbered[..16], None),
        (&[], Some("the tenant has no app")),
        (&numbered, Some("the tenant has more than 16 apps")),
        (&["a", "b", "a"], Some("the tenant has the same app twice")),
        (&[""], Some("the key of an app has 1 to 64 bytes")),
        (&["a", &too_long], Some("the key of an app has 1 to 64 bytes")),
    ];
    for (keys, note) in table {
        let checked = check_apps(keys);
        let expected = note.map(|note| Error::new(Cause::CredentialsRefused).with_note(note));
        assert_eq!(checked.err(), expected, "{keys:?}");
    }
}

#[test]
fn the_connector_refuses_a_list_of_apps_that_its_host_must_not_give() {
    for apps in [&[][..], &["a", "a"], &[""]] {
        let host = ScriptedHost::new().apps_are(apps);
        assert_eq!(outcome(&run(authorization_url(&host, None, State::new("s".into())))), "credentials-refused");
        assert_eq!(outcome(&connect_to(&host, None)), "credentials-refused", "{apps:?}");
        assert_eq!(outcome(&receive(&host, None, APP_KEY, 1)), "credentials-refused", "{apps:?}");
        assert!(host.sent().is_empty());
    }
}

#[test]
fn without_a_name_the_only_app_is_used_and_of_several_apps_none() {
    assert_eq!(only_app(&["a"]), Ok("a"));
    let keys: Vec<_> = (1..=16).map(|number| format!("an-app-key-of-20-b-{number:02}")).collect();
    for (keys, note) in [
        (vec!["a", "b"], "apps: a, b".to_owned()),
        (vec!["a", "b", "c"], "apps: a, b, c".to_owned()),
        (keys.iter().map(String::as_str).collect(), format!("apps: {}, …", keys[..7].join(", "))),
    ] {
        let error = only_app(&keys).unwrap_err();
        assert_eq!((error.cause, error.cause.action()), (Cause::AppRequired, Action::InvalidRequest));
        assert_eq!(error, Error::new(Cause::AppRequired).with_note(&note));
    }
}

#[test]
fn a_consent_names_its_app_if_the_tenant_has_several() {
    let table = [
        (&[APP_KEY][..], None, "ok", vec!["exchange CODE-1", "shops AT-2"]),
        (&[APP_KEY], Some(APP_KEY), "ok", vec!["exchange CODE-1", "shops AT-2"]),
        (&[OTHER_APP], None, "ok", vec!["app-key-2: exchange CODE-1", "app-key-2: shops AT-2"]),
        (BOTH, Some(OTHER_APP), "ok", vec!["app-key-2: exchange CODE-1", "app-key-2: shops AT-2"]),
        (BOTH, None, "app-required", vec![]),
        (BOTH, Some("app-key-3"), "app-unknown", vec![]),
        (&[APP_KEY], Some(""), "app-unknown", vec![]),
    ];
    for (apps, app, expected, sent) in table {
        let host = ScriptedHost::new().apps_are(apps).link_is("https://example.com/open?service_id=7");
        let host = host.answers([pair_answer(2), shops_answer(&["1"])]);
        let link = run(authorization_url(&host, app.map(Into::into), State::new("s".into())));
        assert_eq!(outcome(&link), expected, "{apps:?} {app:?}");
        let connected = connect_to(&host, app);
        assert_eq!(outcome(&connected), expected, "{apps:?} {app:?}");
        assert_eq!(host.sent(), sent, "{apps:?} {app:?}");
        if let Ok(connection) = connected {
            let used = app.unwrap_or(apps[0]);
            assert_eq!((connection.app.as_deref(), host.record().app_key()), (Some(used), used));
            assert_eq!(host.row().unwrap().connection.app.as_deref(), Some(used));
        } else {
            assert!(host.find_record(&key()).is_none());
        }
    }
}

#[test]
fn a_callback_of_another_app_than_the_consents_is_refused() {
    for (app, expected) in [(APP_KEY, "callback-of-another-app"), (OTHER_APP, "ok")] {
        let host = ScriptedHost::new().apps_are(BOTH).answers([pair_answer(2), shops_answer(&["1"])]);
        let query = format!("code=CODE-1&state=s&app_key={OTHER_APP}");
        let grant = Grant::Callback { query, state: State::new("s".into()) };
        let connected = run(connect(&host, customer(), Some(app.into()), grant, ShopPolicy::All));
        assert_eq!(outcome(&connected), expected);
        assert_eq!(host.sent().is_empty(), expected != "ok");
    }
}

#[test]
fn a_customer_is_connected_under_two_apps_and_each_request_uses_the_app_of_its_connection() {
    let host = ScriptedHost::new().apps_are(BOTH).answers([
        pair_answer(1),
        shops_answer(&["1"]),
        pair_answer_with(2, &json!({"open_id": "account-2"})),
        shops_answer(&["2"]),
    ]);
    assert_eq!(outcome(&connect_to(&host, Some(APP_KEY))), "ok");
    assert_eq!(outcome(&connect_to(&host, Some(OTHER_APP))), "ok");
    let listed = run(list_connections(&host, customer())).unwrap();
    let shown: Vec<_> = listed.iter().map(|one| (one.app.clone().unwrap(), shops_of(one))).collect();
    let expected = [(APP_KEY.to_owned(), "1 granted linked"), (OTHER_APP.to_owned(), "2 granted linked")];
    assert_eq!(shown, expected.map(|(app, shops)| (app, shops.to_owned())));

    host.restart();
    let host = host.answers([success(), success()]);
    assert_eq!(outcome(&get(&host, "1")), "ok");
    assert_eq!(outcome(&get(&host, "2")), "ok");
    let at = NOW.seconds();
    assert_eq!(host.sent(), [format!("GET /p AT-1 cipher-1 @{at}"), format!("app-key-2: GET /p AT-2 cipher-2 @{at}")]);
    assert!(!host.effects().contains(&Step::Apps), "the record names the app");
}

#[test]
fn a_refresh_and_an_access_token_use_the_app_of_the_record() {
    let host = under_both_apps(&expired(), expired()).answers([
        pair_answer_with(3, &json!({"open_id": "account-2"})),
        shops_answer(&["2"]),
        pair_answer(2),
    ]);
    assert_eq!(outcome(&refresh_account(&host, &other_key().account)), "ok");
    let token = run(access_token(&host, customer(), Some(key().account), 0)).expect("a token");
    assert_eq!(token.token.expose(), "AT-2");
    assert_eq!(host.sent(), ["app-key-2: refresh RT-1", "app-key-2: shops AT-3", "refresh RT-1"]);
}

#[test]
fn a_lost_app_ends_its_connections_without_a_request_and_keeps_the_others() {
    let host = under_both_apps(&fresh(), expired()).apps_are(&[APP_KEY]).answers([success(), shops_answer(&["1"])]);
    let before = stored_form(&host.find_record(&other_key()).unwrap());
    let refused = refresh_account(&host, &other_key().account).err().expect("an error");
    assert_eq!((refused.cause, refused.cause.action()), (Cause::AppUnknown, Action::Misconfigured));
    assert_eq!(refused.note(), Some("apps: app-key-1"), "the apps that there are");
    assert_eq!(outcome(&get(&host, "2")), "app-unknown");
    let token = run(access_token(&host, customer(), Some(other_key().account), 0));
    assert_eq!(outcome(&token), "app-unknown");
    assert!(host.sent().is_empty());
    assert_eq!(stored_form(&host.find_record(&other_key()).unwrap()), before);

    assert_eq!(outcome(&get(&host, "1")), "ok");
    assert_eq!(outcome(&refresh_account(&host, &key().account)), "ok");
    let listed = run(list_connections(&host, customer())).unwrap();
    assert_eq!(listed.iter().map(last_failure).collect::<Vec<_>>(), [None, Some("app-unknown")]);
}

/// A platform replaces one app by another, so the customer has the shop under both apps for a while. The row of the
/// first account comes first.
#[test]
fn a_shop_under_two_apps_is_called_through_an_app_that_the_tenant_still_has() {
    let called = |apps: &[&'static str], unnamed: &[ConnectionKey]| {
        let (first, second) = (fresh(), of_other_app(fresh()));
        let host = under_both_apps(&first, fresh()).apps_are(apps).answers([success()]);
        for (key, record) in [(key(), &first), (other_key(), &second)] {
            let mut row = row_of(&key, record, &["1"]);
            if unnamed.contains(&key) {
                row.connection.app = None;
            }
            host.put_row(&row);
        }
        let called = outcome(&get(&host, "1")).to_owned();
        let sent = host.sent().first().map(|request| request.split(" AT-").next().unwrap().to_owned());
        (called, sent, host.effects().iter().filter(|step| **step == Step::Apps).count())
    };
    let sent = |request: &str, lists| ("ok".to_owned(), Some(request.to_owned()), lists);
    let unknown = |lists| ("app-unknown".to_owned(), None, lists);
    let (first, second) = ("GET /p", "app-key-2: GET /p");
    assert_eq!(called(&[OTHER_APP], &[]), sent(second, 1), "the connection of the removed app is passed over");
    assert_eq!(called(BOTH, &[]), sent(first, 1));
    assert_eq!(called(&[APP_KEY], &[]), sent(first, 1));
    assert_eq!(called(&["app-key-3"], &[]), unknown(2), "the error names the apps, so the list is read again");

    // A row of an earlier release does not name its app.
    assert_eq!(called(&[OTHER_APP], &[key()]), sent(second, 1));
    assert_eq!(called(&[OTHER_APP], &[other_key()]), sent(second, 1));
    assert_eq!(called(BOTH, &[key(), other_key()]), sent(first, 0));
}

#[test]
fn the_list_of_apps_is_read_only_if_a_shop_is_under_several_apps() {
    let record = fresh();
    let host = under_both_apps(&record, fresh()).answers([success(), success()]);
    assert_eq!(outcome(&get(&host, "2")), "ok");
    // The second account is under the same app now.
    host.put_row(&row_of(&other_key(), &record, &["1"]));
    assert_eq!(outcome(&get(&host, "1")), "ok");
    assert!(!host.effects().contains(&Step::Apps));

    // Through a connection that needs a new consent, the customer may not use the shop.
    let host = under_both_apps(&record, fresh()).answers([success()]);
    let mut dead = row_of(&other_key(), &of_other_app(fresh()), &["1"]);
    dead.connection.status = Status::ReauthorizationRequired(DeadReason::AuthorizationRevoked);
    host.put_row(&dead);
    assert_eq!(outcome(&get(&host, "1")), "ok");
    assert!(!host.effects().contains(&Step::Apps));
}

#[test]
fn a_tenant_without_apps_is_not_told_that_one_app_is_unknown() {
    let host = under_both_apps(&expired(), expired()).without_credentials(StorageError::Refused("no tenant".into()));
    assert_eq!(outcome(&refresh_account(&host, &key().account)), "credentials-refused");
    assert_eq!(outcome(&connect_to(&host, Some(APP_KEY))), "credentials-refused");
    assert_eq!(last_failure(&host.row().unwrap().connection), None, "it says nothing about the connection");
}

#[test]
fn a_host_that_answers_with_another_app_is_not_trusted() {
    let host = under_both_apps(&expired(), expired()).credentials_are_those_of(APP_KEY);
    assert_eq!(outcome(&refresh_account(&host, &other_key().account)), "app-unknown");
    assert_eq!(outcome(&connect_to(&host, Some(OTHER_APP))), "app-unknown");
    assert!(host.sent().is_empty());
}

#[test]
fn each_connection_is_disconnected_with_its_own_app() {
    let gone = || Answer::json(200, &json!({"code": 0, "message": "success", "request_id": "req-1"}));
    let disconnected = |host: &ScriptedHost| {
        run(disconnect(host, customer(), DisconnectTarget::All(None), RemoteGrant::Revoke)).expect("an outcome")
    };
    let host = under_both_apps(&fresh(), fresh()).answers([gone(), gone()]);
    assert!(disconnected(&host).not_revoked.is_empty());
    let sent: Vec<_> = host.sent().iter().map(|request| request.split(" AT-").next().unwrap().to_owned()).collect();
    let delete = "DELETE /authorization/202403/shops";
    assert_eq!(sent, [delete.to_owned(), format!("app-key-2: {delete}")]);

    // A lost app is no reason to keep its tokens.
    let host = under_both_apps(&fresh(), fresh()).apps_are(&[APP_KEY]).answers([gone()]);
    let not_revoked = disconnected(&host).not_revoked;
    let told: Vec<_> = not_revoked.iter().map(|left| (left.account.as_str(), left.error.cause)).collect();
    assert_eq!(told, [("account-2", Cause::AppUnknown)]);
    assert!(host.find_record(&key()).is_none() && host.find_record(&other_key()).is_none());
}

/// Two customers have shop 1, each under another app. An event of one app concerns only the connection of this app.
#[test]
fn an_event_concerns_only_the_connections_of_the_app_that_signed_it() {
    let host = under_both_apps(&fresh(), fresh());
    let (theirs, record) = (key_of("customer-2", "account-9"), of_other_app(fresh()));
    host.put(&theirs, &record);
    host.put_row(&row_of(&theirs, &record, &["1"]));
    for (named, signer, owner) in [
        (None, APP_KEY, key()),
        (None, OTHER_APP, theirs.clone()),
        (Some(APP_KEY), APP_KEY, key()),
        (Some(OTHER_APP), OTHER_APP, theirs.clone()),
    ] {
        let received = receive(&host, named, signer, 1).expect("an event");
        assert_eq!(received.app, signer);
        let owners: Vec<_> = received.owners.iter().map(|owner| (owner.key.clone(), owner.may_use)).collect();
        assert_eq!(owners, [(owner, true)], "{named:?} {signer}");
    }
    // Only the connection of the app from which the seller has taken the shop is verified.
    let received = receive(&host, None, OTHER_APP, 6).expect("an event");
    assert_eq!(received.effect, WebhookEffect::VerificationDue);
    let verified = |key: &ConnectionKey| host.find_record(key).unwrap().awaits_verification();
    assert_eq!((verified(&key()), verified(&theirs)), (false, true));
}

/// A row of an earlier version has no app. Then the app in the record decides.
#[test]
fn an_event_finds_its_owners_if_the_rows_name_no_app() {
    let host = under_both_apps(&fresh(), fresh());
    let mut row = host.row().unwrap();
    row.connection.app = None;
    host.put_row(&row);
    let owners = |signer| receive(&host, None, signer, 1).expect("an event").owners.len();
    assert_eq!((owners(APP_KEY), owners(OTHER_APP)), (1, 0));
    // If the record can't be read either, every app's event names the connection, but nobody may see the event.
    host.put_bytes(&key(), b"unreadable");
    let may_use = |signer| -> Vec<bool> {
        receive(&host, None, signer, 1).expect("an event").owners.iter().map(|owner| owner.may_use).collect()
    };
    assert_eq!((may_use(APP_KEY), may_use(OTHER_APP)), (vec![false], vec![false]));
}

#[test]
fn a_webhook_is_signed_by_a_secret_of_the_named_app_or_of_any_app() {
    let host = under_both_apps(&fresh(), fresh());
    let forged = AppSecret::new("forged".into());
    let of_first = AppSecret::new(APP_SECRET.into());
    for (named, signer, secret) in [
        (None, APP_KEY, &forged),
        (None, "app-key-3", &of_first),
        // The secret belongs to the other app.
        (None, OTHER_APP, &of_first),
        (Some(APP_KEY), OTHER_APP, &secret_of(OTHER_APP)),
        (Some(OTHER_APP), APP_KEY, &of_first),
    ] {
        let refused = receive_signed(&host, named, signer, secret, 1);
        assert_eq!(outcome(&refused), "webhook-signature-invalid", "{named:?} {signer}");
    }
    assert_eq!(outcome(&receive(&host, Some("app-key-3"), APP_KEY, 1)), "app-unknown");
}

#[test]
fn a_secret_that_cannot_be_read_hides_no_webhook_of_another_app() {
    let host = under_both_apps(&fresh(), fresh()).unreadable_app(OTHER_APP);
    assert_eq!(outcome(&receive(&host, None, APP_KEY, 1)), "ok");
    // The webhook may be signed with the secret that can't be read, so TikTok must send it again.
    assert_eq!(outcome(&receive(&host, None, OTHER_APP, 1)), "credentials-unavailable");
}

/// An access to the credentials is repeated for no shop and no step of a call.
#[test]
fn a_call_asks_for_the_credentials_of_each_app_once() {
    let host = under_both_apps(&expired(), fresh()).unreadable_app(APP_KEY).answers([success()]);
    let ended = run(disconnect(&host, customer(), DisconnectTarget::All(None), RemoteGrant::Revoke));
    let codes: Vec<_> = ended.expect("an outcome").not_revoked.iter().map(|left| left.error.cause).collect();
    assert_eq!(codes, [Cause::CredentialsUnavailable]);
    assert_eq!(host.effects().iter().filter(|step| **step == Step::Credentials).count(), 2);
}
