//! The fake's clock. It decides whether codes and tokens have expired, and whether the timestamp of a request is valid.
//!
//! On purpose, the fake has its own code for the clock and the calendar, so that tests notice a mistake in the
//! connector's code. The clock stops at the end of the year 9999, so that adding a lifetime to it cannot overflow.

use std::time::{Duration, Instant, SystemTime};

/// 9999-12-31T23:59:59Z in Unix seconds, the last second of a four-digit year.
const LAST_SECOND: u64 = 253_402_300_799;

/// A clock that either stands still until it is set, or runs with real time.
///
/// ```
/// use fake_tiktok_shop::Clock;
///
/// assert_eq!(Clock::fixed(1_767_225_600).now(), 1_767_225_600);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    reading: Duration,
    running_since: Option<Instant>,
}

impl Clock {
    /// Creates a clock that stands at `unix_seconds` until it is set or advanced. Tests use this kind of clock.
    pub fn fixed(unix_seconds: u64) -> Self {
        let mut clock = Self { reading: Duration::ZERO, running_since: None };
        clock.set(unix_seconds);
        clock
    }

    /// Creates a clock that shows the system's time and runs with it.
    pub fn ticking() -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one place where the fake reads the system's time")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::ticking_from(now.as_secs())
    }

    /// Creates a clock that shows `unix_seconds` now and runs on from this time.
    pub fn ticking_from(unix_seconds: u64) -> Self {
        let mut clock = Self { reading: Duration::ZERO, running_since: Some(instant()) };
        clock.set(unix_seconds);
        clock
    }

    /// Returns the time in Unix seconds.
    pub fn now(&self) -> u64 {
        self.elapsed().as_secs().min(LAST_SECOND)
    }

    /// Tells whether the clock runs with real time.
    pub fn is_ticking(&self) -> bool {
        self.running_since.is_some()
    }

    pub(crate) fn set(&mut self, unix_seconds: u64) {
        self.restart(Duration::from_secs(unix_seconds));
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.restart(self.elapsed().saturating_add(by));
    }

    fn elapsed(&self) -> Duration {
        self.running_since.map_or(self.reading, |since| self.reading.saturating_add(instant().duration_since(since)))
    }

    fn restart(&mut self, reading: Duration) {
        self.reading = reading.min(Duration::from_secs(LAST_SECOND));
        self.running_since = self.running_since.map(|_| instant());
    }
}

fn instant() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a ticking clock needs a source of real time")]
    Instant::now()
}

/// A date and time of day in UTC.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Utc {
    year: u64,
    month: u64,
    day: u64,
    weekday: &'static str,
    seconds: u64,
}

impl Utc {
    pub(crate) fn from_unix_seconds(unix_seconds: u64) -> Self {
        let unix_seconds = unix_seconds.min(LAST_SECOND);
        let mut day = unix_seconds / 86_400;
        let weekday = weekday(day);
        let mut year = 1970;
        while day >= days_in_year(year) {
            day -= days_in_year(year);
            year += 1;
        }
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        Self { year, month, day: day + 1, weekday, seconds: unix_seconds % 86_400 }
    }

    fn time_of_day(&self) -> (u64, u64, u64) {
        (self.seconds / 3_600, self.seconds / 60 % 60, self.seconds % 60)
    }

    /// Formats the date and time as `20260101000000`, the first 14 characters of a `request_id` of TikTok Shop.
    pub(crate) fn digits(&self) -> String {
        let (hour, minute, second) = self.time_of_day();
        format!("{:04}{:02}{:02}{hour:02}{minute:02}{second:02}", self.year, self.month, self.day)
    }

    /// Formats the date and time as `2026-01-01 00:00:00 UTC`, for people.
    pub(crate) fn text(&self) -> String {
        let (hour, minute, second) = self.time_of_day();
        format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", self.year, self.month, self.day)
    }

    /// Formats the date and time as `2026-01-01T00:00:00`, the value of an HTML input of the type `datetime-local`.
    pub(crate) fn input_value(&self) -> String {
        let (hour, minute, second) = self.time_of_day();
        format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}", self.year, self.month, self.day)
    }

    /// Parses the value of an HTML input of the type `datetime-local`, with or without seconds. Returns the time in
    /// Unix seconds. Returns `None` if the text has another form, or if the time does not exist or is before 1970.
    pub(crate) fn parse_input(text: &str) -> Option<u64> {
        let (date, time) = text.split_once('T')?;
        let number = |text: &str, digits: usize| {
            let only_digits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
            only_digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (year, rest) = date.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
        let (hour, rest) = time.split_once(':')?;
        let (minute, second) = rest.split_once(':').unwrap_or((rest, "00"));
        let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
        let exists = year >= 1970 && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !exists || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days: u64 = (1970..year).map(days_in_year).sum::<u64>()
            + (1..month).map(|month| days_in_month(year, month)).sum::<u64>()
            + (day - 1);
        Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
    }

    /// Formats the date and time as `Thu, 01 Jan 2026 00:00:00 GMT`, the IMF-fixdate of a `Date` header (RFC 9110,
    /// section 5.6.7).
    pub(crate) fn imf_fixdate(&self) -> String {
        let (hour, minute, second) = self.time_of_day();
        let (weekday, month) = (self.weekday, month_name(self.month));
        format!("{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", self.day, self.year)
    }
}

/// Returns the weekday of a day. The days are counted from 1970-01-01, which was a Thursday.
fn weekday(day: u64) -> &'static str {
    match day % 7 {
        0 => "Thu",
        1 => "Fri",
        2 => "Sat",
        3 => "Sun",
        4 => "Mon",
        5 => "Tue",
        _ => "Wed",
    }
}

fn month_name(month: u64) -> &'static str {
    match month {
        1 => "Jan",
        2 => "Feb",
        3 => "Mar",
        4 => "Apr",
        5 => "May",
        6 => "Jun",
        7 => "Jul",
        8 => "Aug",
        9 => "Sep",
        10 => "Oct",
        11 => "Nov",
        _ => "Dec",
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_it_is_set_or_advanced() {
        let mut clock = Clock::fixed(1_000);
        assert_eq!(clock.now(), 1_000);
        clock.advance(Duration::from_secs(7));
        assert_eq!(clock.now(), 1_007);
        clock.set(5);
        assert_eq!(clock.now(), 5);
        assert!(!clock.is_ticking());
    }

    #[test]
    fn fractions_of_a_second_add_up() {
        let mut clock = Clock::fixed(10);
        clock.advance(Duration::from_millis(600));
        clock.advance(Duration::from_millis(600));
        assert_eq!(clock.now(), 11);
    }

    #[test]
    fn a_clock_stops_at_the_end_of_the_year_9999() {
        let mut clock = Clock::fixed(u64::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), LAST_SECOND);
        let mut clock = Clock::ticking_from(u64::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), LAST_SECOND);
    }

    #[test]
    fn a_ticking_clock_can_be_advanced() {
        let mut clock = Clock::ticking_from(1_000);
        clock.advance(Duration::from_secs(86_400));
        assert!((87_400..87_460).contains(&clock.now()), "{}", clock.now());
        assert!(clock.is_ticking());
    }

    #[test]
    fn date_headers_contain_weekday_and_month() {
        for (unix_seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            // The example of RFC 9110, section 5.6.7.
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(Utc::from_unix_seconds(unix_seconds).imf_fixdate(), date);
        }
        let months = (0..12).map(|month| Utc::from_unix_seconds(month * 2_629_800 + 86_400).imf_fixdate());
        let names: String = months.map(|date| date[8..11].to_owned()).collect();
        assert_eq!(names, "JanFebMarAprMayJunJulAugSepOctNovDec");
    }

    #[test]
    fn the_value_of_an_input_is_read_as_it_was_written() {
        for unix_seconds in [0, 951_782_400, 1_767_225_599, 4_107_542_400, LAST_SECOND] {
            let written = Utc::from_unix_seconds(unix_seconds).input_value();
            assert_eq!(Utc::parse_input(&written), Some(unix_seconds), "{written}");
        }
        assert_eq!(Utc::parse_input("2026-01-01T00:01"), Some(1_767_225_660), "browsers leave out seconds that are 0");
        for text in [
            "",
            "2026-01-01",
            "2026-02-29T00:00",
            "2026-13-01T00:00",
            "2026-00-01T00:00",
            "2026-01-00T00:00",
            "2026-01-01T24:00",
            "2026-01-01T00:60",
            "1969-12-31T23:59",
            "+026-01-01T00:00",
            "2026-1-1T00:00",
        ] {
            assert_eq!(Utc::parse_input(text), None, "{text}");
        }
    }

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        for (unix_seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_767_225_600, "2026-01-01 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (u64::MAX, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(Utc::from_unix_seconds(unix_seconds).text(), text);
        }
        assert_eq!(Utc::from_unix_seconds(1_767_229_261).digits(), "20260101010101");
    }
}
