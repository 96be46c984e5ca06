//! The connector whose calls a history consists of. It is the native core, or another form of the connector, such as
//! the shipped component.

use crate::host::Host;
use std::pin::Pin;
use std::sync::Arc;
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::endpoint::business::BusinessRequest;
use tiktok_shop_connector_core::error::Error;
use tiktok_shop_connector_core::existing_grant::ExistingGrant;
use tiktok_shop_connector_core::http::Method;
use tiktok_shop_connector_core::identity::{AccountId, CustomerId};
use tiktok_shop_connector_core::operation::access_token::access_token;
use tiktok_shop_connector_core::operation::call::{CallScope, call};
use tiktok_shop_connector_core::operation::connect::connect;
use tiktok_shop_connector_core::operation::disconnect::{DisconnectTarget, RemoteGrant, disconnect};
use tiktok_shop_connector_core::operation::import::import;
use tiktok_shop_connector_core::operation::receive_webhook::receive_webhook;
use tiktok_shop_connector_core::operation::refresh::{RefreshMode, refresh};
use tiktok_shop_connector_core::record::ShopPolicy;
use tiktok_shop_connector_core::secret::{AppSecret, AuthorizationCode, RefreshToken};
use tiktok_shop_connector_core::signing::Webhook;

/// The customer of every call.
pub const CUSTOMER: &str = "customer-1";
/// The account of every connection.
pub const ACCOUNT: &str = "account-1";
/// The only shop of the account.
pub const SHOP: &str = "1";
/// The key of the tenant's only app.
pub const APP_KEY: &str = "app-key";
/// The secret of the app.
pub const APP_SECRET: &str = "app-secret";
/// The path of every business request. The requests are POST requests, and their body is [`ORDERS_BODY`].
pub const ORDERS: &str = "/order/202309/orders/search";
/// The body of every business request.
pub const ORDERS_BODY: &str = "{}";
/// The largest answer to a business request, in bytes.
pub const MAX_RESPONSE_BYTES: u32 = 1 << 16;
/// The time for which an access token must be valid, in seconds.
pub const MIN_VALIDITY: u32 = 600;

/// A call of the connector. All calls are made for [`CUSTOMER`].
pub enum Operation {
    /// `refresh` of [`ACCOUNT`].
    Refresh(RefreshMode),
    /// `access-token` of [`ACCOUNT`], for [`MIN_VALIDITY`].
    AccessToken,
    /// `call` for [`SHOP`], with the request to [`ORDERS`].
    Call,
    /// `connect` with this code of a new consent. All shops are linked.
    Connect {
        /// The authorization code.
        code: String,
    },
    /// `connect` with the refresh token of another system. All shops are linked.
    Import {
        /// Whether the caller names [`ACCOUNT`].
        account: NamedAccount,
        /// The refresh token.
        token: String,
    },
    /// `disconnect` of [`ACCOUNT`]. TikTok is not asked.
    Disconnect,
    /// `receive-webhook` with this body. See [`signature`].
    ReceiveWebhook {
        /// The whole body.
        body: Vec<u8>,
    },
}

/// Whether the caller of an import names the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedAccount {
    /// The caller names [`ACCOUNT`].
    Named,
    /// The caller does not know the account.
    Unnamed,
}

/// The outcome of a call: `ok`, or the code of its error.
pub type Outcome = String;
/// A call that runs on. If the future is dropped, the process of the call has crashed.
pub type Call = Pin<Box<dyn Future<Output = Outcome>>>;

/// A form of the connector.
pub trait Connector {
    /// Returns a call that begins when the future is first polled. The call uses only the effects of this host.
    fn call(&self, host: Arc<Host>, operation: Operation) -> Call;
}

/// The core itself, without the component around it.
pub struct NativeCore;

impl Connector for NativeCore {
    fn call(&self, host: Arc<Host>, operation: Operation) -> Call {
        match operation {
            Operation::Refresh(mode) => {
                Box::pin(async move { outcome(refresh(&*host, customer(), Some(account()), mode).await) })
            }
            Operation::AccessToken => {
                Box::pin(async move { outcome(access_token(&*host, customer(), Some(account()), MIN_VALIDITY).await) })
            }
            Operation::Call => Box::pin(async move {
                let request = BusinessRequest {
                    method: Method::Post,
                    path: ORDERS.into(),
                    query: Vec::new(),
                    content_type: None,
                    body: ORDERS_BODY.into(),
                    max_response_bytes: MAX_RESPONSE_BYTES,
                };
                outcome(call(&*host, customer(), CallScope::Shop(SHOP.into()), &request).await)
            }),
            Operation::Connect { code } => Box::pin(async move {
                let grant = Grant::Code(AuthorizationCode::new(code));
                outcome(connect(&*host, customer(), None, grant, ShopPolicy::All).await)
            }),
            Operation::Import { account: named, token } => Box::pin(async move {
                let grant = ExistingGrant {
                    account: (named == NamedAccount::Named).then(account),
                    refresh: RefreshToken::new(token),
                    access: None,
                    access_ends: None,
                    refresh_ends: None,
                };
                outcome(import(&*host, customer(), None, &grant, ShopPolicy::All).await)
            }),
            Operation::Disconnect => Box::pin(async move {
                let target = DisconnectTarget::All(Some(account()));
                outcome(disconnect(&*host, customer(), target, RemoteGrant::Keep).await)
            }),
            Operation::ReceiveWebhook { body } => {
                Box::pin(
                    async move { outcome(receive_webhook(&*host, None, signature(&body).as_bytes(), &body).await) },
                )
            }
        }
    }
}

fn outcome<T>(result: Result<T, Error>) -> Outcome {
    result.map_or_else(|error| error.cause.code(), |_| "ok").to_owned()
}

pub(crate) fn customer() -> CustomerId {
    CustomerId::parse(CUSTOMER.into()).unwrap()
}

pub(crate) fn account() -> AccountId {
    AccountId::parse(ACCOUNT.into()).unwrap()
}

/// Signs the body of a webhook as TikTok does. The result is the header `Authorization`.
#[must_use]
pub fn signature(body: &[u8]) -> String {
    Webhook { app_key: APP_KEY, body, authorization: b"" }.signature(&AppSecret::new(APP_SECRET.into()))
}
