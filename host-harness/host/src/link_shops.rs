//! Links shops of an account to the customer, and unlinks all other shops of the account.

use futures::FutureExt as _;

use crate::connection::Connection;
use crate::error::CallError;
use crate::events::Cause;
use crate::guest::{Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, ShopId, TenantId};

impl ConnectorHost {
    /// Links exactly these shops of the account to the customer, and unlinks all other shops of the account. An empty
    /// list unlinks all shops and keeps the tokens. Sends nothing to TikTok. `account: None` means the customer's only
    /// account.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn link_shops(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
        shops: &[ShopId],
    ) -> Result<Connection, CallError> {
        let scope = Scope::of_customer(tenant, customer, self.origin(Cause::LinkShops));
        let log = self.log(Operation::LinkShops, &scope, account);
        let (customer, account) = (String::from(customer.clone()), account.cloned().map(String::from));
        let shops: Vec<_> = shops.iter().cloned().map(String::from).collect();
        self.sandbox
            .call(log, scope, Secrets::default(), Connection::try_from, move |guest, wasm_store| {
                async move { guest.link_shops(wasm_store, &customer, account.as_deref(), &shops).await }.boxed()
            })
            .await
    }
}
