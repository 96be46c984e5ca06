//! `cargo xtask demo`

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::progress;

const PACKAGE: &str = "tiktok-shop-demo";

/// Build the component and the demo, then run the demo against the fake TikTok Shop.
///
/// The first run compiles wasmtime and takes minutes; later ones start at once. The exit status is the demo's.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Passed on to the demo; `cargo xtask demo -- --help` lists what it takes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let packages = xtask::component_package_count();
        let component = progress::show("Building the component", packages, xtask::build_component)?;
        let packages = xtask::executable_package_count(PACKAGE);
        let demo = progress::show("Building the demo", packages, |report| xtask::build_executable(PACKAGE, report))?;

        #[expect(clippy::disallowed_methods, reason = "the demo is a program of its own: it links wasmtime")]
        let mut command = Command::new(&demo);
        command.arg("--component").arg(&component.path).args(self.arguments);
        let status = command.status().with_context(|| format!("can't start {}", demo.display()))?;
        // A demo that a signal ended has no code.
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
