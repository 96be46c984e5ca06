//! Sends the spans of the service to a collector by OTLP, if the standard variables `OTEL_EXPORTER_OTLP_…` name one.
//! The spans and their events are those of the log, so they contain no secret either.

mod client;

use std::env::var;
use std::time::Duration;

use http::Uri;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tiktok_shop_host::log_filter::LogFilter;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
use tracing_subscriber::registry::LookupSpan;

use self::client::Client;
use crate::failure::Failure;
use crate::output::note;

/// The address of a collector for all signals, and one for traces.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"];
const CERTIFICATES: [&str; 2] = ["OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// The only protocol that the program speaks.
const PROTOCOL: &str = "http/protobuf";
/// The name of the service if no variable has another one.
const NAME: &str = "tiktok-shop-connector";

/// How long the program waits at its end until the last spans are sent.
const TIME_TO_END: Duration = Duration::from_secs(5);

/// The spans of this process on their way to a collector.
pub(crate) struct Traces(SdkTracerProvider);

/// Checks the variables, and sends nothing.
///
/// # Errors
/// A variable is malformed, or names a protocol that the program does not speak. Or a certificate can't be read.
pub(crate) fn check() -> Result<(), Failure> {
    prepared().map(drop)
}

/// Begins to send spans. `None` if no variable names a collector.
///
/// # Errors
/// See [`check`].
pub(crate) fn begin() -> Result<Option<Traces>, Failure> {
    let Some(exporter) = prepared()? else { return Ok(None) };
    let resource = Resource::builder();
    let is_named = setting(SERVICE_NAME)?.is_some()
        || setting(RESOURCE)?.is_some_and(|attributes| attributes.contains("service.name="));
    let resource = if is_named { resource } else { resource.with_service_name(NAME) };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
    Ok(Some(Traces(provider.build())))
}

impl Traces {
    /// Returns the layer that makes spans. It sees what the log of the service shows.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let tracer = self.0.tracer(env!("CARGO_PKG_NAME"));
        let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
        layer.with_filter(LevelFilter::INFO.and(LogFilter))
    }

    /// Sends the last spans.
    pub(crate) fn end(self) {
        if self.0.shutdown_with_timeout(TIME_TO_END).is_err() {
            note("the last traces could not be sent to the collector");
        }
    }
}

fn prepared() -> Result<Option<SpanExporter>, Failure> {
    let is_disabled = setting(DISABLED)?.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let mut is_wanted = false;
    for name in ENDPOINTS {
        if let Some(endpoint) = setting(name)? {
            check_endpoint(name, &endpoint)?;
            is_wanted = true;
        }
    }
    if is_disabled || !is_wanted {
        return Ok(None);
    }
    for name in PROTOCOLS {
        if setting(name)?.is_some_and(|protocol| protocol != PROTOCOL) {
            return Err(malformed(name, &format!("this program speaks only {PROTOCOL}; unset the variable")));
        }
    }
    let [of_all, of_traces] = CERTIFICATES;
    let certificate = match setting(of_traces)? {
        Some(path) => Some((of_traces, path)),
        None => setting(of_all)?.map(|path| (of_all, path)),
    };
    let client = match certificate {
        Some((name, path)) => Client::trusting(path.as_ref()).map_err(|what| malformed(name, &what))?,
        None => Client::new().map_err(Failure::Unavailable)?,
    };
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    exporter.map(Some).map_err(|error| malformed("OTEL_EXPORTER_OTLP_…", &error.to_string()))
}

fn check_endpoint(name: &str, endpoint: &str) -> Result<(), Failure> {
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    match endpoint.parse::<Uri>() {
        Ok(uri) if is_http(&uri) => Ok(()),
        Ok(_) | Err(_) => Err(malformed(name, "not an http or https address, such as http://127.0.0.1:4318")),
    }
}

fn malformed(name: &str, what: &str) -> Failure {
    Failure::Malformed(format!("{name}: {what}"))
}

/// Returns the value of a variable. The standard says that an empty variable counts as not set.
#[expect(clippy::disallowed_methods, reason = "these are the standard variables of OpenTelemetry")]
fn setting(name: &str) -> Result<Option<String>, Failure> {
    match var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(malformed(name, "not UTF-8; copy the value again")),
    }
}
