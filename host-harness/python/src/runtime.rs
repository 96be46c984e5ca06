//! The threads on which all hosts of this process work.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

/// The runtime, and the process that started its threads.
static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// Returns the runtime of this process. It ends with the process. A process that was forked gets a runtime of its own,
/// because threads do not exist in it.
///
/// # Errors
/// The system gave no threads.
pub(crate) fn runtime() -> PyResult<&'static Runtime> {
    let mut current = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((of, runtime)) = *current
        && of == process
    {
        return Ok(runtime);
    }
    let built = Builder::new_multi_thread().thread_name("tiktok-shop").enable_all().build();
    let built = built.map_err(|error| PyRuntimeError::new_err(format!("no threads for the host: {error}")))?;
    // The runtime of a parent process is never dropped, because that would wait for its threads.
    let runtime: &'static Runtime = Box::leak(Box::new(built));
    *current = Some((process, runtime));
    Ok(runtime)
}
