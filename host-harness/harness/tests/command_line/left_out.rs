//! Tests that no command shows a customer as not connected if a row is missing or was changed in the database.

use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::runtime::Runtime;

use crate::Run;
use crate::stage::{DAY, Stage};

/// Runs a statement on the database of the stage, as somebody who has write access to it.
fn change(stage: &Stage, statement: &'static str) {
    Runtime::new().unwrap().block_on(async {
        let address = format!("sqlite:{}", stage.data("fake-connections.sqlite").display());
        let mut database = SqliteConnection::connect(&address).await.unwrap();
        database.execute(statement).await.unwrap();
        database.close().await.unwrap();
    });
}

/// Connects three customers. Changes the row of the second, and deletes the row of the third.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.connect("customer-1", "one-shop");
    stage.connect("customer-2", "several-regions");
    stage.connect("customer-3", "cross-border");
    change(&stage, "UPDATE tiktok_shop_connections SET seller_name = 'Other' WHERE customer = 'customer-2'");
    change(&stage, "DELETE FROM tiktok_shop_connections WHERE customer = 'customer-3'");
    stage
}

fn list(stage: &Stage, arguments: &str) -> (Option<i32>, String) {
    let Run { status, stdout, stderr } = stage.run(stage.command(arguments), "");
    (status, format!("{stdout}{stderr}"))
}

#[test]
fn the_lists_of_a_customer_say_that_a_row_was_changed_or_is_missing() {
    let stage = stage();
    let text = |customer: &str, seller: &str, what: &str, next: &str| {
        let account = stage.account(seller);
        format!(
            "the list leaves out connections whose tokens are stored: the row of {customer}, account {account}, {what}. \
             Next: {next}\n"
        )
    };
    let changed = text(
        "customer-2",
        "several-regions",
        "was changed in the database",
        "find out who changed the database, and restore the row from a backup or delete it from \
         tiktok_shop_connections; then run refresh customer-2; docs/errors.md explains row-changed",
    );
    let missing = text(
        "customer-3",
        "cross-border",
        "is missing",
        "run refresh customer-3, which writes the row again; if a connect is running, wait until it has ended",
    );
    for command in ["list-connections", "list-shops"] {
        let expected = format!("error: storage-failed: row-changed: {changed}");
        assert_eq!(list(&stage, &format!("{command} customer-2")), (Some(16), expected));
        let expected = format!("error: storage-failed: row-missing: {missing}");
        assert_eq!(list(&stage, &format!("{command} customer-3")), (Some(16), expected));
        let (status, printed) = list(&stage, &format!("{command} customer-1"));
        assert_eq!((status, printed.contains("Teapot Corner")), (Some(0), true), "{printed}");
    }

    // A refresh does what the advice says: it reports the changed row, and writes the missing row.
    let (status, line) = stage.error(stage.command("refresh customer-2"), "");
    assert!(status == Some(16) && line.starts_with("storage-failed: row-changed: "), "{line}");
    stage.ok("refresh customer-3", "");
    stage.ok("list-shops customer-3", "");
    change(&stage, "DELETE FROM tiktok_shop_connections WHERE customer = 'customer-2'");
    stage.ok("refresh customer-2", "");
    stage.ok("list-connections customer-2", "");
}

#[test]
fn the_list_of_the_tenant_shows_the_others_and_names_the_changed_row() {
    let stage = stage();
    let Run { status, stdout, .. } = stage.run(stage.command("list-connections --tenant-wide --json"), "");
    let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // A row that is missing is in no list of rows.
    let [connection, failure] = &*lines else { panic!("{stdout}") };
    assert_eq!((status, &connection["customer"]), (Some(16), &"customer-1".into()));
    let error = &failure["error"];
    assert_eq!(
        (&error["status"], &error["case"], &error["code"]),
        (&16.into(), &"storage-failed".into(), &"row-changed".into())
    );
    assert!(error["detail"].as_str().unwrap().contains("the row of customer-2, account "), "{error}");
}

#[test]
fn the_export_of_a_customer_whose_row_was_changed_says_more_than_not_connected() {
    let stage = stage();
    let config = crate::export::allowed(&stage);
    let file = stage.home().join("grants.jsonl");
    let command = stage.command(&format!("export {} customer-2 {config}", file.display()));
    let Run { status, stdout, .. } = stage.run(command, "");
    let account = stage.account("several-regions");
    let expected =
        format!("customer-2: account {account}: failed: not-listed\n0 exported, 0 dead, 0 later, 1 failed\n");
    assert_eq!((status, stdout, file.exists()), (Some(1), expected, false));
}

#[test]
fn a_sweep_that_refreshes_a_connection_with_a_changed_row_counts_a_failure() {
    let stage = stage();
    stage.advance(7 * DAY - 3_600);
    let Run { status, stdout, .. } = stage.run(stage.command("sweep"), "");
    let account = stage.account("several-regions");
    let begins = format!("tenant default, customer customer-2, account {account}: storage-failed: row-changed: ");
    assert!(stdout.lines().any(|line| line.starts_with(&begins)), "{stdout}");
    assert!(stdout.ends_with("2 refreshed, 1 failed, notices: 0\n"), "{stdout}");
    assert_eq!(status, Some(1));
}
