//! Tests what `sweep` reports: refreshed, failed, held, backing off and ended connections, and its exit status.

use std::os::unix::process::ExitStatusExt as _;

use fake_tiktok_shop::Fault;
use serde_json::{Value, json};

use crate::Run;
use crate::gate::{Gate, REFRESH, send};
use crate::stage::{BEGIN, DAY, Stage};

/// The path of the request for new tokens.
const TOKEN_REFRESH: &str = "/api/v2/token/refresh";

/// Returns the JSON summary of a sweep that did nothing, in which `members` have replaced the members of the same name.
fn summary(members: &Value) -> Value {
    let nothing = json!({
        "refreshed": 0, "ended": 0, "no_longer_due": 0, "held": 0, "backing_off": 0, "unusable": 0, "failed": 0,
        "notices": 0, "stopped": false, "left": 0,
    });
    crate::changed(&nothing, members)
}

/// Runs `sweep --json`. Returns its exit status and the objects that it prints.
fn sweep_json(stage: &Stage) -> (Option<i32>, Vec<Value>) {
    let Run { status, stdout, .. } = stage.run(stage.command("sweep --json"), "");
    (status, stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn a_seller_who_has_revoked_is_named_and_is_no_failure() {
    let stage = Stage::new();
    let account = stage.connect("customer-7", "one-shop")["account"].as_str().unwrap().to_owned();
    stage.connect("customer-8", "several-regions");
    stage.advance(7 * DAY - 3_600);
    stage.fake.revoke("one-shop").unwrap();
    let Run { status, stdout, .. } = stage.run(stage.command("sweep"), "");
    assert_eq!(status, Some(0));
    let [ended, swept] = &*stdout.lines().collect::<Vec<_>>() else { panic!("{stdout}") };
    let begins = format!("tenant default, customer customer-7, account {account}: ended: authorization-revoked: ");
    assert!(ended.starts_with(&begins), "{ended}");
    assert!(ended.ends_with(". Next: run authorization-url, and let the seller consent again"), "{ended}");
    assert_eq!(*swept, "1 refreshed, 1 ended, 0 failed, notices: 0");
    assert_eq!(stage.ok("sweep", ""), "0 refreshed, 0 failed, notices: 0\n", "it is named once");
}

#[test]
fn a_failed_refresh_has_status_1_and_the_pause_after_it_is_reported() {
    let stage = Stage::new();
    let account = stage.connect("customer-7", "one-shop")["account"].as_str().unwrap().to_owned();
    let name = "HTTP 429, no Retry-After";
    let fail = || stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap());

    // The access token is still valid for an hour.
    stage.advance(7 * DAY - 3_600);
    fail();
    let Run { status, stdout, .. } = stage.run(stage.command("sweep"), "");
    assert_eq!(status, Some(1));
    let of = format!("tenant default, customer customer-7, account {account}: ");
    assert!(stdout.starts_with(&format!("{of}retry-after: ")), "{stdout}");
    assert!(stdout.ends_with("\n0 refreshed, 1 failed, notices: 0\n"), "{stdout}");
    let printed = stage.ok("sweep", "");
    assert!(printed.starts_with(&format!("{of}backing-off until 2026-01-07T23:0")), "{printed}");
    assert!(
        printed.ends_with(
            ": the latest refreshes failed; works until then\n0 refreshed, 1 backing off, 0 failed, notices: 0\n"
        ),
        "{printed}"
    );

    // The access token has expired.
    stage.advance(DAY);
    fail();
    assert_eq!(sweep_json(&stage).0, Some(1));
    let (status, lines) = sweep_json(&stage);
    assert_eq!(status, Some(6));
    let [waiting, swept] = &*lines else { panic!("{lines:?}") };
    let now = BEGIN + 8 * DAY - 3_600;
    let until = waiting["until"].as_u64().unwrap();
    assert!(until > now && until <= now + 3_600, "{until}");
    let expected = json!({
        "tenant": "default", "customer": "customer-7", "account": account, "outcome": "backing-off", "until": until,
        "access_token": "unusable", "why": waiting["why"],
    });
    assert_eq!(*waiting, expected);
    assert_eq!(*swept, summary(&json!({ "backing_off": 1, "unusable": 1 })));
    stage.advance(until - now);
    assert_eq!(stage.ok("sweep", ""), "1 refreshed, 0 failed, notices: 0\n");
}

#[test]
fn the_connections_of_a_killed_sweep_are_reported_until_their_claims_lapse() {
    let stage = Stage::new();
    for customer in ["customer-1", "customer-2", "customer-3"] {
        stage.connect(customer, "one-shop");
    }
    stage.advance(7 * DAY);
    let gate = Gate::before(&stage, REFRESH);
    let mut sweep = gate.command(&stage, &[], "sweep").spawn().unwrap();
    (0..3).for_each(|_| gate.wait_for_request());
    send("KILL", &sweep);
    assert_eq!(sweep.wait().unwrap().signal(), Some(9));

    let Run { status, stdout, .. } = stage.run(stage.command("sweep"), "");
    assert_eq!(status, Some(6), "{stdout}");
    let held = ": held until 2026-01-08T00:02:00Z: an earlier refresh is still running, or TikTok Shop's answer to it \
                was lost; unusable until then, because its access token has ended\n";
    assert_eq!(stdout.matches(held).count(), 3, "{stdout}");
    assert!(stdout.ends_with("\n0 refreshed, 3 held, 3 of these unusable, 0 failed, notices: 0\n"), "{stdout}");
    let (status, lines) = sweep_json(&stage);
    assert_eq!((status, lines.last().unwrap()), (Some(6), &summary(&json!({ "held": 3, "unusable": 3 }))));
}
