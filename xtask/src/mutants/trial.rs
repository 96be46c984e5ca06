//! Tries mutants (patches that each break a rule or a promise) on a copy of the source tree. The tree itself is not
//! changed, and it may have uncommitted changes.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The outcome of a mutant.
pub(super) enum Outcome {
    /// The names of the tests that failed, sorted. There is at least one.
    Killed(Vec<String>),
    Survived,
    /// The patch does not apply. The text is git's message.
    DoesNotApply(String),
    /// The compiler's messages are on standard error.
    DoesNotBuild,
}

impl Outcome {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Killed(_) => "killed",
            Self::Survived => "survived",
            Self::DoesNotApply(_) => "does not apply",
            Self::DoesNotBuild => "does not build",
        }
    }

    pub(super) const fn is_killed(&self) -> bool {
        matches!(self, Self::Killed(_))
    }

    pub(super) fn killers(&self) -> &[String] {
        match self {
            Self::Killed(tests) => tests,
            Self::Survived | Self::DoesNotApply(_) | Self::DoesNotBuild => &[],
        }
    }
}

/// A copy of the source tree, and the folder in which cargo builds it.
pub(super) struct Trial {
    pub(super) tree: PathBuf,
    pub(super) target: PathBuf,
    /// The longest time that a test executable may run. After this time, its unfinished tests count as failed.
    limit: Duration,
    /// The longest time that a test executable has run until now.
    longest: Cell<Duration>,
    /// The lock on the copy. It is held while the copy is used.
    _lock: File,
}

impl Trial {
    /// Copies all files of the source tree, except files that git ignores. `target` is the folder in which cargo builds
    /// the copy. If `target` is `None`, this is a folder of its own beside the copy.
    pub(super) fn prepare(target: Option<&Path>) -> Result<Self> {
        let folder = xtask::target_directory()?.into_std_path_buf().join("mutants");
        let tree = folder.join("tree");
        let target = target.map_or_else(|| Ok(folder.join("target")), std::path::absolute)?;
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().context("another `cargo xtask mutants` uses the same target folder")?;
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        let root = xtask::workspace_root();
        let files = output_of(git(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
        for file in files.split('\0') {
            let (from, to) = (root.join(file), tree.join(file));
            // Git also lists files whose deletion is not committed yet.
            if from.is_file() {
                fs::create_dir_all(to.parent().unwrap_or(&tree))?;
                fs::copy(&from, &to).with_context(|| file.to_owned())?;
            }
        }
        Ok(Self { tree, target, limit: Duration::MAX, longest: Cell::default(), _lock: lock })
    }

    /// Runs the tests without a mutant. They must pass, because otherwise a failure with a mutant would prove nothing.
    /// Sets the time limit for mutants: 60 s plus five times the longest duration of a test executable in this run.
    pub(super) fn baseline(&mut self, run: impl FnOnce(&Self) -> Result<Outcome>) -> Result<()> {
        match run(self)? {
            Outcome::Survived => {
                self.limit = Duration::from_secs(60) + 5 * self.longest.get();
                Ok(())
            }
            Outcome::Killed(tests) => bail!("without any mutant these tests fail: {}", tests.join(", ")),
            Outcome::DoesNotApply(_) | Outcome::DoesNotBuild => bail!("the tree does not build"),
        }
    }

    /// Applies a mutant, runs the tests, and reverts the mutant.
    pub(super) fn run(&self, patch: &Path, run: impl FnOnce(&Self) -> Result<Outcome>) -> Result<Outcome> {
        if let Err(problem) = git_apply(&self.tree, patch, &[]) {
            return Ok(Outcome::DoesNotApply(problem.to_string()));
        }
        let outcome = run(self);
        git_apply(&self.tree, patch, &["--reverse"])?;
        outcome
    }

    /// Returns a command that builds tests of the copy and does not run them.
    pub(super) fn compilation(&self) -> Command {
        let mut command = xtask::cargo();
        command
            .args(["test", "--no-run", "--locked"])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    }

    /// Runs a test executable and returns the names of the tests that fail or do not end in time, and everything that
    /// the executable has printed.
    #[expect(clippy::disallowed_methods, reason = "measures how long a program runs")]
    pub(super) fn failed_tests(&self, command: &mut Command) -> Result<(Vec<String>, String)> {
        let began = Instant::now();
        let failed = failed_tests(command, self.limit);
        self.longest.set(self.longest.get().max(began.elapsed()));
        failed
    }
}

/// Applies a patch to the tree in `folder`.
///
/// # Errors
/// If the patch does not apply, with git's message.
pub(super) fn git_apply(folder: &Path, patch: &Path, options: &[&str]) -> Result<()> {
    output_of(git(folder).arg("apply").args(options).arg(patch)).map(drop)
}

/// Returns a command that runs git in `folder`.
///
/// Removes the environment variables with which git tells a hook which repository to use, because this program may run
/// in a hook. Keeps git from finding a repository above the folder. Otherwise, git would take the paths in a patch as
/// relative to that repository, and would skip all these paths without an error.
fn git(folder: &Path) -> Command {
    let mut command = xtask::program("git");
    command.current_dir(folder);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    if let Some(above) = folder.parent() {
        command.env("GIT_CEILING_DIRECTORIES", above);
    }
    command
}

/// Runs a command that must succeed, and returns its standard output.
fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("can't start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a test executable. Returns the names of the tests that fail or do not end within `limit`, and what the
/// executable has printed.
fn failed_tests(command: &mut Command, limit: Duration) -> Result<(Vec<String>, String)> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = child.stdout.take().context("a test has no standard output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        // After the time limit, the receiver no longer waits for this message.
        let _ = sender.send(());
        read.map(|_| text)
    });
    let ended = receiver.recv_timeout(limit).is_ok();
    if !ended {
        child.kill()?;
    }
    let status = child.wait()?;
    let text = reader.join().ok().context("the tests' output can't be read")??;
    let failed = tests_with(&text, if ended { &[" ... FAILED"] } else { &[" ... FAILED", ENDLESS] });
    if status.success() != failed.is_empty() {
        bail!("the tests ended with {status} and named {} failures", failed.len());
    }
    Ok((failed, text))
}

/// The last words of the line that Rust's test harness prints about a slow test. The test may still have ended after
/// that line. So the line counts only if the whole executable did not end in time.
const ENDLESS: &str = " has been running for over 60 seconds";

/// Returns the names of the tests whose lines have one of these endings.
fn tests_with(stdout: &str, endings: &[&str]) -> Vec<String> {
    let name = |line: &str| {
        let rest = line.strip_prefix("test ")?;
        endings.iter().find_map(|ending| rest.strip_suffix(ending)).map(str::to_owned)
    };
    stdout.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_and_endless_tests_are_read_from_the_output_of_the_test_harness() {
        let stdout = "running 3 tests\ntest b::two ... FAILED\ntest a::one ... ok\n\
                      test a::three has been running for over 60 seconds\n\n\
                      failures:\n\n---- b::two stdout ----\nleft: FAILED\n\nfailures:\n    b::two\n";
        assert_eq!(tests_with(stdout, &[" ... FAILED"]), ["b::two"]);
        assert_eq!(tests_with(stdout, &[" ... FAILED", ENDLESS]), ["b::two", "a::three"]);
    }

    #[test]
    fn a_patch_applies_in_a_folder_that_lies_within_a_repository() {
        let folder = tempfile::tempdir_in(xtask::target_directory().unwrap()).unwrap();
        fs::write(folder.path().join("text"), "one\n").unwrap();
        let patch = folder.path().join("change.patch");
        fs::write(&patch, "Words.\n\n--- a/text\n+++ b/text\n@@ -1 +1 @@\n-one\n+two\n").unwrap();
        git_apply(folder.path(), &patch, &[]).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("text")).unwrap(), "two\n");
        let problem = git_apply(folder.path(), &patch, &["--check"]).unwrap_err().to_string();
        assert!(problem.contains("text"), "{problem}");
    }
}
