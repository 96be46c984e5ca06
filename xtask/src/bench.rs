//! `cargo xtask bench` and `cargo xtask soak` build and run the measurements.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use xtask::Optimisation;

use crate::{executable, packages, progress};

/// Build the component, the bench and the packages, then measure speed and cost.
///
/// Compiles the host with the profile of production; the first time, this takes some minutes. Makes the packages for
/// Node.js and for Python, unless `--only` chooses no figure of them. Then measures all figures in about half an hour,
/// and prints a table. A bar that is not met is not an error.
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
        let component = build_component()?;
        // The figures about the service measure this program.
        let (_, program) = executable::build("Building the program", package, package, optimisation)?;
        let mut arguments = vec![OsString::from("--program"), program.into()];
        if measures("node_package", &self.arguments) {
            match packages::check_node() {
                Ok(()) => arguments.extend(["--node-package".into(), packages::node()?.into()]),
                Err(why) => arguments.extend(["--no-node-package".into(), format!("{why:#}").into()]),
            }
        }
        if measures("python_package", &self.arguments) {
            match packages::Maturin::install() {
                Ok(maturin) => arguments.extend(["--python-package".into(), maturin.wheel()?.into()]),
                Err(why) => arguments.extend(["--no-python-package".into(), format!("{why:#}").into()]),
            }
        }
        arguments.extend(self.arguments);
        run(optimisation, &component, None, arguments)
    }
}

/// Returns whether the bench, with these arguments, measures a figure whose key begins with `beginning`. If not, the
/// task builds no package for these figures.
fn measures(beginning: &str, arguments: &[OsString]) -> bool {
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    if texts.first().is_some_and(|first| !first.starts_with('-')) {
        // The first argument is a command of the bench, for example `round-trips`, which measures no figure.
        return false;
    }
    let Some(only) = texts.iter().position(|text| *text == "--only" || text.starts_with("--only=")) else {
        return true;
    };
    texts.iter().skip(only).flat_map(|text| text.trim_start_matches("--only=").split(',')).any(|choice| {
        let chosen = choice.trim_end_matches('*');
        chosen.starts_with(beginning) || (choice.ends_with('*') && beginning.starts_with(chosen))
    })
}

impl Soak {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let optimisation = if self.dev { Optimisation::OnlySlowPackages } else { Optimisation::Everything };
        run(optimisation, &build_component()?, Some("soak"), self.arguments)
    }
}

fn build_component() -> Result<PathBuf> {
    let packages = xtask::component_package_count();
    Ok(progress::show("Building the component", packages, xtask::build_component)?.path)
}

fn run(
    optimisation: Optimisation,
    component: &Path,
    command: Option<&str>,
    arguments: Vec<OsString>,
) -> Result<ExitCode> {
    let component = [OsString::from("--component"), component.into()].into_iter();
    let arguments = component.chain(command.map(OsString::from)).chain(arguments);
    executable::run("Building the bench", "tiktok-shop-bench", optimisation, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_built_only_if_one_of_its_figures_is_chosen() {
        let measured = |arguments: &str| {
            let arguments: Vec<_> = arguments.split_whitespace().map(OsString::from).collect();
            ["node_package", "python_package"].map(|beginning| measures(beginning, &arguments))
        };
        for (arguments, expected) in [
            ("", [true, true]),
            ("--json --rounds 3", [true, true]),
            ("round-trips", [false, false]),
            ("--only call_us first_call_vs_node_start", [false, false]),
            ("--only scale_* --rounds 3", [false, false]),
            ("--only node_package_call_vs_fetch", [true, false]),
            ("--rounds 3 --only call_us,python_package_*", [false, true]),
            ("--only python_package_blocking_call_vs_requests", [false, true]),
            ("--only=node_*", [true, false]),
            ("--only *", [true, true]),
        ] {
            assert_eq!(measured(arguments), expected, "{arguments}");
        }
    }
}
