//! The program behind `cargo xtask simulate --component`.
#![allow(clippy::print_stdout, reason = "`cargo xtask simulate` reads the counts")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use tiktok_shop_component_simulation::{Component, compare};
use tiktok_shop_simulation::{Policy, Seen};

/// Play the histories of the simulation with the shipped component, and compare them with the histories of the native
/// core.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of runs for each policy.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Run only this seed, under each policy.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Write the transcripts of the runs into this folder, and remove all other transcripts from it.
    #[arg(long, value_name = "FOLDER")]
    transcripts: Option<PathBuf>,
}

fn main() -> ExitCode {
    match play(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, the error cannot be shown.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(Arguments { seeds, seed, transcripts }: Arguments) -> Result<()> {
    let seeds = seed.map_or(0..seeds, |seed| seed..seed + 1);
    let component = Component::new().map_err(|error| anyhow!("{error:#}"))?;
    if let Some(folder) = &transcripts {
        fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                fs::remove_file(path)?;
            }
        }
    }
    // Most histories are the same under several policies.
    let mut written = BTreeSet::new();
    for policy in Policy::ALL {
        let mut seen = Seen::default();
        for seed in seeds.clone() {
            let Some(folder) = &transcripts else {
                seen.add(&compare(&component, seed, policy)?);
                continue;
            };
            let (component, transcript) = component.recorded();
            seen.add(&compare(&component, seed, policy)?);
            let text = transcript.text();
            if !written.contains(&text) {
                fs::write(folder.join(format!("{seed}-{policy:?}.jsonl")), &text)?;
                written.insert(text);
            }
        }
        println!("{policy:?}: {} runs, {seen}", seeds.end - seeds.start);
    }
    Ok(())
}
