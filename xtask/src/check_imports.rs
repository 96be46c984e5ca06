//! `cargo xtask check-imports` compares components with the world `plugin`, and prints a table of their imports and
//! exports. `cargo xtask dist` prints the same table.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use xtask::{Checked, Extern};

use crate::report;

/// Check that components import only what world `plugin` allows, and export everything that the world requires.
///
/// Prints the imports and exports of each component. Exit status 1 if a component does not fit the world.
#[derive(Args, Debug)]
pub(crate) struct CheckImports {
    /// The component files (`.wasm`) to check, for example from another build.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl CheckImports {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut fits = true;
        for file in &self.files {
            let name = file.display();
            let component = fs::read(file).with_context(|| format!("can't read {name}"))?;
            let checked = xtask::check(&component).with_context(|| format!("can't check {name}"))?;
            report::print(&format!("{name}\n{}{}", table(&checked), problems(&checked)))?;
            fits &= checked.problems.is_empty();
        }
        Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Formats the imports and exports, one line each.
pub(crate) fn table(checked: &Checked) -> String {
    let all = || checked.imports.iter().chain(&checked.exports);
    let name_width = all().map(|item| item.name.len()).max().unwrap_or_default();
    let version_width = all().map(|item| version(item).len()).max().unwrap_or_default();

    let mut table = String::new();
    let kinds = checked.imports.iter().map(|item| ("import", item));
    for (kind, item) in kinds.chain(checked.exports.iter().map(|item| ("export", item))) {
        let functions = match item.functions {
            0 => "types only".to_owned(),
            1 => "1 function".to_owned(),
            many => format!("{many} functions"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "  {kind}  {:name_width$}  {:version_width$}  {functions}", item.name, version(item));
    }
    table
}

/// Formats the problems, one line each.
pub(crate) fn problems(checked: &Checked) -> String {
    checked.problems.iter().map(|problem| format!("  problem: {problem}\n")).collect()
}

fn version(item: &Extern) -> &str {
    item.version.as_deref().unwrap_or("-")
}
