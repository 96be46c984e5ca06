//! One signed call, against what people use in its place: Node.js with `fetch` and `createHmac`, and Python with a
//! session of `requests` and `hmac`. All of them send the same search for orders to the same server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::sandbox::connected;
use super::{Context, Outcome, say};
use crate::figure::{Measured, number};
use crate::platform::{APP, FILTER, Platform, customer};
use crate::plot::{Axis, Line, Plot};
use crate::process::{output, program};
use crate::rounds::{Series, in_turn, median_of_calls, microseconds, on_worker, quantile, runtime, whole_machine};
use crate::server::{CIPHER, ORDERS, Server};

pub(super) const KEYS: [&str; 4] = ["call_vs_node", "call_vs_python", "call_us", "call_one_thread_vs_all"];

/// The number of calls in each round.
pub(super) const CALLS: u64 = 2_000;
/// The version of `requests` that is installed for Python.
const REQUESTS: &str = "requests==2.32.5";
/// An access token as long as the server's.
pub(super) const TOKEN: &str = "ROW_bench-access-token-of-the-usual-length-0000000000000000";
/// The numbers of calls in flight of the plot.
const IN_FLIGHT: [u64; 6] = [1, 4, 16, 64, 256, 1_024];
/// The pause of the server before each answer while several calls are in flight, in milliseconds.
pub(super) const PAUSE_MS: &str = "20";

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    let (server, all, one) = (Server::start()?, whole_machine()?, runtime(1)?);
    // Each platform has its own pool of HTTP connections, because an HTTP connection works only on the runtime that has
    // opened it.
    let [on_all, on_one] = [&all, &one].map(|runtime| connected(context, &server, runtime));
    let (on_all, on_one) = (on_all?, on_one?);
    let mut call = || median_call(&all, &on_all);
    let mut yardstick = |key, script: Result<Script>| {
        let script = match script {
            Ok(script) => script,
            Err(error) => return Ok((Measured::none(key, format!("{error:#}")), None)),
        };
        let [ours, theirs] = in_turn(context.rounds, [&mut call, &mut || script.run(&server)])?;
        let detail = format!("{} µs ÷ {} µs, {}", number(ours.median()), number(theirs.median()), script.version);
        anyhow::Ok((Measured::of_rounds(key, &ours.over(&theirs), detail), Some(ours)))
    };
    let [node_key, python_key, time_key, one_thread_key] = KEYS;
    let (node, beside_node) = yardstick(node_key, Script::node(context.folder()))?;
    let (python, beside_python) = yardstick(python_key, Script::python(context.folder()))?;
    let mut times = Series::default();
    for measured in [beside_node, beside_python].into_iter().flatten() {
        times.0.extend(measured.0);
    }
    if times.0.is_empty() {
        let [alone] = in_turn(context.rounds, [&mut call])?;
        times = alone;
    }
    let time = Measured::of_rounds(time_key, &times, "");
    let [with_one, with_all] = in_turn(context.rounds, [&mut || median_call(&one, &on_one), &mut call])?;
    let detail = format!("{} µs ÷ {} µs", number(with_one.median()), number(with_all.median()));
    let one_thread = Measured::of_rounds(one_thread_key, &with_one.over(&with_all), detail);
    Ok(Outcome { figures: vec![node, python, time, one_thread], plots: vec![latency_plot(context, &all)?] })
}

/// Makes calls one after the other, and returns the median time of a call in microseconds.
fn median_call(runtime: &Runtime, platform: &Platform) -> Result<f64> {
    let platform = platform.clone();
    on_worker(runtime, async move {
        median_of_calls(CALLS, |_| {
            let platform = platform.clone();
            async move { platform.search(&customer(0)?).await }
        })
        .await
    })
}

/// A yardstick that can be run.
pub(super) struct Script {
    program: PathBuf,
    file: PathBuf,
    pub(super) version: String,
}

impl Script {
    pub(super) fn node(folder: &Path) -> Result<Self> {
        let file = folder.join("call.mjs");
        std::fs::write(&file, include_str!("../../yardsticks/call.mjs"))?;
        let version = version("node".as_ref(), "--version").context("no Node.js on this machine")?;
        Ok(Self { program: "node".into(), file, version: format!("Node.js {version}") })
    }

    /// Installs `requests` into a virtual environment beside this program, unless it is there.
    pub(super) fn python(folder: &Path) -> Result<Self> {
        let file = folder.join("call.py");
        std::fs::write(&file, include_str!("../../yardsticks/call.py"))?;
        let version = version("python3".as_ref(), "--version").context("no Python on this machine")?;
        let beside = std::env::current_exe()?;
        let environment = beside.parent().context("a program without a folder")?.join("bench-python");
        let python = environment.join("bin").join("python");
        let has_requests = || {
            let mut import = program(&python);
            import.args(["-c", "import requests"]).stderr(std::process::Stdio::null());
            import.status().is_ok_and(|status| status.success())
        };
        if !has_requests() {
            say(&format!("installing {REQUESTS} for Python"));
            let mut create = program("python3");
            create.args(["-m", "venv"]).arg(&environment);
            output(create).context("can't create a virtual environment")?;
            let mut install = program(&python);
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUESTS]);
            output(install).with_context(|| format!("can't install {REQUESTS}"))?;
        }
        Ok(Self { program: python, file, version: format!("{version}, {REQUESTS}") })
    }

    /// Returns the median time of a call, in microseconds.
    pub(super) fn run(&self, server: &Server) -> Result<f64> {
        let (app_key, app_secret) = APP;
        let base = format!("http://{}", server.address());
        let mut command = program(&self.program);
        command.arg(&self.file).args([&base, app_key, app_secret, TOKEN, CIPHER, ORDERS, FILTER, &CALLS.to_string()]);
        let text = String::from_utf8(output(command)?)?;
        text.trim().parse().with_context(|| format!("{} printed no number", self.file.display()))
    }
}

/// Returns the first line that a program prints with this argument.
pub(super) fn version(name: &Path, argument: &str) -> Result<String> {
    let mut command = program(name);
    command.arg(OsString::from(argument));
    let text = String::from_utf8(output(command)?)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Measures the latency of calls while others are in flight. The server pauses before each answer, as a real one does.
fn latency_plot(context: &Context, runtime: &Runtime) -> Result<Plot> {
    let server = Server::with(&["--delay-ms", PAUSE_MS])?;
    let platform = {
        let _guard = runtime.enter();
        let mut parts = context.parts(&server)?;
        parts.limits.concurrent_calls = 1_024;
        parts.build()?
    };
    let first = platform.clone();
    on_worker(runtime, async move { first.connect(&customer(0)?).await.map(drop) })?;
    let (mut medians, mut slowest) = (Vec::new(), Vec::new());
    for in_flight in IN_FLIGHT {
        latencies(runtime, &platform, in_flight)?;
        let times = latencies(runtime, &platform, in_flight)?;
        let at = |percent| microseconds(quantile(&times, percent)) / 1000.0;
        medians.push((in_flight as f64, at(50)));
        slowest.push((in_flight as f64, at(99)));
    }
    Ok(Plot {
        name: "latency-against-calls-in-flight",
        title: "one signed call: latency against calls in flight, upstream answers after 20 ms",
        x: Axis::logarithmic("calls in flight"),
        y: Axis::linear("milliseconds"),
        lines: vec![Line { name: "p50", points: medians }, Line { name: "p99", points: slowest }],
    })
}

/// Makes `in_flight` calls at the same time, each of them 4 to 200 times, and returns their times in ascending order.
fn latencies(runtime: &Runtime, platform: &Platform, in_flight: u64) -> Result<Vec<std::time::Duration>> {
    let calls_each = (CALLS / in_flight).clamp(4, 200);
    let platform = platform.clone();
    runtime.block_on(async move {
        let callers: JoinSet<Result<Vec<_>>> = (0..in_flight)
            .map(|_| {
                let platform = platform.clone();
                async move {
                    let mut times = Vec::new();
                    for _ in 0..calls_each {
                        let began = Instant::now();
                        platform.search(&customer(0)?).await?;
                        times.push(began.elapsed());
                    }
                    Ok(times)
                }
            })
            .collect();
        let times: Vec<_> = callers.join_all().await.into_iter().collect::<Result<_>>()?;
        let mut times = times.concat();
        times.sort_unstable();
        Ok(times)
    })
}
