//! Reads the shops of a grant and records the result in the row and in the token record.

use super::tokens::{self, VersionedRecord};
use super::{rows, signed};
pub(super) use crate::connection::Occasion;
use crate::connection::{Connection, Outcome, PastFailure, RowUpdate, ShopList, ShopUpdate};
use crate::credentials::Credentials;
use crate::endpoint::shops;
use crate::envelope::Fault;
use crate::error::{Action, Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::Effects;
use alloc::format;

/// Returns the shops that TikTok lists for the record's access token. An answer about an authorization code or a
/// refresh token becomes `unrecognised-answer`, because only the token host can tell whether the grant is still valid.
pub(super) async fn read_shops(
    effects: &impl Effects,
    app: &Credentials,
    stored: &VersionedRecord,
) -> Result<ShopList, Fault> {
    let Some(access) = &stored.record.current().access else {
        return Err(Fault::before_sending(Cause::TokenAnswerIncomplete));
    };
    let secrets = [app.app_secret.expose(), access.expose()];
    let outcome =
        signed::exchange(effects, app, access, &shops::REQUEST, |response| shops::read(&response, &secrets)).await;
    outcome.map_err(|mut fault| {
        if fault.error.cause.action() == Action::Reauthorize {
            fault.error = fault.error.with_cause(Cause::UnrecognisedAnswer);
        }
        fault
    })
}

/// Returns the failure that a list shows in the row, if some of its entries cannot be read.
pub(super) fn incomplete(list: &ShopList) -> Option<Error> {
    let note = format!("{} unreadable, {} stored", list.unreadable, list.shops.len());
    (list.unreadable > 0).then(|| Error::new(Cause::ShopListIncomplete).with_note(&note))
}

/// Returns whether TikTok refused the access token itself.
pub(super) fn token_refused(error: &Error) -> bool {
    matches!(error.cause, Cause::TokenExpired | Cause::TokenInvalid)
}

/// Writes the result of reading the shops: first the row, then the record with its new due time. Returns `None` if the
/// grant is gone or was replaced.
pub(super) async fn record_shops(
    effects: &impl Effects,
    key: &ConnectionKey,
    mut stored: VersionedRecord,
    shops: ShopUpdate,
    failure: Option<&Error>,
    occasion: Occasion,
) -> Result<Option<Connection>, Error> {
    let at = effects.now().wall;
    let outcome = Outcome::of(failure.map(|error| PastFailure::new(at, error)));
    let update = RowUpdate { occasion, ..RowUpdate::shops(at, shops, outcome) };
    let connection = rows::write(effects, key, stored.record.lineage(), &update).await.map_err(row_not_saved);
    // Work is left if the row was not saved or the shops were not read. The shops of an inactive seller cannot be read,
    // so an inactive seller leaves no work. An incomplete list does not tell which shop a webhook was about.
    let unverified = stored.record.awaits_verification();
    let unfinished = match (&connection, failure, update.shops) {
        (Err(error), _, _) | (Ok(_), Some(error), ShopUpdate::Unread) => Some(error),
        (Ok(_), Some(error), ShopUpdate::Listed(list)) if list.unreadable > 0 && unverified => Some(error),
        (Ok(_), _, _) => None,
    };
    match unfinished {
        Some(error) => stored.record.hold_back(error, at, effects.random_number()),
        None => stored.record.settle(),
    }
    // If another writer was faster, that writer has set a due time. If this write fails, the earlier due time stays.
    // Both cases are safe.
    let _stale_or_failed = tokens::swap(effects, key, Some(&stored.revision), &stored.record, at).await;
    connection
}

/// Turns a failure of storage into `connection-row-not-saved`: the tokens are stored although the row is not.
fn row_not_saved(error: Error) -> Error {
    if error.cause.action() == Action::StorageFailed {
        Error::new(Cause::ConnectionRowNotSaved).with_note(&error.detail())
    } else {
        error
    }
}
