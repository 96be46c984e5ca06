//! Expiry notices about authorizations that end within 30 days, 7 days or 1 day.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use tiktok_shop_connector_core::contract::{ENDING_NOTICE, NOTICE_DAYS};

use super::{PAGE, Swept};
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::events::{Cause, EventKind, NewEvent, Origin};
use crate::host::ConnectorHost;
use crate::id::TenantId;
use crate::storage::{Ending, OnceDigest, StorageError, run_within};

const DAY: u64 = 86_400;

/// Ends of an authorization are grouped into periods of this length. A seller may extend an authorization without a new
/// consent. If the new end is in another period, the authorization gets its notices again.
const PERIOD: u64 = 180 * DAY;
/// The periods begin 113 days, 293 days and so on after the consent. No usual length of an authorization is near a
/// beginning: neither 365, 730, 36135 or 36500 days nor a number of months of up to three years.
const OFFSET: u64 = 67 * DAY;
/// TikTok Shop may move an end by some seconds with each refresh. An end that was moved by less than this time gets no
/// notice again, even if it is now in the next period.
const TOLERANCE: u64 = DAY;
/// The period of an authorization for one year: 293 to 473 days after the consent. Its notices have the digests of
/// earlier releases, so hosts of both releases write each notice once.
const ONE_YEAR: u64 = 2;
/// The maximum number of written notices that a host remembers. A notice that it does not remember costs a read in each
/// sweep.
const MAX_REMEMBERED: usize = 50_000;

/// A notice that is due.
#[derive(Debug, PartialEq, Eq)]
struct DueNotice {
    event: NewEvent,
    /// The storage appends a notice with the same digest only once.
    once: OnceDigest,
    /// The digest of the same notice for an end up to one day earlier or later, if that end is in another period.
    neighbor: Option<OnceDigest>,
}

/// Returns the notice that is due for this authorization. Returns `None` if no notice is due. An authorization that has
/// already ended gets the notice for one day.
fn notice(ending: &Ending, now: UnixSeconds, origin: &Origin) -> Option<DueNotice> {
    let left = ending.at.0.saturating_sub(now.0);
    let days = NOTICE_DAYS.into_iter().find(|days| left <= u64::from(*days) * DAY)?;
    let kind = EventKind::Notice { days, ends: ending.at };
    let event = NewEvent { at: now, key: Some(ending.key.clone()), kind, origin: origin.clone() };
    let period = period(&ending.grant, ending.at.0);
    let neighbors = [ending.at.0.saturating_sub(TOLERANCE), ending.at.0.saturating_add(TOLERANCE)];
    let neighbor = neighbors.map(|end| self::period(&ending.grant, end)).into_iter().find(|other| *other != period);
    let digest = |period| match period {
        ONE_YEAR => OnceDigest::of(&format!("notice/{}/{days}", ending.grant)),
        period => OnceDigest::of(&format!("notice/{}/{days}/{period}", ending.grant)),
    };
    Some(DueNotice { event, once: digest(period), neighbor: neighbor.map(digest) })
}

/// Returns the number of the period in which this end is. The periods are counted from the consent, whose time is in
/// the name of the consent ([`Row::grant`](crate::storage::Row::grant)).
fn period(grant: &str, end: u64) -> u64 {
    let granted_at = grant.rsplit_once('/').and_then(|(_, at)| at.parse::<u64>().ok()).unwrap_or_default();
    end.saturating_sub(granted_at).saturating_add(OFFSET) / PERIOD
}

/// A written notice.
type Written = (TenantId, ConnectionKey, OnceDigest);

/// The notices about which the storage has said that they are written. A written notice stays written, so the host need
/// not ask again.
#[derive(Default)]
pub(crate) struct WrittenNotices(Mutex<Arc<HashSet<Written>>>);

impl WrittenNotices {
    fn known(&self) -> Arc<HashSet<Written>> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers these notices in place of the earlier ones.
    fn replace(&self, written: HashSet<Written>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(written);
    }
}

impl ConnectorHost {
    /// Writes all due notices until none is left or `stop` completes. Each notice is written once, even if several
    /// hosts sweep. For a notice that was already written, the sweep only reads the storage: once, or twice if the end
    /// is near the beginning of a period. The next sweeps of this host do not ask about it. If the connection ends,
    /// needs a new consent or gets one while the sweep runs, the sweep writes no notice about the earlier consent.
    pub(super) async fn write_notices(
        &self,
        now: UnixSeconds,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        swept: &mut Swept,
    ) -> Result<(), StorageError> {
        let by = UnixSeconds(now.0.saturating_add(ENDING_NOTICE));
        let origin = self.origin(Cause::Sweep);
        let known = self.sandbox.written_notices.known();
        let mut written = HashSet::new();
        let mut last: Option<Ending> = None;
        loop {
            let page = run_within(self.storage_timeout(), self.storage().endings(by, last.as_ref(), PAGE)).await?;
            if page.is_empty() {
                self.sandbox.written_notices.replace(written);
                return Ok(());
            }
            page.iter().for_each(|ending| self.sandbox.remember_tenant(&ending.tenant));
            for ending in &page {
                if stop.as_mut().now_or_never().is_some() {
                    swept.stopped = true;
                    return Ok(());
                }
                let Some(DueNotice { event, once, neighbor }) = notice(ending, now, &origin) else { continue };
                let (storage, tenant) = (self.storage(), &ending.tenant);
                let named = (tenant.clone(), ending.key.clone(), once);
                // A notice is remembered only after it was read, and not when it is written: a storage that fails over
                // may lose the last writes, and the next sweep then writes the notice again.
                let mut is_known = known.contains(&named);
                for once in std::iter::once(once).chain(neighbor) {
                    if !is_known {
                        let asked = run_within(self.storage_timeout(), storage.knows_once(tenant, &ending.key, &once));
                        is_known = asked.await?;
                    }
                }
                if is_known {
                    if written.len() < MAX_REMEMBERED {
                        written.insert(named);
                    }
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

    const NOW: UnixSeconds = UnixSeconds(1_767_225_600);
    const YEAR: u64 = 365 * DAY;

    fn key() -> ConnectionKey {
        ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() }
    }

    /// Returns the notice that is due now. The authorization ends in `left` seconds, and was granted for `length`
    /// seconds.
    fn due(left: u64, length: u64) -> Option<DueNotice> {
        let at = UnixSeconds(NOW.0 + left);
        let grant = format!("l/{}", at.0 - length);
        let ending = Ending { at, tenant: "t".parse().unwrap(), key: key(), grant };
        notice(&ending, NOW, &Origin::default().during(Cause::Sweep))
    }

    #[test]
    fn only_the_most_urgent_due_notice_is_written() {
        let origin = Origin::default().during(Cause::Sweep);
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
            let ends = UnixSeconds(NOW.0 + left);
            let granted_at = ends.0 - YEAR;
            let expected = expected.map(|days| {
                let kind = EventKind::Notice { days, ends };
                let event = NewEvent { at: NOW, key: Some(key()), kind, origin: origin.clone() };
                // This is the digest of earlier releases.
                let once = OnceDigest::of(&format!("notice/l/{granted_at}/{days}"));
                DueNotice { event, once, neighbor: None }
            });
            assert_eq!(due(left, YEAR), expected, "{left} s left");
        }
    }

    /// Returns the notice that is due at the end of an authorization that was granted now for `length` seconds.
    fn due_at_end(length: u64) -> DueNotice {
        let at = UnixSeconds(NOW.0 + length);
        let ending = Ending { at, tenant: "t".parse().unwrap(), key: key(), grant: format!("l/{}", NOW.0) };
        notice(&ending, at, &Origin::default()).unwrap()
    }

    /// Returns whether a notice is due for a second end of the same consent, after the same notice was written for a
    /// first end. Both are seconds after the consent.
    fn is_written_again(first: u64, second: u64) -> bool {
        let (first, second) = (due_at_end(first), due_at_end(second));
        second.once != first.once && second.neighbor != Some(first.once)
    }

    #[test]
    fn an_end_that_was_extended_has_its_own_notices_and_an_end_that_was_moved_a_little_has_none() {
        for years in 1..10 {
            assert!(is_written_again(years * YEAR, (years + 1) * YEAR), "{years}");
        }
        for (first, second) in [(30, 60 + YEAR / DAY), (90, 270), (YEAR / DAY, 730), (400, 800)] {
            assert!(is_written_again(first * DAY, second * DAY), "{first} to {second} days");
        }
        // After an extension by 181 days, the notices are given again wherever a period begins. After 180 days, they
        // are not given again if the first end is less than a day behind the beginning of a period.
        for length in [1, 113, 293, 365, 473] {
            for first in [length * DAY - 1, length * DAY, length * DAY + 3_600] {
                for extension in [181, 182, 360, 365] {
                    assert!(is_written_again(first, first + extension * DAY), "{length} and {extension} days");
                }
            }
        }
        assert!(!is_written_again(293 * DAY + 3_600, 473 * DAY + 3_600));
        // The periods begin at 113, 293 and 473 days.
        for length in [1, 30, 90, 113, 180, 293, 365, 366, 400, 473, 730] {
            for first in [length * DAY - 1, length * DAY, length * DAY + 1] {
                for moved in [1, 3_600, DAY - 2] {
                    assert!(!is_written_again(first, first + moved), "{length} days, {moved} s later");
                    assert!(!is_written_again(first + moved, first), "{length} days, {moved} s earlier");
                }
            }
        }
    }

    #[test]
    fn a_usual_length_of_an_authorization_needs_one_read() {
        let days = [1, 7, 30, 60, 90, 91, 180, 182, 270, 360, 364, 365, 366, 400, 720, 730, 731, 1_095, 36_135, 36_500];
        // A calendar month has 28 to 31 days, and a year has 365 or 366.
        let months = (1..=36).flat_map(|months: u64| {
            let least = months * 365 / 12 - 2;
            least..=least + 5
        });
        for length in days.into_iter().chain(months) {
            assert_eq!(due_at_end(length * DAY).neighbor, None, "{length} days");
        }
        assert_ne!(due_at_end(293 * DAY).neighbor, None);
    }
}
