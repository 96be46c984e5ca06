//! Records which connections of a customer a call has found in storage, and in which state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tiktok_shop_connector_core::record::DeadReason;

use crate::connection::{Connection, ConnectionKey, ShopStanding};
use crate::id::ShopId;
use crate::list::RowFault;
use crate::storage::OpenRow;

/// The state of a connection when a call found it.
#[derive(Clone)]
pub(crate) struct FoundConnection {
    /// Whether a token record was found.
    pub(crate) has_tokens: bool,
    /// The fault of the row. `None` if the row can be used.
    pub(crate) fault: Option<RowFault>,
    /// Why the connection was dead. `None` if it was not dead, or if it has no row.
    pub(crate) dead: Option<DeadReason>,
    /// The shops of the connection, each with its standing.
    pub(crate) shops: BTreeMap<ShopId, ShopStanding>,
}

impl Default for FoundConnection {
    /// Returns a connection of which nothing was found yet.
    fn default() -> Self {
        Self { has_tokens: false, fault: Some(RowFault::Missing), dead: None, shops: BTreeMap::new() }
    }
}

/// The connections that a call has found. A clone is cheap and records into the same list.
#[derive(Clone, Default)]
pub(crate) struct Found(Arc<Mutex<BTreeMap<ConnectionKey, FoundConnection>>>);

impl Found {
    /// Records that the connection has a token record.
    pub(super) fn record(&self, key: ConnectionKey) {
        self.lock().entry(key).or_default().has_tokens = true;
    }

    /// Records that the connection has a row that can't be used.
    pub(super) fn unusable_row(&self, key: &ConnectionKey, fault: RowFault) {
        self.lock().entry(key.clone()).or_default().fault = Some(fault);
    }

    /// Records that the connection has this row.
    pub(super) fn row(&self, row: &OpenRow) {
        let Connection { key, status, shops, .. } = &row.connection;
        let mut found = self.lock();
        let connection = found.entry(key.clone()).or_default();
        connection.fault = None;
        connection.dead = status.dead();
        connection.shops = shops.iter().map(|shop| (shop.id.clone(), shop.standing)).collect();
    }

    /// Returns the connections for which `is_meant` returns true. `is_meant` gets the key and the state of a
    /// connection.
    pub(crate) fn connections(
        &self,
        is_meant: impl Fn(&ConnectionKey, &FoundConnection) -> bool,
    ) -> BTreeMap<ConnectionKey, FoundConnection> {
        let found = self.lock();
        let meant = found.iter().filter(|(key, connection)| is_meant(key, connection));
        meant.map(|(key, connection)| (key.clone(), connection.clone())).collect()
    }

    /// Takes the lock. If a thread has panicked while it held the lock, the list is still consistent, so the lock is
    /// taken anyway.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConnectionKey, FoundConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
