//! Builds and runs programs that link wasmtime. The program `cargo xtask` itself does not link wasmtime.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use xtask::Optimisation;

use crate::progress;

/// Builds the executable that has the name of its package, runs it, and returns its exit status.
pub(crate) fn run(
    title: &'static str,
    package: &str,
    optimisation: Optimisation,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<ExitCode> {
    let (mut command, program) = build(title, package, package, optimisation)?;
    let status = command.args(arguments).status();
    let status = status.with_context(|| format!("can't start {}", program.display()))?;
    // A program that a signal ended has no exit code.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds an executable of a package. Returns a command that runs the executable, and the executable's path.
pub(crate) fn build(
    title: &'static str,
    package: &str,
    name: &str,
    optimisation: Optimisation,
) -> Result<(Command, PathBuf)> {
    let packages = xtask::executable_package_count(package);
    let program = progress::show(title, packages, |report| xtask::build_executable(name, optimisation, report))?;
    #[expect(clippy::disallowed_methods, reason = "the program shares the standard streams of this one")]
    Ok((Command::new(&program), program))
}
