//! Why a call fails. Either the connector returned an error, or the host could not run the call to its end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tiktok_shop_connector_core::error::{Action as CoreAction, Cause, Error as CoreError};

use crate::egress::ProxyError;
use crate::storage::StorageError;

/// The name and version of a component, from its exports, such as `tiktok-shop:connector@0.2.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin(Arc<str>);

impl Plugin {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The connector answered with an error, which says what to do next.
    #[error(transparent)]
    Connector(ConnectorError),
    /// The guest trapped, which is a bug in the guest. The instance of the guest is discarded. The host continues.
    #[error("{plugin}: {trap}")]
    Trapped {
        /// The component.
        plugin: Plugin,
        /// Where and why the guest trapped.
        trap: Trap,
    },
    /// The call took too long, and the host ended it. It is unknown whether the call took effect.
    #[error("{plugin}: not done within {} s", .deadline.as_secs_f64())]
    DeadlineExceeded {
        /// The component.
        plugin: Plugin,
        /// The deadline of the whole call.
        deadline: Duration,
    },
    /// The guest reached a limit, and the host ended the call.
    #[error("{plugin}: used up its {resource}")]
    Exhausted {
        /// The component.
        plugin: Plugin,
        /// The resource that the limit restricts.
        resource: Resource,
    },
    /// The guest returned a value that the contract forbids, which is a bug in the guest.
    #[error("{plugin}: broke the contract: {what}")]
    ContractBroken {
        /// The component.
        plugin: Plugin,
        /// The rule that the value breaks.
        what: &'static str,
    },
    /// The call waited too long for its tenant's turn: all instances were in use, or the tenant used its whole share of
    /// the instances. The call did not start. Call again later.
    #[error("{plugin}: no instance became free in time")]
    Busy {
        /// The component.
        plugin: Plugin,
    },
    /// The host's source of randomness failed. The call did not start. Call again later.
    #[error("{plugin}: no randomness to start with")]
    NoRandomness {
        /// The component.
        plugin: Plugin,
    },
    /// The storage could not store the event that says who used a secret and why, so the host withheld the result.
    /// Restore the storage, then call again.
    #[error("{plugin}: the event of this use could not be stored: {why}")]
    NotRecorded {
        /// The component.
        plugin: Plugin,
        /// The error of the storage.
        why: StorageError,
    },
    /// The call ended without a result: the tokio runtime is shutting down, code of the host panicked, or a crash test
    /// ended the call.
    #[error("{plugin}: the call ended without a result")]
    Aborted {
        /// The component.
        plugin: Plugin,
    },
}

impl CallError {
    /// Returns a short name of the error, for counting and for programs: the code of the connector's error, or a word
    /// for the host's own error.
    #[must_use]
    pub fn code(&self) -> &str {
        if let Self::Connector(error) = self { &error.failure.code } else { self.known_code() }
    }

    /// Returns the code as a label of a metric. A code that this release does not know is `other`, because a component
    /// could invent any number of codes, and each would be a series.
    #[must_use]
    pub fn known_code(&self) -> &'static str {
        match self {
            Self::Connector(error) => {
                let codes = Cause::ALL.iter().map(|cause| cause.code());
                codes.into_iter().find(|known| *known == error.failure.code).unwrap_or("other")
            }
            Self::Trapped { .. } => "trapped",
            Self::DeadlineExceeded { .. } => "deadline-exceeded",
            Self::Exhausted { .. } => "exhausted",
            Self::ContractBroken { .. } => "contract-broken",
            Self::Busy { .. } => "busy",
            Self::NoRandomness { .. } => "no-randomness",
            Self::NotRecorded { .. } => "event-not-stored",
            Self::Aborted { .. } => "aborted",
        }
    }
}

/// An error that the connector returned. This type mirrors `error` in `wit/types.wit`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{plugin}: {action}: {failure}")]
pub struct ConnectorError {
    pub(crate) plugin: Plugin,
    pub(crate) action: Action,
    pub(crate) failure: Failure,
    /// The error is in a box, because otherwise it would make every `Result` of a call larger.
    pub(crate) proxy_error: Option<Box<ProxyError>>,
}

impl ConnectorError {
    /// Converts an error of a check that the host itself makes, with code that the host shares with the connector.
    pub(crate) fn from_core(plugin: Plugin, error: &CoreError) -> Self {
        let action = match error.cause.action() {
            CoreAction::RetryAfter => Action::RetryAfter(error.delay),
            CoreAction::Reauthorize => Action::Reauthorize,
            CoreAction::Misconfigured => Action::Misconfigured,
            CoreAction::InvalidRequest => Action::InvalidRequest,
            CoreAction::Upstream => Action::Upstream,
            CoreAction::StorageConflict => Action::StorageConflict,
            CoreAction::StorageFailed => Action::StorageFailed,
            CoreAction::Internal => Action::Internal,
        };
        let failure = Failure {
            code: error.cause.code().to_owned(),
            detail: error.detail(),
            http_status: error.http_status,
            request_id: error.request_id.clone(),
        };
        Self { plugin, action, failure, proxy_error: None }
    }

    /// If the connector reports that it did not reach TikTok Shop, adds the reason why the proxy gave no connection.
    /// Also replaces the detail, because the connector does not know the proxy and can't name it.
    pub(crate) fn with_proxy_error(mut self, proxy_error: Option<ProxyError>) -> Self {
        if let Some(error) = proxy_error.filter(|_| self.failure.code == Cause::TikTokUnreachable.code()) {
            self.failure.detail = format!("Nothing was sent to TikTok Shop: {error}.");
            self.proxy_error = Some(Box::new(error));
        }
        self
    }

    /// Returns what the host should do next.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Returns what happened.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Returns why the forward proxy gave no connection to TikTok Shop. `None` if the error has another reason, or if
    /// no proxy is used.
    #[must_use]
    pub fn proxy_error(&self) -> Option<&ProxyError> {
        self.proxy_error.as_deref()
    }

    /// Returns how long to wait before the call is repeated, at most one hour. `None` if the action is not
    /// [`Action::RetryAfter`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.action {
            Action::RetryAfter(pause) => Some(pause),
            Action::Reauthorize
            | Action::Misconfigured
            | Action::InvalidRequest
            | Action::Upstream
            | Action::StorageConflict
            | Action::StorageFailed
            | Action::Internal => None,
        }
    }
}

/// What the host should do next. No action is added within a major version, so match every action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Call again with the same arguments after this pause.
    RetryAfter(Duration),
    /// Ask the seller for a new consent.
    Reauthorize,
    /// Ask an operator to correct the app key, the secret, the scope, the clock or the allow list. Do not call again.
    Misconfigured,
    /// Correct the arguments.
    InvalidRequest,
    /// Show the error, and do not repeat the call automatically. TikTok Shop refused the request, or its answer broke
    /// the protocol, or it is unknown whether TikTok Shop acted.
    Upstream,
    /// Call again. Other writers were faster several times, and nothing was written.
    StorageConflict,
    /// Restore the storage, then call again.
    StorageFailed,
    /// Report a bug in the connector.
    Internal,
}

impl Action {
    /// Returns the name of the action in WIT.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetryAfter(_) => "retry-after",
            Self::Reauthorize => "reauthorize",
            Self::Misconfigured => "misconfigured",
            Self::InvalidRequest => "invalid-request",
            Self::Upstream => "upstream",
            Self::StorageConflict => "storage-conflict",
            Self::StorageFailed => "storage-failed",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if let Self::RetryAfter(pause) = self {
            write!(f, " {} ms", pause.as_millis())?;
        }
        Ok(())
    }
}

/// What happened, for counting and for support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A code from the list in `docs/errors.md`. Later versions add codes to the list. Use a code for counting. Branch
    /// only on the codes in [`codes`].
    pub code: String,
    /// An English text without secrets, for a log. Do not parse it.
    pub detail: String,
    /// The HTTP status of TikTok's answer, if TikTok answered.
    pub http_status: Option<u16>,
    /// TikTok's id of the request, if TikTok sent one.
    pub request_id: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)?;
        if let Some(status) = self.http_status {
            write!(f, " (HTTP {status})")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

/// The codes on which a host may branch. They do not change within a major version.
pub mod codes {
    pub use tiktok_shop_connector_core::error::code::*;
}

/// A resource that a limit restricts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Handles to requests, bodies, header fields and pollables.
    Handles,
    /// The size of one set of HTTP header fields.
    HeaderBytes,
    /// The bytes that one host call, or the result of the whole call, copies out of the guest.
    HostcallBytes,
    /// Linear memory: the sum over all memories of the guest.
    Memory,
    /// The random bytes of one request of the guest.
    RandomBytes,
    /// The stack of nested calls, 512 KiB.
    Stack,
    /// The elements of one table.
    Table,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "time on the processor",
            Self::Handles => "handles",
            Self::HeaderBytes => "header fields",
            Self::HostcallBytes => "bytes of one host call",
            Self::Memory => "memory",
            Self::RandomBytes => "random bytes",
            Self::Stack => "stack",
            Self::Table => "table elements",
        })
    }
}

/// Where and why a guest trapped. It contains wasmtime's fixed texts and the names of functions, but nothing from the
/// guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    reason: String,
    functions: Vec<String>,
}

impl Trap {
    pub(crate) fn new(reason: String, functions: Vec<String>) -> Self {
        Self { reason, functions }
    }

    /// Returns wasmtime's text for the trap.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the guest's functions on the stack, innermost first. Empty if the component contains no names.
    #[must_use]
    pub fn functions(&self) -> &[String] {
        &self.functions
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if let Some(innermost) = self.functions.first() {
            write!(f, " in {innermost}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::ConsentError;
    use crate::install::InstallError;

    #[test]
    fn a_code_that_this_release_does_not_know_is_no_label_of_its_own() {
        for (code, label) in [("invented", "other"), (codes::NOT_CONNECTED, codes::NOT_CONNECTED)] {
            let failure = Failure { code: code.to_owned(), detail: String::new(), http_status: None, request_id: None };
            let (plugin, action) = (Plugin::new("plugin"), Action::InvalidRequest);
            let error = CallError::Connector(ConnectorError { plugin, action, failure, proxy_error: None });
            assert_eq!((error.code(), error.known_code()), (code, label));
            let error = ConsentError::Call(error);
            assert_eq!((error.code(), error.known_code()), (code, label));
            let ConsentError::Call(error) = error else { panic!("{error}") };
            let error = InstallError::Call(error);
            assert_eq!((error.code(), error.known_code()), (code, label));
        }
        let busy = CallError::Busy { plugin: Plugin::new("plugin") };
        assert_eq!((busy.code(), busy.known_code()), ("busy", "busy"));
        assert_eq!(
            (ConsentError::StateUsed.code(), ConsentError::StateUsed.known_code()),
            ("state-used", "state-used")
        );
    }
}
