//! Reads the shops of a grant and brings row and token record up to date with what came of it.

use super::tokens::{self, Held};
use super::{rows, signed};
use crate::connection::{Connection, ListedShop, News, Outcome, PastFailure, ShopNews};
use crate::endpoint::shops;
use crate::envelope::Fault;
use crate::error::{Action, Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::{Credentials, Effects};
use crate::rotation;
use alloc::vec::Vec;

/// What TikTok lists for the record's access token. What is said of a code or of a refresh token is no answer to it:
/// whether the grant lives, only the token host can tell.
pub(super) async fn read_shops(
    effects: &impl Effects,
    app: &Credentials,
    held: &Held,
) -> Result<Vec<ListedShop>, Fault> {
    let Some(access) = &held.record.current.access else {
        return Err(Fault::before_sending(Cause::TokenAnswerIncomplete));
    };
    let secrets = [app.app_secret.expose(), access.expose()];
    let outcome =
        signed::exchange(effects, app, access, &shops::REQUEST, |response| shops::read(&response, &secrets)).await;
    outcome.map_err(|mut fault| {
        if fault.error.cause.action() == Action::Reauthorize {
            fault.error = fault.error.becoming(Cause::UnrecognisedAnswer);
        }
        fault
    })
}

/// Whether TikTok refused the access token itself.
pub(super) fn token_refused(error: &Error) -> bool {
    matches!(error.cause, Cause::TokenExpired | Cause::TokenInvalid)
}

/// Writes down what came of reading the shops: the row first, then the record's real due time. None: the grant is gone
/// or replaced meanwhile.
pub(super) async fn record_shops(
    effects: &impl Effects,
    key: &ConnectionKey,
    mut held: Held,
    shops: ShopNews,
    failure: Option<&Error>,
    consented: bool,
) -> Result<Option<Connection>, Error> {
    let at = effects.now().wall;
    let outcome = Outcome::of(failure.map(|error| PastFailure::new(at, error)));
    let news = News { consented, ..News::shops(at, shops, outcome) };
    let connection = rows::write(effects, key, held.record.lineage, &news).await.map_err(row_not_saved);
    // What is left to be done comes first: a row that was not saved, then shops that were not read. An inactive seller's
    // were read as far as they can be.
    let left = match (&connection, failure, news.shops) {
        (Err(error), _, _) | (Ok(_), Some(error), ShopNews::Unread) => Some(error),
        (Ok(_), _, _) => None,
    };
    match left {
        Some(error) => rotation::hold_back(&mut held.record, error, at, effects.random_number()),
        None => rotation::settle(&mut held.record),
    }
    // Whoever overtook this write has set a due time of their own, and one that failed leaves the earlier: both are safe.
    let _overtaken_or_late = tokens::swap(effects, key, Some(&held.revision), &held.record, at).await;
    connection
}

/// The tokens are stored whatever becomes of the row.
fn row_not_saved(error: Error) -> Error {
    if error.cause.action() == Action::StorageFailed {
        Error::new(Cause::ConnectionRowNotSaved).noting(&error.detail())
    } else {
        error
    }
}
