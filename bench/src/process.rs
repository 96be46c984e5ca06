//! Starts other processes, and reads from the system how much memory and how many files a process uses.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The time between two looks at the memory.
const SAMPLE_PAUSE: Duration = Duration::from_millis(2);

/// Returns a command that starts this program with a hidden subcommand.
pub(crate) fn own(subcommand: &str) -> Result<Command> {
    let mut command = program(std::env::current_exe()?);
    command.arg(subcommand);
    Ok(command)
}

/// Returns a command that starts a program.
#[expect(clippy::disallowed_methods, reason = "other processes are measured, or must not be measured with this one")]
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// Runs a command and returns its standard output. Its standard error is shown.
pub(crate) fn output(mut command: Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stderr(std::process::Stdio::inherit()).output().with_context(|| format!("can't start {name}"))?;
    if !output.status.success() {
        bail!("{name} ended with {}", output.status);
    }
    Ok(output.stdout)
}

/// Raises the limit of open files of this process as far as the system allows.
pub(crate) fn allow_many_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Returns the number of files, sockets included, that this process has open.
pub(crate) fn open_files() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd").context("this system does not list open files")?.count())
}

/// Returns the resident memory of this process, in KiB.
pub(crate) fn memory_kib() -> Result<u64> {
    status("VmRSS:")
}

/// Returns the memory that only this process uses, in KiB. Pages of a file, which all calls share, do not count: for
/// example the initial memory of an instance, until the instance changes it.
pub(crate) fn private_kib() -> Result<u64> {
    status("RssAnon:")
}

/// Watches the private memory of this process on a thread of its own.
pub(crate) struct PrivatePeak {
    stop: Sender<()>,
    watching: JoinHandle<Result<u64>>,
}

impl PrivatePeak {
    pub(crate) fn watch() -> Self {
        let (stop, stopped) = mpsc::channel();
        let watching = std::thread::spawn(move || {
            let mut peak = private_kib()?;
            while stopped.recv_timeout(SAMPLE_PAUSE) == Err(RecvTimeoutError::Timeout) {
                peak = peak.max(private_kib()?);
            }
            Ok(peak)
        });
        Self { stop, watching }
    }

    /// Returns the largest private memory since the watch began, in KiB.
    pub(crate) fn end(self) -> Result<u64> {
        let Self { stop, watching } = self;
        drop(stop);
        watching.join().map_err(|_| anyhow!("the thread that watches the memory panicked"))?
    }
}

fn status(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("this system does not tell the memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
