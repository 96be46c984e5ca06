//! Measures whether a tenant with many waiting calls and slow credentials slows down another tenant.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use clap::Args;
use fake_tiktok_shop::{FakeTikTokShop, Options};
use serde_json::json;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{ConnectorHost, CustomerId, TenantId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::platform::{Platform, consent, credentials};
use crate::report::{factor, milliseconds, profile, quantile};

/// The tenant that makes many calls. The host gets the credentials of this tenant only after a delay.
const BUSY: &str = "busy";

/// Read the shops of a customer at a steady rate, without and with another tenant that has many waiting calls.
///
/// The host gets the credentials of the other tenant only after seconds. When a call of the other tenant has ended, the
/// benchmark makes the next call at once. The measurements without and with the other tenant take turns, so that a slow
/// phase of the machine affects both. The latency of a read is the time from its planned start to its end, so the
/// latencies grow if the host falls behind.
#[derive(Args, Debug)]
pub(crate) struct Fairness {
    /// Number of calls of the other tenant that wait at the same time.
    #[arg(long, default_value_t = 10_000)]
    waiting: u32,
    /// Time until the host gets the credentials of the other tenant, in milliseconds.
    #[arg(long, default_value_t = 9_500)]
    credentials_ms: u64,
    /// Number of reads per second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Length of each measurement, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Number of times that each measurement is made.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

impl Fairness {
    pub(crate) async fn run(self, component: PathBuf) -> Result<String> {
        let fake = FakeTikTokShop::start(Options::default())?;
        let control = fake.control();
        let app = control.apps().into_iter().next().context("the fake has no app")?;
        let storage = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
        let delay = Duration::from_millis(self.credentials_ms);
        let source = Arc::new(Uneven { app: credentials(&app), slow: BUSY.parse()?, delay });
        let keys = Arc::new(HostKeys::draw()?);
        let platform = Platform::with_credentials(storage, keys, component, source, fake.address())?;
        let customer: CustomerId = "customer".parse()?;
        platform.connect(&customer, consent(&control, &app)?).await?;

        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            alone.extend(self.read(&platform, &customer).await?);
            let waiting = self.wait(&platform)?;
            // After this second, every call of the busy tenant waits: for its start, or for the credentials of the
            // tenant.
            sleep(Duration::from_secs(1)).await;
            beside.extend(self.read(&platform, &customer).await?);
            drop(waiting);
        }
        alone.sort_unstable();
        beside.sort_unstable();
        Ok(if self.json { self.json(&alone, &beside) } else { self.text(&alone, &beside) })
    }

    /// Starts the calls of the busy tenant. To end the calls, drop the returned set.
    fn wait(&self, platform: &Platform) -> Result<JoinSet<()>> {
        let busy: TenantId = BUSY.parse()?;
        Ok((0..self.waiting).map(|_| call_again_and_again(platform.host.clone(), busy.clone())).collect())
    }

    /// Lists the shops of the customer at a steady rate, and returns the latency of each call.
    async fn read(&self, platform: &Platform, customer: &CustomerId) -> Result<Vec<Duration>> {
        let (begin, pause) = (Instant::now(), Duration::from_secs(1) / self.rate);
        let reads: JoinSet<Result<Duration>> = (0..self.rate * self.seconds)
            .map(|number| {
                let (host, tenant, customer) = (platform.host.clone(), platform.tenant.clone(), customer.clone());
                let due = begin + pause * number;
                async move {
                    sleep_until(due).await;
                    host.list_shops(&tenant, &customer).await?;
                    Ok(due.elapsed())
                }
            })
            .collect();
        reads.join_all().await.into_iter().collect()
    }

    fn text(&self, alone: &[Duration], beside: &[Duration]) -> String {
        let line = |name: &str, latencies: &[Duration]| {
            let at = |percent| milliseconds(quantile(latencies, percent));
            format!("{name:<12} p50 {:>8.2} ms   p99 {:>8.2} ms   longest {:>8.2} ms\n", at(50), at(99), at(100))
        };
        format!(
            "reads        {} per second, profile {}\nother tenant {} waiting calls, credentials after {} ms\n{}{}p99          {:.2} times as long\n",
            self.rate,
            profile(),
            self.waiting,
            self.credentials_ms,
            line("alone", alone),
            line("beside", beside),
            factor(quantile(beside, 99), quantile(alone, 99)),
        )
    }

    fn json(&self, alone: &[Duration], beside: &[Duration]) -> String {
        let all = |latencies: &[Duration]| {
            let at = |percent| milliseconds(quantile(latencies, percent));
            json!({ "reads": latencies.len(), "p50_ms": at(50), "p99_ms": at(99), "longest_ms": at(100) })
        };
        let report = json!({
            "benchmark": "fairness",
            "profile": profile(),
            "reads_per_second": self.rate,
            "waiting_calls": self.waiting,
            "credentials_ms": self.credentials_ms,
            "alone": all(alone),
            "beside": all(beside),
            "p99_factor": factor(quantile(beside, 99), quantile(alone, 99)),
        });
        format!("{report:#}\n")
    }
}

async fn call_again_and_again(host: ConnectorHost, tenant: TenantId) {
    loop {
        let _end_of_the_wait = host.authorization_url(&tenant, None, "state".into()).await;
    }
}

/// A provider of credentials that answers the busy tenant after a delay, and every other tenant at once.
struct Uneven {
    app: AppCredentials,
    slow: TenantId,
    delay: Duration,
}

#[async_trait]
impl CredentialsProvider for Uneven {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        if *tenant == self.slow {
            sleep(self.delay).await;
        }
        Ok(vec![self.app.clone()])
    }
}
