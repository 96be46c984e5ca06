//! Whether more workers make more calls: the throughput of `list_shops`, which sends no request.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::sandbox::connected;
use super::{Context, Outcome};
use crate::figure::{Measured, number};
use crate::platform::{Platform, customer};
use crate::plot::{Axis, Line, Plot};
use crate::rounds::{in_turn, processors, runtime};
use crate::server::Server;

pub(super) const KEYS: [&str; 1] = ["list_shops_scaling"];

/// How long each measurement lasts.
const LENGTH: Duration = Duration::from_millis(1_500);
/// The number of callers for each worker. A worker whose callers all wait would be idle.
const CALLERS: usize = 4;

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    let server = Server::start()?;
    let (one, two) = (runtime(1)?, runtime(2)?);
    let (alone, both) = (connected(context, &server, &one)?, connected(context, &server, &two)?);
    let [with_one, with_two] =
        in_turn(context.rounds, [&mut || throughput(&one, 1, &alone), &mut || throughput(&two, 2, &both)])?;
    let [key] = KEYS;
    let detail = format!("{} ÷ {} calls a second", number(with_two.median()), number(with_one.median()));
    let mut points = vec![(1.0, with_one.median()), (2.0, with_two.median())];
    for workers in 3..=processors() {
        let runtime = runtime(workers)?;
        let platform = connected(context, &server, &runtime)?;
        throughput(&runtime, workers, &platform)?;
        points.push((workers as f64, throughput(&runtime, workers, &platform)?));
    }
    let plot = Plot {
        name: "throughput-against-workers",
        title: "list_shops: calls a second against worker threads",
        x: Axis::linear("worker threads"),
        y: Axis::linear("calls a second"),
        lines: vec![Line { name: "list_shops", points }],
    };
    Ok(Outcome { figures: vec![Measured::of_rounds(key, &with_two.over(&with_one), detail)], plots: vec![plot] })
}

/// Returns how many lists of shops the workers of this runtime make in a second.
fn throughput(runtime: &Runtime, workers: usize, platform: &Platform) -> Result<f64> {
    let platform = platform.clone();
    runtime.block_on(async move {
        let began = Instant::now();
        let end = began + LENGTH;
        let callers: JoinSet<Result<u64>> = (0..workers * CALLERS)
            .map(|_| {
                let platform = platform.clone();
                async move {
                    let mut made = 0;
                    while Instant::now() < end {
                        platform.list_shops(&customer(0)?).await?;
                        made += 1;
                    }
                    Ok(made)
                }
            })
            .collect();
        let made: Vec<u64> = callers.join_all().await.into_iter().collect::<Result<_>>().context("a caller failed")?;
        Ok(made.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
    })
}
