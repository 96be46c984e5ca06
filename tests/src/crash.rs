//! What a writer that is killed writes, and what must be found afterwards.
#![allow(clippy::panic, reason = "a broken expectation is a failed test")]

use std::collections::BTreeMap;

use tiktok_shop_host::connection::{
    Connection, ConnectionKey, ConnectionStatus, Shop, ShopPolicy, ShopStanding, UnixSeconds,
};
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::seal::Keyring;
use tiktok_shop_host::storage::{HostStorage, Row};
use tiktok_shop_host::{Revision, TenantId};

/// Connections that are written, each by a task of its own.
pub const CUSTOMERS: usize = 8;

/// Whose they are.
///
/// # Panics
/// Never.
#[must_use]
pub fn tenant() -> TenantId {
    "crash".parse().expect("a tenant id")
}

/// The connection of this number.
///
/// # Panics
/// Never.
#[must_use]
pub fn customer(number: usize) -> ConnectionKey {
    let customer = format!("customer-{number}").parse().expect("a customer id");
    ConnectionKey { customer, account: "account".parse().expect("an account id") }
}

/// A row that holds its revision in every part: in the connection, in two shops, and in their ciphers.
///
/// # Panics
/// Never.
#[must_use]
pub fn row(key: &ConnectionKey, revision: &Revision) -> Row {
    let shop = |id: &str| Shop {
        id: id.parse().expect("a shop id"),
        account: key.account.clone(),
        name: revision.to_string(),
        region: String::new(),
        seller_type: String::new(),
        cipher: Some(revision.as_str().into()),
        code: String::new(),
        raw: "{}".to_owned(),
        standing: ShopStanding::Granted,
        linked: true,
    };
    let connection = Connection {
        key: key.clone(),
        seller_name: revision.to_string(),
        seller_base_region: String::new(),
        granted_scopes: Vec::new(),
        shop_policy: ShopPolicy::All,
        status: ConnectionStatus::Active,
        access_expires_at: None,
        refresh_expires_at: None,
        authorization_ends_at: None,
        connected_at: UnixSeconds(0),
        granted_at: UnixSeconds(0),
        refreshed_at: UnixSeconds(0),
        shops_synced_at: None,
        shops: vec![shop("1"), shop("2")],
        last_failure: None,
    };
    Row { connection, ciphers: None, token_lineage: String::new(), token_generation: 0 }
}

/// What a writer has said of one record.
#[derive(Default, Debug)]
struct Said {
    /// The last write that the storage has answered: a revision, or `-`.
    done: Option<String>,
    /// One that was under way after it.
    tried: Option<String>,
    /// One that was under way when an earlier writer died, and was not found done: a server may still have been at it.
    late: Option<String>,
}

/// What writers have said, over all their lives.
#[derive(Default, Debug)]
pub struct Account {
    said: BTreeMap<(String, usize), Said>,
    /// Writes that were answered.
    pub answered: usize,
    /// Writes that were under way when their writer died, and are found done.
    pub found_done: usize,
    /// The same, and found not done.
    pub found_undone: usize,
}

impl Account {
    /// Takes a line of a writer.
    ///
    /// # Panics
    /// If it is none.
    pub fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let [what, record, number, revision] = words[..] else { panic!("not a line of a writer: {line}") };
        let number = number.parse().expect("a number");
        let said = self.said.entry((record.to_owned(), number)).or_default();
        match what {
            "try" => said.tried = Some(revision.to_owned()),
            "done" => {
                assert_eq!(said.tried.take().as_deref(), Some(revision), "{line}");
                said.done = Some(revision.to_owned());
                said.late = None;
                self.answered += 1;
            }
            _ => panic!("not a line of a writer: {line}"),
        }
    }

    /// Holds what is stored against what was said: every write that was answered is there, whole, and of one that was under
    /// way all or nothing; a row has the events that made it, no more and no fewer; everything opens.
    ///
    /// # Panics
    /// If it is otherwise.
    pub async fn check(&mut self, storage: &dyn HostStorage, keyring: &Keyring) {
        let tenant = tenant();
        for number in 0..CUSTOMERS {
            let key = customer(number);
            let token = storage.load_token(&tenant, &key).await.expect("storage that answers");
            if let Some(entry) = &token {
                let opened = keyring.open_token(&tenant, &key, &entry.revision, &entry.value).await.expect("it opens");
                assert_eq!(opened.as_slice(), entry.revision.as_str().as_bytes());
            }
            self.settle("token", number, token.map(|entry| entry.revision));

            let entry = storage.load_row(&tenant, &key).await.expect("storage that answers");
            if let Some(entry) = &entry {
                let opened = keyring.open_row(&tenant, &entry.revision, entry.row.clone()).await.expect("it opens");
                assert_eq!(opened, row(&key, &entry.revision), "all of it is of one write");
            }
            let events = self.events(storage, &key).await;
            let [connected, disconnected] = events;
            assert_eq!(connected, disconnected + usize::from(entry.is_some()), "a row and its events are one");
            self.settle("row", number, entry.map(|entry| entry.revision));
        }
    }

    async fn events(&self, storage: &dyn HostStorage, key: &ConnectionKey) -> [usize; 2] {
        let events = storage.events(&tenant(), None, usize::MAX).await.expect("storage that answers");
        let ours = events.iter().filter(|event| event.event.key == *key);
        let mut last = None;
        for (event, is_connected) in ours.map(|event| (event, event.event.kind == EventKind::Connected)) {
            assert_ne!(last, Some(is_connected), "they alternate: {event:?}");
            last = Some(is_connected);
        }
        let of = |kind| events.iter().filter(|event| event.event.key == *key && event.event.kind == kind).count();
        [of(EventKind::Connected), of(EventKind::Disconnected)]
    }

    fn settle(&mut self, record: &str, number: usize, found: Option<Revision>) {
        let found = found.map_or_else(|| "-".to_owned(), String::from);
        let said = self.said.entry((record.to_owned(), number)).or_default();
        let tried = said.tried.take();
        let was_there = *said.done.get_or_insert_with(|| "-".to_owned()) == found || said.late.as_ref() == Some(&found);
        match &tried {
            Some(tried) if *tried == found => {
                self.found_done += 1;
                said.late = None;
            }
            Some(_) if was_there => {
                self.found_undone += 1;
                said.late = tried;
            }
            None if was_there => {}
            tried => panic!("{record} of {number}: {found} is stored; said was {said:?}, tried {tried:?}"),
        }
        said.done = Some(found);
    }
}
