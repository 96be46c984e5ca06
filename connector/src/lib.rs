//! The TikTok Shop connector as a WebAssembly component. It only translates. The core makes every decision.
//!
//! Every export converts WIT values to the core's types, runs one operation of `tiktok-shop-connector-core` over this
//! component's imports, and converts the outcome back. An instance lives for one call and keeps nothing.

// This module is compiled only for `wasm32-unknown-unknown` and for tests. Other targets have a C library with an
// allocator of its own.
#[cfg(any(test, all(target_arch = "wasm32", target_os = "unknown")))]
mod allocator;
mod bindings;
mod calls;
mod convert;
mod effects;
mod http;

use bindings::exports::tiktok_shop::connector::connector as export;
use bindings::tiktok_shop::connector::types;
use tiktok_shop_connector_core::error::Error;

struct Connector;

impl export::Guest for Connector {
    fn authorization_url(app: Option<String>, state: String) -> Result<String, types::ConnectorError> {
        finish(calls::authorization_url(app, state))
    }

    fn exchange_install(app: Option<String>, query: String) -> Result<export::PendingInstall, types::ConnectorError> {
        finish(calls::exchange_install(app, query))
    }

    fn install_shops(pending: Vec<u8>) -> Result<Vec<export::InstallShop>, types::ConnectorError> {
        finish(calls::install_shops(pending))
    }

    fn connect(
        customer: String,
        app: Option<String>,
        grant: export::Grant,
        shops: types::ShopPolicy,
    ) -> Result<types::Connection, types::ConnectorError> {
        finish(calls::connect(customer, app, grant, shops))
    }

    fn refresh(
        customer: String,
        account: Option<String>,
        rotation: export::Rotation,
    ) -> Result<export::Refreshed, types::ConnectorError> {
        finish(calls::refresh(customer, account, rotation))
    }

    fn list_shops(customer: String) -> Result<Vec<types::Shop>, types::ConnectorError> {
        finish(calls::list_shops(customer))
    }

    fn list_connections(customer: String) -> Result<Vec<types::Connection>, types::ConnectorError> {
        finish(calls::list_connections(customer))
    }

    fn access_token(
        customer: String,
        account: Option<String>,
        min_validity_seconds: u32,
    ) -> Result<export::ValidToken, types::ConnectorError> {
        finish(calls::access_token(customer, account, min_validity_seconds))
    }

    fn export_grant(customer: String, account: Option<String>) -> Result<export::ExistingGrant, types::ConnectorError> {
        finish(calls::export_grant(customer, account))
    }

    fn call(customer: String, request: export::CallRequest) -> Result<export::CallResponse, types::ConnectorError> {
        finish(calls::call(customer, request))
    }

    fn link_shops(
        customer: String,
        account: Option<String>,
        shops: Vec<String>,
    ) -> Result<types::Connection, types::ConnectorError> {
        finish(calls::link_shops(customer, account, shops))
    }

    fn disconnect(
        customer: String,
        target: export::DisconnectTarget,
        remote: export::RemoteGrant,
    ) -> Result<export::Disconnected, types::ConnectorError> {
        finish(calls::disconnect(customer, target, remote))
    }

    fn receive_webhook(
        app: Option<String>,
        signature: String,
        body: Vec<u8>,
    ) -> Result<export::Webhook, types::ConnectorError> {
        finish(calls::receive_webhook(app, signature, body))
    }
}

/// Converts the outcome of a call. For wasm, a call is a plain function: every import blocks, so there is nothing to
/// await, and the attribute `maybe_async` removes `async` and `.await`. The component is a tenth smaller without the
/// state machines of async functions.
#[cfg(target_family = "wasm")]
fn finish<T>(outcome: Result<T, Error>) -> Result<T, types::ConnectorError> {
    outcome.map_err(convert::error)
}

/// Runs a call that is still async to its end with a single poll. Other targets than wasm only check this package.
#[cfg(not(target_family = "wasm"))]
fn finish<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, types::ConnectorError> {
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use tiktok_shop_connector_core::error::Cause;

    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.map_err(convert::error),
        Poll::Pending => Err(convert::error(Error::new(Cause::Internal))),
    }
}
