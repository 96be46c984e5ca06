//! Keeps requests out of the logs of whoever embeds this library.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Target of the callsites that all records of the `log` crate share.
const LOG: &str = "log";

/// A filter for every layer of a subscriber that writes logs: nothing passes of the crates that could print a request,
/// at any level; everything else passes, this library's own events among it.
///
/// TikTok Shop wants the app secret, codes and refresh tokens in the query of a URL, and `wasmtime-wasi-http` prints URLs
/// at `TRACE`. A level alone is no protection: a feature or a release of a foreign crate may print more, and lower down.
///
/// What comes from the `log` crate through `tracing-log` is judged by where it was logged. Loggers without layers
/// (`env_logger` and the like) have to be told by name: [`LogFilter::SILENCED`].
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFilter;

impl LogFilter {
    /// The crates that nothing passes of. They handle requests, or run the guest that makes them: some print a request
    /// whole at `TRACE`, some its errors at `WARN`; some log nothing yet, or only with a feature that another crate may
    /// turn on.
    pub const SILENCED: &[&str] = &[
        "cranelift_codegen",
        "cranelift_frontend",
        "h2",
        "http_body_util",
        "hyper",
        "hyper_rustls",
        "hyper_util",
        "jiff",
        "jiff_core",
        "mio",
        "pulley_interpreter",
        "regalloc2",
        "rustls",
        "sqlx",
        "sqlx_core",
        "sqlx_mysql",
        "sqlx_postgres",
        "sqlx_sqlite",
        "tokio",
        "tokio_rustls",
        "tokio_util",
        "want",
        "wasmtime",
        "wasmtime_environ",
        "wasmtime_internal_cranelift",
        "wasmtime_internal_unwinder",
        "wasmtime_wasi",
        "wasmtime_wasi_http",
        "wasmtime_wasi_io",
        "webpki",
        "wit_component",
        "wit_parser",
    ];

    fn admits(metadata: &Metadata<'_>) -> bool {
        // A target can be chosen freely, the module cannot.
        [Some(metadata.target()), metadata.module_path()].into_iter().flatten().all(is_harmless)
    }
}

impl<S> Filter<S> for LogFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        Self::admits(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match Self::admits(metadata) {
            false => Interest::never(),
            true if metadata.target() == LOG => Interest::sometimes(),
            true => Interest::always(),
        }
    }

    /// Where a record of the `log` crate was logged stands in its fields.
    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let mut origin = Origin { harmless: true };
        if event.metadata().target() == LOG {
            event.record(&mut origin);
        }
        origin.harmless
    }
}

/// The crate of a module's path.
fn is_harmless(path: &str) -> bool {
    let name = path.split_once("::").map_or(path, |(name, _)| name);
    !LogFilter::SILENCED.contains(&name)
}

/// Reads where a record of the `log` crate comes from.
struct Origin {
    harmless: bool,
}

impl Visit for Origin {
    fn record_str(&mut self, field: &Field, value: &str) {
        if matches!(field.name(), "log.target" | "log.module_path") {
            self.harmless &= is_harmless(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests;
