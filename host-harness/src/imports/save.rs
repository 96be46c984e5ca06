//! Answers of a backend in time, and writes repeated until storage says what happened.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use crate::connection::ConnectionKey;
use crate::id::Revision;
use crate::seal::OpenToken;
use crate::storage::{RowEntry, StorageError, Swapped};

/// Pause before the first repetition of a save; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(1_600);

/// How long one storage may try to save. The tries of the guest and of the host count together.
pub(super) struct SaveBudget {
    /// For all tries of one save.
    whole: Duration,
    unfinished: Option<UnfinishedSave>,
}

/// A save of which nobody knows yet whether it happened. Another record, or another expected revision, is another save.
struct UnfinishedSave {
    key: ConnectionKey,
    expected: Option<Revision>,
    end: Instant,
}

impl SaveBudget {
    pub(super) fn new(whole: Duration) -> Self {
        Self { whole, unfinished: None }
    }

    /// What is left for this swap: of its unfinished save, or a whole budget.
    pub(super) fn of(&mut self, key: &ConnectionKey, expected: Option<&Revision>) -> Budget<'_> {
        self.unfinished.take_if(|save| (&save.key, save.expected.as_ref()) != (key, expected));
        let begin =
            || UnfinishedSave { key: key.clone(), expected: expected.cloned(), end: Instant::now() + self.whole };
        let end = self.unfinished.get_or_insert_with(begin).end;
        Budget { end, unfinished: &mut self.unfinished }
    }
}

/// What is left of one save.
pub(super) struct Budget<'a> {
    end: Instant,
    unfinished: &'a mut Option<UnfinishedSave>,
}

pub(crate) async fn answered_within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    answered_by(Instant::now() + limit, answer).await
}

async fn answered_by<T>(
    end: Instant,
    answer: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    // Unwind safety: after a panic nothing of this future is looked at again.
    match tokio::time::timeout_at(end, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(StorageError::Unavailable("the backend panicked".to_owned())),
        Err(_late) => Err(StorageError::Unavailable("the backend did not answer in time".to_owned())),
    }
}

pub(super) trait Entry {
    fn revision(&self) -> &Revision;
}

impl Entry for OpenToken {
    fn revision(&self) -> &Revision {
        &self.revision
    }
}

impl Entry for RowEntry {
    fn revision(&self) -> &Revision {
        &self.revision
    }
}

/// Swaps until storage says what happened, or the budget of this save is spent. A try that failed may have been
/// written all the same, and then the next one finds `revision`, or nothing where it meant to delete.
pub(super) async fn save<E: Entry, F>(
    budget: Budget<'_>,
    revision: Option<&Revision>,
    swap: impl Fn() -> F,
) -> Result<Swapped<E>, StorageError>
where
    F: Future<Output = Result<Swapped<E>, StorageError>>,
{
    let Budget { end, unfinished } = budget;
    let mut pause = FIRST_PAUSE;
    let mut repeated = false;
    let result = loop {
        match answered_by(end, swap()).await {
            Err(StorageError::Unavailable(_)) if Instant::now() + pause < end => tokio::time::sleep(pause).await,
            // The save is not finished: a further try of the guest has only what is left of the budget.
            Err(StorageError::Unavailable(why)) => return Err(StorageError::Unavailable(why)),
            Ok(Swapped::Stale(Some(found))) if Some(found.revision()) == revision => break Ok(Swapped::Done),
            Ok(Swapped::Stale(None)) if repeated && revision.is_none() => break Ok(Swapped::Done),
            settled @ (Ok(_) | Err(StorageError::Refused(_) | StorageError::KeyGone)) => break settled,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        repeated = true;
    };
    *unfinished = None;
    result
}

#[cfg(test)]
mod tests;
