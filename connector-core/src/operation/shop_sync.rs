//! Reads the shops of a grant and records the result in the row and in the token record.

use super::tokens::{self, DueTime, VersionedRecord};
use super::{rows, signed};
pub(super) use crate::connection::Occasion;
use crate::connection::{Connection, Outcome, PastFailure, RowUpdate, ShopUpdate};
use crate::credentials::Credentials;
use crate::endpoint::shops::{self, Listing};
use crate::envelope::Fault;
use crate::error::{Action, Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::Effects;
use crate::record::TokenRecord;
use maybe_async::maybe_async;

/// Returns the shops that TikTok lists for the record's access token. An answer about an authorization code or a
/// refresh token becomes `unrecognised-answer`, because only TikTok's token server can tell whether the grant is still
/// valid.
#[maybe_async]
pub(super) async fn read_shops(
    effects: &impl Effects,
    app: &Credentials,
    record: &TokenRecord,
) -> Result<Listing, Fault> {
    let Some(access) = &record.current().access else {
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

/// Returns whether TikTok refused the access token itself.
pub(super) fn token_refused(error: &Error) -> bool {
    matches!(error.cause, Cause::TokenExpired | Cause::TokenInvalid)
}

/// The result of [`record_shops`].
pub(super) struct Recorded {
    /// The connection in the row that was written; `None` if the grant is gone or was replaced.
    pub(super) connection: Result<Option<Connection>, Error>,
    /// The error `too-many-shops`, if the list would give the row too many shops. The row then keeps its shops and
    /// shows this error.
    pub(super) refused: Option<Error>,
}

/// Writes the result of reading the shops: first the row, then the record with its new due time, if either of them
/// changes.
#[maybe_async]
pub(super) async fn record_shops(
    effects: &impl Effects,
    key: &ConnectionKey,
    mut stored: VersionedRecord,
    shops: ShopUpdate,
    failure: Option<&Error>,
    occasion: Occasion,
) -> Recorded {
    let at = effects.wall();
    let lineage = stored.record.lineage();
    let outcome = |failure: Option<&Error>| Outcome::of(failure.map(|error| PastFailure::new(at, error)));
    let mut update = RowUpdate { occasion, ..RowUpdate::shops(at, shops, outcome(failure)) };
    let mut written = rows::write(effects, key, lineage, &update).await;
    let refused = written.as_ref().err().filter(|error| error.cause == Cause::TooManyShops).cloned();
    if refused.is_some() {
        update = RowUpdate { occasion, ..RowUpdate::outcome(at, outcome(refused.as_ref())) };
        written = rows::write(effects, key, lineage, &update).await;
    }
    let connection = written.map_err(row_not_saved);
    // The work is unfinished if the row was not saved or the shops were not read. If the seller is inactive, the shops
    // cannot be read, and the work counts as finished. If a webhook must be verified and an entry of the list cannot be
    // read, the work is unfinished, because this entry may be the shop of the webhook.
    let unverified = stored.record.awaits_verification();
    let unfinished = match (&connection, refused.as_ref().or(failure), update.shops) {
        (Err(error), _, _) | (Ok(_), Some(error), ShopUpdate::Unread) => Some(error),
        (Ok(_), Some(error), ShopUpdate::Listed(list)) if list.unreadable > 0 && unverified => Some(error),
        (Ok(_), _, _) => None,
    };
    let changes = match unfinished {
        Some(error) => {
            stored.record.hold_back(error, at, effects.random_number());
            true
        }
        None => stored.record.settle(),
    };
    // A renewal has usually just stored this record with this due time. Then there is nothing to write.
    let due_at = stored.record.next_due(at);
    if changes || stored.due != DueTime::Stored(due_at) {
        // This swap may lose a race. Then the other writer has already set a due time. If the swap fails, the earlier
        // due time stays. Both cases are safe.
        let expected = Some(&stored.revision);
        let _stale_or_failed = tokens::swap_due_at(effects, key, expected, &stored.record, due_at).await;
    }
    Recorded { connection, refused }
}

/// Turns a failure of storage into `connection-row-not-saved`: the tokens are stored although the row is not. A row that
/// cannot be used keeps its own error, because calling again does not help.
fn row_not_saved(error: Error) -> Error {
    let is_unusable = matches!(error.cause, Cause::RowChanged | Cause::RowUnreadable);
    if error.cause.action() == Action::StorageFailed && !is_unusable {
        Error::new(Cause::ConnectionRowNotSaved).with_note(&error.detail())
    } else {
        error
    }
}
