//! A filter that keeps requests, which contain secrets, out of the embedder's logs.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// The target of all records that come from the `log` crate.
const LOG_TARGET: &str = "log";

/// A filter that silences every crate that could log a request, at every level. All other events pass, including the
/// events of this library. Put the filter on every layer that writes logs.
///
/// TikTok Shop requires the app secret, codes and refresh tokens in the query of a URL, and `wasmtime-wasi-http` logs
/// URLs at `TRACE`. A level limit alone does not protect these secrets, because a new version or a feature of a crate
/// may log URLs at another level.
///
/// If a record of the `log` crate arrives through `tracing-log`, the filter checks the module that logged the record. A
/// logger without layers, such as `env_logger`, can't use this filter. Configure such a logger to silence the crates in
/// [`LogFilter::SILENCED`].
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFilter;

impl LogFilter {
    /// The names of the silenced crates. These crates handle requests, or run the guest that makes the requests. Some
    /// of them log whole requests at `TRACE`, and some log errors at `WARN`. Some log nothing yet, or only with a
    /// feature that another crate may turn on.
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
        // A crate can choose any target, but it can't choose the module path.
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
            true if metadata.target() == LOG_TARGET => Interest::sometimes(),
            true => Interest::always(),
        }
    }

    /// Decides whether an event passes. A record of the `log` crate passes if its fields name no module of a silenced
    /// crate.
    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let mut origin = Origin { harmless: true };
        if event.metadata().target() == LOG_TARGET {
            event.record(&mut origin);
        }
        origin.harmless
    }
}

/// Checks that the crate of a module path is not silenced.
fn is_harmless(path: &str) -> bool {
    let name = path.split_once("::").map_or(path, |(name, _)| name);
    !LogFilter::SILENCED.contains(&name)
}

/// Reads from the fields of a `log` record which module logged the record.
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
