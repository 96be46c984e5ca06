//! `cargo xtask kill-points`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::progress;

const PACKAGE: &str = "tiktok-shop-kill-points";

/// Kill the connector's calls at every crossing between guest and host, as crashes would, and show what becomes of the
/// connections: for each operation and each policy of TikTok Shop for a refresh token that it has replaced, or under one
/// policy where none is replaced.
///
/// Takes some minutes; `cargo test` runs a short form. Exit status 1 if a kill left what must not be.
#[derive(Args, Debug)]
pub(crate) struct KillPoints {
    /// Print one JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

impl KillPoints {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let packages = xtask::component_package_count();
        progress::show("Building the component", packages, xtask::build_component)?;
        crate::run_executable("Building the kills", PACKAGE, self.json.then_some("--json"))
    }
}
