//! Starts other processes, and reads from the system how much memory and how many files a process uses.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

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
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("can't start {name}"))?;
    if !output.status.success() {
        bail!("{name} ended with {}", output.status);
    }
    Ok(output.stdout)
}

/// A process that runs beside this one. It ends when this value is dropped.
pub(crate) struct Background {
    child: Child,
    /// Stays open, so that the process can end itself if this one is killed.
    stdin: ChildStdin,
    /// Stays open, because a process may fail when it can't write.
    stdout: BufReader<ChildStdout>,
}

impl Background {
    /// Starts a process, and reads the line of JSON that it prints when it is ready.
    pub(crate) fn start<T: DeserializeOwned>(mut command: Command) -> Result<(Self, T)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.with_context(|| format!("can't start {name}"))?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        // From here on, the process also ends if this function returns an error.
        let mut background = Self { child, stdin, stdout };
        let ready = serde_json::from_str(&background.read_line()?).with_context(|| format!("{name} did not start"))?;
        Ok((background, ready))
    }

    /// Writes a line to the standard input of the process, and returns the next line that it prints.
    pub(crate) fn ask(&mut self, question: &str) -> Result<String> {
        writeln!(self.stdin, "{question}").context("the process reads no line any more")?;
        self.read_line()
    }

    /// Returns the next line that the process prints. The line is empty if the process has ended.
    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line)
    }

    /// Returns the resident memory of the process, in KiB.
    pub(crate) fn memory_kib(&self) -> Result<u64> {
        status(&self.child.id().to_string(), "VmRSS:")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Completes when the standard input of this process ends. The process that has started this one keeps it open.
pub(crate) fn end_of_input() -> impl Future<Output = ()> {
    let (open, closed) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _end = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(open);
    });
    async { drop(closed.await) }
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
    status("self", "VmRSS:")
}

/// Returns the memory that only this process uses, in KiB. Pages of a file, which all calls share, do not count: for
/// example the initial memory of an instance, until the instance changes it.
pub(crate) fn private_kib() -> Result<u64> {
    status("self", "RssAnon:")
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

fn status(process: &str, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.context("this system does not tell the memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_answers_each_line() {
        let mut command = program("sh");
        command.args(["-c", r#"echo '"ready"'; while read -r line; do echo "got $line"; done"#]);
        let (mut process, ready) = Background::start::<String>(command).unwrap();
        assert_eq!(ready, "ready");
        assert_eq!([process.ask("one").unwrap(), process.ask("two").unwrap()], ["got one\n", "got two\n"]);
    }
}
