//! The threads on which all hosts of this process work.

use std::sync::LazyLock;

use napi::{Error, Result};
use tiktok_shop_bindings::start_threads;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(start_threads);

/// Returns the runtime. It ends with the process.
///
/// # Errors
/// The system gave no threads.
pub(crate) fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|error| Error::from_reason(format!("no threads for the host: {error}")))
}
