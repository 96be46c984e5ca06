//! Lists the shops and connections of a customer, and the connections of a tenant, from storage.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use tiktok_shop_connector_core::error::Cause as CoreCause;

use crate::connection::{Connection, ConnectionKey, Shop};
use crate::error::CallError;
use crate::events::Cause;
use crate::guest::{Operation, Scope, Secrets, read_all};
use crate::host::ConnectorHost;
use crate::id::{CustomerId, TenantId};
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

/// A page of the tenant's connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantPage {
    /// The connections, ordered by customer, then by account, in byte order.
    pub connections: Vec<Connection>,
    /// The connections of this part of the list that are not in `connections`, because their row was changed in the
    /// database or can't be decoded. There may be more of them than the limit, but at most 1 000 are named. A connection
    /// whose row is missing is not found.
    pub left_out: Vec<LeftOut>,
}

impl ConnectorHost {
    /// Returns the shops that the customer may use now, over all accounts of the customer. Each of these shops is
    /// linked, its standing is granted or inactive, and its connection does not need a new consent. Reads the shops
    /// from storage, and sends nothing to TikTok.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_shops(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<Shop>, CallError> {
        let scope = Scope::of_customer(tenant, customer, self.origin(Cause::Read));
        let log = self.log(Operation::ListShops, &scope, None);
        let customer = String::from(customer.clone());
        self.sandbox
            .call(log, scope, Secrets::default(), read_all, move |guest, wasm_store| {
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
        Ok(self.tenant_page(tenant, filter, after, limit).await?.connections)
    }

    /// Returns what [`tenant_connections`](Self::tenant_connections) returns, and the connections that it leaves out.
    /// The storage applies the filter to the columns of a row. If somebody changed these columns, the row may be in
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
    ) -> Result<TenantPage, StorageError> {
        let storage = self.sandbox.storage.clone().leaving_out_missing_keys(self.storage_timeout());
        let (mut listed, mut after) = (TenantPage::default(), after.cloned());
        while listed.connections.len() < limit {
            let wanted = limit - listed.connections.len();
            let page = storage.tenant_rows(tenant, filter, after.as_ref(), wanted);
            let page = run_within(self.storage_timeout(), page).await?;
            // A row that was changed or can't be decoded must not hide the others, so it is only named.
            let is_last = page.len() < wanted;
            after = page.last().map(|row| row.as_ref().map_or_else(Clone::clone, |row| row.entry.row.key.clone()));
            for row in page {
                let (key, fault) = match row.map(|row| (row.entry.row.key, row.open)) {
                    Ok((_, Some(open))) => {
                        listed.connections.push(open.connection);
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

    /// Returns the customer's connections that [`list_shops`](Self::list_shops) and
    /// [`list_connections`](Self::list_connections) leave out because of their rows, although their tokens are stored.
    /// If this list and the list of connections are both empty, the customer is not connected. Reads the storage
    /// without running the component, and logs a warning for each connection that it returns.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn left_out(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<LeftOut>, StorageError> {
        let timeout = self.storage_timeout();
        let storage = self.sandbox.storage.clone().leaving_out_missing_keys(timeout);
        let (rows, accounts) = run_within(timeout, storage.list_rows(tenant, customer)).await?;
        let accounts = match accounts {
            Some(accounts) => accounts,
            None => run_within(timeout, storage.inner().accounts(tenant, customer)).await?,
        };
        let mut faults: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| match row {
                Ok(row) => (row.entry.row.key, row.open.is_none().then_some(RowFault::Unreadable)),
                Err(key) => (key, Some(RowFault::Changed)),
            })
            .collect();
        let mut left_out = Vec::new();
        for account in accounts {
            let key = ConnectionKey { customer: customer.clone(), account };
            let fault = match faults.remove(&key) {
                Some(fault) => fault,
                // A connect may have written the row after the rows were read, so the row is looked up once more.
                None => match run_within(timeout, storage.load_row(tenant, &key)).await {
                    Ok(Some(row)) => row.open.is_none().then_some(RowFault::Unreadable),
                    Ok(None) => Some(RowFault::Missing),
                    Err(StorageError::RowChanged(_)) => Some(RowFault::Changed),
                    Err(error) => return Err(error),
                },
            };
            let Some(fault) = fault else { continue };
            tracing::warn!(
                tenant = tenant.as_str(),
                customer = customer.as_str(),
                account = key.account.as_str(),
                code = fault.code(),
                "a list leaves out a connection because of its row"
            );
            left_out.push(LeftOut { key, fault });
        }
        Ok(left_out)
    }

    /// Returns the customer's connections with all their shops. Reads them from storage, and sends nothing to TikTok.
    /// Leaves out a row that somebody has changed in the database: a refresh of its connection ends in `row-changed`.
    /// So an empty list does not prove that the customer is not connected: see [`left_out`](Self::left_out).
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
        let scope = Scope::for_listing(tenant, customer, self.origin(Cause::Read));
        let log = self.log(Operation::ListConnections, &scope, None);
        let customer = String::from(customer.clone());
        self.sandbox
            .call(log, scope, Secrets::default(), read_all, move |guest, wasm_store| {
                async move { guest.list_connections(wasm_store, &customer).await }.boxed()
            })
            .await
    }
}
