//! What tests let happen between a host and its storage, and what they look at there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::storage::{Access, Interceptor, Passage};
use tokio::sync::Notify;

use crate::DAY;
use crate::watch::Sink;

/// Notes what is asked of storage, and lets a test interfere.
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
    async fn passage(&self, access: Access<'_>, beneath: &dyn HostStorage) -> Passage {
        Sink::Rows.write(format_args!("{access:?}"));
        let interceptor = self.interceptor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match interceptor {
            Some(interceptor) => interceptor.passage(access, beneath).await,
            None => Passage::Made,
        }
    }
}

/// Holds back the write of the first new pair: the first swap of a token record that makes it due days later than the one
/// before, as a claim is due when it lapses.
#[derive(Default)]
pub struct HoldsBackThePair {
    claimed: AtomicU64,
    is_held: AtomicBool,
    held: Notify,
    release: Notify,
}

impl HoldsBackThePair {
    /// Waits until the write is held.
    pub async fn held(&self) {
        self.held.notified().await;
    }

    /// Lets it go on, now or as soon as it comes.
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
            let claimed = match self.claimed.compare_exchange(0, due, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => due,
                Err(claimed) => claimed,
            };
            if due > claimed + DAY && !self.is_held.swap(true, Ordering::SeqCst) {
                self.held.notify_one();
                self.release.notified().await;
            }
        }
        Passage::Made
    }
}
