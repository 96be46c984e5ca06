//! Gives the host's clock to the guest, through `wasi:clocks`.
//!
//! wasmtime's own implementation needs a whole context of WASI, with random generators and standard streams that no guest
//! can reach. Building one for each call would take longer than everything that a guest asks of a clock.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::clock::Clock;

/// The resolution of the clocks, as the host reports it to the guest: 1 ms. This is precise enough, because all limits
/// of the guest are whole seconds.
const RESOLUTION: Duration = Duration::from_millis(1);

/// Implements the clocks of `wasi:clocks` with a [`Clock`].
pub(super) struct GuestClocks<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) table: &'a mut ResourceTable,
}

/// Tells the linker which data the functions of `wasi:clocks` get.
pub(super) struct Clocks;

impl HasData for Clocks {
    type Data<'a> = GuestClocks<'a>;
}

impl wall_clock::Host for GuestClocks<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(self.clock.wall()))
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(RESOLUTION))
    }
}

impl monotonic_clock::Host for GuestClocks<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(nanoseconds(self.clock.monotonic()))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(nanoseconds(RESOLUTION))
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_duration(when.saturating_sub(nanoseconds(self.clock.monotonic())))
    }

    fn subscribe_duration(&mut self, pause: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let pause = self.table.push(Pause(Instant::now().checked_add(Duration::from_nanos(pause))))?;
        subscribe(self.table, pause)
    }
}

/// The end of a pause of the guest. `None` if it is later than the host's clock can tell.
struct Pause(Option<Instant>);

#[async_trait]
impl Pollable for Pause {
    async fn ready(&mut self) {
        match self.0 {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

fn datetime(since_1970: Duration) -> wall_clock::Datetime {
    wall_clock::Datetime { seconds: since_1970.as_secs(), nanoseconds: since_1970.subsec_nanos() }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
