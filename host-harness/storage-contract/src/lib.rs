//! Checks whether a [`HostStorage`] keeps its contract. Use this crate in the tests of your own storage:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! # struct OurStorage;
//! # impl OurStorage {
//! #     async fn connect(_: &str) -> tiktok_shop_host::storage::MemoryStorage { unimplemented!() }
//! # }
//! # const URL: &str = "";
//! #[tokio::test(flavor = "multi_thread")]
//! async fn our_storage_keeps_the_contract() {
//!     tiktok_shop_storage_contract::run(Arc::new(OurStorage::connect(URL).await), |_| {}).await.assert_kept();
//! }
//! ```
//!
//! The checks may run on a database that contains other data, and several runs may use one database at the same time. A
//! run creates its own tenants, which have random names, and deletes them at the end. Its due times and expiry times
//! are in 1970. If the database belongs to no environment before the run, it belongs to [`Environment::TikTokShop`]
//! afterwards. No host should sweep the database during a run. Run the checks on [`alternating`] handles as well,
//! because a fleet uses a database through several handles.
//!
//! If a read may be stale, a check repeats it for up to 3 seconds. In nearly all checks, an error that the contract
//! does not require counts as a broken promise, even [`Unavailable`]. So the database must be available during a run.
//!
//! [`Environment::TikTokShop`]: tiktok_shop_host::storage::Environment::TikTokShop
//! [`Unavailable`]: tiktok_shop_host::storage::StorageError::Unavailable

mod abandoned;
mod ages;
mod alternating;
mod broken;
mod checks;
mod concurrency;
mod consents;
mod deletion;
mod due;
mod endings;
mod environments;
mod events;
mod histories;
mod isolation;
mod joint_reads;
mod keys;
mod linearizability;
mod lists;
mod register;
mod revisions;
mod round_trip;
mod samples;
mod sealing;
mod swaps;
mod tenant_rows;
mod trial;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tiktok_shop_host::storage::HostStorage;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub use self::alternating::alternating;
use self::broken::Broken;
use self::checks::{CHECKS, Check};
use self::trial::Trial;

/// The maximum time of one check: 60 seconds. A check that takes longer fails, because the storage seems to hang. Even
/// on a slow disk, the longest check takes only some seconds.
const MAX_CHECK_TIME: Duration = Duration::from_secs(60);

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The check's name, a sentence in snake case.
    pub check: &'static str,
    /// The promise that the check tests, quoted from the documentation of [`HostStorage`] and its parts.
    pub promise: &'static str,
    /// How the storage broke the promise, in one line. `None` if it kept the promise.
    pub failure: Option<String>,
    /// How long the check took.
    pub took: Duration,
}

/// Shows the check's name, the promise and the failure.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, promise, failure, .. } = self;
        write!(f, "{check} ({promise}): {}", failure.as_deref().unwrap_or("kept"))
    }
}

/// The results of all checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// One result per check, in the order of [`checks`].
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Returns whether the storage kept every promise.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.broken().next().is_none()
    }

    /// Returns the results of the checks that found a broken promise.
    pub fn broken(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some())
    }

    /// Asserts in a test that the storage kept every promise.
    ///
    /// # Panics
    /// Panics if the storage broke a promise. The message has one line for each check that found a broken promise.
    #[expect(clippy::panic, reason = "an assertion for tests")]
    pub fn assert_kept(&self) {
        let broken: Vec<_> = self.broken().map(Outcome::to_string).collect();
        if !broken.is_empty() {
            let (broken, all, lines) = (broken.len(), self.outcomes.len(), broken.join("\n"));
            panic!("{broken} of {all} checks found a broken promise:\n{lines}");
        }
    }
}

/// Returns the name and the promise of every check, in the order in which [`run`] runs them.
pub fn checks() -> impl Iterator<Item = (&'static str, &'static str)> {
    CHECKS.iter().map(|check| (check.name, check.promise))
}

/// Runs all checks on this storage, one after the other, and calls `on_outcome` after each check. If a check panics or
/// runs longer than 60 seconds, its promise counts as broken, and the next check runs. This function needs a tokio
/// runtime with a timer. If the storage blocks a thread, the runtime needs several threads.
pub async fn run(storage: Arc<dyn HostStorage>, mut on_outcome: impl FnMut(&Outcome)) -> Report {
    let mut report = Report::default();
    for check in CHECKS {
        let begin = Instant::now();
        let (failure, trial) = match Trial::new(Arc::clone(&storage)) {
            Ok(trial) => {
                let trial = Arc::new(trial);
                (failure(check, Arc::clone(&trial)).await, Some(trial))
            }
            Err(Broken(why)) => (Some(why), None),
        };
        let failure = failure.map(|text| text.lines().collect::<Vec<_>>().join(" "));
        let outcome = Outcome { check: check.name, promise: check.promise, failure, took: begin.elapsed() };
        on_outcome(&outcome);
        report.outcomes.push(outcome);
        if let Some(trial) = trial {
            // A failed deletion does no harm, because the data that is left belongs to tenants that nobody else uses.
            let _cleaned = on_own_task(async move { trial.clean().await }).await;
        }
    }
    report
}

async fn failure(check: &Check, trial: Arc<Trial>) -> Option<String> {
    let run = check.run;
    match on_own_task(async move { run(&trial).await }).await {
        Ok(Ok(())) => None,
        Ok(Err(Broken(why))) | Err(Broken(why)) => Some(why),
    }
}

/// Runs the work on its own task for at most [`MAX_CHECK_TIME`], so that a panic or a hanging storage ends only this
/// work.
async fn on_own_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Broken> {
    let mut task = JoinSet::new();
    task.spawn(work);
    match timeout(MAX_CHECK_TIME, task.join_next()).await {
        Ok(Some(ended)) => Ok(ended?),
        Ok(None) | Err(_) => Err(Broken(format!("the check did not end within {} s", MAX_CHECK_TIME.as_secs()))),
    }
}

#[cfg(test)]
mod tests;
