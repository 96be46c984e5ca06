//! The native module of the package for Python. Only the package's Python calls these functions.
//!
//! Values cross without JSON texts: objects of Python become the JSON values of `tiktok-shop-bindings`, and the other
//! way round. A request runs on a thread of this module. It continues until its end, even if Python does not wait for
//! it.
//!
//! **No thread of this module ever takes the lock of Python's interpreter.** A thread leaves a message in a `Mailbox`,
//! and Python fetches it. So a thread never waits for Python, and Python may end at any time.

mod foreign;
mod host;
mod interpreter;
mod logs;
mod mailbox;
mod runtime;
mod secret;
mod values;

use pyo3::pymodule;

/// The native module.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::foreign::Answer;
    #[pymodule_export]
    use crate::host::{NativeHost, Stopper, check_contract, contract_checks};
    #[pymodule_export]
    use crate::logs::forward_logs;
    #[pymodule_export]
    use crate::mailbox::Mailbox;
    #[pymodule_export]
    use crate::secret::Secret;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::interpreter::claim(module.py())
    }
}
