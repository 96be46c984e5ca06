//! Decides what becomes of a delivery after an attempt.
//!
//! The pauses are 5 s, 20 s, 80 s, 320 s, 1280 s, 5120 s and 20480 s, and then six hours each. Each pause is up to a
//! fifth shorter or longer, at random. The last attempt is three days after the delivery was stored or redelivered. If
//! an earlier delivery of the same queue has taken these three days, the first attempt is also the last one.

use std::time::Duration;

use tiktok_shop_host::connection::UnixSeconds;

use super::storage::Settlement;

/// How long a delivery is attempted.
pub(crate) const LIFE: Duration = Duration::from_secs(3 * 86_400);
/// The first pause, in milliseconds.
const FIRST_PAUSE_MS: u64 = 5_000;
/// Each pause is this many times as long as the one before.
const GROWTH: u64 = 4;
/// The longest pause, in milliseconds: six hours.
const MAX_PAUSE_MS: u64 = 6 * 3_600_000;
/// The longest pause that a receiver can ask for: one day.
const MAX_ASKED: Duration = Duration::from_secs(86_400);

/// How a receiver answered, or failed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The status was 200 to 299.
    Accepted,
    /// The status was 410: the receiver never wants this delivery.
    Gone,
    /// Anything else.
    Failed {
        /// The pause of the header `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// Decides what becomes of a delivery. `tries` includes the attempt that has just ended at `now`. `jitter` is random.
pub(crate) fn settlement(
    outcome: Outcome,
    tries: u32,
    waiting_since: UnixSeconds,
    now: UnixSeconds,
    jitter: u16,
) -> Settlement {
    let retry_after = match outcome {
        Outcome::Accepted => return Settlement::Delivered,
        Outcome::Gone => return Settlement::Dead,
        Outcome::Failed { retry_after } => retry_after,
    };
    let last = waiting_since.0.saturating_add(LIFE.as_secs());
    if now.0 >= last {
        return Settlement::Dead;
    }
    let asked = retry_after.unwrap_or_default().min(MAX_ASKED).as_secs();
    let pause = pause_ms(tries, jitter).div_ceil(1000).max(asked);
    Settlement::Retry(UnixSeconds(now.0.saturating_add(pause).min(last)))
}

/// Returns the pause after this number of attempts, in milliseconds.
fn pause_ms(tries: u32, jitter: u16) -> u64 {
    let factor = GROWTH.saturating_pow(tries.saturating_sub(1));
    let pause = FIRST_PAUSE_MS.saturating_mul(factor).min(MAX_PAUSE_MS);
    // From four fifths to six fifths of the pause.
    let fifth = pause / 5;
    pause - fifth + 2 * fifth * u64::from(jitter) / u64::from(u16::MAX)
}

/// Reads the header `Retry-After` as a number of seconds. Ignores a date: the usual pause then applies, and if it is
/// too short, that costs one more attempt.
pub(crate) fn retry_after(value: Option<&http::HeaderValue>) -> Option<Duration> {
    value?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: UnixSeconds = UnixSeconds(1_767_225_600);
    const FAILED: Outcome = Outcome::Failed { retry_after: None };
    const MIDDLE: u16 = u16::MAX / 2;

    fn after(tries: u32, seconds: u64, outcome: Outcome, jitter: u16) -> Settlement {
        settlement(outcome, tries, BEGIN, UnixSeconds(BEGIN.0 + seconds), jitter)
    }

    #[test]
    fn pauses_grow_to_six_hours_and_end_after_three_days() {
        let (mut tries, mut now, mut pauses) = (0, BEGIN.0, Vec::new());
        loop {
            tries += 1;
            match settlement(FAILED, tries, BEGIN, UnixSeconds(now), MIDDLE) {
                Settlement::Retry(at) => {
                    pauses.push(at.0 - now);
                    now = at.0;
                }
                ended @ (Settlement::Delivered | Settlement::Dead) => {
                    assert_eq!((ended, now - BEGIN.0), (Settlement::Dead, LIFE.as_secs()));
                    break;
                }
            }
        }
        assert_eq!(pauses[..8], [5, 20, 80, 320, 1280, 5120, 20_480, 21_600]);
        assert!(pauses[8..pauses.len() - 1].iter().all(|pause| *pause == 21_600), "{pauses:?}");
        assert_eq!(tries, 19);
    }

    #[test]
    fn the_jitter_is_up_to_a_fifth_in_each_direction() {
        for (jitter, expected) in [(0, 17_280), (MIDDLE, 21_600), (u16::MAX, 25_920)] {
            assert_eq!(after(9, 60, FAILED, jitter), Settlement::Retry(UnixSeconds(BEGIN.0 + 60 + expected)));
        }
        assert_eq!(after(u32::MAX, 0, FAILED, 0), Settlement::Retry(UnixSeconds(BEGIN.0 + 17_280)));
    }

    #[test]
    fn a_delivery_that_waited_three_days_behind_another_has_one_attempt() {
        assert_eq!(after(1, LIFE.as_secs() + 5, FAILED, MIDDLE), Settlement::Dead);
        assert_eq!(after(1, LIFE.as_secs() + 5, Outcome::Accepted, MIDDLE), Settlement::Delivered);
    }

    #[test]
    fn a_receiver_that_is_gone_gets_no_second_attempt_and_one_that_asks_for_a_pause_gets_it() {
        assert_eq!(after(1, 0, Outcome::Gone, MIDDLE), Settlement::Dead);
        let asked = |seconds| Outcome::Failed { retry_after: Some(Duration::from_secs(seconds)) };
        for (asked_for, expected) in [(0, 5), (3, 5), (120, 120), (900_000, 86_400)] {
            let settled = after(1, 0, asked(asked_for), MIDDLE);
            assert_eq!(settled, Settlement::Retry(UnixSeconds(BEGIN.0 + expected)), "{asked_for}");
        }
    }

    #[test]
    fn retry_after_is_a_number_of_seconds() {
        let read = |text: &'static str| retry_after(Some(&http::HeaderValue::from_static(text)));
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        for ignored in ["", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999999999999"] {
            assert_eq!(read(ignored), None, "{ignored}");
        }
        assert_eq!(retry_after(None), None);
    }
}
