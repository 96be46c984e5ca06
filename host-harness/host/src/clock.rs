//! The clock that the guest and the in-memory storage read. The host's own deadlines use tokio's clock.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A wall clock and a monotonic clock.
pub trait Clock: Send + Sync {
    /// Returns the time since 1970-01-01T00:00:00Z. This time may jump forwards and backwards.
    fn wall(&self) -> Duration;

    /// Returns the time since a fixed starting point of this clock. This time never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the one place where the system's clocks are read")]
impl SystemClock {
    /// Creates a clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the system's clocks are read")]
impl Clock for SystemClock {
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that stands still until a test or a demonstration moves it.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Times>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    wall: Duration,
    monotonic: Duration,
}

impl ManualClock {
    /// Creates a clock that shows this time since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn at(wall: Duration) -> Self {
        Self { now: Mutex::new(Times { wall, monotonic: Duration::ZERO }) }
    }

    /// Moves the wall clock and the monotonic clock forwards.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.wall = now.wall.saturating_add(by);
        now.monotonic = now.monotonic.saturating_add(by);
    }

    /// Sets only the wall clock, forwards or backwards, as an administrator or a time server may do.
    pub fn set_wall(&self, wall: Duration) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).wall = wall;
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Duration {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).wall
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_back_does_not_change_the_monotonic_clock() {
        let clock = ManualClock::at(Duration::from_secs(1_700_000_000));
        clock.advance(Duration::from_secs(5));
        clock.set_wall(Duration::from_secs(1));
        assert_eq!((clock.wall(), clock.monotonic()), (Duration::from_secs(1), Duration::from_secs(5)));
    }
}
