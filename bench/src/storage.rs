//! Measures whether the number of stored connections matters. Compares the time of calls and the host's memory in two
//! cases: with a full database, and with an almost empty one.

pub(crate) mod calls;
mod database;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use fake_tiktok_shop::{FakeTikTokShop, Options, ReplacedRefreshToken};
use indicatif::{ProgressBar, ProgressStyle};
use tiktok_shop_host::seal::KeyFile;
use tiktok_shop_host::storage::HostStorage;
use tokio::time::Instant;

use self::calls::{Bench, Measured};
use self::database::{Database, FEW, Kind};
use self::report::{Compared, Report};
use crate::platform::{Platform, consent};

/// The number of times that each database is measured. The full and the almost empty database take turns, so that a
/// slow phase of the machine affects both.
const ROUNDS: usize = 3;
/// The number of connections that are encrypted (sealed) and inserted together.
const BATCH: u64 = 2_000;

/// Make the same calls with a database of many connections and with a database of ten, and compare the results.
///
/// Measures the two databases in turn, three times each. Every measurement runs in a new process. The report compares
/// the medians. The fake TikTok Shop runs in another process, so the measured memory is the memory of the host alone.
#[derive(Args, Debug)]
pub(crate) struct Storage {
    /// Number of connections in the full database.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..))]
    connections: u64,
    /// Number of calls of each kind in each round.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(3..))]
    calls: u32,
    /// Address of a PostgreSQL server that is measured, too. The benchmark creates two schemas on this server and drops
    /// them at the end.
    #[arg(long, value_name = "ADDRESS", env = "TIKTOK_SHOP_TEST_POSTGRES", hide_env_values = true)]
    postgres: Option<String>,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

impl Storage {
    pub(crate) async fn run(self, component: PathBuf) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let fake = FakeTikTokShop::start(Options::default())?;
        let tiktok = fake.control();
        // All copies of the connection have the same refresh token, so this token must stay valid after a refresh has
        // replaced it.
        tiktok.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::Honoured);
        let app = tiktok.apps().into_iter().next().context("the fake has no app")?;
        let keys = folder.path().join("keys");
        let bench = Bench { component, keys, tiktok, app, calls: self.calls };

        let mut kinds = vec![Kind::Sqlite(folder.path().to_owned())];
        kinds.extend(self.postgres.map(Kind::Postgres));
        let mut compared = Vec::new();
        for kind in &kinds {
            compared.push((kind.name(), bench.compare(kind, self.connections).await?));
        }
        let memory = Database::memory();
        let in_memory = bench.measure(&memory, FEW).await?.refresh;
        let report = Report { connections: self.connections, calls: self.calls, rounds: ROUNDS, compared, in_memory };
        Ok(if self.json { report.json() } else { report.text() })
    }
}

impl Bench {
    async fn compare(&self, kind: &Kind, connections: u64) -> Result<Compared> {
        let (small, large) = (kind.create("small").await?, kind.create("large").await?);
        self.fill(&small, FEW).await?;
        let load = self.fill(&large, connections).await?;
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let progress = spinner(format!("{}: round {} of {ROUNDS}", kind.name(), round + 1));
            few.push(self.measure(&small, FEW).await?);
            many.push(self.measure(&large, connections).await?);
            progress.finish_and_clear();
        }
        Ok(Compared { few, many, load })
    }

    /// Connects one customer at the fake TikTok Shop, and inserts sealed copies of this connection into the database.
    /// Returns how long sealing and inserting took.
    async fn fill(&self, database: &Database, connections: u64) -> Result<Duration> {
        let storage = database.open().await?;
        let shared: Arc<dyn HostStorage> = Arc::new(storage.clone());
        let platform = self.platform(shared)?;
        let first = platform.connect(&"first".parse()?, consent(&self.tiktok, &self.app)?).await?;
        let template = platform.template(&first.key).await?;
        let bar = ProgressBar::new(connections)
            .with_style(ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len}, {eta} left")?);
        bar.set_message(format!("{}: sealing and inserting", database.name()));
        let began = Instant::now();
        let mut next = 0;
        let mut inserting = tokio::spawn(async { Ok(()) });
        while next < connections {
            let end = (next + BATCH).min(connections);
            let mut batch = Vec::new();
            for number in next..end {
                batch.push(template.copy(number, None).await?);
            }
            // The loop seals the next batch while the previous batch is being inserted.
            inserting.await??;
            let (storage, tenant) = (storage.clone(), platform.tenant.clone());
            inserting = tokio::spawn(async move { storage.insert_all(&tenant, &batch).await });
            next = end;
            bar.set_position(next);
        }
        inserting.await??;
        let took = began.elapsed();
        bar.finish_and_clear();
        drop(template);
        storage.close().await;
        Ok(took)
    }

    fn platform(&self, storage: Arc<dyn HostStorage>) -> Result<Platform> {
        let keys = Arc::new(KeyFile::open_or_create(&self.keys)?);
        Platform::new(storage, keys, self.component.clone(), &self.app, self.tiktok.address())
    }

    /// Makes the calls of one round in a new process, and returns the measurements of the round.
    async fn measure(&self, database: &Database, connections: u64) -> Result<Measured> {
        let consents = (0..self.calls).map(|_| consent(&self.tiktok, &self.app)).collect::<Result<Vec<_>>>()?;
        let measured = calls::run_in_process(self, database, connections, &consents).await?;
        ensure!(measured.calls == self.calls, "made {} of {} calls", measured.calls, self.calls);
        Ok(measured)
    }
}

fn spinner(text: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(text);
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}
