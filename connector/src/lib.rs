//! The TikTok Shop connector as a WebAssembly component. It only translates. The core makes every decision.
//!
//! Every export converts WIT values to the core's types, runs one operation of `tiktok-shop-connector-core` over this
//! component's imports, and converts the outcome back. An instance lives for one call and keeps nothing.

// This module is compiled only for `wasm32-unknown-unknown` and for tests. Other targets have a C library with an
// allocator of its own.
#[cfg(any(test, all(target_arch = "wasm32", target_os = "unknown")))]
mod allocator;
mod bindings;
mod convert;
mod effects;
mod http;

use bindings::exports::tiktok_shop::connector::connector as export;
use bindings::tiktok_shop::connector::types;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use effects::Imports;
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::identity::{AccountId, CustomerId};
use tiktok_shop_connector_core::operation;
use tiktok_shop_connector_core::secret::{SecretBytes, State};

struct Connector;

impl export::Guest for Connector {
    fn authorization_url(app: Option<String>, state: String) -> Result<String, types::ConnectorError> {
        finish(operation::authorization_url::authorization_url(&Imports, app, State::new(state)), |url| url)
    }

    fn exchange_install(app: Option<String>, query: String) -> Result<export::PendingInstall, types::ConnectorError> {
        finish(operation::exchange_install::exchange_install(&Imports, app, &query), convert::pending_install)
    }

    fn install_shops(pending: Vec<u8>) -> Result<Vec<export::InstallShop>, types::ConnectorError> {
        let pending = SecretBytes::new(pending);
        finish(operation::install_shops::install_shops(&Imports, pending.expose()), |shops| {
            shops.into_iter().map(convert::install_shop).collect()
        })
    }

    fn connect(
        customer: String,
        app: Option<String>,
        grant: export::Grant,
        shops: types::ShopPolicy,
    ) -> Result<types::Connection, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        let shops = convert::shop_policy(shops);
        match convert::grant(grant).map_err(convert::error)? {
            convert::Grant::Consent(grant) => {
                let operation = operation::connect::connect(&Imports, customer, app, grant, shops);
                finish(operation, |connection| convert::connection_to_wit(&connection))
            }
            convert::Grant::Existing(grant) => {
                let operation = operation::import::import(&Imports, customer, app, &grant, shops);
                finish(operation, |connection| convert::connection_to_wit(&connection))
            }
            convert::Grant::Pending(pending) => {
                let operation =
                    operation::confirm_install::confirm_install(&Imports, customer, app, pending.expose(), shops);
                finish(operation, |connection| convert::connection_to_wit(&connection))
            }
        }
    }

    fn refresh(
        customer: String,
        account: Option<String>,
        rotation: export::Rotation,
    ) -> Result<export::Refreshed, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        let account = account.map(AccountId::parse).transpose().map_err(convert::error)?;
        let operation = operation::refresh::refresh(&Imports, customer, account, convert::refresh_mode(rotation));
        finish(operation, convert::refreshed)
    }

    fn list_shops(customer: String) -> Result<Vec<types::Shop>, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        finish(operation::list_shops::list_shops(&Imports, customer), |shops| {
            shops
                .iter()
                .map(|usable| convert::shop_to_wit(usable.account.as_str(), usable.app.as_deref(), &usable.shop))
                .collect()
        })
    }

    fn list_connections(customer: String) -> Result<Vec<types::Connection>, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        finish(operation::list_connections::list_connections(&Imports, customer), |connections| {
            connections.iter().map(convert::connection_to_wit).collect()
        })
    }

    fn access_token(
        customer: String,
        account: Option<String>,
        min_validity_seconds: u32,
    ) -> Result<export::ValidToken, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        let account = account.map(AccountId::parse).transpose().map_err(convert::error)?;
        let operation = operation::access_token::access_token(&Imports, customer, account, min_validity_seconds);
        finish(operation, convert::valid_token)
    }

    fn export_grant(customer: String, account: Option<String>) -> Result<export::ExistingGrant, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        let account = account.map(AccountId::parse).transpose().map_err(convert::error)?;
        finish(operation::export_grant::export_grant(&Imports, customer, account), convert::existing_grant)
    }

    fn call(customer: String, request: export::CallRequest) -> Result<export::CallResponse, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        let (scope, request) = convert::call_request(request).map_err(convert::error)?;
        finish(operation::call::call(&Imports, customer, scope, &request), convert::call_response)
    }

    fn link_shops(
        customer: String,
        account: Option<String>,
        shops: Vec<String>,
    ) -> Result<types::Connection, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        let account = account.map(AccountId::parse).transpose().map_err(convert::error)?;
        let operation = operation::link_shops::link_shops(&Imports, customer, account, shops);
        finish(operation, |connection| convert::connection_to_wit(&connection))
    }

    fn disconnect(
        customer: String,
        target: export::DisconnectTarget,
        remote: export::RemoteGrant,
    ) -> Result<export::Disconnected, types::ConnectorError> {
        let customer = CustomerId::parse(customer).map_err(convert::error)?;
        let target = convert::disconnect_target(target).map_err(convert::error)?;
        let operation = operation::disconnect::disconnect(&Imports, customer, target, convert::remote_grant(remote));
        finish(operation, convert::disconnected)
    }

    fn receive_webhook(
        app: Option<String>,
        signature: String,
        body: Vec<u8>,
    ) -> Result<export::Webhook, types::ConnectorError> {
        let operation = operation::receive_webhook::receive_webhook(&Imports, app, signature.as_bytes(), &body);
        finish(operation, convert::webhook)
    }
}

/// Runs an operation to its end with a single poll. Every import blocks, so an operation that is pending after one poll
/// is a bug.
fn finish<T, U>(
    operation: impl Future<Output = Result<T, Error>>,
    convert: impl FnOnce(T) -> U,
) -> Result<U, types::ConnectorError> {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.map(convert).map_err(convert::error),
        Poll::Pending => Err(convert::error(Error::new(Cause::Internal))),
    }
}
