//! Deadlines for calls into code of the embedder: storages and providers of credentials. Also the pauses between the
//! attempts of a write.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use super::error::StorageError;

/// The pause before the first repetition of a write. The pause doubles with each repetition, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(1_600);

/// The pauses between the attempts of one write. A storage that fails over refuses attempts at once, for some seconds.
pub(crate) struct RetryBackoff {
    next: Duration,
    end: Instant,
}

impl RetryBackoff {
    /// The write may take until `end`.
    pub(crate) const fn until(end: Instant) -> Self {
        Self { next: FIRST_PAUSE, end }
    }

    /// Waits before the next attempt. Returns `false` at once if the pause would not end in time.
    pub(crate) async fn wait(&mut self) -> bool {
        if Instant::now() + self.next >= self.end {
            return false;
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(MAX_PAUSE);
        true
    }
}

/// Runs `work` for at most `limit`, which begins now and not when the future is first polled. If `work` panics or does
/// not end in time, returns [`StorageError::Unavailable`].
pub(crate) fn run_within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StorageError>>,
) -> impl Future<Output = Result<T, StorageError>> {
    run_to_deadline(Instant::now() + limit, work)
}

/// Runs `work`, at most until `deadline`. If `work` panics or does not end in time, returns
/// [`StorageError::Unavailable`].
///
/// The future lies on the stack of the guest, so it must be small. The future of an `async fn` would have room for
/// `work` three times: as the argument, and for each value into which the function wraps the argument. So this is a
/// plain function.
pub(crate) fn run_to_deadline<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, StorageError>>,
) -> impl Future<Output = Result<T, StorageError>> {
    // Unwind safety: nothing reads the future's state after a panic.
    tokio::time::timeout_at(deadline, AssertUnwindSafe(work).catch_unwind()).map(|ended| match ended {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(StorageError::Unavailable("the backend panicked".to_owned())),
        Err(_late) => Err(StorageError::Unavailable("the backend did not answer in time".to_owned())),
    })
}
