//! Sends one signed request to TikTok's API server and reads the answer. If TikTok refuses the timestamp because this
//! machine's clock is wrong, the request is sent once more with the time in the `Date` header of TikTok's answer.

use crate::credentials::Credentials;
use crate::endpoint::api::ApiRequest;
use crate::envelope::{self, Fault};
use crate::error::Cause;
use crate::http::{Request, Response};
use crate::ports::Effects;
use crate::secret::AccessToken;
use crate::time::{UnixSeconds, http_date};
use alloc::format;
use maybe_async::maybe_async;

/// Signs a request, sends it and reads the answer. The request is repeated only if TikTok refused its timestamp,
/// because TikTok checks the timestamp before it acts.
#[maybe_async]
pub(super) async fn exchange<T>(
    effects: &impl Effects,
    app: &Credentials,
    token: &AccessToken,
    request: &ApiRequest<'_>,
    read: impl Fn(Response) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let our_time = effects.wall();
    let (first, date) = attempt(effects, request.signed(app, token, our_time), &read).await;
    let (Err(fault), Some(their_time)) = (&first, date) else { return first };
    if fault.error.cause != Cause::ClockSkewed {
        return first;
    }
    let (second, _) = attempt(effects, request.signed(app, token, their_time), &read).await;
    second.map_err(|mut fault| {
        if fault.error.cause == Cause::ClockSkewed {
            let (seconds, side) = if their_time > our_time {
                (their_time.since(our_time), "behind")
            } else {
                (our_time.since(their_time), "ahead of")
            };
            fault.error = fault.error.with_note(&format!("the host's clock is {seconds} s {side} TikTok's"));
        }
        fault
    })
}

/// Sends one signed request. Returns the result of `read` for the answer. If `read` fails, also returns the date of the
/// answer, by TikTok's clock.
#[maybe_async]
async fn attempt<T>(
    effects: &impl Effects,
    request: Request<'_>,
    read: impl Fn(Response) -> Result<T, Fault>,
) -> (Result<T, Fault>, Option<UnixSeconds>) {
    match effects.send(request).await {
        Ok(response) => {
            let date = response.date.clone();
            let result = read(response);
            // The date matters only after a failure.
            let date = if result.is_err() { date.as_deref().and_then(http_date) } else { None };
            (result, date)
        }
        Err(failure) => (Err(envelope::transport(failure)), None),
    }
}
