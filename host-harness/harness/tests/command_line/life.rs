//! Tests the commands that create, use, refresh and end a connection. Each command runs in its own process.

use fake_tiktok_shop::{Decision, Ending, Fault, Piece};
use serde_json::json;

use crate::stage::{ACTOR, DAY, Stage, install_id};
use crate::{Run, lines, output_of, run};

const SHOP: &str = "7490000000000000001";

#[test]
fn a_connection_is_created_used_refreshed_and_ended() {
    let stage = Stage::new();

    // The seller allows the consent, and the user pastes the address to which the browser was sent back.
    let link = stage.link("customer-7");
    assert!(link.starts_with("https://services.tiktokshop.com/open/authorize?service_id=7480000000000000001&state="));
    let callback = stage.decide(&link, "one-shop", Decision::Allow);
    let printed = stage.ok("connect", &format!("https://platform.example/callback?{callback}\n"));
    let account = stage.account("one-shop");
    let connection = lines([
        "customer-7: Teapot Corner (GB), active",
        &format!("    account {account}"),
        "    app     6fakeapp00001",
        "    token   ends 2026-01-08T00:00:00Z, in 7 days",
        "    consent ends 2124-12-08T00:00:00Z, in 36135 days",
        "    shop    7490000000000000001  Teapot Corner (GB), linked, cipher present",
    ]);
    assert_eq!(printed, connection);
    assert_eq!(stage.ok("list-connections customer-7", ""), connection);
    let shops = stage.ok("list-shops customer-7", "");
    let row = format!("{SHOP}  Teapot Corner  GB      {account}  6fakeapp00001  granted   present");
    assert_eq!(shops.lines().nth(1).unwrap(), row);

    // Eight days later, the access token has ended.
    stage.advance(8 * DAY);
    let printed = stage.ok("refresh customer-7", "");
    assert!(printed.contains("\n    token   ends 2026-01-16T00:00:00Z, in 7 days\n"), "{printed}");
    assert!(printed.ends_with("\n    done    new tokens stored, shops read\n"), "{printed}");
    let printed = stage.ok("refresh customer-7", "");
    assert!(printed.ends_with("\n    done    shops read; the tokens were not due\n"), "{printed}");

    let printed = stage.ok("access-token customer-7 --min-validity 600", "");
    assert_eq!(printed, format!("account {account}: the access token ends 2026-01-16T00:00:00Z, in 7 days\n"));
    let revealed = run(stage.command("access-token customer-7 --reveal"), "");
    assert_eq!(revealed.status, Some(0));
    let issued = stage.fake.issued(&stage.app().service_id, "one-shop").unwrap();
    assert!(issued.honours_access_token(revealed.stdout.strip_suffix('\n').unwrap()));
    assert_eq!(
        revealed.stderr,
        format!("note: account {account}: the access token ends 2026-01-16T00:00:00Z, in 7 days\n")
    );

    calls(&stage);
    webhooks(&stage, &account);

    // The access token has ended, so a sweep refreshes the connection.
    stage.advance(7 * DAY);
    assert_eq!(stage.ok("sweep", ""), "1 refreshed, 0 failed, notices: 0\n");
    assert_eq!(stage.ok("sweep", ""), "0 refreshed, 0 failed, notices: 0\n");

    let printed = stage.ok(&format!("disconnect customer-7 --shop {SHOP} --revoke --yes"), "");
    let lost = format!("    access  the app has lost shop {SHOP} of account {account}\n");
    assert_eq!(printed, format!("customer-7 is disconnected\n{lost}"));
    assert_eq!(stage.ok("list-connections customer-7", ""), "");
    let repeated = stage.ok("disconnect customer-7 --allow-absent", "");
    assert_eq!(repeated, "customer-7: nothing to disconnect\n", "idempotent");
    let event = |position, day, event| {
        format!("{position}  2026-01-{day}T00:00:00Z  customer-7  {account}  {event}  by {ACTOR}")
    };
    let expected = [
        event(1, "01", "connected"),
        event(2, "01", &format!("shops-linked: {SHOP}")),
        event(3, "09", "token-shown"),
        event(4, "09", "token-shown"),
        event(5, "16", &format!("shops-unlinked: {SHOP}")),
        event(6, "16", "disconnected"),
    ];
    assert_eq!(stage.ok("events", ""), lines(expected.iter().map(String::as_str)));
}

fn calls(stage: &Stage) {
    let search =
        format!("call customer-7 POST /order/202309/orders/search --shop {SHOP} --query page_size=1 --body-file -");
    let Run { status, stdout, stderr } = stage.run(stage.command(&search), "{}");
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.starts_with("{\"code\":0,") && !stdout.ends_with('\n'), "the answer is unchanged: {stdout}");
    assert!(stderr.starts_with("HTTP 200, code 0, request 2026"), "{stderr}");

    // TikTok Shop answers with an error.
    let Run { status, stdout, stderr } = stage.run(stage.command("call customer-7 get /order/202309/no-such-path"), "");
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stdout.starts_with("{\"code\":36009009,"), "{stdout}");

    // An answer that is not text is unchanged as well.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/pdf\r\ncontent-length: 6\r\n\r\n".to_owned();
    let sends = vec![Piece::Text(head), Piece::Bytes(b"%\x1b[\0\xff\n".to_vec())];
    let fault = Fault { acts: false, sends, then: Ending::Close };
    stage.fake.fault_next("/authorization/202309/shops", "a document", fault);
    let output = output_of(stage.command("call customer-7 GET /authorization/202309/shops"), "");
    assert_eq!((output.status.code(), output.stdout), (Some(1), b"%\x1b[\0\xff\n".to_vec()));
}

fn webhooks(stage: &Stage, account: &str) {
    let service = stage.app().service_id;
    stage.fake.queue_webhook(&service, 1, Some(SHOP), json!({ "order_id": "5760000000000010001" })).unwrap();
    let delivery = stage.fake.webhooks_due().remove(0);
    let take = format!("webhook --authorization {}", delivery.header("authorization").unwrap());
    let printed = stage.ok(&take, &delivery.body);
    let expected = lines([
        "answer 200: handled",
        "    app     6fakeapp00001",
        "    type    1",
        "    shop    7490000000000000001",
        "    time    2026-01-09T00:00:00Z",
        "    effect  none",
        &format!("    owner   customer-7, account {account}, may use the shop"),
        "    data    {\"order_id\":\"5760000000000010001\"}",
    ]);
    assert_eq!(printed, expected);
    assert_eq!(stage.ok(&take, &delivery.body), "answer 200: repeated\n");
    let forged = stage.run(stage.command(&take), delivery.body.replace('7', "8"));
    assert_eq!((forged.status, &*forged.stdout), (Some(1), "answer 401: forged\n"));
    let large = stage.run(stage.command(&take), vec![b' '; 256 * 1024 + 1]);
    assert_eq!(large.stdout, "answer 413: too-large\n    why     the body is larger than 256 KiB\n");
    assert_eq!(large.status, Some(1));
}

#[test]
fn a_consent_is_finished_once_and_only_by_the_user_who_began_it() {
    let stage = Stage::new();
    stage.ok("migrate", "");
    let connect_error = |input: &str| {
        let (status, line) = stage.error(stage.command("connect"), input);
        (status, line.split(". Next: ").next().unwrap().to_owned())
    };
    let unknown = "consent-not-finished: state-mismatch: the callback carries no state of a consent of this tenant";
    assert_eq!(connect_error("code=c&state=0123456789abcdef"), (Some(4), unknown.to_owned()));

    let callback = stage.decide(&stage.link("customer-7"), "one-shop", Decision::Allow);
    let (status, line) =
        stage.error(stage.command(&format!("connect --tenant {}", stage.fake.apps()[1].app_key)), &callback);
    assert_eq!((status, line.starts_with(unknown)), (Some(4), true), "{line}");

    // Without the file of the browser session, the program counts as another user, who has the same database and keys.
    let session = std::fs::read_to_string(stage.data("browser-session")).unwrap();
    std::fs::remove_file(stage.data("browser-session")).unwrap();
    let other = "consent-not-finished: other-browser: another browser began this consent";
    assert_eq!(connect_error(&callback), (Some(4), other.to_owned()));
    std::fs::write(stage.data("browser-session"), session).unwrap();

    stage.ok("connect", &callback);
    let used = "consent-not-finished: state-used: an earlier callback has used this state";
    assert_eq!(connect_error(&callback), (Some(4), used.to_owned()));

    let refused = stage.decide(&stage.link("customer-8"), "one-shop", Decision::Refuse);
    let (status, line) = connect_error(&refused);
    assert_eq!(status, Some(11));
    assert!(line.starts_with("reauthorize: consent-refused: "), "{line}");
}

#[test]
fn the_user_confirms_an_install_from_the_app_store_in_a_second_command() {
    let stage = Stage::new();
    let install = stage.fake.consent(&stage.app().service_id, "several-regions", None, Decision::Allow).unwrap();
    let begun = stage.run(stage.command("connect --app-store customer-9 --shops exactly-one"), &install);
    assert_eq!(begun.status, Some(0), "{}", begun.stderr);
    let printed = begun.stdout;
    assert!(printed.starts_with("customer-9: Lantern & Loom (DE), not connected yet\n"), "{printed}");
    assert_eq!(printed.matches("    shop    ").count(), 3, "{printed}");
    let id = install_id(&printed);
    let note = format!(
        "note: nothing is connected yet; if these are the customer's shops, run connect --app-store customer-9 --confirm \
         {id} --shops exactly-one within 30 minutes, otherwise the same with --cancel\n"
    );
    assert!(begun.stderr.ends_with(&note), "{}", begun.stderr);
    assert_eq!(stage.json("list-connections customer-9", "").len(), 0);
    // The same callback shows the same install again, and sends no code.
    assert_eq!(install_id(&stage.ok("connect --app-store customer-9", &install)), id);

    let refused = |customer: &str, id: &str| {
        stage.error(stage.command(&format!("connect --app-store {customer} --confirm {id}")), "")
    };
    let (status, line) = refused("customer-8", id);
    assert_eq!(status, Some(4));
    assert!(line.starts_with("install-not-finished: other-customer: "), "{line}");
    let (status, line) = refused("customer-9", &"0".repeat(64));
    assert_eq!(status, Some(4));
    assert!(line.starts_with("install-not-finished: install-unknown: "), "{line}");
    let (status, line) = refused("customer-9", "nope");
    assert_eq!(status, Some(2));
    assert!(line.contains("an ID has 64 hexadecimal digits"), "{line}");

    let confirm = format!("connect --app-store customer-9 --confirm {id} --shops exactly-one");
    let connected = stage.run(stage.command(&confirm), "");
    let note = "note: no shop is linked yet; choose one with link-shops customer-9 SHOP\n";
    assert!(connected.stderr.ends_with(note), "{}", connected.stderr);
    let printed = connected.stdout;
    assert!(printed.starts_with("customer-9: Lantern & Loom (DE), active\n"), "{printed}");
    assert_eq!(printed.matches(", not linked, ").count(), 3, "{printed}");
    let (status, line) = refused("customer-9", id);
    assert_eq!(status, Some(4));
    assert!(line.starts_with("install-not-finished: install-confirmed: "), "{line}");

    let printed = stage.ok("link-shops customer-9 7490000000000000003", "");
    assert!(
        printed.contains("Loom FR (FR), linked, cipher present")
            && printed.contains("Loom IE (IE), not linked, cipher none")
    );
    assert_eq!(stage.json("list-shops customer-9", "").len(), 1);
    let printed = stage.ok("link-shops customer-9 --none", "");
    assert_eq!(printed.matches(", not linked, ").count(), 3, "{printed}");

    let begun = stage.decide(&stage.link("customer-9"), "one-shop", Decision::Allow);
    let (status, line) = stage.error(stage.command("connect --app-store customer-9"), begun);
    assert_eq!(status, Some(13), "a callback with a state is not an install");
    assert!(line.starts_with("invalid-request: state-mismatch: "), "{line}");
    assert!(line.contains("if the callback has a state, run connect without --app-store; "), "{line}");
}

#[test]
fn a_cancelled_install_connects_nothing() {
    let stage = Stage::new();
    let install = stage.fake.consent(&stage.app().service_id, "one-shop", None, Decision::Allow).unwrap();
    let pending = stage.json("connect --app-store customer-9", &install).remove(0);
    assert_eq!(
        (pending["customer"].as_str(), pending["shops"].as_array().map(Vec::len)),
        (Some("customer-9"), Some(1))
    );
    let id = pending["pending_install"].as_str().unwrap();
    let cancel = |customer: &str| stage.command(&format!("connect --app-store {customer} --cancel {id}"));
    let (status, line) = stage.error(cancel("customer-8"), "");
    assert_eq!(status, Some(4));
    assert!(line.starts_with("install-not-finished: other-customer: "), "{line}");
    let cancelled = stage.run(cancel("customer-9"), "");
    assert_eq!((cancelled.status, cancelled.stdout.as_str()), (Some(0), ""));
    assert!(cancelled.stderr.contains("the install is deleted, and nothing is connected"), "{}", cancelled.stderr);
    let (status, line) = stage.error(cancel("customer-9"), "");
    assert_eq!(status, Some(5));
    assert!(line.starts_with("no App Store install with this ID waits, so nothing was changed; "), "{line}");
    let confirm = stage.command(&format!("connect --app-store customer-9 --confirm {id}"));
    let (status, line) = stage.error(confirm, "");
    assert_eq!(status, Some(4));
    assert!(line.starts_with("install-not-finished: install-unknown: "), "{line}");
    let (status, line) = stage.error(stage.command("connect --app-store customer-9"), &install);
    assert_eq!(status, Some(11), "{line}");
    assert_eq!(stage.json("list-connections customer-9", "").len(), 0);
}

#[test]
fn a_customer_with_two_accounts_names_one_and_disconnects_one() {
    let stage = Stage::new();
    let account = stage.connect("customer-7", "one-shop")["account"].as_str().unwrap().to_owned();
    stage.connect("customer-7", "several-regions");
    let (status, line) = stage.error(stage.command("refresh customer-7"), "");
    assert_eq!(status, Some(13));
    assert!(line.starts_with("invalid-request: account-required: "), "{line}");
    assert!(line.contains(". Next: name one account with --account; list-connections shows the accounts; "), "{line}");
    stage.ok(&format!("refresh customer-7 --force --account {account}"), "");
    for wrong in ["--shop 99", "--account nope"] {
        let (status, line) = stage.error(stage.command(&format!("disconnect customer-7 {wrong}")), "");
        assert_eq!(status, Some(5), "{line}");
        let printed = stage.ok(&format!("disconnect customer-7 {wrong} --allow-absent"), "");
        assert!(
            printed.starts_with("customer-7: nothing to disconnect; 2 connections continue\ncustomer-7: "),
            "{printed}"
        );
    }
    let ended = stage.json(&format!("disconnect customer-7 --account {account}"), "").remove(0);
    assert_eq!((&ended["found"], ended["remaining"].as_array().unwrap().len()), (&json!(true), 1));
    let ended = stage.json(&format!("disconnect customer-7 --account {account} --allow-absent"), "").remove(0);
    assert_eq!((&ended["found"], ended["remaining"].as_array().unwrap().len()), (&json!(false), 1));
    let left = stage.json("list-connections customer-7", "");
    assert_eq!(left.iter().map(|left| left["seller_name"].as_str().unwrap()).collect::<Vec<_>>(), ["Lantern & Loom"]);
    let printed = stage.ok("disconnect customer-7 --shop 7490000000000000002", "");
    assert!(
        printed
            .starts_with("customer-7: shop 7490000000000000002 is removed; 1 connection continues\ncustomer-7: Lantern & Loom (DE), active\n"),
        "{printed}"
    );
    // The other account has only this shop, so its connection ends, and the first one continues.
    let only = stage.connect("customer-7", "one-shop")["account"].as_str().unwrap().to_owned();
    let printed = stage.ok(&format!("disconnect customer-7 --shop {SHOP}"), "");
    let ended = format!(
        "customer-7: shop {SHOP} is removed; 1 connection continues\n    ended   the connection to account {only}\n\
         customer-7: Lantern & Loom (DE), active\n"
    );
    assert!(printed.starts_with(&ended), "{printed}");
}

#[test]
fn a_revocation_of_a_dead_connection_says_that_nothing_was_revoked() {
    let stage = Stage::new();
    let mut accounts = Vec::new();
    for customer in ["customer-7", "customer-8"] {
        accounts.push(stage.connect(customer, "one-shop")["account"].as_str().unwrap().to_owned());
        stage.fake.revoke("one-shop").unwrap();
        stage.advance(3_600);
        stage.run(stage.command(&format!("refresh {customer} --force")), "");
        let printed = stage.ok(&format!("list-connections {customer}"), "");
        assert!(printed.contains(", reauthorization-required: "), "{printed}");
    }
    let [first, second] = &*accounts else { panic!() };
    let printed = stage.ok("disconnect customer-7 --revoke --yes", "");
    let lost = format!("nothing was revoked for account {first}, because the app had lost its access before (");
    assert!(printed.starts_with(&format!("customer-7 is disconnected\n    access  {lost}")), "{printed}");
    let ended = stage.json("disconnect customer-8 --revoke --yes", "").remove(0);
    let lost = &ended["access_lost_before"][0];
    assert_eq!((&lost["account"], &ended["revoked"], &ended["ended"]), (&json!(second), &json!([]), &json!([second])));
    assert!(lost["reason"].is_string(), "{ended}");
}

/// In this test, the answer to a refresh can't be read, so the claim of this refresh lasts two minutes. In these two
/// minutes, the program sends nothing, and it must say so.
#[test]
fn a_refresh_that_sends_nothing_says_so() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.advance(6 * DAY + DAY / 8);
    const REFRESH: &str = "/api/v2/token/refresh";
    stage.fake.fault_next(REFRESH, "an empty object", Fault::named("an empty object").unwrap());
    let (status, line) = stage.error(stage.command("refresh customer-7"), "");
    assert_eq!(status, Some(10), "{line}");
    assert!(line.starts_with("retry-after: answer-unreadable: "), "{line}");
    stage.fake.clear_requests();

    let printed = stage.ok("refresh customer-7", "");
    let said = "\n    done    tokens not renewed, shops not read: refresh-in-progress: ";
    assert!(printed.starts_with("customer-7: ") && printed.contains(said), "{printed}");
    assert_eq!(printed.to_lowercase().matches("nothing was sent").count(), 1, "{printed}");
    let line = stage.json("refresh customer-7", "").remove(0);
    assert_eq!((&line["effect"], &line["customer"]), (&json!("nothing-sent"), &json!("customer-7")));
    assert!(line["why"].as_str().unwrap().starts_with("refresh-in-progress: "), "{line}");
    let (status, line) = stage.error(stage.command("refresh customer-7 --force"), "");
    assert_eq!(status, Some(10), "{line}");
    assert!(line.starts_with("retry-after: refresh-in-progress: ") && line.contains("Nothing was sent"), "{line}");
    assert_eq!(stage.fake.requests(), []);
}

#[test]
fn an_error_of_tiktok_shop_ends_with_the_exit_status_of_its_case() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    const REFRESH: &str = "/api/v2/token/refresh";
    for (fault, status, begins) in [
        ("HTTP 429, Retry-After: 7", 10, "retry-after: rate-limited: "),
        ("HTTP 302 to the same host", 14, "upstream: redirected: "),
    ] {
        let fault = (fault, Fault::named(fault).unwrap_or_else(|| panic!("{fault}")));
        stage.fake.fault_every(REFRESH, fault.0, fault.1);
        let (ended, line) = stage.error(stage.command("refresh customer-7 --force"), "");
        assert_eq!(ended, Some(status), "{line}");
        assert!(line.starts_with(begins) && line.contains(". Next: "), "{line}");
        stage.fake.clear_faults();
        stage.ok("list-connections customer-7", "");
        stage.advance(DAY / 24);
    }
    // The next steps use another connection. After the redirect, the connector does not know whether TikTok renewed the
    // tokens of the first connection. So the claim on the first connection stays for two minutes, and no call may send
    // the refresh token of that connection. The machine's clock measures the two minutes, and the test can't move that
    // clock.
    stage.connect("customer-8", "several-regions");
    stage.fake.end_authorization("several-regions").unwrap();
    stage.advance(8 * DAY);
    let (ended, line) = stage.error(stage.command("refresh customer-8"), "");
    assert_eq!(ended, Some(11), "{line}");
    assert!(line.starts_with("reauthorize: authorization-expired: "), "{line}");
    let printed = stage.ok("list-connections customer-8", "");
    assert!(printed.starts_with("customer-8: Lantern & Loom (DE), reauthorization-required: authorization-expired\n"));
    let expected = json!({
        "position": 7, "at": stage.fake.now(), "customer": "customer-8", "account": stage.account("several-regions"),
        "event": "reauthorization-required", "reason": "authorization-expired",
        "actor": ACTOR, "stated_reason": null, "cause": "refresh",
    });
    assert_eq!(stage.json("events --limit 1 --after 6", ""), [expected]);
}
