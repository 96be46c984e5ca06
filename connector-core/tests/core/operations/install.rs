//! Tests an install from TikTok's App Store: `exchange-install` spends the code and stores nothing, `install-shops`
//! reads the shops and stores nothing, and `connect` with the pending install stores the tokens first.

use super::{connect_all, connected, refresh_forced, refresh_when_due};
use crate::samples::{
    APP_KEY, DAY, LINEAGE, NOW, OTHER_APP, customer, fresh, key, last_failure, outcome, pair_answer, pair_answer_with,
    row_of, shops_answer, shops_of, stored_form, tokens, with,
};
use crate::scripted_host::{Answer, Fault, Kill, ScriptedHost, Step, run, run_or_die};
use serde_json::json;
use tiktok_shop_connector_core::connection::{Connection, ListedShop, Status};
use tiktok_shop_connector_core::error::{Action, Error};
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation::confirm_install::confirm_install;
use tiktok_shop_connector_core::operation::exchange_install::{Exchange, exchange_install};
use tiktok_shop_connector_core::operation::install_shops::install_shops;
use tiktok_shop_connector_core::pending_install::PendingInstall;
use tiktok_shop_connector_core::ports::StorageError;
use tiktok_shop_connector_core::record::{DeadReason, ShopPolicy};

const QUERY: &str = "app_key=app-key-1&code=CODE-1&locale=en&shop_region=GB";

fn exchanged(host: &ScriptedHost) -> Result<Exchange, Error> {
    run(exchange_install(host, None, QUERY))
}

/// Returns the stored form of a pending install with the pair 2, which began at [`NOW`].
fn pending() -> Vec<u8> {
    let host = ScriptedHost::new().answers([pair_answer(2)]);
    exchanged(&host).unwrap().stored_form.expose().to_vec()
}

fn shops_of_pending(host: &ScriptedHost, pending: &[u8]) -> Result<Vec<ListedShop>, Error> {
    run(install_shops(host, pending))
}

fn confirmed(host: &ScriptedHost, pending: &[u8]) -> Result<Connection, Error> {
    run(confirm_install(host, customer(), None, pending, ShopPolicy::All))
}

#[test]
fn the_code_of_an_install_is_exchanged_and_nothing_is_stored() {
    let host = ScriptedHost::new().answers([pair_answer(1)]);
    let Exchange { install, stored_form: bytes } = exchanged(&host).unwrap();
    assert_eq!(host.sent(), ["exchange CODE-1"]);
    // Nothing can fail between TikTok's answer and the end of the call.
    assert_eq!(host.effects(), [Step::Apps, Step::Credentials, Step::Send]);
    assert!(host.find_record(&key()).is_none() && host.row().is_none());

    assert_eq!((install.account, install.record.app_key()), (key().account, APP_KEY));
    assert_eq!(tokens(&install.record), "AT-1 RT-1 []");
    assert_eq!((install.record.granted_at(), install.record.rotated_at()), (NOW, NOW));
    let read = PendingInstall::decode(bytes.expose()).unwrap();
    assert_eq!(stored_form(&read.record), stored_form(&install.record));
}

#[test]
fn a_wrong_callback_of_an_install_is_refused_before_any_request() {
    for (query, app, expected) in [
        ("code=CODE-1&state=s", None, "state-mismatch"),
        ("code=CODE-1&code=CODE-2", None, "callback-malformed"),
        ("locale=en", None, "callback-malformed"),
        ("code=null&error=auth_denied", None, "consent-refused"),
        ("code=CODE-1&app_key=app-key-2", None, "callback-of-another-app"),
        ("code=CODE-1", Some(OTHER_APP), "app-unknown"),
    ] {
        let host = ScriptedHost::new();
        assert_eq!(outcome(&run(exchange_install(&host, app.map(Into::into), query))), expected, "{query}");
        assert!(host.sent().is_empty(), "{query}");
    }
    let several = ScriptedHost::new().apps_are(&[APP_KEY, OTHER_APP]);
    assert_eq!(outcome(&run(exchange_install(&several, None, "code=CODE-1"))), "app-required");
}

#[test]
fn an_exchange_without_a_sellers_pair_gives_no_pending_install() {
    for (answer, expected) in [
        (Answer::code(36_004_004), "authorization-code-spent"),
        (Answer::Broken(TransportFailure::Interrupted), "answer-incomplete"),
        (Answer::page(500), "tiktok-unavailable"),
        (pair_answer_with(1, &json!({"user_type": 1})), "not-a-seller"),
        (pair_answer_with(1, &json!({"open_id": null})), "authorization-code-spent"),
        (pair_answer_with(1, &json!({"refresh_token": " "})), "authorization-code-spent"),
    ] {
        let host = ScriptedHost::new().answers([answer.clone()]);
        assert_eq!(outcome(&exchanged(&host)), expected, "{answer:?}");
    }
}

#[test]
fn the_shops_of_a_pending_install_are_read_and_nothing_is_stored() {
    let pending = pending();
    let host = ScriptedHost::new().answers([shops_answer(&["1", "2"])]);
    let shops = shops_of_pending(&host, &pending).unwrap();
    assert_eq!(shops.iter().map(|shop| shop.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(host.sent(), ["shops AT-2"]);
    assert_eq!(host.effects(), [Step::Credentials, Step::Send]);

    for (answer, expected) in [
        (Answer::code(105_002), "token-refused"),
        (Answer::code(36_009_044), "seller-inactive"),
        (Answer::page(500), "tiktok-unavailable"),
    ] {
        let host = ScriptedHost::new().answers([answer]);
        assert_eq!(outcome(&shops_of_pending(&host, &pending)), expected);
    }
    assert_eq!(outcome(&shops_of_pending(&ScriptedHost::new(), b"{}")), "pending-install-malformed");
}

#[test]
fn a_confirmed_install_stores_its_tokens_first_and_sends_no_code() {
    let pending = pending();
    let host = ScriptedHost::new()
        .answers([shops_answer(&["1", "2"])])
        .meanwhile(Step::Send, 1, |host| assert_eq!(host.refresh_due_at(), Some(NOW), "a sweep completes it"));
    host.pass(29 * 60);
    let connection = confirmed(&host, &pending).unwrap();
    assert_eq!(host.sent(), ["shops AT-2"]);
    assert_eq!(host.effects()[..3], [Step::Credentials, Step::SwapToken, Step::Send]);
    assert_eq!(
        (connection.key.clone(), connection.status, connection.last_failure.clone()),
        (key(), Status::Active, None)
    );
    assert_eq!(shops_of(&connection), "1 granted linked, 2 granted linked");
    assert_eq!((connection.granted_at, connection.shops_synced_at), (NOW, Some(NOW.plus(29 * 60))));

    let record = host.record();
    assert_eq!((tokens(&record).as_str(), record.granted_at(), record.rotated_at()), ("AT-2 RT-2 []", NOW, NOW));
    let install = PendingInstall::decode(&pending).unwrap();
    assert_eq!(record.lineage(), install.record.lineage());
    assert_eq!(record.profile().seller_name, install.record.profile().seller_name);
    assert_eq!(record.profile().scopes, install.record.profile().scopes);
}

#[test]
fn the_customer_chooses_the_shop_policy_at_the_confirmation() {
    let host = ScriptedHost::new().answers([shops_answer(&["1", "2"])]);
    let connection = run(confirm_install(&host, customer(), None, &pending(), ShopPolicy::ExactlyOne)).unwrap();
    assert_eq!(
        (connection.shop_policy, shops_of(&connection).as_str()),
        (ShopPolicy::ExactlyOne, "1 granted, 2 granted")
    );
}

#[test]
fn a_pending_install_that_cannot_be_used_stores_nothing() {
    let host = ScriptedHost::new().apps_are(&[APP_KEY, OTHER_APP]);
    let confirmed_as =
        |app: &str| run(confirm_install(&host, customer(), Some(app.into()), &pending(), ShopPolicy::All));
    assert_eq!(outcome(&confirmed_as(OTHER_APP)), "pending-install-malformed");
    assert_eq!(outcome(&confirmed(&host, b"")), "pending-install-malformed");
    assert_eq!(host.effects(), []);

    let gone = ScriptedHost::new().apps_are(&[OTHER_APP]);
    assert_eq!(outcome(&confirmed(&gone, &pending())), "app-unknown");
    let down = ScriptedHost::new().without_credentials(StorageError::Unavailable("down".into()));
    assert_eq!(outcome(&confirmed(&down, &pending())), "credentials-unavailable");
    assert!(down.find_record(&key()).is_none());
}

#[test]
fn a_confirmation_of_a_connected_account_replaces_the_older_tokens() {
    let pending = pending();
    for dead in [None, Some(DeadReason::AuthorizationRevoked)] {
        let host = connected(&with(fresh(), |record| record.dead = dead)).answers([shops_answer(&["1", "2"])]);
        assert_eq!(confirmed(&host, &pending).unwrap().status, Status::Active);
        assert_eq!((tokens(&host.record()).as_str(), host.record().lineage()), ("AT-2 RT-2 [RT-1]", LINEAGE));
    }
    let other = with(fresh(), |record| record.app_key = OTHER_APP.into());
    let host = connected(&other).apps_are(&[APP_KEY, OTHER_APP]);
    assert_eq!(outcome(&confirmed(&host, &pending)), "account-of-another-app");
    assert_eq!(stored_form(&host.record()), stored_form(&other));
}

/// The pair of a pending install may be older than the stored pair: the seller has consented since, or an earlier try of
/// the same confirmation has stored the pair and a sweep has renewed it.
#[test]
fn a_confirmation_never_replaces_newer_tokens() {
    let pending = pending();
    for granted_at in [NOW, NOW.plus(60)] {
        let newer = with(fresh(), |record| record.granted_at = granted_at);
        let host = connected(&newer).answers([shops_answer(&["1", "2"])]);
        assert_eq!(confirmed(&host, &pending).unwrap().granted_at, granted_at);
        assert_eq!(host.sent(), ["shops AT-1"]);
        assert_eq!((tokens(&host.record()).as_str(), host.record().generation()), ("AT-1 RT-1 []", newer.generation()));
    }
    // A dead record is of no use, whatever its age.
    let dead = with(fresh(), |record| {
        record.granted_at = NOW.plus(60);
        record.dead = Some(DeadReason::AuthorizationExpired);
    });
    let host = connected(&dead).answers([shops_answer(&["1", "2"])]);
    assert_eq!(confirmed(&host, &pending).unwrap().status, Status::Active);
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
}

#[test]
fn a_confirmation_can_be_repeated_after_it_was_stored_and_renewed() {
    let pending = pending();
    let host = ScriptedHost::new().answers([
        shops_answer(&["1", "2"]),
        pair_answer(3),
        shops_answer(&["1", "2"]),
        shops_answer(&["1", "2"]),
    ]);
    assert_eq!(outcome(&confirmed(&host, &pending)), "ok");
    assert_eq!(outcome(&refresh_forced(&host)), "ok");
    assert_eq!(outcome(&confirmed(&host, &pending)), "ok");
    assert_eq!(tokens(&host.record()), "AT-3 RT-3 [RT-2]");
    assert_eq!(host.sent(), ["shops AT-2", "refresh RT-2", "shops AT-3", "shops AT-3"]);
}

/// The tokens are still in the hands of the host. So the error is that of the storage, and not
/// `authorization-code-spent`.
#[test]
fn a_confirmation_that_cannot_be_stored_says_to_call_again() {
    for (faults, expected) in [
        (&[Fault::Refused][..], "storage-refused"),
        (&[Fault::Unavailable, Fault::Unavailable, Fault::Unavailable], "storage-unavailable"),
        (&[Fault::AnswerLost], "ok"),
        (&[Fault::Unavailable], "ok"),
    ] {
        let mut host = ScriptedHost::new().answers([shops_answer(&["1"])]);
        for (at, fault) in faults.iter().enumerate() {
            host = host.fault(Step::SwapToken, at + 1, *fault);
        }
        let result = confirmed(&host, &pending());
        assert_eq!(outcome(&result), expected, "{faults:?}");
        assert_eq!(host.find_record(&key()).is_some(), expected == "ok", "{faults:?}");
        if let Err(error) = result {
            assert_eq!(error.cause.action(), Action::StorageFailed);
        }
    }
}

#[test]
fn the_tokens_are_kept_when_the_shops_of_a_confirmed_install_cannot_be_read() {
    let host = ScriptedHost::new().answers([Answer::page(500)]);
    let connection = confirmed(&host, &pending()).unwrap();
    assert_eq!((last_failure(&connection), connection.shops_synced_at), (Some("tiktok-unavailable"), None));
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 []");
}

/// After a kill at any effect, the same confirmation completes the connection.
#[test]
fn a_confirmation_killed_anywhere_is_completed_by_the_same_confirmation() {
    let pending = pending();
    let undisturbed = ScriptedHost::new().tiktok(|_| shops_answer(&["1", "2"]));
    assert_eq!(outcome(&confirmed(&undisturbed, &pending)), "ok");
    let effects = undisturbed.effects().len();
    assert_eq!((effects, undisturbed.effects()[1]), (8, Step::SwapToken));
    for point in (1..=effects).flat_map(|number| [Kill::Before(number), Kill::After(number)]) {
        let host = ScriptedHost::new().tiktok(|_| shops_answer(&["1", "2"])).killed(point);
        assert!(run_or_die(confirm_install(&host, customer(), None, &pending, ShopPolicy::All)).is_none());
        let is_stored = host.find_record(&key()).is_some();
        assert_eq!(is_stored, !matches!(point, Kill::Before(1..=2) | Kill::After(1)), "{point:?}");
        assert!(!is_stored || host.refresh_due_at().is_some(), "{point:?}: a sweep finishes the work");
        host.restart();
        assert_eq!(shops_of(&confirmed(&host, &pending).unwrap()), "1 granted linked, 2 granted linked", "{point:?}");
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 []", "{point:?}");
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{point:?}");
    }
}

/// The code is lost only between TikTok's answer and the end of the call, because the host stores the result.
#[test]
fn an_exchange_killed_before_its_request_leaves_the_code_unspent() {
    for number in 1..=3 {
        let host = ScriptedHost::new().tiktok(|_| pair_answer(1)).killed(Kill::Before(number));
        assert!(run_or_die(exchange_install(&host, None, QUERY)).is_none());
        assert!(host.sent().is_empty(), "{number}");
        host.restart();
        assert_eq!(outcome(&exchanged(&host)), "ok", "{number}");
    }
}

#[test]
fn an_install_and_a_consent_of_the_same_account_end_in_one_connection() {
    let pending = pending();
    let host = ScriptedHost::new().answers([pair_answer(3), shops_answer(&["1"]), shops_answer(&["1"])]);
    host.pass(DAY);
    assert_eq!(outcome(&connect_all(&host)), "ok");
    assert_eq!(outcome(&confirmed(&host, &pending)), "ok");
    assert_eq!(tokens(&host.record()), "AT-3 RT-3 []", "the later consent stays");
    let row = row_of(&key(), &host.record(), &["1"]);
    assert_eq!(host.row().unwrap().lineage, row.lineage);
}
