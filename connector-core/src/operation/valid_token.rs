//! Returns an access token that may be used now, for `access-token` and `call`. It renews the token if a renewal is
//! due.

use super::apps::Apps;
use super::renewal::{self, NotRenewed, Renewed};
use super::rows;
use super::tokens::VersionedRecord;
use crate::connection::{Outcome, PastFailure, RowUpdate};
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::Effects;
use crate::rotation::Trigger;
use maybe_async::maybe_async;

/// A record whose access token may be used.
pub(super) struct Served {
    pub(super) stored: VersionedRecord,
    /// Whether this call has renewed the token.
    pub(super) just_rotated: bool,
}

/// Renews the token if `trigger` asks for it. If TikTok does not renew the token, returns the stored token if it is
/// still valid (rule 9 of [`crate::rotation`]). If storage fails, the function may return an error instead. If new
/// tokens could not be saved, or the record is dead, it always returns an error.
#[maybe_async]
pub(super) async fn valid_token(
    effects: &impl Effects,
    apps: &mut Apps,
    key: &ConnectionKey,
    trigger: Trigger<'_>,
) -> Result<Served, Error> {
    let serves = |stored: &VersionedRecord| {
        let record = &stored.record;
        let refused = match trigger {
            Trigger::Refused(token) => record.current().access.as_ref().is_some_and(|current| current.same_as(token)),
            Trigger::WhenDue | Trigger::Forced | Trigger::GoodFor(_) => false,
        };
        !refused && record.serves(effects.wall())
    };
    let failed = match renewal::renew(effects, apps, key, trigger).await {
        Ok(Renewed::Rotated { stored, account_changed }) => {
            let at = effects.wall();
            let failure = account_changed.then(|| PastFailure::new(at, &Error::new(Cause::AccountChanged)));
            let update = RowUpdate::outcome(at, Outcome::of(failure));
            let _row_is_a_projection = rows::write(effects, key, stored.record.lineage(), &update).await;
            return Ok(Served { stored, just_rotated: true });
        }
        Ok(Renewed::NotDue(stored)) => return Ok(Served { stored, just_rotated: false }),
        // This call has changed nothing, so the row is not written again.
        Ok(Renewed::Waiting { stored, .. }) if serves(&stored) => {
            return Ok(Served { stored, just_rotated: false });
        }
        Ok(Renewed::Waiting { error, .. }) => return Err(error),
        Ok(Renewed::Dead { stored, error }) => NotRenewed { error, stored: Some(stored) },
        Err(failed) => failed,
    };
    let NotRenewed { error, stored } = rows::record_failure(effects, key, failed).await;
    let has_app = |stored: &VersionedRecord| apps.of(stored.record.app_key()).is_ok();
    stored.filter(serves).filter(has_app).map(|stored| Served { stored, just_rotated: false }).ok_or(error)
}
