//! The limits of each API key: requests per second, and requests at the same time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits of one API key. Tests use another clock.
pub(crate) struct KeyLimits<C: Clock = DefaultClock> {
    rate: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    in_flight: Arc<Semaphore>,
}

/// Why a request exceeds the limits of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// The key has sent too many requests in the last second. The next one is accepted after this time.
    Rate(Duration),
    /// Too many requests of the key are running.
    InFlight,
}

impl<C: Clock + Clone> KeyLimits<C> {
    pub(crate) fn new(per_second: NonZeroU32, in_flight: NonZeroU32, clock: C) -> Self {
        let places = usize::try_from(in_flight.get()).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            rate: RateLimiter::direct_with_clock(Quota::per_second(per_second), clock.clone()),
            clock,
            in_flight: Arc::new(Semaphore::new(places)),
        }
    }

    /// Admits one request. The request counts as running until the result is dropped.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Exceeded> {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| Exceeded::InFlight)?;
        match self.rate.check() {
            Ok(()) => Ok(permit),
            Err(not_until) => Err(Exceeded::Rate(not_until.wait_time_from(self.clock.now()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_key_has_a_number_of_requests_at_once_and_per_second() {
        let clock = FakeRelativeClock::default();
        let number = |number| NonZeroU32::new(number).unwrap();
        let limits = KeyLimits::new(number(4), number(2), clock.clone());
        let (first, second) = (limits.admit().unwrap(), limits.admit().unwrap());
        assert_eq!(limits.admit().unwrap_err(), Exceeded::InFlight);
        drop((first, second));
        let (third, fourth) = (limits.admit().unwrap(), limits.admit().unwrap());
        drop((third, fourth));
        assert_eq!(limits.admit().unwrap_err(), Exceeded::Rate(Duration::from_millis(250)));
        clock.advance(Duration::from_millis(250));
        let _fifth = limits.admit().unwrap();
    }
}
