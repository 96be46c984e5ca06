//! How many due connections one process refreshes in a second, and which part takes the time.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use http_body_util::{BodyExt as _, Empty};
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::egress::{Authority, PooledClient};
use tiktok_shop_host::sweep::Sweep;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::{Context, Outcome};
use crate::database::{Database, Server as Databases};
use crate::figure::{Measured, number};
use crate::platform::{LONG_AGO, Platform, Template, in_memory, now};
use crate::rounds::{Series, in_turn, median_of_calls, microseconds, on_worker, whole_machine};
use crate::server::Server;

pub(super) const SQLITE: [&str; 1] = ["sweep_per_second_sqlite"];
pub(super) const POSTGRES: [&str; 1] = ["sweep_per_second_postgres"];

/// The number of due connections in each round.
const DUE: u64 = 2_000;
/// The number of refreshes at the same time.
const CONCURRENCY: usize = 32;
/// The number of due connections in each round that are refreshed one after the other.
const IN_SEQUENCE: u64 = 300;

pub(super) fn measure_sqlite(context: &Context) -> Result<Outcome> {
    measure(context, SQLITE, &Databases::Sqlite(context.folder().to_owned()))
}

pub(super) fn measure_postgres(context: &Context) -> Result<Outcome> {
    let Some(address) = context.postgres.clone() else {
        return Ok(POSTGRES.map(|key| Measured::none(key, "no PostgreSQL server; pass --postgres")).to_vec().into());
    };
    measure(context, POSTGRES, &Databases::Postgres(address))
}

/// A storage with connections that can be made due.
struct Side {
    platform: Platform,
    template: Template,
    stored: u64,
    /// `None` if the storage is in memory. Dropped last, because the database may be deleted with it.
    database: Option<Database>,
}

impl Side {
    fn new(context: &Context, server: &Server, runtime: &Runtime, database: Option<Database>) -> Result<Self> {
        let storage = database.as_ref().map_or_else(in_memory, Database::storage);
        let (platform, template) = runtime.block_on(async {
            // A host whose clock is ten days behind stores connections that are due now.
            let long_ago = Duration::from_secs(now().0).saturating_sub(LONG_AGO);
            let mut parts = context.parts(server)?.storing_in(Arc::clone(&storage));
            let keys = Arc::clone(&parts.keys);
            parts.clock = Arc::new(ManualClock::at(long_ago));
            let past = parts.build()?;
            let first = past.connect(&"first".parse()?).await?;
            let mut template = past.template(&first.key).await?;
            template.due = Some(UnixSeconds(now().0 - 1));
            let mut parts = context.parts(server)?.storing_in(storage);
            parts.keys = keys;
            anyhow::Ok((parts.build()?, template))
        })?;
        let mut side = Self { platform, template, stored: 0, database };
        // The first sweep also refreshes the first connection.
        side.sweep(runtime, 10, 1, 11)?;
        Ok(side)
    }

    /// Adds due connections, sweeps, and returns the time of the sweep.
    fn sweep(&mut self, runtime: &Runtime, due: u64, concurrency: usize, expected: u64) -> Result<Duration> {
        let customers = self.stored..self.stored + due;
        self.stored = customers.end;
        let concurrency = NonZeroUsize::new(concurrency).unwrap_or(NonZeroUsize::MIN);
        runtime.block_on(async {
            match &self.database {
                Some(database) => database.fill(&self.platform, &self.template, customers).await?,
                None => self.platform.fill_memory(&self.template, customers).await?,
            }
            let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(now(), concurrency) };
            let began = Instant::now();
            let swept = self.platform.host.sweep(sweep, std::future::pending(), |_, _| ()).await?;
            let took = began.elapsed();
            ensure!(swept.refreshed == expected, "the sweep refreshed not {expected} connections: {swept}");
            Ok(took)
        })
    }

    /// Refreshes due connections one after the other, and returns the time of each in microseconds.
    fn one_by_one(&mut self, runtime: &Runtime) -> Result<f64> {
        Ok(microseconds(self.sweep(runtime, IN_SEQUENCE, 1, IN_SEQUENCE)?) / IN_SEQUENCE as f64)
    }
}

fn measure(context: &Context, keys: [&'static str; 1], databases: &Databases) -> Result<Outcome> {
    let (server, runtime) = (Server::start()?, whole_machine()?);
    let mut stored = Side::new(context, &server, &runtime, Some(databases.create(&runtime)?))?;
    let mut in_memory = Side::new(context, &server, &runtime, None)?;
    let mut rates = Series::default();
    for _ in 0..context.rounds {
        let took = stored.sweep(&runtime, DUE, CONCURRENCY, DUE)?;
        rates.0.push(DUE as f64 / took.as_secs_f64());
    }

    let client = stored.platform.host.pooled_client();
    let [all, without_database, requests] = in_turn(
        context.rounds,
        [&mut || stored.one_by_one(&runtime), &mut || in_memory.one_by_one(&runtime), &mut || {
            requests(&runtime, &client)
        }],
    )?;
    let (all, without_database, requests) = (all.median(), without_database.median(), requests.median());
    let share = |part: f64| format!("{:.0} %", 100.0 * part / all);
    let detail = format!(
        "{CONCURRENCY} at the same time. One after the other, a refresh takes {} µs: the database {}, the two requests \
         {}, component, host and sealing {}",
        number(all),
        share(all - without_database),
        share(requests),
        share(without_database - requests),
    );
    let [key] = keys;
    Ok(vec![Measured::of_rounds(key, &rates, detail)].into())
}

/// Returns the time of the two requests of a refresh without a guest, in microseconds.
fn requests(runtime: &Runtime, client: &PooledClient) -> Result<f64> {
    let client = client.clone();
    on_worker(runtime, async move {
        median_of_calls(IN_SEQUENCE, |_| {
            let client = client.clone();
            async move {
                let paths = [
                    (Authority::Auth, "/api/v2/token/refresh?app_key=k"),
                    (Authority::Api, "/authorization/202309/shops"),
                ];
                for (authority, path) in paths {
                    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
                    let uri = format!("https://{}{path}", authority.host());
                    let response = client.send(http::Request::get(uri).body(body)?).await?;
                    response.into_body().collect().await?;
                }
                Ok(())
            }
        })
        .await
    })
}
