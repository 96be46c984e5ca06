//! The metrics of the service, for Prometheus. No label contains a customer, a shop, an account or a tenant.

use std::sync::Arc;
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tiktok_shop_host::sweep::Swept;

const REQUESTS: &str = "tiktok_shop_http_requests_total";
const REQUEST_SECONDS: &str = "tiktok_shop_http_request_duration_seconds";
const CALLS: &str = "tiktok_shop_calls_total";
const REFRESHES: &str = "tiktok_shop_refreshes_total";
const WEBHOOKS: &str = "tiktok_shop_webhooks_total";
const DELIVERIES: &str = "tiktok_shop_webhook_deliveries_total";
const OLDEST_WAITING: &str = "tiktok_shop_webhook_oldest_waiting_seconds";
const DEAD_LETTERS: &str = "tiktok_shop_webhook_dead_letters";
const SWEEPS: &str = "tiktok_shop_sweeps_total";
const SWEPT: &str = "tiktok_shop_swept_connections_total";
const UNUSABLE: &str = "tiktok_shop_sweep_unusable_connections";
const LAST_SWEEP: &str = "tiktok_shop_last_complete_sweep_timestamp_seconds";

/// The upper bounds of the buckets for durations, in seconds. A call may take 130 s.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 130.0];

/// Counts what the service does. Each service has its own recorder, so several services in one process do not mix.
#[derive(Clone)]
pub(crate) struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // The list of buckets is not empty, so it is always accepted.
        let builder: Result<_, BuildError> =
            PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(REQUEST_SECONDS.to_owned()), &BUCKETS);
        let recorder = builder.unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, describe);
        Self { recorder: Arc::new(recorder), handle }
    }

    /// Returns the text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves the recorded durations into their buckets. Without it, memory grows until the next scrape.
    pub(crate) fn tidy(&self) {
        self.handle.run_upkeep();
    }

    pub(crate) fn request(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let (route, status) = (route.to_owned(), status.to_string());
        with_local_recorder(&*self.recorder, || {
            counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status).increment(1);
            histogram!(REQUEST_SECONDS, "route" => route, "method" => method).record(took.as_secs_f64());
        });
    }

    /// Counts a call of the host library. The outcome is `ok` or the code of the error.
    pub(crate) fn call(&self, operation: &'static str, outcome: &str) {
        let outcome = outcome.to_owned();
        with_local_recorder(&*self.recorder, || {
            counter!(CALLS, "operation" => operation, "outcome" => outcome).increment(1);
        });
    }

    /// Counts a refresh that a caller has asked for, or one of a sweep.
    pub(crate) fn refresh(&self, by: &'static str, outcome: &str) {
        let outcome = outcome.to_owned();
        with_local_recorder(&*self.recorder, || {
            counter!(REFRESHES, "by" => by, "outcome" => outcome).increment(1);
        });
    }

    pub(crate) fn webhook(&self, result: &'static str) {
        with_local_recorder(&*self.recorder, || counter!(WEBHOOKS, "result" => result).increment(1));
    }

    /// Counts an attempt to deliver a webhook to a platform.
    pub(crate) fn delivery(&self, outcome: &'static str) {
        with_local_recorder(&*self.recorder, || counter!(DELIVERIES, "outcome" => outcome).increment(1));
    }

    /// Notes for how long the oldest waiting delivery of all tenants waits, in seconds, and the number of dead letters.
    pub(crate) fn backlog(&self, oldest_waiting: u64, dead: u64) {
        with_local_recorder(&*self.recorder, || {
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
        with_local_recorder(&*self.recorder, || {
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
}

/// Returns a number of a gauge, which is a float. Counts and times are below 2^53, so none loses a digit.
fn as_float(number: u64) -> f64 {
    number as f64
}

fn describe() {
    describe_counter!(REQUESTS, "HTTP requests by route, method and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Duration of HTTP requests by route and method");
    describe_counter!(CALLS, "Calls of the host library by operation and outcome: ok or the code of the error");
    describe_counter!(REFRESHES, "Refreshes by caller (api or sweep) and outcome");
    describe_counter!(WEBHOOKS, "Webhooks of TikTok Shop by result");
    describe_counter!(DELIVERIES, "Attempts to deliver webhooks to platforms: delivered, failed or dead");
    describe_gauge!(OLDEST_WAITING, Unit::Seconds, "For how long the oldest webhook to a platform waits");
    describe_gauge!(DEAD_LETTERS, "Webhooks to platforms that are attempted no more");
    describe_counter!(SWEEPS, "Sweeps by result: complete, stopped or failed");
    describe_counter!(SWEPT, "Connections that sweeps worked on, by outcome");
    describe_gauge!(UNUSABLE, "Connections that the latest sweep passed over and that do not work now");
    describe_gauge!(LAST_SWEEP, Unit::Seconds, "Time of the latest complete sweep of this process");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_rendered_with_its_labels() {
        let metrics = Metrics::new();
        metrics.request("/v1/connections", "GET", 200, Duration::from_millis(20));
        metrics.call("call", "ok");
        metrics.refresh("api", "renewed");
        metrics.webhook("handled");
        metrics.delivery("delivered");
        metrics.backlog(90, 2);
        metrics.swept(&Swept { refreshed: 3, unusable: 1, ..Swept::default() }, "complete", 1_767_225_600);
        let text = metrics.render();
        for line in [
            "tiktok_shop_http_requests_total{route=\"/v1/connections\",method=\"GET\",status=\"200\"} 1",
            "tiktok_shop_http_request_duration_seconds_bucket{route=\"/v1/connections\",method=\"GET\",le=\"0.025\"} 1",
            "tiktok_shop_calls_total{operation=\"call\",outcome=\"ok\"} 1",
            "tiktok_shop_refreshes_total{by=\"api\",outcome=\"renewed\"} 1",
            "tiktok_shop_webhooks_total{result=\"handled\"} 1",
            "tiktok_shop_webhook_deliveries_total{outcome=\"delivered\"} 1",
            "tiktok_shop_webhook_oldest_waiting_seconds 90",
            "tiktok_shop_webhook_dead_letters 2",
            "tiktok_shop_sweeps_total{result=\"complete\"} 1",
            "tiktok_shop_swept_connections_total{outcome=\"refreshed\"} 3",
            "tiktok_shop_sweep_unusable_connections 1",
            "tiktok_shop_last_complete_sweep_timestamp_seconds 1767225600",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
