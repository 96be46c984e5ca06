//! `disconnect`: gone here whatever TikTok says, and what TikTok did not take back is told.

use super::{connected, refresh_when_due};
use crate::samples::{
    DAY, account, customer, due, expired, fresh, key, key_of, outcome, pair_answer, row_of, shops_answer, shops_of,
    tokens, with,
};
use crate::scripted_host::{Answer, Fault, Kill, ScriptedHost, Step, run, run_or_die};
use serde_json::json;
use tiktok_shop_connector_core::connection::ShopStanding;
use tiktok_shop_connector_core::error::Error;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation::disconnect::{DisconnectTarget, Disconnected, RemoteGrant, disconnect};
use tiktok_shop_connector_core::operation::list_connections::list_connections;
use tiktok_shop_connector_core::ports::{Effects as _, StorageError};
use tiktok_shop_connector_core::record::{DeadReason, Lineage};

fn end(host: &ScriptedHost, ending: DisconnectTarget, remote: RemoteGrant) -> Result<Disconnected, Error> {
    run(disconnect(host, customer(), ending, remote))
}

fn all(host: &ScriptedHost, remote: RemoteGrant) -> Disconnected {
    end(host, DisconnectTarget::All(None), remote).unwrap_or_else(|error| panic!("{error}"))
}

fn shop(host: &ScriptedHost, id: &str, remote: RemoteGrant) -> Disconnected {
    end(host, DisconnectTarget::Shop(id.into()), remote).unwrap_or_else(|error| panic!("{error}"))
}

/// `1: tiktok-refused`, and so on.
fn not_revoked(ended: &Disconnected) -> Vec<String> {
    let text = |shop: &Option<String>| shop.clone().unwrap_or_else(|| "all".into());
    ended.not_revoked.iter().map(|left| format!("{}: {}", text(&left.shop), left.error.cause.code())).collect()
}

/// The paths and tokens of what was sent, without their timestamps.
fn sent(host: &ScriptedHost) -> Vec<String> {
    let short = |request: &String| request.split(" @").next().unwrap_or_default().replace(DEAUTHORIZE, "DELETE");
    host.sent().iter().map(short).collect()
}

const DEAUTHORIZE: &str = "DELETE /authorization/202403/shops";

fn taken_back() -> Answer {
    Answer::json(200, &json!({"code": 0, "message": "success", "request_id": "req-1"}))
}

fn nothing_is_left(host: &ScriptedHost) {
    assert!(host.find_record(&key()).is_none(), "no tokens");
    assert!(host.row().is_none(), "no row");
}

#[test]
fn an_account_is_gone_without_a_request_and_twice_is_once() {
    let host = connected(&fresh());
    for _ in 0..2 {
        let ended = all(&host, RemoteGrant::Keep);
        assert!(ended.remaining.is_empty() && ended.not_revoked.is_empty());
        nothing_is_left(&host);
    }
    assert!(host.sent().is_empty());
}

#[test]
fn one_account_of_several_is_ended_or_all_of_them() {
    let other = key_of("customer-1", "account-2");
    for (ending, left) in [(DisconnectTarget::All(Some(account())), true), (DisconnectTarget::All(None), false)] {
        let host = connected(&fresh());
        host.put(&other, &fresh());
        let stranger = key_of("customer-2", "account-1");
        host.put(&stranger, &fresh());
        end(&host, ending, RemoteGrant::Keep).unwrap_or_else(|error| panic!("{error}"));
        nothing_is_left(&host);
        assert_eq!(host.find_record(&other).is_some(), left);
        assert!(host.find_record(&stranger).is_some(), "of another customer");
    }
}

#[test]
fn a_row_that_lost_its_record_goes_with_the_rest() {
    let host = connected(&fresh());
    let lost = key_of("customer-1", "account-2");
    host.put_row(&row_of(&lost, &fresh(), &["1"]));
    assert!(all(&host, RemoteGrant::Keep).remaining.is_empty());
    nothing_is_left(&host);
    assert!(run(host.load_row(&lost)).unwrap().is_none());
}

#[test]
fn a_consent_that_comes_in_between_keeps_its_row() {
    let anew = || with(fresh(), |record| record.lineage = Lineage([0x22; 16]));
    let host = connected(&fresh()).meanwhile(Step::LoadRow, 1, move |host| {
        host.put(&key(), &anew());
        host.put_row(&row_of(&key(), &anew(), &["9"]));
    });
    assert!(all(&host, RemoteGrant::Keep).remaining.is_empty());
    assert!(host.find_record(&key()).is_some() && host.row().is_some());
}

#[test]
fn tiktok_is_asked_to_take_back_every_shop_it_still_lists() {
    let host = ScriptedHost::holding(&fresh()).answers([taken_back(), taken_back()]);
    let mut row = row_of(&key(), &fresh(), &["1", "2", "3"]);
    row.connection.shops[0].linked = false;
    row.connection.shops[1].standing = ShopStanding::NoLongerGranted;
    host.put_row(&row);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    assert_eq!(sent(&host), ["DELETE AT-1 cipher-1", "DELETE AT-1 cipher-3"]);
    nothing_is_left(&host);
}

#[test]
fn whatever_tiktok_says_the_local_side_is_gone_and_the_rest_is_told() {
    let unreachable = || Answer::Broken(TransportFailure::NotConnected);
    let cut = || Answer::Broken(TransportFailure::Interrupted);
    let table = [
        ("refused", vec![Answer::code(36_009_003), Answer::code(101_000)], ["1: tiktok-refused", "2: tiktok-refused"]),
        ("a page", vec![Answer::page(403), taken_back()], ["1: outcome-unknown", ""]),
        (
            "an error with code 0",
            vec![Answer::json(500, &json!({"code": 0})), taken_back()],
            ["1: outcome-unknown", ""],
        ),
        ("limited", vec![Answer::limited(None), Answer::limited(Some("7"))], ["1: rate-limited", "2: rate-limited"]),
        ("unreachable", vec![unreachable(), unreachable()], ["1: tiktok-unreachable", "2: tiktok-unreachable"]),
        ("the answer is lost", vec![taken_back(), cut()], ["", "2: outcome-unknown"]),
        ("a scope is missing", vec![Answer::code(105_005), taken_back()], ["1: missing-permission", ""]),
    ];
    for (case, answers, expected) in table {
        let host = connected(&fresh()).answers(answers);
        let expected: Vec<_> = expected.into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected, "{case}");
        nothing_is_left(&host);
    }
}

#[test]
fn a_token_that_has_ended_is_renewed_to_ask_and_a_refused_one_once() {
    let host = connected(&expired()).answers([pair_answer(2), taken_back(), taken_back()]);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    assert_eq!(sent(&host), ["refresh RT-1", "DELETE AT-2 cipher-1", "DELETE AT-2 cipher-2"]);

    let answers = [Answer::code(105_002), pair_answer(2), taken_back(), taken_back()];
    let host = connected(&fresh()).answers(answers);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    let expected = ["DELETE AT-1 cipher-1", "refresh RT-1", "DELETE AT-2 cipher-1", "DELETE AT-2 cipher-2"];
    assert_eq!(sent(&host), expected);
}

#[test]
fn a_grant_that_proves_to_be_gone_has_nothing_left_to_take_back() {
    let host = connected(&fresh()).answers([taken_back(), Answer::code(105_001), Answer::code(36_004_005)]);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    nothing_is_left(&host);

    let dead = with(expired(), |record| record.dead = Some(DeadReason::AuthorizationExpired));
    let host = connected(&dead);
    assert!(not_revoked(&all(&host, RemoteGrant::Revoke)).is_empty());
    assert!(host.sent().is_empty());

    let unknown = with(expired(), |record| record.dead = Some(DeadReason::RefreshOutcomeUnknown));
    let host = connected(&unknown);
    let expected = ["1: refresh-outcome-unknown", "2: refresh-outcome-unknown"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
}

#[test]
fn what_cannot_be_asked_for_is_told() {
    let host = ScriptedHost::holding(&fresh());
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), ["all: revocation-not-tried"], "no shop is known");
    nothing_is_left(&host);

    let host = ScriptedHost::holding(&fresh());
    let mut row = row_of(&key(), &fresh(), &["1"]);
    row.connection.shops[0].listed.cipher = None;
    host.put_row(&row);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), ["1: revocation-not-tried"], "no cipher is known");

    let why = StorageError::Refused("no key".into());
    let host = connected(&fresh()).credentials_are(Err(why));
    let expected = ["1: credentials-refused", "2: credentials-refused"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    nothing_is_left(&host);

    let host = connected(&with(fresh(), |record| record.app_key = "an app before".into()));
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), ["1: app-key-changed", "2: app-key-changed"]);
    nothing_is_left(&host);
}

#[test]
fn asking_ends_after_a_while_so_that_the_deletion_has_its_time() {
    let host = ScriptedHost::holding(&fresh()).answers([taken_back()]).meanwhile(Step::Send, 1, |host| host.pass(21));
    host.put_row(&row_of(&key(), &fresh(), &["1", "2", "3"]));
    let expected = ["2: revocation-not-tried", "3: revocation-not-tried"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    nothing_is_left(&host);
}

/// However long the token host takes, for the first shop or after a refusal: the deletion has its time.
#[test]
fn after_a_slow_renewal_tiktok_is_not_asked_any_more() {
    let slow = |host: &ScriptedHost| host.pass(21);
    let host = connected(&expired()).answers([pair_answer(2)]).meanwhile(Step::Send, 1, slow);
    let expected = ["1: revocation-not-tried", "2: revocation-not-tried"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    nothing_is_left(&host);

    let host = connected(&fresh()).answers([Answer::code(105_002), pair_answer(2)]).meanwhile(Step::Send, 2, slow);
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    nothing_is_left(&host);
}

#[test]
fn the_last_shop_of_a_grant_that_is_replaced_meanwhile_leaves_the_new_one() {
    let anew = || with(fresh(), |record| record.lineage = Lineage([0x22; 16]));
    let host = ScriptedHost::holding(&fresh()).meanwhile(Step::LoadRow, 1, move |host| {
        host.put(&key(), &anew());
        host.put_row(&row_of(&key(), &anew(), &["1"]));
    });
    host.put_row(&row_of(&key(), &fresh(), &["1"]));
    assert!(shop(&host, "1", RemoteGrant::Keep).remaining.is_empty());
    assert_eq!(host.record().lineage(), anew().lineage());
    assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked");
}

#[test]
fn tokens_that_cannot_be_read_are_deleted_all_the_same() {
    let host = connected(&fresh());
    host.put_bytes(&key(), b"not a record");
    let expected = ["1: token-record-unreadable", "2: token-record-unreadable"];
    assert_eq!(not_revoked(&all(&host, RemoteGrant::Revoke)), expected);
    assert!(host.row().is_none() && run(tokens_are_gone(&host)));
}

async fn tokens_are_gone(host: &ScriptedHost) -> bool {
    host.accounts(&customer()).await.is_ok_and(|accounts| accounts.is_empty())
}

#[test]
fn one_shop_goes_and_the_tokens_live_on_for_the_other() {
    let host = connected(&fresh());
    let ended = shop(&host, "1", RemoteGrant::Keep);
    let [left] = ended.remaining.as_slice() else { panic!("one connection") };
    assert_eq!(shops_of(left), "1 granted, 2 granted linked");
    assert!(host.find_record(&key()).is_some());
    assert!(!host.record().awaits_verification());

    let ended = shop(&host, "2", RemoteGrant::Keep);
    assert!(ended.remaining.is_empty());
    nothing_is_left(&host);
    assert!(shop(&host, "2", RemoteGrant::Keep).remaining.is_empty(), "twice is once");
    assert!(host.sent().is_empty());
}

#[test]
fn a_shop_taken_back_is_no_longer_granted_and_the_others_are_looked_at() {
    let host = connected(&fresh()).answers([taken_back()]);
    let ended = shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(shops_of(&ended.remaining[0]), "1 gone, 2 granted linked");
    assert_eq!(sent(&host), ["DELETE AT-1 cipher-1"]);
    assert!(host.record().awaits_verification() && host.refresh_due_at() == Some(host.wall()), "due at once");

    // TikTok took the whole grant: the next refresh finds out.
    let host = connected(&fresh()).answers([taken_back(), Answer::code(105_001), Answer::code(36_004_005)]);
    shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked");
    assert_eq!(tokens(&host.record()), "- - [] dead");

    // Or not.
    let host = connected(&fresh()).answers([taken_back(), shops_answer(&["2"])]);
    shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(shops_of(&refresh_when_due(&host).unwrap()), "2 granted linked, 1 gone");
    assert!(!host.record().awaits_verification() && host.refresh_due_at() > Some(host.wall().plus(DAY)));
}

#[test]
fn a_shop_that_was_not_taken_back_is_unlinked_all_the_same() {
    let host = connected(&fresh()).answers([Answer::code(36_009_003)]);
    let ended = shop(&host, "1", RemoteGrant::Revoke);
    assert_eq!(not_revoked(&ended), ["1: tiktok-refused"]);
    assert_eq!(shops_of(&ended.remaining[0]), "1 granted, 2 granted linked");
    assert!(!host.record().awaits_verification());
}

#[test]
fn a_shop_of_two_accounts_goes_from_both() {
    let host = connected(&fresh());
    let other = key_of("customer-1", "account-2");
    host.put(&other, &fresh());
    host.put_row(&row_of(&other, &fresh(), &["1"]));
    let ended = shop(&host, "1", RemoteGrant::Keep);
    assert_eq!(ended.remaining.iter().map(shops_of).collect::<Vec<_>>(), ["1 granted, 2 granted linked"]);
    assert!(host.find_record(&other).is_none(), "it was the only shop of this one");
}

#[test]
fn a_shop_nobody_knows_ends_nothing() {
    let host = connected(&fresh());
    let ended = shop(&host, "7", RemoteGrant::Revoke);
    assert!(ended.remaining.is_empty() && ended.not_revoked.is_empty() && host.sent().is_empty());
    assert!(host.find_record(&key()).is_some());
}

#[test]
fn a_refresh_in_flight_finds_nothing_and_discards_its_pair() {
    let host = connected(&due())
        .answers([pair_answer(2)])
        .meanwhile(Step::SwapToken, 2, |host| assert!(all(host, RemoteGrant::Keep).remaining.is_empty()));
    assert_eq!(outcome(&refresh_when_due(&host)), "not-connected");
    nothing_is_left(&host);
}

#[test]
fn killed_anywhere_a_repetition_ends_it() {
    for ending in ["all", "shop"] {
        let ending = || if ending == "all" { DisconnectTarget::All(None) } else { DisconnectTarget::Shop("1".into()) };
        let host = |point| {
            let host = ScriptedHost::holding(&fresh()).tiktok(|_| taken_back());
            host.put_row(&row_of(&key(), &fresh(), &["1"]));
            match point {
                Some(point) => host.killed(point),
                None => host,
            }
        };
        let undisturbed = host(None);
        end(&undisturbed, ending(), RemoteGrant::Revoke).unwrap_or_else(|error| panic!("{error}"));
        let effects = undisturbed.effects().len();
        assert!(undisturbed.effects().contains(&Step::Send) && effects > 6);
        for point in (1..=effects).flat_map(|number| [Kill::Before(number), Kill::After(number)]) {
            let host = host(Some(point));
            assert!(run_or_die(disconnect(&host, customer(), ending(), RemoteGrant::Revoke)).is_none(), "killed");
            assert!(host.find_record(&key()).is_none() || host.row().is_some(), "{point:?}: the record goes first");
            host.restart();
            if host.find_record(&key()).is_none() && host.row().is_some() {
                assert!(run(rows_shown(&host)) == 0, "what has no tokens is not shown");
            }
            end(&host, DisconnectTarget::All(None), RemoteGrant::Keep)
                .unwrap_or_else(|error| panic!("{point:?}: {error}"));
            nothing_is_left(&host);
        }
    }
}

async fn rows_shown(host: &ScriptedHost) -> usize {
    list_connections(host, customer()).await.map_or(usize::MAX, |connections| connections.len())
}

#[test]
fn a_storage_that_does_not_delete_is_told() {
    let failing = || connected(&fresh()).fault(Step::SwapToken, 1, Fault::Refused);
    assert_eq!(outcome(&end(&failing(), DisconnectTarget::All(None), RemoteGrant::Keep)), "storage-refused");
    let host = connected(&fresh()).fault(Step::SwapToken, 2, Fault::AnswerLost);
    assert_eq!(outcome(&end(&host, DisconnectTarget::All(None), RemoteGrant::Keep)), "ok", "it was deleted");
    nothing_is_left(&host);
}
