//! The wasmtime engine: its configuration, its pool of instances, and the ticks that interrupt guests.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, MemoryCreator, PoolingAllocationConfig};

use crate::limits::Limits;

/// The time between two increments of the engine's epoch: 10 ms.
const TICK: Duration = Duration::from_millis(10);

/// How much of a guest's memory is cleared by writing zeros and the initial data over it when its call has ended. This is
/// more than the memory of a new instance of the connector (`xtask/src/component.rs`), so a call that needs no more memory
/// changes no mapping. A changed mapping interrupts every processor that runs a thread of this process.
const CLEARED_BYTES: usize = 256 << 10;
/// As [`CLEARED_BYTES`], for each table of functions. The tables of the connector have a few hundred elements.
const CLEARED_TABLE_BYTES: usize = 16 << 10;
/// The memory that the pool may keep while it has no calls. A pool that would keep more returns all its memory to the
/// system after each call.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// Returns the number of whole ticks in this computing time, or 1 if the time is shorter than a tick.
pub(super) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Creates an engine with a pool of instances. If the address space for a pool can't be reserved, for example under
/// `ulimit -v`, the engine allocates instances one by one.
pub(super) fn engine(limits: &Limits) -> wasmtime::Result<Engine> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    Engine::new(&pooled).or_else(|error| {
        tracing::warn!(%error, "no pool of instances: calls will be slower");
        // Reserve as little address space as possible. The price is that memory accesses need explicit bounds checks.
        let mut single = config();
        single.memory_reservation(limits.memory_bytes as u64);
        Engine::new(&single)
    })
}

/// Creates the linear memories of the guests. Only tests provide such a creator.
pub(crate) type GuestMemories = Arc<dyn MemoryCreator>;

/// Creates an engine without a pool, whose guests get their memory from `memories`.
pub(super) fn engine_with_memories(memories: GuestMemories) -> wasmtime::Result<Engine> {
    let mut config = config();
    config.with_host_memory(memories).memory_init_cow(false).memory_reservation(0).memory_guard_size(0);
    Engine::new(&config)
}

fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    // The connector consists of three core instances (itself and two adapters), two tables and one memory.
    let calls = limits.concurrent_calls.saturating_add(limits.concurrent_webhooks);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(4))
        .max_core_instances_per_component(4)
        .total_tables(calls.saturating_mul(4))
        .max_tables_per_component(4)
        .table_elements(limits.table_elements)
        .total_memories(calls)
        .max_memories_per_component(1)
        .max_memory_size(limits.memory_bytes)
        .total_stacks(calls);
    if clears_in_place(calls) {
        // `pagemap_scan` would clear fewer bytes, because it finds the pages that the guest has changed. It is not used,
        // because wasmtime 48 overlooks a changed page that the system has swapped out, and the next call would read it.
        pool.linear_memory_keep_resident(CLEARED_BYTES).table_keep_resident(CLEARED_TABLE_BYTES);
    }
    pool
}

/// Returns whether a pool of this many instances clears memory in place. Memory that is cleared in place stays in use by
/// the process, at most [`MAX_KEPT_BYTES`].
fn clears_in_place(calls: u32) -> bool {
    usize::try_from(calls).is_ok_and(|calls| calls.saturating_mul(CLEARED_BYTES) <= MAX_KEPT_BYTES)
}

/// Advances the engine's epoch until the ticker is dropped. The ticker has a thread of its own, because guests that
/// compute may occupy every thread of the async runtime.
pub(super) struct Ticker {
    _stop: Sender<()>,
}

impl Ticker {
    /// # Errors
    /// The thread could not be started.
    pub(super) fn start(engine: Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        thread::Builder::new().name("connector-epochs".to_owned()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_come_from_a_pool() {
        let engine = engine(&Limits { concurrent_calls: 1, ..Limits::default() }).unwrap();
        assert!(engine.pooling_allocator_metrics().is_some());
    }

    #[test]
    fn a_pool_that_would_keep_more_than_64_mib_returns_its_memory() {
        let Limits { concurrent_calls, concurrent_webhooks, .. } = Limits::default();
        assert!(clears_in_place(concurrent_calls + concurrent_webhooks));
        assert!(clears_in_place(256));
        assert!(!clears_in_place(257));
        assert!(!clears_in_place(u32::MAX));
    }

    #[test]
    fn a_cpu_time_is_rounded_down_to_at_least_one_tick() {
        assert_eq!(ticks(Duration::from_millis(1)), 1);
        assert_eq!(ticks(Duration::from_millis(59)), 5);
        assert_eq!(ticks(Duration::MAX), u64::MAX);
    }
}
