//! Tests commands that take names of customers, accounts and shops: what they report about an unknown name, which
//! customers a revocation concerns, which shops may be linked, and how a connection of the tenant is found.

use fake_tiktok_shop::Fault;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::runtime::Runtime;

use crate::stage::{BEGIN, DAY, Stage};
use crate::{Run, command};

const SHOP: &str = "7490000000000000001";

#[test]
fn disconnecting_a_name_that_is_not_there_has_a_status_of_its_own() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    for (arguments, expected) in [
        ("custmer-7", "custmer-7 is not connected; list-connections --tenant-wide shows who is"),
        ("customer-7 --shop 999", "customer-7 has no shop 999; list-connections customer-7 shows the shops"),
        ("customer-7 --account nope", "customer-7 has no account nope; list-connections customer-7 shows the accounts"),
    ] {
        let (status, line) = stage.error(stage.command(&format!("disconnect {arguments}")), "");
        assert_eq!((status, &*line), (Some(5), expected));
        let run = stage.run(stage.command(&format!("disconnect {arguments} --json")), "");
        let object: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(object, json!({ "error": { "status": 5, "case": "absent", "detail": expected } }));
        let ended = stage.json(&format!("disconnect {arguments} --allow-absent"), "").remove(0);
        assert_eq!(ended["found"], false, "{ended}");
    }
    assert_eq!(stage.json("list-connections customer-7", "").len(), 1);
    // A shop that is not linked to the customer is found nevertheless.
    stage.ok("link-shops customer-7 --none", "");
    stage.ok(&format!("disconnect customer-7 --shop {SHOP}"), "");
    assert_eq!(stage.ok("disconnect customer-7 --allow-absent", ""), "customer-7: nothing to disconnect\n");
}

#[test]
fn a_revocation_says_whom_it_concerns_and_needs_a_confirmation() {
    let stage = Stage::new();
    let account = stage.connect("customer-8", "one-shop")["account"].as_str().unwrap().to_owned();
    stage.connect("customer-7", "one-shop");
    stage.fake.clear_requests();
    let (status, line) = stage.error(stage.command("disconnect customer-7 --revoke"), "yes\n");
    assert_eq!(status, Some(2), "{line}");
    let (_, told) = line.split_once("--revoke: TikTok Shop would withdraw the app's access, and ").unwrap();
    assert_eq!(told, "other customers who have the same shops would lose them, too; confirm with --yes");
    assert_eq!(stage.json("list-connections customer-7", "").len(), 1, "nothing was changed");
    assert_eq!(stage.fake.requests(), [], "not even the shops are read");
    let ended = stage.json("disconnect customer-7 --revoke --yes", "").remove(0);
    let shared = json!([{ "customer": "customer-8", "account": account, "shops": [SHOP] }]);
    assert_eq!((&ended["shared"], &ended["not_revoked"]), (&shared, &json!([])), "{ended}");
    assert_eq!(ended["shops_not_read"], json!([]), "{ended}");
    let revoked = ended["revoked"].as_array().unwrap();
    assert_eq!(revoked.iter().map(|shop| &shop["shop"]).collect::<Vec<_>>(), [SHOP], "{ended}");
}

/// Every request for the list of shops fails. The command then can't know all customers whom the revocation concerns.
#[test]
fn a_revocation_says_whose_shops_were_not_read() {
    let stage = Stage::new();
    let account = stage.connect("customer-7", "one-shop")["account"].as_str().unwrap().to_owned();
    let name = "HTTP 503, HTML";
    stage.fake.fault_every("/authorization/202309/shops", name, Fault::named(name).unwrap());
    let note = format!(
        "note: TikTok Shop's list of the shops of account {account} was not read completely, so other customers who \
         lose shops may not be shown"
    );
    #[cfg(target_os = "linux")]
    {
        let Run { status, stdout, .. } = on_a_terminal(&stage, "disconnect customer-7 --revoke", "n\n");
        assert_eq!(status, Some(1), "{stdout}");
        let (before, _) = stdout.split_once("Continue? [y/N]").unwrap();
        assert!(before.contains(note.trim_start_matches("note: ")), "{stdout}");
    }
    let Run { status, stdout, stderr } = stage.run(stage.command("disconnect customer-7 --revoke --yes --json"), "");
    assert_eq!((status, stderr), (Some(0), format!("{note}\n")), "{stdout}");
    let ended: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&ended["shared"], &ended["shops_not_read"]), (&json!([]), &json!([account])), "{ended}");
    let revoked = ended["revoked"].as_array().unwrap();
    assert_eq!(revoked.iter().map(|shop| &shop["shop"]).collect::<Vec<_>>(), [SHOP], "{ended}");
}

#[test]
fn a_revocation_of_a_dead_connection_does_not_say_that_the_app_has_lost_a_shop() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.connect("customer-8", "one-shop");
    stage.fake.revoke("one-shop").unwrap();
    stage.advance(8 * DAY);
    let (status, _) = stage.error(stage.command("refresh customer-7"), "");
    assert_eq!(status, Some(11));
    let account = stage.json("list-connections customer-7", "")[0]["account"].as_str().unwrap().to_owned();
    let expected = format!(
        "customer-7 is disconnected\n    access  nothing was revoked for account {account}, because the app had lost its \
         access before (authorization-revoked)\n"
    );
    assert_eq!(stage.ok("disconnect customer-7 --revoke --yes", ""), expected);
}

#[test]
fn a_revocation_of_nothing_asks_nothing() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.fake.clear_requests();
    for (arguments, expected) in [
        ("nobody", "nobody is not connected; list-connections --tenant-wide shows who is"),
        ("customer-7 --shop 999", "customer-7 has no shop 999; list-connections customer-7 shows the shops"),
        ("customer-7 --account nope", "customer-7 has no account nope; list-connections customer-7 shows the accounts"),
    ] {
        let (status, line) = stage.error(stage.command(&format!("disconnect {arguments} --revoke")), "");
        assert_eq!((status, &*line), (Some(5), expected));
    }
    let printed = stage.ok("disconnect nobody --revoke --allow-absent", "");
    assert_eq!(printed, "nobody: nothing to disconnect\n");
    assert_eq!(stage.fake.requests(), []);
}

/// The connection has ended before the other connections are read. So an unreadable record of another account must
/// not hide that TikTok Shop did not revoke a shop.
#[test]
fn what_was_not_revoked_is_reported_even_if_the_other_connections_cant_be_read() {
    let stage = Stage::new();
    let account = stage.connect("customer-7", "one-shop")["account"].as_str().unwrap().to_owned();
    stage.connect("customer-7", "several-regions");
    let damage = async {
        let address = format!("sqlite:{}", stage.data("fake-connections.sqlite").display());
        let mut database = SqliteConnection::connect(&address).await.unwrap();
        let sql = "CREATE TRIGGER damage AFTER DELETE ON tiktok_shop_connections \
                   BEGIN UPDATE tiktok_shop_tokens SET account = ''; END";
        database.execute(sql).await.unwrap();
        database.close().await.unwrap();
    };
    Runtime::new().unwrap().block_on(damage);
    let name = "HTTP 429, no Retry-After";
    stage.fake.fault_next("/authorization/202403/shops", name, Fault::named(name).unwrap());

    let revoke = format!("disconnect customer-7 --account {account} --revoke --yes --json");
    let Run { status, stdout, stderr } = stage.run(stage.command(&revoke), "");
    assert_eq!(status, Some(16), "{stdout}{stderr}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [ended, error] = &*lines else { panic!("{stdout}") };
    assert_eq!((&ended["found"], &ended["remaining"]), (&json!(true), &json!(null)), "{ended}");
    let left = &ended["not_revoked"][0];
    assert_eq!((&left["account"], &left["shop"]), (&json!(account), &json!(SHOP)), "{ended}");
    assert_eq!(error["error"]["case"], "storage-failed", "{error}");
}

/// Runs the command in a new terminal, which the program `script` creates. Returns what the terminal shows.
#[cfg(target_os = "linux")]
fn on_a_terminal(stage: &Stage, arguments: &str, typed: &str) -> Run {
    let mut script = command("script");
    stage.furnish(&mut script);
    script.args(["-qec", &format!("{} {arguments}", crate::PROGRAM), "/dev/null"]);
    stage.run(script, typed)
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_a_revocation_asks() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.connect("customer-8", "one-shop");
    let Run { status, stdout, .. } = on_a_terminal(&stage, "disconnect customer-7 --revoke", "n\n");
    assert_eq!(status, Some(1), "{stdout}");
    assert!(stdout.contains("customer customer-8 (account ") && stdout.contains("Continue? [y/N]"), "{stdout}");
    assert!(stdout.contains("nothing was revoked or deleted, because the answer was not yes"), "{stdout}");
    assert_eq!(stage.json("list-connections customer-7", "").len(), 1);
    let Run { status, stdout, .. } = on_a_terminal(&stage, "disconnect customer-7 --revoke", "y\n");
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains("customer-7 is disconnected"), "{stdout}");
}

#[test]
fn unlinking_every_shop_needs_its_own_word() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    for arguments in [&["link-shops", "customer-7"][..], &["link-shops", "customer-7", ""]] {
        let (status, line) = stage.error(stage.with(arguments), "");
        assert_eq!(status, Some(2), "{line}");
    }
    assert_eq!(stage.json("list-shops customer-7", "").len(), 1, "the shop is still linked");
    let (status, line) = stage.error(stage.command(&format!("link-shops customer-7 {SHOP} --none")), "");
    assert_eq!(status, Some(2), "{line}");
    assert!(stage.ok("link-shops customer-7 --none", "").contains(", not linked, "));
}

#[test]
fn a_shop_that_is_gone_is_not_linked_and_one_that_cant_be_used_is_told() {
    let stage = Stage::new();
    stage.connect("customer-7", "several-regions");
    stage.ok("link-shops customer-7 7490000000000000002", "");
    stage.fake.remove_shop("several-regions", "7490000000000000003").unwrap();
    stage.ok("refresh customer-7", "");
    let (status, line) = stage.error(stage.command("link-shops customer-7 7490000000000000003"), "");
    assert_eq!(status, Some(11), "{line}");
    assert!(line.starts_with("reauthorize: shop-no-longer-granted: "), "{line}");
    // The event names the lost shop, so that somebody can tell the customer.
    stage.fake.remove_shop("several-regions", "7490000000000000002").unwrap();
    stage.ok("refresh customer-7", "");
    let last = stage.json("events --all", "").pop().unwrap();
    assert_eq!((&last["event"], &last["shops"]), (&json!("shops-lost"), &json!(["7490000000000000002"])));
    assert!(stage.ok("events --all", "").contains("  shops-lost: 7490000000000000002  by "));
    // A shop that TikTok Shop no longer grants may stay linked. The command says that this shop can't be used.
    let kept = stage.run(stage.command("link-shops customer-7 7490000000000000002"), "");
    assert_eq!(kept.status, Some(0), "{}", kept.stderr);
    let told = "can't use the linked shop 7490000000000000002 now: TikTok Shop no longer grants it";
    assert!(kept.stderr.contains(told), "{}", kept.stderr);
}

#[test]
fn a_dead_connection_lists_no_shop_as_granted() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.fake.revoke("one-shop").unwrap();
    stage.advance(8 * DAY);
    let (status, _) = stage.error(stage.command("refresh customer-7"), "");
    assert_eq!(status, Some(11));
    let connection = stage.json("list-connections customer-7", "").remove(0);
    let shop = &connection["shops"][0];
    assert_eq!((&shop["standing"], &shop["cipher"]), (&json!("unconfirmed"), &json!("none")), "{connection}");
    let printed = stage.ok("list-connections --tenant-wide --status reauthorization-required", "");
    assert!(printed.contains(", linked, unconfirmed, cipher none\n"), "{printed}");
    let kept = stage.run(stage.command(&format!("link-shops customer-7 {SHOP}")), "");
    assert!(kept.stderr.contains("the connection does not work; the seller must consent again"), "{}", kept.stderr);
}

#[test]
fn the_connections_of_a_tenant_are_found_by_shop_seller_account_and_status() {
    let stage = Stage::new();
    for customer in ["a", "b c", "c"] {
        let link = stage.with(&["authorization-url", customer, "--consent-as", "one-shop"]);
        let callback = crate::run(link, "").stdout;
        stage.ok("connect", &callback);
    }
    let other = stage.connect("d", "several-regions");
    let customers = |arguments: &[&str]| -> Vec<String> {
        let run = stage.run(stage.with(&[&["list-connections", "--tenant-wide", "--json"], arguments].concat()), "");
        assert_eq!(run.status, Some(0), "{}", run.stderr);
        let line = |line| serde_json::from_str::<Value>(line).unwrap()["customer"].as_str().unwrap().to_owned();
        run.stdout.lines().map(line).collect()
    };
    assert_eq!(customers(&[]), ["a", "b c", "c", "d"]);
    assert_eq!(customers(&["--shop", SHOP]), ["a", "b c", "c"]);
    assert_eq!(customers(&["--shop", "1"]), [""; 0]);
    assert_eq!(customers(&["--seller", "Lantern & Loom"]), ["d"]);
    assert_eq!(customers(&["--account", other["account"].as_str().unwrap()]), ["d"]);
    assert_eq!(customers(&["--status", "active", "--seller", "Teapot Corner"]), ["a", "b c", "c"]);
    assert_eq!(customers(&["--status", "authorization-ending"]), [""; 0]);
    // A connection in the tenant's list is complete, including the ciphers of its shops.
    let listed = stage.json("list-connections --tenant-wide --seller nobody", "");
    assert_eq!(listed, [json!(null); 0]);
    assert_eq!(stage.json("list-connections --tenant-wide", "").pop(), stage.json("list-connections d", "").pop());

    // After each page, a note shows the arguments for the next page, quoted for a shell.
    let page = stage.run(stage.command("list-connections --tenant-wide --limit 2"), "");
    let account = stage.account("one-shop");
    assert_eq!(page.stderr, format!("note: there may be more connections; continue with --after 'b c' {account}\n"));
    assert_eq!(customers(&["--after", "b c", &account]), ["c", "d"]);
    let (status, line) = stage.error(stage.command("list-connections --status active"), "");
    assert_eq!(status, Some(2), "{line}");
    let (status, line) = stage.error(stage.command("list-connections a --tenant-wide"), "");
    assert_eq!(status, Some(2), "{line}");
}

#[test]
fn a_connection_that_is_held_back_says_why_and_what_helps() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    const REFRESH: &str = "/api/v2/token/refresh";
    stage.advance(6 * DAY + DAY / 8);
    stage.fake.fault_every(REFRESH, "HTTP 429, HTML", Fault::named("HTTP 429, HTML").unwrap());
    for _ in 0..2 {
        stage.run(stage.command("refresh customer-7"), "");
    }
    let printed = stage.ok("refresh customer-7", "");
    let why = "backing-off: ";
    let latest = "Z: rate-limited: ";
    assert!(printed.contains(why) && printed.contains("\n    failed  2026-") && printed.contains(latest), "{printed}");
    assert_eq!(printed.matches("rate-limited: ").count(), 1, "the failure is printed once: {printed}");
    assert!(printed.contains("if the fake was restarted, it has forgotten this connection"), "{printed}");
    // When the access token has expired, commands fail with the same explanation.
    stage.advance(DAY);
    for _ in 0..2 {
        stage.run(stage.command("refresh customer-7"), "");
    }
    for arguments in
        ["refresh customer-7", "access-token customer-7", "call customer-7 GET /authorization/202309/shops"]
    {
        let (status, line) = stage.error(stage.command(arguments), "");
        assert_eq!(status, Some(10), "{arguments}: {line}");
        assert!(line.starts_with("retry-after: backing-off: ") && line.contains("the latest failure: "), "{line}");
        assert!(line.contains(". Next: if the fake was restarted, "), "{line}");
    }
}

#[test]
fn the_end_of_an_authorization_is_in_the_json_of_every_command_that_tells_of_it() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let ends = BEGIN + 20 * DAY;
    let data = json!({ "expiration_time": ends });
    stage.fake.queue_webhook(&stage.app().service_id, 7, Some(SHOP), data).unwrap();
    let delivery = stage.fake.webhooks_due().remove(0);
    let take = format!("webhook --authorization {}", delivery.header("authorization").unwrap());
    let taken = stage.json(&take, &delivery.body).remove(0);
    assert_eq!((&taken["event"]["effect"], &taken["event"]["ends_at"]), (&json!("authorization-ending"), &json!(ends)));
    let connection = stage.json("list-connections customer-7", "").remove(0);
    assert_eq!((&connection["status"], &connection["ends_at"]), (&json!("authorization-ending"), &json!(ends)));
    let event = stage.json("events --all", "").pop().unwrap();
    assert_eq!((&event["event"], &event["ends_at"]), (&json!("authorization-ending"), &json!(ends)));
    stage.advance(21 * DAY);
    let printed = stage.ok("list-connections customer-7", "");
    assert!(printed.contains("    ended   the consent has ended by its date; refresh asks TikTok Shop"), "{printed}");
}
