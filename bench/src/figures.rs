//! Runs the chosen figures. Figures that need the same preparations are measured together, in one job.

mod artifact;
mod fairness;
mod in_flight;
mod packages;
mod sandbox;
mod scale;
mod scaling;
mod sealed;
mod service;
mod start;
mod sweep;
mod transport;
mod webhooks;
mod yardsticks;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
use tokio::time::Instant;

pub(crate) use self::in_flight::InFlight;
pub(crate) use self::packages::Packages;
pub(crate) use self::start::FirstCall;
use crate::database::{Schema, Server as Database};
use crate::figure::Measured;
use crate::platform::{Parts, in_memory};
use crate::plot::Plot;
use crate::round_trips::{Counts, Operation, Wire, count};
use crate::rounds::whole_machine;
use crate::server::Server;

/// The values that all figures share.
pub(crate) struct Context {
    pub(crate) component: PathBuf,
    /// The number of times that each thing is measured.
    pub(crate) rounds: u32,
    /// The number of stored connections of the figures `scale_*`.
    pub(crate) scale: u64,
    /// The address of a PostgreSQL server.
    pub(crate) postgres: Option<String>,
    /// The program `tiktok-shop-harness`.
    pub(crate) program: Option<PathBuf>,
    pub(crate) packages: Packages,
    /// A folder for databases and the compiled component. It is deleted at the end.
    pub(crate) folder: TempDir,
}

impl Context {
    /// Returns the folder in which hosts keep the compiled component.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("compiled")
    }

    /// Returns the parts of a host that sends its requests to this server.
    fn parts(&self, server: &Server) -> Result<Parts> {
        Ok(Parts::new(&self.component, server.address())?.cached_in(&self.cache()))
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn databases(&self) -> [Option<Database>; 2] {
        [Some(Database::Sqlite(self.folder().to_owned())), self.postgres.clone().map(Database::Postgres)]
    }
}

/// The results of a job.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) figures: Vec<Measured>,
    pub(crate) plots: Vec<Plot>,
}

impl From<Vec<Measured>> for Outcome {
    fn from(figures: Vec<Measured>) -> Self {
        Self { figures, plots: Vec::new() }
    }
}

/// Figures that are measured together.
struct Job {
    keys: &'static [&'static str],
    /// About how long the job takes on two processors, in seconds.
    seconds: fn(&Context) -> u64,
    run: fn(&Context) -> Result<Outcome>,
}

const JOBS: [Job; 21] = [
    Job { keys: &artifact::KEYS, seconds: |_| 1, run: artifact::measure },
    Job { keys: &sandbox::NATIVE, seconds: |context| 6 * u64::from(context.rounds), run: sandbox::measure_native },
    Job { keys: &sandbox::EMPTY, seconds: |context| 4 * u64::from(context.rounds), run: sandbox::measure_empty },
    Job { keys: &sandbox::LIMITS, seconds: |context| 2 * u64::from(context.rounds) + 4, run: sandbox::measure_limits },
    Job { keys: &transport::KEYS, seconds: |context| 4 * u64::from(context.rounds) + 4, run: transport::measure },
    Job { keys: &yardsticks::KEYS, seconds: |context| 11 * u64::from(context.rounds) + 40, run: yardsticks::measure },
    Job { keys: &scaling::KEYS, seconds: |context| 6 * u64::from(context.rounds), run: scaling::measure },
    Job { keys: &in_flight::KEYS, seconds: |context| 25 * u64::from(context.rounds.min(3)), run: in_flight::measure },
    Job { keys: &start::KEYS, seconds: |_| 20, run: start::measure },
    Job { keys: &sealed::KEYS, seconds: |context| 6 * u64::from(context.rounds), run: sealed::measure },
    Job { keys: &scale::SQLITE, seconds: |context| 60 + context.scale / 5_000, run: scale::measure_sqlite },
    Job { keys: &scale::POSTGRES, seconds: |context| 60 + context.scale / 4_000, run: scale::measure_postgres },
    Job { keys: &sweep::SQLITE, seconds: |context| 15 * u64::from(context.rounds), run: sweep::measure_sqlite },
    Job { keys: &sweep::POSTGRES, seconds: |context| 15 * u64::from(context.rounds), run: sweep::measure_postgres },
    Job { keys: &webhooks::KEYS, seconds: |context| 11 * u64::from(context.rounds), run: webhooks::measure },
    Job { keys: &fairness::KEYS, seconds: |context| 22 * u64::from(context.rounds), run: fairness::measure },
    Job { keys: &service::CALLS, seconds: |context| 15 * u64::from(context.rounds) + 15, run: service::measure_calls },
    Job { keys: &service::MEMORY, seconds: |context| u64::from(context.rounds) + 3, run: service::measure_memory },
    Job {
        keys: &service::WEBHOOKS,
        seconds: |context| 5 * u64::from(context.rounds) + 5,
        run: service::measure_webhooks,
    },
    Job { keys: &packages::NODE, seconds: |context| 9 * u64::from(context.rounds) + 15, run: packages::measure_node },
    Job {
        keys: &packages::PYTHON,
        seconds: |context| 13 * u64::from(context.rounds) + 20,
        run: packages::measure_python,
    },
];

/// The results of all chosen figures.
pub(crate) struct Results {
    /// The figures in the order of the table.
    pub(crate) figures: Vec<Measured>,
    pub(crate) plots: Vec<Plot>,
    /// Empty if they were not counted.
    pub(crate) round_trips: Vec<(Operation, Counts)>,
    /// Whether every job ended without an error.
    pub(crate) complete: bool,
    pub(crate) took: Duration,
}

/// Measures the figures with these keys. If a job fails, its figures are reported as not measured, and the next job
/// begins.
pub(crate) fn run(context: &Context, keys: &[&'static str]) -> Result<Results> {
    let jobs: Vec<_> = JOBS.iter().filter(|job| job.keys.iter().any(|key| keys.contains(key))).collect();
    let began = Instant::now();
    let mut results = Results {
        figures: Vec::new(),
        plots: Vec::new(),
        round_trips: Vec::new(),
        complete: true,
        took: Duration::ZERO,
    };
    for (number, job) in jobs.iter().enumerate() {
        let left: u64 = jobs.iter().skip(number).map(|job| (job.seconds)(context)).sum();
        let names = job.keys.join(", ");
        say(&format!("[{}/{}] about {} left: {names}", number + 1, jobs.len(), minutes(left)));
        match (job.run)(context).with_context(|| format!("can't measure {names}")) {
            Ok(outcome) => {
                results.figures.extend(outcome.figures);
                results.plots.extend(outcome.plots);
            }
            Err(error) => {
                say(&format!("error: {error:#}"));
                results.complete = false;
                let missing = |key: &&'static str| Measured::none(key, format!("{:#}", error.root_cause()));
                results.figures.extend(job.keys.iter().map(missing));
            }
        }
    }
    let place = |figure: &Measured| crate::figure::FIGURES.iter().position(|known| known.key == figure.key);
    results.figures.retain(|figure| keys.contains(&figure.key));
    results.figures.sort_by_key(place);
    results.took = began.elapsed();
    Ok(results)
}

/// Counts the round trips of every operation: with PostgreSQL if there is a server, and otherwise only the accesses.
pub(crate) fn count_round_trips(context: &Context) -> Result<Vec<(Operation, Counts)>> {
    let server = Server::start()?;
    let parts = || context.parts(&server);
    whole_machine()?.block_on(async {
        let Some(postgres) = &context.postgres else { return count(parts, in_memory(), None).await };
        let schema = Schema::create(postgres).await?;
        let (address, wire) = Wire::to(&schema.address).await?;
        // With one connection, every statement is prepared the third time.
        let options = PostgresOptions { connections: 1, ..PostgresOptions::default() };
        let storage = SqlStorage::postgres(&address, OpenMode::Create, options).await?;
        let counted = count(parts, Arc::new(storage.clone()), Some(wire)).await;
        storage.close().await;
        schema.drop_it().await?;
        counted
    })
}

/// Writes a line to standard error.
pub(crate) fn say(line: &str) {
    // If standard error is closed, nobody reads the progress.
    let _closed = writeln!(io::stderr(), "{line}");
}

fn minutes(seconds: u64) -> String {
    if seconds < 90 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_exactly_one_job() {
        let mut measured: Vec<_> = JOBS.iter().flat_map(|job| job.keys).copied().collect();
        let mut known: Vec<_> = crate::figure::FIGURES.iter().map(|figure| figure.key).collect();
        measured.sort_unstable();
        known.sort_unstable();
        assert_eq!(measured, known);
    }
}
