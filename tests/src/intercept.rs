//! Interceptors between a host and its storage. Tests use interceptors to record, change or delay the host's accesses
//! to its storage.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::storage::{Access, Interceptor, Passage};
use tokio::sync::Notify;

use crate::DAY;
use crate::watch::Sink;

/// An interceptor that records every access to storage. If a test has set its own interceptor, the watcher passes each
/// access on to that interceptor.
#[derive(Default)]
pub(crate) struct Watcher {
    interceptor: Mutex<Option<Arc<dyn Interceptor>>>,
}

impl Watcher {
    pub(crate) fn intercept(&self, interceptor: Arc<dyn Interceptor>) {
        *self.interceptor.lock().unwrap_or_else(PoisonError::into_inner) = Some(interceptor);
    }
}

#[async_trait]
impl Interceptor for Watcher {
    async fn passage(&self, access: Access<'_>, inner: &dyn HostStorage) -> Passage {
        Sink::Rows.write(format_args!("{access:?}"));
        let interceptor = self.interceptor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match interceptor {
            Some(interceptor) => interceptor.passage(access, inner).await,
            None => Passage::Forward,
        }
    }

    fn sees_joint_reads(&self) -> bool {
        let interceptor = self.interceptor.lock().unwrap_or_else(PoisonError::into_inner);
        interceptor.as_ref().is_none_or(|interceptor| interceptor.sees_joint_reads())
    }
}

/// An interceptor that holds back one write: the write with which a refresh saves its new pair of tokens (access token
/// and refresh token).
///
/// A refresh writes the token record twice. First the refresh stores a claim: a note that this caller sends the refresh
/// token now. This write sets the record's due time to the moment when the claim lapses. After TikTok's answer, the
/// refresh stores the new pair and sets the due time to a moment days later. So the interceptor remembers the due time
/// of the first write that it sees. It holds back the first write whose due time is more than a day later than this due
/// time. Tests set this interceptor after the `connect`.
#[derive(Default)]
pub struct HoldsBackThePair {
    /// The due time that the first write has set, in Unix seconds. 0 before the first write.
    claim_due: AtomicU64,
    is_held: AtomicBool,
    held: Notify,
    release: Notify,
}

impl HoldsBackThePair {
    /// Waits until the write has come and is held back.
    pub async fn held(&self) {
        self.held.notified().await;
    }

    /// Lets the write go on. If the write has not come yet, it will go on at once when it comes.
    pub fn release(&self) {
        self.release.notify_one();
    }
}

#[async_trait]
impl Interceptor for HoldsBackThePair {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if let Access::SwapToken(.., Some(next)) = access
            && let Some(UnixSeconds(due)) = next.value.refresh_due_at
        {
            let claim_due = match self.claim_due.compare_exchange(0, due, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => due,
                Err(claim_due) => claim_due,
            };
            if due > claim_due + DAY && !self.is_held.swap(true, Ordering::SeqCst) {
                self.held.notify_one();
                self.release.notified().await;
            }
        }
        Passage::Forward
    }
}
