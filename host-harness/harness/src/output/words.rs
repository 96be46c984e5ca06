//! Writes times and counts as words, for people.

use jiff::Timestamp;
use tiktok_shop_host::connection::UnixSeconds;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// A span of at least this many seconds is written in hours. The limit is two hours and 30 seconds, because a shorter
/// span is rounded to at most 120 minutes.
const HOURS_FROM: u64 = 2 * HOUR + 30;
/// A span of at least this many seconds is written in days. The limit is two days and 30 minutes, because a shorter
/// span is rounded to at most 48 hours.
const DAYS_FROM: u64 = 2 * DAY + HOUR / 2;

/// Returns a time in UTC, in the notation of RFC 3339.
pub(crate) fn time(at: UnixSeconds) -> String {
    let time = i64::try_from(at.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {}", at.0), |time| time.to_string())
}

/// Returns the time `at` as text, with its distance from `now`. `at` is `None` if TikTok sent no believable time.
///
/// The distance is rounded to the nearest whole number, so a token that lasts 7 days still ends "in 7 days" a few
/// seconds after it was issued. A distance is written in hours or days only if the number is at least 2, so two hours
/// are "120 minutes".
pub(crate) fn end(at: Option<UnixSeconds>, now: UnixSeconds) -> String {
    let Some(at) = at else { return "unknown".to_owned() };
    let apart = at.0.abs_diff(now.0);
    let rounded = |unit: u64| apart.saturating_add(unit / 2) / unit;
    let span = match apart {
        0..HOURS_FROM => count(rounded(60), "minute", "minutes"),
        HOURS_FROM..DAYS_FROM => count(rounded(HOUR), "hour", "hours"),
        DAYS_FROM.. => count(rounded(DAY), "day", "days"),
    };
    if at < now { format!("{}, {span} ago", time(at)) } else { format!("{}, in {span}", time(at)) }
}

/// Returns a number with its noun. `one` is the noun in the singular, and `many` is the noun in the plural.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_and_a_span_from_now() {
        let now = 1_767_225_600;
        for (at, expected) in [
            (now + 7 * DAY, "2026-01-08T00:00:00Z, in 7 days"),
            (now + 7 * DAY - 5, "2026-01-07T23:59:55Z, in 7 days"),
            (now + 6 * DAY + HOUR, "2026-01-07T01:00:00Z, in 6 days"),
            (now + 3 * DAY, "2026-01-04T00:00:00Z, in 3 days"),
            (now + DAY, "2026-01-02T00:00:00Z, in 24 hours"),
            (now + DAY - 1, "2026-01-01T23:59:59Z, in 24 hours"),
            (now + 3 * HOUR - 5, "2026-01-01T02:59:55Z, in 3 hours"),
            (now + HOUR, "2026-01-01T01:00:00Z, in 60 minutes"),
            (now + 61, "2026-01-01T00:01:01Z, in 1 minute"),
            (now, "2026-01-01T00:00:00Z, in 0 minutes"),
            (now - 3 * DAY, "2025-12-29T00:00:00Z, 3 days ago"),
            (now - 2 * DAY, "2025-12-30T00:00:00Z, 48 hours ago"),
            (u64::MAX, "second 18446744073709551615, in 213503982314147 days"),
        ] {
            assert_eq!(end(Some(UnixSeconds(at)), UnixSeconds(now)), expected);
        }
        assert_eq!(end(None, UnixSeconds(now)), "unknown");
    }
}
