//! A host whose clock is more than a week ahead receives a pair of tokens. By this clock the new access token has
//! already expired, so the host does not believe the expiry time. Hosts with a correct clock must nevertheless renew
//! the pair before it expires, without a forced refresh.

use super::{connect_all, connected, refresh_when_due};
use crate::samples::{
    DAY, NOW, customer, due, fresh, key, outcome, pair_answer, pair_answer_with, row_of, shops_answer, tokens, with,
};
use crate::scripted_host::{Answer, ScriptedHost, run};
use serde_json::json;
use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_connector_core::operation::access_token::access_token;
use tiktok_shop_connector_core::time::UnixSeconds;

const HOUR: u64 = 3600;
/// `NOW`, as TikTok writes it in a header.
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// Returns TikTok's answer at `NOW`: a pair whose access token expires in seven days.
fn week(number: u32) -> Answer {
    pair_answer_with(number, &json!({"access_token_expire_in": NOW.plus(7 * DAY).seconds()}))
}

/// Returns the access token and its expiry time.
fn served(host: &ScriptedHost) -> (String, Option<UnixSeconds>) {
    let token = run(access_token(host, customer(), None, 60)).unwrap_or_else(|error| panic!("{error}"));
    (token.token.expose().to_owned(), token.expires)
}

/// Lets a host whose clock is `ahead` seconds ahead refresh at `NOW`. Then creates a host with a correct clock that has
/// the same record in its storage, and lets `passed` seconds pass.
fn after_a_clock_ahead(ahead: u64, answer: Answer, passed: u64) -> ScriptedHost {
    let wrong = connected(&due()).answers([answer, shops_answer(&["1", "2"])]);
    wrong.wall_clock_jumps(ahead);
    assert_eq!(outcome(&refresh_when_due(&wrong)), "ok");
    let right = ScriptedHost::new();
    right.put_as_stored(&wrong);
    right.put_row(&row_of(&key(), &wrong.record(), &["1", "2"]));
    right.pass(passed);
    right
}

#[test]
fn a_due_time_of_a_clock_ahead_is_reached_before_the_token_ends() {
    for ahead in [8 * DAY, 400 * DAY, 100 * 365 * DAY] {
        let host = after_a_clock_ahead(ahead, week(2).dated(DATE), 0);
        assert_eq!(host.record().current().access_ends, None, "the end looked past");
        let due_at = host.refresh_due_at().unwrap();
        assert!(due_at > host.wall() && due_at < NOW.plus(6 * DAY), "{ahead}: {due_at:?}");
        host.pass(due_at.since(host.wall()));
        let host = host.answers([pair_answer(3), shops_answer(&["1", "2"])]);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok");
        assert_eq!(tokens(&host.record()), "AT-3 RT-3 [RT-2 RT-1]", "{ahead}");
        assert_eq!(served(&host), ("AT-3".into(), Some(NOW.plus(14 * DAY))), "{ahead}");
    }
}

#[test]
fn a_token_of_a_clock_ahead_is_not_served_without_an_end_for_ever() {
    // The test runs twice: with a date in TikTok's answer, and without a date.
    for answer in [week(2).dated(DATE), week(2)] {
        let host = after_a_clock_ahead(8 * DAY, answer, 5 * HOUR);
        assert_eq!(served(&host), ("AT-2".into(), None), "not yet");
        host.pass(HOUR);
        let host = host.answers([pair_answer(3)]);
        assert_eq!(served(&host), ("AT-3".into(), Some(NOW.plus(14 * DAY))));
        assert_eq!(host.sent(), ["refresh RT-2"]);
    }
}

#[test]
fn a_host_that_stays_ahead_does_not_renew_at_every_call() {
    let host = connected(&due())
        .answers([week(2).dated(DATE)])
        .tiktok(|request| if request.starts_with("refresh") { week(3).dated(DATE) } else { shops_answer(&["1", "2"]) });
    host.wall_clock_jumps(8 * DAY);
    for _ in 0..35 {
        assert_eq!(outcome(&refresh_when_due(&host)), "ok");
        assert_eq!(served(&host).1, None);
        host.pass(600);
    }
    let renewals = host.sent().iter().filter(|request| request.starts_with("refresh")).count();
    assert_eq!(renewals, 1, "in less than six hours");
    host.pass(HOUR);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(tokens(&host.record()), "AT-3 RT-3 [RT-2 RT-1]");
}

#[test]
fn a_small_lead_and_an_absurd_date_change_nothing() {
    let six_hours = |wall: UnixSeconds| Some(wall.plus(6 * HOUR));
    let unknown = || pair_answer_with(2, &json!({"access_token_expire_in": null}));
    for (ahead, date) in
        [(0, DATE), (12 * HOUR, DATE), (DAY, DATE), (8 * DAY, "Thu, 01 Jan 1970 00:00:00 GMT"), (8 * DAY, "soon")]
    {
        let host = connected(&due()).answers([unknown().dated(date), shops_answer(&["1", "2"])]);
        host.wall_clock_jumps(ahead);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok");
        assert_eq!(host.refresh_due_at(), six_hours(host.wall()), "{ahead} {date}");
    }
}

#[test]
fn a_failure_on_a_host_that_is_ahead_does_not_move_the_due_time_out_of_reach() {
    let host = connected(&due()).answers([week(2).dated(DATE), Answer::page(500)]);
    host.wall_clock_jumps(400 * DAY);
    assert_eq!(outcome(&refresh_when_due(&host)), "tiktok-unavailable");
    assert!(host.refresh_due_at() < Some(NOW.plus(DAY)), "{:?}", host.refresh_due_at());
    assert_eq!(host.record().not_before().map(|time| time > host.wall()), Some(true));
}

/// The connector ignores a webhook about an event before the consent. If a clock that is eight days ahead dated the
/// consent, the connector would ignore removals of the app during the eight days after the consent.
#[test]
fn a_consent_on_a_host_that_is_ahead_is_dated_by_tiktok() {
    let host = ScriptedHost::new().answers([week(1).dated(DATE), shops_answer(&["1"])]);
    host.wall_clock_jumps(8 * DAY);
    assert_eq!(outcome(&connect_all(&host)), "ok");
    assert_eq!(host.record().granted_at(), NOW);
}

#[test]
fn a_record_that_a_correct_clock_wrote_is_due_as_ever() {
    let unknown = with(fresh(), |record| record.current.access_ends = None);
    let host = connected(&unknown);
    host.pass(10 * HOUR);
    assert_eq!(served(&host).0, "AT-1", "due in five days, whatever its age is");
    assert!(
        matches!(run(access_token(&ScriptedHost::new(), customer(), None, 0)), Err(error) if error.cause == Cause::NotConnected)
    );
}
