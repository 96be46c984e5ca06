//! Ten thousand connects in flight: the errors, and the memory that each call needs. The calls run in a process of
//! their own, whose memory is measured when it is idle and at its peak.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::limits::Limits;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Context, Outcome};
use crate::figure::{Measured, number};
use crate::platform::{Parts, customer};
use crate::process::{PrivatePeak, allow_many_files, output, own, private_kib};
use crate::rounds::{Series, whole_machine};
use crate::server::Server;

pub(super) const KEYS: [&str; 2] = ["in_flight_errors", "in_flight_kib_per_call"];

const CALLS: u32 = 10_000;

/// Make many connects at the same time. The figures `in_flight_*` start this command.
#[derive(Args, Debug)]
pub(crate) struct InFlight {
    #[arg(long)]
    component: PathBuf,
    #[arg(long)]
    cache: PathBuf,
    #[arg(long)]
    server: SocketAddr,
    #[arg(long, default_value_t = CALLS)]
    calls: u32,
}

#[derive(Serialize, Deserialize)]
struct Counted {
    errors: u32,
    /// One of the errors.
    example: Option<String>,
    idle_kib: u64,
    peak_kib: u64,
}

impl InFlight {
    pub(crate) fn run(self) -> Result<String> {
        allow_many_files()?;
        let runtime = whole_machine()?;
        let counted = runtime.block_on(async {
            let mut parts = Parts::new(&self.component, self.server)?.cached_in(&self.cache);
            parts.limits = Limits { concurrent_calls: self.calls, ..parts.limits };
            let platform = parts.build()?;
            platform.connect(&"first".parse()?).await?;
            // All calls begin at the same moment, after all tasks have started.
            let barrier = std::sync::Arc::new(Barrier::new(self.calls as usize + 1));
            let calls: JoinSet<Result<()>> = (0..self.calls)
                .map(|number| {
                    let (platform, barrier) = (platform.clone(), std::sync::Arc::clone(&barrier));
                    async move {
                        barrier.wait().await;
                        platform.connect(&customer(number.into())?).await.map(drop)
                    }
                })
                .collect();
            let (idle_kib, peak) = (private_kib()?, PrivatePeak::watch());
            barrier.wait().await;
            let failed: Vec<_> = calls.join_all().await.into_iter().filter_map(Result::err).collect();
            let example = failed.first().map(|error| format!("{error:#}"));
            anyhow::Ok(Counted { errors: u32::try_from(failed.len())?, example, idle_kib, peak_kib: peak.end()? })
        })?;
        Ok(serde_json::to_string(&counted)?)
    }
}

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    // The first host writes the compiled component into the cache, so that no process below compiles it.
    let runtime = whole_machine()?;
    let server = Server::with(&["--delay-ms", "200"])?;
    {
        let _guard = runtime.enter();
        let mut parts = context.parts(&server)?;
        parts.limits.concurrent_calls = CALLS;
        parts.build()?;
    }
    let (mut errors, mut memory, mut example, mut idle) = (Series::default(), Series::default(), None, 0);
    for _ in 0..context.rounds.min(3) {
        let mut command = own("in-flight")?;
        command.arg("--component").arg(&context.component).arg("--cache").arg(context.cache());
        command.args(["--server", &server.address().to_string()]);
        let counted: Counted = serde_json::from_slice(&output(command)?).context("the process printed no result")?;
        ensure!(counted.peak_kib >= counted.idle_kib, "the peak of the memory is below the idle memory");
        errors.0.push(counted.errors.into());
        memory.0.push((counted.peak_kib - counted.idle_kib) as f64 / f64::from(CALLS));
        example = example.or(counted.example);
        idle = counted.idle_kib;
    }
    let [errors_key, memory_key] = KEYS;
    let why = example.map(|example| format!("for example: {example}")).unwrap_or_default();
    let idle = format!("{} KiB when idle, with all tasks waiting", number(idle as f64));
    Ok(vec![
        // One error in any round is an error.
        Measured { value: Some(errors.spread().1), ..Measured::of_rounds(errors_key, &errors, why) },
        Measured::of_rounds(memory_key, &memory, idle),
    ]
    .into())
}
