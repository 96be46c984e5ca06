//! A schema for one test, in a database that several tests use.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};

/// Creates a schema with a random name, and returns an address that uses it. Nobody deletes the schema, because the
/// server is temporary.
pub(crate) async fn new_schema(server: &str) -> String {
    let mut bits = [0; 8];
    SystemRandomness.fill(&mut bits).unwrap();
    let name = format!("storage_{:016x}", u64::from_be_bytes(bits));
    let mut connection = PgConnection::connect(server).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
    connection.close().await.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-c%20search_path%3D{name}")
}
