//! `cargo xtask wit-compat` compares `wit/` with the WIT packages of earlier releases.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use xtask::{Comparison, KeptRelease};

use crate::report;

/// Compare wit/ with the kept WIT packages of earlier releases of the same minor version.
///
/// Within a minor version, only additions to the component's exports are allowed. Prints each difference. Exit status 1
/// if a change is not allowed.
#[derive(Args, Debug)]
pub(crate) struct WitCompat {}

impl WitCompat {
    #[expect(clippy::unused_self, reason = "every task has this method")]
    pub(crate) fn run(self) -> Result<ExitCode> {
        let compared = xtask::compare_with_kept_releases()?;
        report::print(&text(&compared))?;
        let fits = compared.iter().all(|(_, comparison)| comparison.problems.is_empty());
        Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(compared: &[(KeptRelease, Comparison)]) -> String {
    if compared.is_empty() {
        return "no release of this minor version is kept in tests/compatibility\n".to_owned();
    }
    let mut text = String::new();
    for (release, Comparison { problems, additions, .. }) in compared {
        let (version, problem_count, addition_count) = (&release.version, problems.len(), additions.len());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "compared with {version}: {problem_count} problems, {addition_count} additions");
        problems.iter().for_each(|problem| _ = writeln!(text, "  problem: {problem}"));
        additions.iter().for_each(|addition| _ = writeln!(text, "  addition: {addition}"));
    }
    text
}
