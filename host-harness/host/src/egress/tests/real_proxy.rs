//! Tests a whole connection through real forward proxies: Debian's tinyproxy and squid. The shipped component connects,
//! refreshes and calls, and the fake TikTok Shop answers over real TLS under TikTok Shop's two names.
//!
//! The two names do not resolve to the fake. So each proxy forwards each tunnel to a second proxy, which is a part of
//! the test. The second proxy terminates TLS with a certificate for the two names, and connects to the fake.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;

use fake_tiktok_shop::{Clock as FakeClock, Control, Decision, FakeTikTokShop, Options};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsAcceptor;

use super::tls::{Root, valid};
use super::*;
use crate::call::{CallRequest, CallScope, HttpMethod};
use crate::clock::ManualClock;
use crate::connect::Grant;
use crate::connection::ShopPolicy;
use crate::credentials::{AppCredentials, StaticCredentials};
use crate::egress::tunnel::Tunnel;
use crate::egress::{Proxy, ProxyFailure};
use crate::error::Action;
use crate::refresh::{RefreshEffect, RefreshMode};
use crate::seal::{HostKeys, KeyProvider};
use crate::storage::{HostStorage, MemoryStorage};
use crate::{CallError, Component, ConnectorHost, CustomerId, Secret, TenantId};

/// 2026-01-01T00:00:00Z.
const BEGIN: u64 = 1_767_225_600;
const STATE: &str = "st-8kQ2vXw0Zr5LmN7pTfBh3A";
const PASSWORD: &str = "s3cret-of-the-proxy";
const BOTH: [&str; 2] = ["auth.tiktok-shops.com", "open-api.tiktokglobalshop.com"];

/// The maximum time that a proxy may take to start. It is long because a machine may run many tests at a time.
const START: Duration = Duration::from_secs(60);

/// A process that is killed when this value is dropped, even if the test fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // `kill` and `wait` fail only if the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The programs that the tests use as forward proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Tinyproxy,
    Squid,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Tinyproxy => "tinyproxy",
            Self::Squid => "squid",
        }
    }

    /// Returns the name of the Debian package.
    const fn package(self) -> &'static str {
        match self {
            Self::Tinyproxy => "tinyproxy-bin",
            Self::Squid => "squid",
        }
    }

    /// Returns the text that the program prints when it accepts connections.
    const fn ready(self) -> &'static str {
        match self {
            Self::Tinyproxy => "Accepting connections",
            Self::Squid => "Accepting HTTP Socket connections",
        }
    }

    /// Returns the failure for wrong credentials. tinyproxy answers 401, and squid answers 407.
    const fn refusal(self) -> ProxyFailure {
        match self {
            Self::Tinyproxy => ProxyFailure::CredentialsRefused(401),
            Self::Squid => ProxyFailure::CredentialsRefused(407),
        }
    }

    /// Returns the failure if the second proxy does not answer.
    const fn cut(self) -> ProxyFailure {
        match self {
            Self::Tinyproxy => ProxyFailure::NoConnection(502),
            Self::Squid => ProxyFailure::NoConnection(500),
        }
    }

    /// Writes the configuration into this folder, and returns the command that starts the proxy. The proxy writes its
    /// log to the stream that is a pipe.
    fn command(self, folder: &Path, port: u16, upstream: SocketAddr, names: &[&str]) -> Command {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        match self {
            Self::Tinyproxy => {
                let patterns = names.iter().map(|name| format!("^{}$\n", name.replace('.', "\\.")));
                let filter = write("filter", &patterns.collect::<String>());
                let mut text = format!("Listen 127.0.0.1\nPort {port}\nTimeout 60\nMaxClients 20\nLogLevel Info\n");
                writeln!(text, "BasicAuth connector {PASSWORD}\nConnectPort 443\nUpstream http {upstream}").unwrap();
                writeln!(text, "Filter \"{}\"\nFilterDefaultDeny Yes\nFilterURLs Off", filter.display()).unwrap();
                let mut command = xtask::program("tinyproxy");
                command.arg("-d").arg("-c").arg(write("tinyproxy.conf", &text));
                command.stdout(Stdio::piped()).stderr(Stdio::null());
                command
            }
            Self::Squid => {
                // If root starts squid, squid works as another user, who must be able to read this folder.
                std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
                // squid asks this program about the user and the password of each client.
                let accepted = format!("connector {PASSWORD}");
                let judge = format!(
                    "while read -r user password; do\n  if [ \"$user $password\" = '{accepted}' ]; then echo OK; else \
                     echo ERR; fi\ndone\n"
                );
                let judge = write("judge.sh", &judge);
                let configuration = SQUID
                    .replace("PORT", &port.to_string())
                    .replace("JUDGE", &judge.display().to_string())
                    .replace("NAMES", &names.join(" "))
                    .replace("UPSTREAM", &format!("{} parent {}", upstream.ip(), upstream.port()))
                    .replace("FOLDER", &folder.display().to_string());
                // Debian installs squid into a folder that is not in the PATH of every user.
                let installed = Path::new("/usr/sbin/squid");
                let program = if installed.is_file() { installed } else { Path::new("squid") };
                let mut command = xtask::program(program);
                command.arg("-N").arg("-d").arg("2").arg("-f").arg(write("squid.conf", &configuration));
                command.stdout(Stdio::null()).stderr(Stdio::piped());
                command
            }
        }
    }

    /// Returns the request lines that the proxy has received, according to its log.
    fn targets(self, log: &str) -> Vec<&str> {
        match self {
            Self::Tinyproxy => {
                let lines = log.lines().filter(|line| line.contains("Request (file descriptor"));
                lines.map(|line| line.split_once("): ").unwrap().1).collect()
            }
            // The request begins two lines below this line.
            Self::Squid => {
                let pairs = log.lines().zip(log.lines().skip(2));
                pairs.filter(|(line, _)| line.ends_with("HTTP Client REQUEST:")).map(|(_, target)| target).collect()
            }
        }
    }
}

/// The configuration of squid. It forwards every tunnel to the second proxy, and prints every request.
const SQUID: &str = "\
http_port 127.0.0.1:PORT
pid_filename none
cache_log /dev/null
access_log none
cache deny all
coredump_dir FOLDER
pinger_enable off
visible_hostname proxy
debug_options ALL,1 11,2
auth_param basic program /bin/sh JUDGE
auth_param basic children 1 startup=1
acl known proxy_auth REQUIRED
acl names dstdomain NAMES
acl tls port 443
acl tunnel method CONNECT
cache_peer UPSTREAM 0 no-query no-digest no-netdb-exchange default
never_direct allow all
nonhierarchical_direct off
http_access deny !tunnel
http_access deny !tls
http_access deny !names
http_access allow known
http_access deny all
";

/// A running proxy.
struct RealProxy {
    process: Process,
    port: u16,
    reading: JoinHandle<String>,
    _folder: TempDir,
}

impl RealProxy {
    /// Starts a proxy that asks for the user `connector` and [`PASSWORD`]. It allows these names, and forwards tunnels
    /// to the proxy `upstream`. Returns `None` if this machine does not have the program.
    fn start(program: Program, upstream: SocketAddr, names: &[&str]) -> Option<Self> {
        // Another program may take the port before the proxy does, so the start is tried several times.
        for _ in 0..20 {
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let mut process = match program.command(folder.path(), port, upstream, names).spawn() {
                Ok(child) => Process(child),
                Err(error) => {
                    not_tried(program, &error);
                    return None;
                }
            };
            let output: Box<dyn Read + Send> = match (process.0.stdout.take(), process.0.stderr.take()) {
                (Some(stdout), _) => Box::new(stdout),
                (None, Some(stderr)) => Box::new(stderr),
                (None, None) => panic!("the command has a pipe"),
            };
            let (started, has_started) = channel();
            let reading = std::thread::spawn(move || {
                let mut lines = BufReader::new(output).lines().map_while(Result::ok);
                if lines.any(|line| line.contains(program.ready())) {
                    let _no_receiver = started.send(());
                }
                lines.map(|line| line + "\n").collect()
            });
            match has_started.recv_timeout(START) {
                Ok(()) => {
                    if program == Program::Squid {
                        until_listening(port);
                    }
                    return Some(Self { process, port, reading, _folder: folder });
                }
                // The process has ended, because another program has the port.
                Err(RecvTimeoutError::Disconnected) => {}
                Err(RecvTimeoutError::Timeout) => panic!("{program:?} did not start within {START:?}"),
            }
        }
        panic!("{program:?} does not start");
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops the proxy, and returns its log.
    fn stop(self) -> String {
        let Self { process, reading, _folder, .. } = self;
        drop(process);
        reading.join().unwrap()
    }
}

/// Waits until a connection to this port is accepted. squid prints its line a moment before it listens.
#[expect(clippy::disallowed_methods, reason = "squid tells nobody when it listens")]
fn until_listening(port: u16) {
    let started = std::time::Instant::now();
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(started.elapsed() < START, "squid does not listen");
        std::thread::yield_now();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Says on standard error that this machine does not have the program. In CI, the test fails instead.
#[expect(clippy::disallowed_methods, reason = "a test learns from its surroundings whether it may be left out")]
fn not_tried(program: Program, error: &io::Error) {
    let (name, package) = (program.name(), program.package());
    let text = format!("a real proxy was not tried: {name}: {error}; on Debian, apt-get install {package}");
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{text}");
    // Not `eprintln!`: the test harness shows that output only if the test fails.
    let _closed = writeln!(io::stderr(), "{text}");
}

/// A fake TikTok Shop behind TLS, and the storage of the hosts that use it.
struct World {
    fake: Control,
    /// The address of the second proxy.
    upstream: SocketAddr,
    root: Root,
    storage: Arc<dyn HostStorage>,
    keys: Arc<dyn KeyProvider>,
    clock: Arc<ManualClock>,
    first: Mutex<Option<ConnectorHost>>,
    _running: FakeTikTokShop,
}

impl World {
    async fn new() -> Self {
        let running = FakeTikTokShop::start(Options { clock: FakeClock::fixed(BEGIN), ..Options::default() }).unwrap();
        let root = Root::new();
        let acceptor = TlsAcceptor::from(root.issue(&valid()).server(&["http/1.1"], rustls::ALL_VERSIONS));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (upstream, fake) = (listener.local_addr().unwrap(), running.address());
        tokio::spawn(async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                // The result is ignored, because the client closes the connection at any time.
                tokio::spawn(hand_on(stream, acceptor.clone(), fake));
            }
        });
        let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
        Self {
            fake: running.control(),
            upstream,
            root,
            storage: Arc::new(MemoryStorage::new(Arc::clone(&clock) as Arc<_>)),
            keys: Arc::new(HostKeys::draw().unwrap()),
            clock,
            first: Mutex::default(),
            _running: running,
        }
    }

    /// Builds a host as an embedder does. Then replaces its client by the same client that trusts the test's
    /// certificate authority.
    fn host(&self, proxy: Proxy) -> ConnectorHost {
        let app = self.fake.apps().remove(0);
        let app = AppCredentials {
            app_key: app.app_key,
            app_secret: app.app_secret.into(),
            previous_app_secret: None,
            authorization_link: None,
        };
        let mut first = self.first.lock().unwrap();
        let component = match first.clone() {
            Some(host) => Component::SharedWith(host),
            None => Component::File(xtask::component().unwrap()),
        };
        let mut host = ConnectorHost::builder()
            .component(component)
            .storage(Arc::clone(&self.storage))
            .keys(Arc::clone(&self.keys))
            .credentials(Arc::new(StaticCredentials::new().with(tenant(), app)))
            .clock(Arc::clone(&self.clock) as Arc<_>)
            .egress(EgressPolicy::production().proxy(proxy.clone()))
            .build()
            .unwrap();
        let deadlines = Deadlines::default();
        let route = Route::Proxy(Tunnel::new(proxy, Arc::new(Scripted(None)), deadlines).unwrap());
        let connector = Connector::with_roots(route, self.root.trusted(), BTreeMap::new(), deadlines).unwrap();
        let client = Client::with_connector(connector, deadlines, host.sandbox.limits.response_bytes);
        Arc::get_mut(&mut host.sandbox).unwrap().client = client;
        first.get_or_insert_with(|| host.clone());
        host
    }

    /// Allows a consent, in the role of a seller. Returns the query of the callback.
    fn callback(&self) -> String {
        let service = self.fake.apps().remove(0).service_id;
        self.fake.consent(&service, "one-shop", Some(STATE), Decision::Allow).unwrap()
    }
}

/// Serves one client of the second proxy: reads a request for a tunnel, opens the tunnel, terminates TLS in the tunnel,
/// and copies the bytes to and from the fake.
async fn hand_on(mut stream: TcpStream, acceptor: TlsAcceptor, fake: SocketAddr) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let mut stream = acceptor.accept(stream).await?;
    copy_bidirectional(&mut stream, &mut TcpStream::connect(fake).await?).await?;
    Ok(())
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn customer() -> CustomerId {
    "customer-7".parse().unwrap()
}

fn grant(query: &str) -> Grant {
    Grant::Callback { query: query.into(), state: STATE.into() }
}

fn with_credentials(address: &str, password: &str) -> Proxy {
    address.parse::<Proxy>().unwrap().credentials("connector", &Secret::from(password)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_connection_lives_behind_a_real_proxy() {
    whole_connection(Program::Tinyproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_connection_lives_behind_squid() {
    whole_connection(Program::Squid).await;
}

async fn whole_connection(program: Program) {
    let world = World::new().await;
    let Some(proxy) = RealProxy::start(program, world.upstream, &BOTH) else { return };
    let host = world.host(with_credentials(&proxy.address(), PASSWORD));
    let connection =
        host.connect(&tenant(), &customer(), None, grant(&world.callback()), ShopPolicy::All).await.unwrap();
    assert_eq!(connection.shops.len(), 1);
    let refreshed = host.refresh(&tenant(), &customer(), None, RefreshMode::Forced).await.unwrap();
    assert!(matches!(refreshed.effect, RefreshEffect::Renewed), "{refreshed:?}");
    let shop = host.list_shops(&tenant(), &customer()).await.unwrap().remove(0);
    let search = CallRequest::new(CallScope::Shop(shop.id), HttpMethod::Post, "/order/202309/orders/search");
    let answer = host.call(&tenant(), &customer(), search.query("page_size", "2").json("{}")).await.unwrap();
    assert_eq!((answer.http_status, answer.code.as_deref()), (200, Some("0")));

    let paths: Vec<_> = world.fake.requests().into_iter().map(|request| (request.host, request.path)).collect();
    let (auth, api) = ("auth.tiktok-shops.com", "open-api.tiktokglobalshop.com");
    let expected = [
        (auth, "/api/v2/token/get"),
        (api, "/authorization/202309/shops"),
        (auth, "/api/v2/token/refresh"),
        (api, "/authorization/202309/shops"),
        (api, "/order/202309/orders/search"),
    ];
    assert_eq!(paths, expected.map(|(host, path)| (host.to_owned(), path.to_owned())));

    let log = proxy.stop();
    let asked = ["CONNECT auth.tiktok-shops.com:443 HTTP/1.1", "CONNECT open-api.tiktokglobalshop.com:443 HTTP/1.1"];
    assert_eq!(program.targets(&log), asked, "{log}");
    let secrets = world.fake.issued_secrets().into_iter().map(|secret| secret.value);
    let app_secret = world.fake.apps().remove(0).app_secret;
    for secret in secrets.chain([app_secret, STATE.to_owned(), PASSWORD.to_owned()]) {
        assert!(!log.contains(&secret), "the proxy has seen a secret: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_proxy_that_refuses_or_is_away_costs_nothing() {
    refusals(Program::Tinyproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn squid_that_refuses_or_is_away_costs_nothing() {
    refusals(Program::Squid).await;
}

/// The failed calls send nothing to TikTok Shop. So the same callback, with its code and state, still connects at the
/// end.
async fn refusals(program: Program) {
    let world = World::new().await;
    let dead = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let (Some(open), Some(closed), Some(cut), Some(away)) = (
        RealProxy::start(program, world.upstream, &BOTH),
        RealProxy::start(program, world.upstream, &["example.com"]),
        RealProxy::start(program, dead, &BOTH),
        RealProxy::start(program, world.upstream, &BOTH),
    ) else {
        return;
    };
    let away_address = away.address();
    away.stop();
    let query = world.callback();
    for (proxy, failure) in [
        (open.address().parse().unwrap(), ProxyFailure::CredentialsMissing(407)),
        (with_credentials(&open.address(), "wrong"), program.refusal()),
        (with_credentials(&closed.address(), PASSWORD), ProxyFailure::Forbidden),
        (with_credentials(&cut.address(), PASSWORD), program.cut()),
        (with_credentials(&away_address, PASSWORD), ProxyFailure::Refused),
    ] {
        let address = proxy.to_string();
        let outcome = world.host(proxy).connect(&tenant(), &customer(), None, grant(&query), ShopPolicy::All).await;
        let Err(CallError::Connector(error)) = outcome else { panic!("{failure:?}: {outcome:?}") };
        assert_eq!(error.action(), Action::RetryAfter(5 * SECOND), "{failure:?}");
        assert_eq!(error.failure().code, "tiktok-unreachable", "{failure:?}");
        let known = error.proxy_error().unwrap();
        assert_eq!((known.proxy(), known.failure()), (address.as_str(), failure));
        let detail = format!("Nothing was sent to TikTok Shop: the proxy {address} {failure}.");
        assert_eq!(error.failure().detail, detail);
        assert!(!format!("{error} {error:?}").contains(PASSWORD));
    }
    assert_eq!(world.fake.requests(), []);
    let host = world.host(with_credentials(&open.address(), PASSWORD));
    host.connect(&tenant(), &customer(), None, grant(&query), ShopPolicy::All).await.unwrap();
    for (proxy, names) in [(open, 4), (closed, 1), (cut, 1)] {
        let log = proxy.stop();
        let asked = program.targets(&log);
        assert_eq!(asked.len(), names, "{log}");
        let is_known = |target: &&str| BOTH.iter().any(|name| *target == format!("CONNECT {name}:443 HTTP/1.1"));
        assert!(asked.iter().all(is_known), "{log}");
    }
}
