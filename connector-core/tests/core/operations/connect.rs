//! Tests `connect` for an account that is not connected yet. `connect` sends the authorization code at most once, and
//! only after storage and the credentials have answered.

use super::connect_all;
use crate::samples::{
    NOW, cause_and_delay, customer, key, last_failure, outcome, pair_answer, pair_answer_with, shops_answer, shops_of,
    tokens,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step, run};
use serde_json::json;
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::connection::Status;
use tiktok_shop_connector_core::error::{Action, Cause};
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation::connect::connect;
use tiktok_shop_connector_core::ports::StorageError;
use tiktok_shop_connector_core::record::ShopPolicy;
use tiktok_shop_connector_core::secret::{AuthorizationCode, ShopCipher, State};

/// Creates a host with a scripted TikTok, which accepts the code and lists two shops.
fn accepting() -> ScriptedHost {
    ScriptedHost::new().answers([pair_answer(1), shops_answer(&["1", "2"])])
}

#[test]
fn a_code_becomes_a_connection() {
    let host = accepting();
    let connection = connect_all(&host).unwrap();
    assert_eq!(host.sent(), ["exchange CODE-1", "shops AT-1"]);
    assert_eq!(connection.key, key());
    assert_eq!((connection.status, connection.last_failure), (Status::Active, None));
    assert_eq!((connection.connected_at, connection.shops_synced_at), (NOW, Some(NOW)));

    let record = host.record();
    assert_eq!(tokens(&record), "AT-1 RT-1 []");
    assert_eq!(host.refresh_due_at(), Some(record.due_at()));
    let row = host.row().unwrap();
    assert_eq!((row.lineage, row.generation), (record.lineage().to_text(), record.generation()));
    assert_eq!(shops_of(&row.connection), "1 granted linked, 2 granted linked");
    assert_eq!(row.connection.shops[1].listed.cipher.as_ref().map(ShopCipher::expose), Some("cipher-2"));
}

#[test]
fn the_record_comes_first_and_is_due_at_once_until_the_row_is_written() {
    let host = accepting().meanwhile(Step::LoadRow, 1, |host| {
        assert_eq!(host.refresh_due_at(), Some(NOW));
        assert!(host.row().is_none());
    });
    assert_eq!(outcome(&connect_all(&host)), "ok");
    let order = [
        Step::Apps,
        Step::Credentials,
        Step::Accounts,
        Step::Send,
        Step::SwapToken,
        Step::Send,
        Step::LoadRow,
        Step::LoadToken,
        Step::SwapRow,
        Step::LoadToken,
        Step::SwapToken,
    ];
    assert_eq!(host.effects(), order);
}

#[test]
fn a_wrong_callback_is_refused_before_any_effect() {
    for (query, cause, action) in [
        ("code=CODE-1&state=other", Cause::StateMismatch, Action::InvalidRequest),
        ("code=CODE-1", Cause::StateMismatch, Action::InvalidRequest),
        ("code=CODE-1&code=CODE-2&state=expected", Cause::CallbackMalformed, Action::InvalidRequest),
        ("code=null&error=auth_denied&state=expected", Cause::ConsentRefused, Action::Reauthorize),
    ] {
        let host = ScriptedHost::new();
        let state = State::new("expected".into());
        let grant = Grant::Callback { query: query.into(), state };
        let error = run(connect(&host, customer(), None, grant, ShopPolicy::All)).err().unwrap();
        assert_eq!((error.cause, error.cause.action()), (cause, action), "{query}");
        assert_eq!(host.effects(), [], "{query}: no storage, no request");
    }
}

#[test]
fn a_right_callback_spends_its_code() {
    let host = accepting();
    let state = State::new("expected".into());
    let grant = Grant::Callback { query: "code=CODE%2D1&state=expected".into(), state };
    let connection = run(connect(&host, customer(), None, grant, ShopPolicy::All));
    assert_eq!(outcome(&connection), "ok");
    assert_eq!(host.sent(), ["exchange CODE-1", "shops AT-1"]);
}

#[test]
fn a_code_is_not_spent_if_storage_or_credentials_fail() {
    let unavailable = |host: ScriptedHost| host.fault(Step::Accounts, 1, Fault::Unavailable);
    let refused = |host: ScriptedHost| host.fault(Step::Accounts, 1, Fault::Refused);
    let no_app = |host: ScriptedHost| host.without_credentials(StorageError::Refused("none".into()));
    let no_vault = |host: ScriptedHost| host.without_credentials(StorageError::Unavailable("down".into()));
    type Arrange = fn(ScriptedHost) -> ScriptedHost;
    let table: [(Arrange, &str); 4] = [
        (unavailable, "storage-unavailable"),
        (refused, "storage-refused"),
        (no_app, "credentials-refused"),
        (no_vault, "credentials-unavailable"),
    ];
    for (arrange, expected) in table {
        let host = arrange(ScriptedHost::new());
        assert_eq!(outcome(&connect_all(&host)), expected);
        assert!(host.sent().is_empty(), "{expected}");
        assert!(host.find_record(&key()).is_none());
    }
}

/// Tests the answers to a code exchange that bring no usable pair of tokens. After each of these answers, nothing is
/// stored and nothing more is sent.
#[test]
fn an_exchange_without_a_pair_stores_nothing() {
    use Action::{Misconfigured, Reauthorize, RetryAfter, Upstream};
    let broken = Answer::Broken;
    let parameter = |message: &str| Answer::json(400, &json!({"code": 36_009_004, "message": message}));
    let table = [
        (broken(TransportFailure::Interrupted), "answer-incomplete", RetryAfter),
        (broken(TransportFailure::NotConnected), "tiktok-unreachable", RetryAfter),
        (broken(TransportFailure::Denied), "egress-denied", Misconfigured),
        (broken(TransportFailure::TooLarge), "answer-too-large", Upstream),
        (Answer::limited(None), "rate-limited", RetryAfter),
        (Answer::page(500), "tiktok-unavailable", RetryAfter),
        (Answer::page(403), "answer-unreadable", RetryAfter),
        (Answer::page(200), "answer-unreadable", RetryAfter),
        (Answer::page(302), "redirected", Upstream),
        (Answer::code(36_009_003), "tiktok-unavailable", RetryAfter),
        (Answer::code(36_004_004), "authorization-code-spent", Reauthorize),
        // These codes are about refresh tokens and access tokens, so they say nothing about the authorization code.
        (Answer::code(36_004_001), "tiktok-refused", Upstream),
        (Answer::code(36_004_005), "tiktok-refused", Upstream),
        (Answer::code(105_001), "tiktok-refused", Upstream),
        (Answer::code(98_001_004), "tiktok-refused", Upstream),
        (Answer::code(36_009_033), "ip-not-allowed", Misconfigured),
        (parameter("The 'app_key' is invalid"), "app-rejected", Misconfigured),
        (parameter("Invalid timestamp"), "clock-skewed", Misconfigured),
        (Answer::success(&json!(null)), "authorization-code-spent", Reauthorize),
        (pair_answer_with(1, &json!({"refresh_token": " "})), "authorization-code-spent", Reauthorize),
        (pair_answer_with(1, &json!({"open_id": null})), "authorization-code-spent", Reauthorize),
        (pair_answer_with(1, &json!({"open_id": "x".repeat(257)})), "authorization-code-spent", Reauthorize),
    ];
    for (answer, expected, action) in table {
        let host = ScriptedHost::new().answers([answer.clone()]);
        let error = connect_all(&host).err().expect(expected);
        assert_eq!((error.cause.code(), error.cause.action()), (expected, action), "{answer:?}");
        assert_eq!(host.sent(), ["exchange CODE-1"], "{answer:?}");
        assert!(host.find_record(&key()).is_none() && host.row().is_none(), "{answer:?}");
    }
}

#[test]
fn an_account_that_is_not_a_seller_is_not_stored() {
    for (user_type, expected) in
        [(json!(1), "not-a-seller"), (json!("3"), "not-a-seller"), (json!("0"), "ok"), (json!(null), "ok")]
    {
        let answer = pair_answer_with(1, &json!({"user_type": user_type}));
        let host = ScriptedHost::new().answers([answer, shops_answer(&["1"])]);
        assert_eq!(outcome(&connect_all(&host)), expected, "{user_type}");
        assert_eq!(host.find_record(&key()).is_some(), expected == "ok", "{user_type}");
    }
}

#[test]
fn the_tokens_are_kept_when_the_shops_cannot_be_read() {
    for (answer, failure) in [
        (Answer::Broken(TransportFailure::Interrupted), "answer-incomplete"),
        (Answer::Broken(TransportFailure::NotConnected), "tiktok-unreachable"),
        (Answer::Broken(TransportFailure::Denied), "egress-denied"),
        (Answer::limited(Some("120")), "rate-limited"),
        (Answer::page(500), "tiktok-unavailable"),
        (Answer::code(105_001), "token-refused"),
        (Answer::code(105_002), "token-refused"),
        (Answer::code(36_004_001), "unrecognised-answer"),
        (Answer::code(36_004_004), "unrecognised-answer"),
        (Answer::code(36_004_005), "unrecognised-answer"),
        (Answer::code(105_005), "missing-permission"),
        (Answer::code(36_009_044), "seller-inactive"),
        (Answer::success(&json!({"shops": [{"name": "no id"}]})), "answer-unreadable"),
    ] {
        let host = ScriptedHost::new().answers([pair_answer(1), answer]);
        let connection = connect_all(&host).unwrap();
        assert_eq!(last_failure(&connection), Some(failure));
        assert_eq!((connection.shops.len(), connection.shops_synced_at), (0, None));
        assert_eq!(last_failure(&host.row().unwrap().connection), Some(failure));
        assert_eq!(tokens(&host.record()), "AT-1 RT-1 []");
        assert_eq!(host.refresh_due_at(), host.record().not_before(), "{failure}: the shops are read again soon");
        assert!(host.refresh_due_at() >= Some(NOW.plus(30)), "{failure}");
        assert_eq!(host.sent().len(), 2, "{failure}");
    }
}

/// If the code is spent and its tokens are not stored, only a new consent helps. The error `authorization-code-spent`
/// says that.
#[test]
fn a_code_is_lost_only_if_every_try_to_save_its_tokens_failed() {
    let lost = |faults: &[Fault]| {
        let mut host = ScriptedHost::new().answers([pair_answer(1)]).tiktok(|_| shops_answer(&["1"]));
        for (at, fault) in faults.iter().enumerate() {
            host = host.fault(Step::SwapToken, at + 1, *fault);
        }
        let result = connect_all(&host);
        (outcome(&result), host.find_record(&key()).map(|record| tokens(&record)))
    };
    let kept = Some("AT-1 RT-1 []".to_owned());
    use Fault::{AnswerLost, Refused, Unavailable};
    assert_eq!(lost(&[Refused]), ("authorization-code-spent", None));
    assert_eq!(lost(&[Unavailable, Unavailable, Unavailable]), ("authorization-code-spent", None));
    assert_eq!(lost(&[Unavailable, Refused]), ("authorization-code-spent", None));
    assert_eq!(lost(&[Unavailable, Unavailable]), ("ok", kept.clone()), "the third try worked");
    assert_eq!(lost(&[AnswerLost]), ("ok", kept.clone()), "the ambiguous write took effect");
    assert_eq!(lost(&[Unavailable, AnswerLost]), ("ok", kept));
}

#[test]
fn an_ambiguous_write_is_recognised_even_if_the_next_load_is_stale() {
    let host = accepting().fault(Step::SwapToken, 1, Fault::AnswerLost).fault(Step::LoadToken, 1, Fault::Stale);
    assert_eq!(outcome(&connect_all(&host)), "ok");
    assert_eq!(host.record().generation(), 1, "written once");
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 []");
}

/// `connect` tries three times to save the new tokens. If it is unknown whether a write took effect, `connect` loads
/// the record to find out. If this load fails too, the write and the load count as one failed try. The write of the
/// next try shows whether the earlier write took effect.
#[test]
fn a_failed_load_after_an_ambiguous_write_does_not_lose_the_code() {
    for fault in [Fault::Unavailable, Fault::AnswerLost] {
        let host = accepting().fault(Step::SwapToken, 1, fault).fault(Step::LoadToken, 1, Fault::Unavailable);
        assert_eq!(outcome(&connect_all(&host)), "ok", "{fault:?}");
        assert_eq!((tokens(&host.record()).as_str(), host.record().generation()), ("AT-1 RT-1 []", 1), "{fault:?}");
    }
    let mut down = ScriptedHost::new().answers([pair_answer(1)]);
    for nth in 1..=3 {
        down = down.fault(Step::SwapToken, nth, Fault::Unavailable).fault(Step::LoadToken, nth, Fault::Unavailable);
    }
    assert_eq!(cause_and_delay(connect_all(&down)).0, Cause::AuthorizationCodeSpent);
}

#[test]
fn a_stale_load_after_the_new_record_does_no_harm() {
    for nth in 1..=2 {
        let host = accepting().fault(Step::LoadToken, nth, Fault::Stale);
        assert_eq!(last_failure(&connect_all(&host).unwrap()), None, "{nth}");
        assert!(host.row().is_some(), "{nth}");
    }
}

#[test]
fn a_row_that_cannot_be_written_is_left_to_refresh() {
    for (step, nth, fault) in [
        (Step::LoadRow, 1, Fault::Unavailable),
        (Step::LoadToken, 1, Fault::Unavailable),
        (Step::SwapRow, 1, Fault::Unavailable),
        (Step::SwapRow, 1, Fault::Refused),
    ] {
        let host = accepting().fault(step, nth, fault);
        let connection = connect_all(&host).unwrap();
        assert_eq!(last_failure(&connection), Some("connection-row-not-saved"), "{step:?}");
        assert_eq!(tokens(&host.record()), "AT-1 RT-1 []");
        let due = host.refresh_due_at().unwrap();
        assert!(due >= NOW && due < NOW.plus(60), "{step:?}: a sweep finishes the work");
        assert!(host.row().is_none());
    }
}

#[test]
fn a_failed_write_of_the_final_due_time_does_no_harm() {
    for fault in [Fault::Unavailable, Fault::Refused] {
        let host = accepting().fault(Step::SwapToken, 2, fault);
        assert_eq!(outcome(&connect_all(&host)), "ok");
        assert_eq!(host.refresh_due_at(), Some(NOW));
    }
}

#[test]
fn a_disconnect_during_connect_stays_disconnected() {
    for (step, nth) in [(Step::LoadRow, 1), (Step::SwapRow, 1)] {
        let host = accepting().meanwhile(step, nth, |host| host.delete(&key()));
        assert_eq!(outcome(&connect_all(&host)), "not-connected", "{step:?}");
        assert!(host.find_record(&key()).is_none(), "{step:?}");
        assert!(host.row().is_none(), "{step:?}: a row without a record is deleted");
    }
}

#[test]
fn the_text_null_is_refused_as_a_code_even_if_the_host_checked_the_callback() {
    let host = ScriptedHost::new();
    let grant = Grant::Code(AuthorizationCode::new("null".into()));
    assert_eq!(cause_and_delay(run(connect(&host, customer(), None, grant, ShopPolicy::All))).0, Cause::ConsentRefused);
    assert_eq!(host.effects(), []);
}
