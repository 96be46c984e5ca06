//! A run of the checks reports on every promise, even if the storage hangs or panics. At the end, the run deletes the
//! token records, rows and keys that it has written.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::{Access, Intercepted, Interceptor, MemoryStorage, Passage, StorageError};

use super::*;

fn memory() -> Arc<dyn HostStorage> {
    Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())))
}

/// What a faulty method does instead of its work.
#[derive(Clone, Copy)]
enum Fault {
    Hangs,
    Panics,
    Fails,
}

/// A fault in one method.
struct Faulty {
    method: &'static str,
    fault: Fault,
}

#[async_trait]
impl Interceptor for Faulty {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let Self { method, fault } = *self;
        if access.method() != method {
            return Passage::Forward;
        }
        match fault {
            Fault::Hangs => pending().await,
            Fault::Panics => panic!("no {method}\nfor you"),
            Fault::Fails => Passage::Fail(StorageError::Unavailable("down".to_owned())),
        }
    }
}

async fn run_with(faulty: Faulty) -> Report {
    let mut heard = Vec::new();
    let storage = Intercepted::new(memory(), Arc::new(faulty));
    let report = run(Arc::new(storage), |outcome| heard.push(outcome.clone())).await;
    assert_eq!(heard, report.outcomes);
    assert_eq!(
        report.outcomes.iter().map(|outcome| (outcome.check, outcome.promise)).collect::<Vec<_>>(),
        checks().collect::<Vec<_>>()
    );
    report
}

fn failure_of<'a>(report: &'a Report, check: &str) -> Option<&'a str> {
    report.outcomes.iter().find(|outcome| outcome.check == check).unwrap().failure.as_deref()
}

const WEBHOOK: &str = "a_remembered_webhook_is_known";

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_fails_and_the_next_one_follows() {
    let report = run_with(Faulty { method: "remember_webhook", fault: Fault::Hangs }).await;
    assert_eq!(failure_of(&report, WEBHOOK), Some("the check did not end within 60 s"));
    assert_eq!(failure_of(&report, "no_update_is_lost"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_panics_fails_and_the_next_one_follows() {
    let report = run_with(Faulty { method: "remember_webhook", fault: Fault::Panics }).await;
    let broken: Vec<_> = report.broken().map(|outcome| outcome.check).collect();
    let deletion = "a_deleted_tenant_leaves_nothing_and_other_tenants_keep_everything";
    assert_eq!(broken, ["each_tenant_has_its_own_keys_states_and_webhooks", WEBHOOK, deletion]);
    assert_eq!(failure_of(&report, WEBHOOK), Some("panicked: no remember_webhook for you"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "1 of ")]
async fn assert_kept_panics_with_a_line_for_each_broken_promise() {
    let report = run_with(Faulty { method: "release_state", fault: Fault::Fails }).await;
    let mut lines = report.broken().map(Outcome::to_string);
    let line = lines.next().unwrap();
    let expected = "using_or_releasing_a_state_does_not_restart_its_age \
                    (The time since the consent began, measured by the storage's own clock): \
                    storage unavailable: down (host-harness/storage-contract/src/ages.rs:";
    assert!(line.starts_with(expected), "{line}");
    let one = Report { outcomes: report.broken().take(1).cloned().collect() };
    assert!(!one.is_kept());
    one.assert_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_runs_do_not_disturb_each_other_and_delete_their_records() {
    let storage = memory();
    let (first, second) =
        futures::future::join(run(Arc::clone(&storage), |_| {}), run(Arc::clone(&storage), |_| {})).await;
    first.assert_kept();
    second.assert_kept();
    let end_of_time = UnixSeconds(u64::MAX);
    assert_eq!(storage.due(end_of_time, None, 10).await, Ok(Vec::new()));
    assert_eq!(storage.endings(end_of_time, None, 10).await, Ok(Vec::new()));
    assert_eq!(storage.key_uses(None, 10).await, Ok(Vec::new()));
}
