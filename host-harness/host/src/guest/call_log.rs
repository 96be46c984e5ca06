//! Logs each call: opens a span with the operation, the tenant and the customer, and logs one event when the call ends.
//!
//! Identifiers and texts are recorded as strings. Subscribers escape strings, so no text can forge a log line. The
//! answer is logged at `TRACE` with its `Debug` output, which shows no secret.

use std::fmt::Debug;

use tokio::time::Instant;
use tracing::{Level, Span, field};

use super::scope::Scope;
use crate::error::{Action, CallError, ConnectorError};
use crate::id::{AccountId, Actor, CustomerId};
use crate::metrics::HostMetrics;

/// An operation of the host. Each one except `Apps` is one export of the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Apps,
    AuthorizationUrl,
    ExchangeInstall,
    InstallShops,
    Connect,
    Refresh,
    ListShops,
    ListConnections,
    AccessToken,
    ExportGrant,
    Call,
    LinkShops,
    Disconnect,
    ReceiveWebhook,
}

impl Operation {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Apps => "apps",
            Self::AuthorizationUrl => "authorization-url",
            Self::ExchangeInstall => "exchange-install",
            Self::InstallShops => "install-shops",
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::ListShops => "list-shops",
            Self::ListConnections => "list-connections",
            Self::AccessToken => "access-token",
            Self::ExportGrant => "export-grant",
            Self::Call => "call",
            Self::LinkShops => "link-shops",
            Self::Disconnect => "disconnect",
            Self::ReceiveWebhook => "receive-webhook",
        }
    }

    /// Returns the log level of a successful call: `INFO` if the operation changes a connection, `DEBUG` if it only
    /// reads.
    fn level_of_success(self) -> Level {
        match self {
            Self::Connect | Self::Refresh | Self::LinkShops | Self::Disconnect => Level::INFO,
            Self::Apps
            | Self::AuthorizationUrl
            | Self::ExchangeInstall
            | Self::InstallShops
            | Self::ListShops
            | Self::ListConnections
            | Self::AccessToken
            | Self::ExportGrant
            | Self::Call
            | Self::ReceiveWebhook => Level::DEBUG,
        }
    }
}

/// The log of one call.
pub(crate) struct CallLog {
    operation: Operation,
    span: Span,
    started: Instant,
    metrics: HostMetrics,
}

/// Logs at a level that is known at run time. `tracing` itself needs the level at compile time.
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
    pub(crate) fn begin(
        operation: Operation,
        scope: &Scope,
        account: Option<&AccountId>,
        metrics: &HostMetrics,
    ) -> Self {
        // The span has the level `ERROR`. So a subscriber that shows only errors also shows the tenant and the customer
        // of each error.
        let span = tracing::error_span!(
            "call",
            operation = operation.as_str(),
            tenant = scope.tenant.as_str(),
            customer = scope.customer().map(CustomerId::as_str),
            account = account.map(AccountId::as_str),
            actor = scope.origin.actor.as_ref().map(Actor::as_str),
        );
        Self { operation, span, started: Instant::now(), metrics: metrics.clone() }
    }

    /// Returns the span, in which everything that happens during the call is logged.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Logs and counts the outcome, and returns it.
    pub(crate) fn end<T: Debug>(self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        let _entered = self.span.enter();
        let took = self.started.elapsed();
        self.metrics.call(self.operation.as_str(), outcome.as_ref().map(drop), took);
        let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Ok(_) => event!(self.operation.level_of_success(), outcome = "done", elapsed_ms, "call ended"),
            Err(error) => failed(error, elapsed_ms),
        }
        tracing::trace!(answer = ?outcome, "answer");
        outcome
    }
}

/// Logs a failed call. The level is `WARN` for `Busy`, and for every error of the connector except `Internal`. The
/// level is `ERROR` for `Internal`, which is a bug in the connector, and for every other error of the host.
fn failed(error: &CallError, elapsed_ms: u64) {
    let level = match error {
        CallError::Connector(error) if error.action() == Action::Internal => Level::ERROR,
        CallError::Connector(_) | CallError::Busy { .. } => Level::WARN,
        CallError::Trapped { .. }
        | CallError::DeadlineExceeded { .. }
        | CallError::Exhausted { .. }
        | CallError::ContractBroken { .. }
        | CallError::NoRandomness { .. }
        | CallError::NotRecorded { .. }
        | CallError::Aborted { .. } => Level::ERROR,
    };
    let answer = if let CallError::Connector(error) = error { Some(error) } else { None };
    let outcome = answer.map_or_else(|| error.code(), |error| error.action().as_str());
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
mod tests;
