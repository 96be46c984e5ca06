//! The order of row writes: the row is loaded first, then the token record it must belong to; a row that was created is
//! deleted again if its record went meanwhile.

use super::renewal::NotRenewed;
use super::{storage_error, tokens};
use crate::connection::{Connection, News, Outcome, PastFailure, Row, project};
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::{Effects, Swapped};
use crate::record::Lineage;
use crate::rotation::MOST_TRIES;

/// Writes the row of a grant. None: the grant is gone or replaced, and nothing was written.
pub(super) async fn write(
    effects: &impl Effects,
    key: &ConnectionKey,
    lineage: Lineage,
    news: &News,
) -> Result<Option<Connection>, Error> {
    for _ in 0..MOST_TRIES {
        let before = effects.load_row(key).await.map_err(storage_error)?;
        let Some(held) = tokens::load_of(effects, key, lineage).await? else {
            return Ok(None);
        };
        let (expected, before) = before.map(|entry| (entry.revision, entry.value)).unzip();
        let row = project(key, &held.record, before, news);
        match effects.swap_row(key, expected.as_ref(), Some(&row)).await.map_err(storage_error)? {
            Swapped::Stale(_) => {}
            Swapped::Stored(revision) if expected.is_none() => {
                if tokens::load_of(effects, key, lineage).await?.is_some() {
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

/// The row as it stands, if it belongs to this grant.
pub(super) async fn read(effects: &impl Effects, key: &ConnectionKey, lineage: Lineage) -> Result<Option<Row>, Error> {
    let entry = effects.load_row(key).await.map_err(storage_error)?;
    Ok(entry.map(|entry| entry.value).filter(|row| row.lineage == lineage.to_text()))
}

/// Deletes a row whose token record is gone.
pub(super) async fn delete_orphan(effects: &impl Effects, key: &ConnectionKey) -> Result<(), Error> {
    for _ in 0..MOST_TRIES {
        let Some(entry) = effects.load_row(key).await.map_err(storage_error)? else {
            return Ok(());
        };
        if tokens::load_surely(effects, key).await?.is_some() {
            return Ok(());
        }
        match effects.swap_row(key, Some(&entry.revision), None).await.map_err(storage_error)? {
            Swapped::Stale(Some(_)) => {}
            Swapped::Deleted | Swapped::Stored(_) | Swapped::Stale(None) => return Ok(()),
        }
    }
    Err(Error::new(Cause::StorageConflict))
}

/// The customer's row learns that a renewal failed; a failure to write that would only hide the first.
pub(super) async fn write_down(
    effects: &impl Effects,
    key: &ConnectionKey,
    failed: NotRenewed,
) -> (Option<tokens::Held>, Error) {
    let NotRenewed { error, held } = failed;
    let _row_is_a_projection = if let Some(held) = &held {
        let at = effects.now().wall;
        let news = News::outcome(at, Outcome::Failure(PastFailure::new(at, &error)));
        write(effects, key, held.record.lineage, &news).await.map(|_| ())
    } else if error.cause == Cause::NotConnected {
        delete_orphan(effects, key).await
    } else {
        Ok(())
    };
    (held, error)
}
