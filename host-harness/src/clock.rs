//! Time as the guest and the in-memory storage see it. The host's own deadlines run on tokio's clock.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// A wall clock and a monotonic clock.
pub trait Clock: Send + Sync {
    /// Time since 1970, as far as this machine knows. May jump either way.
    fn wall(&self) -> Duration;

    /// Time since a fixed moment in the life of this clock. Never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the one place where the system's clocks are read")]
impl SystemClock {
    /// A clock whose monotonic time starts now.
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

/// A clock that stands still until it is moved: for tests and demonstrations.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<(Duration, Duration)>,
}

impl ManualClock {
    /// A clock that shows this wall time, given since 1970.
    #[must_use]
    pub fn at(wall: Duration) -> Self {
        Self { now: Mutex::new((wall, Duration::ZERO)) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.0 = now.0.saturating_add(by);
        now.1 = now.1.saturating_add(by);
    }

    /// Sets the wall clock alone, as an administrator or a time server may, backwards too.
    pub fn set_wall(&self, wall: Duration) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0 = wall;
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Duration {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// A [`Clock`] as `wasi:clocks` wants it.
pub(crate) struct GuestClock(pub(crate) std::sync::Arc<dyn Clock>);

/// What the guest is told about precision; it only measures seconds.
const RESOLUTION: Duration = Duration::from_millis(1);

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        self.0.wall()
    }
}

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        nanoseconds(RESOLUTION)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.0.monotonic())
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_back_leaves_the_monotonic_clock_alone() {
        let clock = ManualClock::at(Duration::from_secs(1_700_000_000));
        clock.advance(Duration::from_secs(5));
        clock.set_wall(Duration::from_secs(1));
        assert_eq!((clock.wall(), clock.monotonic()), (Duration::from_secs(1), Duration::from_secs(5)));
    }
}
