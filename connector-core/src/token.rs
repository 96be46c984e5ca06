//! The pair of tokens that TikTok issues (access token and refresh token), how long the access token is valid, and when
//! the pair is renewed. All functions calculate from a given `now`; none reads a clock.
//!
//! TikTok sends points in time, not durations: `access_token_expire_in` is a point in time despite its name (source:
//! partner.tiktokshop.com/docv2/page/authorization-overview-202407). An expiry time that is not believable counts as
//! unknown. A token with an unknown expiry time is due after six hours, so it is neither kept for ever nor renewed in a
//! loop.

use crate::error::{Cause, Error, MAX_DELAY};
use crate::secret::{AccessToken, RefreshToken};
use crate::time::{EARLIEST_EVENT, UnixSeconds};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The tokens and facts in one answer of TikTok's token server. A fact that is missing or cannot be read is `None`; the
/// tokens are kept nevertheless.
pub struct Pair {
    /// The access token; `None` if it was absent, empty or blank.
    pub access: Option<AccessToken>,
    /// When the access token expires. `Unknown` if the time in the answer was not believable when the answer was
    /// received.
    pub access_expiry: Expiry,
    /// The refresh token; `None` if it was absent, empty or blank. In this case the record keeps the refresh token that
    /// it has.
    pub refresh: Option<RefreshToken>,
    /// When the refresh token expires. A time about 99 years ahead is normal. `None` if the time in the answer was not
    /// believable when the answer was received.
    pub refresh_ends: Option<UnixSeconds>,
    /// TikTok's `open_id`.
    pub account: Option<String>,
    /// The kind of account: see [`UserType`].
    pub user_type: Option<UserType>,
    /// The display name of the seller account.
    pub seller_name: Option<String>,
    /// The region of the seller account.
    pub base_region: Option<String>,
    /// The granted scopes.
    pub scopes: Option<Vec<String>>,
    /// When TikTok sent the answer, by TikTok's clock. `None` if the answer has no readable date.
    pub date: Option<UnixSeconds>,
    /// The HTTP status of the answer, for [`Pair::error`].
    pub status: u16,
    /// TikTok's id of the request, for [`Pair::error`].
    pub request_id: Option<String>,
}

/// The kind of account that gave a consent, as TikTok numbers it. 0 is a seller. 4 and 5 are cross-border sellers
/// (Global Selling). 1 is a creator, 2 and 3 are partners. TikTok may add numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserType(pub i64);

impl UserType {
    /// A seller.
    pub const SELLER: Self = Self(0);

    /// Returns true if the account certainly does not belong to a seller. A number that this version does not know may
    /// mean a seller, so the function returns `false` for such a number.
    #[must_use]
    pub const fn is_not_a_seller(self) -> bool {
        matches!(self.0, 1..=3)
    }
}

impl Pair {
    /// Builds an error about this answer, for a call that cannot use the answer.
    #[must_use]
    pub fn error(&self, cause: Cause) -> Error {
        let mut error = Error::new(cause);
        error.http_status = Some(self.status);
        error.request_id.clone_from(&self.request_id);
        error
    }

    /// Returns the date of a grant whose first pair is this one. `now` is the time at which the pair was received, by
    /// the host's clock.
    ///
    /// The grant is dated by TikTok's clock or by the host's clock, whichever shows the earlier time. A webhook about an
    /// event before the grant is ignored, so a grant that is dated too late could hide a real deauthorization. If the
    /// date is too early, at worst one webhook is verified without need.
    #[must_use]
    pub fn granted_at(&self, now: UnixSeconds) -> UnixSeconds {
        self.date.filter(|date| *date >= EARLIEST_EVENT).map_or(now, |date| date.min(now))
    }

    /// Returns the date of TikTok's answer if the host's clock is more than a day ahead of that date. `now` is the
    /// host's time when the answer was received.
    #[must_use]
    pub fn date_if_now_is_ahead(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        self.date.filter(|date| *date >= EARLIEST_EVENT && now.since(*date) > MAX_CLOCK_LEAD)
    }
}

/// A token becomes due at most this many seconds before it expires: one day. A token with a life of less than two days
/// is due at half its life.
pub const MAX_LEAD: u64 = 24 * 3600;
/// The shortest time from a renewal to the next unforced renewal, in seconds: ten minutes, whatever expiry time TikTok
/// sends.
pub const ROTATION_INTERVAL: u64 = 10 * 60;
/// A token without a believable expiry time is due this many seconds after it was received: six hours.
pub const UNKNOWN_END_LIFE: u64 = 6 * 3600;
/// A token is not used in its last 60 seconds, because a request takes time.
pub const EXPIRY_MARGIN: u64 = 60;
/// If a host's clock is ahead of TikTok's clock by more than this many seconds (one day), due times are calculated by
/// TikTok's clock.
const MAX_CLOCK_LEAD: u64 = 24 * 3600;
const MIN_BELIEVED_LIFE: u64 = 5 * 60;
const MAX_BELIEVED_LIFE: u64 = 400 * 86_400;
const MAX_BELIEVED_REFRESH_LIFE: u64 = 200 * 366 * 86_400;
const MAX_JITTER: u64 = 2 * 3600;

/// When an access token expires, if TikTok sent a believable time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The token expires at this time. The time was between five minutes and 400 days ahead when TikTok's answer was
    /// received.
    At(UnixSeconds),
    /// TikTok sent no time or an absurd time, for example zero, a duration, or a time in milliseconds.
    Unknown,
}

impl Expiry {
    /// Decides whether to believe the expiry time that TikTok sent. `now` is when the answer was received.
    #[must_use]
    pub fn believed(named: Option<UnixSeconds>, now: UnixSeconds) -> Self {
        match named {
            Some(end) if end >= now.plus(MIN_BELIEVED_LIFE) && end <= now.plus(MAX_BELIEVED_LIFE) => Self::At(end),
            Some(_) | None => Self::Unknown,
        }
    }

    /// Returns the expiry time if it is known.
    #[must_use]
    pub const fn known(self) -> Option<UnixSeconds> {
        match self {
            Self::At(end) => Some(end),
            Self::Unknown => None,
        }
    }

    /// Returns whether a token with this expiry time may be used at `now`. A token with an unknown expiry time is used
    /// until TikTok refuses the token.
    #[must_use]
    pub fn usable(self, now: UnixSeconds) -> bool {
        self.known().is_none_or(|end| now < end.minus(EXPIRY_MARGIN))
    }
}

/// Decides whether to believe the expiry time of a refresh token. `now` is when the answer was received. TikTok sends
/// times about 99 years ahead. A number that means less than five minutes or more than 200 years ahead is not believed.
/// It may be zero, a duration, or a time in milliseconds.
#[must_use]
pub fn believed_refresh_end(named: Option<UnixSeconds>, now: UnixSeconds) -> Option<UnixSeconds> {
    named.filter(|end| *end >= now.plus(MIN_BELIEVED_LIFE) && *end <= now.plus(MAX_BELIEVED_REFRESH_LIFE))
}

/// Returns when a token that was received at `now` should be renewed. `random` determines the jitter, which spreads the
/// renewals of many connections. The jitter only makes a renewal later. It is at most two hours, and at most a quarter
/// of the time from the earliest due time to the expiry.
#[must_use]
pub fn due_at(expiry: Expiry, now: UnixSeconds, random: u64) -> UnixSeconds {
    let Expiry::At(end) = expiry else {
        return now.plus(UNKNOWN_END_LIFE);
    };
    let lead = lead(end, now);
    end.minus(lead).plus(random % (max_jitter(lead) + 1))
}

/// Returns whether the renewal of a token that was received at `received_at` is certainly overdue at `now`, with every
/// jitter. A host that knows only the row of a connection asks this, because the row does not contain the exact due
/// time. No token is overdue within [`ROTATION_INTERVAL`], because no unforced renewal is allowed in this time.
#[must_use]
pub fn is_overdue(expiry: Expiry, received_at: UnixSeconds, now: UnixSeconds) -> bool {
    now >= latest_due_at(expiry, received_at).max(received_at.plus(ROTATION_INTERVAL))
}

/// Returns the latest time that [`due_at`] can return for this token: the due time with the largest jitter.
fn latest_due_at(expiry: Expiry, now: UnixSeconds) -> UnixSeconds {
    let Expiry::At(end) = expiry else {
        return now.plus(UNKNOWN_END_LIFE);
    };
    let lead = lead(end, now);
    end.minus(lead).plus(max_jitter(lead))
}

/// Returns the seconds between the earliest due time of a token and its end. The token was received at `now`.
fn lead(end: UnixSeconds, now: UnixSeconds) -> u64 {
    MAX_LEAD.min(end.since(now) / 2)
}

fn max_jitter(lead: u64) -> u64 {
    MAX_JITTER.min(lead / 4)
}

/// The back-off after the first failure, in seconds. It doubles with each further failure.
const FIRST_BACK_OFF: u64 = 30;
/// The longest back-off in seconds: one hour. If a stored `not-before` is further ahead than this, a wrong clock wrote
/// it.
pub const MAX_BACK_OFF: u64 = MAX_DELAY.as_secs();

/// Returns how many seconds to wait after this number of consecutive failures: the longer of the back-off and `asked`,
/// plus a jitter of at most a quarter of that time. The result is at most one hour.
#[must_use]
pub fn back_off(failures: u32, asked: Duration, random: u64) -> u64 {
    let doubled = FIRST_BACK_OFF.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let base = doubled.max(asked.as_secs()).min(MAX_BACK_OFF);
    (base + random % (base / 4 + 1)).min(MAX_BACK_OFF)
}

/// Reads a point in time as TikTok writes it, in whole seconds. Returns `None` if the number is absent, zero, negative
/// or after the year 9999.
#[must_use]
pub fn point_in_time(seconds: Option<i64>) -> Option<UnixSeconds> {
    let seconds = u64::try_from(seconds?).ok()?;
    (seconds > 0 && seconds <= UnixSeconds::MAX.seconds()).then(|| UnixSeconds::new(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds::new(1_767_225_600);
    const DAY: u64 = 86_400;

    /// Tries every form of expiry time that TikTok has sent or might send. None of these forms causes a panic, a token
    /// that is never due, or a storm of refreshes.
    #[test]
    fn expiry_table() {
        let week = NOW.plus(7 * DAY);
        let table = [
            ("1767830400", Some(week)),
            ("\"1767830400\"", Some(week)),
            ("\" 1767830400 \"", Some(week)),
            ("1767830400000", None),
            ("1767830400.5", None),
            ("1.7678304e9", None),
            ("0", None),
            ("-1", None),
            ("null", None),
            ("\"NaN\"", None),
            ("\"\"", None),
            ("true", None),
            ("[]", None),
            ("604800", None),
            ("86400", None),
            ("2147483648", None),
            ("4294967296", None),
            ("4903858076", None),
            ("1000000000000000000", None),
            ("99999999999999999999999", None),
            ("1767225601", None),
        ];
        for (text, expected) in table {
            let answer = alloc::format!(r#"{{"end":{text}}}"#);
            let members = crate::json::Members::parse(answer.as_bytes()).expect(text);
            let expiry = Expiry::believed(point_in_time(members.whole_number("end")), NOW);
            assert_eq!(expiry.known(), expected, "{text}");
            let due = due_at(expiry, NOW, u64::MAX);
            assert!(due >= NOW.plus(ROTATION_INTERVAL), "{text}: a storm");
            assert!(due <= NOW.plus(7 * DAY), "{text}: fresh for ever");
        }
    }

    #[test]
    fn a_refresh_tokens_end_beyond_32_bits_is_a_point_in_time() {
        for seconds in [2_147_483_648, 4_294_967_296, 4_818_450_857, 4_903_858_076, 4_912_765_591] {
            let end = believed_refresh_end(point_in_time(Some(seconds)), NOW);
            assert_eq!(end.map(UnixSeconds::seconds), u64::try_from(seconds).ok());
        }
    }

    #[test]
    fn a_refresh_tokens_end_that_is_no_believable_point_in_time_is_unknown() {
        let now = i64::try_from(NOW.seconds()).unwrap();
        for seconds in [i64::MIN, -1, 0, 1, 604_800, 31_536_000, now - 1, now, now + 299, 31_536_000_000, now * 1000] {
            assert_eq!(believed_refresh_end(point_in_time(Some(seconds)), NOW), None, "{seconds}");
        }
        assert_eq!(believed_refresh_end(point_in_time(None), NOW), None);
        assert_eq!(believed_refresh_end(point_in_time(Some(now + 300)), NOW), Some(NOW.plus(300)));
    }

    #[test]
    fn the_jitter_is_only_later_and_bounded() {
        let end = Expiry::At(NOW.plus(7 * DAY));
        for random in [0, 1, 7199, 7200, 7201, u64::MAX] {
            let due = due_at(end, NOW, random);
            assert!(due >= NOW.plus(6 * DAY) && due <= NOW.plus(6 * DAY + 7200), "{random}");
        }
        let short = Expiry::At(NOW.plus(600));
        assert!(due_at(short, NOW, u64::MAX) <= NOW.plus(300 + 75));
        let latest = [end, short, Expiry::Unknown].map(|expiry| latest_due_at(expiry, NOW));
        assert_eq!(latest, [NOW.plus(6 * DAY + 7200), NOW.plus(300 + 75), NOW.plus(UNKNOWN_END_LIFE)]);
        assert_eq!(latest_due_at(end, NOW), due_at(end, NOW, 7200), "the longest jitter");
    }

    #[test]
    fn a_token_is_overdue_after_its_latest_due_time_and_never_within_ten_minutes() {
        for (expiry, seconds) in [
            (Expiry::At(NOW.plus(7 * DAY)), 6 * DAY + 7200),
            (Expiry::At(NOW.plus(600)), 600),
            (Expiry::At(NOW.plus(300)), 600),
            (Expiry::Unknown, UNKNOWN_END_LIFE),
        ] {
            let overdue = |after: u64| is_overdue(expiry, NOW, NOW.plus(after));
            assert_eq!((overdue(0), overdue(seconds - 1), overdue(seconds)), (false, false, true), "{expiry:?}");
        }
    }

    #[test]
    fn back_off_doubles_and_ends_at_an_hour() {
        let none = Duration::ZERO;
        assert_eq!([1, 2, 3, 7, 8, u32::MAX].map(|n| back_off(n, none, 0)), [30, 60, 120, 1920, 3600, 3600]);
        assert_eq!(back_off(1, Duration::from_secs(300), 0), 300);
        assert_eq!(back_off(1, Duration::from_secs(999_999), u64::MAX), 3600);
    }

    #[test]
    fn a_token_is_not_used_in_its_last_minute() {
        let expiry = Expiry::At(NOW);
        assert!(expiry.usable(NOW.minus(61)));
        assert!(!expiry.usable(NOW.minus(60)));
        assert!(Expiry::Unknown.usable(UnixSeconds::MAX));
    }
}
