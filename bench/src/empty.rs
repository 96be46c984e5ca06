//! A component that does nothing, on the engine of a host: the least that a fresh instance for each call costs.

use anyhow::Result;
use tiktok_shop_host::ConnectorHost;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};

/// A component with one export, which returns at once. It has no memory and imports nothing.
const TEXT: &str = r#"
    (component
        (core module $code (func (export "run")))
        (core instance $instance (instantiate $code))
        (func (export "run") (canon lift (core func $instance "run"))))
"#;

/// The empty component, ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Empty(InstancePre<()>);

impl Empty {
    pub(crate) fn on_engine_of(host: &ConnectorHost) -> Result<Self> {
        let engine = host.engine();
        let component = Component::new(engine, wat::parse_str(TEXT)?)?;
        Ok(Self(Linker::new(engine).instantiate_pre(&component)?))
    }

    /// Calls the export of a fresh instance.
    pub(crate) async fn call(&self) -> Result<()> {
        let mut wasm_store = Store::new(self.0.engine(), ());
        // The engine interrupts guests at each tick. This guest is never interrupted.
        wasm_store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.0.instantiate_async(&mut wasm_store).await?;
        let run = instance.get_typed_func::<(), ()>(&mut wasm_store, "run")?;
        run.call_async(&mut wasm_store, ()).await?;
        Ok(())
    }
}
