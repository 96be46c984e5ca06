//! Runs the program `tiktok-shop-harness` as its users do. No expected value is computed with the connector's own code:
//! the expected signatures are published ones, or Python's `hmac` computed them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod apps;
mod arguments;
mod configuration;
mod documentation;
mod examples;
mod export;
mod fixtures;
mod gate;
mod getting_started;
mod help;
mod import;
mod json;
mod key_roll_out;
mod key_service;
mod keys;
mod left_out;
mod life;
mod malformed;
mod mistakes;
mod opening;
mod output;
mod pooler;
mod probe;
mod proxy;
mod restore;
mod schema;
mod secret_files;
mod service;
mod settings;
mod shells;
mod sign;
mod signals;
mod stage;
mod statuses;
mod sweep;
mod targets;
mod telemetry;
mod unusable;
mod verify_webhook;

use std::ffi::OsStr;
use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tiktok-shop-harness");
const REQUESTS: &str = include_str!("../../../../connector-core/tests/vectors/request-signing.json");
const WEBHOOKS: &str = include_str!("../../../../connector-core/tests/vectors/webhook-signing.json");

/// The exit status and the output of a program.
#[derive(Debug, PartialEq)]
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Returns a command whose colours do not depend on the environment of the tests.
fn command(program: impl AsRef<OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the subject is the program")]
    let mut command = Command::new(program);
    for name in ["CLICOLOR", "CLICOLOR_FORCE", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// Returns a command that runs the program with these arguments, which are separated by spaces.
fn harness(arguments: &str) -> Command {
    let mut command = command(PROGRAM);
    command.args(arguments.split_whitespace());
    command
}

/// Runs a command with this standard input. The output of the command must be UTF-8.
fn run(command: Command, input: impl AsRef<[u8]>) -> Run {
    let output = output_of(command, input);
    Run {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command with this standard input, and returns its output as bytes.
fn output_of(mut command: Command, input: impl AsRef<[u8]>) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let written = child.stdin.take().unwrap().write_all(input.as_ref());
    // A command that reads no input may already have ended. In this case, the pipe is broken.
    assert!(written.err().is_none_or(|error| error.kind() == ErrorKind::BrokenPipe));
    child.wait_with_output().unwrap()
}

fn vectors(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

/// Returns `sample`, which is a request or a webhook, with these members replaced or added.
fn changed(sample: &Value, members: &Value) -> Value {
    let mut changed = sample.clone();
    changed.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    changed
}
