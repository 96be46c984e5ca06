//! The figures: what each of them means, and which value is good enough.

use serde::Serialize;
use serde_json::{Value, json};

use crate::rounds::Series;

/// The value that a figure should have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// The figure is a note.
    Note,
}

impl Bar {
    fn is_met_by(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(bar) => Some(value <= bar),
            Self::AtLeast(bar) => Some(value >= bar),
            Self::Note => None,
        }
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::AtMost(bar) => format!("≤ {}", number(bar)),
            Self::AtLeast(bar) => format!("≥ {}", number(bar)),
            Self::Note => "a note".to_owned(),
        }
    }
}

/// A figure of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meaning {
    pub(crate) key: &'static str,
    /// The description of the figure, as the table and the page show it.
    pub(crate) what: &'static str,
    pub(crate) bar: Bar,
}

const fn figure(key: &'static str, bar: Bar, what: &'static str) -> Meaning {
    Meaning { key, what, bar }
}

/// All figures, in the order of the table.
pub(crate) const FIGURES: [Meaning; 40] = [
    figure(
        "connect_vs_native",
        Bar::AtMost(1.10),
        "`connect` ÷ the same core natively, on the same pooled client and the same sealed storage in memory",
    ),
    figure(
        "refresh_vs_native",
        Bar::AtMost(1.10),
        "`refresh` ÷ the same core natively, on the same pooled client and the same sealed storage in memory",
    ),
    figure(
        "list_shops_vs_empty",
        Bar::AtMost(2.0),
        "`list_shops` ÷ a no-op call of an empty component on the same engine, a fresh instance for each call",
    ),
    figure("call_vs_node", Bar::AtMost(0.5), "one signed call, p50, ÷ Node.js with `fetch` and `createHmac`"),
    figure("call_vs_python", Bar::AtMost(0.33), "one signed call, p50, ÷ Python with a `requests` session and `hmac`"),
    figure("list_shops_scaling", Bar::AtLeast(1.8), "`list_shops` calls a second with 2 workers ÷ with 1"),
    figure("in_flight_errors", Bar::AtMost(0.0), "errors of 10 000 connects in flight, upstream answers after 200 ms"),
    figure(
        "in_flight_kib_per_call",
        Bar::AtMost(100.0),
        "peak memory above idle for each of these calls, without pages that they share, in KiB",
    ),
    figure(
        "first_call_vs_node_start",
        Bar::AtMost(0.5),
        "process start to the first list of shops, cache warm ÷ an empty Node.js process",
    ),
    figure(
        "limits_on_vs_off",
        Bar::AtMost(1.05),
        "`list_shops` with ÷ without epochs and limits, on the bench's own engine",
    ),
    figure(
        "pooled_vs_default_transport",
        Bar::AtMost(0.5),
        "`refresh` over TLS: the pooled client ÷ wasmtime's default transport",
    ),
    figure("sealed_sqlite_vs_memory", Bar::AtMost(1.5), "`refresh` with SQLite ÷ with storage in memory"),
    figure("sealed_postgres_vs_memory", Bar::AtMost(1.5), "`refresh` with PostgreSQL ÷ with storage in memory"),
    figure("scale_list_sqlite", Bar::AtMost(1.25), "`list_shops` with many stored connections ÷ with 10, SQLite"),
    figure("scale_connect_sqlite", Bar::AtMost(1.25), "`connect` with many stored connections ÷ with 10, SQLite"),
    figure("scale_refresh_sqlite", Bar::AtMost(1.25), "`refresh` with many stored connections ÷ with 10, SQLite"),
    figure("scale_list_postgres", Bar::AtMost(1.25), "`list_shops` with many stored connections ÷ with 10, PostgreSQL"),
    figure("scale_connect_postgres", Bar::AtMost(1.25), "`connect` with many stored connections ÷ with 10, PostgreSQL"),
    figure("scale_refresh_postgres", Bar::AtMost(1.25), "`refresh` with many stored connections ÷ with 10, PostgreSQL"),
    figure("sweep_per_second_sqlite", Bar::Note, "due connections refreshed a second by one process, SQLite"),
    figure("sweep_per_second_postgres", Bar::Note, "due connections refreshed a second by one process, PostgreSQL"),
    figure("webhooks_beside_forged", Bar::Note, "p99 of signed webhooks beside ten times as many forged ones ÷ alone"),
    figure("webhook_p99_ms", Bar::AtMost(3_000.0), "p99 of signed webhooks alone, in ms; TikTok waits for 3 s"),
    figure(
        "fairness_beside_busy",
        Bar::Note,
        "p99 of one tenant's reads beside a tenant with 10 000 waiting calls and slow credentials ÷ alone",
    ),
    figure(
        "service_call_vs_node",
        Bar::AtMost(1.0),
        "one signed call through the service, p50, ÷ Node.js that makes the call itself",
    ),
    figure(
        "service_calls_per_second_vs_node",
        Bar::AtLeast(2.0),
        "signed calls a second of 64 clients through one service ÷ through one HTTP server in Node.js",
    ),
    figure(
        "service_idle_memory_vs_node",
        Bar::AtMost(1.5),
        "resident memory of the idle service ÷ of an empty HTTP server in Node.js",
    ),
    figure(
        "service_webhooks_per_second",
        Bar::AtLeast(500.0),
        "signed webhooks a second that the service accepts within 3 s, beside ten times as many forged ones",
    ),
    figure(
        "node_package_call_vs_fetch",
        Bar::AtMost(0.8),
        "one signed call through the package for Node.js, p50, ÷ `fetch` and `createHmac` in Node.js",
    ),
    figure(
        "node_package_event_loop_p99_ms",
        Bar::AtMost(2.0),
        "how late the event loop of Node.js is with 64 calls of the package in flight, p99, in ms",
    ),
    figure(
        "python_package_call_vs_requests",
        Bar::AtMost(0.4),
        "one signed call through the package for Python with asyncio, p50, ÷ a `requests` session and `hmac`",
    ),
    figure(
        "python_package_blocking_call_vs_requests",
        Bar::AtMost(0.4),
        "the same through the blocking host of the package, ÷ a `requests` session, which blocks as well",
    ),
    figure(
        "python_package_event_loop_p99_ms",
        Bar::AtMost(2.0),
        "how late the event loop of asyncio is with 64 calls of the package in flight, p99, in ms",
    ),
    figure("artifact_bytes", Bar::AtMost(300_000.0), "the component, in bytes"),
    figure("artifact_gzip_bytes", Bar::Note, "the component, compressed with gzip, in bytes"),
    figure("call_us", Bar::Note, "one signed call, p50, in µs"),
    figure(
        "call_one_thread_vs_all",
        Bar::Note,
        "one signed call, p50, on a runtime with one thread ÷ with one thread for each processor",
    ),
    figure("list_shops_us", Bar::Note, "`list_shops`, p50, in µs"),
    figure("refresh_us", Bar::Note, "`refresh` with storage in memory, p50, in µs"),
    figure("connect_us", Bar::Note, "`connect` with storage in memory, p50, in µs"),
];

/// Returns the figures whose keys are chosen. A choice is a key, or the beginning of keys followed by `*`. Without
/// choices, returns all figures.
pub(crate) fn chosen(choices: &[String]) -> Result<Vec<&'static str>, String> {
    let matches = |choice: &String, key: &str| match choice.strip_suffix('*') {
        Some(beginning) => key.starts_with(beginning),
        None => key == choice,
    };
    let known = |choice: &&String| !FIGURES.iter().any(|figure| matches(choice, figure.key));
    if let Some(unknown) = choices.iter().find(known) {
        let keys: Vec<_> = FIGURES.iter().map(|figure| figure.key).collect();
        return Err(format!("there is no figure {unknown}; the figures are {}", keys.join(", ")));
    }
    let keys = FIGURES.iter().map(|figure| figure.key);
    Ok(keys.filter(|key| choices.is_empty() || choices.iter().any(|choice| matches(choice, key))).collect())
}

/// The result of a figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) key: &'static str,
    /// The median of the rounds. `None` if the figure was not measured.
    pub(crate) value: Option<f64>,
    /// The smallest and the largest value of a round.
    pub(crate) spread: Option<(f64, f64)>,
    /// The numbers behind a ratio, or the reason why the figure was not measured.
    pub(crate) detail: String,
}

impl Measured {
    pub(crate) fn of_rounds(key: &'static str, rounds: &Series, detail: impl Into<String>) -> Self {
        let (value, spread) = (Some(rounds.median()), Some(rounds.spread()));
        Self { key, value, spread, detail: detail.into() }
    }

    /// A value that is the same in every round.
    pub(crate) fn of_value(key: &'static str, value: f64, detail: impl Into<String>) -> Self {
        Self { key, value: Some(value), spread: None, detail: detail.into() }
    }

    pub(crate) fn none(key: &'static str, why: impl std::fmt::Display) -> Self {
        Self { key, value: None, spread: None, detail: format!("not measured: {why}") }
    }

    fn meaning(&self) -> Option<&'static Meaning> {
        FIGURES.iter().find(|figure| figure.key == self.key)
    }

    /// Returns whether the value meets the bar. `None` if there is no bar or no value.
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.meaning()?.bar.is_met_by(self.value?)
    }

    pub(crate) fn json(&self) -> Value {
        let bar = self.meaning().map_or(Value::Null, |figure| match figure.bar {
            Bar::AtMost(bar) => json!({ "at_most": bar }),
            Bar::AtLeast(bar) => json!({ "at_least": bar }),
            Bar::Note => Value::Null,
        });
        json!({ "value": self.value, "spread": self.spread, "bar": bar, "met": self.is_met(), "detail": self.detail })
    }

    /// Returns the cells of the table: key, value, spread, bar and whether it is met.
    pub(crate) fn cells(&self) -> [String; 5] {
        let value = self.value.map_or_else(|| "not measured".to_owned(), number);
        let spread = self.spread.map_or_else(String::new, |(low, high)| format!("{} to {}", number(low), number(high)));
        let bar = self.meaning().map_or_else(String::new, |figure| figure.bar.text());
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "",
        };
        [self.key.to_owned(), value, spread, bar, met.to_owned()]
    }
}

/// Writes a number as people read it: ratios with two decimals, and large numbers in groups of three digits.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1000.0 {
        let digits = format!("{value:.0}");
        let first = digits.len() % 3;
        let (head, rest) = digits.split_at(first);
        let groups = rest.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
        let head = (!head.is_empty()).then(|| head.to_owned());
        return head.into_iter().chain(groups).collect::<Vec<_>>().join(" ");
    }
    if value.fract() == 0.0 || magnitude >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_twice() {
        let mut keys: Vec<_> = FIGURES.iter().map(|figure| figure.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), FIGURES.len());
    }

    #[test]
    fn figures_are_chosen_by_key_and_by_the_beginning_of_keys() {
        let some = |choices: &[&str]| chosen(&choices.iter().map(|&choice| choice.to_owned()).collect::<Vec<_>>());
        assert_eq!(some(&["artifact_*", "call_us"]), Ok(vec!["artifact_bytes", "artifact_gzip_bytes", "call_us"]));
        assert_eq!(some(&[]).map(|all| all.len()), Ok(FIGURES.len()));
        let error = some(&["call"]).unwrap_err();
        assert!(error.starts_with("there is no figure call; the figures are connect_vs_native, "), "{error}");
    }

    #[test]
    fn a_bar_is_met_at_its_own_value() {
        assert_eq!(Bar::AtMost(0.0).is_met_by(0.0), Some(true));
        assert_eq!(Bar::AtLeast(1.8).is_met_by(1.79), Some(false));
        assert_eq!(Bar::Note.is_met_by(1.0), None);
        let figure = Measured::of_value("artifact_bytes", 329_367.0, "");
        assert_eq!(figure.cells(), ["artifact_bytes", "329 367", "", "≤ 300 000", "**not met**"].map(str::to_owned));
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(1.0, "1"), (1.056, "1.06"), (123.4, "123"), (1_000_000.0, "1 000 000")] {
            assert_eq!(number(value), text);
        }
    }
}
