//! Lists the shops and connections of a customer from storage.

use futures::FutureExt as _;

use crate::connection::{Connection, Shop};
use crate::error::CallError;
use crate::events::Cause;
use crate::guest::{CallLog, Operation, Scope, Secrets, read_all};
use crate::host::ConnectorHost;
use crate::id::{CustomerId, TenantId};

impl ConnectorHost {
    /// Returns the shops that the customer may use now, of all accounts, from storage. Each of them is linked, its
    /// standing is granted or inactive, and its connection is not dead. Sends nothing.
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

    /// Returns the customer's connections with all their shops, from storage. Sends nothing. If the tenant's keys are
    /// not available, the shops have no cipher, and everything else is complete.
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
