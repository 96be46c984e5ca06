//! Tests the program behind the connection pooler pgbouncer: it works in session mode, and it refuses the other modes.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::schema::{execute, new_name};
use crate::stage::{Stage, install_id};
use crate::{Run, command};

/// The maximum time that pgbouncer may take to start. It is long because a machine may run many tests at a time.
const START: Duration = Duration::from_secs(60);

/// A running pgbouncer. It ends when this value is dropped.
struct Pooler {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// Starts pgbouncer in front of the PostgreSQL server at this address. `pool_size` is the number of connections
    /// from pgbouncer to the server. Returns `None` if pgbouncer is not installed.
    fn start(server: &str, mode: &str, pool_size: u32) -> Option<Self> {
        let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
        let Some(program) = places.iter().map(PathBuf::from).find(|path| path.is_file()) else {
            tiktok_shop_test_postgres::not_tried("pgbouncer", "the package pgbouncer is not installed");
            return None;
        };
        let (_, host_and_port) = server.rsplit_once('/').unwrap().0.rsplit_once('@').unwrap();
        let (host, server_port) = host_and_port.split_once(':').unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let at = |name: &str| folder.path().join(name);
        fs::write(at("users"), "\"tester\" \"\"\n").unwrap();
        let config = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n\
             default_pool_size = {pool_size}\n",
            at("users").display()
        );
        fs::write(at("config"), config).unwrap();
        let mut start = command(program);
        // pgbouncer refuses to run as root, so root starts it as another user.
        if fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0) {
            start.args(["-u", "nobody"]);
        }
        let process = start.arg(at("config")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut pooler = Self { process, port, _folder: folder };
        pooler.wait_until_it_listens();
        Some(pooler)
    }

    #[expect(clippy::disallowed_methods, reason = "pgbouncer tells nobody when it listens")]
    fn wait_until_it_listens(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert_eq!(ended, None, "pgbouncer ended before it listened");
            assert!(started.elapsed() < START, "pgbouncer did not listen within {START:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// Creates a database for one test, and returns its name. The test needs a database of its own, because pgbouncer does
/// not forward the schema that an address names.
fn new_database(server: &str) -> String {
    let name = new_name();
    execute(server, &format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"));
    name
}

#[test]
fn in_session_mode_everything_works_also_with_few_connections() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let Some(pooler) = Pooler::start(&server, "session", 2) else { return };
    let stage = Stage::new();
    let database = new_database(&server);
    let with = |arguments: &str, input: &str| {
        let mut command = stage.command(arguments);
        command.env("TIKTOK_SHOP_STORAGE", format!("postgres://tester@127.0.0.1:{}/{database}", pooler.port));
        let Run { status, stdout, stderr } = stage.run(command, input);
        assert_eq!(status, Some(0), "{arguments}: {stderr}");
        stdout
    };
    with("migrate", "");
    for customer in 0..4 {
        let service = stage.app().service_id;
        let callback = stage.fake.consent(&service, "one-shop", None, fake_tiktok_shop::Decision::Allow).unwrap();
        let connect = format!("connect --app-store customer-{customer}");
        let pending = with(&connect, &callback);
        with(&format!("{connect} --confirm {}", install_id(&pending)), "");
    }
    stage.advance(7 * 86_400 - 3_600);
    assert!(with("sweep", "").ends_with("4 refreshed, 0 failed, notices: 0\n"));
    drop(pooler);
    execute(&server, &format!("DROP DATABASE {database} WITH (FORCE)"));
}

#[test]
fn transaction_mode_and_statement_mode_are_refused_by_name_and_nothing_is_written() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    for mode in ["transaction", "statement"] {
        let Some(pooler) = Pooler::start(&server, mode, 5) else { return };
        let stage = Stage::new();
        let database = new_database(&server);
        for text in ["migrate", "events"] {
            let mut command = stage.command(text);
            command.env("TIKTOK_SHOP_STORAGE", format!("postgres://tester@127.0.0.1:{}/{database}", pooler.port));
            let expected = "storage: a connection pooler in transaction mode or statement mode is not supported: use its \
                            session mode";
            assert_eq!(stage.error(command, ""), (Some(3), expected.to_owned()), "{mode} {text}");
        }
        drop(pooler);
        execute(&server, &format!("DROP DATABASE {database} WITH (FORCE)"));
    }
}
