//! Describes the machine, the versions and the time of a run, so that a reader can judge the figures.

use jiff::Timestamp;
use serde::Serialize;

use crate::rounds::processors;

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) profile: &'static str,
    pub(crate) version: &'static str,
    /// The day of the run, in UTC.
    pub(crate) day: String,
}

impl Machine {
    /// Reads the facts from the system. A fact that it does not tell is `unknown`.
    pub(crate) fn read() -> Self {
        let unknown = || "unknown".to_owned();
        let line = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
        };
        let memory =
            line("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            processor: line("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            processors: processors(),
            memory_gib: memory.map_or(0.0, |kib| kib / f64::from(1 << 20)),
            kernel: kernel.map_or_else(unknown, |text| format!("Linux {}", text.trim())),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
            version: env!("CARGO_PKG_VERSION"),
            day: Timestamp::now().strftime("%Y-%m-%d").to_string(),
        }
    }
}
