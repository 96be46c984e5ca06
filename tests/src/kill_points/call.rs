//! The calls that are killed, and the calls that are made after a kill. A separate host makes each call on a separate
//! runtime, which is almost a process of its own.

use fake_tiktok_shop::WebhookDelivery;
use tiktok_shop_host::connection::{Connection, ShopPolicy};
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, RemoteGrant};
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::install::{InstallError, InstallId};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::webhook::Webhook;
use tiktok_shop_host::{CallError, ConnectorHost, ConnectorHostBuilder, ShopId};
use tokio::runtime;
use tokio::task::spawn_blocking;

use crate::{browser, customer_id, grant, tenant};

/// The customer whose connection the calls use.
pub(super) const CUSTOMER: &str = "alice";

/// A call with its arguments, so that it can be made again.
#[derive(Clone)]
pub(super) enum Call {
    /// `connect` with this query of a callback.
    Connect(String),
    /// `confirm_install` of the install with this id.
    ConfirmInstall(InstallId),
    /// `import_grant` of these tokens.
    Import(ExistingGrant),
    Refresh(RefreshMode),
    LinkShops(Vec<ShopId>),
    /// `disconnect` that also asks TikTok Shop to deauthorize the shops.
    Disconnect(DisconnectTarget),
    ReceiveWebhook(WebhookDelivery),
}

/// The result of a call.
#[derive(Debug)]
pub(super) enum Answer {
    Connection(Box<Connection>),
    Disconnected(Disconnected),
    Webhook(Webhook),
}

impl Answer {
    /// Returns the connection that the call has returned. Panics after a call that returns no connection.
    pub(super) fn connection(self) -> Connection {
        match self {
            Self::Connection(connection) => Some(*connection),
            Self::Disconnected(_) | Self::Webhook(_) => None,
        }
        .expect("a call that returns a connection")
    }
}

impl Call {
    /// Makes the call on a separate runtime. When the call ends, the runtime is dropped, and with it every task and
    /// network connection of the host. So the call is almost made in a process of its own.
    pub(super) async fn make(self, by: ConnectorHostBuilder) -> Result<Answer, CallError> {
        process(by, async move |host| self.make_by(&host).await).await
    }

    async fn make_by(self, host: &ConnectorHost) -> Result<Answer, CallError> {
        let (tenant, customer) = (tenant(0), customer_id(CUSTOMER));
        let connection = match self {
            Self::Connect(callback) => {
                host.connect(&tenant, &customer, None, grant(&callback), ShopPolicy::All).await?
            }
            Self::ConfirmInstall(id) => {
                let session = browser(CUSTOMER);
                let confirmed = host.confirm_install(&tenant, &customer, &session, &id, ShopPolicy::All).await;
                confirmed.map_err(call_error)?
            }
            Self::Import(grant) => host.import_grant(&tenant, &customer, None, grant, ShopPolicy::All).await?,
            Self::Refresh(mode) => host.refresh(&tenant, &customer, None, mode).await?.connection,
            Self::LinkShops(shops) => host.link_shops(&tenant, &customer, None, &shops).await?,
            Self::Disconnect(target) => {
                let ended = host.disconnect(&tenant, &customer, target, RemoteGrant::Revoke).await?;
                return Ok(Answer::Disconnected(ended));
            }
            Self::ReceiveWebhook(delivery) => {
                let signature = delivery.header("authorization").unwrap_or_default();
                let webhook =
                    host.receive_webhook(&tenant, None, signature, delivery.body.clone().into_bytes()).await?;
                return Ok(Answer::Webhook(webhook));
            }
        };
        Ok(Answer::Connection(Box::new(connection)))
    }
}

/// Returns the error of a call to the connector. Panics after any other error, because the storage works.
fn call_error(error: InstallError) -> CallError {
    if let InstallError::Call(error) = error { Some(error) } else { None }
        .expect("an error of the connector or of its call")
}

/// Lets another host list the customer's connections.
pub(super) async fn list_connections(by: ConnectorHostBuilder) -> Result<Vec<Connection>, CallError> {
    process(by, async |host| host.list_connections(&tenant(0), &customer_id(CUSTOMER)).await).await
}

/// Builds a host and makes calls with it, all on a separate runtime. This is almost a process of its own.
async fn process<T: Send + 'static>(
    builder: ConnectorHostBuilder,
    calls: impl AsyncFnOnce(ConnectorHost) -> T + Send + 'static,
) -> T {
    let life = move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let host = builder.build().expect("a host");
        runtime.block_on(calls(host))
    };
    spawn_blocking(life).await.expect("a host that does not panic")
}
