//! `cargo xtask kill-points` kills calls at every boundary event, and shows the state of the connections afterwards.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use xtask::Optimisation;

use crate::{executable, progress};

const PACKAGE: &str = "tiktok-shop-kill-points";

/// Kill calls at every boundary event, and show the state of the connections afterwards.
///
/// A kill ends a call in the same way as a crash of its process. A boundary event is a call of the guest to the host,
/// or the return from such a call. Prints the outcomes for each operation. If an operation, or the check after it,
/// replaces a refresh token, the operation is tried under each policy that TikTok Shop may have for replaced refresh
/// tokens. Any other operation is tried under one policy. Takes some minutes. `cargo test` runs a short form. Exit
/// status 1 if a connection is in a state that a crash must not cause.
#[derive(Args, Debug)]
pub(crate) struct KillPoints {
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

impl KillPoints {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let packages = xtask::component_package_count();
        progress::show("Building the component", packages, xtask::build_component)?;
        executable::run("Building the kills", PACKAGE, Optimisation::OnlySlowPackages, self.json.then_some("--json"))
    }
}
