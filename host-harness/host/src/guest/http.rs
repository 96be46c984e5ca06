//! Gives each HTTP request that the guest makes through `wasi:http` to the egress, which checks and sends it.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tracing::Instrument as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::begun_body::BegunBody;
use super::secrets::{Secrets, Tapped};
use crate::egress::{Authority, Client, LastProxyError, SendError, admit};

/// Sends the HTTP requests of one call.
pub(crate) struct GuestHttp {
    pub(crate) client: Client,
    pub(crate) call_started: Instant,
    /// The time after the start of the call in which a request to `auth.tiktok-shops.com` may still begin. If the
    /// request began later, the call could end before the new tokens are saved.
    pub(crate) last_token_request: Duration,
    pub(crate) secrets: Secrets,
    pub(crate) last_proxy_error: LastProxyError,
}

impl GuestHttp {
    /// Checks the scheme, the method and the authority of the request. For a request to `auth.tiktok-shops.com`, also
    /// checks that enough time is left to save the answer. If a check fails, the error tells the guest that nothing was
    /// sent.
    fn admit(&self, request: &mut Request<WasiBody>) -> Result<Authority, Error> {
        let authority =
            admit(request).inspect_err(|refusal| tracing::warn!("request denied by the egress policy: {refusal}"))?;
        if authority == Authority::Auth && self.call_started.elapsed() > self.last_token_request {
            tracing::warn!(host = authority.host(), "not sent: too little of the call is left to save the answer");
            return Err(Error::DestinationUnavailable);
        }
        Ok(authority)
    }
}

/// The boxed future that [`WasiHttpHooks`] requires. The second future, inside the result, could report an error that
/// occurs after the response.
type Sending = Box<
    dyn Future<Output = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>> + Send,
>;

impl WasiHttpHooks for GuestHttp {
    /// Accepts every scheme, because the egress later denies all schemes except https. If this function refused a
    /// scheme, the guest would get a protocol error, which does not say that nothing was sent.
    fn is_supported_scheme(&mut self, _: &http::uri::Scheme) -> bool {
        true
    }

    /// Leaves the `Host` header to the client, which takes it from the checked authority.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _after_response: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sending {
        let admitted = self.admit(&mut request);
        // A request that is not sent contains nothing that TikTok has issued. The guest could fill it with any texts.
        if admitted.is_ok() {
            self.secrets.learn_request(&request);
        }
        let (client, secrets) = (self.client.clone(), self.secrets.clone());
        let last_proxy_error = self.last_proxy_error.clone();
        let sending = async move {
            let sent = match admitted {
                Ok(authority) => client.send(authority, request, options.unwrap_or_default()).await,
                Err(code) => Err(SendError::from(code)),
            };
            last_proxy_error.record(sent.as_ref().err().and_then(|error| error.proxy.clone()));
            let (head, body) = sent.map_err(|error| error.code)?.into_parts();
            let body = BegunBody::begin(Tapped::new(body, secrets).boxed_unsync()).await;
            let response = Response::from_parts(head, body.boxed_unsync());
            let done: Box<dyn Future<Output = _> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, done))
        };
        // The lines that the request logs get the span of the call.
        Box::new(sending.in_current_span())
    }
}
