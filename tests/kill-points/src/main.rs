//! Kills the connector's calls at every boundary event (a call of a host function or the return from it). This happens
//! under each policy that TikTok Shop may have for replaced refresh tokens. Then the program shows how many of these
//! kills the connection survived. `cargo xtask kill-points` builds and runs this program.

mod progress;
mod report;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::{Error, Result};
use clap::Parser;
use tiktok_shop_tests::kill_points::{Operation, Tally, Trial};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::progress::Progress;

/// Kills connect, reconnect, refresh, promotion, link-shops, disconnect and webhooks at every boundary event (a call of
/// a host function by the guest, or the return from it). Each operation runs under each possible policy of TikTok Shop
/// for replaced refresh tokens. An operation that replaces no refresh token runs under one policy only.
///
/// The exit status is 1 if a kill left an illegal state. This state is then printed with the requests that TikTok Shop
/// got and the stored data.
#[derive(Debug, Parser)]
#[command(name = "kill-points")]
struct Arguments {
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(status) => status,
        Err(error) => {
            // If standard error is closed as well, the error cannot be reported.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut trials = Vec::new();
    for operation in Operation::ALL {
        for policy in operation.policies() {
            trials.push(Trial::measure(operation, *policy).await.map_err(Error::msg)?);
        }
    }
    let tallies = kill(trials).await?;

    let report = if arguments.json { report::object(&tallies) } else { report::table(&tallies) };
    io::stdout().lock().write_all(report.as_bytes())?;
    let all_legal = tallies.iter().all(|(_, tally)| tally.illegal.is_empty());
    Ok(if all_legal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the trials (a trial is one operation under one policy). As many trials run at the same time as the machine has
/// processors. Returns the tallies in the order of the trials.
async fn kill(trials: Vec<Trial>) -> Result<Vec<(Trial, Tally)>> {
    let progress = Arc::new(Progress::over(trials.iter().map(|trial| trial.points().count() as u64).sum())?);
    let free = Arc::new(Semaphore::new(thread::available_parallelism()?.get()));
    let mut running = JoinSet::new();
    for (at, trial) in trials.into_iter().enumerate() {
        let (progress, free) = (Arc::clone(&progress), Arc::clone(&free));
        running.spawn(async move {
            let _permit = free.acquire_owned().await?;
            let tally = trial.kill_at(trial.points(), || progress.point()).await;
            Ok::<_, Error>((at, trial, tally))
        });
    }
    let mut tallies = running.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    tallies.sort_by_key(|(at, ..)| *at);
    progress.end();
    Ok(tallies.into_iter().map(|(_, trial, tally)| (trial, tally)).collect())
}
