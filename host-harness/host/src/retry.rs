//! Repeats a call while the connector says that a repetition helps.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Action, CallError};

/// The maximum number of repetitions after [`Action::StorageConflict`], which means that other writers were faster.
/// There is no pause before such a repetition.
const MAX_CONFLICTS: u32 = 3;

/// Makes a call, and repeats the call while the connector asks for a repetition: after the pause of
/// [`Action::RetryAfter`], and up to three times without a pause after [`Action::StorageConflict`]. Returns every other
/// outcome unchanged. Returns the last error if no repetition is possible in time.
///
/// No call begins later than `within` after the start of the first call. If the next pause would end after this time,
/// the error is returned without waiting. Pauses use tokio's clock, as all deadlines of this library do. If the future
/// is dropped, nothing is repeated, and the call that is running finishes on its own.
///
/// [`ConnectorHost::call`](crate::ConnectorHost::call) can be repeated even if the request changes something at TikTok
/// Shop. It returns `RetryAfter` only if TikTok Shop certainly did not act.
///
/// ```
/// # use std::time::Duration;
/// use tiktok_shop_host::refresh::{RefreshMode, Refreshed};
/// use tiktok_shop_host::retry::with_retries;
/// use tiktok_shop_host::{CallError, ConnectorHost, CustomerId, TenantId};
///
/// async fn renewed(host: &ConnectorHost, tenant: &TenantId, customer: &CustomerId) -> Result<Refreshed, CallError> {
///     with_retries(Duration::from_secs(60), || host.refresh(tenant, customer, None, RefreshMode::WhenDue)).await
/// }
/// ```
///
/// # Errors
/// The error of the last call.
pub async fn with_retries<T, F>(within: Duration, mut call: impl FnMut() -> F) -> Result<T, CallError>
where
    // `AsyncFnMut` would be shorter, but then a call that borrows could not run on a task of its own.
    F: Future<Output = Result<T, CallError>>,
{
    let began = Instant::now();
    let mut conflicts = 0;
    loop {
        let error = match call().await {
            Err(CallError::Connector(error)) => error,
            ended => return ended,
        };
        match error.action() {
            Action::RetryAfter(pause) if began.elapsed().saturating_add(pause) <= within => sleep(pause).await,
            Action::StorageConflict if conflicts < MAX_CONFLICTS && began.elapsed() <= within => conflicts += 1,
            Action::RetryAfter(_)
            | Action::StorageConflict
            | Action::Reauthorize
            | Action::Misconfigured
            | Action::InvalidRequest
            | Action::Upstream
            | Action::StorageFailed
            | Action::Internal => return Err(CallError::Connector(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ConnectorError, Failure, Plugin};

    const SECOND: Duration = Duration::from_secs(1);

    fn plugin() -> Plugin {
        Plugin::new("tiktok-shop:connector@0.2.0")
    }

    fn error(action: Action, code: &str) -> CallError {
        let failure = Failure { code: code.to_owned(), detail: String::new(), http_status: None, request_id: None };
        CallError::Connector(ConnectorError { plugin: plugin(), action, failure, proxy_error: None })
    }

    /// Runs calls that end with these outcomes, one after the other. Every call takes one second. Returns the second at
    /// which each call began, and the last outcome.
    async fn run(within: Duration, outcomes: Vec<Result<u8, CallError>>) -> (Vec<u64>, Result<u8, CallError>) {
        let (began, mut calls, mut outcomes) = (Instant::now(), Vec::new(), outcomes.into_iter());
        let last = with_retries(within, || {
            calls.push(began.elapsed().as_secs());
            let outcome = outcomes.next().expect("no outcome is left for this call");
            async {
                sleep(SECOND).await;
                outcome
            }
        })
        .await;
        (calls, last)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_repeated_after_the_pause_that_its_error_names() {
        let wait = |seconds| Err(error(Action::RetryAfter(SECOND * seconds), "rate-limited"));
        assert_eq!(run(60 * SECOND, vec![Ok(7)]).await, (vec![0], Ok(7)));
        assert_eq!(run(60 * SECOND, vec![wait(5), wait(0), wait(30), Ok(7)]).await, (vec![0, 6, 7, 38], Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_would_end_too_late_is_not_started() {
        let wait = |seconds, code| Err(error(Action::RetryAfter(SECOND * seconds), code));
        let (calls, last) = run(10 * SECOND, vec![wait(5, "first"), wait(4, "last")]).await;
        assert_eq!((calls, last), (vec![0, 6], wait(4, "last")), "3 s are left");
        assert_eq!(run(10 * SECOND, vec![wait(9, "first"), Ok(7)]).await, (vec![0, 10], Ok(7)), "just in time");
        let began = Instant::now();
        let hour = error(Action::RetryAfter(3600 * SECOND), "backing-off");
        assert_eq!(run(10 * SECOND, vec![Err(hour.clone())]).await, (vec![0], Err(hour)));
        assert_eq!(began.elapsed(), SECOND, "a pause that is too long is not waited for");
        assert_eq!(run(Duration::ZERO, vec![wait(0, "once")]).await, (vec![0], wait(0, "once")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_repeated_three_times_without_a_pause() {
        let conflict = || Err(error(Action::StorageConflict, "storage-conflict"));
        let outcomes = vec![conflict(), conflict(), conflict(), Ok(7)];
        assert_eq!(run(60 * SECOND, outcomes).await, (vec![0, 1, 2, 3], Ok(7)));
        let outcomes = vec![conflict(), conflict(), conflict(), conflict()];
        assert_eq!(run(60 * SECOND, outcomes).await, (vec![0, 1, 2, 3], conflict()));
        assert_eq!(run(Duration::ZERO, vec![conflict()]).await, (vec![0], conflict()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_spawned_task_can_repeat_a_call() {
        async fn ask(customer: &str) -> Result<usize, CallError> {
            sleep(SECOND).await;
            Ok(customer.len())
        }
        let customer = "customer-7".to_owned();
        let task = tokio::spawn(async move { with_retries(SECOND, || ask(&customer)).await });
        assert_eq!(task.await.expect("no panic"), Ok(10));
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_error_is_repeated() {
        let actions = [
            Action::Reauthorize,
            Action::Misconfigured,
            Action::InvalidRequest,
            Action::Upstream,
            Action::StorageFailed,
            Action::Internal,
        ];
        let ended = [
            CallError::DeadlineExceeded { plugin: plugin(), deadline: SECOND },
            CallError::Busy { plugin: plugin() },
            CallError::Aborted { plugin: plugin() },
        ];
        for last in actions.map(|action| error(action, "code")).into_iter().chain(ended) {
            assert_eq!(run(60 * SECOND, vec![Err(last.clone())]).await, (vec![0], Err(last)));
        }
    }
}
