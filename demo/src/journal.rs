//! What the component asks of its host, and the host of its storage, in order: for `--explain`.
//!
//! Noted where it arrives. Clocks, randomness and HTTP are left out: the fake's log has the requests.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use fake_tiktok_shop::{Control, RequestRecord};
use tiktok_shop_host_harness::{
    AccountId, ConnectionKey, ConsentRecord, CustomerId, Due, Ending, Event, EventPosition, HostStorage, NewEvent,
    Next, Revision, Row, RowEntry, ShopId, StateDigest, StorageError, StoredConsent, Swapped, TenantId, TokenEntry,
    TokenWrite, UnixSeconds,
};

/// One thing that was asked, or where a call begins.
pub(crate) enum Entry {
    /// A call that the story shows.
    Call,
    /// Calls that only check what it shows.
    Checks,
    /// By the component: an import, as the WIT package names it.
    Import(&'static str),
    /// By the host library, of its storage.
    Host(&'static str),
    /// By the component, of TikTok Shop.
    Request(Box<RequestRecord>),
}

pub(crate) struct Journal {
    tiktok: Control,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    entries: Vec<Entry>,
    /// Number of the last request among them.
    last_request: u64,
}

impl Journal {
    pub(crate) fn of(tiktok: Control) -> Self {
        Self { tiktok, pages: Mutex::default() }
    }

    /// A call that the story shows begins.
    pub(crate) fn call(&self) {
        self.note(Some(Entry::Call));
    }

    /// From here to the next call the story only checks.
    pub(crate) fn checks(&self) {
        self.note(Some(Entry::Checks));
    }

    pub(crate) fn import(&self, name: &'static str) {
        self.note(Some(Entry::Import(name)));
    }

    fn host(&self, name: &'static str) {
        self.note(Some(Entry::Host(name)));
    }

    /// Everything since the last time. No call may be under way.
    pub(crate) fn take(&self) -> Vec<Entry> {
        let entries = self.note(None);
        self.tiktok.clear_requests();
        entries
    }

    /// Notes the requests that were answered meanwhile, then the entry; without one, hands out all there are.
    fn note(&self, entry: Option<Entry>) -> Vec<Entry> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for request in self.tiktok.requests() {
            if request.number > pages.last_request {
                pages.last_request = request.number;
                pages.entries.push(Entry::Request(Box::new(request)));
            }
        }
        match entry {
            Some(entry) => {
                pages.entries.push(entry);
                Vec::new()
            }
            None => mem::take(&mut pages.entries),
        }
    }
}

/// A storage that notes what is asked of it.
pub(crate) struct NotingStorage {
    storage: Box<dyn HostStorage>,
    journal: Arc<Journal>,
}

impl NotingStorage {
    pub(crate) fn new(storage: Box<dyn HostStorage>, journal: Arc<Journal>) -> Self {
        Self { storage, journal }
    }
}

#[async_trait]
impl HostStorage for NotingStorage {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.journal.import("token-storage.accounts");
        self.storage.accounts(tenant, customer).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        self.journal.import("token-storage.load");
        self.storage.load_token(tenant, key).await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        self.journal.import("token-storage.swap");
        self.storage.swap_token(tenant, key, expected, next).await
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        self.journal.import("connection-storage.list");
        self.storage.list_rows(tenant, customer).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        self.journal.import("connection-storage.load");
        self.storage.load_row(tenant, key).await
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        self.journal.import("connection-storage.swap");
        self.storage.swap_row(tenant, key, expected, next, events).await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.journal.host("due");
        self.storage.due(now, after, limit).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.journal.import("connection-storage.owners");
        self.storage.owners(tenant, shop).await
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        self.journal.host("endings");
        self.storage.endings(by, after, limit).await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        self.journal.host("events");
        self.storage.events(tenant, after, limit).await
    }

    async fn append_once(&self, tenant: &TenantId, once: &str, event: &NewEvent) -> Result<bool, StorageError> {
        self.journal.host("append_once");
        self.storage.append_once(tenant, once, event).await
    }

    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        self.journal.host("put_state");
        self.storage.put_state(tenant, state, consent).await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        self.journal.host("load_state");
        self.storage.load_state(tenant, state).await
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.journal.host("use_state");
        self.storage.use_state(tenant, state).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        self.journal.host("release_state");
        self.storage.release_state(tenant, state).await
    }

    async fn knows_webhook(&self, tenant: &TenantId, id: &str) -> Result<bool, StorageError> {
        self.journal.host("knows_webhook");
        self.storage.knows_webhook(tenant, id).await
    }

    async fn remember_webhook(&self, tenant: &TenantId, id: &str) -> Result<(), StorageError> {
        self.journal.host("remember_webhook");
        self.storage.remember_webhook(tenant, id).await
    }
}
