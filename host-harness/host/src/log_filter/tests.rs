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

/// The messages of the events and the names of the spans that got through.
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

/// What gets through while `say` is said.
fn passed(filter: impl Filter<Registry> + Send + Sync + 'static, say: impl Fn()) -> Vec<String> {
    let passed = Passed::default();
    let subscriber = tracing_subscriber::registry().with(passed.clone().with_filter(filter));
    // Twice: what a callsite learns of its subscriber when it is first reached counts the second time.
    tracing::subscriber::with_default(subscriber, || (0..2).for_each(|_| say()));
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
fn nothing_passes_of_crates_that_could_print_a_request() {
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
fn without_the_filter_they_all_pass() {
    assert_eq!(passed(EnvFilter::new("trace"), events_and_spans).len(), 8);
}

#[test]
fn an_embedders_own_filter_narrows_it_and_cannot_widen_it() {
    for wanted in ["info,wasmtime_wasi_http=trace", "info,wasmtime_wasi_http::p2=trace,[a frame]=trace"] {
        let (one, other) = (EnvFilter::new(wanted).and(LogFilter), LogFilter.and(EnvFilter::new(wanted)));
        let expected = ["inside a silenced span", "an embedder's crate with a similar name"];
        assert_eq!(passed(one, events_and_spans), expected);
        assert_eq!(passed(other, events_and_spans), expected);
    }
}

/// As `tracing-log` says it: the callsite is its own, the origin stands in the fields.
fn records_of_log() {
    let say = |target: &str, module: Option<&str>, text: &str| {
        tracing::event!(target: "log", tracing::Level::WARN, { "log.target" = target, "log.module_path" = module }, "{text}");
    };
    say("rustls::client::hs", Some("rustls::client::hs"), "a handshake");
    say("a name of its own", Some("wasmtime::runtime"), "a module under another target");
    say("wasmtime", None, "a target alone");
    say("my_app", Some("my_app::rustls"), "an embedder's record");
}

#[test]
fn records_of_the_log_crate_are_judged_by_where_they_were_logged() {
    assert_eq!(passed(LogFilter, records_of_log), ["an embedder's record"]);
    assert_eq!(passed(EnvFilter::new("trace").and(LogFilter), records_of_log), ["an embedder's record"]);
    assert_eq!(passed(EnvFilter::new("trace"), records_of_log).len(), 4);
}

/// An event made by hand, because the macros name the module they stand in.
#[test]
fn a_target_of_its_own_does_not_hide_a_module() {
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

/// Packages of `Cargo.lock` and what each depends on.
fn locked() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let lock = include_str!("../../../../Cargo.lock");
    let mut packages: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let name = package.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name").trim_matches('"');
        let entries = package.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
        // Where two versions are in use the version follows the name.
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

    let packages = locked();
    let mut reached = BTreeSet::new();
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(packages.get(name).into_iter().flatten());
        }
    }
    let logs = |name: &&str| packages.get(name).is_some_and(|uses| uses.contains("tracing") || uses.contains("log"));
    let logging: BTreeSet<_> = reached.into_iter().filter(logs).map(|name| name.replace('-', "_")).collect();
    assert!(logging.contains("wasmtime_wasi_http"), "{logging:?}");
    // These say nothing of their own.
    let silenced =
        |name: &str| LogFilter::SILENCED.contains(&name) || ["tracing", "tracing_subscriber"].contains(&name);
    let missing: Vec<_> = logging.iter().filter(|name| !silenced(name)).collect();
    assert_eq!(missing, [""; 0], "crates that log: silence them in log_filter.rs");
}
