//! Tries mutants on a copy of the tree: the tree itself is never touched, and need not be committed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::mutant::Mutant;

/// What is run until something fails: which tests, and which of them are left out.
const SUITES: [Suite; 2] = [
    // The two that are left out are slow, and ask about secrets: no rule is among them.
    Suite { targets: &["--lib", "--test", "core"], skipped: &["compile_fail::", "free_text::"] },
    Suite { targets: &["--test", "simulation"], skipped: &[] },
];

const PACKAGE: &str = "tiktok-shop-connector-core";
const PACKAGE_FOLDER: &str = "connector-core";

struct Suite {
    targets: &'static [&'static str],
    skipped: &'static [&'static str],
}

/// What became of a mutant.
pub(super) enum Outcome {
    /// By these tests, in the order of their names; at least one.
    Killed(Vec<String>),
    Survived,
    /// What git says.
    DoesNotApply(String),
    /// The compiler's messages have gone to standard error.
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

    pub(super) fn killers(&self) -> &[String] {
        match self {
            Self::Killed(tests) => tests,
            Self::Survived | Self::DoesNotApply(_) | Self::DoesNotBuild => &[],
        }
    }
}

/// A copy of the tree, and a target folder of its own.
pub(super) struct Trial {
    tree: PathBuf,
    target: PathBuf,
    /// A test executable that has not ended by then does not end.
    limit: Duration,
    /// Held as long as the copy is used.
    _lock: File,
}

impl Trial {
    /// Copies all files that git tracks or would track.
    pub(super) fn prepare() -> Result<Self> {
        let folder = xtask::target_directory()?.into_std_path_buf().join("mutants");
        let (tree, target) = (folder.join("tree"), folder.join("target"));
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().context("another `cargo xtask mutants` uses the same target folder")?;
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        let root = xtask::workspace_root();
        let files = succeeded(git(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
        for file in files.split('\0') {
            let (from, to) = (root.join(file), tree.join(file));
            // Not a file: deleted and not yet committed.
            if from.is_file() {
                fs::create_dir_all(to.parent().unwrap_or(&tree))?;
                fs::copy(&from, &to).with_context(|| file.to_owned())?;
            }
        }
        Ok(Self { tree, target, limit: Duration::MAX, _lock: lock })
    }

    /// Without a mutant nothing fails, or no failure would prove anything. How long that takes says how long a mutant may.
    #[expect(clippy::disallowed_methods, reason = "no other clock says how long a program runs")]
    pub(super) fn baseline(&mut self) -> Result<()> {
        let began = Instant::now();
        match self.tried()? {
            Outcome::Survived => {
                self.limit = Duration::from_secs(60) + 5 * began.elapsed();
                Ok(())
            }
            Outcome::Killed(tests) => bail!("without any mutant these tests fail: {}", tests.join(", ")),
            Outcome::DoesNotApply(_) | Outcome::DoesNotBuild => bail!("the tree does not build"),
        }
    }

    pub(super) fn of(&self, mutant: &Mutant) -> Result<Outcome> {
        if let Err(problem) = git_apply(&self.tree, &mutant.path, &[]) {
            return Ok(Outcome::DoesNotApply(problem.to_string()));
        }
        let outcome = self.tried();
        git_apply(&self.tree, &mutant.path, &["--reverse"])?;
        outcome
    }

    fn tried(&self) -> Result<Outcome> {
        for suite in &SUITES {
            let Ok(artifacts) = xtask::build(self.compilation(suite), &|_| {}) else {
                return Ok(Outcome::DoesNotBuild);
            };
            let mut failed = Vec::new();
            for executable in artifacts.into_iter().filter_map(|artifact| artifact.executable) {
                let mut command = xtask::program(&executable);
                command
                    .current_dir(self.tree.join(PACKAGE_FOLDER))
                    .env_remove("TIKTOK_SHOP_SIMULATION_SEED")
                    .args(suite.skipped.iter().flat_map(|name| ["--skip", name]));
                failed.extend(failed_tests(&mut command, self.limit)?);
            }
            if !failed.is_empty() {
                failed.sort();
                return Ok(Outcome::Killed(failed));
            }
        }
        Ok(Outcome::Survived)
    }

    fn compilation(&self, suite: &Suite) -> Command {
        let mut command = xtask::cargo();
        command
            .args(["test", "--no-run", "--locked", "--package", PACKAGE])
            .args(suite.targets)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            // What a mutant no longer uses is no reason not to build it.
            .env("RUSTFLAGS", "--cap-lints=warn")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    }
}

/// Applies a patch to the tree in `folder`.
///
/// # Errors
/// What git says of a patch that does not apply.
pub(super) fn git_apply(folder: &Path, patch: &Path, options: &[&str]) -> Result<()> {
    succeeded(git(folder).arg("apply").args(options).arg(patch)).map(drop)
}

/// Git in `folder`, whatever repository a hook works on. Above the folder none is looked for: git would read the paths
/// of a patch from that one's root, and pass over all of them in silence.
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

/// What the program wrote.
fn succeeded(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("can't start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a test executable and names the tests that fail, or do not end.
fn failed_tests(command: &mut Command, limit: Duration) -> Result<Vec<String>> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = child.stdout.take().context("a test has no standard output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        // Nobody waits for it once the time is over.
        let _ = sender.send(());
        read.map(|_| text)
    });
    let ended = receiver.recv_timeout(limit).is_ok();
    if !ended {
        child.kill()?;
    }
    let status = child.wait()?;
    let text = reader.join().ok().context("the tests' output can't be read")??;
    let failed = named(&text, if ended { &[" ... FAILED"] } else { &[" ... FAILED", ENDLESS] });
    if status.success() != failed.is_empty() {
        bail!("the tests ended with {status} and named {} failures", failed.len());
    }
    Ok(failed)
}

/// How the test harness ends the line of a test that runs on and on. One that ended after all is not told apart: it is
/// asked only when something did not end.
const ENDLESS: &str = " has been running for over 60 seconds";

/// The tests whose lines end like this.
fn named(stdout: &str, endings: &[&str]) -> Vec<String> {
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
    fn tests_are_named_by_what_the_test_harness_prints() {
        let stdout = "running 3 tests\ntest b::two ... FAILED\ntest a::one ... ok\n\
                      test a::three has been running for over 60 seconds\n\n\
                      failures:\n\n---- b::two stdout ----\nleft: FAILED\n\nfailures:\n    b::two\n";
        assert_eq!(named(stdout, &[" ... FAILED"]), ["b::two"]);
        assert_eq!(named(stdout, &[" ... FAILED", ENDLESS]), ["b::two", "a::three"]);
    }

    #[test]
    fn a_patch_applies_in_a_folder_within_a_repository_as_it_does_in_one_without() {
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
