//! Runs a command that waits for things.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use tiktok_shop_host::log_filter::LogFilter;
use tokio::runtime::Builder;
use tokio::signal::ctrl_c;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
use tracing_subscriber::prelude::*;

use super::failure::Failure;
use super::output::note;

const AT_ONCE: Duration = Duration::from_millis(300);

/// `verbose`: with the library's log on standard error.
pub(crate) fn run(verbose: bool, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    if verbose {
        let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
        tracing_subscriber::registry().with(log.with_filter(LevelFilter::DEBUG.and(LogFilter))).init();
    }
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Unavailable(format!("no runtime: {error}")))?;
    runtime.block_on(to_its_end(work))
}

/// A call that is under way may have tokens that nobody else has: the first Ctrl-C lets it save them.
async fn to_its_end(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut work = pin!(work);
    for last in [false, true] {
        match select(work.as_mut(), pin!(ctrl_c())).await {
            Either::Left((outcome, _)) => return outcome,
            Either::Right(_) if last => break,
            Either::Right(_) => {
                // What ends by Ctrl-C ends now, and nothing need be said.
                if let Ok(outcome) = tokio::time::timeout(AT_ONCE, work.as_mut()).await {
                    return outcome;
                }
                note("finishing what is under way; Ctrl-C again ends it at once");
            }
        }
    }
    Err(Failure::Interrupted)
}
