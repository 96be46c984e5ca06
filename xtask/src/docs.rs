//! `cargo xtask docs`

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::errors_page;

/// Write the pages that are made of the sources: docs/errors.md.
///
/// A test fails while a page is not what this would write.
#[derive(Args, Debug)]
pub(crate) struct Docs {}

impl Docs {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let path = xtask::workspace_root().join(errors_page::PATH);
        fs::write(&path, errors_page::page()?).with_context(|| path.display().to_string())?;
        crate::print(&format!("{}\n", errors_page::PATH))?;
        Ok(ExitCode::SUCCESS)
    }
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
