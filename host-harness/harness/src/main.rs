//! The program `tiktok-shop-harness`: the reference host on the command line, for operators and testers.
//!
//! [`command_line`] reads the arguments. Each command has a file in [`command`]. A command opens the storage, the keys
//! and the component with [`settings`], and puts its results into an [`output::Report`]. Everything that is printed
//! goes through [`output`], and [`failure`] decides the exit status of an error.

mod command;
mod command_line;
mod failure;
mod input;
mod output;
mod runtime;
mod settings;
mod signals;
mod telemetry;
mod usage_error;
mod version;

use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

use self::command_line::{Invocation, NoInvocation};
use self::output::{Report, finish};

/// Each call makes many small allocations, and this allocator is made for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command_line::parse() {
        Ok(Invocation { command, format, verbose }) => {
            let is_service = command.as_ref().is_some_and(command::Command::is_service);
            let mut report = Report::new(format);
            let traces = match if is_service { telemetry::begin() } else { Ok(None) } {
                Ok(traces) => traces,
                Err(failure) => return finish(report, Err(failure)),
            };
            match (verbose, is_service) {
                (true, _) => runtime::log_to_stderr(LevelFilter::DEBUG, traces.as_ref()),
                (false, true) => runtime::log_to_stderr(LevelFilter::INFO, traces.as_ref()),
                (false, false) => {}
            }
            let outcome = command::run(command, command_line::definition, &mut report);
            if let Some(traces) = traces {
                traces.end();
            }
            finish(report, outcome)
        }
        Err(NoInvocation::Printed) => ExitCode::SUCCESS,
        Err(NoInvocation::Version { format }) => {
            let mut report = Report::new(format);
            let printed = version::print(&mut report);
            finish(report, printed)
        }
        Err(NoInvocation::Invalid { failure, format }) => finish(Report::new(format), Err(*failure)),
    }
}
