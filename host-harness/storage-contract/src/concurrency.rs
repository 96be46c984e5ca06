//! Helpers of the checks: they run tasks at the same time, and repeat reads that may be stale.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::broken::{Broken, shown};

/// The maximum number of accesses to the storage that a check runs at the same time, unless it tests a race. The number
/// is small, so that the accesses do not use up a storage's pool of database connections.
const CONCURRENT_ACCESSES: usize = 8;
/// How long reads may return an old value before a check fails.
const MAX_STALENESS: Duration = Duration::from_secs(3);
/// The pause before a stale read is repeated.
const PAUSE: Duration = Duration::from_millis(5);

/// Completes all futures, up to [`CONCURRENT_ACCESSES`] at a time, and returns their answers in order.
pub(super) async fn all<T, E, F>(parts: Vec<F>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    stream::iter(parts).buffered(CONCURRENT_ACCESSES).try_collect().await
}

/// Runs each future on a task of its own. All futures start at the same moment. Returns their answers in the order of
/// `racers`.
pub(super) async fn race<T, F>(racers: impl IntoIterator<Item = F>) -> Result<Vec<T>, Broken>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Broken>> + Send + 'static,
{
    // A semaphore wakes the tasks in order. A barrier would wake them in random order, and then a failed run could not
    // be repeated.
    let start = Arc::new(Semaphore::new(0));
    let mut tasks = JoinSet::new();
    for (place, racer) in racers.into_iter().enumerate() {
        let start = Arc::clone(&start);
        tasks.spawn(async move {
            let _started = start.acquire().await;
            (place, racer.await)
        });
    }
    start.add_permits(tasks.len());
    let mut answers = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (place, answer) = ended?;
        answers.push((place, answer?));
    }
    answers.sort_by_key(|(place, _)| *place);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Repeats the read until it returns `expected`. Fails after [`MAX_STALENESS`], because a read must not be stale for
/// longer.
pub(super) async fn eventually<T, E, F>(what: &str, expected: T, read: impl Fn() -> F) -> Result<(), Broken>
where
    T: PartialEq + Debug,
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let mut last = None;
    let caught_up = tokio::time::timeout(MAX_STALENESS, async {
        loop {
            let found = read().await.map_err(|error| Broken(format!("{what}: {error}")))?;
            if found == expected {
                return Ok(());
            }
            last = Some(found);
            tokio::time::sleep(PAUSE).await;
        }
    });
    match caught_up.await {
        Ok(outcome) => outcome,
        Err(_) => Err(Broken(match last {
            Some(found) => {
                let (found, expected) = (shown(&found), shown(&expected));
                format!("{what}: found {found} after {MAX_STALENESS:?}, expected {expected}")
            }
            None => format!("{what}: no answer within {MAX_STALENESS:?}"),
        })),
    }
}
