//! Deadlines for calls into code of the embedder: storages and providers of credentials.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use super::error::StorageError;

/// Runs `work` for at most `limit`. If `work` panics or does not end in time, returns [`StorageError::Unavailable`].
pub(crate) async fn run_within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    run_to_deadline(Instant::now() + limit, work).await
}

/// Runs `work`, at most until `deadline`. If `work` panics or does not end in time, returns
/// [`StorageError::Unavailable`].
pub(crate) async fn run_to_deadline<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    // Unwind safety: nothing reads the future's state after a panic.
    match tokio::time::timeout_at(deadline, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(StorageError::Unavailable("the backend panicked".to_owned())),
        Err(_late) => Err(StorageError::Unavailable("the backend did not answer in time".to_owned())),
    }
}
