//! `cargo xtask bench` builds and runs the benchmarks.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use xtask::Optimisation;

use crate::{executable, progress};

/// Build the component and the benchmarks, then run one benchmark.
///
/// Compiles the benchmarks with the profile of production; the first time, this takes some minutes. Prints the
/// measurements. Slow results are not an error.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// The benchmark and its options, for example `webhooks --json`. `cargo xtask bench -- --help` lists the benchmarks
    /// and their options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let packages = xtask::component_package_count();
        let component = progress::show("Building the component", packages, xtask::build_component)?;
        let arguments = [OsString::from("--component"), component.path.into()].into_iter().chain(self.arguments);
        executable::run("Building the benchmarks", "tiktok-shop-bench", Optimisation::Everything, arguments)
    }
}
