//! Signed webhooks at a steady rate, alone and beside ten times as many forged ones. TikTok counts a delivery as failed
//! if there is no answer within 3 seconds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tiktok_shop_host::webhook::WebhookReply;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Context, Outcome};
use crate::figure::{Measured, number};
use crate::platform::{Platform, webhook};
use crate::rounds::{in_turn, microseconds, on_worker, quantile, whole_machine};
use crate::server::Server;

pub(super) const KEYS: [&str; 2] = ["webhooks_beside_forged", "webhook_p99_ms"];

/// Signed webhooks a second.
const RATE: u64 = 100;
/// Forged webhooks for each signed one.
const FORGED: u64 = 10;
/// The size of a forged webhook, in bytes.
const FORGED_BYTES: usize = 1_024;
/// The length of each measurement.
const LENGTH: Duration = Duration::from_secs(5);
/// The time in which all tasks start, before the first webhook is due.
const START: Duration = Duration::from_millis(200);

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    let (server, runtime) = (Server::start()?, whole_machine()?);
    let platform = {
        let _guard = runtime.enter();
        context.parts(&server)?.build()?
    };
    let connecting = platform.clone();
    // The webhooks name one shop, so they have one owner.
    on_worker(&runtime, async move { connecting.connect(&"owner".parse()?).await.map(drop) })?;
    let sent = std::cell::Cell::new(0);
    let send = |forged| {
        let first = sent.get();
        sent.set(first + RATE * LENGTH.as_secs());
        deliver(&runtime, &platform, first, forged)
    };
    let [beside, alone] = in_turn(context.rounds, [&mut || send(FORGED), &mut || send(0)])?;
    let [ratio, time] = KEYS;
    let detail =
        format!("{} ms ÷ {} ms, {RATE} signed webhooks a second", number(beside.median()), number(alone.median()));
    Ok(vec![Measured::of_rounds(ratio, &beside.over(&alone), detail), Measured::of_rounds(time, &alone, "")].into())
}

/// Delivers signed webhooks at a steady rate, with forged ones beside them. Returns the 99th percentile of the times
/// from the planned delivery to the answer, in milliseconds. No webhook has a number that an earlier one had.
fn deliver(runtime: &Runtime, platform: &Platform, first: u64, forged: u64) -> Result<f64> {
    let platform = platform.clone();
    runtime.block_on(async move {
        let count = RATE * LENGTH.as_secs();
        let signed: Vec<_> = (first..first + count).map(webhook).collect();
        let body: Arc<[u8]> = vec![b'x'; FORGED_BYTES].into();
        let begin = Instant::now() + START;
        let due = |number: u64, rate: u64| {
            begin
                + Duration::from_secs(1) * u32::try_from(number).unwrap_or(u32::MAX) / u32::try_from(rate).unwrap_or(1)
        };
        let refused: JoinSet<Result<()>> = (0..count * forged)
            .map(|number| {
                let (platform, body, due) = (platform.clone(), Arc::clone(&body), due(number, RATE * forged));
                async move {
                    sleep_until(due).await;
                    let reply = accept(&platform, &"0".repeat(64), body.to_vec()).await;
                    ensure!(matches!(reply, WebhookReply::Forged), "a forged webhook: {reply:?}");
                    Ok(())
                }
            })
            .collect();
        let answers: JoinSet<Result<Duration>> = signed
            .into_iter()
            .zip(0..)
            .map(|((authorization, body), number)| {
                let (platform, due) = (platform.clone(), due(number, RATE));
                async move {
                    sleep_until(due).await;
                    let reply = accept(&platform, &authorization, body).await;
                    ensure!(matches!(reply, WebhookReply::Handled | WebhookReply::Late), "a signed webhook: {reply:?}");
                    Ok(due.elapsed())
                }
            })
            .collect();
        let mut times = answers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        refused.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        times.sort_unstable();
        Ok(microseconds(quantile(&times, 99)) / 1000.0)
    })
}

async fn accept(platform: &Platform, authorization: &str, body: Vec<u8>) -> WebhookReply<Infallible> {
    let handle = async |_| Ok::<_, Infallible>(());
    platform.host.accept_webhook(&platform.tenant, None, authorization, body, handle).await
}
