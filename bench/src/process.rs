//! Starts other processes, and reads from the system how much memory and how many files a process uses.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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

/// Returns the largest resident memory of this process since [`forget_peak`], in KiB.
pub(crate) fn peak_kib() -> Result<u64> {
    status("VmHWM:")
}

/// Lets the peak of the memory begin again at the memory of now. So the peak does not contain the memory of compiling.
pub(crate) fn forget_peak() -> Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("this system can't reset the peak of the memory")
}

fn status(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("this system does not tell the memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
