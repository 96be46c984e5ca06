//! What a [`HostStorage`] must pass: for tests of a storage of your own (feature `contract-tests`).
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use tiktok_shop_storage_contract as contract;
//! # struct OurStorage;
//! # impl OurStorage {
//! #     async fn connect(_: &str) -> tiktok_shop_host::storage::MemoryStorage { unimplemented!() }
//! # }
//! # const URL: &str = "";
//!
//! #[tokio::test(flavor = "multi_thread")]
//! async fn our_storage_keeps_the_contract() {
//!     contract_tests::run(Arc::new(OurStorage::connect(URL).await), |_| {}).await.assert_kept();
//! }
//! ```
//!
//! It may run on a database that holds other data, and several times at once. It uses tenants of its own with random names, due
//! times and ends of 1970, and deletes at its end what can be deleted: events, what was told once, states and webhooks
//! stay. No host should sweep the database meanwhile. Run it over [`Alternating`] handles too, as a fleet would use it.
//!
//! A read that may be old is asked again for a while. An error where none is due breaks a promise, [`Unavailable`] included: give
//! the checks a database that answers.
//!
//! [`Unavailable`]: tiktok_shop_host::storage::StorageError::Unavailable

mod abandoned;
mod ages;
mod alternating;
mod broken;
mod checks;
mod concurrency;
mod consents;
mod due;
mod endings;
mod events;
mod histories;
mod isolation;
mod keys;
mod linearizability;
mod lists;
mod register;
mod revisions;
mod round_trip;
mod samples;
mod sealing;
mod swaps;
mod trial;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub use self::alternating::Alternating;
use self::broken::Broken;
use self::checks::{CHECKS, Check};
use self::trial::Trial;
use tiktok_shop_host::storage::HostStorage;

/// A check that takes longer has met a storage that hangs: the longest needs seconds on a slow disk.
const LONGEST: Duration = Duration::from_secs(60);

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The check's name, a sentence in snake case.
    pub check: &'static str,
    /// Which promise of [`HostStorage`] it looks at, in the words of its documentation.
    pub promise: &'static str,
    /// What the storage did otherwise, in one line; `None`: it kept the promise.
    pub failure: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// The check's name, the promise, and what happened.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, promise, failure, .. } = self;
        write!(f, "{check} ({promise}): {}", failure.as_deref().unwrap_or("kept"))
    }
}

/// What came of all checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the checks.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The checks that found a promise broken.
    pub fn broken(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some())
    }

    /// For a test.
    ///
    /// # Panics
    /// Unless every promise was kept: with a line for each check that says otherwise.
    #[expect(clippy::panic, reason = "how a test fails")]
    pub fn assert_kept(&self) {
        let broken: Vec<_> = self.broken().map(Outcome::to_string).collect();
        if !broken.is_empty() {
            let (broken, all, lines) = (broken.len(), self.outcomes.len(), broken.join("\n"));
            panic!("{broken} of {all} checks found a promise broken:\n{lines}");
        }
    }
}

/// Every check's name and promise, in the order in which [`run`] comes to them.
pub fn checks() -> impl Iterator<Item = (&'static str, &'static str)> {
    CHECKS.iter().map(|check| (check.name, check.promise))
}

/// Runs every check on this storage, one after the other; `on_outcome` hears of each as it ends. One that panics or does not
/// end has found a promise broken, and the next one follows. Needs tokio's runtime with its timer; if the storage blocks a
/// thread, one of several threads.
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
            // What is left is of tenants that nobody knows.
            let _cleaned = alone(async move { trial.clean().await }).await;
        }
    }
    report
}

async fn failure(check: &Check, trial: Arc<Trial>) -> Option<String> {
    let run = check.run;
    match alone(async move { run(&trial).await }).await {
        Ok(Ok(())) => None,
        Ok(Err(Broken(why))) | Err(Broken(why)) => Some(why),
    }
}

/// On a task of its own, which neither takes others along when it panics nor keeps them waiting when it hangs.
async fn alone<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Broken> {
    let mut task = JoinSet::new();
    task.spawn(work);
    match timeout(LONGEST, task.join_next()).await {
        Ok(Some(ended)) => Ok(ended?),
        Ok(None) | Err(_) => Err(Broken(format!("no end, still after {} s", LONGEST.as_secs()))),
    }
}

#[cfg(test)]
mod tests;
