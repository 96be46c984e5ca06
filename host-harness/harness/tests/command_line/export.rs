//! Tests the command `export`: the tokens of one installation become the input of `import` in another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use fake_tiktok_shop::Issued;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::runtime::Runtime;

use crate::Run;
use crate::stage::Stage;

/// Writes a configuration file that allows exports, and returns the option that names it.
pub(crate) fn allowed(stage: &Stage) -> String {
    let path = stage.home().join("export.toml");
    fs::write(&path, "export = \"allowed\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    format!("--config {}", path.display())
}

fn grants(stage: &Stage) -> PathBuf {
    stage.home().join("grants.jsonl")
}

fn issued(stage: &Stage, seller: &str) -> Issued {
    stage.fake.issued(&stage.app().service_id, seller).unwrap()
}

const SELLERS: [&str; 3] = ["one-shop", "several-regions", "cross-border"];

#[test]
fn every_seller_is_connected_in_another_installation_without_a_consent_and_refreshed_once() {
    let stage = Stage::new();
    for seller in SELLERS {
        stage.connect(&format!("customer-of-{seller}"), seller);
    }
    let account = stage.account("several-regions");
    stage.ok(&format!("link-shops customer-of-several-regions 7490000000000000003 --account {account}"), "");
    let (config, file) = (allowed(&stage), grants(&stage));
    stage.fake.clear_requests();
    let printed = stage.ok(&format!("export {} --tenant-wide {config}", file.display()), "");
    let line = |seller: &str| format!("customer-of-{seller}: account {}: exported", stage.account(seller));
    let links = format!("link-shops customer-of-several-regions 7490000000000000003 --account {account}");
    let expected = [
        line("cross-border"),
        line("one-shop"),
        format!("{}; after the import: {links}", line("several-regions")),
        "3 exported, 0 dead, 0 later, 0 failed".to_owned(),
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(stage.fake.requests(), [], "an export sends nothing");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let exported = |event: &Value| (event["event"].clone(), event["cause"].clone());
    let events: Vec<_> = stage.json("events --all", "").iter().map(exported).collect();
    let ours = events.iter().filter(|event| **event == (json!("grant-exported"), json!("export")));
    assert_eq!(ours.count(), 3);

    let second = format!("--storage sqlite:{}", stage.home().join("second.sqlite").display());
    stage.ok(&format!("migrate {second}"), "");
    let import = format!("import {} --per-second 100 {second}", file.display());
    let printed = stage.ok(&import, "");
    let counts = "3 connected, 0 account changed, 0 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed";
    assert!(printed.ends_with(&format!("{counts}\n")), "{printed}");
    for seller in SELLERS {
        assert_eq!(issued(&stage, seller).refresh_tokens.len(), 2, "{seller} was refreshed once");
    }
    let connections = stage.json(&format!("list-connections --tenant-wide {second}"), "");
    let statuses: Vec<_> = connections.iter().map(|connection| (&connection["status"], &connection["app"])).collect();
    let (active, app) = (json!("active"), json!(stage.app().app_key));
    assert_eq!(statuses, [(&active, &app), (&active, &app), (&active, &app)]);
    // The links are restored with the line that the export has printed.
    stage.ok(&format!("{links} {second}"), "");
    assert_eq!(stage.json(&format!("list-shops customer-of-several-regions {second}"), "").len(), 1);

    let printed = stage.ok(&import, "");
    let counts = "0 connected, 0 account changed, 3 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed";
    assert!(printed.ends_with(&format!("{counts}\n")), "{printed}");
    for seller in SELLERS {
        assert_eq!(issued(&stage, seller).refresh_tokens.len(), 2, "{seller} was not refreshed again");
    }
}

#[test]
fn one_customer_is_exported_with_every_member_that_import_reads() {
    let stage = Stage::new();
    stage.connect("customer-1", "one-shop");
    stage.connect("customer-2", "several-regions");
    let (config, file) = (allowed(&stage), grants(&stage));
    let printed = stage.json(&format!("export {} customer-1 {config}", file.display()), "");
    let account = stage.account("one-shop");
    let line = json!({"customer": "customer-1", "account": account, "outcome": "exported"});
    assert_eq!(printed, [line, json!({"exported": 1, "dead": 0, "later": 0, "failed": 0, "stopped": false})]);
    let text = fs::read_to_string(&file).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    let issued = issued(&stage, "one-shop");
    assert_eq!(written["refresh_token"], json!(issued.refresh_tokens[0].token));
    assert_eq!(written["access_token"], json!(issued.access_tokens[0].token));
    let mut names: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "access_token",
        "access_token_ends",
        "account",
        "app",
        "customer",
        "refresh_token",
        "refresh_token_ends",
        "shops",
    ];
    assert_eq!(names, expected);
    let checked = stage.ok(&format!("import {} --dry-run", file.display()), "");
    assert!(
        checked.starts_with("1 to import, 0 of them without an account, 0 rejected, 0 in doubt, 0 malformed"),
        "{checked}"
    );
}

#[test]
fn an_export_is_refused_without_the_setting_or_a_new_file() {
    let stage = Stage::new();
    stage.connect("customer-1", "one-shop");
    let file = grants(&stage);
    let export = |arguments: &str| stage.command(&format!("export {arguments}"));
    let (status, line) = stage.error(export(&format!("{} customer-1", file.display())), "");
    let expected = "exports are not allowed here; to move connections to another installation, add the line \
                    export = \"allowed\" to the configuration file";
    assert_eq!((status, line.as_str(), file.exists()), (Some(1), expected, false));

    let config = allowed(&stage);
    let (status, line) = stage.error(export(&format!("- customer-1 {config}")), "");
    let expected = "the tokens are written only to a private file, not to standard output; name a new file";
    assert_eq!((status, line.as_str()), (Some(2), expected));
    let (status, line) = stage.error(export(&format!("{} nobody {config}", file.display())), "");
    assert_eq!((status, line.as_str(), file.exists()), (Some(5), "nobody is not connected", false));
    fs::write(&file, "mine").unwrap();
    let (status, line) = stage.error(export(&format!("{} customer-1 {config}", file.display())), "");
    assert_eq!((status, line), (Some(1), format!("{} exists; name a new file", file.display())));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let events = stage.json("events --all", "");
    assert!(events.iter().all(|event| event["event"] != json!("grant-exported")), "no event without an export");
}

#[test]
fn a_dead_connection_is_counted_and_leaves_no_empty_file() {
    let stage = Stage::new();
    stage.connect("customer-1", "one-shop");
    stage.fake.revoke("one-shop").unwrap();
    let Run { status, .. } = stage.run(stage.command("refresh customer-1 --force"), "");
    assert_eq!(status, Some(11));
    let (config, file) = (allowed(&stage), grants(&stage));
    let command = stage.command(&format!("export {} --tenant-wide {config}", file.display()));
    let Run { status, stdout, .. } = stage.run(command, "");
    let account = stage.account("one-shop");
    let expected =
        format!("customer-1: account {account}: dead: authorization-revoked\n0 exported, 1 dead, 0 later, 0 failed\n");
    assert_eq!((status, stdout, file.exists()), (Some(1), expected, false));
}

/// The lists leave out a row that was changed or is missing. Its tokens are stored, so the export is not complete.
#[test]
fn a_connection_that_no_list_contains_is_counted_as_failed() {
    let stage = Stage::new();
    stage.connect("customer-1", "one-shop");
    stage.connect("customer-2", "several-regions");
    stage.connect("customer-3", "cross-border");
    Runtime::new().unwrap().block_on(async {
        let address = format!("sqlite:{}", stage.data("fake-connections.sqlite").display());
        let mut database = SqliteConnection::connect(&address).await.unwrap();
        let changed = "UPDATE tiktok_shop_connections SET seller_name = 'Other' WHERE customer = 'customer-2'";
        database.execute(changed).await.unwrap();
        let missing = "DELETE FROM tiktok_shop_connections WHERE customer = 'customer-3'";
        database.execute(missing).await.unwrap();
        database.close().await.unwrap();
    });
    let (config, file) = (allowed(&stage), grants(&stage));
    let command = stage.command(&format!("export {} --tenant-wide {config}", file.display()));
    let Run { status, stdout, .. } = stage.run(command, "");
    let line = |customer: &str, seller: &str, outcome: &str| {
        format!("{customer}: account {}: {outcome}", stage.account(seller))
    };
    let mut printed: Vec<_> = stdout.lines().map(str::to_owned).collect();
    // The connections that no list contains follow in the order in which they become due.
    printed[1..3].sort_unstable();
    let expected = [
        line("customer-1", "one-shop", "exported"),
        line("customer-2", "several-regions", "failed: not-listed"),
        line("customer-3", "cross-border", "failed: not-listed"),
        "1 exported, 0 dead, 0 later, 2 failed".to_owned(),
    ];
    assert_eq!((status, &*printed), (Some(1), expected.as_slice()));
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
}
