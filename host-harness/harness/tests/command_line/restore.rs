//! Tests what a restored backup of the database means for the connections: for those that stood in the backup, for those
//! that were refreshed since, and for those that were connected since.

use std::fs;
use std::path::{Path, PathBuf};

use fake_tiktok_shop::ReplacedRefreshToken;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tokio::runtime::Runtime;

use crate::Run;
use crate::stage::Stage;

/// Runs a statement in the database of a stage.
fn execute(database: &Path, sql: &str) {
    let run = async {
        let mut connection = SqliteConnection::connect(&format!("sqlite://{}", database.display())).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    };
    Runtime::new().unwrap().block_on(run);
}

/// Restores a backup as `docs/storage.md` says: puts the file in place of the database, and raises the positions of the
/// events.
fn restore(backup: &Path, database: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _missing = fs::remove_file(format!("{}{suffix}", database.display()));
    }
    fs::write(database, fs::read(backup).unwrap()).unwrap();
    execute(database, "UPDATE tiktok_shop_event_positions SET last = last + 1000000");
}

fn statuses(stage: &Stage, customer: &str) -> Vec<Value> {
    let connections = stage.json(&format!("list-connections {customer}"), "");
    connections.into_iter().map(|mut connection| connection["status"].take()).collect()
}

/// Connects customers, makes a backup, works on, and restores the backup. Returns the stage.
fn restored(replaced: ReplacedRefreshToken) -> Stage {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.replaced_refresh_token = replaced);
    stage.connect("untouched", "several-regions");
    stage.connect("refreshed", "one-shop");
    stage.connect("disconnected", "global-selling");
    let (database, backup): (PathBuf, _) = (stage.data("fake-connections.sqlite"), stage.home().join("backup.sqlite"));
    execute(&database, &format!("VACUUM INTO '{}'", backup.display()));
    assert_eq!(stage.json("refresh refreshed --force", "")[0]["effect"], "renewed");
    stage.ok("disconnect disconnected", "");
    stage.connect("late", "cross-border");
    restore(&backup, &database);
    stage
}

/// TikTok accepts a token that it has replaced, or refuses it. Its documentation does not say which.
#[test]
fn a_connection_that_was_refreshed_after_the_backup_needs_a_consent_only_if_tiktok_refuses_its_earlier_token() {
    let stage = restored(ReplacedRefreshToken::Honoured);
    assert_eq!(stage.json("refresh refreshed --force", "")[0]["effect"], "renewed");
    assert_eq!(statuses(&stage, "refreshed"), ["active"]);

    let stage = restored(ReplacedRefreshToken::Refused);
    let (status, error) = stage.error(stage.command("refresh refreshed --force"), "");
    assert_eq!(status, Some(11), "{error}");
    assert_eq!(statuses(&stage, "refreshed"), ["reauthorization-required"]);
    stage.connect("refreshed", "one-shop");
    assert_eq!(statuses(&stage, "refreshed"), ["active"]);
}

#[test]
fn everything_else_is_as_the_backup_says() {
    let stage = restored(ReplacedRefreshToken::Refused);
    for customer in ["untouched", "disconnected"] {
        assert_eq!(stage.json(&format!("refresh {customer} --force"), "")[0]["effect"], "renewed", "{customer}");
        assert_eq!(statuses(&stage, customer), ["active"], "{customer}");
    }
    // The connection that began after the backup is unknown. At TikTok, the app still has its grant.
    assert_eq!(statuses(&stage, "late"), [""; 0]);
    let Run { status, .. } = stage.run(stage.command("refresh late"), "");
    assert_eq!(status, Some(13));
    stage.connect("late", "cross-border");
    assert_eq!(statuses(&stage, "late"), ["active"]);
}
