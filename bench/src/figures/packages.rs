//! Measures the packages for Node.js and for Python, and compares them with the code that people use without them. Each
//! package is installed from the file that would be published, into an empty folder or an empty virtual environment. A
//! process of its own uses the package, and waits between the rounds.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result};
use clap::Args;

use super::yardsticks::{CALLS, PAUSE_MS, Script, version};
use super::{Context, Outcome, say};
use crate::figure::{Measured, number};
use crate::platform::{APP, FILTER};
use crate::process::{Background, output, program};
use crate::rounds::in_turn;
use crate::server::{ORDERS, Server};

pub(super) const NODE: [&str; 2] = ["node_package_call_vs_fetch", "node_package_event_loop_p99_ms"];
pub(super) const PYTHON: [&str; 3] =
    ["python_package_call_vs_requests", "python_package_blocking_call_vs_requests", "python_package_event_loop_p99_ms"];

/// The number of calls in flight while the event loop is watched.
const IN_FLIGHT: u64 = 64;
/// The number of calls in each round in which the event loop is watched.
const WATCHED_CALLS: u64 = 10_000;

#[derive(Args, Debug, Default)]
pub(crate) struct Packages {
    /// Archive of the package for Node.js, which `npm pack` makes. Without it, this package is not measured.
    #[arg(long, value_name = "FILE")]
    node_package: Option<PathBuf>,
    /// Why there is no package for Node.js. The figures show this text.
    #[arg(long, value_name = "TEXT", hide = true)]
    no_node_package: Option<String>,
    /// Wheel of the package for Python, which maturin makes. Without it, this package is not measured.
    #[arg(long, value_name = "FILE")]
    python_package: Option<PathBuf>,
    /// Why there is no package for Python. The figures show this text.
    #[arg(long, value_name = "TEXT", hide = true)]
    no_python_package: Option<String>,
}

impl Packages {
    fn node(&self) -> Result<&Path> {
        let why = || self.no_node_package.as_deref().unwrap_or("pass --node-package FILE, as cargo xtask bench does");
        self.node_package.as_deref().ok_or_else(|| Error::msg(why().to_owned()))
    }

    fn python(&self) -> Result<&Path> {
        let why =
            || self.no_python_package.as_deref().unwrap_or("pass --python-package FILE, as cargo xtask bench does");
        self.python_package.as_deref().ok_or_else(|| Error::msg(why().to_owned()))
    }
}

pub(super) fn measure_node(context: &Context) -> Result<Outcome> {
    let [call, late] = NODE;
    measure(context, &[(call, "call")], late, Installed::node(context), || Script::node(context.folder()))
}

pub(super) fn measure_python(context: &Context) -> Result<Outcome> {
    let [call, blocking_call, late] = PYTHON;
    let calls = [(call, "call"), (blocking_call, "blocking-call")];
    measure(context, &calls, late, Installed::python(context), || Script::python(context.folder()))
}

/// Measures calls and the event loop. Each element of `calls` is the key of a figure, and the word that says to the script
/// which kind of call to make.
fn measure(
    context: &Context,
    calls: &[(&'static str, &str)],
    late_key: &'static str,
    package: Result<Installed>,
    script: impl FnOnce() -> Result<Script>,
) -> Result<Outcome> {
    let keys = calls.iter().map(|(key, _)| *key);
    let package = match package {
        Ok(package) => package,
        Err(why) => {
            let missing = keys.chain([late_key]).map(|key| Measured::none(key, format!("{why:#}")));
            return Ok(missing.collect::<Vec<_>>().into());
        }
    };
    let mut figures = match script() {
        Ok(script) => measure_calls(context, calls, &package, &script)?,
        Err(why) => keys.map(|key| Measured::none(key, format!("{why:#}"))).collect(),
    };
    figures.push(measure_event_loop(context, late_key, &package)?);
    Ok(figures.into())
}

fn measure_calls(
    context: &Context,
    calls: &[(&'static str, &str)],
    package: &Installed,
    script: &Script,
) -> Result<Vec<Measured>> {
    let server = Server::start()?;
    let mut host = package.open(&server)?;
    let [nothing] = in_turn(context.rounds, [&mut || host.measure(&format!("nothing {CALLS}"))])?;
    let mut figures = Vec::new();
    for (key, kind) in calls {
        let mut ours = || host.measure(&format!("{kind} {CALLS}"));
        let [ours, theirs] = in_turn(context.rounds, [&mut ours, &mut || script.run(&server)])?;
        let mut detail = format!("{} µs ÷ {} µs, {}", number(ours.median()), number(theirs.median()), script.version);
        if *kind == "call" {
            detail += &format!("; a request that does nothing takes {} µs", number(nothing.median()));
        }
        figures.push(Measured::of_rounds(key, &ours.over(&theirs), detail));
    }
    Ok(figures)
}

fn measure_event_loop(context: &Context, key: &'static str, package: &Installed) -> Result<Measured> {
    let server = Server::with(&["--delay-ms", PAUSE_MS])?;
    let mut host = package.open(&server)?;
    let mut late = || host.measure(&format!("event-loop {WATCHED_CALLS} {IN_FLIGHT}"));
    let [late] = in_turn(context.rounds, [&mut late])?;
    let detail = format!("{IN_FLIGHT} calls in flight, upstream answers after {PAUSE_MS} ms; {}", package.version);
    Ok(Measured::of_rounds(key, &late, detail))
}

/// A package that is installed.
struct Installed {
    /// The program that runs the script.
    program: PathBuf,
    /// The script that uses the package.
    script: PathBuf,
    /// The name and the version of the language.
    version: String,
}

impl Installed {
    /// Installs the archive into an empty folder.
    fn node(context: &Context) -> Result<Self> {
        let version = version("node".as_ref(), "--version").context("no Node.js on this machine")?;
        let archive = context.packages.node()?;
        let folder = context.folder().join("node-package");
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("package.json"), r#"{ "private": true, "type": "module" }"#)?;
        let script = folder.join("measure.mjs");
        std::fs::write(&script, include_str!("../../../host-harness/node/scripts/measure.mjs"))?;
        say("installing the package for Node.js");
        let mut install = program("npm");
        // Without the network, npm fails if the package depends on another package. It must depend on none.
        install.current_dir(folder).args(["install", "--silent", "--no-audit", "--no-fund", "--offline"]).arg(archive);
        output(install).context("npm can't install the package")?;
        Ok(Self { program: "node".into(), script, version: format!("Node.js {version}") })
    }

    /// Installs the wheel into an empty virtual environment.
    fn python(context: &Context) -> Result<Self> {
        let version = version("python3".as_ref(), "--version").context("no Python on this machine")?;
        let wheel = context.packages.python()?;
        let folder = context.folder().join("python-package");
        say("installing the package for Python");
        let mut create = program("python3");
        create.args(["-m", "venv"]).arg(&folder);
        output(create).context("can't create a virtual environment")?;
        let python = folder.join("bin").join("python");
        let mut install = program(&python);
        // Without an index, pip fails if the wheel depends on another package. It must depend on none.
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]).arg(wheel);
        output(install).context("pip can't install the package")?;
        let script = folder.join("measure.py");
        std::fs::write(&script, include_str!("../../../host-harness/python/scripts/measure.py"))?;
        Ok(Self { program: python, script, version })
    }

    /// Starts a process that opens a host, and connects a customer with this server.
    fn open(&self, server: &Server) -> Result<OpenHost> {
        let (app_key, app_secret) = APP;
        let mut command = program(&self.program);
        let base = format!("http://{}", server.address());
        command.arg(&self.script).args([&base, app_key, app_secret, ORDERS, FILTER]);
        let (process, _ready) = Background::start::<String>(command)?;
        Ok(OpenHost(process))
    }
}

/// A process that has opened a host with a package.
struct OpenHost(Background);

impl OpenHost {
    /// Runs one round, and returns its result. `what` is the line that says to the script which round to run.
    fn measure(&mut self, what: &str) -> Result<f64> {
        let answer = self.0.ask(what)?;
        answer.trim().parse().with_context(|| format!("{what}: the script printed no number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_why_its_package_is_missing() {
        let packages = Packages { no_node_package: Some("no npm on this machine".to_owned()), ..Packages::default() };
        let whys = [packages.node(), packages.python()].map(|package| package.unwrap_err().to_string());
        assert_eq!(whys, ["no npm on this machine", "pass --python-package FILE, as cargo xtask bench does"]);

        let folder = tempfile::tempdir().unwrap();
        let context = Context {
            component: PathBuf::new(),
            rounds: 1,
            scale: 100,
            postgres: None,
            program: None,
            packages,
            folder,
        };
        let why = Err(Error::msg("no npm on this machine"));
        let [call, late] = NODE;
        let outcome =
            measure(&context, &[(call, "call")], late, why, || Err(Error::msg("no script is needed"))).unwrap();
        for (figure, key) in outcome.figures.iter().zip(NODE) {
            assert_eq!((figure.key, figure.value), (key, None));
            assert_eq!(figure.detail, "not measured: no npm on this machine");
        }
    }
}
