//! The metrics of the service, for Prometheus. No label contains a tenant, a customer, an account or a shop.

use std::sync::Arc;
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tiktok_shop_host::list::RowFault;
use tiktok_shop_host::metrics::{self as host, SharedRecorder};
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::sweep::Swept;

use crate::census::Census;

const REQUESTS: &str = "tiktok_shop_http_requests_total";
const REQUEST_SECONDS: &str = "tiktok_shop_http_request_duration_seconds";
const CONSENTS: &str = "tiktok_shop_consents_total";
const REFRESHES: &str = "tiktok_shop_refreshes_total";
const DELIVERIES: &str = "tiktok_shop_webhook_deliveries_total";
const OLDEST_WAITING: &str = "tiktok_shop_webhook_oldest_waiting_seconds";
const DEAD_LETTERS: &str = "tiktok_shop_webhook_dead_letters";
const SWEEPS: &str = "tiktok_shop_sweeps_total";
const SWEPT: &str = "tiktok_shop_swept_connections_total";
const UNUSABLE: &str = "tiktok_shop_sweep_unusable_connections";
const LAST_SWEEP: &str = "tiktok_shop_last_complete_sweep_timestamp_seconds";
const CONNECTIONS: &str = "tiktok_shop_connections";
const DUE: &str = "tiktok_shop_due_connections";
const OVERDUE: &str = "tiktok_shop_overdue_connections";
const OLDEST_DUE: &str = "tiktok_shop_oldest_due_seconds";
const NEXT_END: &str = "tiktok_shop_next_end_seconds";
const LEFT_OUT: &str = "tiktok_shop_connections_left_out_total";
const LAST_CENSUS: &str = "tiktok_shop_last_census_timestamp_seconds";
const READY: &str = "tiktok_shop_ready";
const BUILD: &str = "tiktok_shop_build_info";

/// The upper bounds of the buckets for durations, in seconds. A call may take 130 s.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 130.0];
/// The end of the names of all histograms.
const DURATIONS: &str = "_duration_seconds";

/// Counts what the service does. Each service has its own recorder, so several services in one process do not mix.
/// Clones share everything.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Creates empty metrics.
    #[must_use]
    pub fn new() -> Self {
        // The list of buckets is not empty, so it is always accepted.
        let builder: Result<_, BuildError> =
            PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix(DURATIONS.to_owned()), &BUCKETS);
        let recorder = builder.unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        host::describe(&recorder);
        with_local_recorder(&recorder, describe);
        // An alert on an increase would miss the first event if the counter began with it.
        with_local_recorder(&recorder, || {
            for outcome in ["delivered", "failed", "dead"] {
                counter!(DELIVERIES, "outcome" => outcome).increment(0);
            }
            for fault in [RowFault::Changed, RowFault::Missing, RowFault::Unreadable] {
                counter!(LEFT_OUT, "code" => fault.code()).increment(0);
            }
        });
        Self { recorder: Arc::new(recorder), handle }
    }

    /// Returns the recorder, for [`ConnectorHostBuilder::metrics`](tiktok_shop_host::ConnectorHostBuilder::metrics).
    #[must_use]
    pub fn recorder(&self) -> SharedRecorder {
        Arc::clone(&self.recorder) as SharedRecorder
    }

    /// Returns the text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves the recorded durations into their buckets. Without it, memory grows until the next scrape.
    pub(crate) fn tidy(&self) {
        self.handle.run_upkeep();
    }

    /// Returns a storage that measures the accesses of the service.
    pub(crate) fn measured(&self, storage: Arc<dyn HostStorage>) -> Arc<dyn HostStorage> {
        host::measured(storage, self.recorder())
    }

    fn record(&self, record: impl FnOnce()) {
        with_local_recorder(&*self.recorder, record);
    }

    pub(crate) fn request(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let (route, status) = (route.to_owned(), status.to_string());
        self.record(|| {
            counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status).increment(1);
            histogram!(REQUEST_SECONDS, "route" => route, "method" => method).record(took.as_secs_f64());
        });
    }

    /// Counts a step of a consent or of an install. The outcome is `ok` or the known code of the error. It is no text
    /// of a component, because each text would be a series.
    pub(crate) fn consent(&self, step: &'static str, outcome: &'static str) {
        self.record(|| counter!(CONSENTS, "step" => step, "outcome" => outcome).increment(1));
    }

    /// Counts a refresh that a caller has asked for, or one of a sweep.
    pub(crate) fn refresh(&self, by: &'static str, outcome: &'static str) {
        self.record(|| counter!(REFRESHES, "by" => by, "outcome" => outcome).increment(1));
    }

    /// Counts a webhook whose header `Authorization` does not have the form of a signature. The host library does not
    /// see it.
    pub(crate) fn webhook_without_signature(&self) {
        self.record(|| counter!(host::WEBHOOKS, "type" => "none", "result" => "forged").increment(1));
    }

    /// Counts an attempt to deliver a webhook to a platform.
    pub(crate) fn delivery(&self, outcome: &'static str) {
        self.record(|| counter!(DELIVERIES, "outcome" => outcome).increment(1));
    }

    /// Counts a connection that a list leaves out because of its row.
    pub(crate) fn left_out(&self, fault: RowFault) {
        self.record(|| counter!(LEFT_OUT, "code" => fault.code()).increment(1));
    }

    /// Shows how long the oldest waiting delivery of all tenants has waited, in seconds, and how many dead letters
    /// exist, up to [`MAX_COUNTED_DEAD_LETTERS`](crate::delivery::MAX_COUNTED_DEAD_LETTERS).
    pub(crate) fn backlog(&self, oldest_waiting: u64, dead: u64) {
        self.record(|| {
            gauge!(OLDEST_WAITING).set(as_float(oldest_waiting));
            gauge!(DEAD_LETTERS).set(as_float(dead));
        });
    }

    /// Counts a sweep that ended at `now`, a time in seconds since 1970.
    pub(crate) fn swept(&self, swept: &Swept, result: &'static str, now: u64) {
        let Swept { refreshed, ended, no_longer_due, held, backing_off, unusable, failed, notices, .. } = *swept;
        let outcomes = [
            ("refreshed", refreshed),
            ("ended", ended),
            ("no-longer-due", no_longer_due),
            ("held", held),
            ("backing-off", backing_off),
            ("failed", failed),
            ("notices", notices),
        ];
        self.record(|| {
            counter!(SWEEPS, "result" => result).increment(1);
            for (outcome, number) in outcomes {
                counter!(SWEPT, "outcome" => outcome).increment(number);
            }
            gauge!(UNUSABLE).set(as_float(unusable));
            if result == "complete" {
                gauge!(LAST_SWEEP).set(as_float(now));
            }
        });
    }

    /// Shows the numbers of a census that was taken at `now`, a time in seconds since 1970. A status and app that no
    /// connection has any more shows 0.
    pub(crate) fn census(&self, earlier: Option<&Census>, census: &Census, now: u64) {
        let gone = earlier.into_iter().flat_map(|earlier| earlier.connections.keys());
        self.record(|| {
            for (status, app) in gone.filter(|series| !census.connections.contains_key(*series)) {
                gauge!(CONNECTIONS, "status" => *status, "app" => app.clone()).set(0.0);
            }
            for ((status, app), number) in &census.connections {
                gauge!(CONNECTIONS, "status" => *status, "app" => app.clone()).set(as_float(*number));
            }
            gauge!(DUE).set(as_float(census.due));
            gauge!(OVERDUE).set(as_float(census.overdue));
            gauge!(OLDEST_DUE).set(as_float(census.oldest_due_seconds));
            // Without an end, the gauge must not be 0, which would look like an end now.
            gauge!(NEXT_END).set(census.next_end_seconds.map_or(f64::INFINITY, as_float));
            gauge!(LAST_CENSUS).set(as_float(now));
        });
    }

    /// Shows whether a part of the check of readiness succeeds.
    pub(crate) fn ready(&self, part: &'static str, is_ready: bool) {
        self.record(|| gauge!(READY, "part" => part).set(f64::from(u8::from(is_ready))));
    }

    /// Shows the version of the component.
    pub(crate) fn build(&self, component: &str) {
        let component = component.to_owned();
        self.record(|| gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION"), "component" => component).set(1.0));
    }
}

/// Returns a number of a gauge, which is a float. Counts and times are below 2^53, so none loses a digit.
fn as_float(number: u64) -> f64 {
    number as f64
}

fn describe() {
    describe_counter!(REQUESTS, "HTTP requests by route, method and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Duration of HTTP requests by route and method");
    describe_counter!(CONSENTS, "Steps of consents and installs by outcome: ok or the code of the error");
    describe_counter!(REFRESHES, "Refreshes by caller (api or sweep) and outcome");
    describe_counter!(DELIVERIES, "Attempts to deliver webhooks to platforms: delivered, failed or dead");
    describe_gauge!(OLDEST_WAITING, Unit::Seconds, "How long the oldest waiting webhook to a platform has waited");
    describe_gauge!(DEAD_LETTERS, "Dead letters of webhooks to platforms, counted up to 100000");
    describe_counter!(SWEEPS, "Sweeps by result: complete, stopped or failed");
    describe_counter!(SWEPT, "Connections that sweeps worked on, by outcome");
    describe_gauge!(UNUSABLE, "Connections that the latest sweep passed over and that do not work now");
    describe_gauge!(LAST_SWEEP, Unit::Seconds, "Time of the latest complete sweep of this process");
    describe_gauge!(CONNECTIONS, "Connections in the storage by status and app");
    describe_gauge!(DUE, "Connections in the storage whose refresh is due");
    describe_gauge!(OVERDUE, "Connections in the storage whose refresh has been due for more than an hour");
    describe_gauge!(OLDEST_DUE, Unit::Seconds, "How long the longest due refresh has been due");
    describe_gauge!(NEXT_END, Unit::Seconds, "Time until the next authorization ends; +Inf if none does");
    describe_counter!(LEFT_OUT, "Connections that the answer to a request left out because of their row, by fault");
    describe_gauge!(LAST_CENSUS, Unit::Seconds, "Time of the latest count of connections by this process");
    describe_gauge!(READY, "Whether a part of the latest check of readiness succeeded: storage or keys");
    describe_gauge!(BUILD, "Always 1; the labels are the versions of the service and of the component");
}
