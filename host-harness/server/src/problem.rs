//! Errors of the API: problem details (RFC 9457). One table decides the HTTP status of every error.

mod two_steps;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tiktok_shop_host::CallError;
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::error::{Action, ConnectorError, codes};
use tiktok_shop_host::list::RowFault;
use tiktok_shop_host::storage::StorageError;
use utoipa::ToSchema;

use crate::api_key::Scope;
use crate::limits::Exceeded;

/// The pause after which a call that did not start can be tried again.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// Why a request failed. It is in a box, because otherwise it would make every `Result` of a handler larger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(Box<ProblemDetails>, Next);

/// Why a request failed. The body of every answer that is neither a result nor an answer of TikTok Shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ProblemDetails {
    /// The kind of the problem: `urn:tiktok-shop-connector:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What to do next, in one sentence.
    title: &'static str,
    /// The HTTP status of the answer.
    status: u16,
    /// What happened. An English text without secrets, for a log. Do not parse it.
    detail: String,
    /// What to do next: `retry-after`, `reauthorize`, `misconfigured`, `invalid-request`, `upstream`,
    /// `storage-conflict`, `storage-failed` or `internal`. Programs branch on it.
    #[schema(example = "retry-after")]
    action: &'static str,
    /// The cause. Programs may branch on the codes that errors.md names. The others are for counting and for support.
    /// Later versions add codes.
    code: String,
    /// The pause before the same request may be repeated, in milliseconds. Missing if the action is not `retry-after`
    /// or `storage-conflict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The HTTP status of TikTok Shop's answer, if TikTok Shop answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    tiktok_http_status: Option<u16>,
    /// TikTok Shop's id of the request, for TikTok Shop's support.
    #[serde(skip_serializing_if = "Option::is_none")]
    tiktok_request_id: Option<String>,
}

/// What the caller does next. These are the actions of the connector; errors of the service and of the host use them,
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    RetryAfter,
    Reauthorize,
    Misconfigured,
    InvalidRequest,
    Upstream,
    StorageConflict,
    StorageFailed,
    Internal,
}

/// Whether a request that ended in a problem may have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changed nothing, or the same request may be repeated.
    None,
    Unknown,
}

impl Next {
    /// All steps. Databases contain the index of a step in this list. So add a new step only at the end.
    pub(crate) const ALL: [Self; 8] = [
        Self::RetryAfter,
        Self::Reauthorize,
        Self::Misconfigured,
        Self::InvalidRequest,
        Self::Upstream,
        Self::StorageConflict,
        Self::StorageFailed,
        Self::Internal,
    ];

    const fn effect(self) -> Effect {
        match self {
            Self::Upstream | Self::Internal => Effect::Unknown,
            Self::RetryAfter
            | Self::Reauthorize
            | Self::Misconfigured
            | Self::InvalidRequest
            | Self::StorageConflict
            | Self::StorageFailed => Effect::None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RetryAfter => "retry-after",
            Self::Reauthorize => "reauthorize",
            Self::Misconfigured => "misconfigured",
            Self::InvalidRequest => "invalid-request",
            Self::Upstream => "upstream",
            Self::StorageConflict => "storage-conflict",
            Self::StorageFailed => "storage-failed",
            Self::Internal => "internal",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::RetryAfter => "Repeat the same request after the pause.",
            Self::Reauthorize => "Ask the seller for a new consent.",
            Self::Misconfigured => "An operator must correct the settings.",
            Self::InvalidRequest => "Correct the request.",
            Self::Upstream => "Show the error, and do not repeat the request automatically.",
            Self::StorageConflict => "Repeat the same request.",
            Self::StorageFailed => "An operator must restore the storage. Then repeat the request.",
            Self::Internal => "Report a bug.",
        }
    }
}

impl Problem {
    fn new(status: StatusCode, next: Next, code: &str, detail: impl Into<String>) -> Self {
        let details = ProblemDetails {
            kind: format!("urn:tiktok-shop-connector:problem:{code}"),
            title: next.title(),
            status: status.as_u16(),
            detail: detail.into(),
            action: next.as_str(),
            code: code.to_owned(),
            retry_after_ms: None,
            tiktok_http_status: None,
            tiktok_request_id: None,
        };
        Self(Box::new(details), next)
    }

    fn after(mut self, pause: Duration) -> Self {
        self.0.retry_after_ms = Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Returns the body of the answer.
    pub(crate) fn into_details(self) -> ProblemDetails {
        *self.0
    }

    pub(crate) const fn next(&self) -> Next {
        self.1
    }

    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    pub(crate) fn unknown_route() -> Self {
        let detail = "there is no such address; /openapi.json lists the addresses";
        Self::new(StatusCode::NOT_FOUND, Next::InvalidRequest, "unknown-route", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "this address has other methods; the header Allow lists them";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Next::InvalidRequest, "method-not-allowed", detail)
    }

    /// The text names the form that the parameter must have. It must not contain the parameter's value.
    pub(crate) fn invalid_parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Next::InvalidRequest, "invalid-parameter", detail)
    }

    /// The text says where the body is wrong. It must not contain a value, because a value may be a secret.
    pub(crate) fn malformed_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Next::InvalidRequest, "malformed-body", detail)
    }

    pub(crate) fn unsupported_media_type() -> Self {
        let detail = "send the body as JSON, with the header Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Next::InvalidRequest, "unsupported-media-type", detail)
    }

    pub(crate) fn body_too_large(max: usize) -> Self {
        let detail = format!("the body has more than {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Next::InvalidRequest, "body-too-large", detail)
    }

    pub(crate) fn head_too_large(max: usize) -> Self {
        let detail = format!("the headers of the request have more than {max} bytes");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Next::InvalidRequest, "head-too-large", detail)
    }

    pub(crate) fn body_not_received() -> Self {
        let detail = "the body did not arrive completely and in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, Next::InvalidRequest, "body-not-received", detail)
    }

    pub(crate) fn unauthenticated() -> Self {
        let detail = "the request has no configured API key: send one in the header Authorization: Bearer ttsk_…; \
                      after a change of the keys, start the service again";
        Self::new(StatusCode::UNAUTHORIZED, Next::InvalidRequest, "unauthenticated", detail)
    }

    pub(crate) fn scope_missing(scope: Scope) -> Self {
        let detail = format!("the API key does not have the scope {scope}");
        Self::new(StatusCode::FORBIDDEN, Next::InvalidRequest, "scope-missing", detail)
    }

    pub(crate) fn limited(exceeded: Exceeded) -> Self {
        let (detail, pause) = match exceeded {
            Exceeded::Rate(pause) => ("the API key has sent too many requests in the last second", pause),
            Exceeded::InFlight => ("too many requests of the API key are running", SHORT_PAUSE),
        };
        Self::new(StatusCode::TOO_MANY_REQUESTS, Next::RetryAfter, "rate-limited", detail).after(pause)
    }

    /// The service receives as many webhooks as it may at the same time. TikTok Shop sends the webhook again.
    pub(crate) fn too_many_webhooks() -> Self {
        let detail = "the service is receiving too many webhooks at the same time";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Next::RetryAfter, "busy", detail).after(SHORT_PAUSE)
    }

    /// Something that the address names does not exist.
    pub(crate) fn not_found(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, Next::InvalidRequest, code, detail)
    }

    /// The body is well formed, and what it asks for is not allowed.
    pub(crate) fn refused(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Next::InvalidRequest, code, detail)
    }

    /// The connection exists, and its row can't be shown.
    pub(crate) fn left_out(fault: RowFault) -> Self {
        let detail = match fault {
            RowFault::Missing => "the row of the connection is missing; a refresh of the connection writes it again",
            RowFault::Changed => {
                "the row of the connection was changed in the database; an operator must restore it, or delete it and \
                 refresh the connection"
            }
            RowFault::Unreadable | _ => {
                "the row of the connection can't be decoded; a refresh of the connection says why"
            }
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Next::StorageFailed, fault.code(), detail)
    }

    pub(crate) fn invalid_cursor() -> Self {
        Self::refused("invalid-cursor", "cursor: not a next_cursor of this list")
    }

    /// The first request with the same idempotency key is running.
    pub(crate) fn still_running() -> Self {
        let detail = "the first request with this Idempotency-Key is still running";
        Self::new(StatusCode::CONFLICT, Next::RetryAfter, "idempotency-in-progress", detail).after(SHORT_PAUSE)
    }

    /// The answer to the first request with the same idempotency key is not known.
    pub(crate) fn outcome_unknown(detail: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, Next::Upstream, "idempotency-outcome-unknown", detail)
    }

    pub(crate) fn no_randomness() -> Self {
        let detail = "the system has no randomness now";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Next::RetryAfter, "no-randomness", detail).after(SHORT_PAUSE)
    }

    pub(crate) fn internal() -> Self {
        let detail = "the request ended without a result; the log of the service has the reason";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Next::Internal, "internal", detail)
    }
}

/// Returns the status of an error of the connector, what the caller does next, and the pause before that.
fn of_action(action: Action, code: &str) -> (StatusCode, Next, Option<Duration>) {
    match action {
        Action::RetryAfter(pause) => (StatusCode::SERVICE_UNAVAILABLE, Next::RetryAfter, Some(pause)),
        Action::Reauthorize => (StatusCode::CONFLICT, Next::Reauthorize, None),
        Action::Misconfigured => (StatusCode::INTERNAL_SERVER_ERROR, Next::Misconfigured, None),
        Action::InvalidRequest if code == codes::NOT_CONNECTED => (StatusCode::NOT_FOUND, Next::InvalidRequest, None),
        Action::InvalidRequest => (StatusCode::UNPROCESSABLE_ENTITY, Next::InvalidRequest, None),
        Action::Upstream => (StatusCode::BAD_GATEWAY, Next::Upstream, None),
        Action::StorageConflict => (StatusCode::SERVICE_UNAVAILABLE, Next::StorageConflict, Some(SHORT_PAUSE)),
        Action::StorageFailed => (StatusCode::SERVICE_UNAVAILABLE, Next::StorageFailed, None),
        Action::Internal => (StatusCode::INTERNAL_SERVER_ERROR, Next::Internal, None),
    }
}

impl From<&ConnectorError> for Problem {
    fn from(error: &ConnectorError) -> Self {
        let failure = error.failure();
        let (status, next, pause) = of_action(error.action(), &failure.code);
        let mut problem = Self::new(status, next, &failure.code, failure.detail.clone());
        problem.0.tiktok_http_status = failure.http_status;
        problem.0.tiktok_request_id.clone_from(&failure.request_id);
        match pause {
            Some(pause) => problem.after(pause),
            None => problem,
        }
    }
}

impl From<CallError> for Problem {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a later kind of error of the host has no rule of its own here")]
    fn from(error: CallError) -> Self {
        let (status, next, pause) = match &error {
            CallError::Connector(error) => return error.into(),
            CallError::Trapped { .. } | CallError::Exhausted { .. } | CallError::ContractBroken { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, Next::Internal, None)
            }
            // It is unknown whether the call took effect.
            CallError::DeadlineExceeded { .. } => (StatusCode::GATEWAY_TIMEOUT, Next::Upstream, None),
            CallError::Busy { .. } | CallError::NoRandomness { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, Next::RetryAfter, Some(SHORT_PAUSE))
            }
            CallError::NotRecorded { .. } => (StatusCode::SERVICE_UNAVAILABLE, Next::StorageFailed, None),
            // The service is ending, or the host has a bug. It is unknown whether the call took effect.
            _ => (StatusCode::INTERNAL_SERVER_ERROR, Next::Upstream, None),
        };
        let problem = Self::new(status, next, error.code(), error.to_string());
        match pause {
            Some(pause) => problem.after(pause),
            None => problem,
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Next::StorageFailed, error.code(), error.to_string())
    }
}

impl From<ConsentError> for Problem {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error is one of a callback, which is a page")]
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Storage(error) => error.into(),
            ConsentError::Call(error) => error.into(),
            other => Self::new(StatusCode::CONFLICT, Next::Reauthorize, other.code(), other.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(details, next) = self;
        let status = StatusCode::from_u16(details.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // The type contains only texts and numbers, so it can always be serialized.
        let body = serde_json::to_vec(&*details).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.extensions_mut().insert(next.effect());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(millis) = details.retry_after_ms {
            // The header counts whole seconds, so the pause is rounded up.
            headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Answers a request with a method that its address does not have. Keeps the header `Allow`.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}

/// Returns a problem with the methods that an address has.
pub(crate) fn only(methods: &'static str) -> Response {
    let mut response = Problem::method_not_allowed().into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A problem as a row of the table: status, action, code and pause.
    fn row(Problem(problem, _): &Problem) -> (u16, &'static str, &str, Option<u64>) {
        (problem.status, problem.action, &problem.code, problem.retry_after_ms)
    }

    #[test]
    fn every_problem_of_the_service_has_its_status_and_action() {
        let second = Duration::from_millis(1500);
        for (problem, expected) in [
            (Problem::unknown_route(), (404, "invalid-request", "unknown-route", None)),
            (Problem::method_not_allowed(), (405, "invalid-request", "method-not-allowed", None)),
            (Problem::invalid_parameter(""), (400, "invalid-request", "invalid-parameter", None)),
            (Problem::malformed_body(""), (400, "invalid-request", "malformed-body", None)),
            (Problem::unsupported_media_type(), (415, "invalid-request", "unsupported-media-type", None)),
            (Problem::body_too_large(7), (413, "invalid-request", "body-too-large", None)),
            (Problem::head_too_large(7), (431, "invalid-request", "head-too-large", None)),
            (Problem::body_not_received(), (408, "invalid-request", "body-not-received", None)),
            (Problem::unauthenticated(), (401, "invalid-request", "unauthenticated", None)),
            (Problem::scope_missing(Scope::Token), (403, "invalid-request", "scope-missing", None)),
            (Problem::limited(Exceeded::InFlight), (429, "retry-after", "rate-limited", Some(1000))),
            (Problem::limited(Exceeded::Rate(second)), (429, "retry-after", "rate-limited", Some(1500))),
            (Problem::too_many_webhooks(), (503, "retry-after", "busy", Some(1000))),
            (Problem::not_found("unknown-session", ""), (404, "invalid-request", "unknown-session", None)),
            (Problem::refused("return-address", ""), (422, "invalid-request", "return-address", None)),
            (Problem::invalid_cursor(), (422, "invalid-request", "invalid-cursor", None)),
            (Problem::still_running(), (409, "retry-after", "idempotency-in-progress", Some(1000))),
            (Problem::outcome_unknown(""), (409, "upstream", "idempotency-outcome-unknown", None)),
            (Problem::no_randomness(), (503, "retry-after", "no-randomness", Some(1000))),
            (Problem::internal(), (500, "internal", "internal", None)),
        ] {
            assert_eq!(row(&problem), expected);
        }
    }

    #[test]
    fn every_action_of_the_connector_has_its_status() {
        let pause = Duration::from_millis(1234);
        for (action, code, status, after) in [
            (Action::RetryAfter(pause), "rate-limited", 503, Some(pause)),
            (Action::Reauthorize, "authorization-revoked", 409, None),
            (Action::Misconfigured, "app-rejected", 500, None),
            (Action::InvalidRequest, "not-connected", 404, None),
            (Action::InvalidRequest, "call-malformed", 422, None),
            (Action::Upstream, "outcome-unknown", 502, None),
            (Action::StorageConflict, "storage-conflict", 503, Some(SHORT_PAUSE)),
            (Action::StorageFailed, "storage-unavailable", 503, None),
            (Action::Internal, "internal", 500, None),
        ] {
            let (found, next, found_pause) = of_action(action, code);
            assert_eq!((found.as_u16(), next.as_str(), found_pause), (status, action.as_str(), after), "{code}");
        }
    }

    #[test]
    fn every_error_of_a_storage_means_that_the_storage_failed() {
        for (error, code) in [
            (StorageError::Unavailable(String::new()), "storage-unavailable"),
            (StorageError::Refused(String::new()), "storage-refused"),
            (StorageError::KeyGone, "storage-refused"),
            (StorageError::RowChanged("revision".parse().unwrap()), "row-changed"),
        ] {
            assert_eq!(row(&error.clone().into()), (503, "storage-failed", code, None));
            assert_eq!(row(&ConsentError::Storage(error).into()), (503, "storage-failed", code, None));
        }
    }

    #[test]
    fn every_error_of_a_consent_that_is_no_call_asks_for_a_new_consent() {
        for error in [
            ConsentError::StateMismatch,
            ConsentError::OtherBrowser,
            ConsentError::StateUsed,
            ConsentError::StateExpired,
            ConsentError::Malformed,
        ] {
            let code = error.code().to_owned();
            assert_eq!(row(&error.into()), (409, "reauthorize", &*code, None));
        }
    }

    #[test]
    fn the_header_rounds_the_pause_up_to_whole_seconds() {
        for (millis, seconds) in [(1, "1"), (1000, "1"), (1001, "2"), (3_600_000, "3600")] {
            let response = Problem::internal().after(Duration::from_millis(millis)).into_response();
            assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), seconds);
        }
        let response = Problem::unauthenticated().into_response();
        assert_eq!(response.headers().get(WWW_AUTHENTICATE).unwrap(), "Bearer");
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/problem+json");
        assert!(response.headers().get(RETRY_AFTER).is_none());
    }

    #[test]
    fn every_action_has_a_title_of_its_own() {
        for (number, next) in Next::ALL.iter().enumerate() {
            assert!(Next::ALL.iter().take(number).all(|other| other.title() != next.title()));
        }
    }
}
