//! Points in time and spans. Nothing here reads a clock.

use core::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z. Beyond 32 bits in practice: TikTok names ends in the year 2125.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(u64);

impl UnixSeconds {
    /// 9999-12-31T23:59:59Z, the last second that common date formats can write.
    pub const MAX: Self = Self(253_402_300_799);

    /// A point in time; later than [`UnixSeconds::MAX`] becomes it.
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        if seconds > Self::MAX.0 { Self::MAX } else { Self(seconds) }
    }

    /// The number of seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// So many seconds later; stops at [`UnixSeconds::MAX`].
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self::new(self.0.saturating_add(seconds))
    }

    /// So many seconds earlier; stops at 1970.
    #[must_use]
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` until this; 0 if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks at one moment. A deadline that guards a refresh token trusts neither alone: a wall clock can be set back,
/// and a monotonic clock stands still while a machine sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The wall clock.
    pub wall: UnixSeconds,
    /// Time since an arbitrary point.
    pub monotonic: Duration,
}

impl Moment {
    /// The larger of what both clocks say has passed since `earlier`.
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
    fn the_larger_of_both_clocks_counts() {
        let at = |wall, monotonic| Moment { wall: UnixSeconds::new(wall), monotonic: Duration::from_secs(monotonic) };
        assert_eq!(at(110, 5).elapsed_since(&at(100, 0)), Duration::from_secs(10));
        assert_eq!(at(90, 5).elapsed_since(&at(100, 0)), Duration::from_secs(5), "a wall clock set back");
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(UnixSeconds::new(u64::MAX), UnixSeconds::MAX);
        assert_eq!(UnixSeconds::MAX.plus(u64::MAX), UnixSeconds::MAX);
        assert_eq!(UnixSeconds::new(5).minus(10), UnixSeconds::new(0));
    }
}
