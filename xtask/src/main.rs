//! `cargo xtask`: the tasks of this workspace.

mod check_imports;
mod demo;
mod dist;
mod docs;
mod errors_page;
mod progress;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Tasks of the TikTok Shop connector's workspace.
///
/// Each task builds what it needs, the wasm target included: it is used if installed, else added by rustup, else built
/// from a distribution's sources. `cargo test` needs none of these tasks.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
enum Task {
    Demo(demo::Demo),
    Dist(dist::Dist),
    Docs(docs::Docs),
    CheckImports(check_imports::CheckImports),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Demo(task) => task.run(),
        Task::Dist(task) => task.run(),
        Task::Docs(task) => task.run(),
        Task::CheckImports(task) => task.run(),
    };
    outcome.unwrap_or_else(|error| {
        // Nothing is left to do if standard error is closed as well.
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
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
