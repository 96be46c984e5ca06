//! Everything this process lets out: logs at every level behind the library's filter, texts of panics, rows.
//!
//! One subscriber and one panic hook serve all tests of the process. Each test looks at what was written since it began,
//! by itself or by others, for secrets of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tiktok_shop_canaries::{Canaries, Found};
use tiktok_shop_host::log_filter::LogFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::prelude::*;

/// Where a secret could get out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// Logs of this process, those of the `log` crate among them.
    Logs,
    /// What panics say.
    Panics,
    /// `Debug` of the rows that storage was given.
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

    /// Adds a text.
    pub(crate) fn write(self, text: fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = writeln!(self.written(), "{text}");
    }
}

/// A stretch of what is written.
#[derive(Debug)]
pub struct Watch {
    begin: [usize; 3],
}

/// A secret where none may be.
pub type Leak = (Sink, Found);

impl Watch {
    /// From now on.
    #[must_use]
    pub fn begin() -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(install);
        Self { begin: Sink::ALL.map(|sink| sink.written().len()) }
    }

    /// What was written since.
    #[must_use]
    pub fn written(&self, sink: Sink) -> Vec<u8> {
        let begin = Sink::ALL.into_iter().zip(self.begin).find(|(other, _)| *other == sink).map_or(0, |(_, at)| at);
        sink.written().get(begin..).unwrap_or_default().to_vec()
    }

    /// Which of these secrets were written since, and where.
    #[must_use]
    pub fn leaks(&self, canaries: &Canaries) -> BTreeSet<Leak> {
        let search = |sink| canaries.found_in(&self.written(sink)).into_iter().map(move |found| (sink, found));
        Sink::ALL.into_iter().flat_map(search).collect()
    }
}

fn install() {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_span_events(FmtSpan::FULL).with_writer(|| Logs);
    tracing_subscriber::registry().with(lines.with_filter(LogFilter)).init();
    // What builds the component logs much and knows no secret.
    let _path = crate::component();
    // A second logger would be another test's, and there is none.
    if log::set_logger(&LogBridge).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
    let earlier = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        Sink::Panics.write(format_args!("{panic}"));
        earlier(panic);
    }));
}

/// Takes a line at a time.
struct Logs;

impl Write for Logs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Sink::Logs.written().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands records of the `log` crate to the subscriber in the shape that `tracing-log` gives them. That crate itself would
/// turn on features of `log` and `tracing-core`, and with them another build of wasmtime.
pub struct LogBridge;

impl log::Log for LogBridge {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let (target, module) = (record.target(), record.module_path());
        // Millions of records of a compiler that sees the component and nothing else.
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
