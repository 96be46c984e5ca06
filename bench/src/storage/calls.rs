//! Makes and measures the calls of one round, in a separate process.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use fake_tiktok_shop::{App, Control};
use serde::{Deserialize, Serialize};
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::KeyFile;
use tiktok_shop_host::storage::{HostStorage, MemoryStorage};
use tokio::time::Instant;

use super::database::{Database, open_sql};
use crate::platform::{Platform, customer};
use crate::report;

/// Make the calls of one round. The benchmark `storage` starts this command.
#[derive(Args, Debug)]
pub(crate) struct Calls {
    /// Address of the database: `sqlite:PATH` or `postgres://…`. If it is empty, the storage is in memory.
    #[arg(long, default_value = "", hide_default_value = true)]
    database: String,
    /// File that contains the host keys.
    #[arg(long)]
    keys: PathBuf,
    /// Address of the fake TikTok Shop.
    #[arg(long)]
    fake: SocketAddr,
    /// Number of stored connections.
    #[arg(long)]
    connections: u64,
}

/// The parts that all measurements share: the component, the host keys, the fake TikTok Shop with its app, and the
/// number of calls.
pub(super) struct Bench {
    pub(super) component: PathBuf,
    pub(super) keys: PathBuf,
    pub(super) tiktok: Control,
    pub(super) app: App,
    pub(super) calls: u32,
}

/// The data that the process reads from its standard input: an app of the fake TikTok Shop, and one callback query for
/// each consent to this app.
#[derive(Serialize, Deserialize)]
struct Input {
    app_key: String,
    app_secret: String,
    consents: Vec<String>,
}

/// The measurements of one round: the median duration of each kind of call, and the largest memory of the process.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(super) calls: u32,
    pub(super) list_shops: Duration,
    pub(super) connect: Duration,
    pub(super) refresh: Duration,
    /// The largest memory of the process, in KiB. `None` if this system does not report it.
    pub(super) memory: Option<u64>,
}

/// Starts a process that makes the calls of one round, and returns the measurements that the process prints.
pub(super) async fn run_in_process(
    bench: &Bench,
    database: &Database,
    connections: u64,
    consents: &[String],
) -> Result<Measured> {
    let input = Input {
        app_key: bench.app.app_key.clone(),
        app_secret: bench.app.app_secret.clone(),
        consents: consents.to_vec(),
    };
    #[expect(clippy::disallowed_methods, reason = "the memory of the new process is measured")]
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--component")
        .arg(&bench.component)
        .arg("storage-calls")
        .args(["--database", &database.address, "--connections", &connections.to_string()])
        .args(["--fake", &bench.tiktok.address().to_string()])
        .arg("--keys")
        .arg(&bench.keys)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(&serde_json::to_vec(&input)?)?;
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await??;
    ensure!(output.status.success(), "the process that makes the calls ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

impl Calls {
    pub(crate) async fn run(self, component: PathBuf) -> Result<String> {
        let Input { app_key, app_secret, consents } = serde_json::from_reader(std::io::stdin().lock())?;
        let app = App { app_key, app_secret, ..fake_tiktok_shop::fixtures::apps().remove(0) };
        let keys = Arc::new(KeyFile::open_or_create(&self.keys)?);
        let storage: Arc<dyn HostStorage> = match self.database.as_str() {
            "" => Arc::new(MemoryStorage::new(Arc::new(SystemClock::new()))),
            address => Arc::new(open_sql(address).await?),
        };
        let platform = Platform::new(storage, keys, component, &app, self.fake)?;
        let calls = u32::try_from(consents.len())?;
        let mut consents = consents.into_iter();
        if self.database.is_empty() {
            let first = platform.connect(&"first".parse()?, consents.next().context("no consent")?).await?;
            let template = platform.template(&first.key).await?;
            for number in 0..self.connections {
                let copy = template.copy(number, None).await?;
                platform.storage.swap_token(&platform.tenant, &copy.key, None, Some(&copy.token)).await?;
                platform.storage.swap_row(&platform.tenant, &copy.key, None, Some(&copy.row), &[]).await?;
            }
        }
        let (host, tenant) = (&platform.host, &platform.tenant);
        // This call is not measured: it is the first call, so it also opens the database connections of the process.
        host.list_shops(tenant, &"first".parse()?).await?;

        // The connections of two consecutive calls are 7919 numbers apart. 7919 is prime, so the calls spread over all
        // connections.
        let stored = |call: u32| customer(u64::from(call).wrapping_mul(7_919) % self.connections);
        let (mut list_shops, mut connect, mut refresh) = (Vec::new(), Vec::new(), Vec::new());
        for call in 0..calls {
            let id = stored(call)?;
            let began = Instant::now();
            let shops = host.list_shops(tenant, &id).await?;
            list_shops.push(began.elapsed());
            ensure!(shops.len() == 1, "{id} has {} shops", shops.len());
        }
        for call in 0..calls {
            let id = stored(call)?;
            let began = Instant::now();
            host.refresh(tenant, &id, None, RefreshMode::Forced).await?;
            refresh.push(began.elapsed());
        }
        for query in consents {
            let id = format!("new-{}-{}", std::process::id(), connect.len()).parse()?;
            let began = Instant::now();
            platform.connect(&id, query).await?;
            connect.push(began.elapsed());
        }
        let median = |times: &[Duration]| report::median(times, |time| *time);
        let measured = Measured {
            calls,
            list_shops: median(&list_shops),
            connect: median(&connect),
            refresh: median(&refresh),
            memory: largest_memory(),
        };
        Ok(serde_json::to_string(&measured)?)
    }
}

/// Returns the largest resident memory of this process so far, in KiB. Returns `None` if the system is not Linux.
fn largest_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
