//! Tests of storages with one weakness each. The storage contract forbids all these weaknesses except late loads. The
//! tests measure what the shipped component does on each of these storages, and which checks of the contract
//! (`tiktok-shop-storage-contract`) detect the weakness. The tests compare the results with the two tables of
//! `docs/storage.md`.

mod storage;
mod stories;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::storage::{Intercepted, MemoryStorage};
use tiktok_shop_storage_contract as contract;
use tokio::time::Instant;

use self::storage::{Weak, Weakness};

/// tokio's clock. If a test pauses it, waiting takes no real time.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn wall(&self) -> Duration {
        self.0.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Returns the table of `docs/storage.md` that begins with this line.
fn documented_table(first: &str) -> String {
    let page = std::fs::read_to_string(xtask::workspace_root().join("docs/storage.md")).unwrap();
    let lines = page.lines().skip_while(|line| *line != first).take_while(|line| line.starts_with('|'));
    lines.map(|line| format!("{line}\n")).collect()
}

fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    format!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

/// Asserts that `docs/storage.md` contains the table with these rows. The panic message contains the whole table.
fn assert_documented(head: &[&str], rows: &[String]) {
    let first = row(head.iter().copied());
    let found = format!("{first}\n{}\n{}\n", row(head.iter().map(|_| "---")), rows.join("\n"));
    assert!(documented_table(&first) == found, "docs/storage.md should have this table:\n{found}");
}

type Story = fn(Option<Weakness>) -> BoxFuture<'static, &'static str>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_effects_of_each_weakness_are_documented() {
    let stories: [(&str, Story); 4] = [
        ("two hosts refresh at once", |weakness| Box::pin(stories::two_hosts_refresh_at_once(weakness))),
        ("one host refreshes", |weakness| Box::pin(stories::one_host_refreshes_twice(weakness))),
        ("disconnected during a refresh", |weakness| Box::pin(stories::disconnected_during_a_refresh(weakness))),
        ("connected again during a refresh", |weakness| Box::pin(stories::connected_again_during_a_refresh(weakness))),
    ];
    let mut rows = Vec::new();
    for weakness in [None].into_iter().chain(Weakness::ALL.map(Some)) {
        let mut cells = vec![weakness.map_or("keeps the contract", Weakness::description)];
        for (_, story) in stories {
            cells.push(story(weakness).await);
        }
        rows.push(row(cells));
    }
    let head: Vec<_> = ["a storage that"].into_iter().chain(stories.map(|(name, _)| name)).collect();
    assert_documented(&head, &rows);
}

/// The result is the same in every run, because all tasks run on one thread and tokio's clock moves only while all of
/// them wait.
#[tokio::test(start_paused = true)]
async fn the_checks_that_find_each_weakness_are_documented() {
    let mut found = Vec::new();
    for weakness in Weakness::ALL {
        let inner = Arc::new(MemoryStorage::new(Arc::new(TokioClock(Instant::now()))));
        let weak = Intercepted::new(inner, Arc::new(Weak::new(weakness)));
        let report = contract::run(Arc::new(weak), |_| {}).await;
        found.push(report.broken().map(|outcome| outcome.check).collect::<Vec<_>>());
    }
    let mut rows = Vec::new();
    for (check, _) in contract::checks() {
        let name = format!("`{check}`");
        let marks: Vec<_> = found.iter().map(|broken| if broken.contains(&check) { "fails" } else { "" }).collect();
        if marks.iter().any(|mark| !mark.is_empty()) {
            rows.push(row([name.as_str()].into_iter().chain(marks)));
        }
    }
    let head: Vec<_> = ["check"].into_iter().chain(Weakness::ALL.map(Weakness::name)).collect();
    assert_documented(&head, &rows);
}
