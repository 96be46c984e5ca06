//! The calls that are killed, each by a host in a process of its own.

use fake_tiktok_shop::WebhookDelivery;
use tiktok_shop_host::connection::{Connection, ShopPolicy};
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, RemoteGrant};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::webhook::Webhook;
use tiktok_shop_host::{CallError, ConnectorHost, ConnectorHostBuilder, ShopId};
use tokio::runtime;
use tokio::task::spawn_blocking;

use crate::{customer_id, grant, tenant};

/// Whose connection it is.
pub(super) const CUSTOMER: &str = "alice";

/// A call with all it needs, so that it can be made again.
#[derive(Clone)]
pub(super) enum Call {
    /// With this callback.
    Connect(String),
    Refresh(Rotation),
    LinkShops(Vec<ShopId>),
    /// TikTok Shop is asked to take the shops back.
    Disconnect(DisconnectTarget),
    ReceiveWebhook(WebhookDelivery),
}

/// What a call says when it ends.
#[derive(Debug)]
pub(super) enum Answer {
    Connection(Box<Connection>),
    Disconnected(Disconnected),
    Webhook(Webhook),
}

impl Answer {
    /// Of the calls that give one.
    pub(super) fn connection(self) -> Connection {
        match self {
            Self::Connection(connection) => Some(*connection),
            Self::Disconnected(_) | Self::Webhook(_) => None,
        }
        .expect("a call that gives a connection")
    }
}

impl Call {
    /// Makes it in a process of its own, as far as that is possible here: on a runtime that is gone when this returns, and
    /// with it every task and connection of the host.
    pub(super) async fn make(self, by: ConnectorHostBuilder) -> Result<Answer, CallError> {
        process(by, async move |host| self.make_by(&host).await).await
    }

    async fn make_by(self, host: &ConnectorHost) -> Result<Answer, CallError> {
        let (tenant, customer) = (tenant(0), customer_id(CUSTOMER));
        let connection = match self {
            Self::Connect(callback) => host.connect(&tenant, &customer, grant(&callback), ShopPolicy::All).await?,
            Self::Refresh(rotation) => host.refresh(&tenant, &customer, None, rotation).await?,
            Self::LinkShops(shops) => host.link_shops(&tenant, &customer, None, &shops).await?,
            Self::Disconnect(target) => {
                let ended = host.disconnect(&tenant, &customer, target, RemoteGrant::Revoke).await?;
                return Ok(Answer::Disconnected(ended));
            }
            Self::ReceiveWebhook(delivery) => {
                let signature = delivery.header("authorization").unwrap_or_default();
                let webhook = host.receive_webhook(&tenant, signature, delivery.body.clone().into_bytes()).await?;
                return Ok(Answer::Webhook(webhook));
            }
        };
        Ok(Answer::Connection(Box::new(connection)))
    }
}

/// What another host lists.
pub(super) async fn list_connections(by: ConnectorHostBuilder) -> Result<Vec<Connection>, CallError> {
    process(by, async |host| host.list_connections(&tenant(0), &customer_id(CUSTOMER)).await).await
}

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
