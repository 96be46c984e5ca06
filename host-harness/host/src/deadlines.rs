//! How long each step of a call may take, and the check that these deadlines fit the contract between guest and host
//! (`wit/storage.wit`).

use std::time::Duration;

use tiktok_shop_connector_core::contract::{REQUEST_BUDGET, SAVE_BUDGET};

/// The usual number of requests in a call: a read or the exchange of a code, the refresh of the tokens, and the list of
/// the shops. For each refresh token that TikTok rejects, the call sends one more request and makes one more save. It
/// begins such a request only if enough time is left for the request and the save: see
/// [`Deadlines::last_token_request`].
const REQUESTS_PER_CALL: u32 = 3;
/// The usual number of saves in a call: the claim (a note that this call renews the tokens), the tokens and the row.
const SAVES_PER_CALL: u32 = 3;

/// How long each step of a call may take. The host measures these times itself. The clock that the guest reads does not
/// affect them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// The total time that a call may wait for its tenant's turns. There are two turns: to ask for the app's
    /// credentials, and to take an instance. Default: 10 s.
    pub queue: Duration,
    /// The time for the whole call, including everything that the call waits for. Default: 120 s. When less than
    /// `request` + `save` is left of this time, the call sends no more requests to `auth.tiktok-shops.com`, because the
    /// call could end before the new tokens are saved.
    pub call: Duration,
    /// The time that the guest may compute. The time in which the guest waits does not count. Default: 5 s, measured in
    /// ticks of 10 ms.
    pub cpu: Duration,
    /// The time for one answer of the credentials provider, for one read of the storage, or for all attempts of one
    /// save. Default: 10 s.
    pub save: Duration,
    /// The time to resolve the host name and to connect, for all addresses together. With a proxy, this time applies
    /// twice: first to resolve the proxy's name and to connect to the proxy, and then until the proxy has opened a
    /// tunnel. Default: 5 s.
    pub connect: Duration,
    /// The time for each TLS handshake. With an `https` proxy, there is one handshake with the proxy, and then one with
    /// TikTok Shop. Default: 5 s.
    pub tls: Duration,
    /// The time from sending a request to receiving the head of its response. Default: 15 s.
    pub first_byte: Duration,
    /// The time between two parts of a response body. Default: 10 s.
    pub between_bytes: Duration,
    /// The time for a whole request, from resolving the name to receiving the last byte of the response's body.
    /// Default: 25 s.
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

/// Why deadlines contradict each other, or break the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeadlinesError {
    /// A deadline is zero.
    #[error("the deadline `{0}` is zero")]
    Zero(&'static str),
    /// A request could take longer than the contract allows.
    #[error("`request` must be less than {} s, because a claim covers one request", REQUEST_BUDGET.as_secs())]
    RequestTooLong,
    /// A save could take longer than the contract allows.
    #[error("`save` must be at most {} s, because a claim covers one save", SAVE_BUDGET.as_secs())]
    SaveTooLong,
    /// `connect` + `tls`, `first_byte` or `between_bytes` is longer than `request`, so it would have no effect.
    #[error("`{0}` is longer than `request`")]
    LongerThanRequest(&'static str),
    /// The whole call is too short. It could end before all its requests and saves are done, even if TikTok rejects no
    /// refresh token.
    #[error("`call` must be at least {} s, enough for {REQUESTS_PER_CALL} requests and {SAVES_PER_CALL} saves", .least.as_secs_f64())]
    CallTooShort {
        /// The shortest `call` that fits the other deadlines.
        least: Duration,
    },
}

impl Deadlines {
    /// Returns the latest time at which a request to `auth.tiktok-shops.com` may begin, counted from the start of the
    /// call. If a request began later, the call could end before the answer is saved.
    pub(crate) fn last_token_request(&self) -> Duration {
        self.call.saturating_sub(self.request + self.save)
    }

    /// Checks that a request and the save of its answer end before the claim of the call expires, so that no other call
    /// sends the same refresh token. Also checks that a call has enough time for its requests and saves if TikTok
    /// rejects no token.
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
        if request >= REQUEST_BUDGET {
            return Err(DeadlinesError::RequestTooLong);
        }
        if save > SAVE_BUDGET {
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
    fn the_default_deadlines_are_accepted() {
        assert_eq!(Deadlines::default().check(), Ok(()));
    }

    #[test]
    fn the_last_token_request_starts_early_enough_to_save_its_tokens() {
        assert_eq!(Deadlines::default().last_token_request(), 85 * SECOND);
        assert_eq!(Deadlines { call: SECOND, ..Deadlines::default() }.last_token_request(), Duration::ZERO);
    }

    #[test]
    fn deadlines_that_contradict_each_other_are_refused() {
        let base = Deadlines::default();
        let table = [
            (Deadlines { cpu: Duration::ZERO, ..base }, DeadlinesError::Zero("cpu")),
            (Deadlines { request: REQUEST_BUDGET, call: 480 * SECOND, ..base }, DeadlinesError::RequestTooLong),
            (Deadlines { save: SAVE_BUDGET + Duration::from_millis(1), ..base }, DeadlinesError::SaveTooLong),
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
