//! Calculates the values that the reports of the benchmarks show: milliseconds, percentiles, quotients and medians.

use std::time::Duration;

/// Returns the cargo profile that the host is compiled with.
pub(crate) fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Returns a percentile: the smallest latency for which at least `percent` per cent of the latencies are equal or
/// smaller.
pub(crate) fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// Returns `of` divided by `than`, for example 2 if `of` is twice as long as `than`.
pub(crate) fn factor(of: Duration, than: Duration) -> f64 {
    of.as_secs_f64() / than.as_secs_f64()
}

/// Reads one value from each measurement with `value`, and returns the median of these values. If the number of values
/// is even, returns the upper of the two middle values.
pub(crate) fn median<T, V: Ord + Copy + Default>(all: &[T], value: impl Fn(&T) -> V) -> V {
    let mut values: Vec<_> = all.iter().map(value).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
