//! Two PostgreSQL servers that belong to one test: a primary, and its standby. The test may kill the primary and
//! promote the standby. The server of [`test_postgres`](crate::test_postgres) is not involved.

use std::ffi::OsStr;
use std::path::Path;

use tempfile::TempDir;

use crate::{not_tried, test_postgres};

/// The exit status of the script `.ci/postgres` if the machine has no PostgreSQL.
const NO_PROGRAMS: i32 = 3;

/// Whether a commit on the primary waits for the standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// A commit succeeds when it is on the disks of both servers.
    Synchronous,
    /// A commit succeeds when it is on the disk of the primary.
    Asynchronous,
}

impl Replication {
    const fn word(self) -> &'static str {
        match self {
            Self::Synchronous => "sync",
            Self::Asynchronous => "async",
        }
    }
}

/// A primary and its standby. Both end when this value is dropped.
#[derive(Debug)]
pub struct Replicated {
    primary: Server,
    standby: Server,
}

impl Replicated {
    /// Starts both servers. If this machine has no PostgreSQL, or if [`test_postgres`](crate::test_postgres) finds no
    /// server, returns `None` and says on standard error that a failover was not tried.
    ///
    /// # Panics
    /// If a server does not start. Also if the machine has no PostgreSQL and the variable `CI` is `true`.
    #[must_use]
    pub fn start(replication: Replication) -> Option<Self> {
        test_postgres()?;
        let mut primary = Server::new();
        primary.address = match script([OsStr::new("start"), primary.folder()]) {
            Ok(address) => address,
            Err((Some(NO_PROGRAMS), why)) => {
                not_tried("a failover of PostgreSQL", &why);
                return None;
            }
            Err(failure) => failed("start", &failure),
        };
        let mut standby = Server::new();
        let mode = OsStr::new(replication.word());
        standby.address = run([OsStr::new("standby"), primary.folder(), standby.folder(), mode]);
        Some(Self { primary, standby })
    }

    /// Returns the address of the primary's database.
    #[must_use]
    pub fn primary(&self) -> &str {
        &self.primary.address
    }

    /// Returns the address of the standby's database.
    #[must_use]
    pub fn standby(&self) -> &str {
        &self.standby.address
    }

    /// Ends the primary at once, as a crash does.
    ///
    /// # Panics
    /// If the server does not run.
    pub fn kill_primary(&self) {
        run([OsStr::new("kill"), self.primary.folder()]);
    }

    /// Makes the standby a primary. Returns when it accepts writes.
    ///
    /// # Panics
    /// If the server can't be promoted.
    pub fn promote_standby(&self) {
        run([OsStr::new("promote"), self.standby.folder()]);
    }
}

/// A server, whose files are in a folder of its own. The servers can't share a folder, because each of them belongs to
/// the user `postgres` if root runs the test.
#[derive(Debug)]
struct Server {
    address: String,
    folder: TempDir,
}

impl Server {
    #[expect(clippy::panic, reason = "for tests: the test that calls this fails")]
    fn new() -> Self {
        match tempfile::tempdir() {
            Ok(folder) => Self { address: String::new(), folder },
            Err(error) => panic!("no folder for a PostgreSQL server: {error}"),
        }
    }

    fn folder(&self) -> &OsStr {
        Path::as_os_str(self.folder.path())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that has failed must not fail again here.
        let _ended = script([OsStr::new("stop"), self.folder()]);
    }
}

/// Runs `.ci/postgres`, which must succeed. Returns the line that it prints.
fn run<const N: usize>(arguments: [&OsStr; N]) -> String {
    script(arguments).unwrap_or_else(|failure| failed(&arguments[0].to_string_lossy(), &failure))
}

#[expect(clippy::panic, reason = "for tests: the test that calls this fails")]
fn failed(command: &str, (status, why): &(Option<i32>, String)) -> ! {
    panic!(".ci/postgres {command} ended with status {status:?}: {why}")
}

/// Runs `.ci/postgres`. Returns the line that it prints, or the exit status and the text on standard error.
fn script<const N: usize>(arguments: [&OsStr; N]) -> Result<String, (Option<i32>, String)> {
    // The script does not run everywhere as a program, for example if the disk is mounted so that nothing is executed.
    let mut command = xtask::program("bash");
    let output = command.arg(".ci/postgres").args(arguments).output().map_err(|error| (None, error.to_string()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err((output.status.code(), text(&output.stderr))) }
}
