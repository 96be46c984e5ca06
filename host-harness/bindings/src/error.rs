//! The error of every request. Its action says what the caller does next.

use std::time::Duration;

use serde_json::{Value, json};
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::error::{Action, ConnectorError};
use tiktok_shop_host::export_grant::ExportError;
use tiktok_shop_host::install::InstallError;
use tiktok_shop_host::seal::{KeyError, RotationError};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{CallError, InvalidId};

/// If a call could not begin, the caller may make it again after this pause.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// The error of a request. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct BindingError {
    /// The next step of the caller. Errors of the host have the same actions as errors of the connector.
    pub action: Action,
    /// The cause. `docs/errors.md` lists the codes, and names those on which a program may branch. The others are for
    /// counting and for support. Later versions add codes.
    pub code: String,
    /// What happened, as an English text for a log.
    pub message: String,
    /// The HTTP status of TikTok Shop's answer, if TikTok Shop answered.
    pub tiktok_http_status: Option<u16>,
    /// TikTok Shop's id of the request.
    pub tiktok_request_id: Option<String>,
}

impl BindingError {
    pub(crate) fn new(action: Action, code: &str, message: impl Into<String>) -> Self {
        Self {
            action,
            code: code.to_owned(),
            message: message.into(),
            tiktok_http_status: None,
            tiktok_request_id: None,
        }
    }

    /// The code of an error about arguments or options.
    pub const INVALID_ARGUMENT: &str = "invalid-argument";

    /// The arguments or options are wrong. The text names the rule, and contains no value, because a value may be
    /// secret.
    pub(crate) fn arguments(message: impl Into<String>) -> Self {
        Self::new(Action::InvalidRequest, Self::INVALID_ARGUMENT, message)
    }

    /// The host can't be opened with these settings.
    pub(crate) fn settings(code: &str, message: impl Into<String>) -> Self {
        Self::new(Action::Misconfigured, code, message)
    }

    /// Creates the error for a bug in the host library, or in the package that calls it from another language.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Action::Internal, "internal", message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(Action::InvalidRequest, "host-closed", "this host is closed; open another one")
    }

    /// Creates the error of a request in a process that was forked after a host was opened. The threads of hosts, and
    /// those that compile the component, do not exist in it.
    #[must_use]
    pub fn forked() -> Self {
        let text = "this process was forked after a host was opened; fork first, and then open a host in each process";
        Self::settings("process-forked", text)
    }

    /// Returns how long the caller must wait before it repeats the call. `None` if it must not repeat the call.
    fn retry_after(&self) -> Option<Duration> {
        match self.action {
            Action::RetryAfter(pause) => Some(pause),
            Action::StorageConflict => Some(Duration::ZERO),
            Action::Reauthorize
            | Action::Misconfigured
            | Action::InvalidRequest
            | Action::Upstream
            | Action::StorageFailed
            | Action::Internal => None,
        }
    }

    /// Returns the error as JSON: `action`, `code`, `message`, `retry_after_ms`, `tiktok_http_status` and
    /// `tiktok_request_id`. The last three may be `null`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let pause = self.retry_after().map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        json!({
            "action": self.action.as_str(),
            "code": self.code,
            "message": self.message,
            "retry_after_ms": pause,
            "tiktok_http_status": self.tiktok_http_status,
            "tiktok_request_id": self.tiktok_request_id,
        })
    }
}

impl From<&ConnectorError> for BindingError {
    fn from(error: &ConnectorError) -> Self {
        let failure = error.failure();
        Self {
            tiktok_http_status: failure.http_status,
            tiktok_request_id: failure.request_id.clone(),
            ..Self::new(error.action(), &failure.code, failure.detail.clone())
        }
    }
}

impl From<CallError> for BindingError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "it is unknown whether a call with a later kind of error acted")]
    fn from(error: CallError) -> Self {
        let (code, message) = (error.code().to_owned(), error.to_string());
        let of = |action| Self::new(action, &code, message);
        match error {
            CallError::Connector(error) => (&error).into(),
            CallError::Trapped { .. } | CallError::Exhausted { .. } | CallError::ContractBroken { .. } => {
                of(Action::Internal)
            }
            CallError::Busy { .. } | CallError::NoRandomness { .. } => of(Action::RetryAfter(SHORT_PAUSE)),
            CallError::NotRecorded { .. } => of(Action::StorageFailed),
            // It is unknown whether the call took effect.
            _ => of(Action::Upstream),
        }
    }
}

impl From<StorageError> for BindingError {
    fn from(error: StorageError) -> Self {
        Self::new(Action::StorageFailed, error.code(), error.to_string())
    }
}

impl From<ConsentError> for BindingError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error concerns the callback in the browser")]
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Storage(error) => error.into(),
            ConsentError::Call(error) => error.into(),
            // The seller can open the same link again.
            ConsentError::Malformed => Self::new(Action::InvalidRequest, error.code(), error.to_string()),
            other => Self::new(Action::Reauthorize, other.code(), other.to_string()),
        }
    }
}

impl From<InstallError> for BindingError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library decides the action of its own errors")]
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Storage(error) => error.into(),
            InstallError::Call(error) => error.into(),
            own => Self::new(own.own_action().unwrap_or(Action::Upstream), own.code(), own.to_string()),
        }
    }
}

impl From<ExportError> for BindingError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a later kind of error is a refusal, too")]
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Call(error) => error.into(),
            other => Self::new(Action::Misconfigured, other.code(), other.to_string()),
        }
    }
}

impl From<RotationError> for BindingError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error concerns the settings of the host keys")]
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Storage(error) => error.into(),
            // A call has the same error. The key service may answer later, so the settings need no correction.
            RotationError::Key(error @ KeyError::Unavailable { .. }) => StorageError::from(error).into(),
            RotationError::Busy(_) => {
                Self::new(Action::RetryAfter(Duration::from_secs(60)), "data-key-busy", error.to_string())
            }
            other => Self::settings("host-keys", other.to_string()),
        }
    }
}

impl From<InvalidId> for BindingError {
    fn from(error: InvalidId) -> Self {
        Self::arguments(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_browser_says_whether_a_new_consent_is_needed() {
        for (error, action, code) in [
            (ConsentError::StateMismatch, Action::Reauthorize, "state-mismatch"),
            (ConsentError::StateUsed, Action::Reauthorize, "state-used"),
            (ConsentError::Malformed, Action::InvalidRequest, "callback-malformed"),
            (StorageError::Unavailable("away".to_owned()).into(), Action::StorageFailed, "storage-unavailable"),
        ] {
            let error = BindingError::from(error);
            assert_eq!((error.action, error.code.as_str()), (action, code));
        }
        for (error, action, code) in [
            (InstallError::Unknown, Action::Reauthorize, "install-unknown"),
            (InstallError::Expired, Action::Reauthorize, "install-expired"),
            (InstallError::OtherCustomer, Action::InvalidRequest, "other-customer"),
            (InstallError::Confirmed, Action::InvalidRequest, "install-confirmed"),
        ] {
            let error = BindingError::from(error);
            assert_eq!((error.action, error.code.as_str()), (action, code));
        }
    }

    #[test]
    fn the_json_of_an_error_has_all_members() {
        let json = BindingError::new(Action::RetryAfter(SHORT_PAUSE), "busy", "no instance is free").to_json();
        let expected = json!({
            "action": "retry-after",
            "code": "busy",
            "message": "no instance is free",
            "retry_after_ms": 1000,
            "tiktok_http_status": null,
            "tiktok_request_id": null,
        });
        assert_eq!(json, expected);
    }
}
