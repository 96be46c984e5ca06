//! The threads on which all hosts of this process work.

use std::sync::LazyLock;

use napi::{Error, Result};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().thread_name("tiktok-shop").enable_all().build());

/// Returns the runtime. It ends with the process.
///
/// # Errors
/// The system gave no threads.
pub(crate) fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|error| Error::from_reason(format!("no threads for the host: {error}")))
}
