//! Writes times and counts as words, for people.

use jiff::Timestamp;
use tiktok_shop_host::connection::UnixSeconds;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// Returns a time in UTC, in the notation of RFC 3339.
pub(crate) fn time(at: UnixSeconds) -> String {
    let time = i64::try_from(at.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {}", at.0), |time| time.to_string())
}

/// Returns the time `at` as text, with its distance from `now`. `at` is `None` if TikTok sent no believable time.
pub(crate) fn end(at: Option<UnixSeconds>, now: UnixSeconds) -> String {
    let Some(at) = at else { return "unknown".to_owned() };
    let apart = at.0.abs_diff(now.0);
    let span = match (apart / DAY, apart / HOUR, apart / 60) {
        (0, 0, minutes) => count(minutes, "minute", "minutes"),
        (0, hours, _) => count(hours, "hour", "hours"),
        (days, ..) => count(days, "day", "days"),
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
            (now + DAY, "2026-01-02T00:00:00Z, in 1 day"),
            (now + DAY - 1, "2026-01-01T23:59:59Z, in 23 hours"),
            (now + HOUR, "2026-01-01T01:00:00Z, in 1 hour"),
            (now + 61, "2026-01-01T00:01:01Z, in 1 minute"),
            (now, "2026-01-01T00:00:00Z, in 0 minutes"),
            (now - 2 * DAY, "2025-12-30T00:00:00Z, 2 days ago"),
            (u64::MAX, "second 18446744073709551615, in 213503982314147 days"),
        ] {
            assert_eq!(end(Some(UnixSeconds(at)), UnixSeconds(now)), expected);
        }
        assert_eq!(end(None, UnixSeconds(now)), "unknown");
    }
}
