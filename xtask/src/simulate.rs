//! `cargo xtask simulate` plays random histories of the refresh protocol, or connections over many years.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use xtask::Optimisation;

use crate::losses::Losses;
use crate::{executable, progress, report};

/// The program that plays the histories with the component.
const COMPONENT_SIMULATION: &str = "tiktok-shop-component-simulation";

/// Simulate many machines whose calls interleave, crash and lose answers. Makes many more runs than `cargo test`.
///
/// The simulation is compiled with optimisation, in a target folder of its own. Prints how often crashes, refreshes and
/// so on happened under each policy of TikTok's token host. Exit status 1 if a run broke a law of the protocol. The
/// seed and the history of that run are then printed.
///
/// With --component, each run is also played with the shipped component, which takes about 15 ms. Exit status 1 if a
/// line of the two histories differs, or if they store something else.
///
/// With `--years`, prints how many connections are lost in a million connection-years, for this connector and for other
/// strategies of keeping tokens. docs/losses.md explains the numbers.
#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Number of runs for each policy. The default is 100 000, and 500 with --component.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Run only this seed, under each policy.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Play each run with the shipped component, too, and compare the two histories.
    #[arg(long)]
    component: bool,
    /// Write transcripts of the runs into this folder: what crosses the boundary between component and host. Removes
    /// the transcripts of earlier runs from the folder. tests/component-simulation/README.md describes transcripts.
    #[arg(long, value_name = "FOLDER", requires = "component")]
    transcripts: Option<PathBuf>,
    /// Play this many connection-years for each policy and strategy. 1000000 take about eight minutes.
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "seed", "component"])]
    #[arg(value_parser = clap::value_parser!(u64).range(1_000..))]
    years: Option<u64>,
    /// Print the lost connections as JSON.
    #[arg(long, requires = "years")]
    json: bool,
    /// Write the lost connections into docs/losses.md, and the plot beside it.
    #[arg(long, requires = "years")]
    write_page: bool,
}

/// The simulation prints one line for each policy. These are the names of the counts in such a line.
const COUNTS: [&str; 6] = ["runs", "crashes", "refreshes", "contended", "pairs lost", "reauthorizations"];

impl Simulate {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.years {
            Some(years) => self.play_years(years),
            None => self.play_histories(),
        }
    }

    fn play_histories(&self) -> Result<ExitCode> {
        let command = if self.component { self.of_component()? } else { self.of_core()? };
        let mut rows = Vec::new();
        let held = run(command, |line| {
            progress::say(line);
            rows.extend(row(line));
            Ok(())
        })?;
        ensure!(!held || !rows.is_empty(), "the simulation printed no counts");
        rows.sort();
        let [runs, crashes, refreshes, contended, lost, reauthorizations] = COUNTS;
        let heading = ["policy", runs, crashes, refreshes, contended, lost, reauthorizations].map(str::to_owned);
        rows.insert(0, heading);
        report::print(&report::aligned(&rows))?;
        Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn of_core(&self) -> Result<Command> {
        let mut command = simulation("no_token_is_lost")?;
        command.env("TIKTOK_SHOP_SIMULATION_SEEDS", self.seeds.unwrap_or(100_000).to_string());
        if let Some(seed) = self.seed {
            command.env("TIKTOK_SHOP_SIMULATION_SEED", seed.to_string());
        }
        Ok(command)
    }

    /// Builds the component and the program that plays with it. The program is the same as in a build of the tests,
    /// because almost all of its time is spent in the component, which is always optimised.
    fn of_component(&self) -> Result<Command> {
        progress::show("Building the component", xtask::component_package_count(), xtask::build_component)?;
        let name = COMPONENT_SIMULATION;
        let (mut command, _) =
            executable::build("Building the simulation", name, name, Optimisation::OnlySlowPackages)?;
        let number = |option: &str, value: u64| [option.into(), value.to_string().into()];
        command.args::<_, OsString>(match self.seed {
            Some(seed) => number("--seed", seed),
            None => number("--seeds", self.seeds.unwrap_or(500)),
        });
        if let Some(folder) = &self.transcripts {
            command.arg("--transcripts").arg(folder);
        }
        Ok(command)
    }

    fn play_years(&self, years: u64) -> Result<ExitCode> {
        let mut command = simulation("strategies_are_compared")?;
        command.env("TIKTOK_SHOP_SIMULATION_YEARS", years.to_string());
        let mut losses = Losses::default();
        let played = run(command, |line| {
            if let Some(summary) = losses.read(line)? {
                progress::say(&summary);
            }
            Ok(())
        })?;
        ensure!(played, "the simulation failed");
        ensure!(losses.is_complete(), "the simulation has not printed all results");
        if self.write_page {
            let docs = xtask::workspace_root().join("docs");
            losses.write(&docs, &format!("cargo xtask simulate --years {years} --write-page"))?;
        }
        report::print(&if self.json { losses.json()? } else { losses.text() })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the command that runs the tests of the simulation whose names contain this text.
fn simulation(tests: &str) -> Result<Command> {
    let mut command = xtask::cargo();
    command
        .args(["test", "--locked", "--release", "--package", "tiktok-shop-connector-core", "--test", "simulation"])
        .args(["--", "--nocapture", tests])
        .env("CARGO_TARGET_DIR", xtask::target_directory()?.join("simulation"));
    for variable in ["SEEDS", "SEED", "YEARS"] {
        command.env_remove(format!("TIKTOK_SHOP_SIMULATION_{variable}"));
    }
    Ok(command)
}

/// Runs the simulation, and passes on each line that it prints. Returns whether it succeeded.
fn run(mut command: Command, mut printed: impl FnMut(&str) -> Result<()>) -> Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("can't start the simulation")?;
    let stdout = child.stdout.take().context("the simulation has no standard output")?;
    for line in BufReader::new(stdout).lines() {
        printed(&line?)?;
    }
    Ok(child.wait()?.success())
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
