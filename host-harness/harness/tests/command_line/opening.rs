//! Tests which commands create a database, and what the program says about a database that is missing, has another
//! schema version, is named wrongly or refuses the user.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use fake_tiktok_shop::Decision;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tiktok_shop_sql_storage::SqlStorage;
use tokio::runtime::Runtime;

use crate::schema::{as_user, execute, in_schema, new_name};
use crate::stage::{Stage, install_id};
use crate::{Run, run};

/// Commands that fail if `--storage` names a database that does not exist.
const COMMANDS: [&str; 16] = [
    "authorization-url customer-7",
    "refresh customer-7",
    "list-shops customer-7",
    "list-connections customer-7",
    "link-shops customer-7 1",
    "access-token customer-7",
    "call customer-7 GET /order/202309/orders",
    "disconnect customer-7",
    "events",
    "sweep",
    "keys status",
    "keys add",
    "keys promote host-0000000000000000",
    "keys rotate",
    "keys retire host-0000000000000000",
    "keys erase --tenant default --yes",
];

/// Returns every file and folder in the home folder of the stage, except the file of the browser session.
fn files(stage: &Stage) -> Vec<String> {
    fn list(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            found.push(entry.path().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                list(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    list(stage.home(), &mut found);
    found.retain(|path| !path.ends_with("browser-session"));
    found.sort();
    found
}

/// Runs statements in an SQLite file.
pub(crate) fn execute_sqlite(path: &Path, sql: &str) {
    let run = async {
        let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    };
    Runtime::new().unwrap().block_on(run);
}

/// A callback whose state was stored nowhere.
const CALLBACK: &str = "https://platform.example/callback?code=c&state=unknown";

fn storage(stage: &Stage, name: &str) -> String {
    format!("--storage sqlite:{}", stage.home().join(name).display())
}

#[test]
fn a_missing_database_is_told_and_nothing_is_created() {
    let stage = Stage::new();
    let before = files(&stage);
    for name in ["typo.sqlite", "no/such/folder/x.sqlite"] {
        let expected = format!(
            "storage: there is no database at {}: correct the path, or create the database with tiktok-shop-harness migrate",
            stage.home().join(name).display()
        );
        for command in COMMANDS {
            let refused = stage.error(stage.command(&format!("{command} {}", storage(&stage, name))), "");
            assert_eq!(refused, (Some(3), expected.clone()), "{command}");
        }
        for connect in ["connect", "connect --app-store customer-7"] {
            let connect = stage.command(&format!("{connect} {}", storage(&stage, name)));
            assert_eq!(stage.error(connect, CALLBACK), (Some(3), expected.clone()));
        }
        let webhook = stage.command(&format!("webhook --authorization 00 {}", storage(&stage, name)));
        assert_eq!(stage.error(webhook, "{}"), (Some(3), expected.clone()));
        let contract = stage.command(&format!("contract sqlite:{}", stage.home().join(name).display()));
        assert_eq!(stage.error(contract, ""), (Some(3), expected));
    }
    // Only the commands that begin a connection create the default database. The state of a callback was stored before,
    // so `connect` without a database has nothing to finish.
    let (status, line) = stage.error(stage.command("connect"), CALLBACK);
    assert_eq!(status, Some(3), "{line}");
    let expected = format!("storage: there is no database at {}: ", stage.data("fake-connections.sqlite").display());
    assert!(line.starts_with(&expected), "{line}");
    for command in COMMANDS.into_iter().filter(|command| !command.starts_with("authorization-url")) {
        let (status, line) = stage.error(stage.command(command), "");
        assert_eq!(status, Some(3), "{command}: {line}");
        assert!(line.starts_with("storage: there is no database at "), "{command}: {line}");
    }
    assert_eq!(files(&stage), before);
}

#[test]
fn a_database_is_created_only_in_a_folder_that_exists() {
    let stage = Stage::new();
    let callback = stage.fake.consent(&stage.app().service_id, "one-shop", None, Decision::Allow).unwrap();
    let before = files(&stage);
    let no_folder = format!(
        "storage: there is no folder {} for the database: correct the path, or create the folder",
        stage.home().join("none").display()
    );
    let command = stage.command(&format!("migrate {}", storage(&stage, "none/x.sqlite")));
    assert_eq!(stage.error(command, ""), (Some(3), no_folder));
    assert_eq!(files(&stage), before);

    let migrate = format!("migrate {}", storage(&stage, "new.sqlite"));
    let schema = SqlStorage::SCHEMA_VERSION;
    assert_eq!(stage.ok(&migrate, ""), format!("created the tables, schema version {schema}\n"));
    assert_eq!(stage.ok(&migrate, ""), format!("the database already has schema version {schema}\n"));
    assert_eq!(stage.json(&migrate, ""), [json!({ "change": "none", "schema": schema, "unsealed_rows": 0 })]);
    // An install from the App Store begins with `connect`, so `connect` creates the default database.
    let pending = stage.ok("connect --app-store customer-7", &callback);
    let confirm = format!("connect --app-store customer-7 --confirm {}", install_id(&pending));
    assert_eq!(stage.json(&confirm, "")[0]["customer"], "customer-7");
    assert_eq!(stage.json("list-shops customer-7", "").len(), 1);
    assert!(stage.data("fake-connections.sqlite").exists());
}

/// A file may be empty because it was made for another purpose, or because a database was never created in it.
#[test]
fn a_file_that_is_no_database_of_the_connector_stays_as_it_is() {
    let stage = Stage::new();
    let (empty, foreign) = (stage.home().join("empty.sqlite"), stage.home().join("foreign.sqlite"));
    for path in [&empty, &foreign] {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    execute_sqlite(&foreign, "CREATE TABLE others (id INTEGER)");
    let (before, content) = (files(&stage), fs::read(&foreign).unwrap());
    for (name, path) in [("empty.sqlite", &empty), ("foreign.sqlite", &foreign)] {
        let expected = format!(
            "storage: there is no database of the connector in {}: correct the path, or create the tables with \
             tiktok-shop-harness migrate",
            path.canonicalize().unwrap().display()
        );
        for command in COMMANDS {
            let refused = stage.error(stage.command(&format!("{command} {}", storage(&stage, name))), "");
            assert_eq!(refused, (Some(3), expected.clone()), "{command}");
        }
    }
    assert_eq!((files(&stage), fs::read(&foreign).unwrap()), (before, content));
    assert_eq!(fs::metadata(&empty).unwrap().len(), 0);
    let schema = SqlStorage::SCHEMA_VERSION;
    let migrated = stage.ok(&format!("migrate {}", storage(&stage, "empty.sqlite")), "");
    assert_eq!(migrated, format!("created the tables, schema version {schema}\n"));
}

/// Only the address decides how the server is reached. PostgreSQL's own programs also read variables and a password
/// file.
#[test]
fn the_variables_and_the_password_file_of_postgresql_do_not_act() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let stage = Stage::new();
    let address = crate::schema::new_schema(&server);
    let passwords = stage.home().join("passwords");
    fs::write(&passwords, "*:*:*:*:CANARY\n").unwrap();
    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).unwrap();
    let with = |text: &str, variables: &[(&str, &str)]| {
        let mut command = stage.command(text);
        command.env("TIKTOK_SHOP_STORAGE", &address).envs(variables.iter().copied());
        command
    };
    // Each of these values would lead to an error if it acted.
    let without_effect = [
        ("PGHOST", "192.0.2.1"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody-of-that-name"),
        ("PGPASSWORD", "CANARY"),
        ("PGDATABASE", "no_such_database"),
        ("PGSSLMODE", "verify-full"),
        ("PGAPPNAME", "other"),
        ("PGPASSFILE", passwords.to_str().unwrap()),
    ];
    let Run { status, stderr, .. } = stage.run(with("migrate", &without_effect), "");
    assert_eq!((status, &*stderr), (Some(0), ""));
    for (name, parameter) in
        [("PGOPTIONS", "options"), ("PGSSLCERT", "sslcert"), ("PGSSLKEY", "sslkey"), ("PGSSLROOTCERT", "sslrootcert")]
    {
        let expected = format!(
            "storage: {name} is set and would change how the database is reached, which only its address decides: \
             unset this variable, and write its value into the address as {parameter}"
        );
        assert_eq!(stage.error(with("events", &[(name, "x")]), ""), (Some(2), expected));
    }
}

/// Sets an SQLite database back to schema version 2. In PostgreSQL, [`DROP_TRIGGERS`] must be replaced. The rows are
/// deleted, because no earlier release has sealed them as they are. A refresh makes them anew.
pub(crate) const UNDO_NEWEST: &str = "DROP INDEX tiktok_shop_connections_counts; \
                           DROP TABLE tiktok_shop_requests; \
                           DROP TABLE tiktok_shop_deliveries; \
                           DROP TABLE tiktok_shop_delivery_queues; \
                           DROP TABLE tiktok_shop_delivery_positions; \
                           DROP TRIGGER tiktok_shop_connections_insert; \
                           DROP TRIGGER tiktok_shop_connections_update; \
                           DELETE FROM tiktok_shop_shops; DELETE FROM tiktok_shop_connections; \
                           ALTER TABLE tiktok_shop_connections DROP COLUMN document; \
                           ALTER TABLE tiktok_shop_connections DROP COLUMN document_revision; \
                           ALTER TABLE tiktok_shop_events DROP COLUMN actor; \
                           ALTER TABLE tiktok_shop_events DROP COLUMN stated_reason; \
                           ALTER TABLE tiktok_shop_events DROP COLUMN cause; \
                           ALTER TABLE tiktok_shop_events DROP COLUMN shops; \
                           ALTER TABLE tiktok_shop_events DROP COLUMN host_key; \
                           DROP INDEX tiktok_shop_connections_status; \
                           DROP INDEX tiktok_shop_connections_account; \
                           DROP INDEX tiktok_shop_connections_seller; \
                           ALTER TABLE tiktok_shop_connections DROP COLUMN app_key; \
                           ALTER TABLE tiktok_shop_states DROP COLUMN app_key; \
                           DROP TABLE tiktok_shop_installs; \
                           DELETE FROM tiktok_shop_migrations WHERE version > 2";
/// The part of [`UNDO_NEWEST`] that drops the triggers of SQLite.
const DROP_TRIGGERS: &str = "DROP TRIGGER tiktok_shop_connections_insert; DROP TRIGGER tiktok_shop_connections_update;";
/// Imitates a newer release that has changed the tables.
pub(crate) const ADD_NEWER: &str = "INSERT INTO tiktok_shop_migrations (version, description, success, checksum, execution_time) \
                         VALUES (900, 'x, since release 7.1.0', TRUE, CHECKSUM, 0)";

/// Checks what each command says about a database with an older or a newer schema. `execute` runs statements in the
/// database, and `command` returns a command that uses it.
fn check_versions(stage: &Stage, execute: impl Fn(&str), command: impl Fn(&str) -> Command) {
    let schema = SqlStorage::SCHEMA_VERSION;
    let callback = || stage.fake.consent(&stage.app().service_id, "one-shop", None, Decision::Allow).unwrap();
    assert_eq!(run(command("migrate"), "").status, Some(0));
    let consented = run(command("authorization-url customer-7 --consent-as one-shop"), "").stdout;
    assert_eq!(run(command("connect"), consented).status, Some(0));
    let commands = || COMMANDS.into_iter().chain(["connect --app-store customer-8"]);

    execute(UNDO_NEWEST);
    let older = format!(
        "storage: the database has schema version 2, and this release needs version {schema}: run tiktok-shop-harness migrate"
    );
    for text in commands() {
        assert_eq!(stage.error(command(text), callback()), (Some(3), older.clone()), "{text}");
    }
    let Run { status, stdout, stderr } = run(command("migrate"), "");
    let migrated = format!("changed the tables from schema version 2 to schema version {schema}\n");
    assert_eq!((status, stdout), (Some(0), migrated), "{stderr}");
    assert_eq!(run(command("refresh customer-7 --force"), "").status, Some(0));

    execute(ADD_NEWER);
    let newer = format!(
        "storage: the database has schema version 900, and this release knows only version {schema}: use release 7.1.0 or a newer one"
    );
    for text in commands().chain(["migrate"]) {
        assert_eq!(stage.error(command(text), callback()), (Some(3), newer.clone()), "{text}");
    }
    execute("DELETE FROM tiktok_shop_migrations WHERE version = 900");
    assert_eq!(run(command("refresh customer-7 --force"), "").status, Some(0));
}

#[test]
fn an_older_or_newer_schema_in_sqlite_is_told_and_only_migrate_changes_it() {
    let stage = Stage::new();
    let path = stage.home().join("versions.sqlite");
    let command = |text: &str| stage.command(&format!("{text} --storage sqlite:{}", path.display()));
    check_versions(&stage, |sql| execute_sqlite(&path, &sql.replace("CHECKSUM", "X'00'")), command);
}

#[test]
fn an_older_or_newer_schema_in_postgresql_is_told_and_only_migrate_changes_it() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let stage = Stage::new();
    let name = new_name();
    execute(&server, &format!("CREATE SCHEMA {name}"));
    let address = in_schema(&server, &name);
    let command = |text: &str| {
        let mut command = stage.command(text);
        command.env("TIKTOK_SHOP_STORAGE", &address);
        command
    };
    let expected = "storage: the database has no tables of the connector: correct the address, or create them with \
                    tiktok-shop-harness migrate";
    for text in COMMANDS {
        assert_eq!(stage.error(command(text), ""), (Some(3), expected.to_owned()), "{text}");
    }
    check_versions(
        &stage,
        |sql| {
            let sql = sql.replace(DROP_TRIGGERS, "DROP FUNCTION tiktok_shop_check_document CASCADE;");
            execute(&address, &sql.replace("CHECKSUM", "'\\x00'"));
        },
        command,
    );
}

#[test]
fn several_processes_may_migrate_at_once() {
    let stage = Stage::new();
    let mut addresses = vec![format!("sqlite:{}", stage.home().join("race.sqlite").display())];
    if let Some(server) = tiktok_shop_test_postgres::test_postgres() {
        addresses.push(crate::schema::new_schema(&server));
    }
    for address in addresses {
        let started: Vec<_> = (0..6)
            .map(|_| {
                let mut command = stage.command("migrate --json");
                command.env("TIKTOK_SHOP_STORAGE", &address);
                command.stdout(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let mut printed = String::new();
        for child in started {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            printed += &String::from_utf8(output.stdout).unwrap();
        }
        assert_eq!((printed.matches("\"created\"").count(), printed.matches("\"none\"").count()), (1, 5), "{printed}");
    }
}

#[test]
fn an_address_that_others_would_read_in_another_way_is_refused_before_anything_is_created() {
    let stage = Stage::new();
    let before = files(&stage);
    for (address, expected) in [
        ("sqlite::memory:", "a database in memory is written memory:"),
        ("sqlite:x.db?mode=rwc", "sqlite:PATH takes no parameters: remove the parameter mode"),
        (
            "sqlite:~/x.db",
            "~ is not replaced by the home folder: write the whole path, such as sqlite:/home/ana/x.sqlite",
        ),
        ("sqlite:x\n.db", "contains a line break (U+000A) as character 9; remove it"),
    ] {
        for command in [["migrate", "--storage", address].as_slice(), &["events", "--storage", address]] {
            let refused = stage.error(stage.with(command), "");
            assert_eq!(refused, (Some(2), format!("--storage <ADDRESS>: {expected}; see --help")));
        }
        let mut command = stage.command("migrate");
        command.env("TIKTOK_SHOP_STORAGE", address);
        assert_eq!(stage.error(command, ""), (Some(2), format!("TIKTOK_SHOP_STORAGE: {expected}")));
    }
    let server = "postgres://user:CANARY@127.0.0.1:1/db";
    for (address, expected) in [
        (format!("{server}?sslmod=verify-full"), "the address has an unknown parameter sslmod (similar: sslmode)"),
        (
            format!("{server}?target_session_attrs=any"),
            "the parameter target_session_attrs of the address is not supported: remove it",
        ),
        (
            format!("{server}?pool-size=none"),
            "the value of the parameter pool-size in the address is wrong; docs/storage.md says which values it takes",
        ),
        (
            "postgres://user:CANARY@one,two/db".to_owned(),
            "the address names several servers, which is not supported: name the primary, or a name that leads to it",
        ),
        (format!("{server}#CANARY"), "the address contains a #: write %23 in its place"),
    ] {
        for text in ["migrate", "events"] {
            let mut command = stage.command(text);
            command.env("TIKTOK_SHOP_STORAGE", &address);
            assert_eq!(stage.error(command, ""), (Some(2), format!("TIKTOK_SHOP_STORAGE: {expected}")));
        }
    }
    assert_eq!(files(&stage), before);
}

#[test]
fn an_error_of_postgresql_says_what_happened_and_what_to_do() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let stage = Stage::new();
    let name = new_name();
    execute(&server, &format!("CREATE SCHEMA {name}; CREATE ROLE {name} LOGIN"));
    let address = in_schema(&server, &name);
    let base = server.rsplit_once('/').unwrap().0;
    for (address, expected) in [
        (
            format!("{base}/no_such_database"),
            "there is no such database: correct the name in the address, or create the database with createdb (PostgreSQL error 3D000)",
        ),
        (
            as_user(&address, "no_such_role"),
            "the server does not let this user in: check the user in the address, and pg_hba.conf of the server (PostgreSQL error 28000)",
        ),
    ] {
        let mut command = stage.command("events");
        command.env("TIKTOK_SHOP_STORAGE", &address);
        assert_eq!(stage.error(command, ""), (Some(3), format!("storage: the database can't be opened: {expected}")));
    }
    let mut migrate = stage.command("migrate");
    migrate.env("TIKTOK_SHOP_STORAGE", &address);
    assert_eq!(run(migrate, "").status, Some(0));
    // The role may look up the tables, but it may not read them.
    execute(&server, &format!("GRANT USAGE ON SCHEMA {name} TO {name}"));
    let mut events = stage.command("events");
    events.env("TIKTOK_SHOP_STORAGE", as_user(&address, &name));
    let (status, line) = stage.error(events, "");
    assert_eq!(status, Some(3), "{line}");
    assert!(line.contains("the user lacks a right: ") && line.contains("(PostgreSQL error 42501)"), "{line}");
}

/// The role may open three connections to the server. So a sweep of twelve customers' due connections takes longer, but
/// it refreshes all of them.
#[test]
fn a_sweep_with_few_connections_to_the_server_is_slower_and_fails_nowhere() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let stage = Stage::new();
    let name = new_name();
    execute(&server, &format!("CREATE SCHEMA {name}; CREATE ROLE {name} LOGIN CONNECTION LIMIT 3"));
    let address = in_schema(&server, &name);
    let with = |text: &str, address: &str, input: &str| {
        let mut command = stage.command(text);
        command.env("TIKTOK_SHOP_STORAGE", address);
        let Run { status, stdout, stderr } = stage.run(command, input);
        assert_eq!(status, Some(0), "{text}: {stderr}");
        stdout
    };
    with("migrate", &address, "");
    execute(
        &server,
        &format!(
            "GRANT USAGE ON SCHEMA {name} TO {name}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {name}"
        ),
    );
    for customer in 0..12 {
        let callback = stage.fake.consent(&stage.app().service_id, "one-shop", None, Decision::Allow).unwrap();
        let connect = format!("connect --app-store customer-{customer}");
        let pending = with(&connect, &address, &callback);
        with(&format!("{connect} --confirm {}", install_id(&pending)), &address, "");
    }
    stage.advance(7 * 86_400 - 3_600);
    let swept = with("sweep", &as_user(&address, &name), "");
    assert!(swept.ends_with("12 refreshed, 0 failed, notices: 0\n"), "{swept}");
    stage.advance(7 * 86_400 - 3_600);
    let swept = with("sweep", &format!("{}&pool-size=1", as_user(&address, &name)), "");
    assert!(swept.ends_with("12 refreshed, 0 failed, notices: 0\n"), "{swept}");
}
