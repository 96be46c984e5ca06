//! Lists the shops and connections of a customer from storage.

use futures::FutureExt as _;

use crate::connection::{Connection, Shop};
use crate::error::CallError;
use crate::events::Cause;
use crate::guest::{CallLog, Operation, Scope, Secrets, read_all};
use crate::host::ConnectorHost;
use crate::id::{CustomerId, TenantId};

impl ConnectorHost {
    /// Returns the shops that the customer may use now, over all accounts of the customer. Each of these shops is
    /// linked, its standing is granted or inactive, and its connection does not need a new consent. Reads the shops
    /// from storage, and sends nothing to TikTok.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_shops(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<Shop>, CallError> {
        let scope = Scope::of_customer(tenant, customer, self.origin(Cause::Read));
        let log = CallLog::begin(Operation::ListShops, &scope, None);
        let customer = String::from(customer.clone());
        self.sandbox
            .call(log, scope, Secrets::default(), read_all, move |guest, wasm_store| {
                async move { guest.call_list_shops(wasm_store, &customer).await }.boxed()
            })
            .await
    }

    /// Returns the customer's connections with all their shops. Reads them from storage, and sends nothing to TikTok.
    /// If the tenant's keys are not available, the shops have no cipher, and everything else is complete.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_connections(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<Vec<Connection>, CallError> {
        let scope = Scope::for_listing(tenant, customer, self.origin(Cause::Read));
        let log = CallLog::begin(Operation::ListConnections, &scope, None);
        let customer = String::from(customer.clone());
        self.sandbox
            .call(log, scope, Secrets::default(), read_all, move |guest, wasm_store| {
                async move { guest.call_list_connections(wasm_store, &customer).await }.boxed()
            })
            .await
    }
}
