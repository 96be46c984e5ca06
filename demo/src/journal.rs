//! What the component asks of its host, and the host of its storage, in order: for `--explain`.
//!
//! Noted where it arrives. Clocks, randomness and HTTP are left out: the fake's log has the requests.

use std::mem;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use fake_tiktok_shop::{Control, RequestRecord};
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::storage::{Access, Interceptor, Passage};

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

/// Notes what is asked of storage.
#[async_trait]
impl Interceptor for Journal {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        match access.method() {
            "accounts" => self.import("token-storage.accounts"),
            "load_token" => self.import("token-storage.load"),
            "swap_token" => self.import("token-storage.swap"),
            "list_rows" => self.import("connection-storage.list"),
            "load_row" => self.import("connection-storage.load"),
            "swap_row" => self.import("connection-storage.swap"),
            "owners" => self.import("connection-storage.owners"),
            other => self.host(other),
        }
        Passage::Made
    }
}
