//! The clock of a host that uses a fake: the system's clock, which a test can move forward.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tiktok_shop_host::clock::{Clock, SystemClock};

/// The system's clock plus the time by which somebody has moved it.
#[derive(Debug, Default)]
pub(crate) struct MovableClock {
    system: SystemClock,
    ahead_ms: AtomicU64,
}

impl MovableClock {
    pub(crate) fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by, Ordering::SeqCst);
    }

    fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }
}

impl Clock for MovableClock {
    fn wall(&self) -> Duration {
        self.system.wall().saturating_add(self.ahead())
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic().saturating_add(self.ahead())
    }
}
