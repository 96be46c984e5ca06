//! The engine: compiles the component once, pools instances, and ticks.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits::Limits;

/// Length of an epoch.
const TICK: Duration = Duration::from_millis(10);

/// How many ticks of computing fit into a time, at least one.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// An engine whose instances come from a pool, or, where the address space for one cannot be reserved (a container
/// under `ulimit -v`), are allocated one by one.
pub(crate) fn engine(limits: &Limits) -> wasmtime::Result<Engine> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    Engine::new(&pooled).or_else(|error| {
        tracing::warn!(%error, "no pool of instances, calls will be slower");
        // As little address space as will do, at the price of explicit bounds checks.
        let mut single = config();
        single.memory_reservation(limits.memory_bytes as u64);
        Engine::new(&single)
    })
}

/// An engine whose guests get their memory from the test.
#[cfg(test)]
pub(crate) fn engine_over(memories: std::sync::Arc<dyn wasmtime::MemoryCreator>) -> wasmtime::Result<Engine> {
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
    // The connector is three core instances (itself and two adapters), two tables and one memory.
    let calls = limits.concurrent_calls;
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

/// Advances the engine's epoch until dropped. A thread of its own: a guest that computes may hold every thread of the
/// async runtime.
pub(crate) struct Ticker {
    _stop: Sender<()>,
}

impl Ticker {
    /// # Errors
    /// No thread could be started.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
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
    fn instances_come_from_a_pool_of_as_many_as_calls_run_at_once() {
        let engine = engine(&Limits { concurrent_calls: 1, ..Limits::default() }).unwrap();
        assert!(engine.pooling_allocator_metrics().is_some());
    }

    #[test]
    fn less_than_a_tick_of_computing_is_one_tick() {
        assert_eq!(ticks(Duration::from_millis(1)), 1);
        assert_eq!(ticks(Duration::from_millis(59)), 5);
        assert_eq!(ticks(Duration::MAX), u64::MAX);
    }
}
