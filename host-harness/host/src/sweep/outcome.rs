//! Describes how the refresh of one due connection ended, and counts the outcomes of a whole sweep.

use std::fmt;

use tiktok_shop_connector_core::contract::CLAIM_LIFE;

use crate::connection::UnixSeconds;
use crate::error::{Action, CallError, ConnectorError, codes};
use crate::refresh::{RefreshEffect, Refreshed};

/// How a sweep's refresh of one connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepOutcome {
    /// TikTok was asked, and its answer is stored.
    Refreshed(Box<Refreshed>),
    /// The connection is due, and it can't be renewed now. A later sweep renews it.
    PassedOver(PassedOver),
    /// The authorization has ended, for example because the seller has revoked it. Only a new consent of the seller
    /// helps, so this is no failure of the sweep. The error contains the reason. Later sweeps leave the connection out.
    Ended(ConnectorError),
    /// The connection was listed as due, and there was nothing to do when its turn came, because another call had
    /// refreshed or disconnected it meanwhile.
    NoLongerDue,
    /// The refresh failed. If the refresh panicked, the error is [`CallError::Aborted`].
    Failed(CallError),
}

/// The reason why a sweep passed over a due connection, and the time until which the connection must wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Why the connection can't be renewed now.
    pub reason: PassedOverReason,
    /// The time after which a sweep can renew the connection. If another call ends its claim earlier, a sweep can renew
    /// the connection earlier.
    pub until: UnixSeconds,
    /// Whether the connection works although it was not renewed.
    pub access_token: AccessTokenState,
    /// The error of the connector. It contains the reason.
    pub error: ConnectorError,
}

/// Why a due connection can't be renewed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedOverReason {
    /// An earlier refresh has claimed the refresh token and has not stored TikTok's answer. Either it is still running,
    /// or the answer was lost, for example because its process was killed. Nobody can tell which of both is true. The
    /// claim expires after 120 s.
    Held,
    /// The next attempt is not allowed yet, because the latest attempts have failed, or because TikTok refuses an
    /// access token that it issued a few minutes ago. The pause is at most one hour.
    BackingOff,
}

/// Whether a connection can be used although its renewal is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTokenState {
    /// The access token is still valid, so the connection works.
    Valid,
    /// The access token has ended, or TikTok refuses it. The connection does not work before it is renewed.
    Unusable,
}

impl SweepOutcome {
    /// Converts the result of a refresh that ended at `now` into its outcome.
    pub(super) fn of(result: Result<Refreshed, CallError>, now: UnixSeconds) -> Self {
        match result {
            Ok(Refreshed { effect: RefreshEffect::NothingSent(error), .. }) => {
                Self::PassedOver(PassedOver::new(error, now, AccessTokenState::Valid))
            }
            Ok(refreshed) => Self::Refreshed(Box::new(refreshed)),
            Err(CallError::Connector(error)) if error.action() == Action::Reauthorize => Self::Ended(error),
            Err(CallError::Connector(error)) if error.failure().code == codes::NOT_CONNECTED => Self::NoLongerDue,
            Err(CallError::Connector(error)) if is_held(&error) || error.failure().code == codes::BACKING_OFF => {
                Self::PassedOver(PassedOver::new(error, now, AccessTokenState::Unusable))
            }
            Err(error) => Self::Failed(error),
        }
    }

    /// Sets [`PassedOver::until`] to `at`, the time that the storage has for the next attempt.
    pub(super) fn with_next_attempt(mut self, at: UnixSeconds) -> Self {
        if let Self::PassedOver(passed_over) = &mut self {
            passed_over.until = at;
        }
        self
    }
}

impl PassedOver {
    fn new(error: ConnectorError, now: UnixSeconds, access_token: AccessTokenState) -> Self {
        let (reason, pause) = if is_held(&error) {
            // The connector names a pause of about one second, because the earlier refresh may end at any time. The
            // claim was written before now, so it expires at most `CLAIM_LIFE` after now.
            (PassedOverReason::Held, CLAIM_LIFE)
        } else {
            (PassedOverReason::BackingOff, error.retry_after().unwrap_or_default())
        };
        Self { reason, until: UnixSeconds(now.0.saturating_add(pause.as_secs())), access_token, error }
    }
}

fn is_held(error: &ConnectorError) -> bool {
    error.failure().code == codes::REFRESH_IN_PROGRESS
}

impl PassedOverReason {
    /// Returns the word for this reason in output that programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::BackingOff => "backing-off",
        }
    }
}

impl AccessTokenState {
    /// Returns the word for this state in output that programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unusable => "unusable",
        }
    }
}

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// The number of connections that were refreshed: TikTok was asked, and its answer is stored.
    pub refreshed: u64,
    /// The number of connections whose authorization has ended: see [`SweepOutcome::Ended`].
    pub ended: u64,
    /// The number of connections that other calls had refreshed or disconnected before their turn came: see
    /// [`SweepOutcome::NoLongerDue`].
    pub no_longer_due: u64,
    /// The number of due connections that were passed over because of a claim: see [`PassedOverReason::Held`]. If
    /// connections are held in every sweep, a clock may be wrong: compare the clocks of the hosts with the clock of the
    /// storage.
    pub held: u64,
    /// The number of due connections that were passed over because they wait after failures: see
    /// [`PassedOverReason::BackingOff`].
    pub backing_off: u64,
    /// The number of connections among `held` and `backing_off` that do not work now: see
    /// [`AccessTokenState::Unusable`]. If this number is not zero, tell an operator.
    pub unusable: u64,
    /// The number of connections that could not be refreshed. For most of these connections, the row contains the
    /// failure, and a refresh is due again later.
    pub failed: u64,
    /// The number of expiry notices that were written: see [`EventKind::Notice`](crate::events::EventKind::Notice).
    pub notices: u64,
    /// Whether `stop` ended the sweep early. Refreshes that had begun were finished.
    pub stopped: bool,
    /// The number of connections that are still due after a stopped sweep. The next sweep refreshes them.
    pub left: u64,
}

impl Swept {
    /// Adds the outcome of one connection to the counts.
    pub(super) fn count(&mut self, outcome: &SweepOutcome) {
        match outcome {
            SweepOutcome::Refreshed(_) => self.refreshed += 1,
            SweepOutcome::PassedOver(PassedOver { reason, access_token, .. }) => {
                match reason {
                    PassedOverReason::Held => self.held += 1,
                    PassedOverReason::BackingOff => self.backing_off += 1,
                }
                self.unusable += u64::from(*access_token == AccessTokenState::Unusable);
            }
            SweepOutcome::Ended(_) => self.ended += 1,
            SweepOutcome::NoLongerDue => self.no_longer_due += 1,
            SweepOutcome::Failed(_) => self.failed += 1,
        }
    }
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refreshed, ended, no_longer_due, held, backing_off, unusable, failed, notices, stopped, left } =
            self;
        write!(f, "{refreshed} refreshed, ")?;
        let others = [(ended, "ended"), (no_longer_due, "no longer due"), (held, "held"), (backing_off, "backing off")];
        for (number, what) in others {
            if *number > 0 {
                write!(f, "{number} {what}, ")?;
            }
        }
        if *unusable > 0 {
            write!(f, "{unusable} of these unusable, ")?;
        }
        write!(f, "{failed} failed, notices: {notices}")?;
        if *stopped {
            write!(f, ", stopped, {left} still due")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection::{Connection, ConnectionKey};
    use crate::error::{Failure, Plugin};

    const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

    fn error(action: Action, code: &str) -> ConnectorError {
        let failure = Failure { code: code.to_owned(), detail: String::new(), http_status: None, request_id: None };
        ConnectorError { plugin: Plugin::new("tiktok-shop:connector@0.1.0"), action, failure, proxy_error: None }
    }

    fn refreshed(effect: RefreshEffect) -> Refreshed {
        let key = ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() };
        Refreshed { connection: Connection::new(key), effect }
    }

    /// If the connection was passed over, returns the reason, the seconds to wait and the state of the access token.
    fn passed_over(result: Result<Refreshed, CallError>) -> Option<(&'static str, u64, &'static str)> {
        let SweepOutcome::PassedOver(PassedOver { reason, until, access_token, .. }) = SweepOutcome::of(result, NOW)
        else {
            return None;
        };
        Some((reason.as_str(), until.0 - NOW.0, access_token.as_str()))
    }

    #[test]
    fn each_result_of_a_refresh_has_its_outcome() {
        let wait = |seconds, code| error(Action::RetryAfter(Duration::from_secs(seconds)), code);
        let (held, paused) = (wait(1, "refresh-in-progress"), wait(480, "backing-off"));
        let sent_nothing = |error| Ok(refreshed(RefreshEffect::NothingSent(error)));
        assert_eq!(passed_over(sent_nothing(held.clone())), Some(("held", 120, "valid")));
        assert_eq!(passed_over(sent_nothing(paused.clone())), Some(("backing-off", 480, "valid")));
        assert_eq!(passed_over(Err(CallError::Connector(held))), Some(("held", 120, "unusable")));
        assert_eq!(passed_over(Err(CallError::Connector(paused))), Some(("backing-off", 480, "unusable")));

        let mut swept = Swept::default();
        let revoked = error(Action::Reauthorize, "authorization-revoked");
        let disconnected = error(Action::InvalidRequest, "not-connected");
        for result in [
            Ok(refreshed(RefreshEffect::Renewed)),
            Ok(refreshed(RefreshEffect::ShopsRead)),
            Err(CallError::Connector(revoked)),
            Err(CallError::Connector(disconnected)),
            Err(CallError::Connector(error(Action::InvalidRequest, "account-required"))),
            Err(CallError::Connector(wait(30, "tiktok-unavailable"))),
            Err(CallError::Busy { plugin: Plugin::new("tiktok-shop:connector@0.1.0") }),
        ] {
            swept.count(&SweepOutcome::of(result, NOW));
        }
        assert_eq!(swept, Swept { refreshed: 2, ended: 1, no_longer_due: 1, failed: 3, ..Swept::default() });
    }

    #[test]
    fn a_summary_names_only_what_happened() {
        assert_eq!(Swept::default().to_string(), "0 refreshed, 0 failed, notices: 0");
        let swept = Swept {
            refreshed: 1,
            ended: 2,
            no_longer_due: 9,
            held: 3,
            backing_off: 4,
            unusable: 5,
            failed: 6,
            notices: 7,
            stopped: true,
            left: 8,
        };
        assert_eq!(
            swept.to_string(),
            "1 refreshed, 2 ended, 9 no longer due, 3 held, 4 backing off, 5 of these unusable, 6 failed, notices: 7, \
             stopped, 8 still due"
        );
    }
}
