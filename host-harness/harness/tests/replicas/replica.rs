//! The replicas: processes of `tiktok-shop-harness serve` that a test kills and starts again.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

use crate::REPLICAS;
use crate::activity::Activity;
use crate::proxy::Addresses;

/// The settings with which every command of a test runs.
pub(crate) struct Program {
    pub(crate) home: PathBuf,
    pub(crate) config: PathBuf,
    /// The address of the fake.
    pub(crate) fake: String,
}

impl Program {
    /// Returns a command with these arguments, which are separated by spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the subject is a group of processes")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiktok-shop-harness"));
        command
            .args(arguments.split_whitespace())
            .env("HOME", &self.home)
            .current_dir(&self.home)
            // The commands share the compiled component, because compiling takes most of a command's time.
            .env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
            .env("TIKTOK_SHOP_COMPONENT", xtask::component().unwrap())
            .env("TIKTOK_SHOP_CONFIG", &self.config)
            .env("TIKTOK_SHOP_FAKE", &self.fake)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed. Returns its standard output.
    pub(crate) fn ok(&self, arguments: &str) -> String {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{arguments}: {stdout}{stderr}");
        stdout
    }

    /// The file to which a replica writes its log.
    pub(crate) fn log(&self, place: usize) -> PathBuf {
        self.home.join(format!("replica-{place}.log"))
    }
}

/// A process of `serve`. It ends with this value, as by SIGKILL.
struct Process {
    child: Child,
    /// The program's standard output stays open until the end.
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    fn start(program: &Program, place: usize) -> (Self, Value) {
        let log = File::options().append(true).create(true).open(program.log(place)).unwrap();
        let mut serve = program.command("serve --json --listen 127.0.0.1:0");
        let mut child = serve.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let process = Self { child, _stdout: stdout };
        let started = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", last_lines(&program.log(place))));
        (process, started)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    format!("the service did not start:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"))
}

/// All replicas.
pub(crate) struct Replicas {
    pub(crate) program: Arc<Program>,
    processes: [Mutex<Option<Process>>; REPLICAS],
    addresses: Addresses,
    /// The number of replicas that run.
    running: watch::Sender<usize>,
    kills: AtomicUsize,
}

impl Replicas {
    pub(crate) fn new(program: Arc<Program>, addresses: Addresses) -> Self {
        let processes = [(); REPLICAS].map(|()| Mutex::default());
        Self { program, processes, addresses, running: watch::Sender::new(0), kills: AtomicUsize::new(0) }
    }

    /// Starts a replica, unless it runs.
    pub(crate) async fn start(&self, place: usize) {
        let mut process = self.processes[place].lock().await;
        if process.is_some() {
            return;
        }
        let program = Arc::clone(&self.program);
        let (started, line) = tokio::task::spawn_blocking(move || Process::start(&program, place)).await.unwrap();
        let address = line["listen"].as_str().unwrap().parse().unwrap();
        self.addresses.lock().unwrap()[place] = Some(address);
        *process = Some(started);
        self.running.send_modify(|running| *running += 1);
    }

    /// Kills a replica with SIGKILL. Does nothing if it does not run.
    pub(crate) async fn kill(&self, place: usize) {
        let process = self.processes[place].lock().await.take();
        if process.is_some() {
            tokio::task::spawn_blocking(|| drop(process)).await.unwrap();
            self.kills.fetch_add(1, Ordering::Relaxed);
            self.running.send_modify(|running| *running -= 1);
        }
    }

    pub(crate) async fn start_all(&self) {
        futures::future::join_all((0..REPLICAS).map(|place| self.start(place))).await;
    }

    pub(crate) async fn kill_all(&self) {
        futures::future::join_all((0..REPLICAS).map(|place| self.kill(place))).await;
    }

    /// Waits until a replica runs.
    pub(crate) async fn some_runs(&self) {
        // The sender is in `self`, so it is not gone.
        let _ = self.running.subscribe().wait_for(|running| *running > 0).await;
    }

    async fn none_runs(&self) {
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Returns the addresses of the replicas. They must all run.
    pub(crate) fn addresses(&self) -> [SocketAddr; REPLICAS] {
        self.addresses.lock().unwrap().map(Option::unwrap)
    }

    /// The number of processes that were killed so far.
    pub(crate) fn kills(&self) -> usize {
        self.kills.load(Ordering::Relaxed)
    }

    /// Kills this replica at random moments, and starts it again a little later, until `over` completes. At the end the
    /// replica may not run.
    pub(crate) async fn disturb(
        &self,
        place: usize,
        activity: &Activity,
        mut rng: Rng,
        over: impl Future<Output = ()>,
    ) {
        let mut over = std::pin::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                () = activity.further(rng.u64(STEPS_UNTIL_KILL)) => {}
            }
            self.kill(place).await;
            tokio::select! {
                () = &mut over => return,
                () = activity.further(rng.u64(STEPS_UNTIL_START)) => {}
                // Nothing happens any more, so no step would be counted.
                () = self.none_runs() => {}
            }
            self.start(place).await;
        }
    }
}

/// The number of steps from the start of a replica to its end.
const STEPS_UNTIL_KILL: std::ops::Range<u64> = 5..150;
/// The number of steps from the end of a replica to its next start.
const STEPS_UNTIL_START: std::ops::Range<u64> = 0..30;
