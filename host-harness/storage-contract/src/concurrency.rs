//! Many at once, and reads that may be old.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::broken::{Broken, shown};

/// What goes on side by side where no race is meant: more than one connection to a database, fewer than a small pool has.
const AT_ONCE: usize = 8;
/// Reads may be old, but what never catches up is of no use.
const CATCHES_UP: Duration = Duration::from_secs(3);
/// Between two reads of what may be old.
const PAUSE: Duration = Duration::from_millis(5);

/// Does all of it, some side by side.
pub(super) async fn all<T, E, F>(parts: Vec<F>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    stream::iter(parts).buffered(AT_ONCE).try_collect().await
}

/// Lets tasks begin at the same moment. What they answer, in their order.
pub(super) async fn race<T, F>(racers: impl IntoIterator<Item = F>) -> Result<Vec<T>, Broken>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Broken>> + Send + 'static,
{
    // Not a barrier: that wakes those who wait for it in random order, and a run that found something could not be had again.
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

/// Reads until this is read: what a read shows before that is old, and may be.
pub(super) async fn settles<T, E, F>(what: &str, expected: T, read: impl Fn() -> F) -> Result<(), Broken>
where
    T: PartialEq + Debug,
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let mut last = None;
    let caught_up = tokio::time::timeout(CATCHES_UP, async {
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
        Ok(settled) => settled,
        Err(_) => Err(Broken(match last {
            Some(found) => {
                let (found, expected) = (shown(&found), shown(&expected));
                format!("{what}: {found} instead of {expected}, still after {CATCHES_UP:?}")
            }
            None => format!("{what}: no answer within {CATCHES_UP:?}"),
        })),
    }
}
