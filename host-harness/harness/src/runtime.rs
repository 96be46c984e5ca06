//! Runs a command on the asynchronous runtime, and lets it finish what is under way when a signal asks the program to
//! end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tiktok_shop_host::log_filter::LogFilter;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
use tracing_subscriber::prelude::*;

use crate::failure::Failure;
use crate::output::note;
use crate::signals::EndSignals;
use crate::telemetry::Traces;

/// How long the program waits for the command after the first signal. If the command still runs after this time, the
/// program prints a note.
const TIME_TO_END: Duration = Duration::from_millis(300);

/// Writes the log of the host library and of the service to standard error, up to this level, and makes spans for
/// `traces`.
pub(crate) fn log_to_stderr(level: LevelFilter, traces: Option<&Traces>) {
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
    tracing_subscriber::registry().with(traces.map(Traces::layer)).with(log.with_filter(level.and(LogFilter))).init();
}

/// Runs a command to its end. `stop` is cancelled when a signal asks the program to end.
pub(crate) fn run(command: impl Future<Output = Result<(), Failure>>, stop: &CancellationToken) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Unavailable(format!("no runtime: {error}")))?;
    let outcome = runtime.block_on(run_until_stopped(command, stop));
    if matches!(outcome, Err(Failure::Interrupted | Failure::Stopped(_))) {
        // A thread may still wait for standard input, and the program must not wait for this thread.
        runtime.shutdown_background();
    }
    outcome
}

/// Runs a command to its end. After the first signal the command continues, because a running call may have received
/// tokens that it must still save. A command that can begin further work checks `stop`, and begins no further work once
/// `stop` is cancelled. Only another Ctrl-C, after the program has printed a note, ends the command at once.
async fn run_until_stopped(
    command: impl Future<Output = Result<(), Failure>>,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let signals = EndSignals::install();
    let mut signals = signals.map_err(|error| Failure::Unavailable(format!("cannot receive signals: {error}")))?;
    let mut command = pin!(command);
    tokio::select! {
        biased;
        () = signals.first() => stop.cancel(),
        outcome = command.as_mut() => return outcome,
    }
    // A command that ends soon, such as `fake`, needs no note.
    if let Ok(outcome) = tokio::time::timeout(TIME_TO_END, command.as_mut()).await {
        return outcome;
    }
    let another_interrupt = signals.another_interrupt();
    note("waiting for running calls to finish; Ctrl-C now stops at once and may lose tokens");
    tokio::select! {
        biased;
        outcome = command => outcome,
        () = another_interrupt => Err(Failure::Interrupted),
    }
}
