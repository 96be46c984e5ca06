//! `cargo xtask keep-release` keeps the component and the WIT package of a release in `tests/compatibility`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::{progress, report};

/// Build the component and keep it with its WIT package, so that later releases are tested against it.
///
/// Writes tests/compatibility/VERSION. VERSION is the version of the WIT package. Run it when a release is made, and commit
/// the folder.
#[derive(Args, Debug)]
pub(crate) struct KeepRelease {
    /// Replace the kept files of this version. Use this only before the version is published.
    #[arg(long)]
    replace: bool,
}

impl KeepRelease {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let packages = xtask::component_package_count();
        let component = progress::show("Building the component", packages, xtask::build_component)?;
        let checked = xtask::check(&component.bytes)?;
        if !checked.problems.is_empty() {
            bail!("the component does not fit world `plugin`: {}", checked.problems.join("; "));
        }
        let release = xtask::keep_release(&component.bytes, self.replace)?;
        report::print(&format!("kept {} in {}\n", release.version, release.folder.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
