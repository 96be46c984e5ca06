//! Records which connections of a customer a call has found in storage, and which shops they contain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connection::ConnectionKey;
use crate::id::ShopId;
use crate::storage::RowEntry;

/// The connections that a call has found. A clone is cheap and records into the same list.
#[derive(Clone, Default)]
pub(crate) struct Found(Arc<Mutex<BTreeMap<ConnectionKey, BTreeSet<ShopId>>>>);

impl Found {
    /// Records that the connection has a token record.
    pub(super) fn record(&self, key: ConnectionKey) {
        self.lock().entry(key).or_default();
    }

    /// Records that the connection has a row with these shops.
    pub(super) fn row(&self, entry: &RowEntry) {
        let connection = &entry.row.connection;
        let shops = connection.shops.iter().map(|shop| shop.id.clone());
        self.lock().entry(connection.key.clone()).or_default().extend(shops);
    }

    /// Returns the connections for which `is_meant` returns true, in byte order. `is_meant` gets the key of a
    /// connection and its shops.
    pub(crate) fn connections(
        &self,
        is_meant: impl Fn(&ConnectionKey, &BTreeSet<ShopId>) -> bool,
    ) -> Vec<ConnectionKey> {
        self.lock().iter().filter(|(key, shops)| is_meant(key, shops)).map(|(key, _)| key.clone()).collect()
    }

    /// Takes the lock. If a thread has panicked while it held the lock, the list is still consistent, so the lock is
    /// taken anyway.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConnectionKey, BTreeSet<ShopId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
