//! Measures how fast the shipped component runs in the reference host. `cargo xtask bench` compiles the host
//! with the profile of production.

mod fairness;
mod platform;
mod report;
mod storage;
mod webhooks;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures the connector in the reference host. Does not judge the numbers: the exit status is 0 even if the connector
/// is slow.
#[derive(Debug, Parser)]
#[command(name = "tiktok-shop-bench")]
struct Arguments {
    /// File of the connector's component. `cargo xtask dist` builds this file.
    #[arg(long, value_name = "FILE")]
    component: PathBuf,
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    Fairness(fairness::Fairness),
    Storage(storage::Storage),
    #[command(hide = true)]
    StorageCalls(storage::calls::Calls),
    Webhooks(webhooks::Webhooks),
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut out = io::stdout();
    let outcome: Result<()> = async {
        let Arguments { component, benchmark } = Arguments::parse();
        let report = match benchmark {
            Benchmark::Fairness(fairness) => fairness.run(component).await?,
            Benchmark::Storage(storage) => storage.run(component).await?,
            Benchmark::StorageCalls(calls) => calls.run(component).await?,
            Benchmark::Webhooks(webhooks) => webhooks.run(component).await?,
        };
        out.write_all(report.as_bytes())?;
        Ok(())
    }
    .await;
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, the error cannot be shown.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
