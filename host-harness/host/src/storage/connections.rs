//! The storage of rows (connections as the customer sees them) and of the tenants' events.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::digest::digest;
use super::error::StorageError;
use super::keys::Sealed;
use super::swap::{Next, Swapped};
use super::tokens::Due;
use crate::connection::{Connection, ConnectionKey, StatusKind, UnixSeconds};
use crate::events::{Event, EventPosition, NewEvent};
use crate::id::{AccountId, CustomerId, Revision, ShopId, TenantId};
use crate::randomness::{Randomness, random_bits};

/// Keeps the rows of connections and the events of tenants.
#[async_trait]
pub trait ConnectionStorage: Send + Sync {
    /// Returns the customer's rows, ordered by account in byte order.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError>;

    /// Returns the connection's row, if it exists.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError>;

    /// Returns the row of each of these connections, in the order of `connections`. `None` stands for a connection
    /// without a row. A sweep reads the rows of up to 500 connections with one call.
    ///
    /// The default implementation calls [`load_row`](Self::load_row) for each connection. A storage on a database
    /// should read all rows with one query instead.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_rows(&self, connections: &[Due]) -> Result<Vec<Option<RowEntry>>, StorageError> {
        let mut rows = Vec::with_capacity(connections.len());
        for Due { tenant, key, .. } in connections {
            rows.push(self.load_row(tenant, key).await?);
        }
        Ok(rows)
    }

    /// If the stored row still has the revision `expected`, writes the row and appends the events in their order, in
    /// one transaction. `next: None` deletes the row. A stale swap appends no event.
    ///
    /// # Errors
    /// See [`StorageError`]. If another write was faster, the answer is [`Swapped::Stale`], not an error.
    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError>;

    /// Returns the tenant's connections whose row contains this shop, even if the shop is not linked. The connections
    /// are in byte order.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError>;

    /// Returns at most `limit` of the tenant's rows that match the filter, ordered by customer and account in byte
    /// order. The list starts after the connection `after`. Leaves out a row without a token record, because its
    /// account is not connected. Rows that are written during the call may or may not be in the list.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn tenant_rows(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<RowEntry>, StorageError>;

    /// Returns connections of all tenants whose [`Connection::ends_at`] is `by` or earlier, in the order of [`Ending`].
    /// Connections in the status [`ReauthorizationRequired`](crate::connection::ConnectionStatus) are left out. The
    /// list starts after the entry `after` and has at most `limit` entries. Rows that are written during the call may
    /// or may not be in the list. A sweep uses this list.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn endings(&self, by: UnixSeconds, after: Option<&Ending>, limit: usize)
    -> Result<Vec<Ending>, StorageError>;

    /// Returns at most `limit` of the tenant's events, in the order of their positions, starting behind the position
    /// `after`. `after: None` starts at the first event.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError>;

    /// Returns whether [`append_once`](Self::append_once) has appended an event with this `once` for the connection.
    /// The answer may be stale, so it may be `false` although the event has just been appended. A sweep calls
    /// `knows_once` for each notice. It calls `append_once`, which writes, only if the answer is `false`.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn knows_once(&self, tenant: &TenantId, key: &ConnectionKey, once: &OnceDigest)
    -> Result<bool, StorageError>;

    /// Appends the event unless an event with the same `once` was appended for the same connection before. If the event
    /// concerns no connection, appends it unless another event without a connection was appended with the same `once`
    /// for the tenant before. Returns whether the event was appended.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn append_once(&self, tenant: &TenantId, once: &OnceDigest, event: &NewEvent) -> Result<bool, StorageError>;
}

digest! {
    /// SHA-256 of the name of an event that happens once to a connection or to a tenant.
    OnceDigest
}

impl OnceDigest {
    pub(crate) fn of(name: &str) -> Self {
        Self::sha256(name)
    }

    /// Draws the digest of an event that may happen any number of times. If the host repeats a write whose answer was
    /// lost, it uses the same digest again, so the event is appended only once. The storage keeps one digest for each
    /// such event, so the number of digests grows with the number of events.
    ///
    /// # Errors
    /// The source of randomness failed.
    pub(crate) fn draw(randomness: &dyn Randomness) -> std::io::Result<Self> {
        Ok(Self::of(&format!("{:032x}", random_bits(randomness)?)))
    }
}

/// A connection as the customer sees it. The connector derives it from the token record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The connection and its shops. In the storage, every shop's [`cipher`](crate::connection::Shop::cipher) is
    /// `None`.
    pub connection: Connection,
    /// The sealed ciphers of the shops. `None` if no shop has a cipher.
    pub ciphers: Option<Sealed>,
    /// The lineage of the token record from which the row was derived: a random text that the connector draws when it
    /// creates a token record. A refresh keeps the lineage. A new consent for the same account with the same app also
    /// keeps it.
    pub token_lineage: String,
    /// The generation of the token record from which the row was derived: the number of times that the tokens or the
    /// grant in that record had changed. Only generations of the same lineage can be compared.
    pub token_generation: u64,
}

impl Row {
    /// Creates a row without ciphers, lineage and generation.
    #[must_use]
    pub const fn new(connection: Connection) -> Self {
        Self { connection, ciphers: None, token_lineage: String::new(), token_generation: 0 }
    }

    /// Returns the name of the consent from which the row comes. A new consent changes the name; a refresh does not.
    #[must_use]
    pub fn grant(&self) -> String {
        Self::grant_name(&self.token_lineage, self.connection.granted_at)
    }

    /// Returns the name that [`grant`](Self::grant) returns for a row with this lineage and this time of consent. A
    /// storage that keeps both values as columns can use this function in [`ConnectionStorage::endings`] without
    /// reading whole rows.
    #[must_use]
    pub fn grant_name(token_lineage: &str, granted_at: UnixSeconds) -> String {
        format!("{token_lineage}/{}", granted_at.0)
    }
}

/// Selects rows of a tenant. A row matches the filter if it matches every field that is not `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowFilter {
    /// The kind of the status that is stored in the row. Only a write of the row, for example by a refresh, changes the
    /// stored status. So if a refresh token has reached its last 30 days after the last write, the connection still
    /// matches as active.
    pub status: Option<StatusKind>,
    /// A shop that the row contains, even if the shop is not linked.
    pub shop: Option<ShopId>,
    /// The seller account of the connection.
    pub account: Option<AccountId>,
    /// The name of the seller. The stored name must be equal to it, byte for byte.
    pub seller_name: Option<String>,
}

impl RowFilter {
    /// Returns whether the row matches.
    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        let Self { status, shop, account, seller_name } = self;
        let connection = &row.connection;
        status.is_none_or(|status| connection.status.kind() == status)
            && shop.as_ref().is_none_or(|id| connection.shops.iter().any(|shop| shop.id == *id))
            && account.as_ref().is_none_or(|account| connection.key.account == *account)
            && seller_name.as_ref().is_none_or(|name| connection.seller_name == *name)
    }
}

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowEntry {
    /// The revision of the last write.
    pub revision: Revision,
    /// The row.
    pub row: Row,
}

/// A connection that works now, and the time when its authorization ends. Endings are ordered by this time, then by
/// tenant and connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// When the authorization ends.
    pub at: UnixSeconds,
    /// The tenant of the connection.
    pub tenant: TenantId,
    /// The connection.
    pub key: ConnectionKey,
    /// The name of the connection's consent, as [`Row::grant`] returns it.
    pub grant: String,
}
