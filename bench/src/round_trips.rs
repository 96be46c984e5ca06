//! Counts what each call asks of the storage, and how many round trips this takes with PostgreSQL. Everything is
//! counted when it is warm: statements are prepared, and the tenant's keys are in memory.

mod wire;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::storage::{Access, HostStorage, Intercepted, Interceptor, Passage};
use tiktok_shop_host::sweep::Sweep;
use tiktok_shop_host::webhook::WebhookReply;

pub(crate) use self::wire::Wire;
use crate::platform::{LONG_AGO, Parts, Platform, customer, now, webhook};

/// An operation whose accesses are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Connect,
    Refresh,
    ListShops,
    Call,
    AccessToken,
    Webhook,
    /// One due connection in a sweep: the accesses of a sweep with one due connection, without those of a sweep with
    /// none.
    SweepEntry,
}

impl Operation {
    /// All operations, in the order in which they are counted. Until the webhooks are counted, the shop has one owner.
    pub(crate) const ALL: [Self; 7] =
        [Self::ListShops, Self::AccessToken, Self::Call, Self::Refresh, Self::Webhook, Self::Connect, Self::SweepEntry];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "`connect`, a new connection",
            Self::Refresh => "`refresh`, forced",
            Self::ListShops => "`list_shops`",
            Self::Call => "`call`, for a shop",
            Self::AccessToken => "`access_token`, a valid token",
            Self::Webhook => "`accept_webhook`, a new event of a shop with one owner",
            Self::SweepEntry => "a due connection in a sweep",
        }
    }
}

/// The accesses of an operation, in their order, and the round trips to PostgreSQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accesses: Vec<&'static str>,
    /// The number of the accesses that write.
    pub(crate) writes: usize,
    /// `None` if the storage is not PostgreSQL.
    pub(crate) round_trips: Option<u64>,
}

impl Counts {
    /// Returns what remains without the accesses of `other`. The accesses of `other` must be among these.
    fn without(mut self, other: &Self) -> Self {
        // A sweep ends with the accesses that it also makes without a due connection.
        for access in other.accesses.iter().rev() {
            if let Some(place) = self.accesses.iter().rposition(|own| own == access) {
                self.accesses.remove(place);
            }
        }
        let round_trips = self.round_trips.zip(other.round_trips).map(|(own, other)| own.saturating_sub(other));
        Self { writes: self.writes.saturating_sub(other.writes), round_trips, ..self }
    }
}

/// Records the accesses to a storage.
#[derive(Default)]
struct Log(Mutex<Counts>);

#[async_trait]
impl Interceptor for Log {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let writes = match access {
            Access::Accounts(..)
            | Access::LoadToken(..)
            | Access::ListRows(..)
            | Access::LoadRow(..)
            | Access::Read(_) => false,
            Access::SwapToken(..)
            | Access::SwapRow(..)
            | Access::AppendOnce(..)
            | Access::PutState(..)
            | Access::PutInstall(..)
            | Access::Reseal(..)
            | Access::Write(_) => true,
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.accesses.push(access.method());
        counts.writes += usize::from(writes);
        Passage::Forward
    }

    fn sees_joint_reads(&self) -> bool {
        true
    }
}

/// Two hosts with one storage. The clock of the second host is ten days behind, so it stores connections that are due
/// for the first.
struct Counter {
    now: Platform,
    past: Platform,
    log: Arc<Log>,
    wire: Option<Wire>,
}

/// Counts the accesses of every operation. `parts` makes the parts of a host, with another storage than `storage`.
/// `wire` is the way to the storage if it is PostgreSQL.
pub(crate) async fn count(
    parts: impl Fn() -> Result<Parts>,
    storage: Arc<dyn HostStorage>,
    wire: Option<Wire>,
) -> Result<Vec<(Operation, Counts)>> {
    let log = Arc::new(Log::default());
    let storage: Arc<dyn HostStorage> = Arc::new(Intercepted::new(storage, Arc::clone(&log) as Arc<_>));
    let present = parts()?.storing_in(Arc::clone(&storage));
    let mut past = parts()?.storing_in(storage);
    past.keys = Arc::clone(&present.keys);
    past.clock = Arc::new(ManualClock::at(Duration::from_secs(now().0).saturating_sub(LONG_AGO)));
    let counter = Counter { now: present.build()?, past: past.build()?, log, wire };

    counter.now.connect(&customer(0)?).await?;
    let mut counts = Vec::new();
    for operation in Operation::ALL {
        // The first two times prepare statements and fill caches.
        counter.count(operation, 0).await?;
        counter.count(operation, 1).await?;
        counts.push((operation, counter.count(operation, 2).await?));
    }
    Ok(counts)
}

impl Counter {
    async fn count(&self, operation: Operation, number: u64) -> Result<Counts> {
        let known = customer(0)?;
        let Platform { host, tenant, .. } = &self.now;
        Ok(match operation {
            Operation::Connect => {
                let new = customer(1 + number)?;
                self.counted(self.now.connect(&new)).await?
            }
            Operation::Refresh => self.counted(self.now.refresh(&known)).await?,
            Operation::ListShops => self.counted(self.now.list_shops(&known)).await?,
            Operation::Call => self.counted(self.now.search(&known)).await?,
            Operation::AccessToken => {
                let shown = async { Ok(host.access_token(tenant, &known, None, Duration::from_secs(600)).await?) };
                self.counted(shown).await?
            }
            Operation::Webhook => {
                let (authorization, body) = webhook(number);
                let accept = async {
                    let handle = async |_| Ok::<_, Infallible>(());
                    let reply = host.accept_webhook(tenant, None, &authorization, body, handle).await;
                    ensure!(matches!(reply, WebhookReply::Handled), "the webhook ended in {reply:?}");
                    Ok(())
                };
                self.counted(accept).await?
            }
            Operation::SweepEntry => {
                let none = self.counted(self.sweep(0)).await?;
                self.past.connect(&format!("due-{number}").parse()?).await?;
                self.counted(self.sweep(1)).await?.without(&none)
            }
        })
    }

    async fn sweep(&self, due: u64) -> Result<()> {
        let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(now(), NonZeroUsize::MIN) };
        let swept = self.now.host.sweep(sweep, std::future::pending(), |_, _| ()).await?;
        ensure!(swept.refreshed == due, "the sweep refreshed not {due} connections: {swept}");
        Ok(())
    }

    /// Runs an operation, and returns its counts.
    async fn counted<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<Counts> {
        let take = || std::mem::take(&mut *self.log.0.lock().unwrap_or_else(PoisonError::into_inner));
        let round_trips = || self.wire.as_ref().map(Wire::round_trips);
        take();
        let before = round_trips();
        operation.await?;
        let round_trips = round_trips().zip(before).map(|(after, before)| after - before);
        Ok(Counts { round_trips, ..take() })
    }
}

/// Returns the table of the page.
pub(crate) fn table(counts: &[(Operation, Counts)]) -> String {
    let mut text = "| operation | accesses to the storage | of them writes | round trips to PostgreSQL |\n\
                    | --- | --- | --- | --- |\n"
        .to_owned();
    for (operation, Counts { accesses, writes, round_trips }) in counts {
        let round_trips = round_trips.map_or_else(|| "not counted".to_owned(), |count| count.to_string());
        let names = accesses.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        text += &format!("| {} | {}: {names} | {writes} | {round_trips} |\n", operation.name(), accesses.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
    use tiktok_shop_test_postgres::test_postgres;

    use super::*;
    use crate::database::Schema;
    use crate::platform::in_memory;
    use crate::server::serve_here;

    /// The accesses of each operation, the number of them that write, and the round trips to PostgreSQL.
    const EXPECTED: [(Operation, &[&str], usize, u64); 7] = [
        (Operation::ListShops, &["list_rows_with_accounts"], 0, 1),
        (Operation::AccessToken, &["accounts_with_token", "append_once"], 1, 2),
        (Operation::Call, &["list_rows_with_accounts", "load_token"], 0, 2),
        (
            Operation::Refresh,
            &["accounts_with_token", "swap_token", "swap_token", "load_row_with_token", "swap_row"],
            3,
            5,
        ),
        (Operation::Webhook, &["knows_webhook", "owners", "load_row_with_token", "remember_webhook"], 1, 4),
        (
            Operation::Connect,
            &["accounts_with_token", "swap_token", "load_row_with_token", "swap_row", "load_token", "swap_token"],
            3,
            6,
        ),
        (
            Operation::SweepEntry,
            &["due", "due", "load_token", "swap_token", "swap_token", "load_row_with_token", "swap_row"],
            3,
            7,
        ),
    ];

    async fn counts(storage: Arc<dyn HostStorage>, wire: Option<Wire>) -> Vec<(Operation, Counts)> {
        let server = serve_here().await.unwrap();
        let component = xtask::component().unwrap();
        count(|| Parts::new(&component, server), storage, wire).await.unwrap()
    }

    fn expected(with_round_trips: bool) -> Vec<(Operation, Counts)> {
        let counts = |(operation, accesses, writes, round_trips): (_, &[&'static str], _, _)| {
            let round_trips = with_round_trips.then_some(round_trips);
            (operation, Counts { accesses: accesses.to_vec(), writes, round_trips })
        };
        EXPECTED.into_iter().map(counts).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_operation_makes_these_accesses_to_a_storage_in_memory() {
        assert_eq!(counts(in_memory(), None).await, expected(false));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_operation_makes_the_same_accesses_to_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let storage = SqlStorage::sqlite(folder.path().join("counted.sqlite"), OpenMode::Create).await.unwrap();
        assert_eq!(counts(Arc::new(storage), None).await, expected(false));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_operation_takes_these_round_trips_to_postgres() {
        let Some(address) = test_postgres() else { return };
        let schema = Schema::create(&address).await.unwrap();
        let (address, wire) = Wire::to(&schema.address).await.unwrap();
        let options = PostgresOptions { connections: 1, ..PostgresOptions::default() };
        let storage = SqlStorage::postgres(&address, OpenMode::Create, options).await.unwrap();
        let counted = counts(Arc::new(storage.clone()), Some(wire)).await;
        storage.close().await;
        schema.drop_it().await.unwrap();
        assert_eq!(counted, expected(true), "\n{}", table(&counted));
    }
}
