//! The storage of rows (connections as the customer sees them) and of the tenants' events.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::digest::digest;
use super::error::StorageError;
use super::keys::Sealed;
use super::swap::{Next, Swapped};
use super::tokens::{Due, TokenEntry};
use crate::connection::{Connection, ConnectionKey, StatusKind, UnixSeconds};
use crate::events::{Event, EventPosition, NewEvent};
use crate::id::{AccountId, AppKey, CustomerId, Revision, ShopId, TenantId};
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

    /// Returns what [`list_rows`](Self::list_rows) returns. A storage may return the customer's accounts, too, as
    /// [`accounts`](super::TokenStorage::accounts) returns them. The connector asks for both to list shops, so a storage
    /// on a database should read both with one query, or the accounts after the rows.
    ///
    /// The default implementation calls `list_rows` and returns no accounts.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn list_rows_with_accounts(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(Vec<RowEntry>, Option<Vec<AccountId>>), StorageError> {
        Ok((self.list_rows(tenant, customer).await?, None))
    }

    /// Returns what [`load_row`](Self::load_row) returns. A storage may return the connection's token record, too, as
    /// [`load_token`](super::TokenStorage::load_token) returns it. The record must not be older than the row: the
    /// connector loads both before it writes a row, the record last. A storage on a database should read both with one
    /// query.
    ///
    /// The default implementation calls `load_row` and returns no record.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_row_with_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<(Option<RowEntry>, Option<TokenEntry>), StorageError> {
        Ok((self.load_row(tenant, key).await?, None))
    }

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

    /// Returns how many rows of all tenants have each stored status and app, in any order. Pairs without a row are left
    /// out. Metrics use these numbers, at most once a minute, so a storage on a database should have an index for them.
    ///
    /// The default implementation returns no number.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn count_rows(&self) -> Result<Vec<RowCount>, StorageError> {
        Ok(Vec::new())
    }

    /// Returns how many rows of all tenants have the origin [`RowOrigin::Columns`]. When there are none, an operator can
    /// let the host refuse such rows: see
    /// [`refuse_unsealed_rows`](crate::ConnectorHostBuilder::refuse_unsealed_rows).
    ///
    /// The default implementation returns 0. It is right for every storage that has no rows of release 0.1.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn unsealed_rows(&self) -> Result<u64, StorageError> {
        Ok(0)
    }

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
    /// If `grant` is given, the event concerns a connection. The storage appends the event only if the connection has a
    /// row that [works with this grant](Row::works_with). Otherwise it changes nothing and returns `false`. If the row
    /// is written at the same time, that write and its events come either before this event or after it. So no such
    /// event follows the end of its connection.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn append_once(
        &self,
        tenant: &TenantId,
        once: &OnceDigest,
        event: &NewEvent,
        grant: Option<&str>,
    ) -> Result<bool, StorageError>;
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

/// A row: a connection as the customer sees it. The connector derives it from the token record.
///
/// The document contains everything about the connection except the ciphers of its shops. A storage keeps the text of
/// the document, the sealed value and the index, and returns them unchanged. `docs/connection-document.md` describes
/// the members of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The customer and the account of the connection. Not part of the document.
    pub key: ConnectionKey,
    /// The row as JSON text, without secrets.
    pub document: String,
    /// The sealed value: the ciphers of the shops, with a digest of the document. The host seals every row, even if no
    /// shop has a cipher.
    pub sealed: Option<Sealed>,
    /// Who made the document. A storage without rows of release 0.1 only sees [`RowOrigin::Document`].
    pub origin: RowOrigin,
    /// Values from the document, for the lists and for searches. If a storage returns other values than it got, the
    /// host refuses the row as changed.
    pub index: RowIndex,
    /// The lineage of the token record from which the row was derived: a random text that the connector draws when it
    /// creates a token record. A refresh keeps the lineage. A new consent for the same account with the same app also
    /// keeps it. Also in the document.
    pub token_lineage: String,
    /// The generation of the token record from which the row was derived: the number of times that the tokens or the
    /// grant in that record had changed. Only generations of the same lineage can be compared. Also in the document.
    pub token_generation: u64,
}

/// Who made the document of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowOrigin {
    /// The host wrote the document, and sealed its digest.
    Document,
    /// A host of release 0.1 wrote the row as columns, and the storage has made the document from them. Only the
    /// ciphers are sealed, so a change of the other columns is not noticed. The next write of the row makes a document.
    Columns,
}

/// The values of a row that a storage uses in its lists and searches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowIndex {
    /// The kind of the status.
    pub status: StatusKind,
    /// See [`Connection::ends_at`].
    pub ends_at: Option<UnixSeconds>,
    /// The app of the connection.
    pub app: Option<AppKey>,
    /// The name of the seller.
    pub seller_name: String,
    /// When the seller last consented.
    pub granted_at: UnixSeconds,
    /// The shops, in the order of the document.
    pub shops: Vec<IndexedShop>,
}

/// A shop in a [`RowIndex`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedShop {
    /// The id of the shop.
    pub id: ShopId,
    /// Whether the customer has linked the shop.
    pub linked: bool,
}

impl RowIndex {
    /// Returns the index of a row with this connection.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        let shops = connection.shops.iter();
        Self {
            status: connection.status.kind(),
            ends_at: connection.ends_at(),
            app: connection.app.clone(),
            seller_name: connection.seller_name.clone(),
            granted_at: connection.granted_at,
            shops: shops.map(|shop| IndexedShop { id: shop.id.clone(), linked: shop.linked }).collect(),
        }
    }
}

impl Row {
    /// Returns the name of the consent from which the row comes. A new consent changes the name; a refresh does not.
    #[must_use]
    pub fn grant(&self) -> String {
        Self::grant_name(&self.token_lineage, self.index.granted_at)
    }

    /// Returns whether the row comes from this consent, and the connection needs no new one.
    #[must_use]
    pub fn works_with(&self, grant: &str) -> bool {
        self.index.status != StatusKind::ReauthorizationRequired && self.grant() == grant
    }

    /// Returns the name that [`grant`](Self::grant) returns for a row with this lineage and this time of consent. A
    /// storage that keeps both values as columns can use this function in [`ConnectionStorage::endings`] without
    /// reading whole rows.
    #[must_use]
    pub fn grant_name(token_lineage: &str, granted_at: UnixSeconds) -> String {
        format!("{token_lineage}/{}", granted_at.0)
    }

    /// Returns what the document says. The shops have no cipher. The result is not verified: see
    /// [`Keyring::open_row`](crate::seal::Keyring::open_row).
    ///
    /// # Errors
    /// [`StorageError::Refused`] if the document cannot be decoded.
    pub fn decode(&self) -> Result<OpenRow, StorageError> {
        OpenRow::decode(&self.key, &self.document, &[])
    }
}

/// A row in typed form: what its document and its secrets say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRow {
    /// The connection and its shops, with their ciphers.
    pub connection: Connection,
    /// See [`Row::token_lineage`].
    pub token_lineage: String,
    /// See [`Row::token_generation`].
    pub token_generation: u64,
}

impl OpenRow {
    /// Creates a row without lineage and generation.
    #[must_use]
    pub const fn new(connection: Connection) -> Self {
        Self { connection, token_lineage: String::new(), token_generation: 0 }
    }
}

/// The number of rows of all tenants that have this stored status and this app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCount {
    /// The kind of the status, see [`RowFilter::status`].
    pub status: StatusKind,
    /// The app of the connections. `None`: an earlier release wrote the rows.
    pub app: Option<AppKey>,
    /// The number of rows.
    pub rows: u64,
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
        let index = &row.index;
        status.is_none_or(|status| index.status == status)
            && shop.as_ref().is_none_or(|id| index.shops.iter().any(|shop| shop.id == *id))
            && account.as_ref().is_none_or(|account| row.key.account == *account)
            && seller_name.as_ref().is_none_or(|name| index.seller_name == *name)
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
