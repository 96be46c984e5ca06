//! Runs cargo on this workspace and reads its messages.
//!
//! The program that uses this library may run under `cargo test` or `cargo run`. This outer cargo sets environment
//! variables for the program. The nested cargo, which this library starts, must not inherit these variables. Otherwise,
//! build scripts that watch such a variable would run again at every switch between the outer and the nested cargo.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::iter;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Artifact, DependencyKind, Message, Metadata, MetadataCommand, PackageId};

use crate::process::{program, variable, variable_names, workspace_root};
use crate::toolchain::Toolchain;

/// A message of cargo during a build.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BuildEvent<'a> {
    /// The first artifact of one more package is ready, because it was compiled or was up to date.
    Package,
    /// A line of cargo's own text, for example `Downloaded serde v1.0.229` or a compiler's warning.
    Text(&'a str),
}

/// How an executable is compiled.
#[derive(Clone, Copy, Debug)]
pub enum Optimisation {
    /// As for tests: fast to compile. Only wasmtime's compiler, ciphers and databases are optimised.
    OnlySlowPackages,
    /// As for production. Benchmarks measure such executables.
    Everything,
}

impl Optimisation {
    /// Returns the name of cargo's profile.
    const fn profile(self) -> &'static str {
        match self {
            Self::OnlySlowPackages => "dev",
            Self::Everything => "release",
        }
    }
}

/// Builds the executable of this name and returns its path.
///
/// Passes `--workspace` to cargo although only one executable is built. Otherwise dependencies would have fewer
/// features than in other builds of the workspace, and would be compiled a second time.
///
/// # Errors
/// If cargo fails (it has then written its messages to standard error), or there is no such executable.
pub fn build_executable(
    name: &str,
    optimisation: Optimisation,
    report: &(dyn Fn(BuildEvent<'_>) + Sync),
) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--locked", "--workspace", "--bin", name, "--profile", optimisation.profile()]);
    if matches!(optimisation, Optimisation::Everything) {
        // This package adds the features of the tests, and they must not change what is measured.
        command.args(["--exclude", "tiktok-shop-shared-build"]);
    }
    let artifacts = build(command, report)?;
    artifacts
        .into_iter()
        .filter(|artifact| artifact.target.is_bin() && artifact.target.name == name)
        .find_map(|artifact| artifact.executable)
        .map(PathBuf::from)
        .with_context(|| format!("there is no executable {name}"))
}

/// Returns the number of packages that [`build_executable`] builds for an executable of this package. A progress bar
/// needs this number as its length.
///
/// On a fresh machine, this function downloads the dependencies. Cargo then shows its own progress on standard error.
///
/// # Errors
/// If cargo can't resolve the workspace, for example without a network.
pub fn executable_package_count(package: &str) -> Result<usize> {
    package_count(package, &[&Toolchain::active()?.about.host])
}

/// Returns the number of packages in a build of `package` for these platforms, including `package` itself.
pub(crate) fn package_count(package: &str, platforms: &[&str]) -> Result<usize> {
    let filters = platforms.iter().flat_map(|platform| ["--filter-platform", platform]);
    let metadata = MetadataCommand::new()
        .cargo_path(cargo_program())
        .current_dir(workspace_root())
        .verbose(true)
        .other_options(iter::once("--locked").chain(filters).map(str::to_owned).collect::<Vec<_>>())
        .exec()?;
    Ok(reachable(&metadata, package)?.len())
}

/// Returns the folder that cargo builds into. `CARGO_TARGET_DIR` and cargo's configuration decide which folder this is.
///
/// # Errors
/// If cargo can't read the workspace.
pub fn target_directory() -> Result<Utf8PathBuf> {
    let metadata = MetadataCommand::new().cargo_path(cargo_program()).current_dir(workspace_root()).no_deps().exec()?;
    Ok(metadata.target_directory)
}

/// Returns cargo's home, where it keeps the sources of dependencies.
pub(crate) fn home() -> Result<PathBuf> {
    let home = variable("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    Ok(std::path::absolute(home.context("neither CARGO_HOME nor a home folder is known")?)?)
}

/// Downloads the crates of the lock file that this machine does not have. Cargo shows its own progress on standard
/// error.
pub(crate) fn fetch() -> Result<()> {
    let status = cargo().args(["fetch", "--locked"]).status().context("can't start cargo")?;
    if !status.success() {
        bail!("cargo can't fetch the dependencies");
    }
    Ok(())
}

/// Returns a command that runs cargo in the workspace's folder, without the environment variables that an outer cargo
/// has set for this program.
#[must_use]
pub fn cargo() -> Command {
    program_that_runs_cargo(cargo_program())
}

/// Returns a command that runs a program in the workspace's folder. Use it for a program that runs cargo: the command
/// has no environment variables that an outer cargo has set for this program.
#[must_use]
pub fn program_that_runs_cargo(name: impl AsRef<OsStr>) -> Command {
    let mut command = program(name);
    for name in variable_names().filter(|name| is_set_for_child(name)) {
        command.env_remove(name);
    }
    command
}

/// Runs `command`, which is `cargo build` or `cargo test --no-run`, and returns all artifacts of the build, including
/// artifacts that were up to date.
///
/// Writes nothing if the build succeeds. If it fails, writes cargo's text and the compiler's messages to standard
/// error.
///
/// # Errors
/// If cargo can't be started or fails.
pub fn build(mut command: Command, report: &(dyn Fn(BuildEvent<'_>) + Sync)) -> Result<Vec<Artifact>> {
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("can't start {}", command.get_program().display()))?;
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    let stderr = child.stderr.take().context("cargo has no standard error")?;

    let (artifacts, text) = thread::scope(|scope| {
        let text = scope.spawn(|| read_text(stderr, report));
        let artifacts = read_artifacts(stdout, report);
        (artifacts, text.join())
    });
    let status = child.wait()?;
    if !status.success() {
        if let Ok(text) = text {
            // `eprint!` is not used, because the test harness would show its text only with the one test that ran the
            // build.
            io::stderr().write_all(text.as_bytes())?;
        }
        bail!("cargo build failed ({status}); see its messages above");
    }
    artifacts
}

fn read_text(stderr: impl Read, report: &(dyn Fn(BuildEvent<'_>) + Sync)) -> String {
    let mut text = String::new();
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        report(BuildEvent::Text(&line));
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn read_artifacts(stdout: impl Read, report: &(dyn Fn(BuildEvent<'_>) + Sync)) -> Result<Vec<Artifact>> {
    let mut artifacts: Vec<Artifact> = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        let Message::CompilerArtifact(artifact) = message.context("cargo's messages can't be read")? else {
            continue;
        };
        if artifacts.iter().all(|earlier| earlier.package_id != artifact.package_id) {
            report(BuildEvent::Package);
        }
        artifacts.push(artifact);
    }
    Ok(artifacts)
}

/// Returns the packages that a build of `package` needs: the package itself and its direct and indirect dependencies,
/// without dev-dependencies.
fn reachable<'a>(metadata: &'a Metadata, package: &str) -> Result<Vec<&'a PackageId>> {
    let root = metadata.workspace_packages().into_iter().find(|candidate| candidate.name.as_str() == package);
    let root = root.with_context(|| format!("no package {package} in the workspace"))?;
    let nodes = &metadata.resolve.as_ref().context("cargo metadata names no dependencies")?.nodes;

    let mut found = vec![&root.id];
    let mut next = 0;
    while let Some(&id) = found.get(next) {
        next += 1;
        let dependencies = nodes.iter().filter(|node| node.id == *id).flat_map(|node| &node.deps);
        for dependency in dependencies {
            let builds = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if builds && !found.contains(&&dependency.pkg) {
                found.push(&dependency.pkg);
            }
        }
    }
    Ok(found)
}

/// Returns the path of cargo. If cargo runs this program, this is the path of that same cargo.
fn cargo_program() -> OsString {
    variable("CARGO").unwrap_or_else(|| env!("CARGO").into())
}

/// Returns true if cargo sets this variable for a program that it runs, to describe the package of the program.
fn is_set_for_child(name: &str) -> bool {
    const PREFIXES: [&str; 4] = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_"];
    const NAMES: [&str; 3] = ["CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn variables_that_describe_the_outer_package_do_not_reach_a_nested_cargo() {
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_BIN_EXE_demo", "OUT_DIR"] {
            assert!(is_set_for_child(name), "{name}");
        }
    }

    #[test]
    fn variables_that_the_user_sets_reach_a_nested_cargo() {
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "RUSTUP_TOOLCHAIN", "PATH"] {
            assert!(!is_set_for_child(name), "{name}");
        }
    }

    #[test]
    fn a_package_with_several_artifacts_is_reported_once() {
        let artifact = |name: &str, kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"registry+x#{name}@1.0.0","manifest_path":"/Cargo.toml","target":{{"kind":["{kind}"],"crate_types":["{kind}"],"name":"{name}","src_path":"/lib.rs"}},"profile":{{"opt_level":"0","debuginfo":0,"debug_assertions":true,"overflow_checks":true,"test":false}},"features":[],"filenames":[],"executable":null,"fresh":true}}"#
            )
        };
        let stream = [artifact("serde", "custom-build"), artifact("serde", "lib"), artifact("http", "lib")].join("\n");
        let reported = AtomicUsize::new(0);
        let artifacts = read_artifacts(stream.as_bytes(), &|event| {
            assert!(matches!(event, BuildEvent::Package));
            reported.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(artifacts.unwrap().len(), 3);
        assert_eq!(reported.into_inner(), 2);
    }
}
