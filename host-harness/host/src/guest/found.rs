//! Records which connections of a customer a call has found in storage, and which shops they contain.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connection::{ConnectionKey, ShopStanding};
use crate::id::ShopId;
use crate::storage::RowEntry;

/// The shops of a connection, each with its standing when the call found it.
pub(crate) type FoundShops = BTreeMap<ShopId, ShopStanding>;

/// The connections that a call has found. A clone is cheap and records into the same list.
#[derive(Clone, Default)]
pub(crate) struct Found(Arc<Mutex<BTreeMap<ConnectionKey, FoundShops>>>);

impl Found {
    /// Records that the connection has a token record.
    pub(super) fn record(&self, key: ConnectionKey) {
        self.lock().entry(key).or_default();
    }

    /// Records that the connection has a row with these shops.
    pub(super) fn row(&self, entry: &RowEntry) {
        let connection = &entry.row.connection;
        let shops = connection.shops.iter().map(|shop| (shop.id.clone(), shop.standing));
        self.lock().entry(connection.key.clone()).or_default().extend(shops);
    }

    /// Returns the connections for which `is_meant` returns true, with their shops. `is_meant` gets the key of a
    /// connection and its shops.
    pub(crate) fn connections(
        &self,
        is_meant: impl Fn(&ConnectionKey, &FoundShops) -> bool,
    ) -> BTreeMap<ConnectionKey, FoundShops> {
        let found = self.lock();
        let meant = found.iter().filter(|(key, shops)| is_meant(key, shops));
        meant.map(|(key, shops)| (key.clone(), shops.clone())).collect()
    }

    /// Takes the lock. If a thread has panicked while it held the lock, the list is still consistent, so the lock is
    /// taken anyway.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConnectionKey, FoundShops>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
