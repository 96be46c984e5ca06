//! An access token to be used now, for `access-token` and `call`: renewed if due, the valid one if it can't be renewed.

use super::renewal::{self, NotRenewed, Renewed};
use super::rows;
use super::tokens::Held;
use crate::connection::{News, Outcome, PastFailure};
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::{Credentials, Effects};
use crate::rotation::{self, Mode};

/// A record whose access token may be used.
pub(super) struct Served {
    pub(super) held: Held,
    /// This call renewed it.
    pub(super) just_rotated: bool,
}

/// Whatever happens to a renewal, a token that is valid is served (rule 9), but for a pair that could not be saved.
pub(super) async fn valid_token(
    effects: &impl Effects,
    app: &Credentials,
    key: &ConnectionKey,
    mode: Mode<'_>,
) -> Result<Served, Error> {
    let serves = |held: &Held| {
        let record = &held.record;
        let refused = match mode {
            Mode::Refused(token) => record.current.access.as_ref().is_some_and(|current| current.same_as(token)),
            Mode::WhenDue | Mode::Forced | Mode::GoodFor(_) => false,
        };
        !refused && record.app_key == app.app_key && rotation::serves(record, effects.now().wall)
    };
    let failed = match renewal::renew(effects, app, key, mode).await {
        Ok(Renewed::Rotated { held, account_changed }) => {
            let at = effects.now().wall;
            let failure = account_changed.then(|| PastFailure::new(at, &Error::new(Cause::AccountChanged)));
            let news = News::outcome(at, Outcome::of(failure));
            let _row_is_a_projection = rows::write(effects, key, held.record.lineage, &news).await;
            return Ok(Served { held, just_rotated: true });
        }
        Ok(Renewed::NotDue(held)) => return Ok(Served { held, just_rotated: false }),
        // Nothing new happened: the row is not written for every token that is asked for.
        Ok(Renewed::Waiting { held, .. } | Renewed::Dead { held, .. }) if serves(&held) => {
            return Ok(Served { held, just_rotated: false });
        }
        Ok(Renewed::Waiting { error, .. }) => return Err(error),
        Ok(Renewed::Dead { held, error }) => NotRenewed { error, held: Some(held) },
        Err(failed) => failed,
    };
    let (held, error) = rows::write_down(effects, key, failed).await;
    held.filter(serves).map(|held| Served { held, just_rotated: false }).ok_or(error)
}
