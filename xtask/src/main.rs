//! `cargo xtask`: the tasks of this workspace.

mod bench;
mod check_imports;
mod demo;
mod dist;
mod docs;
mod errors_page;
mod kill_points;
mod mutants;
mod progress;
mod simulate;
mod table;

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;

/// Tasks of the TikTok Shop connector's workspace.
///
/// Each task builds what it needs, the wasm target included: it is used if installed, else added by rustup, else built
/// from a distribution's sources. `cargo test` needs none of these tasks.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
enum Task {
    Demo(demo::Demo),
    Bench(bench::Bench),
    Dist(dist::Dist),
    Docs(docs::Docs),
    CheckImports(check_imports::CheckImports),
    KillPoints(kill_points::KillPoints),
    Mutants(mutants::Mutants),
    Simulate(simulate::Simulate),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Demo(task) => task.run(),
        Task::Bench(task) => task.run(),
        Task::Dist(task) => task.run(),
        Task::Docs(task) => task.run(),
        Task::CheckImports(task) => task.run(),
        Task::KillPoints(task) => task.run(),
        Task::Mutants(task) => task.run(),
        Task::Simulate(task) => task.run(),
    };
    outcome.unwrap_or_else(|error| {
        // Nothing is left to do if standard error is closed as well.
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Builds the executable of a package that links wasmtime, which this program does not, and runs it. The exit status is
/// the executable's.
fn run_executable(
    title: &'static str,
    package: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<ExitCode> {
    let (mut command, program) = executable(title, package, package)?;
    let status = command.args(arguments).status();
    let status = status.with_context(|| format!("can't start {}", program.display()))?;
    // What a signal ended has no code.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds an executable of a package: a command that runs it, and where it is.
fn executable(title: &'static str, package: &str, name: &str) -> Result<(Command, PathBuf)> {
    let packages = xtask::executable_package_count(package);
    let program = progress::show(title, packages, |report| xtask::build_executable(name, report))?;
    #[expect(clippy::disallowed_methods, reason = "a program of its own, with this one's standard streams")]
    Ok((Command::new(&program), program))
}

/// Writes a whole report to standard output.
fn print(report: &str) -> Result<()> {
    Ok(io::stdout().lock().write_all(report.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Task::command().debug_assert();
    }
}
