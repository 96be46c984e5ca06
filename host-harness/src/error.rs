//! How a call can end badly. What the connector answered and what happened to the connector are kept apart.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The plugin and its version, as its component says (`tiktok-shop:connector@0.1.0`).
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

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The connector answered with an error that says what to do next.
    #[error(transparent)]
    Connector(ConnectorError),
    /// The guest trapped: a bug in it. The instance is gone, the host goes on.
    #[error("{plugin}: {trap}")]
    Trapped {
        /// Who trapped.
        plugin: Plugin,
        /// Where and why.
        trap: Trap,
    },
    /// The call was not done in time and was ended. Whether it took effect is unknown.
    #[error("{plugin}: not done within {} s", .deadline.as_secs_f64())]
    DeadlineExceeded {
        /// Who was late.
        plugin: Plugin,
        /// The deadline of the whole call.
        deadline: Duration,
    },
    /// The guest asked for more than the host gives, and was ended.
    #[error("{plugin}: used up its {resource}")]
    Exhausted {
        /// Who asked.
        plugin: Plugin,
        /// For what.
        resource: Resource,
    },
    /// The guest answered with a value that the contract rules out. A bug in it.
    #[error("{plugin}: broke the contract: {what}")]
    ContractBroken {
        /// Who broke it.
        plugin: Plugin,
        /// Which rule.
        what: &'static str,
    },
    /// No instance became free in time. Nothing was started; call again later.
    #[error("{plugin}: no instance became free in time")]
    Busy {
        /// Who is busy.
        plugin: Plugin,
    },
    /// The host's source of randomness failed. Nothing was started; call again later.
    #[error("{plugin}: no randomness to start with")]
    NoRandomness {
        /// Who was to start.
        plugin: Plugin,
    },
    /// The call ended without a result: the runtime is shutting down, a part of the host panicked, or a crash test ended it.
    #[error("{plugin}: the call ended without a result")]
    Aborted {
        /// Whose call it was.
        plugin: Plugin,
    },
}

/// What the connector answered instead of a result. Mirrors `error` in `wit/types.wit`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{plugin}: {action}: {failure}")]
pub struct ConnectorError {
    pub(crate) plugin: Plugin,
    pub(crate) action: Action,
    pub(crate) failure: Failure,
}

impl ConnectorError {
    /// What the host should do next.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// What happened.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// How long to wait before the same call may be made again: at most an hour. `None` if repeating it is no remedy.
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

/// What the host should do next. Closed within a major version; match every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Call again with the same arguments, not before this pause is over.
    RetryAfter(Duration),
    /// Ask the seller for a new consent.
    Reauthorize,
    /// Have an operator fix app key, secret, scope, clock or allow list. Do not retry.
    Misconfigured,
    /// Correct the arguments.
    InvalidRequest,
    /// Show it. TikTok Shop refused, broke protocol, or nobody knows whether it acted; do not loop.
    Upstream,
    /// Call again: a race was lost repeatedly, and nothing was written.
    StorageConflict,
    /// Restore storage, then call again.
    StorageFailed,
    /// Report a bug in the connector.
    Internal,
}

impl Action {
    /// The case's name in WIT.
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
    /// From the documented, growing list. Count it; do not branch on it.
    pub code: String,
    /// English, without secrets. For a log, not for matching on.
    pub detail: String,
    /// The status of TikTok's answer, if there was one.
    pub http_status: Option<u16>,
    /// TikTok's id of the request, if it gave one.
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

/// What a guest can use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Time on the processor.
    Cpu,
    /// Handles: requests, bodies, header fields, things to wait for.
    Handles,
    /// Size of one set of HTTP header fields.
    HeaderBytes,
    /// What one call between guest and host may carry.
    HostcallBytes,
    /// Linear memory, over all memories together.
    Memory,
    /// Random bytes that it gets at once.
    RandomBytes,
    /// Nested calls: 512 KiB of stack.
    Stack,
    /// Elements of one table.
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

/// Where and why a guest trapped. Holds the runtime's fixed words and function names, nothing from the guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    reason: String,
    functions: Vec<String>,
}

impl Trap {
    /// Reads a runtime error. Only the closed list of trap codes is quoted: any other text may hold what the guest
    /// passed to the host.
    pub(crate) fn from_error(error: &wasmtime::Error) -> Self {
        let reason = error
            .downcast_ref::<wasmtime::Trap>()
            .map_or_else(|| "wasm trap: stopped at the boundary to the host".to_owned(), ToString::to_string);
        let functions = error.downcast_ref::<wasmtime::WasmBacktrace>().map_or_else(Vec::new, |backtrace| {
            backtrace.frames().iter().filter_map(|frame| frame.func_name().map(str::to_owned)).collect()
        });
        Self { reason, functions }
    }

    /// The runtime's words for it.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The guest's functions at the time, innermost first; empty if the component was stripped of names.
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
