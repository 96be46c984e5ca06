//! One function per export: it converts the arguments, runs the operation, and converts the result.
//!
//! The errors are the core's, which are pointers. `lib.rs` converts them at the very end, because an error of the WIT
//! package is large, and each `?` would have code that copies it.

use crate::bindings::exports::tiktok_shop::connector::connector as export;
use crate::bindings::tiktok_shop::connector::types;
use crate::convert;
use crate::effects::Imports;
use maybe_async::maybe_async;
use tiktok_shop_connector_core::error::Error;
use tiktok_shop_connector_core::identity::{AccountId, CustomerId};
use tiktok_shop_connector_core::operation;
use tiktok_shop_connector_core::operation::list_shops::UsableShop;
use tiktok_shop_connector_core::secret::{SecretBytes, State};

#[maybe_async]
pub(crate) async fn authorization_url(app: Option<String>, state: String) -> Result<String, Error> {
    operation::authorization_url::authorization_url(&Imports, app, State::new(state)).await
}

#[maybe_async]
pub(crate) async fn exchange_install(app: Option<String>, query: String) -> Result<export::PendingInstall, Error> {
    operation::exchange_install::exchange_install(&Imports, app, &query).await.map(convert::pending_install)
}

#[maybe_async]
pub(crate) async fn install_shops(pending: Vec<u8>) -> Result<Vec<export::InstallShop>, Error> {
    let pending = SecretBytes::new(pending);
    let shops = operation::install_shops::install_shops(&Imports, pending.expose()).await?;
    Ok(shops.into_iter().map(convert::install_shop).collect())
}

#[maybe_async]
pub(crate) async fn connect(
    customer: String,
    app: Option<String>,
    grant: export::Grant,
    shops: types::ShopPolicy,
) -> Result<types::Connection, Error> {
    let customer = CustomerId::parse(customer)?;
    let shops = convert::shop_policy(shops);
    let connection = match convert::grant(grant)? {
        convert::Grant::Consent(grant) => operation::connect::connect(&Imports, customer, app, grant, shops).await?,
        convert::Grant::Existing(grant) => operation::import::import(&Imports, customer, app, &grant, shops).await?,
        convert::Grant::Pending(pending) => {
            operation::confirm_install::confirm_install(&Imports, customer, app, pending.expose(), shops).await?
        }
    };
    Ok(convert::connection_to_wit(&connection))
}

#[maybe_async]
pub(crate) async fn refresh(
    customer: String,
    account: Option<String>,
    rotation: export::Rotation,
) -> Result<export::Refreshed, Error> {
    let customer = CustomerId::parse(customer)?;
    let account = account.map(AccountId::parse).transpose()?;
    let mode = convert::refresh_mode(rotation);
    operation::refresh::refresh(&Imports, customer, account, mode).await.map(convert::refreshed)
}

#[maybe_async]
pub(crate) async fn list_shops(customer: String) -> Result<Vec<types::Shop>, Error> {
    let customer = CustomerId::parse(customer)?;
    let shops = operation::list_shops::list_shops(&Imports, customer).await?;
    let to_wit =
        |usable: &UsableShop| convert::shop_to_wit(usable.account.as_str(), usable.app.as_deref(), &usable.shop);
    Ok(shops.iter().map(to_wit).collect())
}

#[maybe_async]
pub(crate) async fn list_connections(customer: String) -> Result<Vec<types::Connection>, Error> {
    let customer = CustomerId::parse(customer)?;
    let connections = operation::list_connections::list_connections(&Imports, customer).await?;
    Ok(connections.iter().map(convert::connection_to_wit).collect())
}

#[maybe_async]
pub(crate) async fn access_token(
    customer: String,
    account: Option<String>,
    min_validity_seconds: u32,
) -> Result<export::ValidToken, Error> {
    let customer = CustomerId::parse(customer)?;
    let account = account.map(AccountId::parse).transpose()?;
    let token = operation::access_token::access_token(&Imports, customer, account, min_validity_seconds).await?;
    Ok(convert::valid_token(token))
}

#[maybe_async]
pub(crate) async fn export_grant(customer: String, account: Option<String>) -> Result<export::ExistingGrant, Error> {
    let customer = CustomerId::parse(customer)?;
    let account = account.map(AccountId::parse).transpose()?;
    operation::export_grant::export_grant(&Imports, customer, account).await.map(convert::existing_grant)
}

#[maybe_async]
pub(crate) async fn call(customer: String, request: export::CallRequest) -> Result<export::CallResponse, Error> {
    let customer = CustomerId::parse(customer)?;
    let (scope, request) = convert::call_request(request)?;
    operation::call::call(&Imports, customer, scope, &request).await.map(convert::call_response)
}

#[maybe_async]
pub(crate) async fn link_shops(
    customer: String,
    account: Option<String>,
    shops: Vec<String>,
) -> Result<types::Connection, Error> {
    let customer = CustomerId::parse(customer)?;
    let account = account.map(AccountId::parse).transpose()?;
    let connection = operation::link_shops::link_shops(&Imports, customer, account, shops).await?;
    Ok(convert::connection_to_wit(&connection))
}

#[maybe_async]
pub(crate) async fn disconnect(
    customer: String,
    target: export::DisconnectTarget,
    remote: export::RemoteGrant,
) -> Result<export::Disconnected, Error> {
    let customer = CustomerId::parse(customer)?;
    let target = convert::disconnect_target(target)?;
    let remote = convert::remote_grant(remote);
    operation::disconnect::disconnect(&Imports, customer, target, remote).await.map(convert::disconnected)
}

#[maybe_async]
pub(crate) async fn receive_webhook(
    app: Option<String>,
    signature: String,
    body: Vec<u8>,
) -> Result<export::Webhook, Error> {
    let received = operation::receive_webhook::receive_webhook(&Imports, app, signature.as_bytes(), &body).await?;
    Ok(convert::webhook(received))
}
