//! How the checks end: with a word on each promise, whatever the storage does, and with nothing left that can be deleted.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;

use super::*;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::{MemoryStorage, StorageError};

fn memory() -> Arc<dyn HostStorage> {
    Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())))
}

/// What a method does instead.
#[derive(Clone, Copy)]
enum Instead {
    Hangs,
    Panics,
    Fails,
}

/// Does it in one method.
struct Misbehaves(&'static str, Instead);

#[async_trait]
impl Interceptor for Misbehaves {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let Self(method, instead) = *self;
        if access.method() != method {
            return Passage::Made;
        }
        match instead {
            Instead::Hangs => pending().await,
            Instead::Panics => panic!("no {method}\nfor you"),
            Instead::Fails => Passage::Failed(StorageError::Unavailable("down".to_owned())),
        }
    }
}

async fn of(method: &'static str, instead: Instead) -> Report {
    let mut heard = Vec::new();
    let storage = Intercepted::new(memory(), Arc::new(Misbehaves(method, instead)));
    let report = run(Arc::new(storage), |outcome| heard.push(outcome.clone())).await;
    assert_eq!(heard, report.outcomes);
    assert_eq!(
        report.outcomes.iter().map(|outcome| (outcome.check, outcome.promise)).collect::<Vec<_>>(),
        checks().collect::<Vec<_>>()
    );
    report
}

fn said<'a>(report: &'a Report, check: &str) -> Option<&'a str> {
    report.outcomes.iter().find(|outcome| outcome.check == check).unwrap().failure.as_deref()
}

const WEBHOOK: &str = "a_webhook_is_known_once_it_is_remembered";

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_fails_and_the_next_one_follows() {
    let report = of("remember_webhook", Instead::Hangs).await;
    assert_eq!(said(&report, WEBHOOK), Some("no end, still after 60 s"));
    assert_eq!(said(&report, "no_update_is_lost"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_panics_fails_and_the_next_one_follows() {
    let report = of("remember_webhook", Instead::Panics).await;
    let broken: Vec<_> = report.broken().map(|outcome| outcome.check).collect();
    assert_eq!(broken, ["keys_states_and_webhooks_are_their_tenants_own", WEBHOOK]);
    assert_eq!(said(&report, WEBHOOK), Some("panicked: no remember_webhook for you"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "1 of ")]
async fn a_test_fails_with_a_line_for_each_broken_promise() {
    let report = of("release_state", Instead::Fails).await;
    let mut lines = report.broken().map(Outcome::to_string);
    let line = lines.next().unwrap();
    let expected = "a_state_ages_from_its_begin_whether_used_or_released \
                    (What `load_state` then reads is never older than this): \
                    storage unavailable: down (host-harness/src/contract_tests/ages.rs:";
    assert!(line.starts_with(expected), "{line}");
    let one = Report { outcomes: report.broken().take(1).cloned().collect() };
    assert!(!one.is_kept());
    one.assert_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_runs_at_once_leave_each_other_alone_and_nothing_behind() {
    let storage = memory();
    let (first, second) =
        futures::future::join(run(Arc::clone(&storage), |_| {}), run(Arc::clone(&storage), |_| {})).await;
    first.assert_kept();
    second.assert_kept();
    let ever = UnixSeconds(u64::MAX);
    assert_eq!(storage.due(ever, None, 10).await, Ok(Vec::new()));
    assert_eq!(storage.endings(ever, None, 10).await, Ok(Vec::new()));
    assert_eq!(storage.key_uses(None, 10).await, Ok(Vec::new()));
}
