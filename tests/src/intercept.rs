//! A say in every access of a stage's storage: for storage that is slow, old, or does not tell whether it wrote.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tiktok_shop_host_harness::{
    ConnectionKey, CustomerId, HostStorage, Next, Revision, RowEntry, StorageError, TenantId, TokenEntry, TokenWrite,
};
use tokio::sync::Notify;

/// An access of storage that is about to be made.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// `accounts`.
    Accounts(&'a CustomerId),
    /// `load_token`.
    LoadToken(&'a TenantId, &'a ConnectionKey),
    /// `swap_token`.
    SwapToken(&'a TenantId, &'a ConnectionKey, Option<&'a Revision>, Option<&'a Next<TokenWrite>>),
    /// `list_rows`.
    ListRows(&'a CustomerId),
    /// `load_row`.
    LoadRow(&'a TenantId, &'a ConnectionKey),
    /// `swap_row`.
    SwapRow(&'a TenantId, &'a ConnectionKey),
    /// `remember_webhook`.
    RememberWebhook,
    /// Anything else: lists over customers, events, states.
    Other,
}

impl<'a> Access<'a> {
    /// Whose records it is about.
    #[must_use]
    pub fn customer(self) -> Option<&'a CustomerId> {
        match self {
            Self::Accounts(customer) | Self::ListRows(customer) => Some(customer),
            Self::LoadToken(_, key) | Self::SwapToken(_, key, ..) | Self::LoadRow(_, key) | Self::SwapRow(_, key) => {
                Some(&key.customer)
            }
            Self::RememberWebhook | Self::Other => None,
        }
    }
}

/// What becomes of an access.
#[derive(Debug)]
pub enum Passage {
    /// It is made.
    Made,
    /// It is made, and nobody hears of it.
    AnswerLost,
    /// It is made twice, as by a driver that repeats what it got no answer to; the second answer is heard.
    MadeTwice,
    /// It is not made.
    Failed(StorageError),
    /// A load of a token record answers with this, an earlier version.
    OldToken(Option<TokenEntry>),
    /// A load of a row answers with this, an earlier version.
    OldRow(Option<Box<RowEntry>>),
}

/// Decides what becomes of each access.
#[async_trait]
pub trait Interceptor: Send + Sync {
    /// What becomes of this one. `beneath` is the storage it is about to reach.
    async fn passage(&self, access: Access<'_>, beneath: &dyn HostStorage) -> Passage;
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
