//! Kills calls before and after every effect (an access to the credentials, the storage or the network). The stored
//! state is valid after each kill, and a later call continues from it.

use super::{code, connect_all, connected, import_of, importing, refresh_forced, refresh_when_due};
use crate::samples::{
    NOW, account, customer, due, key, last_failure, outcome, pair_answer, refresh_token, shops_answer, shops_of,
    stored_form, tokens, with,
};
use crate::scripted_host::{Answer, Kill, ScriptedHost, Step, run_or_die};
use tiktok_shop_connector_core::connection::Status;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation;
use tiktok_shop_connector_core::operation::refresh::RefreshMode;
use tiktok_shop_connector_core::record::ShopPolicy;

/// The state of an old refresh token after TikTok has issued a newer token: the old token still works, or TikTok has
/// revoked it. TikTok does not document which of the two happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replaced {
    Lives,
    IsRevoked,
}

/// Returns a simulated TikTok: a function from a request to its answer. The first pair that it issues has the number
/// `newest` + 1, and each later pair has the next number. It accepts an authorization code only once.
fn tiktok(replaced: Replaced, mut newest: u32) -> impl FnMut(&str) -> Answer {
    let mut code_spent = false;
    move |request| {
        let (verb, token) = request.split_once(' ').unwrap();
        let number = token.split_once('-').unwrap().1.parse::<u32>().unwrap();
        match verb {
            "shops" => shops_answer(&["1", "2"]),
            "exchange" if code_spent => Answer::code(36_004_004),
            "refresh" if number < newest && replaced == Replaced::IsRevoked => Answer::code(36_004_005),
            _ => {
                code_spent |= verb == "exchange";
                newest += 1;
                pair_answer(newest)
            }
        }
    }
}

fn points(effects: usize) -> impl Iterator<Item = Kill> {
    (1..=effects).flat_map(|number| [Kill::Before(number), Kill::After(number)])
}

fn dies_refreshing(host: &ScriptedHost) {
    let call = operation::refresh::refresh(host, customer(), Some(account()), RefreshMode::WhenDue);
    assert!(run_or_die(call).is_none(), "killed");
}

fn dies_connecting(host: &ScriptedHost) {
    let call = operation::connect::connect(host, customer(), None, code(), ShopPolicy::All);
    assert!(run_or_die(call).is_none(), "killed");
}

fn dies_importing(host: &ScriptedHost, account: Option<&str>) {
    assert!(run_or_die(importing(host, account, "RT-1")).is_none(), "killed");
}

/// Starts the host again, and moves its clocks forward by 121 s. A claim lives for 120 s, so afterwards every claim has
/// lapsed.
fn later(host: &ScriptedHost) {
    host.restart();
    host.pass(121);
}

fn is_whole(host: &ScriptedHost, point: Kill) {
    let row = host.row().expect("a row").connection;
    assert_eq!((row.status, last_failure(&row)), (Status::Active, None), "{point:?}");
    assert_eq!(shops_of(&row), "1 granted linked, 2 granted linked", "{point:?}");
    assert!(host.refresh_due_at() > Some(host.wall()), "{point:?}");
}

#[test]
fn a_refresh_killed_anywhere_leaves_the_old_pair_a_claim_or_the_new_pair() {
    for point in points(9) {
        let host = connected(&due()).tiktok(tiktok(Replaced::Lives, 1)).killed(point);
        dies_refreshing(&host);
        let stored = tokens(&host.record());
        let expected = match point {
            Kill::Before(1..=3) | Kill::After(1..=2) => "AT-1 RT-1 []",
            Kill::Before(4..=5) | Kill::After(3..=4) => "AT-1 RT-1 [] claimed",
            Kill::Before(_) | Kill::After(_) => "AT-2 RT-2 [RT-1]",
        };
        assert_eq!(stored, expected, "{point:?}");
        assert!(host.refresh_due_at().is_some(), "{point:?}: a sweep finds the record");

        later(&host);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{point:?}");
        is_whole(&host, point);
    }
}

#[test]
fn nothing_is_sent_until_the_claim_of_a_killed_refresh_lapses() {
    let host = connected(&due()).tiktok(tiktok(Replaced::Lives, 1)).killed(Kill::After(4));
    dies_refreshing(&host);
    host.restart();
    host.pass(119);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok", "the access token is valid");
    assert!(host.sent().is_empty());
}

/// In this test TikTok revokes the old refresh token. The connection is lost only if the call is killed between
/// TikTok's answer and the save of that answer. Two kill points lie in between: after the effect that sends the
/// request, and before the next effect.
#[test]
fn a_killed_refresh_loses_the_connection_only_if_tiktok_spent_the_token_unanswered() {
    let mut lost = Vec::new();
    for point in points(9) {
        let host = connected(&due()).tiktok(tiktok(Replaced::IsRevoked, 1)).killed(point);
        dies_refreshing(&host);
        later(&host);
        match outcome(&refresh_when_due(&host)) {
            "ok" => is_whole(&host, point),
            "refresh-outcome-unknown" => {
                assert_eq!(host.sent(), ["refresh RT-1"], "{point:?}: the token is sent once more");
                lost.push(point);
            }
            other => panic!("{point:?}: {other}"),
        }
    }
    assert_eq!(lost, [Kill::After(4), Kill::Before(5)]);
}

/// TikTok has acted, but its answer is lost. In this test the old refresh token still works. It is sent once more, and
/// no new consent is needed.
#[test]
fn after_a_lost_answer_the_token_is_sent_once_more_when_the_claim_has_lapsed() {
    let mut provider = tiktok(Replaced::Lives, 1);
    let mut lose = true;
    let host = connected(&due()).tiktok(move |request| {
        let answer = provider(request);
        if std::mem::take(&mut lose) { Answer::Broken(TransportFailure::Interrupted) } else { answer }
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "answer-incomplete");
    assert_eq!(host.record().dead(), None);
    host.pass(120);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "refresh RT-1", "shops AT-3"]);
    assert_eq!(tokens(&host.record()), "AT-3 RT-3 [RT-1]");
}

#[test]
fn a_promotion_killed_anywhere_is_completed_by_the_next_refresh() {
    let record = with(due(), |record| record.fallbacks = vec![refresh_token("RT-0")]);
    let answer = |request: &str| match request {
        "refresh RT-1" => Answer::code(36_004_005),
        "refresh RT-0" => pair_answer(2),
        _ => shops_answer(&["1", "2"]),
    };
    // Compared with a refresh that needs no fallback, there are two more effects: the swap that makes the fallback
    // current, and the second request.
    for point in points(11) {
        let host = connected(&record).tiktok(answer).killed(point);
        dies_refreshing(&host);
        let legal = ["AT-1 RT-1 [RT-0]", "AT-1 RT-1 [RT-0] claimed", "AT-1 RT-0 [] claimed", "AT-2 RT-2 [RT-0]"];
        let stored = tokens(&host.record());
        assert!(legal.contains(&stored.as_str()), "{point:?}: {stored}");
        later(&host);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{point:?}");
        is_whole(&host, point);
    }
}

#[test]
fn a_connect_killed_anywhere_leaves_a_whole_connection_or_none() {
    for point in points(11) {
        let host = ScriptedHost::new().tiktok(tiktok(Replaced::Lives, 0)).killed(point);
        dies_connecting(&host);
        let is_connected = host.find_record(&key()).is_some();
        assert_eq!(is_connected, !matches!(point, Kill::Before(1..=5) | Kill::After(1..=4)), "{point:?}");
        if is_connected {
            assert!(host.refresh_due_at().is_some(), "{point:?}: a sweep finishes the work");
            later(&host);
            assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{point:?}");
            is_whole(&host, point);
        } else {
            let spent = host.sent() == ["exchange CODE-1"];
            later(&host);
            let expected = if spent { "authorization-code-spent" } else { "ok" };
            assert_eq!(outcome(&connect_all(&host)), expected, "{point:?}");
            assert_eq!(host.find_record(&key()).is_some(), !spent, "{point:?}");
        }
    }
}

#[test]
fn a_connect_killed_before_its_row_is_written_is_due_at_once() {
    let host = ScriptedHost::new().tiktok(tiktok(Replaced::Lives, 0)).killed(Kill::After(5));
    dies_connecting(&host);
    assert_eq!((host.refresh_due_at(), host.row().is_none()), (Some(NOW), true));
}

/// After a kill at any effect, either the old tokens or the new tokens are stored, and a forced refresh with the stored
/// tokens succeeds.
#[test]
fn a_reconnect_killed_anywhere_leaves_a_connection_that_works() {
    for point in points(11) {
        let host = connected(&due()).tiktok(tiktok(Replaced::Lives, 1)).killed(point);
        dies_connecting(&host);
        let replaced = tokens(&host.record()) == "AT-2 RT-2 [RT-1]";
        assert!(replaced || stored_form(&host.record()) == stored_form(&due()), "{point:?}");
        later(&host);
        assert_eq!(outcome(&refresh_forced(&host)), "ok", "{point:?}");
        is_whole(&host, point);
    }
}

#[test]
fn an_import_of_a_named_account_killed_anywhere_leaves_nothing_or_a_record_that_a_sweep_completes() {
    for point in points(13) {
        let host = ScriptedHost::new().tiktok(tiktok(Replaced::Lives, 1)).killed(point);
        dies_importing(&host, Some("account-1"));
        let stored = host.find_record(&key()).map(|record| tokens(&record));
        let expected = match point {
            Kill::Before(1..=3) | Kill::After(1..=2) => None,
            Kill::Before(4..=5) | Kill::After(3..=4) => Some("- RT-1 []"),
            Kill::Before(6..=7) | Kill::After(5..=6) => Some("- RT-1 [] claimed"),
            Kill::Before(_) | Kill::After(_) => Some("AT-2 RT-2 [RT-1]"),
        };
        assert_eq!(stored.as_deref(), expected, "{point:?}");
        if expected.is_none() {
            assert!(host.sent().is_empty(), "{point:?}: the other system may use its token");
            later(&host);
            assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "ok", "{point:?}");
        } else {
            assert!(host.refresh_due_at().is_some(), "{point:?}: a sweep finds the record");
            later(&host);
            assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{point:?}");
        }
        is_whole(&host, point);
    }
}

#[test]
fn an_import_of_a_named_account_killed_anywhere_is_completed_by_the_same_import() {
    for point in points(13) {
        let host = ScriptedHost::new().tiktok(tiktok(Replaced::Lives, 1)).killed(point);
        dies_importing(&host, Some("account-1"));
        let has_pair = host.find_record(&key()).is_some_and(|record| !record.is_unconfirmed());
        later(&host);
        let expected = if has_pair { "already-connected" } else { "ok" };
        assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), expected, "{point:?}");
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{point:?}");
        is_whole(&host, point);
    }
}

#[test]
fn an_import_killed_before_its_row_is_written_is_due_at_once() {
    for (account, saved) in [(Some("account-1"), 7), (None, 5)] {
        let host = ScriptedHost::new().tiktok(tiktok(Replaced::Lives, 1)).killed(Kill::After(saved));
        dies_importing(&host, account);
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]", "{account:?}");
        assert_eq!((host.refresh_due_at(), host.row().is_none()), (Some(NOW), true), "{account:?}");
    }
}

/// In these imports TikTok revokes the old refresh token. With a named account, and without one, the grant is lost only
/// if the call is killed between TikTok's answer and the save of that answer.
#[test]
fn a_killed_import_loses_the_grant_only_if_tiktok_spent_the_token_unanswered() {
    for (account, effects, expected) in
        [(Some("account-1"), 13, [Kill::After(6), Kill::Before(7)]), (None, 11, [Kill::After(4), Kill::Before(5)])]
    {
        let mut lost = Vec::new();
        for point in points(effects) {
            let host = ScriptedHost::new().tiktok(tiktok(Replaced::IsRevoked, 1)).killed(point);
            dies_importing(&host, account);
            later(&host);
            let is_stored = host.find_record(&key()).is_some();
            let next = if is_stored { refresh_when_due(&host) } else { import_of(&host, account, "RT-1") };
            match outcome(&next) {
                "ok" => {}
                "refresh-outcome-unknown" | "authorization-revoked" => {
                    lost.push(point);
                    continue;
                }
                other => panic!("{account:?} {point:?}: {other}"),
            }
            assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{account:?} {point:?}");
            is_whole(&host, point);
        }
        assert_eq!(lost, expected, "{account:?}");
    }
}

#[test]
fn the_kill_points_above_cover_every_effect_of_an_undisturbed_call() {
    let host = connected(&due()).tiktok(tiktok(Replaced::Lives, 1));
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!((host.effects().len(), host.effects()[3], host.effects()[4]), (9, Step::Send, Step::SwapToken));

    let host = ScriptedHost::new().tiktok(tiktok(Replaced::Lives, 0));
    assert_eq!(outcome(&connect_all(&host)), "ok");
    assert_eq!((host.effects().len(), host.effects()[3], host.effects()[4]), (11, Step::Send, Step::SwapToken));

    for (account, effects, sends) in [(Some("account-1"), 13, 6), (None, 11, 4)] {
        let host = ScriptedHost::new().tiktok(tiktok(Replaced::Lives, 1));
        assert_eq!(outcome(&import_of(&host, account, "RT-1")), "ok");
        let steps = host.effects();
        assert_eq!((steps.len(), steps[sends - 1], steps[sends]), (effects, Step::Send, Step::SwapToken));
    }

    let host = connected(&due()).tiktok(tiktok(Replaced::Lives, 1));
    assert_eq!(outcome(&connect_all(&host)), "ok");
    // Compared with a first `connect`, there is one more swap: the first swap expects no record, so it is stale and
    // returns the stored record. There is one load fewer, because the row already exists.
    assert_eq!((host.effects().len(), host.effects()[4], host.effects()[5]), (11, Step::SwapToken, Step::SwapToken));
}
