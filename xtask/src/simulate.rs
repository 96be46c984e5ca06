//! `cargo xtask simulate` plays random histories of the refresh protocol.

use std::io::{BufRead as _, BufReader};
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::{progress, report};

/// Simulate many machines whose calls interleave, crash and lose answers. Makes many more runs than `cargo test`.
///
/// The simulation is compiled with optimisation, in a target folder of its own. Prints how often crashes, refreshes and
/// so on happened under each policy of TikTok's token host. Exit status 1 if a run broke a law of the protocol. The
/// seed and the history of that run are then printed.
#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Number of runs for each policy.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Run only this seed, under each policy.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
}

/// The simulation prints one line for each policy. These are the names of the counts in such a line.
const COUNTS: [&str; 6] = ["runs", "crashes", "refreshes", "contended", "pairs lost", "reauthorizations"];

impl Simulate {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut command = xtask::cargo();
        command
            .args(["test", "--locked", "--release", "--package", "tiktok-shop-connector-core", "--test", "simulation"])
            .args(["--", "--nocapture"])
            .env("CARGO_TARGET_DIR", xtask::target_directory()?.join("simulation"))
            .env("TIKTOK_SHOP_SIMULATION_SEEDS", self.seeds.to_string())
            .env_remove("TIKTOK_SHOP_SIMULATION_SEED")
            .stdout(Stdio::piped());
        if let Some(seed) = self.seed {
            command.env("TIKTOK_SHOP_SIMULATION_SEED", seed.to_string());
        }
        let mut child = command.spawn().context("can't start cargo")?;
        let stdout = child.stdout.take().context("cargo has no standard output")?;
        let mut rows = Vec::new();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            progress::say(&line);
            rows.extend(row(&line));
        }
        let held = child.wait()?.success();
        ensure!(!held || !rows.is_empty(), "the simulation printed no counts");
        rows.sort();
        let [runs, crashes, refreshes, contended, lost, reauthorizations] = COUNTS;
        let heading = ["policy", runs, crashes, refreshes, contended, lost, reauthorizations].map(str::to_owned);
        rows.insert(0, heading);
        report::print(&report::aligned(&rows))?;
        Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Reads a line such as `Strict: 1000 runs, 12 crashes, …`. Returns `None` for any other line.
fn row(line: &str) -> Option<[String; COUNTS.len() + 1]> {
    let (policy, counts) = line.split_once(": ")?;
    let mut counts = counts.split(", ");
    let mut row = [const { String::new() }; COUNTS.len() + 1];
    let (first, cells) = row.split_first_mut()?;
    policy.clone_into(first);
    for (cell, name) in cells.iter_mut().zip(COUNTS) {
        counts.next()?.strip_suffix(name)?.trim_end().clone_into(cell);
    }
    counts.next().is_none().then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_only_from_the_line_of_a_policy() {
        let line = "Strict: 5 runs, 4 crashes, 3 refreshes, 2 contended, 1 pairs lost, 0 reauthorizations";
        assert_eq!(row(line), Some(["Strict", "5", "4", "3", "2", "1", "0"].map(str::to_owned)));
        for other in ["running 5 tests", "test result: ok. 5 passed; 0 failed", "Strict: 5 runs, 4 crashes"] {
            assert_eq!(row(other), None, "{other}");
        }
    }
}
