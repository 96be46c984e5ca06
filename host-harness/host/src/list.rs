//! Lists the shops and connections of a customer, and the connections of a tenant, from storage.

use futures::FutureExt as _;

use crate::connection::{Connection, ConnectionKey, Shop};
use crate::error::CallError;
use crate::events::Cause;
use crate::guest::{Operation, Scope, Secrets, read_all};
use crate::host::ConnectorHost;
use crate::id::{CustomerId, TenantId};
use crate::storage::{RowFilter, StorageError, run_within};

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
    /// left out: a refresh of its connection reports it (`row-changed`).
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
        let storage = self.sandbox.storage.clone().leaving_out_missing_keys(self.storage_timeout());
        let (mut connections, mut after) = (Vec::new(), after.cloned());
        while connections.len() < limit {
            let wanted = limit - connections.len();
            let page = storage.tenant_rows(tenant, filter, after.as_ref(), wanted);
            let page = run_within(self.storage_timeout(), page).await?;
            // A row that was changed, or whose document can't be decoded, is left out, so that the others are listed.
            let is_last = page.len() < wanted;
            after = page.last().map(|row| row.as_ref().map_or_else(Clone::clone, |row| row.entry.row.key.clone()));
            connections.extend(page.into_iter().filter_map(|row| Some(row.ok()?.open?.connection)));
            if is_last {
                break;
            }
        }
        Ok(connections)
    }

    /// Returns the customer's connections with all their shops. Reads them from storage, and sends nothing to TikTok.
    /// Leaves out a row that somebody has changed in the database: a refresh of its connection ends in `row-changed`.
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
