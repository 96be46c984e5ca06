//! Repeats a write until the storage says what happened, or until the time for the write is over.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::ConnectionKey;
use crate::id::Revision;
use crate::seal::{CheckedRow, OpenToken};
use crate::storage::{RetryBackoff, StorageError, Swapped, run_to_deadline};

/// The time that one save may take. All attempts of the guest and of the host share this time.
pub(super) struct SaveBudget {
    /// The time for all attempts of one save.
    whole: Duration,
    unfinished: Option<UnfinishedSave>,
}

/// A save whose outcome is unknown. A later swap with the same key and the same expected revision continues this save.
struct UnfinishedSave {
    key: ConnectionKey,
    expected: Option<Revision>,
    end: Instant,
}

impl SaveBudget {
    pub(super) fn new(whole: Duration) -> Self {
        Self { whole, unfinished: None }
    }

    /// Returns the time budget of this swap. If the swap continues an unfinished save, its budget is the rest of that
    /// save's time.
    pub(super) fn for_swap(&mut self, key: &ConnectionKey, expected: Option<&Revision>) -> Budget<'_> {
        self.unfinished.take_if(|save| (&save.key, save.expected.as_ref()) != (key, expected));
        let begin =
            || UnfinishedSave { key: key.clone(), expected: expected.cloned(), end: Instant::now() + self.whole };
        let end = self.unfinished.get_or_insert_with(begin).end;
        Budget { end, unfinished: &mut self.unfinished }
    }
}

/// The time that is left for one save.
pub(super) struct Budget<'a> {
    end: Instant,
    unfinished: &'a mut Option<UnfinishedSave>,
}

/// A stored record with a revision.
pub(super) trait Entry {
    fn revision(&self) -> &Revision;
}

impl Entry for OpenToken {
    fn revision(&self) -> &Revision {
        &self.revision
    }
}

impl Entry for CheckedRow {
    fn revision(&self) -> &Revision {
        &self.entry.revision
    }
}

/// Repeats a swap until the storage says what happened, or until the budget is spent. `revision` is the revision that
/// the swap writes, or `None` if the swap deletes the record. A failed attempt may have taken effect. If a later
/// attempt finds `revision`, or finds no record to delete, the swap counts as done.
pub(super) async fn save<E: Entry, F>(
    budget: Budget<'_>,
    revision: Option<&Revision>,
    swap: impl Fn() -> F,
) -> Result<Swapped<E>, StorageError>
where
    F: Future<Output = Result<Swapped<E>, StorageError>>,
{
    let Budget { end, unfinished } = budget;
    let mut pauses = RetryBackoff::until(end);
    let mut repeated = false;
    let result = loop {
        match run_to_deadline(end, swap()).await {
            Err(StorageError::Unavailable(why)) => {
                // The save stays unfinished. If the guest repeats the save, the repetition has only the rest of the
                // budget.
                if !pauses.wait().await {
                    return Err(StorageError::Unavailable(why));
                }
            }
            Ok(Swapped::Stale(Some(found))) if Some(found.revision()) == revision => break Ok(Swapped::Done),
            Ok(Swapped::Stale(None)) if repeated && revision.is_none() => break Ok(Swapped::Done),
            settled @ (Ok(_) | Err(StorageError::Refused(_) | StorageError::KeyGone | StorageError::RowChanged(_))) => {
                break settled;
            }
        }
        repeated = true;
    };
    *unfinished = None;
    result
}

#[cfg(test)]
mod tests;
