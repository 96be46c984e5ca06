//! Tests that the program works with databases that earlier releases wrote
//! (`host-harness/sql-storage/tests/fixtures`): after `migrate`, it shows what the earlier program showed, opens every
//! secret, and changes the rows. It also continues after `migrate` was killed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection};
use tiktok_shop_sql_storage::SqlStorage;
use tokio::runtime::Runtime;

use crate::gate::send;
use crate::schema::{execute, new_schema};
use crate::stage::Stage;
use crate::{Run, run};

/// The versions of the schema for which the fixtures contain a database.
const KEPT: [i64; 2] = [4, 5];
const TENANTS: [&str; 2] = ["acme", "beta"];

/// A stage whose default database is one that an earlier program has written.
struct Earlier {
    stage: Stage,
    /// The options that name the database and its key file.
    options: String,
    folder: PathBuf,
    /// The kind of the database, with which the names of the fixture's files begin.
    kind: &'static str,
}

impl Earlier {
    fn sqlite(version: i64) -> Self {
        let stage = Stage::new();
        let path = private(&stage.home().join("earlier.sqlite"), "");
        let this = Self::new(stage, version, "sqlite", &format!("sqlite:{}", path.display()));
        let fill = async {
            let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
            connection.execute(AssertSqlSafe(this.read("sqlite.sql"))).await.unwrap();
            connection.close().await.unwrap();
        };
        Runtime::new().unwrap().block_on(fill);
        this
    }

    fn postgres(version: i64, server: &str) -> Self {
        let address = new_schema(server);
        let this = Self::new(Stage::new(), version, "postgres", &address);
        execute(&address, &this.read("postgres.sql"));
        this
    }

    fn new(stage: Stage, version: i64, kind: &'static str, storage: &str) -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql-storage/tests/fixtures");
        let folder = fixtures.join(format!("schema-{version}"));
        let apps: Vec<_> = stage.fake.apps();
        let app = |at: usize| format!("app-key = \"{}\"\napp-secret = \"{}\"\n", apps[at].app_key, apps[at].app_secret);
        let beta = match version {
            4 => format!("[tenants.beta]\n{}", app(1)),
            _ => format!("[[tenants.beta.apps]]\n{}[[tenants.beta.apps]]\n{}", app(1), app(0)),
        };
        let config = private(&stage.home().join("config.toml"), &format!("[tenants.acme]\n{}{beta}", app(0)));
        let keys = fs::read_to_string(folder.join(format!("{kind}.host-keys"))).unwrap();
        let keys = private(&stage.home().join("earlier-keys"), &keys);
        let options = format!("--storage {storage} --key-file {} --config {}", keys.display(), config.display());
        Self { stage, options, folder, kind }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// Returns the objects that the earlier program printed.
    fn printed(&self, name: &str) -> Vec<Value> {
        self.read(&format!("{}.{name}.jsonl", self.kind))
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Runs a command, which must succeed. Returns the objects that it prints.
    fn json(&self, arguments: &str) -> Vec<Value> {
        self.stage.json(&format!("{arguments} {}", self.options), "")
    }

    fn migrate(&self) -> Value {
        // `migrate` uses no keys.
        let options: Vec<_> = self.options.split(' ').take(2).collect();
        self.stage.json(&format!("migrate {}", options.join(" ")), "").remove(0)
    }

    /// Compares the output of the program with the output of the earlier program.
    fn assert_that_nothing_is_lost(&self) {
        for tenant in TENANTS {
            let connections = self.json(&format!("list-connections --tenant-wide --tenant {tenant}"));
            assert_kept(&self.printed(&format!("{tenant}.connections")), &connections);
            let events = self.json(&format!("events --all --tenant {tenant}"));
            assert_kept(&self.printed(&format!("{tenant}.events")), &events);
        }
        let mut shops: Vec<Value> = Vec::new();
        for shop in self.printed("shops") {
            let (tenant, customer) = (text(&shop["tenant"]), text(&shop["customer"]));
            if shops.is_empty() {
                shops = self.revealed(&format!("list-shops {customer} --tenant {tenant} --reveal --json"));
            }
            let mut expected = shop.clone();
            expected.as_object_mut().unwrap().retain(|name, _| !["tenant", "customer"].contains(&name.as_str()));
            assert_kept(&[expected], &[shops.remove(0)]);
        }
        assert_eq!(shops, [Value::Null; 0]);
        for token in self.printed("access-tokens") {
            let (tenant, customer) = (text(&token["tenant"]), text(&token["customer"]));
            let Run { status, stdout, stderr } = run(
                self.stage.command(&format!("access-token {customer} --tenant {tenant} --reveal {}", self.options)),
                "",
            );
            assert_eq!((status, stdout.trim_end()), (Some(0), text(&token["token"])), "{stderr}");
        }
        // Everything above was read from the database.
        assert_eq!(self.stage.fake.requests().len(), 0);
    }

    /// Runs a command whose output contains secrets of the fixture.
    fn revealed(&self, arguments: &str) -> Vec<Value> {
        let Run { status, stdout, stderr } = run(self.stage.command(&format!("{arguments} {}", self.options)), "");
        assert_eq!(status, Some(0), "{stderr}");
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Changes rows that the earlier program wrote, and ends connections.
    fn assert_that_rows_can_be_changed(&self) {
        let linked = self.json("link-shops unlinked-shop 7490000000000000006 --tenant acme").remove(0);
        let is_linked = |shop: &&Value| shop["linked"] == Value::Bool(true);
        let ids: Vec<_> =
            linked["shops"].as_array().unwrap().iter().filter(is_linked).map(|shop| &shop["id"]).collect();
        assert_eq!(ids, ["7490000000000000006"]);
        let shops = self.revealed("list-shops unlinked-shop --tenant acme --reveal --json");
        assert_eq!(text(&shops[0]["cipher"]), "ROW_fixture06cipherOfUS");
        for customer in ["dead", "several-shops"] {
            self.json(&format!("disconnect {customer} --tenant acme"));
            assert_eq!(self.json(&format!("list-connections {customer} --tenant acme")), [Value::Null; 0]);
        }
    }
}

fn private(path: &Path, content: &str) -> PathBuf {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Asserts that the values still contain everything that an earlier program printed. An object may have gained members.
fn assert_kept(earlier: &[Value], present: &[Value]) {
    fn is_kept(earlier: &Value, present: &Value) -> bool {
        match (earlier, present) {
            (Value::Object(earlier), Value::Object(present)) => {
                earlier.iter().all(|(name, value)| present.get(name).is_some_and(|present| is_kept(value, present)))
            }
            (Value::Array(earlier), Value::Array(present)) => {
                earlier.len() == present.len() && earlier.iter().zip(present).all(|(one, other)| is_kept(one, other))
            }
            (earlier, present) => earlier == present,
        }
    }
    assert_eq!(earlier.len(), present.len());
    for (earlier, present) in earlier.iter().zip(present) {
        assert!(is_kept(earlier, present), "was {earlier}\nis {present}");
    }
}

fn assert_migrated(printed: &Value, version: i64) {
    let newest = SqlStorage::SCHEMA_VERSION;
    let change = if version == newest { "none" } else { "migrated" };
    assert_eq!((&printed["change"], &printed["schema"]), (&change.into(), &newest.into()));
}

#[test]
fn a_database_of_an_earlier_release_loses_nothing_in_sqlite() {
    for version in KEPT {
        let earlier = Earlier::sqlite(version);
        assert_migrated(&earlier.migrate(), version);
        earlier.assert_that_nothing_is_lost();
        earlier.assert_that_rows_can_be_changed();
    }
}

#[test]
fn a_database_of_an_earlier_release_loses_nothing_in_postgresql() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    for version in KEPT {
        let earlier = Earlier::postgres(version, &server);
        assert_migrated(&earlier.migrate(), version);
        earlier.assert_that_nothing_is_lost();
        earlier.assert_that_rows_can_be_changed();
    }
}

/// The test holds one table after the other, so that `migrate` waits in the middle of its work, and kills it there.
#[test]
fn a_migration_that_was_killed_is_completed_by_the_next_one() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    for table in ["tiktok_shop_connections", "tiktok_shop_states"] {
        let earlier = Earlier::postgres(4, &server);
        let address = earlier.options.split(' ').nth(1).unwrap().to_owned();
        let runtime = Runtime::new().unwrap();
        let mut holder = runtime.block_on(PgConnection::connect(&address)).unwrap();
        let lock = format!("BEGIN; LOCK TABLE {table} IN SHARE MODE");
        runtime.block_on(holder.execute(AssertSqlSafe(lock))).unwrap();
        let mut child = earlier.stage.command(&format!("migrate --storage {address}")).spawn().unwrap();
        let waiting = format!("SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass");
        let is_waiting = |holder: &mut PgConnection| {
            let row = runtime.block_on(holder.fetch_one(AssertSqlSafe(waiting.clone()))).unwrap();
            row.get::<i64, _>(0) > 0
        };
        while !is_waiting(&mut holder) {
            assert_eq!(child.try_wait().unwrap(), None, "migrate ended before it came to {table}");
        }
        send("KILL", &child);
        child.wait().unwrap();
        runtime.block_on(holder.execute("ROLLBACK")).unwrap();
        runtime.block_on(holder.close()).unwrap();
        assert_migrated(&earlier.migrate(), 4);
        earlier.assert_that_nothing_is_lost();
    }
}
