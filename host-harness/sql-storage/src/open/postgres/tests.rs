//! Tests how the storage sets up its connections to a PostgreSQL server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is a failed test")]

use sqlx::AssertSqlSafe;

use super::*;

/// Runs `sql` on a connection of the storage. Returns the first column of the answer.
async fn answer(storage: &SqlStorage, sql: &str) -> String {
    let Pool::Postgres(pool) = &storage.writers else { panic!("not PostgreSQL") };
    let mut lent = pool.lend().await.unwrap();
    let answer = lent.connection().fetch_one(AssertSqlSafe(sql.to_owned())).await.unwrap().get(0);
    lent.give_back();
    answer
}

/// Opens the database with an address that sets `setting` on the server. Returns the answer of a connection of the
/// storage to `sql`.
async fn shown(server: &str, setting: &str, sql: &str) -> String {
    let mark = if server.contains('?') { '&' } else { '?' };
    let address = format!("{server}{mark}options=-c%20{setting}");
    let storage = SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
    let shown = answer(&storage, sql).await;
    storage.close().await;
    shown
}

/// If `synchronous_commit` is `off` or `local`, a commit may succeed before it is on the disks of the server and its
/// synchronous standbys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_at_least_as_durable_as_with_the_setting_on() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    for (setting, expected) in [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "remote_write"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        let setting = format!("synchronous_commit={setting}");
        assert_eq!(shown(&server, &setting, "SHOW synchronous_commit").await, expected, "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_a_lock_and_an_idle_transaction_have_a_limit_of_four_seconds() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    for name in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
        let storage = SqlStorage::postgres(&server, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
        assert_eq!(answer(&storage, &format!("SHOW {name}")).await, "4s", "{name}");
        storage.close().await;
    }
}
