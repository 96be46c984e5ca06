//! Whether a tenant with many waiting calls and slow credentials slows down another tenant.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use tiktok_shop_host::limits::Limits;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Context, Outcome};
use crate::figure::{Measured, number};
use crate::platform::{APP, Platform, app, customer};
use crate::rounds::{in_turn, microseconds, on_worker, quantile, whole_machine};
use crate::server::Server;

pub(super) const KEYS: [&str; 1] = ["fairness_beside_busy"];

/// The tenant that makes many calls.
const BUSY: &str = "busy";
/// The number of calls of the busy tenant that wait at the same time.
const WAITING: usize = 10_000;
/// The time until the host gets the credentials of the busy tenant.
const SLOW: Duration = Duration::from_millis(9_500);
/// Reads of the other tenant a second.
const RATE: u32 = 50;
/// The length of each measurement.
const LENGTH: Duration = Duration::from_secs(10);
/// The time in which all tasks start, before the first read is due.
const START: Duration = Duration::from_millis(200);

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    let (server, runtime) = (Server::start()?, whole_machine()?);
    let platform = {
        let _guard = runtime.enter();
        let mut parts = context.parts(&server)?;
        parts.credentials = Arc::new(Uneven { busy: BUSY.parse()? });
        // The share of one tenant is what keeps the other tenant fast.
        parts.limits = Limits::default();
        parts.build()?
    };
    let connecting = platform.clone();
    on_worker(&runtime, async move { connecting.connect(&customer(0)?).await.map(drop) })?;
    let mut alone = || read(&runtime, &platform);
    let mut beside = || {
        let busy = wait(&runtime, &platform)?;
        let read = read(&runtime, &platform);
        runtime.block_on(async move {
            let mut busy = busy;
            busy.shutdown().await;
        });
        read
    };
    let [beside, alone] = in_turn(context.rounds, [&mut beside, &mut alone])?;
    let [key] = KEYS;
    let detail = format!("{} ms ÷ {} ms, {RATE} reads a second", number(beside.median()), number(alone.median()));
    Ok(vec![Measured::of_rounds(key, &beside.over(&alone), detail)].into())
}

/// Starts the calls of the busy tenant. Returns after all of them have begun.
fn wait(runtime: &Runtime, platform: &Platform) -> Result<JoinSet<()>> {
    let busy: TenantId = BUSY.parse()?;
    runtime.block_on(async {
        let barrier = Arc::new(Barrier::new(WAITING + 1));
        let calls = (0..WAITING)
            .map(|_| {
                let (host, busy, barrier) = (platform.host.clone(), busy.clone(), Arc::clone(&barrier));
                async move {
                    barrier.wait().await;
                    loop {
                        let _end_of_the_wait = host.authorization_url(&busy, None, "state".into()).await;
                    }
                }
            })
            .collect();
        barrier.wait().await;
        // In this second, every call reaches the place where it waits: for its turn, or for the credentials.
        sleep(Duration::from_secs(1)).await;
        Ok(calls)
    })
}

/// Lists shops at a steady rate. Returns the 99th percentile of the times from the planned start to the end of a call,
/// in milliseconds. So the times grow if the host falls behind.
fn read(runtime: &Runtime, platform: &Platform) -> Result<f64> {
    let platform = platform.clone();
    runtime.block_on(async move {
        let (begin, pause) = (Instant::now() + START, Duration::from_secs(1) / RATE);
        let reads: JoinSet<Result<Duration>> = (0..RATE * u32::try_from(LENGTH.as_secs())?)
            .map(|number| {
                let (platform, due) = (platform.clone(), begin + pause * number);
                async move {
                    sleep_until(due).await;
                    platform.list_shops(&customer(0)?).await?;
                    Ok(due.elapsed())
                }
            })
            .collect();
        let mut times = reads.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        times.sort_unstable();
        Ok(microseconds(quantile(&times, 99)) / 1000.0)
    })
}

/// A provider of credentials that answers the busy tenant late, and every other tenant at once.
struct Uneven {
    busy: TenantId,
}

#[async_trait]
impl CredentialsProvider for Uneven {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        if *tenant == self.busy {
            sleep(SLOW).await;
        }
        Ok(vec![app(APP.0, APP.1)])
    }
}
