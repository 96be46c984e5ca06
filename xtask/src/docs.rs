//! `cargo xtask docs` writes the generated pages of the documentation.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use xtask::Optimisation;

use crate::{errors_page, executable, file_map, report};

/// Write the generated pages: docs/errors.md, docs/command-line.md and the list of files in CONTRIBUTING.md.
///
/// docs/command-line.md is written from the help texts of the program tiktok-shop-harness, which is built first. A test
/// fails while a page is out of date.
#[derive(Args, Debug)]
pub(crate) struct Docs {}

/// The page that the program tiktok-shop-harness prints.
const COMMAND_LINE: &str = "docs/command-line.md";

impl Docs {
    pub(crate) fn run(self) -> Result<ExitCode> {
        write(errors_page::PATH, errors_page::page()?.as_bytes())?;
        write(file_map::PATH, file_map::page()?.as_bytes())?;
        let (mut program, path) = executable::build(
            "Building the program",
            "tiktok-shop-harness",
            "tiktok-shop-harness",
            Optimisation::OnlySlowPackages,
        )?;
        let printed = program.arg("documentation").output();
        let printed = printed.with_context(|| format!("can't start {}", path.display()))?;
        ensure!(printed.status.success(), "{} documentation: {}", path.display(), printed.status);
        write(COMMAND_LINE, &printed.stdout)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a page to its file, and prints the path of the page.
fn write(page: &str, text: &[u8]) -> Result<()> {
    let path = xtask::workspace_root().join(page);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    report::print(&format!("{page}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_page_is_up_to_date() {
        let written = fs::read_to_string(xtask::workspace_root().join(errors_page::PATH)).unwrap_or_default();
        assert!(written == errors_page::page().unwrap(), "{} is not up to date: cargo xtask docs", errors_page::PATH);
    }
}
