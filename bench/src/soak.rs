//! The soak: steady load for minutes, with faults from the fake TikTok Shop. Afterwards it checks that memory, open
//! files and stored rows have not grown, that every instance of the host is free, and that exactly as many calls have
//! failed as there were faults.

mod fake;
mod gate;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::Intercepted;
use tiktok_shop_host::{CustomerId, ShopId, TenantId};
use tiktok_shop_sql_storage::{OpenMode, SqlStorage};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub(crate) use self::fake::SoakFake;
use self::fake::{Fake, STATE};
use self::gate::Gate;
use crate::figure::number;
use crate::figures::say;
use crate::platform::{FILTER, Parts, Platform, app};
use crate::process::{memory_kib, open_files};
use crate::rounds::{median, whole_machine};
use crate::server::ORDERS;

/// The path of the request that renews tokens.
const RENEWAL: &str = "/api/v2/token/refresh";
/// The path of the request that lists the shops.
const SHOPS: &str = "/authorization/202309/shops";
/// The places for calls of the host.
const PLACES: u32 = 16;
/// The number of customers in each of two groups. Shops are listed and orders are searched for the first group, and the
/// second group is refreshed, because a refresh may end the access token that a call uses.
const CUSTOMERS: usize = 20;
/// The indices at which the groups begin.
const USED: usize = 0;
const REFRESHED: usize = CUSTOMERS;
/// Of ten operations, six list shops, three search for orders, and one refreshes.
const SHARES: [u32; 3] = [6, 3, 1];
/// One of 10 searches meets a fault, and one of 4 refreshes.
const FAULTS: [u64; 2] = [10, 4];
/// The memory may grow by this much, or by a twentieth, whichever is more. The allocator's own noise is smaller.
const MEMORY_KIB: f64 = 8_192.0;
/// The number of open files may grow by this many, because connections that a fault closed are opened again.
const FILES: f64 = 4.0;

/// Keep a steady load for minutes, with faults, and check that nothing grows and that no fault costs more than one
/// call.
///
/// The host stores in SQLite, and sends its requests to a fake TikTok Shop in another process. Exit status 1 if memory,
/// open files or stored rows grew, if an instance of the host is not free, or if the number of failed calls is not the
/// number of faults.
#[derive(Args, Debug)]
pub(crate) struct Soak {
    /// Length of the load, in minutes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// Length of the load in seconds, in place of minutes. At least 10.
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..=600_000), conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// Number of operations per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    rate: u32,
    /// Print one JSON object in place of the lines.
    #[arg(long)]
    json: bool,
}

/// The report of a soak, and whether every check passed.
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) passed: bool,
}

/// Everything that the operations use. A clone shares it.
#[derive(Clone)]
struct Load {
    platform: Platform,
    fake: Arc<Fake>,
    customers: Arc<Vec<(CustomerId, ShopId)>>,
    counted: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    operations: AtomicU64,
    failures: AtomicU64,
    refreshes: AtomicU64,
    faults: AtomicU64,
}

impl Counted {
    fn finished(&self, failed: bool) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(failed), Ordering::Relaxed);
    }
}

/// The state of the process at one moment of the load.
#[derive(Clone, Copy)]
struct Sample {
    memory_kib: u64,
    files: usize,
}

impl Soak {
    pub(crate) fn run(self, component: &Path) -> Result<Report> {
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("soak.sqlite");
        whole_machine()?.block_on(async {
            let fake = Arc::new(Fake::start(2 * CUSTOMERS)?);
            let gate = Arc::new(Gate::new(PLACES as usize));
            let load = self.prepare(component, &database, &fake, &gate).await?;
            self.soak(&database, &gate, load).await
        })
    }

    /// Builds the host and connects the customers.
    async fn prepare(&self, component: &Path, database: &Path, fake: &Arc<Fake>, gate: &Arc<Gate>) -> Result<Load> {
        let storage = SqlStorage::sqlite(database, OpenMode::Create).await?;
        let mut parts = Parts::new(component, fake.address())?;
        parts.storage = Arc::new(Intercepted::new(Arc::new(storage), Arc::clone(gate) as Arc<_>));
        parts.limits = Limits { concurrent_calls: PLACES, ..parts.limits };
        let tenant: TenantId = "acme".parse()?;
        let (key, secret) = fake.app();
        parts.credentials = Arc::new(gate.guarding(StaticCredentials::new().with(tenant, app(key, secret))));
        let platform = parts.build()?;
        let mut customers = Vec::new();
        for (number, query) in fake.queries().iter().enumerate() {
            let customer: CustomerId = format!("customer-{number}").parse()?;
            let grant = Grant::Callback { query: query.as_str().into(), state: STATE.into() };
            let connected = platform.host.connect(&platform.tenant, &customer, None, grant, ShopPolicy::All).await?;
            let shop = connected.shops.first().context("a connection without a shop")?.id.clone();
            customers.push((customer, shop));
        }
        let (customers, counted) = (Arc::new(customers), Arc::default());
        Ok(Load { platform, fake: Arc::clone(fake), customers, counted })
    }

    async fn soak(&self, database: &Path, gate: &Gate, load: Load) -> Result<Report> {
        let length = Duration::from_secs(self.seconds.unwrap_or(60 * self.minutes));
        let begin = Instant::now();
        let end = begin + length;
        let rows_before = rows(database).await?;
        let (samples, lists, searches, refreshes) = tokio::join!(
            sample(begin, end),
            load.clone().list_shops(self.rate_of(0), end),
            load.clone().search(self.rate_of(1), end),
            load.clone().refresh(self.rate_of(2), end),
        );
        let samples = samples?;
        lists?;
        searches?;
        refreshes?;

        let checks = [
            check_growth(
                "memory",
                " KiB",
                &samples,
                |sample| sample.memory_kib as f64,
                |before| MEMORY_KIB.max(before / 20.0),
            ),
            check_growth("open files", "", &samples, |sample| sample.files as f64, |_| FILES),
            check_rows(&rows_before, &rows(database).await?, load.counted.refreshes.load(Ordering::Relaxed)),
            check_faults(&load)?,
            check_places(gate, &load.platform).await,
        ];
        let passed = checks.iter().all(|check| check.passed);
        let operations = load.counted.operations.load(Ordering::Relaxed);
        let text = if self.json {
            let checks: serde_json::Map<_, _> =
                checks.iter().map(|check| (check.name.to_owned(), check.json())).collect();
            let seconds = length.as_secs();
            let report = json!({ "benchmark": "soak", "seconds": seconds, "operations": operations, "checks": checks });
            format!("{report:#}\n")
        } else {
            let lines: String = checks.iter().map(Check::line).collect();
            format!("operations   {} in {} s\n{lines}", number(operations as f64), length.as_secs())
        };
        Ok(Report { text, passed })
    }

    /// Returns how many operations of a kind begin in a second.
    fn rate_of(&self, kind: usize) -> u32 {
        let share = SHARES.get(kind).copied().unwrap_or_default();
        (self.rate * share / SHARES.iter().sum::<u32>()).max(1)
    }
}

impl Load {
    async fn list_shops(self, rate: u32, end: Instant) -> Result<()> {
        paced(rate, end, |number| {
            let (load, (customer, _)) = (self.clone(), self.customer(USED, number)?);
            Ok(async move { load.counted.finished(load.platform.list_shops(&customer).await.is_err()) })
        })
        .await
    }

    async fn search(self, rate: u32, end: Instant) -> Result<()> {
        let [one_of, _] = FAULTS;
        paced(rate, end, |number| {
            if number % one_of == one_of - 1 {
                self.fault(ORDERS)?;
            }
            let (load, (customer, shop)) = (self.clone(), self.customer(USED, number)?);
            Ok(async move {
                let search = CallRequest::new(CallScope::Shop(shop), HttpMethod::Post, ORDERS);
                let search = search.query("page_size", "2").json(FILTER);
                let answer = load.platform.host.call(&load.platform.tenant, &customer, search).await;
                load.counted.finished(!answer.is_ok_and(|answer| answer.is_success()));
            })
        })
        .await
    }

    /// Refreshes one connection after the other. Two refreshes of one connection at the same time would wait for each
    /// other's claim.
    async fn refresh(self, rate: u32, end: Instant) -> Result<()> {
        let [_, one_of] = FAULTS;
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Platform { host, tenant, .. } = &self.platform;
        for number in 0_u64.. {
            ticks.tick().await;
            if Instant::now() >= end {
                break;
            }
            if number % one_of == one_of - 1 {
                // Every second fault meets the renewal, and the others the list of shops.
                self.fault(if number % (2 * one_of) < one_of { RENEWAL } else { SHOPS })?;
            }
            let (customer, _) = self.customer(REFRESHED, number)?;
            let refreshed = host.refresh(tenant, &customer, None, RefreshMode::Forced).await;
            self.counted.finished(!refreshed.is_ok_and(|refreshed| refreshed.connection.last_failure.is_none()));
            self.counted.refreshes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns a customer of the group that begins at this index.
    fn customer(&self, group: usize, number: u64) -> Result<(CustomerId, ShopId)> {
        let index = group + usize::try_from(number)? % CUSTOMERS;
        self.customers.get(index).cloned().context("no such customer")
    }

    /// Lets the next request for this path meet a fault.
    fn fault(&self, path: &str) -> Result<()> {
        self.counted.faults.fetch_add(1, Ordering::Relaxed);
        tokio::task::block_in_place(|| self.fake.fault_next(path))
    }
}

/// Begins `rate` operations per second until `end`. Returns when all of them have ended.
async fn paced<F: Future<Output = ()> + Send + 'static>(
    rate: u32,
    end: Instant,
    operation: impl Fn(u64) -> Result<F>,
) -> Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    let mut running = JoinSet::new();
    for number in 0_u64.. {
        ticks.tick().await;
        if Instant::now() >= end {
            break;
        }
        running.spawn(operation(number)?);
        while let Some(ended) = running.try_join_next() {
            ended?;
        }
    }
    while let Some(ended) = running.join_next().await {
        ended?;
    }
    Ok(())
}

/// Reads memory and open files each second. The first fifth of the time warms up: pools open connections, and caches
/// fill.
async fn sample(begin: Instant, end: Instant) -> Result<Vec<Sample>> {
    let warm = begin + (end - begin) / 5;
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut samples = Vec::new();
    loop {
        ticks.tick().await;
        let now = Instant::now();
        if now >= end {
            return Ok(samples);
        }
        if now >= warm {
            samples.push(Sample { memory_kib: memory_kib()?, files: open_files()? });
        }
        let left = (end - now).as_secs();
        if left > 0 && left.is_multiple_of(60) {
            say(&format!("{} min left", left / 60));
        }
    }
}

/// The result of one check.
struct Check {
    name: &'static str,
    passed: bool,
    detail: String,
}

impl Check {
    fn line(&self) -> String {
        let verdict = if self.passed { "ok" } else { "FAILED" };
        format!("{:<12} {verdict:<7} {}\n", self.name, self.detail)
    }

    fn json(&self) -> Value {
        json!({ "passed": self.passed, "detail": self.detail })
    }
}

/// Compares the median of the first third of the samples with the median of the last third.
fn check_growth(
    name: &'static str,
    unit: &str,
    samples: &[Sample],
    value: fn(&Sample) -> f64,
    allowed: impl Fn(f64) -> f64,
) -> Check {
    let values: Vec<_> = samples.iter().map(value).collect();
    let third = (values.len() / 3).max(1);
    let first: Vec<_> = values.iter().take(third).copied().collect();
    let last: Vec<_> = values.iter().rev().take(third).copied().collect();
    let (before, after) = (median(&first), median(&last));
    let passed = after - before <= allowed(before);
    let detail = format!("{}{unit} after the warm-up, {}{unit} at the end", number(before), number(after));
    Check { name, passed, detail }
}

/// The number of stored rows, without events, and the number of events.
struct Rows {
    tables: i64,
    events: i64,
}

async fn rows(database: &Path) -> Result<Rows> {
    let address = format!("sqlite://{}?mode=ro", database.display());
    let mut connection = SqliteConnection::connect(&address).await?;
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'tiktok_shop_%'";
    let names = sqlx::query(tables).fetch_all(&mut connection).await?;
    let mut rows = Rows { tables: 0, events: 0 };
    for name in names {
        let name: String = name.try_get(0)?;
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {name}"));
        let count: i64 = sqlx::query(count).fetch_one(&mut connection).await?.try_get(0)?;
        if name == "tiktok_shop_events" { rows.events += count } else { rows.tables += count }
    }
    connection.close().await?;
    Ok(rows)
}

/// A forced refresh writes at most one event of its own, and events stay. Nothing else may be added.
fn check_rows(before: &Rows, after: &Rows, refreshes: u64) -> Check {
    let events = after.events - before.events;
    let passed = after.tables == before.tables && u64::try_from(events).is_ok_and(|events| events <= refreshes);
    let detail = format!("{} before, {} after; {events} events of {refreshes} refreshes", before.tables, after.tables);
    Check { name: "rows", passed, detail }
}

/// Every fault that the fake played must have cost exactly one operation, and nothing else may have failed.
fn check_faults(load: &Load) -> Result<Check> {
    let ordered = load.counted.faults.load(Ordering::Relaxed);
    let left = load.fake.faults_left()?;
    ensure!(left <= ordered, "the fake has more faults than it was told");
    let (played, failed) = (ordered - left, load.counted.failures.load(Ordering::Relaxed));
    let detail = format!("the fake played {played}, and {failed} operations failed");
    Ok(Check { name: "faults", passed: played == failed && played > 0, detail })
}

/// All places must be free: as many calls as there are places must be able to run at the same moment.
async fn check_places(gate: &Gate, platform: &Platform) -> Check {
    let free = gate.all_places_are_free(platform).await;
    let detail = match &free {
        Ok(()) => format!("{PLACES} calls ran at the same moment, and {PLACES} asked for credentials"),
        Err(error) => format!("{error:#}"),
    };
    Check { name: "places", passed: free.is_ok(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[u64]) -> Check {
        let samples: Vec<_> = values.iter().map(|&memory_kib| Sample { memory_kib, files: 0 }).collect();
        check_growth("memory", " KiB", &samples, |sample| sample.memory_kib as f64, |before| before / 20.0)
    }

    #[test]
    fn memory_may_vary_and_may_not_grow() {
        assert!(check(&[1_000, 1_040, 990, 1_000, 1_020, 1_050]).passed);
        let grown = check(&[1_000, 1_000, 1_050, 1_050, 1_100, 1_100]);
        assert!(!grown.passed);
        assert_eq!(grown.line(), "memory       FAILED  1 000 KiB after the warm-up, 1 100 KiB at the end\n");
    }

    #[test]
    fn only_one_event_for_each_refresh_may_be_added() {
        let rows = |tables, events| Rows { tables, events };
        assert!(check_rows(&rows(120, 80), &rows(120, 90), 10).passed);
        assert!(!check_rows(&rows(120, 80), &rows(121, 80), 10).passed);
        assert!(!check_rows(&rows(120, 80), &rows(120, 91), 10).passed);
    }
}
