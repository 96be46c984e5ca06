//! The program `cargo xtask`: the tasks of this workspace.

mod advisories;
mod bench;
mod check_imports;
mod demo;
mod dist;
mod docs;
mod errors_page;
mod executable;
mod file_map;
mod keep_release;
mod kill_points;
mod losses;
mod mutants;
mod packages;
mod progress;
mod report;
mod simulate;
mod wit_compat;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

/// Tasks of the TikTok Shop connector's workspace.
///
/// Each task builds what it needs. If the wasm target is not installed, rustup adds it. If rustup cannot add it, the
/// standard library for the target is built from its sources. `cargo test` needs none of these tasks.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
enum Task {
    Demo(demo::Demo),
    Bench(bench::Bench),
    Soak(bench::Soak),
    Dist(dist::Dist),
    Docs(docs::Docs),
    CheckImports(check_imports::CheckImports),
    WitCompat(wit_compat::WitCompat),
    KeepRelease(keep_release::KeepRelease),
    Advisories(advisories::Advisories),
    KillPoints(kill_points::KillPoints),
    Mutants(mutants::Mutants),
    Simulate(simulate::Simulate),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Demo(task) => task.run(),
        Task::Bench(task) => task.run(),
        Task::Soak(task) => task.run(),
        Task::Dist(task) => task.run(),
        Task::Docs(task) => task.run(),
        Task::CheckImports(task) => task.run(),
        Task::WitCompat(task) => task.run(),
        Task::KeepRelease(task) => task.run(),
        Task::Advisories(task) => task.run(),
        Task::KillPoints(task) => task.run(),
        Task::Mutants(task) => task.run(),
        Task::Simulate(task) => task.run(),
    };
    outcome.unwrap_or_else(|error| {
        // If standard error is closed, the error cannot be shown.
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn claps_own_checks_accept_the_command_line() {
        super::Task::command().debug_assert();
    }
}
