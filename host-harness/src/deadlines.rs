//! How long things may take, and the numbers of the contract between guest and host that they must fit.

use std::time::Duration;

/// How long a claim on a token record lives, by the storage's clock (`wit/storage.wit`).
pub const CLAIM: Duration = Duration::from_secs(120);
/// A request to the token host is over before this.
pub const REQUEST: Duration = Duration::from_secs(30);
/// All tries of one save are over by then.
pub const SAVE: Duration = Duration::from_secs(10);

// A claim covers one request and the save of its answer.
const _: () = assert!(REQUEST.as_secs() + SAVE.as_secs() < CLAIM.as_secs());

/// What a call sends while no refresh token is rejected: read or exchange, refresh, list the shops. Each rejected one adds
/// a request and a save; [`Deadlines::last_token_request`] keeps those from being cut off.
const REQUESTS_PER_CALL: u32 = 3;
/// What it saves on the way: claim, tokens, row.
const SAVES_PER_CALL: u32 = 3;

/// How long each step of a call may take. All of these run on the host's clock, not on the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Waiting for a free instance.
    pub queue: Duration,
    /// The whole call. Ends it whatever it waits for. Once less than `request` + `save` of it is left, no request is sent to
    /// the token host any more: the tokens it brings could be lost before they are saved.
    pub call: Duration,
    /// Time the guest may compute, waiting excluded. Measured in ticks of 10 ms.
    pub cpu: Duration,
    /// One answer of the credentials provider, one read of storage, or all tries of one save.
    pub save: Duration,
    /// Resolving the host name and connecting, over all addresses.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From sending a request to the head of its response.
    pub first_byte: Duration,
    /// Between two pieces of a response body.
    pub between_bytes: Duration,
    /// A whole request, from resolving to the last byte of the body.
    pub request: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            queue: Duration::from_secs(10),
            call: Duration::from_secs(120),
            cpu: Duration::from_secs(5),
            save: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            first_byte: Duration::from_secs(15),
            between_bytes: Duration::from_secs(10),
            request: Duration::from_secs(25),
        }
    }
}

/// Deadlines that do not fit together, or not the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeadlinesError {
    /// A deadline is zero.
    #[error("the deadline `{0}` is zero")]
    Zero(&'static str),
    /// A request could outlast what the contract gives it.
    #[error("`request` must stay below {} s: a claim is counted on it", REQUEST.as_secs())]
    RequestTooLong,
    /// A save could outlast what the contract gives it.
    #[error("`save` must not exceed {} s: a claim is counted on it", SAVE.as_secs())]
    SaveTooLong,
    /// `connect` + `tls`, `first_byte` or `between_bytes` is longer than `request`, and would never be reached.
    #[error("`{0}` is longer than `request`")]
    LongerThanRequest(&'static str),
    /// The whole call could be cut off between its requests and saves although no token was rejected.
    #[error("`call` must be at least {} s: {REQUESTS_PER_CALL} requests and {SAVES_PER_CALL} saves", .least.as_secs_f64())]
    CallTooShort {
        /// The least that fits the other deadlines.
        least: Duration,
    },
}

impl Deadlines {
    /// How far into a call a request to the token host may begin, so that its answer can still be saved.
    pub(crate) fn last_token_request(&self) -> Duration {
        self.call.saturating_sub(self.request + self.save)
    }

    /// Checks that a request and the save of its answer fit the claim they are made under, and that a call has time for its
    /// requests and saves while no token is rejected.
    pub(crate) fn check(&self) -> Result<(), DeadlinesError> {
        let Self { queue, call, cpu, save, connect, tls, first_byte, between_bytes, request } = *self;
        let named = [
            ("queue", queue),
            ("call", call),
            ("cpu", cpu),
            ("save", save),
            ("connect", connect),
            ("tls", tls),
            ("first_byte", first_byte),
            ("between_bytes", between_bytes),
            ("request", request),
        ];
        if let Some((name, _)) = named.into_iter().find(|(_, deadline)| deadline.is_zero()) {
            return Err(DeadlinesError::Zero(name));
        }
        if request >= REQUEST {
            return Err(DeadlinesError::RequestTooLong);
        }
        if save > SAVE {
            return Err(DeadlinesError::SaveTooLong);
        }
        let parts = [
            ("connect + tls", connect.saturating_add(tls)),
            ("first_byte", first_byte),
            ("between_bytes", between_bytes),
        ];
        if let Some((name, _)) = parts.into_iter().find(|(_, part)| *part > request) {
            return Err(DeadlinesError::LongerThanRequest(name));
        }
        let least = request * REQUESTS_PER_CALL + save * SAVES_PER_CALL;
        if call < least {
            return Err(DeadlinesError::CallTooShort { least });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_fit_the_contract() {
        assert_eq!(Deadlines::default().check(), Ok(()));
    }

    #[test]
    fn the_last_token_request_leaves_time_for_itself_and_the_save_of_its_answer() {
        assert_eq!(Deadlines::default().last_token_request(), 85 * SECOND);
        assert_eq!(Deadlines { call: SECOND, ..Deadlines::default() }.last_token_request(), Duration::ZERO);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let base = Deadlines::default();
        let table = [
            (Deadlines { cpu: Duration::ZERO, ..base }, DeadlinesError::Zero("cpu")),
            (Deadlines { request: REQUEST, call: 4 * CLAIM, ..base }, DeadlinesError::RequestTooLong),
            (Deadlines { save: SAVE + Duration::from_millis(1), ..base }, DeadlinesError::SaveTooLong),
            (Deadlines { request: 9 * SECOND, ..base }, DeadlinesError::LongerThanRequest("connect + tls")),
            (Deadlines { first_byte: 26 * SECOND, ..base }, DeadlinesError::LongerThanRequest("first_byte")),
            (Deadlines { between_bytes: 26 * SECOND, ..base }, DeadlinesError::LongerThanRequest("between_bytes")),
            (Deadlines { call: 104 * SECOND, ..base }, DeadlinesError::CallTooShort { least: 105 * SECOND }),
        ];
        for (deadlines, error) in table {
            assert_eq!(deadlines.check(), Err(error), "{deadlines:?}");
        }
        assert_eq!(Deadlines { call: 105 * SECOND, ..base }.check(), Ok(()));
    }
}
