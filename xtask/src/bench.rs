//! `cargo xtask bench` and `cargo xtask soak` build and run the measurements.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use xtask::Optimisation;

use crate::{executable, progress};

/// Build the component and the bench, then measure speed and cost.
///
/// Compiles the host with the profile of production; the first time, this takes some minutes. Then measures all figures
/// in about half an hour, and prints a table. A bar that is not met is not an error.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// The options of the bench, for example `--only call_vs_node call_vs_python`, `--scale 10000`, `--json` or
    /// `--write-page`. `cargo xtask bench -- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

/// Build the component and the bench, then keep a steady load with faults for ten minutes, and check that nothing
/// grows.
///
/// Exit status 1 if memory, open files or stored rows grew, if an instance of the host is not free, or if the number of
/// failed calls is not the number of faults.
#[derive(Args, Debug)]
pub(crate) struct Soak {
    /// Compile the host as for tests, which takes less time. CI does this.
    #[arg(long)]
    dev: bool,
    /// The options of the soak, for example `--minutes 60`, `--seconds 20`, `--rate 50` or `--json`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (package, optimisation) = ("tiktok-shop-harness", Optimisation::Everything);
        // The figures about the service measure this program.
        let (_, program) = executable::build("Building the program", package, package, optimisation)?;
        let arguments = [OsString::from("--program"), program.into()].into_iter().chain(self.arguments);
        run(optimisation, None, arguments.collect())
    }
}

impl Soak {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let optimisation = if self.dev { Optimisation::OnlySlowPackages } else { Optimisation::Everything };
        run(optimisation, Some("soak"), self.arguments)
    }
}

fn run(optimisation: Optimisation, command: Option<&str>, arguments: Vec<OsString>) -> Result<ExitCode> {
    let packages = xtask::component_package_count();
    let component = progress::show("Building the component", packages, xtask::build_component)?;
    let component = [OsString::from("--component"), component.path.into()].into_iter();
    let arguments = component.chain(command.map(OsString::from)).chain(arguments);
    executable::run("Building the bench", "tiktok-shop-bench", optimisation, arguments)
}
