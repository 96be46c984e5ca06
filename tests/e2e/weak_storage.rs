//! What a storage costs that is weaker than the contract: which checks find it, and what the shipped connector then does.
//! `docs/storage.md` shows both as tables, which are those that are found here.

mod storage;
mod stories;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::storage::Intercepted;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_storage_contract as contract;
use tokio::time::Instant;

use self::storage::{Weak, Weakness};

/// Time as tokio tells it: in a test with a clock that is paused, what waits does not take long.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn wall(&self) -> Duration {
        self.0.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Where the table that begins with this row stands, all of it.
fn table_of_the_page(first: &str) -> String {
    let page = std::fs::read_to_string(xtask::workspace_root().join("docs/storage.md")).unwrap();
    let lines = page.lines().skip_while(|line| *line != first).take_while(|line| line.starts_with('|'));
    lines.map(|line| format!("{line}\n")).collect()
}

fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    format!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

/// Compares, and shows all of what should stand there.
fn is_on_the_page(head: &[&str], rows: &[String]) {
    let first = row(head.iter().copied());
    let found = format!("{first}\n{}\n{}\n", row(head.iter().map(|_| "---")), rows.join("\n"));
    assert!(table_of_the_page(&first) == found, "docs/storage.md should have this table:\n{found}");
}

type Story = fn(Option<Weakness>) -> BoxFuture<'static, &'static str>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_connector_makes_of_a_weaker_storage_is_on_the_page() {
    let stories: [(&str, Story); 4] = [
        ("two hosts refresh at once", |weakness| Box::pin(stories::two_hosts_refresh_at_once(weakness))),
        ("one host refreshes", |weakness| Box::pin(stories::one_host_refreshes_twice(weakness))),
        ("disconnected during a refresh", |weakness| Box::pin(stories::disconnected_during_a_refresh(weakness))),
        ("connected again during a refresh", |weakness| Box::pin(stories::connected_anew_during_a_refresh(weakness))),
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
    is_on_the_page(&head, &rows);
}

/// Which checks these are is the same in every run: one thread, and a clock that stands still while there is work.
#[tokio::test(start_paused = true)]
async fn the_checks_that_find_a_weaker_storage_are_on_the_page() {
    let mut found = Vec::new();
    for weakness in Weakness::ALL {
        let beneath = Arc::new(MemoryStorage::new(Arc::new(TokioClock(Instant::now()))));
        let weak = Intercepted::new(beneath, Arc::new(Weak::new(weakness)));
        let report = contract_tests::run(Arc::new(weak), |_| {}).await;
        found.push(report.broken().map(|outcome| outcome.check).collect::<Vec<_>>());
    }
    let mut rows = Vec::new();
    for (check, _) in contract_tests::checks() {
        let name = format!("`{check}`");
        let marks: Vec<_> = found.iter().map(|broken| if broken.contains(&check) { "fails" } else { "" }).collect();
        if marks.iter().any(|mark| !mark.is_empty()) {
            rows.push(row([name.as_str()].into_iter().chain(marks)));
        }
    }
    let head: Vec<_> = ["check"].into_iter().chain(Weakness::ALL.map(Weakness::name)).collect();
    is_on_the_page(&head, &rows);
}
