//! `cargo xtask docs`

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::errors_page;

/// Write the pages that are made of the sources: docs/errors.md and docs/command-line.md.
///
/// The second is what the program tiktok-shop-harness prints of itself, so it is built for that. A test fails while a
/// page is not what this would write.
#[derive(Args, Debug)]
pub(crate) struct Docs {}

/// What the program says of itself.
const COMMAND_LINE: &str = "docs/command-line.md";

impl Docs {
    pub(crate) fn run(self) -> Result<ExitCode> {
        write(errors_page::PATH, errors_page::page()?.as_bytes())?;
        let (mut program, path) =
            crate::executable("Building the program", "tiktok-shop-harness", "tiktok-shop-harness")?;
        let printed = program.arg("documentation").output();
        let printed = printed.with_context(|| format!("can't start {}", path.display()))?;
        ensure!(printed.status.success(), "{} documentation: {}", path.display(), printed.status);
        write(COMMAND_LINE, &printed.stdout)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a page, and its name.
fn write(page: &str, text: &[u8]) -> Result<()> {
    let path = xtask::workspace_root().join(page);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    crate::print(&format!("{page}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_errors_is_up_to_date() {
        let written = fs::read_to_string(xtask::workspace_root().join(errors_page::PATH)).unwrap_or_default();
        assert!(written == errors_page::page().unwrap(), "{} is not up to date: cargo xtask docs", errors_page::PATH);
    }
}
