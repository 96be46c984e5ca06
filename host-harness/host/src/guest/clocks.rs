//! The host's clock as the guest sees it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::clock::Clock;

/// A [`Clock`] for `wasi:clocks`.
pub(super) struct GuestClock(pub(super) Arc<dyn Clock>);

/// The resolution that the host reports to the guest. All limits of the guest are whole seconds.
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
