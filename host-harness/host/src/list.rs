//! Lists the shops and connections of a customer, and the connections of a tenant, from storage.

use std::fmt;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tiktok_shop_connector_core::error::Cause as CoreCause;
use wasmtime::Store;

use crate::connection::{Connection, ConnectionKey, Shop};
use crate::error::CallError;
use crate::events::Cause;
use crate::guest::{Answer, CallState, ClearTexts, Exports, Found, Operation, Scope, Secrets, read_all};
use crate::host::ConnectorHost;
use crate::id::{CustomerId, InvalidId, TenantId};
use crate::storage::{RowFilter, StorageError, run_within};

/// A connection that the lists leave out because of its row, although its tokens are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The customer and the account of the connection.
    pub key: ConnectionKey,
    /// The fault of the row.
    pub fault: RowFault,
}

/// Why the lists leave out a connection whose tokens are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowFault {
    /// Somebody changed the row in the database. A refresh of the connection ends in `row-changed`.
    Changed,
    /// There is no row. Either somebody deleted it, or a running `connect` has stored the tokens, but not yet the row.
    /// A refresh of the connection writes a new row.
    Missing,
    /// This release can't decode the row. A refresh of the connection ends in `row-too-new` or `row-unreadable`.
    Unreadable,
}

impl RowFault {
    /// Returns a short name of the fault. Programs use this name, and count faults by it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Changed => CoreCause::RowChanged.code(),
            Self::Missing => "row-missing",
            Self::Unreadable => CoreCause::RowUnreadable.code(),
        }
    }
}

/// The maximum number of left-out connections that a page names, so that an answer stays small if somebody has changed
/// every row.
const MAX_LEFT_OUT: usize = 1_000;

/// The entries of a list, and the connections that the list leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The entries, in the order of the list.
    pub entries: Vec<T>,
    /// The connections whose tokens are stored, and which are not among the entries because of their rows.
    pub left_out: Vec<LeftOut>,
}

/// Calls an export that lists something of a customer.
type ListExport<T> = for<'a> fn(&'a Exports, &'a mut Store<CallState>, String) -> BoxFuture<'a, Answer<Vec<T>>>;

impl ConnectorHost {
    /// Returns the shops that the customer may use now, over all accounts of the customer. Each of these shops is
    /// linked, its standing is granted or inactive, and its connection does not need a new consent. Reads the shops
    /// from storage, and sends nothing to TikTok.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_shops(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<Shop>, CallError> {
        Ok(self.listed_shops(tenant, customer).await?.entries)
    }

    /// Returns what [`list_shops`](Self::list_shops) returns, and the connections that it leaves out. If both lists are
    /// empty, the customer may use no shop.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn listed_shops(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Listed<Shop>, CallError> {
        let scope = Scope::of_customer(tenant, customer, self.origin(Cause::Read));
        self.listed(Operation::ListShops, scope, customer, |guest, wasm_store, customer| {
            async move { guest.list_shops(wasm_store, &customer).await }.boxed()
        })
        .await
    }

    /// Returns at most `limit` of the tenant's connections that match the filter, with all their shops. The connections
    /// are ordered by customer, then by account, in byte order. The list starts after the connection `after`. To read
    /// the next page, pass the key of the last connection of this page. Use this function to find a connection by its
    /// shop or seller.
    ///
    /// The function reads the rows from storage without running the component, so each status is the status that was
    /// last written to the row. If the tenant's keys are not available, the shops have no cipher, and everything else
    /// is complete, but nobody has checked whether the rows were changed in the database. A row that was changed is
    /// left out: a refresh of its connection reports it (`row-changed`). [`tenant_page`](Self::tenant_page) also
    /// returns the connections that are left out.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn tenant_connections(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Connection>, StorageError> {
        Ok(self.tenant_page(tenant, filter, after, limit).await?.entries)
    }

    /// Returns what [`tenant_connections`](Self::tenant_connections) returns, and the connections of this part of the list
    /// that it leaves out: of more than 1 000, only the first 1 000. A connection whose row is missing is not found. The
    /// storage applies the filter to the columns of a row. If somebody changed these columns, the row may be in
    /// neither list.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn tenant_page(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Listed<Connection>, StorageError> {
        let storage = self.sandbox.storage.clone().leaving_out_missing_keys(self.storage_timeout());
        let (mut listed, mut after) = (Listed { entries: Vec::new(), left_out: Vec::new() }, after.cloned());
        while listed.entries.len() < limit {
            let wanted = limit - listed.entries.len();
            let page = storage.tenant_rows(tenant, filter, after.as_ref(), wanted);
            let page = run_within(self.storage_timeout(), page).await?;
            // A row that was changed or can't be decoded must not hide the others, so it is only named.
            let is_last = page.len() < wanted;
            after = page.last().map(|row| row.as_ref().map_or_else(Clone::clone, |row| row.entry.row.key.clone()));
            for row in page {
                let (key, fault) = match row.map(|row| (row.entry.row.key, row.open)) {
                    Ok((_, Some(open))) => {
                        listed.entries.push(open.connection);
                        continue;
                    }
                    Ok((key, None)) => (key, RowFault::Unreadable),
                    Err(key) => (key, RowFault::Changed),
                };
                if listed.left_out.len() < MAX_LEFT_OUT {
                    listed.left_out.push(LeftOut { key, fault });
                }
            }
            if is_last {
                break;
            }
        }
        Ok(listed)
    }

    /// Returns the customer's connections with all their shops. Reads them from storage, and sends nothing to TikTok.
    /// Leaves out a row that somebody has changed in the database: a refresh of its connection ends in `row-changed`.
    /// So an empty list does not prove that the customer is not connected: see
    /// [`listed_connections`](Self::listed_connections).
    /// If the tenant's keys are not available, the host can't check the rows for changes, and the shops have no cipher.
    /// Everything else is complete.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_connections(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<Vec<Connection>, CallError> {
        Ok(self.listed_connections(tenant, customer).await?.entries)
    }

    /// Returns what [`list_connections`](Self::list_connections) returns, and the connections that it leaves out. If both
    /// lists are empty, the customer is not connected.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn listed_connections(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<Listed<Connection>, CallError> {
        let scope = Scope::for_listing(tenant, customer, self.origin(Cause::Read));
        self.listed(Operation::ListConnections, scope, customer, |guest, wasm_store, customer| {
            async move { guest.list_connections(wasm_store, &customer).await }.boxed()
        })
        .await
    }

    /// Makes the call of a list. The call itself records the rows and tokens that it reads, so they are read once.
    async fn listed<T, U>(
        &self,
        operation: Operation,
        scope: Scope,
        customer: &CustomerId,
        export: ListExport<T>,
    ) -> Result<Listed<U>, CallError>
    where
        T: Send + 'static,
        U: TryFrom<T, Error = InvalidId> + fmt::Debug + Send + 'static,
        Vec<U>: ClearTexts,
    {
        let (tenant, found) = (scope.tenant.clone(), Found::default());
        let scope = scope.recording(found.clone());
        let log = self.log(operation, &scope, None);
        let named = String::from(customer.clone());
        let entries = self
            .sandbox
            .call(log, scope, Secrets::default(), read_all, move |guest, wasm_store| export(guest, wasm_store, named))
            .await?;
        let left_out = self.left_out(&tenant, &found).await;
        Ok(Listed { entries, left_out })
    }

    /// Returns the connections that a list has found and left out because of their rows. Logs a warning for each.
    async fn left_out(&self, tenant: &TenantId, found: &Found) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        for (key, connection) in found.connections(|_, connection| connection.has_tokens && connection.fault.is_some())
        {
            let Some(fault) = connection.fault else { continue };
            if fault == RowFault::Missing && self.has_row(tenant, &key).await {
                continue;
            }
            tracing::warn!(
                tenant = tenant.as_str(),
                customer = key.customer.as_str(),
                account = key.account.as_str(),
                code = fault.code(),
                "a list leaves out a connection because of its row"
            );
            left_out.push(LeftOut { key, fault });
        }
        left_out
    }

    /// Returns whether a connection has a row by now. The storage may read the rows before the tokens, and a connect may
    /// store both in between.
    async fn has_row(&self, tenant: &TenantId, key: &ConnectionKey) -> bool {
        let stored = self.sandbox.storage.inner().load_row(tenant, key);
        matches!(run_within(self.storage_timeout(), stored).await, Ok(Some(_)))
    }
}
