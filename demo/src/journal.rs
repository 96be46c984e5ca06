//! Records for `--explain` which imports the component calls, and which methods of the storage the host library calls
//! by itself. The entries are in the order of the calls.
//!
//! The journal leaves out the imports for clocks, randomness and HTTP. Instead of the HTTP imports, it lists the
//! requests in the log of the fake TikTok Shop.

use std::mem;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use fake_tiktok_shop::{Control, RequestRecord};
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::storage::{Access, Interceptor, Passage};

/// An entry of the journal.
pub(crate) enum Entry {
    /// The start of a call that the demo shows.
    Call,
    /// From here on, the demo makes calls that it does not show. These calls only check what the demo shows.
    Checks,
    /// The component calls this import. The text is the import's name in the WIT package.
    Import(&'static str),
    /// The host library calls this method of its storage for its own work, not for the component.
    Host(&'static str),
    /// The component sends this request to TikTok Shop.
    Request(Box<RequestRecord>),
}

pub(crate) struct Journal {
    tiktok: Control,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    entries: Vec<Entry>,
    /// The number of the newest request that was added to `entries`.
    last_request: u64,
}

impl Journal {
    pub(crate) fn new(tiktok: Control) -> Self {
        Self { tiktok, pages: Mutex::default() }
    }

    /// Notes the start of a call that the demo shows.
    pub(crate) fn call(&self) {
        self.note(Some(Entry::Call));
    }

    /// Notes that the demo makes only checks from here to the next [`Journal::call`].
    pub(crate) fn checks(&self) {
        self.note(Some(Entry::Checks));
    }

    pub(crate) fn import(&self, name: &'static str) {
        self.note(Some(Entry::Import(name)));
    }

    fn host(&self, name: &'static str) {
        self.note(Some(Entry::Host(name)));
    }

    /// Takes all entries out of the journal. Call this function only while no call of a host is running.
    pub(crate) fn take(&self) -> Vec<Entry> {
        let entries = self.note(None);
        self.tiktok.clear_requests();
        entries
    }

    /// Adds the requests that the fake has answered since the last call of this function, and then adds `entry`. If
    /// `entry` is `None`, takes all entries out of the journal and returns them.
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

/// Notes each call that the host makes to its storage.
#[async_trait]
impl Interceptor for Journal {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        match access.method() {
            "accounts" => self.import("storage.accounts"),
            "load_token" => self.import("storage.load(tokens)"),
            "swap_token" => self.import("storage.swap(tokens)"),
            "list_rows" => self.import("storage.list"),
            "load_row" => self.import("storage.load(rows)"),
            "swap_row" => self.import("storage.swap(rows)"),
            "owners" => self.import("storage.owners"),
            other => self.host(other),
        }
        Passage::Forward
    }
}
