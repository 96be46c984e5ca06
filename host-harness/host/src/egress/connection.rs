//! One connection to TikTok Shop, and the requests on it.
//!
//! A connection with HTTP/1 has no task of its own. The task that waits for the answer also runs the connection. So an
//! answer wakes one task, and no thread has to wake another one. While the connection is idle, nobody runs it, and the
//! pool checks it before the next request.
//!
//! A connection with HTTP/2 carries several requests at the same time, so it has a task of its own.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures::task::AtomicWaker;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::allow::Authority;
use super::dial::RouteStream;
use super::pool::Pool;

/// The maximum size of a response's head: 64 KiB.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// The number of turns of a connection that wakes itself, before the other tasks of the thread run.
const MAX_TURNS: usize = 8;

/// The number of requests that a connection with HTTP/2 carries at the same time: 64. Servers usually accept 100 (RFC
/// 9113, section 6.5.2). hyper keeps a request that the server does not accept yet, and if its time runs out, nobody can
/// tell whether it was sent.
const MAX_HTTP2_REQUESTS: usize = 64;

/// The body of a request: all of it.
pub(super) type RequestBody = Full<Bytes>;
/// The stream below HTTP.
pub(super) type Stream = MaybeHttpsStream<RouteStream>;

/// An open connection.
pub(super) enum Connection {
    Http1(Box<Http1>),
    Http2(Http2),
}

/// A connection with HTTP/2. Each request on it has a clone, and the pool has one.
#[derive(Clone)]
pub(super) struct Http2 {
    requests: http2::SendRequest<RequestBody>,
    /// All clones share it, so its number of references is the number of clones.
    clones: Arc<()>,
}

impl Http2 {
    /// Returns whether the connection of the pool carries as many requests as it may.
    pub(super) fn is_full(&self) -> bool {
        Arc::strong_count(&self.clones) > MAX_HTTP2_REQUESTS
    }

    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
}

/// Why a connection gave no response.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: hyper::Error,
    /// The request, if it is certain that no byte of it was sent.
    pub(super) unsent: Option<Request<RequestBody>>,
}

impl From<TrySendError<Request<RequestBody>>> for Unanswered {
    fn from(mut error: TrySendError<Request<RequestBody>>) -> Self {
        let unsent = error.take_message();
        Self { error: error.into_error(), unsent }
    }
}

impl Connection {
    /// Begins to speak HTTP on a stream, in the version that TLS has negotiated.
    pub(super) async fn open(stream: Stream) -> Result<Self, hyper::Error> {
        if !stream.connected().is_negotiated_h2() {
            let (requests, exchange) = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(stream).await?;
            return Ok(Self::Http1(Box::new(Http1 { requests, exchange: Some(exchange), wakes: Arc::default() })));
        }
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2.timer(TokioTimer::new()).max_header_list_size(MAX_HEAD_BYTES as u32);
        // The future is large, and the future of a connection with HTTP/1 must not have room for it.
        let (mut requests, exchange) = Box::pin(http2.handshake(stream)).await?;
        tokio::spawn(async move {
            // Every request reports the error that it got.
            let _ = exchange.await;
        });
        requests.ready().await?;
        Ok(Self::Http2(Http2 { requests, clones: Arc::default() }))
    }

    /// Sends a request and waits for the head of its response. When the response has been read, the connection goes to
    /// the pool. If the returned future is dropped, a connection with HTTP/1 is closed.
    pub(super) async fn send(
        self,
        authority: Authority,
        request: Request<RequestBody>,
        pool: &Arc<Pool>,
    ) -> Result<Response<ResponseBody>, Box<Unanswered>> {
        match self {
            Self::Http1(connection) => connection.send(authority, request, pool).await,
            Self::Http2(mut http2) => {
                let response =
                    http2.requests.try_send_request(request).await.map_err(|error| Box::new(error.into()))?;
                Ok(response.map(|incoming| ResponseBody { incoming, idle_after: None, _http2: Some(http2) }))
            }
        }
    }
}

/// A connection with HTTP/1. It carries one request at a time.
pub(super) struct Http1 {
    requests: http1::SendRequest<RequestBody>,
    /// Reads and writes the stream while it is polled. `None` when the connection is closed.
    exchange: Option<http1::Connection<Stream, RequestBody>>,
    wakes: Arc<Wakes>,
}

impl Http1 {
    async fn send(
        mut self: Box<Self>,
        authority: Authority,
        mut request: Request<RequestBody>,
        pool: &Arc<Pool>,
    ) -> Result<Response<ResponseBody>, Box<Unanswered>> {
        let uri = to_origin_form(authority, &mut request);
        let mut response = pin!(self.requests.try_send_request(request));
        let response = std::future::poll_fn(|cx| self.run(cx, |cx| response.as_mut().poll(cx))).await;
        match response {
            Ok(response) => {
                let idle_after = Some(Box::new(IdleAfter { connection: self, authority, pool: Arc::clone(pool) }));
                let mut response = response.map(|incoming| ResponseBody { incoming, idle_after, _http2: None });
                response.body_mut().return_connection_at_end();
                Ok(response)
            }
            Err(error) => {
                let mut unanswered = Unanswered::from(error);
                if let Some(request) = &mut unanswered.unsent {
                    *request.uri_mut() = uri;
                    request.headers_mut().remove(HOST);
                }
                Err(Box::new(unanswered))
            }
        }
    }

    /// Runs the connection until `step` is ready. `step` polls something that only this connection can make ready.
    fn run<T>(&mut self, cx: &mut Context<'_>, mut step: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.wakes.task.register(cx.waker());
        let waker = Waker::from(Arc::clone(&self.wakes));
        let mut inner = Context::from_waker(&waker);
        for _ in 0..MAX_TURNS {
            self.wakes.begin_turn();
            if let Poll::Ready(value) = step(&mut inner) {
                self.wakes.end_turn();
                return Poll::Ready(value);
            }
            let ended = self.exchange.as_mut().is_some_and(|exchange| Pin::new(exchange).poll(&mut inner).is_ready());
            if ended {
                // A request that the connection did not begin to send comes back when the connection is dropped.
                self.exchange = None;
            }
            if !self.wakes.end_turn() && !ended {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns whether the connection can carry another request. Notices if the server has closed it.
    pub(super) fn is_usable(&mut self) -> bool {
        let Some(exchange) = &mut self.exchange else { return false };
        let mut unwatched = Context::from_waker(Waker::noop());
        if Pin::new(exchange).poll(&mut unwatched).is_ready() {
            self.exchange = None;
            return false;
        }
        self.requests.is_ready()
    }
}

/// Rewrites a request as HTTP/1 writes it: only path and query are in the first line, and the host is in a header.
/// Returns the URI as it was.
fn to_origin_form(authority: Authority, request: &mut Request<RequestBody>) -> Uri {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    request.headers_mut().insert(HOST, HeaderValue::from_static(authority.host()));
    std::mem::replace(request.uri_mut(), Uri::from(path))
}

/// Passes the wakes of a connection on to the task that runs it. If the connection wakes itself while it runs, `run`
/// repeats its turn, and the task is not scheduled once more.
#[derive(Default)]
struct Wakes {
    task: AtomicWaker,
    is_running: AtomicBool,
    is_woken: AtomicBool,
}

impl Wakes {
    fn begin_turn(&self) {
        self.is_running.store(true, Ordering::SeqCst);
        self.is_woken.store(false, Ordering::SeqCst);
    }

    /// Returns whether a wake came during the turn. Later wakes go to the task.
    fn end_turn(&self) -> bool {
        self.is_running.store(false, Ordering::SeqCst);
        self.is_woken.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        if !self.is_running.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

/// The body of a response. It runs its connection while it is read. A connection with HTTP/1 goes to the pool when the
/// whole body has arrived, and is closed if the body is dropped before.
pub(super) struct ResponseBody {
    incoming: Incoming,
    /// `None` with HTTP/2, and after the connection went to the pool.
    idle_after: Option<Box<IdleAfter>>,
    /// The connection counts this request until its body is dropped. `None` with HTTP/1.
    _http2: Option<Http2>,
}

/// A connection that is idle after the body has been read.
struct IdleAfter {
    connection: Box<Http1>,
    authority: Authority,
    pool: Arc<Pool>,
}

impl ResponseBody {
    /// Gives the connection to the pool if the whole body has arrived.
    fn return_connection_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.return_connection();
        }
    }

    fn return_connection(&mut self) {
        if let Some(mut after) = self.idle_after.take() {
            // The task that ran the connection must not be kept in memory.
            after.connection.wakes.task.take();
            if after.connection.requests.is_ready() || after.connection.is_usable() {
                after.pool.put(after.authority, after.connection);
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { incoming, idle_after, .. } = &mut *self;
        let frame = match idle_after {
            Some(after) => after.connection.run(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)),
            None => Pin::new(incoming).poll_frame(cx),
        };
        if let Poll::Ready(frame) = &frame {
            match frame {
                Some(Ok(_)) => self.return_connection_at_end(),
                Some(Err(_)) => self.idle_after = None,
                // A body without an announced length has ended.
                None => self.return_connection(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
