//! `cargo xtask demo` shows the life of a connection against the fake TikTok Shop.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use xtask::Optimisation;

use crate::{executable, progress};

const PACKAGE: &str = "tiktok-shop-demo";
/// The package of the program that the demo starts as a second process.
const HARNESS_PACKAGE: &str = "tiktok-shop-harness";
const HARNESS: &str = "tiktok-shop-harness";

/// Build the component and the demo, then run the demo against the fake TikTok Shop.
///
/// The first run compiles wasmtime, which takes minutes. Later runs start at once. The exit status is the demo's.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// The demo's own options. `cargo xtask demo -- --help` lists these options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let packages = xtask::component_package_count();
        let component = progress::show("Building the component", packages, xtask::build_component)?;
        let (_, harness) =
            executable::build("Building the command line", HARNESS_PACKAGE, HARNESS, Optimisation::OnlySlowPackages)?;
        let programs = [OsString::from("--component"), component.path.into(), "--harness".into(), harness.into()];
        executable::run(
            "Building the demo",
            PACKAGE,
            Optimisation::OnlySlowPackages,
            programs.into_iter().chain(self.arguments),
        )
    }
}
