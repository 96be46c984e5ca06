//! Writes the measurements of the benchmark `storage` as a table or as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::calls::Measured;
use super::database::FEW;
use crate::report::{median, milliseconds, profile};

/// The measurements of one kind of database: of the database with few connections, and of the database with many.
pub(super) struct Compared {
    pub(super) few: Vec<Measured>,
    pub(super) many: Vec<Measured>,
    /// How long it took to seal and insert the many connections.
    pub(super) load: Duration,
}

pub(super) struct Report {
    pub(super) connections: u64,
    pub(super) calls: u32,
    pub(super) rounds: usize,
    pub(super) compared: Vec<(&'static str, Compared)>,
    /// The median time of a refresh with a storage in memory.
    pub(super) in_memory: Duration,
}

/// The name of a kind of call, and the function that reads the median duration of this kind from a measurement.
type Call = (&'static str, fn(&Measured) -> Duration);

const CALLS: [Call; 3] = [
    ("list_shops", |measured| measured.list_shops),
    ("connect", |measured| measured.connect),
    ("refresh", |measured| measured.refresh),
];

impl Compared {
    /// Returns the median time with few connections, the median time with many, and their ratio (many ÷ few).
    fn call(&self, (_, time): Call) -> (Duration, Duration, f64) {
        let (few, many) = (median(&self.few, time), median(&self.many, time));
        (few, many, many.as_secs_f64() / few.as_secs_f64())
    }

    fn memory(&self) -> Option<(u64, u64, f64)> {
        let memory = |all: &[Measured]| {
            all.iter().map(|measured| measured.memory).collect::<Option<Vec<_>>>().map(|all| median(&all, |kib| *kib))
        };
        let (few, many) = (memory(&self.few)?, memory(&self.many)?);
        Some((few, many, many as f64 / few as f64))
    }

    fn refresh(&self) -> Duration {
        median(&self.few, |measured| measured.refresh)
    }
}

impl Report {
    fn over_memory(&self, compared: &Compared) -> f64 {
        compared.refresh().as_secs_f64() / self.in_memory.as_secs_f64()
    }

    pub(super) fn text(&self) -> String {
        let Self { connections, calls, rounds, compared, in_memory } = self;
        let mut text = format!(
            "storage      {connections} connections against 10, {rounds} rounds of {calls} calls, profile {}\n\n\
             {:<10} {:<12} {:>12} {:>12} {:>8}\n",
            profile(),
            "database",
            "",
            "with 10",
            "with all",
            "ratio",
        );
        for (name, compared) in compared {
            for call in CALLS {
                let (few, many, ratio) = compared.call(call);
                let (few, many) = (milliseconds(few), milliseconds(many));
                text += &format!("{name:<10} {:<12} {few:>9.2} ms {many:>9.2} ms {ratio:>8.2}\n", call.0);
            }
            if let Some((few, many, ratio)) = compared.memory() {
                let (few, many) = (few as f64 / 1024.0, many as f64 / 1024.0);
                text += &format!("{name:<10} {:<12} {few:>8.1} MiB {many:>8.1} MiB {ratio:>8.2}\n", "memory");
            }
            let load = compared.load.as_secs_f64();
            let rate = *connections as f64 / load;
            text += &format!("{name:<10} {:<12} {load:>10.1} s {rate:>10.0}/s\n", "load");
            let ratio = self.over_memory(compared);
            let in_memory = milliseconds(*in_memory);
            text += &format!("{name:<10} refresh ÷ refresh in memory ({in_memory:.2} ms): {ratio:.2}\n\n");
        }
        text
    }

    pub(super) fn json(&self) -> String {
        let compared = self.compared.iter().map(|(name, compared)| {
            let calls = CALLS.map(|call| {
                let (few, many, ratio) = compared.call(call);
                let value = json!({ "few_ms": milliseconds(few), "many_ms": milliseconds(many), "ratio": ratio });
                (call.0.to_owned(), value)
            });
            let mut value: serde_json::Map<String, Value> = calls.into_iter().collect();
            if let Some((few, many, ratio)) = compared.memory() {
                value.insert("memory".to_owned(), json!({ "few_kib": few, "many_kib": many, "ratio": ratio }));
            }
            value.insert("load_s".to_owned(), json!(compared.load.as_secs_f64()));
            value.insert("refresh_over_memory".to_owned(), json!(self.over_memory(compared)));
            ((*name).to_owned(), Value::Object(value))
        });
        let report = json!({
            "benchmark": "storage",
            "profile": profile(),
            "few": FEW,
            "many": self.connections,
            "rounds": self.rounds,
            "calls": self.calls,
            "refresh_in_memory_ms": milliseconds(self.in_memory),
            "databases": compared.collect::<serde_json::Map<_, _>>(),
        });
        format!("{report:#}\n")
    }
}
