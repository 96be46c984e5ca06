//! Collects everything that the process logs, at every level, so that a stage can search it for its secrets.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tiktok_shop_host::log_filter::LogFilter;
use tracing_subscriber::prelude::*;

/// The log of the whole process. All tests write to it.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Returns the log. The first call begins to collect it.
    pub(crate) fn of_process() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
            tracing_subscriber::registry().with(layer.with_filter(LogFilter)).init();
            log
        })
    }

    /// Returns everything that was logged until now.
    pub(crate) fn text(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
