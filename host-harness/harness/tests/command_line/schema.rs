//! Gives a test a schema or a role of its own in a PostgreSQL database that several tests use. Nobody deletes these
//! schemas and roles, because the server is temporary.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tokio::runtime::Runtime;

/// Returns a random name for a schema, a role or a database.
pub(crate) fn new_name() -> String {
    let mut bits = [0; 8];
    SystemRandomness.fill(&mut bits).unwrap();
    format!("command_line_{:016x}", u64::from_be_bytes(bits))
}

/// Runs statements on the server at this address.
pub(crate) fn execute(address: &str, sql: &str) {
    let run = async {
        let mut connection = PgConnection::connect(address).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    };
    Runtime::new().unwrap().block_on(run);
}

/// Returns the address of the server, extended so that connections to it use this schema.
pub(crate) fn in_schema(server: &str, name: &str) -> String {
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-c%20search_path%3D{name}")
}

/// Creates a schema with a random name, and returns an address that uses it.
pub(crate) fn new_schema(server: &str) -> String {
    let name = new_name();
    execute(server, &format!("CREATE SCHEMA {name}"));
    in_schema(server, &name)
}

/// Returns the address with another user and without a password.
pub(crate) fn as_user(address: &str, user: &str) -> String {
    let (_, host_and_database) = address.split_once('@').unwrap();
    format!("postgres://{user}@{host_and_database}")
}
