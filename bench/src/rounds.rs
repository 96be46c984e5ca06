//! Measures things in turn, so that a slow phase of the machine affects all of them alike.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Returns a runtime with this number of worker threads.
pub(crate) fn runtime(workers: usize) -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?)
}

/// Returns a runtime with as many worker threads as the machine has processors.
pub(crate) fn whole_machine() -> Result<Runtime> {
    runtime(processors())
}

/// Returns the number of processors that this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs work on a worker thread, where a server handles its requests, and waits for the result.
pub(crate) fn on_worker<T: Send + 'static>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    runtime.block_on(async { tokio::spawn(work).await.context("the measured work panicked")? })
}

/// Makes calls one after the other, and returns the median time of a call in microseconds.
pub(crate) async fn median_of_calls<F: Future<Output = Result<()>>>(
    calls: u64,
    mut call: impl FnMut(u64) -> F,
) -> Result<f64> {
    let mut times = Vec::new();
    for number in 0..calls {
        let began = Instant::now();
        call(number).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(microseconds(quantile(&times, 50)))
}

pub(crate) fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns a percentile: the smallest time for which at least `percent` per cent of the times are equal or smaller.
pub(crate) fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// Returns the median. If the number of values is even, returns the upper of the two middle values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The results of one thing that was measured, one for each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(pub(crate) Vec<f64>);

impl Series {
    pub(crate) fn median(&self) -> f64 {
        median(&self.0)
    }

    /// Divides the result of each round by the result of the same round in `other`.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(this, other)| this / other).collect())
    }

    /// Returns the smallest and the largest result.
    pub(crate) fn spread(&self) -> (f64, f64) {
        let sorted = |pick: fn(f64, f64) -> f64, from| self.0.iter().copied().fold(from, pick);
        (sorted(f64::min, f64::INFINITY), sorted(f64::max, f64::NEG_INFINITY))
    }
}

/// One thing that is measured in turn with others.
pub(crate) type Arm<'a> = &'a mut dyn FnMut() -> Result<f64>;

/// Measures every arm once in each round. Each round begins with another arm: with two arms, the order is A B, B A, A
/// B. Before the first round, every arm is measured once without counting, so that caches are warm and connections
/// open.
pub(crate) fn in_turn<const N: usize>(rounds: u32, mut arms: [Arm<'_>; N]) -> Result<[Series; N]> {
    for arm in &mut arms {
        arm()?;
    }
    let mut results = [const { Series(Vec::new()) }; N];
    for round in 0..rounds as usize {
        let mut order: Vec<_> = arms.iter_mut().zip(&mut results).collect();
        order.rotate_left(round % N);
        for (arm, series) in order {
            series.0.push(arm()?);
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_order_changes_in_each_round_and_the_first_measurement_does_not_count() {
        let order = RefCell::new(String::new());
        let arm = |name: char| {
            let (order, mut number) = (&order, 0.0);
            move || {
                order.borrow_mut().push(name);
                number += 1.0;
                Ok(number)
            }
        };
        let (mut a, mut b) = (arm('A'), arm('B'));
        let [one, two] = in_turn(3, [&mut a, &mut b]).unwrap();
        assert_eq!(order.into_inner(), "ABABBAAB");
        assert_eq!((one.0, two.0), (vec![2.0, 3.0, 4.0], vec![2.0, 3.0, 4.0]));
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let ratio = Series(vec![10.0, 30.0, 8.0]).over(&Series(vec![10.0, 20.0, 2.0]));
        assert_eq!(ratio.0, [1.0, 1.5, 4.0]);
        assert_eq!((ratio.median(), ratio.spread()), (1.5, (1.0, 4.0)));
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<_> = (1..=10).map(Duration::from_millis).collect();
        assert_eq!([1, 50, 99, 100].map(|percent| quantile(&times, percent).as_millis()), [1, 5, 10, 10]);
    }
}
