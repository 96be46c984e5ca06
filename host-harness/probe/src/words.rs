//! Writes times as words, for people.

use jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// Returns a time in UTC, in the notation of RFC 3339. `at` counts the seconds since 1970.
pub(crate) fn time(at: u64) -> String {
    let time = i64::try_from(at).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {at} since 1970"), |time| time.to_string())
}

/// Returns a length of time in its largest unit that needs no fraction: 900 s are 15 minutes.
pub(crate) fn span(seconds: u64) -> String {
    for (unit, one, many) in [(DAY, "day", "days"), (HOUR, "hour", "hours"), (MINUTE, "minute", "minutes")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            let number = seconds / unit;
            return format!("{number} {}", if number == 1 { one } else { many });
        }
    }
    format!("{seconds} s")
}

/// Returns the option with which a run may wait this long. The time is rounded up.
pub(crate) fn wait_option(seconds: u64) -> String {
    let (number, unit) = match seconds {
        ..=7_200 => (seconds.div_ceil(MINUTE), 'm'),
        7_201..=172_800 => (seconds.div_ceil(HOUR), 'h'),
        _ => (seconds.div_ceil(DAY), 'd'),
    };
    format!("--wait {number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_utc() {
        assert_eq!(time(1_767_225_600), "2026-01-01T00:00:00Z");
        assert_eq!(time(u64::MAX), "second 18446744073709551615 since 1970");
    }

    #[test]
    fn a_span_has_the_largest_unit_without_a_fraction() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 minute"),
            (61, "61 s"),
            (900, "15 minutes"),
            (3_600, "1 hour"),
            (604_800, "7 days"),
            (604_805, "604805 s"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn the_option_allows_at_least_the_wait() {
        for (seconds, expected) in [
            (1, "--wait 1m"),
            (7_200, "--wait 120m"),
            (7_201, "--wait 3h"),
            (172_800, "--wait 48h"),
            (604_805, "--wait 8d"),
            (u64::MAX, "--wait 213503982334602d"),
        ] {
            assert_eq!(wait_option(seconds), expected);
        }
    }
}
