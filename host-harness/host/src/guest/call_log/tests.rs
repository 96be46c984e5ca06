#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests: a broken expectation is a failed test")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;

use super::super::trap::trap;
use super::*;
use crate::error::{Failure, Plugin, Resource};
use crate::events::Origin;
use crate::secret::Secret;

/// The lines that a formatting subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs every event once under a subscriber that accepts everything, before a test sets its own subscriber. When an
/// event is first logged, `tracing` caches whether the subscribers want the event. If a test adds a subscriber at that
/// moment, a wrong value may be cached.
fn log_every_event_once() {
    static LOGGED: Once = Once::new();
    LOGGED.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
        let scope = Scope::of_customer(&"acme".parse().unwrap(), &"customer".parse().unwrap(), Origin::default());
        let log = |operation| CallLog::begin(operation, &scope, None, &HostMetrics::default());
        log(Operation::Refresh).end(Ok(())).unwrap();
        log(Operation::ListShops).end(Ok(())).unwrap();
        for action in [Action::Internal, Action::Upstream] {
            log(Operation::Refresh).end::<()>(Err(refusal(action))).unwrap_err();
        }
    });
}

const CALL: &str =
    r#"call{operation="refresh" tenant="acme" customer="customer\n7" account="o_1" actor="ana \"a\""}: "#;

/// Ends a refresh after 250 ms with this outcome. Returns the lines that a subscriber with this level logs, each
/// without the text of the span.
async fn lines<T: Debug>(level: LevelFilter, outcome: Result<T, CallError>) -> Vec<String> {
    log_every_event_once();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_max_level(level)
        .with_writer(move || writer.clone())
        .finish();
    let _subscribed = tracing::subscriber::set_default(subscriber);
    let origin = Origin { actor: Some("ana \"a\"".parse().unwrap()), ..Origin::default() };
    let scope = Scope::of_customer(&"acme".parse().unwrap(), &"customer\n7".parse().unwrap(), origin);
    let log = CallLog::begin(Operation::Refresh, &scope, Some(&"o_1".parse().unwrap()), &HostMetrics::default());
    tokio::time::advance(Duration::from_millis(250)).await;
    assert_eq!(log.end(outcome).is_err(), String::from_utf8_lossy(&lines.0.lock().unwrap()).contains("error="));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim_start().replacen(CALL, "", 1)).collect()
}

fn plugin() -> Plugin {
    Plugin::new("tiktok-shop:connector@0.2.0")
}

fn refusal(action: Action) -> CallError {
    let failure = Failure {
        code: "a-code".to_owned(),
        detail: "forged\nline".to_owned(),
        http_status: Some(429),
        request_id: Some("2026".to_owned()),
    };
    CallError::Connector(ConnectorError { plugin: plugin(), action, failure, proxy_error: None })
}

#[tokio::test(start_paused = true)]
async fn a_successful_call_logs_one_line() {
    let done = "INFO call ended outcome=\"done\" elapsed_ms=250";
    assert_eq!(lines(LevelFilter::DEBUG, Ok(Secret::from("s3cret"))).await, [done]);
    assert_eq!(lines(LevelFilter::WARN, Ok(())).await, [""; 0]);
    assert_eq!(
        lines(LevelFilter::TRACE, Ok(Secret::from("s3cret"))).await,
        [done, "TRACE answer answer=Ok([redacted])"]
    );
}

#[test]
fn a_successful_call_that_only_reads_is_logged_at_debug() {
    use Operation::{AuthorizationUrl, Connect, ListConnections, ListShops, Refresh};
    let at = |level| {
        let all = [AuthorizationUrl, Connect, Refresh, ListShops, ListConnections];
        all.into_iter()
            .filter(|operation| operation.level_of_success() == level)
            .map(Operation::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(at(Level::INFO), ["connect", "refresh"]);
    assert_eq!(at(Level::DEBUG), ["authorization-url", "list-shops", "list-connections"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_connector_is_logged_in_fields() {
    let lines_of = async |action| lines::<()>(LevelFilter::DEBUG, Err(refusal(action))).await;
    assert_eq!(
        lines_of(Action::RetryAfter(Duration::from_secs(7))).await,
        ["WARN call ended outcome=\"retry-after\" code=\"a-code\" http_status=429 request_id=\"2026\" \
             retry_after_ms=7000 elapsed_ms=250 error=\"tiktok-shop:connector@0.2.0: retry-after 7000 ms: a-code: \
             forged\\nline (HTTP 429) (request 2026)\""]
    );
    for (action, begin) in [
        (Action::Reauthorize, "WARN call ended outcome=\"reauthorize\" code=\"a-code\" http_status=429"),
        (Action::Misconfigured, "WARN call ended outcome=\"misconfigured\" code=\"a-code\""),
        (Action::InvalidRequest, "WARN call ended outcome=\"invalid-request\" code=\"a-code\""),
        (Action::Upstream, "WARN call ended outcome=\"upstream\" code=\"a-code\""),
        (Action::StorageConflict, "WARN call ended outcome=\"storage-conflict\" code=\"a-code\""),
        (Action::StorageFailed, "WARN call ended outcome=\"storage-failed\" code=\"a-code\""),
        (Action::Internal, "ERROR call ended outcome=\"internal\" code=\"a-code\""),
    ] {
        let lines = lines_of(action).await;
        assert!(lines.len() == 1 && lines[0].starts_with(begin), "{lines:?}");
        assert!(!lines[0].contains("retry_after_ms"), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_host_ended_is_logged_as_an_error_and_a_full_pool_as_a_warning() {
    let trap = trap(&wasmtime::Error::from(wasmtime::Trap::StackOverflow));
    let second = Duration::from_secs(1);
    for (error, begin) in [
        (CallError::Busy { plugin: plugin() }, "WARN call ended outcome=\"busy\" elapsed_ms=250 error="),
        (
            CallError::Trapped { plugin: plugin(), trap },
            "ERROR call ended outcome=\"trapped\" functions=[] elapsed_ms=250 error=\"tiktok-shop:connector@0.2.0: wasm \
             trap: call stack exhausted\"",
        ),
        (
            CallError::DeadlineExceeded { plugin: plugin(), deadline: second },
            "ERROR call ended outcome=\"deadline-exceeded\"",
        ),
        (
            CallError::Exhausted { plugin: plugin(), resource: Resource::Cpu },
            "ERROR call ended outcome=\"exhausted\" elapsed_ms=250 error=\"tiktok-shop:connector@0.2.0: used up its time",
        ),
        (
            CallError::ContractBroken { plugin: plugin(), what: "a rule" },
            "ERROR call ended outcome=\"contract-broken\"",
        ),
        (CallError::NoRandomness { plugin: plugin() }, "ERROR call ended outcome=\"no-randomness\""),
        (CallError::Aborted { plugin: plugin() }, "ERROR call ended outcome=\"aborted\""),
    ] {
        let lines = lines::<()>(LevelFilter::DEBUG, Err(error)).await;
        assert!(lines.len() == 1 && lines[0].starts_with(begin), "{lines:?}");
    }
}
