#![allow(clippy::expect_used, reason = "tests: a broken expectation is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::Registry;

use super::*;

/// Collects the messages of the events and the names of the spans that pass the filter.
#[derive(Clone, Default)]
struct Passed(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Passed {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.0.lock().expect("a lock").push(attributes.metadata().name().to_owned());
    }
}

impl Visit for Passed {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().expect("a lock").push(format!("{value:?}"));
        }
    }
}

/// Runs `log` under a filter. Returns the events and spans that pass.
fn passed(filter: impl Filter<Registry> + Send + Sync + 'static, log: impl Fn()) -> Vec<String> {
    let passed = Passed::default();
    let subscriber = tracing_subscriber::registry().with(passed.clone().with_filter(filter));
    // Runs `log` twice, because a callsite caches the filter's interest at the first event and uses it at the second.
    tracing::subscriber::with_default(subscriber, || (0..2).for_each(|_| log()));
    let lines = passed.0.lock().expect("a lock").clone();
    let (first, second) = lines.split_at(lines.len() / 2);
    assert_eq!(first, second);
    first.to_vec()
}

fn events_and_spans() {
    tracing::trace!(target: "wasmtime_wasi_http::p2::bindings", "a request");
    tracing::error!(target: "wasmtime_wasi_http::p2::bindings", "an error");
    tracing::warn!(target: "hyper", "a response");
    tracing::trace_span!(target: "h2::codec", "a frame").in_scope(|| tracing::info!("inside a silenced span"));
    tracing::error!(target: "hyperspace", "an embedder's crate with a similar name");
    tracing::trace!(target: "my_app::hyper", "a module with the same name");
    tracing::trace!("the library itself");
}

#[test]
fn crates_that_could_log_a_request_are_silenced() {
    let passed = passed(LogFilter, events_and_spans);
    assert_eq!(
        passed,
        [
            "inside a silenced span",
            "an embedder's crate with a similar name",
            "a module with the same name",
            "the library itself"
        ]
    );
}

#[test]
fn every_event_passes_without_the_filter() {
    assert_eq!(passed(EnvFilter::new("trace"), events_and_spans).len(), 8);
}

#[test]
fn an_embedders_own_filter_can_silence_more_but_not_less() {
    for wanted in ["info,wasmtime_wasi_http=trace", "info,wasmtime_wasi_http::p2=trace,[a frame]=trace"] {
        let (one, other) = (EnvFilter::new(wanted).and(LogFilter), LogFilter.and(EnvFilter::new(wanted)));
        let expected = ["inside a silenced span", "an embedder's crate with a similar name"];
        assert_eq!(passed(one, events_and_spans), expected);
        assert_eq!(passed(other, events_and_spans), expected);
    }
}

/// Logs records as `tracing-log` does: all of them have the target `log`, and the fields contain the module.
fn records_of_log() {
    let log = |target: &str, module: Option<&str>, text: &str| {
        tracing::event!(target: "log", tracing::Level::WARN, { "log.target" = target, "log.module_path" = module }, "{text}");
    };
    log("rustls::client::hs", Some("rustls::client::hs"), "a handshake");
    log("a name of its own", Some("wasmtime::runtime"), "a module under another target");
    log("wasmtime", None, "a target alone");
    log("my_app", Some("my_app::rustls"), "an embedder's record");
}

#[test]
fn records_of_the_log_crate_are_judged_by_the_module_that_logged_them() {
    assert_eq!(passed(LogFilter, records_of_log), ["an embedder's record"]);
    assert_eq!(passed(EnvFilter::new("trace").and(LogFilter), records_of_log), ["an embedder's record"]);
    assert_eq!(passed(EnvFilter::new("trace"), records_of_log).len(), 4);
}

/// Builds the metadata of an event by hand, because the macros of `tracing` always record the module of this test.
#[test]
fn a_silenced_module_stays_silent_under_another_target() {
    struct Callsite;
    static CALLSITE: Callsite = Callsite;
    static METADATA: Metadata<'static> = Metadata::new(
        "event",
        "a name of its own",
        tracing::Level::WARN,
        None,
        None,
        Some("hyper::client"),
        tracing::field::FieldSet::new(&["message"], tracing::callsite::Identifier(&CALLSITE)),
        tracing::metadata::Kind::EVENT,
    );
    impl tracing::Callsite for Callsite {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            &METADATA
        }
    }
    assert!(!LogFilter::admits(&METADATA));
    assert!(Filter::<Registry>::callsite_enabled(&LogFilter, &METADATA).is_never());
}

/// Returns every package of `Cargo.lock`, and for each package the names of its dependencies.
fn locked_packages() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let lock = include_str!("../../../../Cargo.lock");
    let mut packages: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let name = package.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name").trim_matches('"');
        let entries = package.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
        // An entry contains a version after the name if two versions of the package are locked.
        packages.entry(name).or_default().extend(entries.filter_map(|entry| entry.split(' ').next()));
    }
    packages
}

#[test]
fn every_crate_under_the_library_that_logs_is_silenced() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, dependencies) = manifest.split_once("[dependencies]\n").expect("dependencies");
    let (dependencies, _) = dependencies.split_once("\n[").expect("a section after them");
    let mut open: Vec<_> = dependencies.lines().filter_map(|line| line.split(['.', ' ']).next()).collect();

    let packages = locked_packages();
    let mut reached = BTreeSet::new();
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(packages.get(name).into_iter().flatten());
        }
    }
    let logs = |name: &&str| packages.get(name).is_some_and(|uses| uses.contains("tracing") || uses.contains("log"));
    let logging: BTreeSet<_> = reached.into_iter().filter(logs).map(|name| name.replace('-', "_")).collect();
    assert!(logging.contains("wasmtime_wasi_http"), "{logging:?}");
    // The crates of `tracing` log nothing themselves.
    let of_tracing = ["tracing", "tracing_log", "tracing_subscriber"];
    let silenced = |name: &str| LogFilter::SILENCED.contains(&name) || of_tracing.contains(&name);
    let missing: Vec<_> = logging.iter().filter(|name| !silenced(name)).collect();
    assert_eq!(missing, [""; 0], "crates that log: silence them in log_filter.rs");
}
