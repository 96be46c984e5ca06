//! What a call leaves in the log: a span that names it, and one event at its end.
//!
//! Identifiers and texts are recorded as strings, which subscribers escape: none of them can forge a line. The answer
//! itself is logged at `TRACE`, by its `Debug`, which shows no secret.

use std::fmt::Debug;

use tokio::time::Instant;
use tracing::{Level, Span, field};

use crate::error::{Action, CallError, ConnectorError};
use crate::id::{AccountId, CustomerId};
use crate::imports::Scope;

/// The exports of the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    AuthorizationUrl,
    Connect,
    Refresh,
    ListShops,
    ListConnections,
    AccessToken,
    Call,
    LinkShops,
    Disconnect,
    ReceiveWebhook,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationUrl => "authorization-url",
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::ListShops => "list-shops",
            Self::ListConnections => "list-connections",
            Self::AccessToken => "access-token",
            Self::Call => "call",
            Self::LinkShops => "link-shops",
            Self::Disconnect => "disconnect",
            Self::ReceiveWebhook => "receive-webhook",
        }
    }

    /// What changes a connection is worth a line in production, what only reads is not.
    fn level_of_success(self) -> Level {
        match self {
            Self::Connect | Self::Refresh | Self::LinkShops | Self::Disconnect => Level::INFO,
            Self::AuthorizationUrl
            | Self::ListShops
            | Self::ListConnections
            | Self::AccessToken
            | Self::Call
            | Self::ReceiveWebhook => Level::DEBUG,
        }
    }
}

/// One call, from its begin.
pub(crate) struct CallLog {
    operation: Operation,
    span: Span,
    started: Instant,
}

/// `tracing` wants to know the level when it is compiled.
macro_rules! event {
    ($level:expr, $($fields:tt)*) => {
        match $level {
            Level::ERROR => tracing::error!($($fields)*),
            Level::WARN => tracing::warn!($($fields)*),
            Level::INFO => tracing::info!($($fields)*),
            _ => tracing::debug!($($fields)*),
        }
    };
}

impl CallLog {
    pub(crate) fn begin(operation: Operation, scope: &Scope, account: Option<&AccountId>) -> Self {
        // At the highest level, so that whoever sees only errors sees whose they are.
        let span = tracing::error_span!(
            "call",
            operation = operation.as_str(),
            tenant = scope.tenant.as_str(),
            customer = scope.customer().map(CustomerId::as_str),
            account = account.map(AccountId::as_str),
        );
        Self { operation, span, started: Instant::now() }
    }

    /// For what happens during the call.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Logs how it ended, and hands that on.
    pub(crate) fn end<T: Debug>(self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        let _entered = self.span.enter();
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Ok(_) => event!(self.operation.level_of_success(), outcome = "done", elapsed_ms, "call ended"),
            Err(error) => failed(error, elapsed_ms),
        }
        tracing::trace!(answer = ?outcome, "answer");
        outcome
    }
}

/// A connector's own error asks the host for something; anything else is a fault of the connector or of this machine.
fn failed(error: &CallError, elapsed_ms: u64) {
    let (level, outcome) = match error {
        CallError::Connector(error) if error.action() == Action::Internal => (Level::ERROR, "internal"),
        CallError::Connector(error) => (Level::WARN, error.action().as_str()),
        CallError::Busy { .. } => (Level::WARN, "busy"),
        CallError::Trapped { .. } => (Level::ERROR, "trapped"),
        CallError::DeadlineExceeded { .. } => (Level::ERROR, "deadline-exceeded"),
        CallError::Exhausted { .. } => (Level::ERROR, "exhausted"),
        CallError::ContractBroken { .. } => (Level::ERROR, "contract-broken"),
        CallError::NoRandomness { .. } => (Level::ERROR, "no-randomness"),
        CallError::Aborted { .. } => (Level::ERROR, "aborted"),
    };
    let answer = if let CallError::Connector(error) = error { Some(error) } else { None };
    let failure = answer.map(ConnectorError::failure);
    let pause = answer.and_then(ConnectorError::retry_after);
    let trap = if let CallError::Trapped { trap, .. } = error { Some(trap) } else { None };
    event!(
        level,
        outcome,
        code = failure.map(|failure| failure.code.as_str()),
        http_status = failure.and_then(|failure| failure.http_status),
        request_id = failure.and_then(|failure| failure.request_id.as_deref()),
        retry_after_ms = pause.and_then(|pause| u64::try_from(pause.as_millis()).ok()),
        functions = trap.map(|trap| field::debug(trap.functions())),
        elapsed_ms,
        error = error.to_string(),
        "call ended"
    );
}

#[cfg(test)]
pub(crate) mod tests;
