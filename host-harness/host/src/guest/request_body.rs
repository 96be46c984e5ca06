//! The body of a request while the guest writes it. The host sends a request only when its body is complete, so the body
//! accepts every write at once, up to a limit. All bodies of a call also have a limit together.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiBody};

use super::resources::Exceeded;
use crate::egress::MAX_REQUEST_BODY_BYTES;
use crate::error::Resource;

/// How much the guest may write at once: 1 MiB.
const MAX_WRITE: usize = 1 << 20;

/// How many bytes the bodies of one call may have together: four of the largest bodies, 64 MiB. A call of the connector
/// sends its body at most twice, because it repeats a call after TikTok has refused the access token.
const MAX_BYTES_OF_A_CALL: usize = 4 * MAX_REQUEST_BODY_BYTES;

/// How many bytes the bodies of a call may still get. Bytes that were sent count, too. All clones share the number.
#[derive(Clone)]
pub(super) struct BytesLeft(Arc<AtomicUsize>);

impl Default for BytesLeft {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(MAX_BYTES_OF_A_CALL)))
    }
}

impl BytesLeft {
    /// Takes this many bytes. Returns `None` and takes nothing if fewer are left.
    fn take(&self, bytes: usize) -> Option<()> {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(drop)
    }
}

/// The resource `outgoing-body` of `wasi:http`.
pub(super) struct RequestBody {
    written: Arc<Mutex<Written>>,
    /// Whether the guest has taken the stream. It can take it once.
    has_stream: bool,
}

struct Written {
    bytes: Vec<u8>,
    /// The length that the guest has announced.
    announced: Option<u64>,
    bytes_left: BytesLeft,
    state: State,
    /// The task that waits for the end of the body.
    waiting: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    /// The guest has dropped the body, or has not written what it announced.
    Aborted,
    TooLarge,
}

impl Written {
    fn end(&mut self, state: State) {
        self.state = state;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RequestBody {
    /// Returns the resource for the guest, and the body for the host, which is complete when the guest has finished it.
    pub(super) fn new(announced: Option<u64>, bytes_left: BytesLeft) -> (Self, WasiBody) {
        let written = Written { bytes: Vec::new(), announced, bytes_left, state: State::Open, waiting: None };
        let written = Arc::new(Mutex::new(written));
        let body = WholeBody(Arc::clone(&written)).boxed_unsync();
        (Self { written, has_stream: false }, body)
    }

    /// Returns the stream to which the guest writes. `None` if the guest has taken it before.
    pub(super) fn stream(&mut self) -> Option<Box<dyn OutputStream>> {
        let is_first = !std::mem::replace(&mut self.has_stream, true);
        is_first.then(|| Box::new(BodyStream(Arc::clone(&self.written))) as Box<dyn OutputStream>)
    }

    /// Ends the body. Fails if the guest announced another length.
    pub(super) fn finish(self) -> Result<(), ErrorCode> {
        let mut written = lock(&self.written);
        let length = written.bytes.len() as u64;
        if written.announced.is_some_and(|announced| announced != length) {
            written.end(State::Aborted);
            return Err(ErrorCode::HttpRequestBodySize(Some(length)));
        }
        if written.state == State::Open {
            written.end(State::Finished);
        }
        Ok(())
    }
}

/// A body that the guest does not finish is never sent.
impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut written = lock(&self.written);
        if written.state == State::Open {
            written.end(State::Aborted);
        }
    }
}

struct BodyStream(Arc<Mutex<Written>>);

#[async_trait]
impl Pollable for BodyStream {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for BodyStream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let mut written = lock(&self.0);
        if written.state != State::Open {
            return Err(StreamError::Closed);
        }
        let length = written.bytes.len() + bytes.len();
        if length > MAX_REQUEST_BODY_BYTES {
            written.bytes = Vec::new();
            written.end(State::TooLarge);
            return Err(StreamError::Closed);
        }
        if written.announced.is_some_and(|announced| length as u64 > announced) {
            let error = ErrorCode::HttpRequestBodySize(Some(length as u64));
            return Err(StreamError::LastOperationFailed(error.into()));
        }
        // The guest keeps the bytes of each body that it does not drop, so many bodies would use up the host's memory.
        if written.bytes_left.take(bytes.len()).is_none() {
            return Err(StreamError::Trap(Exceeded(Resource::Memory).into()));
        }
        written.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.check_write().map(drop)
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        if lock(&self.0).state == State::Open { Ok(MAX_WRITE) } else { Err(StreamError::Closed) }
    }
}

/// The body for the host: one piece with everything that the guest has written, after the guest has finished it.
struct WholeBody(Arc<Mutex<Written>>);

impl Body for WholeBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut written = lock(&self.0);
        match written.state {
            State::Open => {
                written.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Finished if written.bytes.is_empty() => Poll::Ready(None),
            State::Finished => Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut written.bytes).into())))),
            State::Aborted => Poll::Ready(Some(Err(Error::HttpProtocolError))),
            State::TooLarge => Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(MAX_REQUEST_BODY_BYTES as u64))))),
        }
    }
}

#[cfg(test)]
mod tests;
