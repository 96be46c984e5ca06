//! The cost of a database: refreshes with SQLite and with PostgreSQL, against refreshes with storage in memory.

use anyhow::Result;
use tokio::runtime::Runtime;

use super::{Context, Outcome};
use crate::database::Database;
use crate::figure::{Measured, number};
use crate::platform::{Platform, customer};
use crate::rounds::{in_turn, median_of_calls, on_worker, whole_machine};
use crate::server::Server;

pub(super) const KEYS: [&str; 2] = ["sealed_sqlite_vs_memory", "sealed_postgres_vs_memory"];

/// The number of refreshes in each round.
const CALLS: u64 = 300;
/// The number of connections in each storage.
const STORED: u64 = 10;

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    let (server, runtime) = (Server::start()?, whole_machine()?);
    let memory = platform(context, &server, &runtime, None)?;
    let mut figures = Vec::new();
    for (key, database) in KEYS.into_iter().zip(context.databases()) {
        let Some(database) = database else {
            figures.push(Measured::none(key, "no PostgreSQL server; pass --postgres"));
            continue;
        };
        let database = database.create(&runtime)?;
        let stored = platform(context, &server, &runtime, Some(&database))?;
        let [in_database, in_memory] =
            in_turn(context.rounds, [&mut || refresh(&runtime, &stored), &mut || refresh(&runtime, &memory)])?;
        let detail = format!("{} µs ÷ {} µs", number(in_database.median()), number(in_memory.median()));
        figures.push(Measured::of_rounds(key, &in_database.over(&in_memory), detail));
    }
    Ok(figures.into())
}

fn platform(context: &Context, server: &Server, runtime: &Runtime, database: Option<&Database>) -> Result<Platform> {
    let platform = {
        let _guard = runtime.enter();
        let mut parts = context.parts(server)?;
        if let Some(database) = database {
            parts.storage = database.storage();
        }
        parts.build()?
    };
    let filling = platform.clone();
    on_worker(runtime, async move {
        for number in 0..STORED {
            filling.connect(&customer(number)?).await?;
        }
        Ok(())
    })?;
    Ok(platform)
}

fn refresh(runtime: &Runtime, platform: &Platform) -> Result<f64> {
    let platform = platform.clone();
    on_worker(runtime, async move {
        median_of_calls(CALLS, |call| {
            let platform = platform.clone();
            async move { platform.refresh(&customer(call % STORED)?).await }
        })
        .await
    })
}
