//! What tests let happen between a host and its storage, and what they look at there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tiktok_shop_host_harness::HostStorage;
use tiktok_shop_host_harness::contract_tests::{Access, Interceptor, Passage};
use tokio::sync::Notify;

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

/// Holds back the write of a new pair: the second swap of a token record that wins, as the first is the claim.
#[derive(Default)]
pub struct HoldsBackThePair {
    wins: AtomicUsize,
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
    async fn passage(&self, access: Access<'_>, beneath: &dyn HostStorage) -> Passage {
        if let Access::SwapToken(tenant, key, expected, _) = access {
            let found = match beneath.load_token(tenant, key).await {
                Ok(found) => found,
                Err(error) => return Passage::Failed(error),
            };
            let wins = found.as_ref().map(|entry| &entry.revision) == expected;
            if wins && self.wins.fetch_add(1, Ordering::SeqCst) == 1 {
                self.held.notify_one();
                self.release.notified().await;
            }
        }
        Passage::Made
    }
}
