//! Records the output of this process in which a secret could leak: the panic messages, the accesses to storage, and
//! the logs. Logs of every level are recorded if they pass the filter of the host library.
//!
//! All tests of the process share one subscriber and one panic hook. Each test searches for its own secrets. It
//! searches all output that was written since the test began, including the output of other tests.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tiktok_shop_canaries::{Canaries, Found};
use tiktok_shop_host::log_filter::LogFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::prelude::*;

/// An output in which a secret could leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// The logs of this process, including the logs of the `log` crate.
    Logs,
    /// Panic messages.
    Panics,
    /// The `Debug` text of every access to storage, including the rows.
    Rows,
}

impl Sink {
    const ALL: [Self; 3] = [Self::Logs, Self::Panics, Self::Rows];

    fn written(self) -> MutexGuard<'static, Vec<u8>> {
        static WRITTEN: [Mutex<Vec<u8>>; 3] = [const { Mutex::new(Vec::new()) }; 3];
        let [logs, panics, rows] = &WRITTEN;
        let written = match self {
            Self::Logs => logs,
            Self::Panics => panics,
            Self::Rows => rows,
        };
        written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to this output.
    pub(crate) fn write(self, text: fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = writeln!(self.written(), "{text}");
    }
}

/// The output of the process since this watch began.
#[derive(Debug)]
pub struct Watch {
    begin: [usize; 3],
}

/// An output, and a secret that was found in it.
pub type Leak = (Sink, Found);

impl Watch {
    /// Starts to watch the output.
    #[must_use]
    pub fn begin() -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(install);
        Self { begin: Sink::ALL.map(|sink| sink.written().len()) }
    }

    /// Returns the text that was written to this output since the watch began.
    #[must_use]
    pub fn written(&self, sink: Sink) -> Vec<u8> {
        let begin = Sink::ALL.into_iter().zip(self.begin).find(|(other, _)| *other == sink).map_or(0, |(_, at)| at);
        sink.written().get(begin..).unwrap_or_default().to_vec()
    }

    /// Returns which of these secrets were written since the watch began, and to which output.
    #[must_use]
    pub fn leaks(&self, canaries: &Canaries) -> BTreeSet<Leak> {
        let search = |sink| canaries.found_in(&self.written(sink)).into_iter().map(move |found| (sink, found));
        Sink::ALL.into_iter().flat_map(search).collect()
    }
}

fn install() {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_span_events(FmtSpan::FULL).with_writer(|| Logs);
    tracing_subscriber::registry().with(lines.with_filter(LogFilter)).init();
    // The build of the component logs much and handles no secret. So the component is built before the logger is
    // installed, and the build's log is not recorded.
    let _path = crate::component();
    // No other logger is installed in this process, so this call succeeds.
    if log::set_logger(&LogBridge).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
    let earlier = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        Sink::Panics.write(format_args!("{panic}"));
        earlier(panic);
    }));
}

/// A writer that adds every line to [`Sink::Logs`].
struct Logs;

impl Write for Logs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Sink::Logs.written().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A bridge that passes records of the `log` crate to the subscriber, in the form that `tracing-log` gives them. The
/// crate `tracing-log` itself is not used, because it turns on features with which wasmtime would be built a second
/// time.
pub struct LogBridge;

impl log::Log for LogBridge {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let (target, module) = (record.target(), record.module_path());
        // wasmtime's compiler writes millions of records. They are dropped, because the compiler gets only the
        // component and never a secret.
        if target.starts_with("cranelift_codegen::") {
            return;
        }
        tracing::event!(
            target: "log",
            tracing::Level::TRACE,
            { "log.target" = target, "log.module_path" = module },
            "{}",
            record.args()
        );
    }

    fn flush(&self) {}
}
