//! Whether the number of stored connections matters: the same calls with a database of many connections and with a
//! database of ten. While the large database is filled, calls are also measured at the sizes between.

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

use super::{Context, Outcome};
use crate::database::{Database, Server as Databases};
use crate::figure::{Measured, number};
use crate::platform::{Platform, Template, customer, spread, unique};
use crate::plot::{Axis, Line, Plot};
use crate::rounds::{Series, in_turn, median_of_calls, on_worker, whole_machine};
use crate::server::Server;

pub(super) const SQLITE: [&str; 3] = ["scale_list_sqlite", "scale_connect_sqlite", "scale_refresh_sqlite"];
pub(super) const POSTGRES: [&str; 3] = ["scale_list_postgres", "scale_connect_postgres", "scale_refresh_postgres"];

/// The number of connections in the small database.
const FEW: u64 = 10;
/// The number of calls of each kind in each round.
const CALLS: u64 = 200;

pub(super) fn measure_sqlite(context: &Context) -> Result<Outcome> {
    measure(context, SQLITE, "cost-against-stored-connections-sqlite", &Databases::Sqlite(context.folder().to_owned()))
}

pub(super) fn measure_postgres(context: &Context) -> Result<Outcome> {
    match context.postgres.clone() {
        Some(address) => {
            measure(context, POSTGRES, "cost-against-stored-connections-postgres", &Databases::Postgres(address))
        }
        None => Ok(POSTGRES.map(|key| Measured::none(key, "no PostgreSQL server; pass --postgres")).to_vec().into()),
    }
}

/// A kind of call.
#[derive(Clone, Copy, Debug)]
enum Call {
    ListShops,
    Connect,
    Refresh,
}

const CALLS_OF_FIGURES: [(Call, &str); 3] =
    [(Call::ListShops, "list_shops"), (Call::Connect, "connect"), (Call::Refresh, "refresh")];

/// A database, a host that stores in it, and the number of its connections.
struct Side {
    platform: Platform,
    template: Template,
    stored: u64,
    // The database must be dropped last, because its schema is dropped with it.
    database: Database,
}

impl Side {
    fn new(context: &Context, server: &Server, databases: &Databases, runtime: &Runtime) -> Result<Self> {
        let database = databases.create(runtime)?;
        let platform = {
            let _guard = runtime.enter();
            context.parts(server)?.storing_in(database.storage()).build()?
        };
        let template = runtime.block_on(async {
            let first = platform.connect(&"first".parse()?).await?;
            platform.template(&first.key).await
        })?;
        Ok(Self { platform, template, stored: 0, database })
    }

    /// Fills the database up to this number of connections.
    fn fill(&mut self, runtime: &Runtime, connections: u64) -> Result<()> {
        let customers = self.stored..connections;
        self.stored = connections;
        runtime.block_on(self.database.fill(&self.platform, &self.template, customers))
    }

    /// Makes calls of customers that are spread over all connections, and returns the median time of a call in
    /// microseconds.
    fn measure(&self, runtime: &Runtime, call: Call) -> Result<f64> {
        let (platform, stored) = (self.platform.clone(), self.stored);
        on_worker(runtime, async move {
            let new = unique();
            median_of_calls(CALLS, |number| {
                let (platform, new) = (platform.clone(), format!("new-{new}-{number}"));
                async move {
                    let known = customer(spread(number, stored))?;
                    match call {
                        Call::ListShops => platform.list_shops(&known).await,
                        Call::Connect => platform.connect(&new.parse()?).await.map(drop),
                        Call::Refresh => platform.refresh(&known).await,
                    }
                }
            })
            .await
        })
    }
}

fn measure(context: &Context, keys: [&'static str; 3], plot: &'static str, databases: &Databases) -> Result<Outcome> {
    let (server, runtime) = (Server::start()?, whole_machine()?);
    let mut few = Side::new(context, &server, databases, &runtime)?;
    few.fill(&runtime, FEW)?;
    let mut many = Side::new(context, &server, databases, &runtime)?;
    let mut lines = CALLS_OF_FIGURES.map(|(_, name)| Line { name, points: Vec::new() });
    let sizes = [FEW, 1_000, 30_000, 200_000].into_iter().filter(|size| *size < context.scale);
    for size in sizes.chain([context.scale]) {
        many.fill(&runtime, size)?;
        for ((call, _), line) in CALLS_OF_FIGURES.into_iter().zip(&mut lines) {
            // The first measurement warms the caches of the database.
            many.measure(&runtime, call)?;
            line.points.push((size as f64, many.measure(&runtime, call)?));
        }
    }
    let mut figures = Vec::new();
    for (key, (call, _)) in keys.into_iter().zip(CALLS_OF_FIGURES) {
        let [with_many, with_few]: [Series; 2] =
            in_turn(context.rounds, [&mut || many.measure(&runtime, call), &mut || few.measure(&runtime, call)])
                .with_context(|| format!("can't measure {key}"))?;
        let detail = format!(
            "{} µs with {} ÷ {} µs with {FEW}",
            number(with_many.median()),
            number(context.scale as f64),
            number(with_few.median())
        );
        figures.push(Measured::of_rounds(key, &with_many.over(&with_few), detail));
    }
    let plot = Plot {
        name: plot,
        title: match databases {
            Databases::Sqlite(_) => "SQLite: time of a call against stored connections",
            Databases::Postgres(_) => "PostgreSQL: time of a call against stored connections",
        },
        x: Axis::logarithmic("stored connections"),
        y: Axis::linear("microseconds, p50"),
        lines: lines.into(),
    };
    Ok(Outcome { figures, plots: vec![plot] })
}
