//! Checks which records are stored after a test has killed the program `storage-writer`, which writes records without
//! end. This module defines these records, reads the lines that the program prints, and compares the stored records
//! with these lines.
#![allow(clippy::panic, reason = "a broken expectation is a failed test")]

use std::collections::BTreeMap;

use tiktok_shop_host::connection::{Connection, ConnectionKey, Shop};
use tiktok_shop_host::events::{EventKind, NewEvent};
use tiktok_shop_host::seal::Keyring;
use tiktok_shop_host::storage::{HostStorage, OpenRow, RowEntry};
use tiktok_shop_host::{Revision, TenantId};

/// The number of connections. `storage-writer` runs one task for each connection.
pub const CUSTOMERS: usize = 8;

/// Returns the tenant of all connections.
///
/// # Panics
/// Never.
#[must_use]
pub fn tenant() -> TenantId {
    "crash".parse().expect("a tenant id")
}

/// Returns the key of a connection. The connections are numbered from 0.
///
/// # Panics
/// Never.
#[must_use]
pub fn customer(number: usize) -> ConnectionKey {
    let customer = format!("customer-{number}").parse().expect("a customer id");
    ConnectionKey { customer, account: "account".parse().expect("an account id") }
}

/// Returns a row that contains its revision in several places: as the seller's name, and as the name and the cipher of
/// both shops. So the check notices a row whose parts come from two writes.
///
/// # Panics
/// Never.
#[must_use]
pub fn row(key: &ConnectionKey, revision: &Revision) -> OpenRow {
    let shop = |id: &str| Shop {
        name: revision.to_string(),
        cipher: Some(revision.as_str().into()),
        raw: "{}".to_owned(),
        linked: true,
        ..Shop::new(id.parse().expect("a shop id"), key.account.clone())
    };
    OpenRow::new(Connection {
        seller_name: revision.to_string(),
        shops: vec![shop("1"), shop("2")],
        ..Connection::new(key.clone())
    })
}

/// The state of one token record or one row, as it is known from the writers' lines and from the last check.
#[derive(Default, Debug)]
struct Reported {
    /// The revision that is known to be stored, or `-` if it is known that nothing is stored. `None` if neither a line
    /// nor a check has shown the state yet.
    done: Option<String>,
    /// The revision of a later write (`-` for a deletion) that the writer has begun and the storage has not answered.
    tried: Option<String>,
    /// The revision of a write (`-` for a deletion) that had no answer when its writer died. The check after the
    /// writer's death did not find this write, but a database server may still complete this write after the check.
    late: Option<String>,
}

/// The state of all records, as it is known from the lines of all writers and from the checks. Each writer is a process
/// of `storage-writer`. A writer starts only after the writer before it has died.
#[derive(Default, Debug)]
pub struct WriterLog {
    records: BTreeMap<(String, usize), Reported>,
    /// The number of writes that were answered.
    pub answered: usize,
    /// The number of writes that were not answered before their writer died, but were stored.
    pub found_done: usize,
    /// The number of writes that were not answered before their writer died, and were not stored.
    pub found_undone: usize,
}

impl WriterLog {
    /// Reads a line that a writer has printed. `storage-writer/main.rs` describes the lines.
    ///
    /// # Panics
    /// If the line is malformed, or if it says that a write is done, but no line before it says that this write has
    /// begun.
    pub fn read_line(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let [step, record, number, revision] = words[..] else { panic!("not a line of a writer: {line}") };
        let number = number.parse().expect("a number");
        let reported = self.records.entry((record.to_owned(), number)).or_default();
        match step {
            "try" => reported.tried = Some(revision.to_owned()),
            "done" => {
                assert_eq!(reported.tried.take().as_deref(), Some(revision), "{line}");
                reported.done = Some(revision.to_owned());
                reported.late = None;
                self.answered += 1;
            }
            _ => panic!("not a line of a writer: {line}"),
        }
    }

    /// Compares the stored records with the writers' lines. Tests call this function after a writer has died. These
    /// rules must hold:
    ///
    /// - Each stored record comes from its newest answered write, or from a write without an answer. (A deletion is
    ///   also a write.)
    /// - All parts of a stored record come from the same write.
    /// - The `Connected` and `Disconnected` events of a row alternate, and the last event tells whether the row is
    ///   stored.
    /// - The keyring can decrypt every record.
    ///
    /// # Panics
    /// If one of these rules is broken.
    pub async fn check(&mut self, storage: &dyn HostStorage, keyring: &Keyring) {
        let tenant = tenant();
        for number in 0..CUSTOMERS {
            let key = customer(number);
            let token = storage.load_token(&tenant, &key).await.expect("the storage answers");
            if let Some(entry) = &token {
                let opened =
                    keyring.open_token(&tenant, &key, &entry.revision, &entry.value).await.expect("the record opens");
                assert_eq!(opened.as_slice(), entry.revision.as_str().as_bytes());
            }
            self.settle("token", number, token.map(|entry| entry.revision));

            let (entry, events) = self.row_and_events(storage, &key).await;
            if let Some(entry) = &entry {
                let opened = keyring.open_row(&tenant, &entry.revision, &entry.row).await.expect("the record opens");
                assert_eq!(opened, row(&key, &entry.revision), "every part of the row is from one write");
            }
            let [connected, disconnected] = events;
            assert_eq!(
                connected,
                disconnected + usize::from(entry.is_some()),
                "a row and its events are written together"
            );
            self.settle("row", number, entry.map(|entry| entry.revision));
        }
    }

    /// Returns a row, and the numbers of its events that belong to the same moment. A server may carry out the last
    /// statement of a killed writer a little later, so it may change the row between two reads.
    async fn row_and_events(&self, storage: &dyn HostStorage, key: &ConnectionKey) -> (Option<RowEntry>, [usize; 2]) {
        let read = async || storage.load_row(&tenant(), key).await.expect("the storage answers");
        let mut row = read().await;
        loop {
            let events = self.events(storage, key).await;
            let again = read().await;
            let is_same = row.as_ref().map(|row| &row.revision) == again.as_ref().map(|row| &row.revision);
            row = again;
            if is_same {
                return (row, events);
            }
        }
    }

    /// Returns how many `Connected` and how many `Disconnected` events a connection has. Panics if they do not
    /// alternate.
    async fn events(&self, storage: &dyn HostStorage, key: &ConnectionKey) -> [usize; 2] {
        let events = storage.events(&tenant(), None, usize::MAX).await.expect("the storage answers");
        let ours = events.iter().filter(|event| event.event.key.as_ref() == Some(key));
        let mut last = None;
        for (event, is_connected) in ours.map(|event| (event, event.event.kind == EventKind::Connected)) {
            assert_ne!(last, Some(is_connected), "the events alternate: {event:?}");
            last = Some(is_connected);
        }
        let is_ours = |event: &NewEvent, kind: &EventKind| event.key.as_ref() == Some(key) && event.kind == *kind;
        let count = |kind| events.iter().filter(|event| is_ours(&event.event, &kind)).count();
        [count(EventKind::Connected), count(EventKind::Disconnected)]
    }

    /// Checks the stored revision of one record against the writers' lines. Then records that this revision is stored.
    /// `found` is `None` if no record is stored.
    fn settle(&mut self, record: &str, number: usize, found: Option<Revision>) {
        let found = found.map_or_else(|| "-".to_owned(), String::from);
        let reported = self.records.entry((record.to_owned(), number)).or_default();
        let tried = reported.tried.take();
        let is_earlier_write =
            *reported.done.get_or_insert_with(|| "-".to_owned()) == found || reported.late.as_ref() == Some(&found);
        match &tried {
            Some(tried) if *tried == found => {
                self.found_done += 1;
                reported.late = None;
            }
            Some(_) if is_earlier_write => {
                self.found_undone += 1;
                reported.late = tried;
            }
            None if is_earlier_write => {}
            tried => panic!(
                "{record} of {number}: {found} is stored, but the writer reported {reported:?} and tried {tried:?}"
            ),
        }
        reported.done = Some(found);
    }
}
