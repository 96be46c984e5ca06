//! Runs the HTTP requests of one call in the task of the call.
//!
//! Code that a guest calls runs on the guest's stack, and each page of a stack that was used once stays in memory until
//! the call ends. So the requests do not run there. The call's task runs them before it continues the guest, on the stack
//! of its thread, which all calls share.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

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
pub(super) struct Exchanges(Arc<Mutex<Vec<Exchange>>>);

struct Exchange {
    sending: Sending,
    response: Weak<Mutex<Slot>>,
}

/// The response of a request: the resource `future-incoming-response`. If the guest drops it, the request ends.
pub(super) struct PendingResponse(Arc<Mutex<Slot>>);

/// The place for the answer of one request.
pub(super) enum Slot {
    Waiting,
    Ready(Answer),
    /// The guest has got the answer.
    Taken,
}

impl Exchanges {
    /// Begins a request. It makes progress in [`run`](Self::run).
    pub(super) fn begin(&self, sending: Sending) -> PendingResponse {
        let slot = Arc::new(Mutex::new(Slot::Waiting));
        lock(&self.0).push(Exchange { sending, response: Arc::downgrade(&slot) });
        PendingResponse(slot)
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

    /// Polls all requests, and removes those that have ended. Returns how many are left.
    fn poll_all(&self, cx: &mut Context<'_>) -> usize {
        // A request does not begin other requests, so the list is complete without those that are polled.
        let mut exchanges = std::mem::take(&mut *lock(&self.0));
        exchanges.retain_mut(|exchange| exchange.poll(cx).is_pending());
        let running = exchanges.len();
        *lock(&self.0) = exchanges;
        running
    }
}

impl Exchange {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(slot) = self.response.upgrade() else { return Poll::Ready(()) };
        self.sending.as_mut().poll(cx).map(|answer| *lock(&slot) = Slot::Ready(answer))
    }
}

impl PendingResponse {
    /// Returns the answer if it is there. The second time, there is no answer any more.
    pub(super) fn take(&self) -> Slot {
        let mut slot = lock(&self.0);
        if matches!(*slot, Slot::Waiting) { Slot::Waiting } else { std::mem::replace(&mut *slot, Slot::Taken) }
    }
}

#[async_trait]
impl Pollable for PendingResponse {
    /// Needs no waker: [`Exchanges::run`] polls the guest after every progress of a request.
    async fn ready(&mut self) {
        std::future::poll_fn(|_| if matches!(*lock(&self.0), Slot::Waiting) { Poll::Pending } else { Poll::Ready(()) })
            .await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
