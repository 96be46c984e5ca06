//! Writes the customer's row in a safe order. The row is loaded first, then the token record that it must belong to. If
//! the record was deleted while this call created the row, the call deletes the row again.

use super::renewal::NotRenewed;
use super::{storage_error, tokens};
use crate::connection::{Connection, Outcome, PastFailure, Row, RowUpdate, project};
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::{Effects, StorageError, Swapped};
use crate::record::Lineage;
use crate::rotation::MAX_TRIES;
use maybe_async::maybe_async;

/// Writes the row of a grant. If the grant was deleted or replaced, returns `None` and leaves no row that this call has
/// created. If the row would have too many shops, nothing is written.
#[maybe_async]
pub(super) async fn write(
    effects: &impl Effects,
    key: &ConnectionKey,
    lineage: Lineage,
    update: &RowUpdate,
) -> Result<Option<Connection>, Error> {
    for _ in 0..MAX_TRIES {
        let before = effects.load_row(key).await.map_err(storage_error)?;
        let Some(stored) = tokens::load_lineage(effects, key, lineage).await? else {
            return Ok(None);
        };
        let (expected, before) = before.map(|entry| (entry.revision, entry.value)).unzip();
        let row = project(key, &stored.record, before, update)?;
        match effects.swap_row(key, expected.as_ref(), Some(&row)).await.map_err(storage_error)? {
            Swapped::Stale(_) => {}
            Swapped::Stored(revision) if expected.is_none() => {
                if tokens::load_lineage(effects, key, lineage).await?.is_some() {
                    return Ok(Some(row.connection));
                }
                effects.swap_row(key, Some(&revision), None).await.map_err(storage_error)?;
                return Ok(None);
            }
            Swapped::Stored(_) | Swapped::Deleted => return Ok(Some(row.connection)),
        }
    }
    Err(Error::new(Cause::StorageConflict))
}

/// Loads the row. Returns `None` if there is no row, or if the row belongs to another grant.
#[maybe_async]
pub(super) async fn read(effects: &impl Effects, key: &ConnectionKey, lineage: Lineage) -> Result<Option<Row>, Error> {
    let entry = effects.load_row(key).await.map_err(storage_error)?;
    Ok(entry.map(|entry| entry.value).filter(|row| row.lineage == lineage.to_text()))
}

/// Deletes the row if its token record is gone.
#[maybe_async]
pub(super) async fn delete_orphan(effects: &impl Effects, key: &ConnectionKey) -> Result<(), Error> {
    for _ in 0..MAX_TRIES {
        let revision = match effects.load_row(key).await {
            Ok(Some(entry)) => entry.revision,
            Ok(None) => return Ok(()),
            // A row that cannot be used can be deleted nevertheless.
            Err(StorageError::RowChanged(revision) | StorageError::RowUnreadable(revision, _)) => revision,
            Err(error) => return Err(storage_error(error)),
        };
        if tokens::load_or_confirm_absence(effects, key).await?.is_some() {
            return Ok(());
        }
        match effects.swap_row(key, Some(&revision), None).await {
            Ok(Swapped::Stale(Some(_))) | Err(StorageError::RowChanged(_) | StorageError::RowUnreadable(..)) => {}
            Ok(Swapped::Deleted | Swapped::Stored(_) | Swapped::Stale(None)) => return Ok(()),
            Err(error) => return Err(storage_error(error)),
        }
    }
    Err(Error::new(Cause::StorageConflict))
}

/// Writes the failure of a renewal into the customer's row and returns the failure unchanged. When the row shows that
/// the connection is dead, its record is not due any more. If the row cannot be written, the error of this write is
/// dropped, because it would hide the failure of the renewal.
#[maybe_async]
pub(super) async fn record_failure(effects: &impl Effects, key: &ConnectionKey, failed: NotRenewed) -> NotRenewed {
    let _row_is_a_projection = if let Some(stored) = &failed.stored {
        let at = effects.wall();
        let update = RowUpdate::outcome(at, Outcome::Failure(PastFailure::new(at, &failed.error)));
        let written = write(effects, key, stored.record.lineage(), &update).await;
        if stored.record.dead().is_some() && matches!(written, Ok(Some(_))) {
            // This swap may lose a race. Then the other writer has already set a due time.
            let _stale_or_failed = tokens::swap(effects, key, Some(&stored.revision), &stored.record, at).await;
        }
        written.map(|_| ())
    } else if failed.error.cause == Cause::NotConnected {
        delete_orphan(effects, key).await
    } else {
        Ok(())
    };
    failed
}
