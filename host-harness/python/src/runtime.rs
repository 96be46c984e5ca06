//! The threads on which all hosts of this process work.

use std::sync::{Mutex, PoisonError};

use tiktok_shop_bindings::{BindingError, start_threads};
use tokio::runtime::Runtime;

/// The runtime, and the process that started its threads.
static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// Returns the runtime of this process. It ends with the process.
///
/// # Errors
/// The process was forked after its parent started the runtime, or the system gave no threads.
pub(crate) fn runtime() -> Result<&'static Runtime, BindingError> {
    let mut current = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match *current {
        Some((of, runtime)) if of == process => Ok(runtime),
        // A new runtime would not help, because the threads that compile the component are those of the parent.
        Some(_) => Err(BindingError::forked()),
        None => {
            let built =
                start_threads().map_err(|error| BindingError::internal(format!("no threads for the host: {error}")))?;
            let runtime: &'static Runtime = Box::leak(Box::new(built));
            *current = Some((process, runtime));
            Ok(runtime)
        }
    }
}
