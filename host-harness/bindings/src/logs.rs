//! Hands the logs of the library to the other language. The requests to TikTok Shop, which contain secrets, are kept out.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use serde_json::{Map, Value, json};
use tiktok_shop_host::log_filter::LogFilter;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload::{self, Handle};

use crate::error::BindingError;

/// Gets a log record: an object with the members `level`, `target`, `message` and `fields`.
type Sink = Arc<dyn Fn(Value) + Send + Sync>;

static SINK: RwLock<Option<Sink>> = RwLock::new(None);
/// Changes the level. `None` if this process has another subscriber.
static LEVEL: OnceLock<Option<Handle<LevelFilter, Registry>>> = OnceLock::new();

/// Hands the logs of all hosts of this process to `sink`, from this level on: `error`, `warn`, `info`, `debug` or
/// `trace`. A later call replaces the sink and the level. The records contain no secret.
///
/// # Errors
/// The level has another name, or this process has another subscriber for the logs.
pub fn forward_logs(level: &str, sink: impl Fn(Value) + Send + Sync + 'static) -> Result<(), BindingError> {
    let level = match level {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return Err(BindingError::arguments("the level of the logs is error, warn, info, debug or trace")),
    };
    *SINK.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sink));
    let mut is_new = false;
    let installed = LEVEL.get_or_init(|| {
        is_new = true;
        let (filter, handle) = reload::Layer::new(level);
        let layer = Forward.with_filter(filter.and(LogFilter));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).ok().map(|()| handle)
    });
    let taken = || BindingError::settings("logs-taken", "another part of this process takes the logs already");
    let handle = installed.as_ref().ok_or_else(taken)?;
    if is_new {
        return Ok(());
    }
    // The subscriber lives as long as the process.
    handle.reload(level).map_err(|_| BindingError::internal("the subscriber of the logs is gone"))
}

/// The fields of a span or an event.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // Writing into a text does not fail.
        let _ = write!(text, "{value:?}");
        self.0.insert(field.name().to_owned(), text.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

/// The layer that makes records. An event has the fields of the spans around it, too.
struct Forward;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sink) = sink else { return };
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            // The innermost span comes first, and its fields win.
            for (name, value) in extensions.get::<Fields>().into_iter().flat_map(|fields| &fields.0) {
                fields.0.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        sink(json!({ "level": level, "target": metadata.target(), "message": message, "fields": fields.0 }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_record_has_the_fields_of_its_spans_and_requests_are_left_out() {
        let records = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&records);
        assert_eq!(forward_logs("loud", |_| {}).unwrap_err().code, "invalid-argument");
        forward_logs("info", move |record| kept.lock().unwrap().push(record)).unwrap();
        tracing::info_span!("call", tenant = "acme", customer = "customer-7").in_scope(|| {
            tracing::warn!(target: "host", code = "rate-limited", retry_after_ms = 7_u64, "the call failed");
            tracing::debug!(target: "host", "not wanted");
            tracing::error!(target: "hyper", "CANARY");
        });
        let fields = json!({ "tenant": "acme", "customer": "customer-7", "code": "rate-limited", "retry_after_ms": 7 });
        let expected = json!({ "level": "warn", "target": "host", "message": "the call failed", "fields": fields });
        assert_eq!(*records.lock().unwrap(), [expected]);
        let later = Arc::clone(&records);
        forward_logs("debug", move |record| later.lock().unwrap().push(record)).unwrap();
        tracing::debug!(target: "host", "wanted now");
        forward_logs("error", |_| {}).unwrap();
        assert_eq!(records.lock().unwrap().len(), 2);
    }
}
