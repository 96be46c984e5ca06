//! A process of `sweep`, and what it prints.

use std::collections::BTreeSet;
use std::process::{Child, Command, ExitStatus};

use serde_json::Value;
use tokio::task::spawn_blocking;

/// A process that sweeps. If the test fails, this value kills it.
pub(crate) struct Sweeping(Option<Child>);

impl Sweeping {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    /// Waits until the process has ended.
    pub(crate) async fn end(mut self) -> Ended {
        let process = self.0.take().unwrap();
        // The process prints less than a pipe holds, so nobody need read it earlier.
        let output = spawn_blocking(|| process.wait_with_output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let lines = text(output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Ended { status: output.status, lines, complaints: text(output.stderr) }
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(mut process) = self.0.take() {
            let _ended = process.kill().and_then(|()| process.wait());
        }
    }
}

/// How a process has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    /// A line for each connection, and the summary at the end.
    lines: Vec<Value>,
    /// The text on standard error.
    complaints: String,
}

impl Ended {
    /// Tells whether the process has succeeded, and has refreshed every connection that no other process refreshes or
    /// has refreshed.
    pub(crate) fn is_clean(&self) -> bool {
        let works = |line: &Value| line["why"].is_null() || line["outcome"] == "held";
        self.is_quiet() && self.lines.iter().all(works)
    }

    /// Tells whether the process has succeeded, and has printed nothing on standard error.
    pub(crate) fn is_quiet(&self) -> bool {
        self.status.success() && self.complaints.is_empty()
    }

    /// Returns a number of the summary.
    pub(crate) fn count(&self, name: &str) -> usize {
        let count = self.lines.last().and_then(|summary| summary[name].as_u64());
        count.unwrap_or_else(|| panic!("no {name}: {self:?}")).try_into().unwrap()
    }

    /// Returns the accounts of the connections with this outcome.
    pub(crate) fn accounts(&self, outcome: &str) -> BTreeSet<String> {
        let of_outcome = self.lines.iter().filter(|line| line["outcome"] == outcome);
        of_outcome.map(|line| line["account"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the accounts of the connections that failed with this code.
    pub(crate) fn because(&self, code: &str) -> BTreeSet<String> {
        let names = |line: &&Value| line["why"].as_str().is_some_and(|why| why.contains(&format!(" {code}: ")));
        let failed = self.lines.iter().filter(names);
        failed.map(|line| line["account"].as_str().unwrap().to_owned()).collect()
    }
}
