//! Gives benchmarks the engine on which the connector runs, so that they can run other components on it. Exists only
//! with the feature `measurements`.

use wasmtime::Engine;

use crate::host::ConnectorHost;

impl ConnectorHost {
    /// Returns the engine with the pool of instances.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.sandbox.program.linked.component().engine()
    }
}
