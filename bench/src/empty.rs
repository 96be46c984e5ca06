//! A component that does nothing, on the engine of a host: the least that a fresh instance for each call costs.

use anyhow::Result;
use tiktok_shop_host::ConnectorHost;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::own_engine::shown;

/// The memory of an empty component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// No memory: the least that an instance can be.
    None,
    /// A memory as large as the connector's at its start. The call writes one word, as every real guest does.
    Written,
}

/// A component with one export, which returns at once. It imports nothing.
const TEXT: &str = r#"
    (component
        (core module $code (func (export "run")))
        (core instance $instance (instantiate $code))
        (func (export "run") (canon lift (core func $instance "run"))))
"#;

/// The same component with a memory.
const TEXT_WITH_MEMORY: &str = r#"
    (component
        (core module $code (memory 18) (func (export "run") (i32.store (i32.const 65536) (i32.const 1))))
        (core instance $instance (instantiate $code))
        (func (export "run") (canon lift (core func $instance "run"))))
"#;

/// The empty component, ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Empty(InstancePre<()>);

impl Empty {
    pub(crate) fn on_engine_of(host: &ConnectorHost, memory: Memory) -> Result<Self> {
        Self::compile(host.engine(), memory).map_err(shown)
    }

    fn compile(engine: &Engine, memory: Memory) -> wasmtime::Result<Self> {
        let text = match memory {
            Memory::None => TEXT,
            Memory::Written => TEXT_WITH_MEMORY,
        };
        let component = Component::new(engine, wat::parse_str(text)?)?;
        Ok(Self(Linker::new(engine).instantiate_pre(&component)?))
    }

    /// Calls the export of a fresh instance.
    pub(crate) async fn call(&self) -> Result<()> {
        self.run().await.map_err(shown)
    }

    async fn run(&self) -> wasmtime::Result<()> {
        let mut wasm_store = Store::new(self.0.engine(), ());
        // The engine interrupts guests at each tick. This guest is never interrupted.
        wasm_store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.0.instantiate_async(&mut wasm_store).await?;
        let run = instance.get_typed_func::<(), ()>(&mut wasm_store, "run")?;
        run.call_async(&mut wasm_store, ()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_empty_components_run() {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        for memory in [Memory::None, Memory::Written] {
            Empty::compile(&engine, memory).unwrap().call().await.unwrap();
        }
    }
}
