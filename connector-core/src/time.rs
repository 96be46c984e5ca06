//! Points in time: seconds since 1970, the date of an HTTP answer, and both clocks at one moment. Nothing here reads a
//! clock.

use core::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z. 32 bits are not enough, because TikTok sends expiry times in the year 2125.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(u64);

impl UnixSeconds {
    /// 9999-12-31T23:59:59Z, the last second that common date formats can write.
    pub const MAX: Self = Self(253_402_300_799);

    /// Builds the point in time with this number of seconds. A number that is too large gives [`UnixSeconds::MAX`].
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        if seconds > Self::MAX.0 { Self::MAX } else { Self(seconds) }
    }

    /// Returns the number of seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Returns the time that is this many seconds later. The result is at most [`UnixSeconds::MAX`].
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self::new(self.0.saturating_add(seconds))
    }

    /// Returns the time that is this many seconds earlier. The result is at least 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Returns the number of seconds from `earlier` to this time, or 0 if `earlier` is after this time.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// 2020-01-01T00:00:00Z. TikTok Shop's API did not exist before this time, so it reports no event from before this
/// time.
pub(crate) const EARLIEST_EVENT: UnixSeconds = UnixSeconds(1_577_836_800);

/// Reads the time of an event. TikTok documents seconds. A number that is too large for seconds is read as
/// milliseconds, microseconds or nanoseconds. Returns `None` for a negative number, and for a time before 2020: such a
/// number is probably a duration.
#[must_use]
pub fn event_time(number: i64) -> Option<UnixSeconds> {
    let number = u64::try_from(number).ok()?;
    let in_unit = |unit| number / unit;
    let seconds = [1, 1_000, 1_000_000, 1_000_000_000].map(in_unit).into_iter().find(|s| *s <= UnixSeconds::MAX.0)?;
    Some(UnixSeconds(seconds)).filter(|time| *time >= EARLIEST_EVENT)
}

/// Reads the date of an HTTP answer, such as `Sun, 06 Nov 1994 08:49:37 GMT`. Servers must send this form (IMF-fixdate,
/// RFC 9110, section 5.6.7). Returns `None` for another form or a field that is out of range. The name of the weekday
/// is not checked.
#[must_use]
pub fn http_date(text: &str) -> Option<UnixSeconds> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_weekday, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split(' ');
    let number = |separated: &str, digits: usize| -> Option<u64> {
        (separated.len() == digits && separated.bytes().all(|b| b.is_ascii_digit())).then(|| separated.parse().ok())?
    };
    let day = number(words.next()?, 2)?;
    let name = words.next()?;
    let month = (1..).zip(MONTHS).find(|(_, month)| *month == name)?.0;
    let year = number(words.next()?, 4)?;
    let mut clock = words.next()?.split(':');
    let (hour, minute, second) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let fits = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60 && year >= 1970;
    if !fits || clock.next().is_some() || words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    Some(UnixSeconds::new(days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second))
}

/// Returns the number of days from 1970-01-01 to a day of the Gregorian calendar. In the calculation a year begins in
/// March, so that the leap day is the last day of its year.
const fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_1970_march = 719_468;
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - before_1970_march
}

/// The times of the wall clock and of the monotonic clock at one moment. A deadline that guards a refresh token needs
/// both clocks: a wall clock can be set back, and a monotonic clock stops while a machine sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time of the wall clock.
    pub wall: UnixSeconds,
    /// The time of the monotonic clock, counted from an arbitrary point.
    pub monotonic: Duration,
}

impl Moment {
    /// Returns the time that has passed since `earlier`. Each clock measures this time, and the larger result counts.
    #[must_use]
    pub fn elapsed_since(&self, earlier: &Self) -> Duration {
        let wall = Duration::from_secs(self.wall.since(earlier.wall));
        let monotonic = self.monotonic.saturating_sub(earlier.monotonic);
        wall.max(monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_is_the_larger_of_both_clocks() {
        let at = |wall, monotonic| Moment { wall: UnixSeconds::new(wall), monotonic: Duration::from_secs(monotonic) };
        assert_eq!(at(110, 5).elapsed_since(&at(100, 0)), Duration::from_secs(10));
        assert_eq!(at(90, 5).elapsed_since(&at(100, 0)), Duration::from_secs(5), "a wall clock set back");
    }

    #[test]
    fn the_date_of_an_answer_is_a_point_in_time() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Thu, 01 Jan 2026 00:00:00 GMT", 1_767_225_600),
            ("Wed, 29 Feb 2028 12:00:00 GMT", 1_835_438_400),
            ("Fri, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Fri, 31 Dec 9999 23:59:59 GMT", UnixSeconds::MAX.0),
        ] {
            assert_eq!(http_date(text).map(UnixSeconds::seconds), Some(seconds), "{text}");
        }
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "120",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }

    #[test]
    fn the_time_of_an_event_may_have_any_unit_but_must_be_believable() {
        let time = Some(UnixSeconds(1_767_225_600));
        for (number, expected) in [
            (1_767_225_600, time),
            (1_767_225_600_123, time),
            (1_767_225_600_123_456, time),
            (1_767_225_600_123_456_789, time),
            (1_577_836_800, Some(EARLIEST_EVENT)),
            (1_577_836_799, None),
            (2_592_000, None),
            (1, None),
            (0, None),
            (-1, None),
            (i64::MIN, None),
        ] {
            assert_eq!(event_time(number), expected, "{number}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(UnixSeconds::new(u64::MAX), UnixSeconds::MAX);
        assert_eq!(UnixSeconds::MAX.plus(u64::MAX), UnixSeconds::MAX);
        assert_eq!(UnixSeconds::new(5).minus(10), UnixSeconds::new(0));
    }
}
