//! Runs a command on the asynchronous runtime, and handles Ctrl-C.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tiktok_shop_host::log_filter::LogFilter;
use tokio::runtime::Builder;
use tokio::signal::ctrl_c;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
use tracing_subscriber::prelude::*;

use crate::failure::Failure;
use crate::output::note;

/// The time that the program waits after the first Ctrl-C. If the command still runs then, the program prints a note.
const TIME_TO_END: Duration = Duration::from_millis(300);

/// Writes the host library's log to standard error.
pub(crate) fn log_to_stderr() {
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
    tracing_subscriber::registry().with(log.with_filter(LevelFilter::DEBUG.and(LogFilter))).init();
}

/// Runs a command to its end, or until Ctrl-C was pressed twice.
pub(crate) fn run(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Unavailable(format!("no runtime: {error}")))?;
    runtime.block_on(run_until_interrupted(command))
}

/// Runs a command to its end. After the first Ctrl-C the command continues, because a running call may have received
/// tokens that it must still save. The second Ctrl-C stops the command at once.
async fn run_until_interrupted(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut command = pin!(command);
    tokio::select! {
        // `ctrl_c()` is polled before the command, so that the program notices Ctrl-C from the start of the command.
        biased;
        Ok(()) = ctrl_c() => {}
        outcome = command.as_mut() => return outcome,
    }
    // A command that stops at Ctrl-C, such as `fake`, needs no note.
    if let Ok(outcome) = tokio::time::timeout(TIME_TO_END, command.as_mut()).await {
        return outcome;
    }
    note("waiting for running calls to finish; press Ctrl-C again to stop at once");
    tokio::select! {
        biased;
        outcome = command => outcome,
        _ = ctrl_c() => Err(Failure::Interrupted),
    }
}
