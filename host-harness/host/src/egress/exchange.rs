//! One request and its response under the host's deadlines, over the client that all instances share.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::EgressPolicy;
use super::allow::Authority;
use super::connect::{ConnectFailure, Connector};
use crate::deadlines::Deadlines;

/// An idle connection is closed after this time, before the other side is likely to: a request written into a
/// connection that is just being closed has an unknown outcome.
const IDLE: Duration = Duration::from_secs(20);
const IDLE_PER_HOST: usize = 32;
/// Head of a response.
const HEAD_BYTES: usize = 64 << 10;
/// Body of a request: what the connector's `call` allows.
const REQUEST_BODY_BYTES: usize = 16 << 20;

/// Sends admitted requests. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(crate) struct Client {
    connections: legacy::Client<Connector, WasiBody>,
    deadlines: Deadlines,
    response_bytes: u64,
}

impl Client {
    /// # Errors
    /// The cryptography that is compiled in offers no TLS version.
    pub(crate) fn new(policy: EgressPolicy, deadlines: Deadlines, response_bytes: u64) -> Result<Self, rustls::Error> {
        let EgressPolicy { resolver, stand_ins } = policy;
        let connector = Connector::new(resolver, stand_ins, deadlines.connect, deadlines.tls)?;
        Ok(Self::over(connector, deadlines, response_bytes))
    }

    pub(super) fn over(connector: Connector, deadlines: Deadlines, response_bytes: u64) -> Self {
        let connections = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(HEAD_BYTES)
            .http2_max_header_list_size(HEAD_BYTES as u32)
            .build(connector);
        Self { connections, deadlines, response_bytes }
    }

    /// Sends an admitted request. The guest's own deadlines count where they are shorter.
    pub(crate) async fn send(
        &self,
        authority: Authority,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let started = Instant::now();
        let end = started + self.deadlines.request;
        let shorter = |own: Duration, guest: Option<Duration>| guest.map_or(own, |guest| guest.min(own));

        let method = request.method().clone();
        let connected_by = started + shorter(self.deadlines.request, options.connect_timeout);
        let first_byte = shorter(self.deadlines.first_byte, options.first_byte_timeout);
        let between_bytes = shorter(self.deadlines.between_bytes, options.between_bytes_timeout);

        let head = async { self.head(whole(request).await?, connected_by, first_byte).await };
        let result = timeout_at(end, head).await.unwrap_or(Err(Error::HttpResponseTimeout));
        let elapsed = started.elapsed().as_millis();
        match &result {
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::debug!(host = authority.host(), %method, status, elapsed, "response");
            }
            Err(error) => tracing::warn!(host = authority.host(), %method, %error, elapsed, "no response"),
        }
        let response = result?;
        if response.body().size_hint().lower() > self.response_bytes {
            return Err(Error::HttpResponseBodySize(Some(response.body().size_hint().lower())));
        }
        Ok(response.map(|body| {
            BoundedBody { body, left: self.response_bytes, end, between_bytes, late: Box::pin(sleep_until(end)) }
                .restarted()
                .boxed_unsync()
        }))
    }

    /// Until the head of the response. Whatever fails before there is a connection was certainly not sent.
    async fn head(
        &self,
        mut request: Request<WasiBody>,
        connected_by: Instant,
        first_byte: Duration,
    ) -> Result<Response<Incoming>, Error> {
        let mut connection = capture_connection(&mut request);
        let mut response = self.connections.request(request);
        let connected = async {
            tokio::select! {
                biased;
                response = &mut response => Some(response),
                _ = connection.wait_for_connection_metadata() => None,
            }
        };
        let response = match timeout_at(connected_by, connected).await {
            Ok(Some(response)) => response,
            Ok(None) => timeout(first_byte, response).await.map_err(|_late| Error::ConnectionReadTimeout)?,
            Err(_late) => return Err(Error::ConnectionTimeout),
        };
        response.map_err(|error| request_error(&error))
    }
}

/// The request with its body in memory. Nothing is sent of a request that its guest does not finish; and a guest that has
/// still to flush finds its stream open, which a client that has read all announced bytes would have closed.
async fn whole(request: Request<WasiBody>) -> Result<Request<WasiBody>, Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BODY_BYTES).collect().await.map_err(|error| {
        error.downcast().map_or(Error::HttpRequestBodySize(Some(REQUEST_BODY_BYTES as u64)), |error| *error)
    })?;
    let body = Full::new(body.to_bytes()).map_err(|never| match never {});
    Ok(Request::from_parts(head, body.boxed_unsync()))
}

/// Names a failure without its text, which may quote what was sent or received.
fn request_error(error: &legacy::Error) -> Error {
    let cause = error.source();
    if let Some(failure) = cause.and_then(|cause| cause.downcast_ref::<ConnectFailure>()) {
        tracing::warn!(%failure, "not connected");
        return (*failure).into();
    }
    // Only an error that comes after a connection has taken the request knows that connection.
    if error.connect_info().is_none() {
        return Error::DestinationUnavailable;
    }
    match cause.and_then(|cause| cause.downcast_ref::<hyper::Error>()) {
        Some(error) if error.is_parse_too_large() => Error::HttpResponseHeaderSectionSize(None),
        Some(error) if error.is_parse() => Error::HttpProtocolError,
        Some(_) | None => Error::ConnectionTerminated,
    }
}

/// A response body that ends in an error when it is too long or too late.
struct BoundedBody {
    body: Incoming,
    /// Bytes that may still come.
    left: u64,
    /// When the whole request must be over.
    end: Instant,
    between_bytes: Duration,
    /// Fires at the earlier of both deadlines.
    late: Pin<Box<Sleep>>,
}

impl BoundedBody {
    /// Starts the time between two pieces anew.
    fn restart(&mut self) {
        self.late.as_mut().reset(self.end.min(Instant::now() + self.between_bytes));
    }

    fn restarted(mut self) -> Self {
        self.restart();
        self
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(next) = Pin::new(&mut this.body).poll_frame(cx) {
            let Some(frame) = next else {
                return Poll::Ready(None);
            };
            let Ok(frame) = frame else {
                return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
            };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = this.left.checked_sub(length) else {
                return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
            };
            this.left = left;
            this.restart();
            return Poll::Ready(Some(Ok(frame)));
        }
        ready!(this.late.as_mut().poll(cx));
        let error = if Instant::now() < this.end { Error::ConnectionReadTimeout } else { Error::HttpResponseTimeout };
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
