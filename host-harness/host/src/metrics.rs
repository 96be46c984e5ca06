//! The metrics of the host, through the crate `metrics`. No label contains a tenant, a customer, an account or a shop.
//!
//! | name | kind | labels | meaning |
//! | --- | --- | --- | --- |
//! | [`CALLS`] | counter | `operation`, `outcome` | calls; `outcome` is `ok` or the code of the error |
//! | [`CALL_SECONDS`] | histogram | `operation` | duration of calls, with the time in the queue |
//! | [`CLAIMS_HELD`] | counter | `operation` | calls that sent nothing because another call held the claim on the tokens |
//! | [`UPSTREAM_SECONDS`] | histogram | `endpoint`, `status` | time until the head of TikTok Shop's response |
//! | [`INSTANCES`] | gauge | `lane`, `state` | instances in use, and calls that wait for one |
//! | [`INSTANCES_MAX`] | gauge | `lane` | instances that can be in use |
//! | [`WEBHOOKS`] | counter | `type`, `result` | deliveries of webhooks; `type` is TikTok's number, or `none` |
//! | [`STORAGE_SECONDS`] | histogram | `method`, `result` | duration of accesses to the storage |
//!
//! The host records into the recorder that
//! [`ConnectorHostBuilder::metrics`](crate::ConnectorHostBuilder::metrics) has set, or else into the global recorder of
//! the process. Without a recorder, nothing is recorded.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::{
    Gauge, Recorder, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use tiktok_shop_connector_core::error::Cause;

use crate::egress::Authority;
use crate::error::CallError;
use crate::storage::{Access, HostStorage, Intercepted, Interceptor, Passage};

/// Counts calls by operation and outcome.
pub const CALLS: &str = "tiktok_shop_calls_total";
/// Durations of calls, in seconds.
pub const CALL_SECONDS: &str = "tiktok_shop_call_duration_seconds";
/// Counts calls that found the claim of another call.
pub const CLAIMS_HELD: &str = "tiktok_shop_claims_found_held_total";
/// Durations of requests to TikTok Shop, in seconds.
pub const UPSTREAM_SECONDS: &str = "tiktok_shop_upstream_request_duration_seconds";
/// Instances in use, and calls that wait for one.
pub const INSTANCES: &str = "tiktok_shop_instances";
/// Instances that can be in use at the same time.
pub const INSTANCES_MAX: &str = "tiktok_shop_instances_max";
/// Counts deliveries of webhooks by type and result.
pub const WEBHOOKS: &str = "tiktok_shop_webhooks_total";
/// Durations of accesses to the storage, in seconds.
pub const STORAGE_SECONDS: &str = "tiktok_shop_storage_access_duration_seconds";

/// Each type of event below this number is counted apart. TikTok Shop has about 60 types (2026), numbered from 1.
const MAX_EVENT_TYPES: u32 = 200;

/// A recorder of metrics that several threads may use.
pub type SharedRecorder = Arc<dyn Recorder + Send + Sync>;

/// Describes the metrics of the host to a recorder, so that it can show their meaning and their unit.
pub fn describe(recorder: &dyn Recorder) {
    with_local_recorder(recorder, || {
        describe_counter!(CALLS, "Calls by operation and outcome: ok or the code of the error");
        describe_histogram!(CALL_SECONDS, Unit::Seconds, "Duration of calls by operation, with the time in the queue");
        describe_counter!(CLAIMS_HELD, "Calls that sent nothing because another call held the claim on the tokens");
        describe_histogram!(
            UPSTREAM_SECONDS,
            Unit::Seconds,
            "Time until the head of TikTok Shop's response by endpoint and HTTP status"
        );
        describe_gauge!(INSTANCES, "Instances in use and calls that wait for one, by lane: calls or webhooks");
        describe_gauge!(INSTANCES_MAX, "Instances that can be in use at the same time, by lane");
        describe_counter!(WEBHOOKS, "Deliveries of webhooks by TikTok Shop's number of the type and by result");
        describe_histogram!(STORAGE_SECONDS, Unit::Seconds, "Duration of accesses to the storage by method and result");
    });
}

/// Returns a storage that records the duration of each access into `recorder`, and otherwise does what `storage` does.
/// A host measures its own accesses. Use this function for accesses that you make yourself.
#[must_use]
pub fn measured(storage: Arc<dyn HostStorage>, recorder: SharedRecorder) -> Arc<dyn HostStorage> {
    HostMetrics::new(Some(recorder)).measured(storage)
}

/// Records the metrics of a host.
#[derive(Clone, Default)]
pub(crate) struct HostMetrics(Option<SharedRecorder>);

/// A kind of call that has its own instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneName {
    Calls,
    Webhooks,
}

impl LaneName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Webhooks => "webhooks",
        }
    }
}

/// Counts one in a gauge until it is dropped.
pub(crate) struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl HostMetrics {
    pub(crate) fn new(recorder: Option<SharedRecorder>) -> Self {
        Self(recorder)
    }

    pub(crate) fn measured(&self, storage: Arc<dyn HostStorage>) -> Arc<dyn HostStorage> {
        Arc::new(Intercepted::watched(storage, Arc::new(self.clone())))
    }

    fn record<R>(&self, record: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(recorder) => with_local_recorder(&**recorder, record),
            None => record(),
        }
    }

    pub(crate) fn call(&self, operation: &'static str, outcome: Result<(), &CallError>, took: Duration) {
        let outcome = outcome.map_or_else(CallError::known_code, |()| "ok");
        self.record(|| {
            counter!(CALLS, "operation" => operation, "outcome" => outcome).increment(1);
            histogram!(CALL_SECONDS, "operation" => operation).record(took);
            if outcome == Cause::RefreshInProgress.code() {
                counter!(CLAIMS_HELD, "operation" => operation).increment(1);
            }
        });
    }

    /// Counts a call that succeeded although it found the claim of another call.
    pub(crate) fn claim_held(&self, operation: &'static str) {
        self.record(|| counter!(CLAIMS_HELD, "operation" => operation).increment(1));
    }

    /// Records a request to TikTok Shop. `status: None` means that there was no response.
    pub(crate) fn upstream(&self, endpoint: &'static str, status: Option<u16>, took: Duration) {
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.record(|| histogram!(UPSTREAM_SECONDS, "endpoint" => endpoint, "status" => status).record(took));
    }

    /// Counts a delivery of a webhook. `event_type: None` means that no signed event was read.
    pub(crate) fn webhook(&self, event_type: Option<u32>, result: &'static str) {
        let event_type = match event_type {
            Some(number) if number < MAX_EVENT_TYPES => number.to_string(),
            Some(_) => "other".to_owned(),
            None => "none".to_owned(),
        };
        self.record(|| counter!(WEBHOOKS, "type" => event_type, "result" => result).increment(1));
    }

    /// Sets the number of instances of a lane, and shows that none is in use yet.
    pub(crate) fn lane(&self, lane: LaneName, instances: u32) {
        self.record(|| gauge!(INSTANCES_MAX, "lane" => lane.as_str()).set(f64::from(instances)));
        drop((self.waiting(lane), self.in_use(lane)));
    }

    /// Counts a call that waits for an instance.
    pub(crate) fn waiting(&self, lane: LaneName) -> Counted {
        self.instance(lane, "waiting")
    }

    /// Counts an instance that is in use.
    pub(crate) fn in_use(&self, lane: LaneName) -> Counted {
        self.instance(lane, "in-use")
    }

    fn instance(&self, lane: LaneName, state: &'static str) -> Counted {
        let gauge = self.record(|| gauge!(INSTANCES, "lane" => lane.as_str(), "state" => state));
        gauge.increment(1.0);
        Counted(gauge)
    }
}

/// Measures each access to a storage.
#[async_trait]
impl Interceptor for HostMetrics {
    async fn passage(&self, _: Access<'_>, _: &dyn HostStorage) -> Passage {
        Passage::Forward
    }

    fn answered(&self, method: &'static str, is_ok: bool, took: Duration) {
        let result = if is_ok { "ok" } else { "error" };
        self.record(|| histogram!(STORAGE_SECONDS, "method" => method, "result" => result).record(took));
    }

    /// A joint read is one access, so it is measured as one.
    fn sees_joint_reads(&self) -> bool {
        true
    }
}

/// Returns the name of an endpoint of TikTok Shop. All paths that a platform chooses are one endpoint, because they
/// contain ids.
pub(crate) fn endpoint_of(authority: Authority, path: &str) -> &'static str {
    match (authority, path) {
        (Authority::Auth, "/api/v2/token/get") => "token-get",
        (Authority::Auth, "/api/v2/token/refresh") => "token-refresh",
        (Authority::Auth, _) => "token-other",
        (Authority::Api, "/authorization/202309/shops") => "authorized-shops",
        (Authority::Api, "/authorization/202403/shops") => "deauthorize",
        (Authority::Api, _) => "api",
    }
}
