//! Expiry notices about authorizations that end within 30 days, 7 days or 1 day.

use std::future::Future;
use std::pin::Pin;

use futures::FutureExt as _;
use tiktok_shop_connector_core::contract::{ENDING_NOTICE, NOTICE_DAYS};

use super::{PAGE, Swept};
use crate::connection::UnixSeconds;
use crate::events::{Cause, EventKind, NewEvent, Origin};
use crate::host::ConnectorHost;
use crate::storage::{Ending, OnceDigest, StorageError, run_within};

const DAY: u64 = 86_400;

/// Returns the notice that is due for this authorization, and the digest of the notice. The storage appends a notice
/// with the same digest only once. Returns `None` if no notice is due. An authorization that has already ended gets the
/// notice for one day.
fn notice(ending: &Ending, now: UnixSeconds, origin: &Origin) -> Option<(OnceDigest, NewEvent)> {
    let left = ending.at.0.saturating_sub(now.0);
    let days = NOTICE_DAYS.into_iter().find(|days| left <= u64::from(*days) * DAY)?;
    let kind = EventKind::Notice { days, ends: ending.at };
    let once = OnceDigest::of(&format!("notice/{}/{days}", ending.grant));
    Some((once, NewEvent { at: now, key: Some(ending.key.clone()), kind, origin: origin.clone() }))
}

impl ConnectorHost {
    /// Writes all due notices until none is left or `stop` completes. Each notice is written once, even if several
    /// hosts sweep. For a notice that was already written, the sweep only reads the storage once. If the connection
    /// ends, needs a new consent or gets one while the sweep runs, the sweep writes no notice about the earlier consent.
    pub(super) async fn write_notices(
        &self,
        now: UnixSeconds,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        swept: &mut Swept,
    ) -> Result<(), StorageError> {
        let by = UnixSeconds(now.0.saturating_add(ENDING_NOTICE));
        let origin = self.origin(Cause::Sweep);
        let mut last: Option<Ending> = None;
        loop {
            let page = run_within(self.storage_timeout(), self.storage().endings(by, last.as_ref(), PAGE)).await?;
            if page.is_empty() {
                return Ok(());
            }
            page.iter().for_each(|ending| self.sandbox.remember_tenant(&ending.tenant));
            for ending in &page {
                if stop.as_mut().now_or_never().is_some() {
                    swept.stopped = true;
                    return Ok(());
                }
                let Some((once, event)) = notice(ending, now, &origin) else { continue };
                let (storage, tenant) = (self.storage(), &ending.tenant);
                let is_known = run_within(self.storage_timeout(), storage.knows_once(tenant, &ending.key, &once));
                if is_known.await? {
                    continue;
                }
                // `append_once` returns `false` if another host has written the notice, if the connection has ended or
                // has a new consent, or if the read was stale.
                let append = storage.append_once(tenant, &once, &event, Some(&ending.grant));
                if run_within(self.storage_timeout(), append).await? {
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
    use crate::connection::ConnectionKey;

    #[test]
    fn only_the_most_urgent_due_notice_is_written() {
        let origin = Origin::default().during(Cause::Sweep);
        let now = UnixSeconds(1_767_225_600);
        let key = ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() };
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
            let ending = Ending { at, tenant: "t".parse().unwrap(), key: key.clone(), grant: "l/7".to_owned() };
            let due = expected.map(|days| {
                let kind = EventKind::Notice { days, ends: at };
                let event = NewEvent { at: now, key: Some(key.clone()), kind, origin: origin.clone() };
                (OnceDigest::of(&format!("notice/l/7/{days}")), event)
            });
            assert_eq!(notice(&ending, now, &origin), due, "{left} s left");
        }
    }
}
