//! Sends one request and reads its response under the host's deadlines, with the client that all instances share.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::allow::Authority;
use super::coding::{self, Undecoded};
use super::connect::Connector;
use super::connection::{Connection, RequestBody, ResponseBody};
use super::dial::ConnectFailure;
use super::policy::EgressPolicy;
use super::pool::Pool;
use super::proxy_error::ProxyError;
use crate::deadlines::Deadlines;
use crate::metrics::{HostMetrics, endpoint_of};

/// The maximum size of a request's body: 16 MiB. The connector's `call` allows the same size.
pub(crate) const MAX_REQUEST_BODY_BYTES: usize = 16 << 20;

/// Sends requests that the egress rules allow. A clone is cheap, and uses the same connections as the original.
#[derive(Clone)]
pub(crate) struct Client {
    connector: Arc<Connector>,
    pool: Arc<Pool>,
    deadlines: Deadlines,
    response_bytes: u64,
    /// The address of the proxy, without credentials.
    proxy: Option<Arc<str>>,
    metrics: HostMetrics,
}

/// Why a request got no response.
#[derive(Debug)]
pub(crate) struct SendError {
    /// The error code for the guest.
    pub(crate) code: Error,
    /// The error of the proxy, if the proxy gave no connection.
    pub(crate) proxy: Option<ProxyError>,
}

impl From<Error> for SendError {
    fn from(code: Error) -> Self {
        Self { code, proxy: None }
    }
}

impl Client {
    /// # Errors
    /// The cryptography that is compiled in offers no TLS version.
    pub(crate) fn new(
        policy: EgressPolicy,
        deadlines: Deadlines,
        response_bytes: u64,
        metrics: HostMetrics,
    ) -> Result<Self, rustls::Error> {
        let client = Self::with_connector(Connector::new(policy, deadlines)?, deadlines, response_bytes);
        Ok(Self { metrics, ..client })
    }

    pub(super) fn with_connector(connector: Connector, deadlines: Deadlines, response_bytes: u64) -> Self {
        let proxy = connector.proxy();
        Self {
            connector: Arc::new(connector),
            pool: Arc::default(),
            deadlines,
            response_bytes,
            proxy,
            metrics: HostMetrics::default(),
        }
    }

    /// Sends a request. The caller must first check its scheme, method and server with `admit`; `authority` is the
    /// result of that check. If the guest and the host both set a timeout, the shorter timeout applies.
    pub(crate) async fn send(
        &self,
        authority: Authority,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, SendError> {
        let started = Instant::now();
        let end = started + self.deadlines.request;
        let shorter = |host: Duration, guest: Option<Duration>| guest.map_or(host, |guest| guest.min(host));

        let method = request.method().clone();
        let endpoint = endpoint_of(authority, request.uri().path());
        let connected_by = started + shorter(self.deadlines.request, options.connect_timeout);
        let first_byte = shorter(self.deadlines.first_byte, options.first_byte_timeout);
        let between_bytes = shorter(self.deadlines.between_bytes, options.between_bytes_timeout);

        let exchange = async {
            // Nothing is sent before the whole body is read. So if the guest does not finish the body in time, the
            // error says that nothing was sent.
            let read = timeout_at(connected_by, with_whole_body(request)).await;
            let request = read.map_err(|_late| Error::DestinationUnavailable)??;
            self.send_and_read_head(authority, request, connected_by, first_byte, end).await
        };
        let result: Result<_, SendError> = exchange.await;
        let took = started.elapsed();
        let status = result.as_ref().ok().map(|response| response.status().as_u16());
        self.metrics.upstream(endpoint, status, took);
        let elapsed = took.as_millis();
        match &result {
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::debug!(host = authority.host(), %method, status, elapsed, "response");
            }
            Err(SendError { code, proxy: Some(proxy) }) => {
                tracing::warn!(host = authority.host(), %method, error = %code, elapsed, %proxy, "no response");
            }
            Err(SendError { code, proxy: None }) => {
                tracing::warn!(host = authority.host(), %method, error = %code, elapsed, "no response");
            }
        }
        let response = result?;
        if response.body().size_hint().lower() > self.response_bytes {
            return Err(Error::HttpResponseBodySize(Some(response.body().size_hint().lower())).into());
        }
        let response = response.map(|body| {
            let next_by = end.min(Instant::now() + between_bytes);
            let body = BoundedBody { body, bytes_left: self.response_bytes, end, between_bytes, next_by, timer: None };
            body.boxed_unsync()
        });
        Ok(with_decoded_body(response, self.response_bytes).await?)
    }

    /// Sends the request and reads the head of the response. If there was no connection yet at `connected_by`, the
    /// error says that nothing was sent. The time `first_byte` begins when there is a connection, because only then the
    /// request may be sent. `end` is the deadline of the whole request.
    ///
    /// Sends the request again, on another connection, only if an idle connection was closed before a byte of the
    /// request was sent.
    async fn send_and_read_head(
        &self,
        authority: Authority,
        mut request: Request<RequestBody>,
        connected_by: Instant,
        first_byte: Duration,
        end: Instant,
    ) -> Result<Response<ResponseBody>, SendError> {
        loop {
            let idle = self.pool.take(authority);
            let was_idle = idle.is_some();
            let connection = match idle {
                Some(connection) => connection,
                // The future is boxed, because it is large, and most requests need no new connection.
                None => match timeout_at(connected_by, Box::pin(self.connect(authority))).await {
                    Ok(connected) => connected?,
                    Err(_late) => return Err(Error::DestinationUnavailable.into()),
                },
            };
            let began = Instant::now();
            let first_byte_by = began + first_byte;
            let late = || if first_byte_by < end { Error::ConnectionReadTimeout } else { Error::HttpResponseTimeout };
            let answer = connection.send(authority, request, &self.pool);
            let Ok(answer) = timeout_at(first_byte_by.min(end), answer).await else {
                self.pool.forget_shared(authority, began);
                return Err(late().into());
            };
            match answer {
                Ok(response) => return Ok(response),
                Err(unanswered) => match unanswered.unsent {
                    Some(unsent) if was_idle => request = unsent,
                    Some(_) => return Err(Error::DestinationUnavailable.into()),
                    None => return Err(request_error(&unanswered.error).into()),
                },
            }
        }
    }

    /// Opens a connection. After an error, it is certain that nothing was sent.
    async fn connect(&self, authority: Authority) -> Result<Connection, SendError> {
        let stream = self.connector.connect(authority).await.map_err(|failure| {
            tracing::warn!(%failure, "not connected");
            let proxy = match (&self.proxy, failure) {
                (Some(proxy), ConnectFailure::Proxy(failure)) => Some(ProxyError::new(Arc::clone(proxy), failure)),
                _ => None,
            };
            SendError { code: failure.into(), proxy }
        })?;
        Ok(match Connection::open(stream).await.map_err(|_| Error::DestinationUnavailable)? {
            Connection::Http2(new) => Connection::Http2(self.pool.share(authority, new)),
            alone @ Connection::Http1(_) => alone,
        })
    }
}

/// Decodes the body of a response that arrives in a coding, although the guest asked for no coding. If the body can't
/// be decoded, returns it as it arrived, with a header `content-encoding` that names all codings.
async fn with_decoded_body(response: Response<WasiBody>, limit: u64) -> Result<Response<WasiBody>, Error> {
    let codings = coding::codings(response.headers());
    if codings.is_empty() {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    let coded = body.collect().await?.to_bytes();
    let body = match coding::decoded(&coded, &codings, limit) {
        Ok(plain) => {
            tracing::debug!(?codings, "a response came in a coding that was not asked for");
            head.headers.remove(CONTENT_ENCODING);
            head.headers.remove(CONTENT_LENGTH);
            Bytes::from(plain)
        }
        Err(Undecoded::TooLarge) => return Err(Error::HttpResponseBodySize(None)),
        Err(Undecoded::Unreadable) => {
            tracing::warn!(?codings, "a response came in a coding that can't be decoded");
            // The guest never sees the header `transfer-encoding`, so the header `content-encoding` names all codings.
            if let Ok(names) = HeaderValue::try_from(codings.join(", ")) {
                head.headers.insert(CONTENT_ENCODING, names);
            }
            coded
        }
    };
    Ok(Response::from_parts(head, Full::new(body).map_err(|never| match never {}).boxed_unsync()))
}

/// Reads the whole body of a request into memory before any of it is sent. So if the guest does not finish the request,
/// nothing is sent. Reading the whole body also keeps the guest's stream open until the guest has flushed it. A client
/// that sends the body directly would close the stream as soon as the client has read the announced number of bytes.
async fn with_whole_body(request: Request<WasiBody>) -> Result<Request<RequestBody>, Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_REQUEST_BODY_BYTES).collect().await.map_err(|error| {
        error.downcast().map_or(Error::HttpRequestBodySize(Some(MAX_REQUEST_BODY_BYTES as u64)), |error| *error)
    })?;
    Ok(Request::from_parts(head, Full::new(body.to_bytes())))
}

/// Classifies a failure after which it is unknown whether the request was sent. The text of the failure is dropped,
/// because it may quote the request or the response.
fn request_error(error: &hyper::Error) -> Error {
    if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        Error::HttpProtocolError
    } else {
        Error::ConnectionTerminated
    }
}

/// A response body that ends with an error if it is too long or too late.
struct BoundedBody {
    body: ResponseBody,
    /// The number of bytes that may still arrive.
    bytes_left: u64,
    /// The deadline of the whole request.
    end: Instant,
    /// The maximum time between two pieces of the body.
    between_bytes: Duration,
    /// The deadline of the next piece: `between_bytes` after the last piece, or `end` if that is earlier.
    next_by: Instant,
    /// Fires at `next_by`. `None` until the first piece that has not arrived yet.
    timer: Option<Pin<Box<Sleep>>>,
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
            let Some(bytes_left) = this.bytes_left.checked_sub(length) else {
                return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
            };
            this.bytes_left = bytes_left;
            this.next_by = this.end.min(Instant::now() + this.between_bytes);
            return Poll::Ready(Some(Ok(frame)));
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(this.next_by)));
        if timer.deadline() != this.next_by {
            timer.as_mut().reset(this.next_by);
        }
        ready!(timer.as_mut().poll(cx));
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
