//! The threads on which all hosts of a process work.

use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

/// Starts one thread for each processor but one, and at least one thread. The event loop of the other language also
/// needs a processor. If these threads used all processors, the event loop would often wait for one.
///
/// # Errors
/// The system gave no threads.
pub fn start_threads() -> io::Result<Runtime> {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let threads = processors.saturating_sub(1).max(1);
    Builder::new_multi_thread().worker_threads(threads).thread_name("tiktok-shop").enable_all().build()
}
