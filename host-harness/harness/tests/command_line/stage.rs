//! Prepares the environment of a test, called a stage: a home folder, the shipped component and a fake TikTok Shop.
//! Every command runs in its own process. When a stage is dropped, it checks that the recorded output of its commands
//! contains none of the stage's secrets.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fake_tiktok_shop::{App, Clock, Control, Decision, FakeTikTokShop, Options};
use serde_json::Value;
use tempfile::TempDir;
use tiktok_shop_canaries::Canaries;
use tokio::runtime::Runtime;

use crate::{PROGRAM, Run, command, run};

/// The time at which the fake's clock starts: 2026-01-01T00:00:00Z.
pub(crate) const BEGIN: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;
/// The actor that every command of a stage names.
pub(crate) const ACTOR: &str = "tester@platform.example";

/// The environment of a test.
pub(crate) struct Stage {
    pub(crate) fake: Control,
    home: TempDir,
    /// Each command that [`Stage::run`] has run, with its output.
    printed: RefCell<Vec<(String, String)>>,
    /// The state of each link that [`Stage::link`] has returned.
    states: RefCell<Vec<String>>,
    _running: FakeTikTokShop,
    _runtime: Runtime,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let entered = runtime.enter();
        let running = FakeTikTokShop::start(Options { clock: Clock::fixed(BEGIN), ..Options::default() }).unwrap();
        drop(entered);
        Self {
            fake: running.control(),
            home: tempfile::tempdir().unwrap(),
            printed: RefCell::default(),
            states: RefCell::default(),
            _running: running,
            _runtime: runtime,
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns the path of a file in the user's data folder.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.home().join(".local/share/tiktok-shop-harness").join(name)
    }

    /// Returns a command with these arguments that would send its requests to TikTok Shop instead of the fake. Tests
    /// use this function only for commands that send no request.
    pub(crate) fn command_without_a_fake(&self, arguments: &str) -> Command {
        let mut command = self.command(arguments);
        command.env_remove("TIKTOK_SHOP_FAKE");
        command
    }

    pub(crate) fn app(&self) -> App {
        self.fake.apps().remove(0)
    }

    /// Returns a command with these arguments, which are separated by spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = self.with(&[]);
        command.args(arguments.split_whitespace());
        command
    }

    /// Returns a command with these arguments.
    pub(crate) fn with(&self, arguments: &[&str]) -> Command {
        let mut command = command(PROGRAM);
        command.args(arguments);
        self.furnish(&mut command);
        command
    }

    /// Gives a command the home folder, the component and the fake of this stage.
    pub(crate) fn furnish(&self, command: &mut Command) {
        at_home(command, self.home());
        command.env("TIKTOK_SHOP_FAKE", format!("http://{}", self.fake.address()));
        command.env("TIKTOK_SHOP_COMPONENT", xtask::component().unwrap());
        command.env("TIKTOK_SHOP_ACTOR", ACTOR);
    }

    /// Runs a command, and records its output. When the stage is dropped, it checks that this output contains no
    /// secret.
    pub(crate) fn run(&self, command: Command, input: impl AsRef<[u8]>) -> Run {
        let name = format!("{command:?}");
        let run = run(command, input);
        self.printed.borrow_mut().push((name, format!("{}\n{}", run.stdout, run.stderr)));
        run
    }

    /// Runs a command, which must succeed. Returns the standard output of the command.
    pub(crate) fn ok(&self, arguments: &str, input: &str) -> String {
        let Run { status, stdout, stderr } = self.run(self.command(arguments), input);
        assert_eq!(status, Some(0), "{arguments}: {stdout}{stderr}");
        stdout
    }

    /// Runs a command with the option `--json`. The command must succeed. Returns the objects that the command prints.
    pub(crate) fn json(&self, arguments: &str, input: &str) -> Vec<Value> {
        let stdout = self.ok(&format!("{arguments} --json"), input);
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs a command, which must fail. The command must print exactly one error and no results. Returns the exit
    /// status and the error.
    pub(crate) fn error(&self, command: Command, input: impl AsRef<[u8]>) -> (Option<i32>, String) {
        let name = format!("{command:?}");
        let Run { status, stdout, stderr } = self.run(command, input);
        assert_eq!(stdout, "", "{name}");
        // The first command of a user creates a host key, and prints a warning about the new key.
        let is_error = |line: &&str| !line.starts_with("note: ") && !line.starts_with("warning: created the host key ");
        let lines: Vec<_> = stderr.lines().filter(is_error).collect();
        assert_eq!(lines.len(), 1, "{name}: {stderr}");
        (status, lines[0].strip_prefix("error: ").unwrap_or_else(|| panic!("{name}: {stderr}")).to_owned())
    }

    /// Begins a consent. Returns the link. No recorded output may contain the state of this link.
    pub(crate) fn link(&self, arguments: &str) -> String {
        let Run { status, stdout, stderr } = run(self.command(&format!("authorization-url {arguments}")), "");
        assert_eq!(status, Some(0), "{stderr}");
        let link = stdout.lines().next().unwrap().to_owned();
        self.states.borrow_mut().push(state(&link).to_owned());
        link
    }

    /// In the role of a seller, allows or refuses the consent that a link asks for. Returns the query of the callback.
    pub(crate) fn decide(&self, link: &str, seller: &str, decision: Decision) -> String {
        self.fake.consent(&self.app().service_id, seller, Some(state(link)), decision).unwrap()
    }

    /// Connects a seller's account for a customer. Returns the connection.
    pub(crate) fn connect(&self, customer: &str, seller: &str) -> Value {
        let callback = self.decide(&self.link(customer), seller, Decision::Allow);
        self.json("connect", &callback).remove(0)
    }

    /// Returns the id of the account that the fake has given to a connected seller.
    pub(crate) fn account(&self, seller: &str) -> String {
        self.fake.issued(&self.app().service_id, seller).unwrap().open_id.unwrap()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.fake.advance(Duration::from_secs(seconds));
    }

    /// Returns every secret of this stage that the recorded output must not contain.
    pub(crate) fn canaries(&self) -> Canaries {
        let mut canaries = Canaries::default();
        self.fake.apps().iter().for_each(|app| canaries.add("app secret", &app.app_secret));
        self.fake.issued_secrets().into_iter().for_each(|secret| canaries.add("issued by TikTok", secret.value));
        self.states.borrow().iter().for_each(|state| canaries.add("state", state));
        for name in ["fake-host-keys", "browser-session"] {
            let text = std::fs::read_to_string(self.data(name)).unwrap_or_default();
            text.lines().for_each(|line| canaries.add("key", line.rsplit(':').next().unwrap()));
        }
        canaries
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let canaries = self.canaries();
        for (name, text) in self.printed.borrow().iter() {
            let found: Vec<_> = canaries.found_in(text.as_bytes()).iter().map(ToString::to_string).collect();
            assert_eq!(found, [""; 0], "{name}");
        }
    }
}

/// Returns the id of a pending install that `connect --app-store` has printed.
pub(crate) fn install_id(printed: &str) -> &str {
    printed.split_once("--confirm ").unwrap().1.lines().next().unwrap()
}

/// Gives a command this home folder, and removes the program's settings from the environment of the command.
pub(crate) fn at_home(command: &mut Command, home: &Path) {
    #[expect(clippy::disallowed_methods, reason = "the environment of the tests contains the settings to remove")]
    let inherited = std::env::vars_os();
    for (name, _) in inherited.filter(|(name, _)| {
        name.to_str().is_some_and(|name| name.starts_with("TIKTOK_SHOP_") || name.starts_with("XDG_"))
    }) {
        command.env_remove(name);
    }
    command.env("HOME", home).current_dir(home);
    // The commands of all tests share the compiled component, because compiling takes most of a command's time.
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
}

/// Returns the state of a link.
fn state(link: &str) -> &str {
    link.split_once("&state=").unwrap().1
}
