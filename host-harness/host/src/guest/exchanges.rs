//! Runs the HTTP requests of one call in the task of the call.
//!
//! Code that a guest calls runs on the guest's stack, and each page of a stack that was used once stays in memory until
//! the call ends. So the requests do not run there. The call's task runs them before it continues the guest, on the stack
//! of its thread, which all calls share.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use http::Response;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi_http::{Error, WasiBody};

/// The end of a request: its response, or an error.
pub(super) type Answer = Result<Response<WasiBody>, Error>;
/// A request that is being sent, or whose response is awaited.
pub(super) type Sending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The requests of one call. All clones share the same requests.
#[derive(Clone, Default)]
pub(super) struct Exchanges(Arc<Mutex<Vec<Weak<Mutex<Exchange>>>>>);

/// The response of a request: the resource `future-incoming-response`. It owns the request, so the request ends when the
/// guest drops it.
pub(super) struct PendingResponse(Arc<Mutex<Exchange>>);

enum Exchange {
    Sending(Sending),
    /// `None` if the guest has got the answer.
    Ended(Option<Answer>),
}

impl Exchanges {
    /// Begins a request. It makes progress in [`run`](Self::run).
    pub(super) fn begin(&self, sending: Sending) -> PendingResponse {
        let exchange = Arc::new(Mutex::new(Exchange::Sending(sending)));
        lock(&self.0).push(Arc::downgrade(&exchange));
        PendingResponse(exchange)
    }

    /// Runs a call and its requests. A request that ends wakes nobody, because the call continues directly after it.
    pub(super) async fn run<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        std::future::poll_fn(|cx| {
            loop {
                let running = self.poll_all(cx);
                if let Poll::Ready(result) = call.as_mut().poll(cx) {
                    return Poll::Ready(result);
                }
                // The guest may have begun requests that nobody has polled yet.
                if lock(&self.0).len() <= running {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Polls all requests, and removes those that have ended or were dropped. Returns how many are left.
    fn poll_all(&self, cx: &mut Context<'_>) -> usize {
        // A request does not begin other requests, so the list is complete without those that are polled.
        let mut exchanges = std::mem::take(&mut *lock(&self.0));
        exchanges.retain(|exchange| exchange.upgrade().is_some_and(|exchange| lock(&exchange).poll(cx).is_pending()));
        let running = exchanges.len();
        *lock(&self.0) = exchanges;
        running
    }
}

impl Exchange {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Sending(sending) = self {
            let answer = ready!(sending.as_mut().poll(cx));
            *self = Self::Ended(Some(answer));
        }
        Poll::Ready(())
    }
}

impl PendingResponse {
    /// Returns the answer if it is there. Returns `None` if it was taken before.
    pub(super) fn take(&self) -> Poll<Option<Answer>> {
        match &mut *lock(&self.0) {
            Exchange::Sending(_) => Poll::Pending,
            Exchange::Ended(answer) => Poll::Ready(answer.take()),
        }
    }
}

#[async_trait]
impl Pollable for PendingResponse {
    /// Needs no waker: [`Exchanges::run`] polls the guest after every progress of a request.
    async fn ready(&mut self) {
        let poll = || if matches!(*lock(&self.0), Exchange::Sending(_)) { Poll::Pending } else { Poll::Ready(()) };
        std::future::poll_fn(|_| poll()).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
