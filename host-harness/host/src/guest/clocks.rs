//! Gives the host's clock to the guest, through `wasi:clocks`.

use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::clock::Clock;

/// Implements the clocks of `wasi:clocks` with a [`Clock`].
pub(super) struct GuestClock(pub(super) Arc<dyn Clock>);

/// The resolution of the clocks, as the host reports it to the guest: 1 ms. This is precise enough, because all limits
/// of the guest are whole seconds.
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
