//! How long a token is good for and when it is renewed. Arithmetic on a given `now`; no clock is read.
//!
//! TikTok names ends, not durations: `access_token_expire_in` is a point in time despite its name (source:
//! partner.tiktokshop.com/docv2/page/authorization-overview-202407). Anything else that arrives there is unknown, and
//! unknown means *due soon*: never fresh for ever, never a storm of refreshes.

use crate::time::UnixSeconds;
use core::time::Duration;

/// Renewal begins this long before the end, or at half the life of a shorter token.
pub const LONGEST_LEAD: u64 = 24 * 3600;
/// At most one unforced rotation in this time, whatever ends TikTok names.
pub const ROTATION_INTERVAL: u64 = 10 * 60;
/// A token without a believable end is renewed this long after it came.
pub const UNKNOWN_END_LIFE: u64 = 6 * 3600;
/// Not used in its last seconds: the request still has to travel.
pub const SERVED_UNTIL_BEFORE_END: u64 = 60;
const NEAREST_BELIEVED: u64 = 5 * 60;
const FURTHEST_BELIEVED: u64 = 400 * 86_400;
const MOST_JITTER: u64 = 2 * 3600;

/// The end of an access token as far as it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Between five minutes and 400 days ahead when it was named.
    At(UnixSeconds),
    /// Absent, zero, a duration, milliseconds, or otherwise absurd.
    Unknown,
}

impl Expiry {
    /// What to make of an end that TikTok names at `now`.
    #[must_use]
    pub fn believed(named: Option<UnixSeconds>, now: UnixSeconds) -> Self {
        match named {
            Some(end) if end >= now.plus(NEAREST_BELIEVED) && end <= now.plus(FURTHEST_BELIEVED) => Self::At(end),
            Some(_) | None => Self::Unknown,
        }
    }

    /// The end, if known.
    #[must_use]
    pub const fn known(self) -> Option<UnixSeconds> {
        match self {
            Self::At(end) => Some(end),
            Self::Unknown => None,
        }
    }

    /// Whether a token with this end may still be used at `now`. One with an unknown end is used until TikTok refuses it.
    #[must_use]
    pub fn usable(self, now: UnixSeconds) -> bool {
        self.known().is_none_or(|end| now < end.minus(SERVED_UNTIL_BEFORE_END))
    }
}

/// When a token that came at `now` should be renewed. `random` spreads the renewals of many connections: the jitter is
/// only later, at most a quarter of the lead and at most two hours.
#[must_use]
pub fn due_at(expiry: Expiry, now: UnixSeconds, random: u64) -> UnixSeconds {
    let Expiry::At(end) = expiry else {
        return now.plus(UNKNOWN_END_LIFE);
    };
    let lead = LONGEST_LEAD.min(end.since(now) / 2);
    let most = MOST_JITTER.min(lead / 4);
    end.minus(lead).plus(random % (most + 1))
}

/// Before the first retry of a refresh that TikTok certainly did not act on; doubles with each failure.
const FIRST_BACK_OFF: u64 = 30;
/// The longest back-off. A `not-before` further ahead than this was written by a clock that was wrong.
pub const LONGEST_BACK_OFF: u64 = 3600;

/// How long to wait after so many failures in a row, at least `asked`, at most an hour. The jitter is at most a quarter.
#[must_use]
pub fn back_off(failures: u32, asked: Duration, random: u64) -> u64 {
    let doubled = FIRST_BACK_OFF.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let base = doubled.max(asked.as_secs()).min(LONGEST_BACK_OFF);
    (base + random % (base / 4 + 1)).min(LONGEST_BACK_OFF)
}

/// A point in time as TikTok writes it, in whole seconds. What is none, negative, zero or after the year 9999 is none.
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

    /// Every shape of an end that was seen or feared: none panics, none is fresh for ever, none makes a storm of refreshes.
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
            assert_eq!(point_in_time(Some(seconds)).map(UnixSeconds::seconds), u64::try_from(seconds).ok());
        }
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
