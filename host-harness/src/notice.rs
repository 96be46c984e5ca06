//! Notices of authorizations that end: 30, 7 and 1 days before.

use std::future::Future;
use std::pin::Pin;

use futures::FutureExt as _;

use crate::connection::UnixSeconds;
use crate::digest::OnceDigest;
use crate::event::{EventKind, NewEvent};
use crate::host::ConnectorHost;
use crate::imports::answered_within;
use crate::storage::{Ending, StorageError};
use crate::sweep::{PAGE, Swept};

const DAY: u64 = 86_400;
/// Days before the end, the most urgent first.
const THRESHOLDS: [u8; 3] = [1, 7, 30];
/// No connection that ends later has a notice yet.
const EARLIEST: u64 = 30 * DAY;

/// The notice of an end, and the name that lets it be given once. What ended already is told as what ends in a day.
fn notice(ending: &Ending, now: UnixSeconds) -> Option<(OnceDigest, NewEvent)> {
    let left = ending.at.0.saturating_sub(now.0);
    let days = THRESHOLDS.into_iter().find(|days| left <= u64::from(*days) * DAY)?;
    let kind = EventKind::Notice { days, ends: ending.at };
    let once = OnceDigest::of(&format!("notice/{}/{days}", ending.grant));
    Some((once, NewEvent { at: now, key: ending.key.clone(), kind }))
}

impl ConnectorHost {
    /// Gives the notices that are due, each once whoever else does so too, until none is left or `stop` is ready. A consent
    /// that comes in between may get the notice of the one before it.
    pub(crate) async fn give_notices(
        &self,
        now: UnixSeconds,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        swept: &mut Swept,
    ) -> Result<(), StorageError> {
        let by = UnixSeconds(now.0.saturating_add(EARLIEST));
        let mut last: Option<Ending> = None;
        loop {
            let page = answered_within(self.answer(), self.storage().endings(by, last.as_ref(), PAGE)).await?;
            if page.is_empty() {
                return Ok(());
            }
            for ending in &page {
                if stop.as_mut().now_or_never().is_some() {
                    swept.stopped = true;
                    return Ok(());
                }
                let Some((once, event)) = notice(ending, now) else { continue };
                if answered_within(self.answer(), self.storage().append_once(&ending.tenant, &once, &event)).await? {
                    swept.notices += 1;
                }
            }
            last = page.into_iter().next_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::row_of;

    #[test]
    fn the_tightest_threshold_that_is_reached_is_told() {
        let now = UnixSeconds(1_767_225_600);
        let row = row_of("customer", "account");
        let table = [
            (30 * DAY + 1, None),
            (30 * DAY, Some(30)),
            (7 * DAY + 1, Some(30)),
            (7 * DAY, Some(7)),
            (DAY + 1, Some(7)),
            (DAY, Some(1)),
            (0, Some(1)),
        ];
        for (left, expected) in table {
            let at = UnixSeconds(now.0 + left);
            let key = row.connection.key.clone();
            let ending = Ending { at, tenant: "t".parse().unwrap(), key: key.clone(), grant: "l/7".to_owned() };
            let told = expected.map(|days| {
                let kind = EventKind::Notice { days, ends: at };
                (OnceDigest::of(&format!("notice/l/7/{days}")), NewEvent { at: now, key, kind })
            });
            assert_eq!(notice(&ending, now), told, "{left} s left");
        }
    }
}
