//! Tests that a sweep waits for a random time before it starts, so that the hosts of a fleet do not sweep at the same
//! moment.

use std::future::{pending, ready};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::randomness::Randomness;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::sweep::{Sweep, Swept};
use tiktok_shop_host::{Component, ConnectorHost};
use tokio::time::Instant;

use crate::guest::{self, Body};

/// A source of randomness that always returns this byte. If the byte is `None`, the source always fails.
struct Always(Option<u8>);

impl Randomness for Always {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(self.0.ok_or(io::ErrorKind::Unsupported)?);
        Ok(())
    }
}

fn host(randomness: Always) -> ConnectorHost {
    ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", Body::Trap)))
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new()))
        .randomness(Arc::new(randomness))
        .build()
        .unwrap()
}

/// The clock of this test is paused, so it advances only while the sweep waits. The storage is empty, so the sweep
/// waits only before it starts.
#[tokio::test(start_paused = true)]
async fn a_sweep_starts_after_a_random_part_of_its_jitter() {
    let sweep = Sweep::new(UnixSeconds(7), NonZeroUsize::MIN);
    assert_eq!(sweep.jitter, Duration::from_secs(30));
    let table = [(Some(0), 0), (Some(0x80), 15), (Some(0xff), 30), (None, 30)];
    for (byte, expected) in table {
        let host = host(Always(byte));
        let began = Instant::now();
        assert_eq!(host.sweep(sweep, pending(), |_, _| ()).await.unwrap(), Swept::default());
        assert_eq!(began.elapsed().as_secs(), expected, "{byte:?}");

        let at_once = Sweep { jitter: Duration::ZERO, ..sweep };
        let began = Instant::now();
        host.sweep(at_once, pending(), |_, _| ()).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 0, "{byte:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_can_be_stopped_while_it_waits() {
    let host = host(Always(Some(0xff)));
    let began = Instant::now();
    let swept = host.sweep(Sweep::new(UnixSeconds(7), NonZeroUsize::MIN), ready(()), |_, _| ()).await.unwrap();
    assert_eq!((swept, began.elapsed().as_secs()), (Swept { stopped: true, ..Swept::default() }, 0));
}
