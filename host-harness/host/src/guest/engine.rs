//! The wasmtime engine: its configuration, its pool of instances, and the ticks that interrupt guests.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, MemoryCreator, PoolingAllocationConfig};

use crate::limits::Limits;

/// The time between two increments of the engine's epoch: 10 ms.
const TICK: Duration = Duration::from_millis(10);

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
    pool
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
    fn a_cpu_time_is_rounded_down_to_at_least_one_tick() {
        assert_eq!(ticks(Duration::from_millis(1)), 1);
        assert_eq!(ticks(Duration::from_millis(59)), 5);
        assert_eq!(ticks(Duration::MAX), u64::MAX);
    }
}
