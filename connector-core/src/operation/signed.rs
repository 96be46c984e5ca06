//! One signed exchange with the API host. A host whose clock TikTok does not accept is helped out once with the time of
//! TikTok's own answer.

use crate::endpoint::api::ApiRequest;
use crate::envelope::{self, Fault};
use crate::error::Cause;
use crate::http::{Request, Response};
use crate::ports::{Credentials, Effects};
use crate::secret::AccessToken;
use crate::time::{UnixSeconds, http_date};
use alloc::format;

/// Signs, sends and reads. Repeated only after TikTok refused the timestamp, which it does before it acts.
pub(super) async fn exchange<T>(
    effects: &impl Effects,
    app: &Credentials,
    token: &AccessToken,
    request: &ApiRequest<'_>,
    read: impl Fn(Response) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let ours = effects.now().wall;
    let (first, date) = attempt(effects, request.signed(app, token, ours), &read).await;
    let (Err(fault), Some(theirs)) = (&first, date) else { return first };
    if fault.error.cause != Cause::ClockSkewed {
        return first;
    }
    let (second, _) = attempt(effects, request.signed(app, token, theirs), &read).await;
    second.map_err(|mut fault| {
        if fault.error.cause == Cause::ClockSkewed {
            let (seconds, side) =
                if theirs > ours { (theirs.since(ours), "behind") } else { (ours.since(theirs), "ahead of") };
            fault.error = fault.error.noting(&format!("the host's clock is {seconds} s {side} TikTok's"));
        }
        fault
    })
}

/// What came of it, and the time at TikTok.
async fn attempt<T>(
    effects: &impl Effects,
    request: Request<'_>,
    read: impl Fn(Response) -> Result<T, Fault>,
) -> (Result<T, Fault>, Option<UnixSeconds>) {
    match effects.send(request).await {
        Ok(response) => {
            let date = response.date.as_deref().and_then(http_date);
            (read(response), date)
        }
        Err(failure) => (Err(envelope::transport(failure)), None),
    }
}
