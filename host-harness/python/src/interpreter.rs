//! Lets one interpreter of a process use the module.

use std::sync::OnceLock;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// The address of `sys.modules` of the interpreter that uses the module. Each interpreter has its own.
static OWNER: OnceLock<usize> = OnceLock::new();

/// Claims the module for the interpreter that imports it.
///
/// # Errors
/// Another interpreter of this process has imported the module. Its objects must not get into this one.
pub(crate) fn claim(py: Python<'_>) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?.as_ptr().addr();
    if *OWNER.get_or_init(|| modules) == modules {
        return Ok(());
    }
    let text = "tiktok_shop_connector works in one interpreter of a process; import it only in that interpreter";
    Err(PyImportError::new_err(text))
}
