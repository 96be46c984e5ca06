//! The grant of a seller to an app, and the times at which TikTok Shop announces the end of the grant.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::{once, successors};

use super::{GrantKey, open_id};
use crate::app::Market;
use crate::seller::Shop;
use crate::switches::{EndingNoticeZone, Switches, TokensAfterRemoval};

const DAY: u64 = 86_400;

/// TikTok Shop first announces the end of an authorization this many seconds before the end: 30 days.
const FIRST_ANNOUNCEMENT_BEFORE: u64 = 30 * DAY;

/// The grant of a seller to an app. A new consent of the seller to the same app changes this grant.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub open_id: String,
    /// The scopes of the latest consent.
    pub scopes: Vec<String>,
    /// The time when the authorization of the latest consent ends, in Unix seconds.
    pub ends_at: u64,
    /// The number of consents of this grant whose code was exchanged. These consents are numbered from 1. Each token is
    /// stored with the number of its consent.
    pub(super) consents: u32,
    /// The value of the counter `Grants::issued` when the code of the latest consent was exchanged. A token whose
    /// `number` is not higher than this value was issued before that exchange.
    pub(super) issued_before: u64,
    /// The number of the latest consent that a test has ended early, or 0 if there is none. The refresh tokens of this
    /// consent and of all earlier consents are invalid.
    pub(super) ended_through: u32,
    /// The number of consents that have changed the ciphers of the seller's shops for this app.
    pub(super) cipher_changes: u32,
    /// The market of the app. The grant covers no shop of another market.
    pub(super) market: Market,
    /// The consents that were taken back. The key is the number of the consent, and the value says how the consent was
    /// taken back.
    revoked: BTreeMap<u32, Revocation>,
    /// The ids of the shops that were removed since the latest consent.
    removed_shops: BTreeSet<String>,
    /// The time up to which [`announcements`](Self::announcements) were returned, in Unix seconds.
    announced_at: u64,
}

/// How a consent was taken back.
#[derive(Clone, Copy)]
enum Revocation {
    /// The consent's tokens are refused at once.
    AtOnce,
    /// The grant was removed at this time, in Unix seconds. A switch decides how long the consent's tokens still work.
    Removed(u64),
}

impl Authorization {
    pub(super) fn new(key: &GrantKey) -> Self {
        Self {
            open_id: open_id(key),
            scopes: Vec::new(),
            ends_at: 0,
            consents: 0,
            issued_before: 0,
            ended_through: 0,
            cipher_changes: 0,
            market: Market::All,
            revoked: BTreeMap::new(),
            removed_shops: BTreeSet::new(),
            announced_at: 0,
        }
    }

    /// Records another consent. The grant then covers all of the seller's shops in the app's market again.
    pub(super) fn consent(&mut self, scopes: Vec<String>, now: u64, ends_at: u64) {
        self.scopes = scopes;
        self.ends_at = ends_at;
        self.consents += 1;
        self.removed_shops.clear();
        self.announced_at = now;
    }

    /// Returns the present cipher of a shop whose first cipher is `first`.
    pub(crate) fn cipher(&self, first: &str) -> String {
        Self::cipher_after(first, self.cipher_changes)
    }

    pub(super) fn cipher_after(first: &str, changes: u32) -> String {
        match changes {
            0 => first.to_owned(),
            changes => format!("{first}v{changes}"),
        }
    }

    /// Tells whether the grant covers this shop of the seller.
    pub(crate) fn covers(&self, shop: &Shop) -> bool {
        self.market.has(&shop.region) && !self.removed_shops.contains(&shop.id)
    }

    pub(super) fn remove_shop(&mut self, shop_id: &str) {
        self.removed_shops.insert(shop_id.to_owned());
    }

    /// Puts a removed shop back. Returns false if the shop was not removed.
    pub(super) fn restore_shop(&mut self, shop_id: &str) -> bool {
        self.removed_shops.remove(shop_id)
    }

    /// Tells whether the authorization is over at `now`.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.ended_through == self.consents || now >= self.ends_at
    }

    /// Returns true if the latest consent was not taken back, even if its authorization has already ended.
    pub(crate) fn stands(&self) -> bool {
        !self.revoked.contains_key(&self.consents)
    }

    pub(super) fn end(&mut self, now: u64) {
        self.ended_through = self.consents;
        self.ends_at = self.ends_at.min(now);
    }

    pub(super) fn remove(&mut self, now: u64) {
        for consent in 1..=self.consents {
            self.revoked.entry(consent).or_insert(Revocation::Removed(now));
        }
    }

    pub(super) fn revoke(&mut self) {
        self.revoked.extend((1..=self.consents).map(|consent| (consent, Revocation::AtOnce)));
    }

    pub(super) fn revoke_consent(&mut self, consent: u32) {
        self.revoked.insert(consent, Revocation::AtOnce);
    }

    /// Tells whether the tokens of a consent are refused because the consent was taken back.
    pub(super) fn refuses(&self, consent: u32, now: u64, switches: &Switches) -> bool {
        self.revoked.get(&consent).is_some_and(|revocation| match (revocation, switches.tokens_after_removal) {
            (Revocation::AtOnce, _) | (Revocation::Removed(_), TokensAfterRemoval::Refused) => true,
            (Revocation::Removed(at), TokensAfterRemoval::HonouredForSeconds(seconds)) => {
                now >= at.saturating_add(seconds)
            }
        })
    }

    /// Returns the times up to `now` at which TikTok Shop must announce the coming end of the authorization. TikTok
    /// Shop announces an end 30 days in advance, and then daily at 0:00. The result contains no time that an earlier
    /// call has returned. The result is empty if the latest consent was taken back.
    ///
    /// Source: the official page of the webhook `UPCOMING_AUTHORIZATION_EXPIRATION` (as of 2026).
    pub(super) fn announcements(&mut self, now: u64, zone: EndingNoticeZone) -> Vec<u64> {
        let since = self.announced_at;
        self.announced_at = since.max(now);
        if !self.stands() {
            return Vec::new();
        }
        let first = self.ends_at.saturating_sub(FIRST_ANNOUNCEMENT_BEFORE);
        let ahead = zone.ahead();
        let next_midnight = ((first + ahead) / DAY + 1) * DAY - ahead;
        let daily = successors(Some(next_midnight), |at| at.checked_add(DAY)).take_while(|at| *at < self.ends_at);
        once(first).chain(daily).filter(|at| since < *at && *at <= now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noon of 2026-01-01, in Unix seconds.
    const NOON: u64 = 1_767_268_800;
    const MIDNIGHT: u64 = NOON + DAY / 2;
    const NO_TIMES: [u64; 0] = [];

    fn ending_at(ends_at: u64, granted_at: u64) -> Authorization {
        let key = GrantKey { service_id: "7480000000000000001".to_owned(), seller: "one-shop".to_owned() };
        let mut authorization = Authorization::new(&key);
        authorization.consent(Vec::new(), granted_at, ends_at);
        authorization
    }

    #[test]
    fn an_end_is_announced_thirty_days_before_and_then_at_every_midnight() {
        let end = NOON + 30 * DAY;
        let mut authorization = ending_at(end, NOON - 100 * DAY);
        assert_eq!(authorization.announcements(NOON - 1, EndingNoticeZone::Utc), NO_TIMES);
        assert_eq!(authorization.announcements(NOON, EndingNoticeZone::Utc), [NOON]);
        assert_eq!(authorization.announcements(MIDNIGHT - 1, EndingNoticeZone::Utc), NO_TIMES);
        assert_eq!(authorization.announcements(MIDNIGHT + DAY, EndingNoticeZone::Utc), [MIDNIGHT, MIDNIGHT + DAY]);
        let rest: Vec<_> = (2..30).map(|day| MIDNIGHT + day * DAY).collect();
        assert_eq!(authorization.announcements(end + 100 * DAY, EndingNoticeZone::Utc), rest);
        assert_eq!(authorization.announcements(end + 200 * DAY, EndingNoticeZone::Utc), NO_TIMES);
    }

    #[test]
    fn daily_announcements_use_midnight_in_the_time_zone() {
        let mut authorization = ending_at(NOON + 30 * DAY, NOON - DAY);
        let at = authorization.announcements(NOON + DAY, EndingNoticeZone::UtcPlus8);
        assert_eq!(at, [NOON, MIDNIGHT - 8 * 3_600]);
    }

    #[test]
    fn an_authorization_shorter_than_thirty_days_is_announced_from_its_first_midnight() {
        let mut authorization = ending_at(NOON + 2 * DAY, NOON);
        assert_eq!(authorization.announcements(u64::MAX, EndingNoticeZone::Utc), [MIDNIGHT, MIDNIGHT + DAY]);
    }

    #[test]
    fn an_authorization_that_was_renewed_or_taken_back_is_not_announced() {
        let mut authorization = ending_at(NOON + 30 * DAY, NOON - DAY);
        authorization.consent(Vec::new(), NOON - 1, NOON + 99 * DAY);
        assert_eq!(authorization.announcements(NOON + 30 * DAY, EndingNoticeZone::Utc), NO_TIMES);
        authorization.remove(NOON + 30 * DAY);
        assert_eq!(authorization.announcements(NOON + 99 * DAY, EndingNoticeZone::Utc), NO_TIMES);
    }
}
