//! Makes the call of the library that a request names. The files of this folder have the arguments of each operation.

mod background;
mod connecting;
mod connections;

use serde_json::{Value, json};
use tiktok_shop_host::ConnectorHost;

use crate::binding::Binding;
use crate::error::BindingError;
use crate::keys;
use crate::options::read;
use crate::request::{Reply, Request};

pub(crate) use self::background::WebhookHead;

/// The maximum number of entries of a page.
const MAX_PAGE: usize = 1000;

type Outcome = Result<Reply, BindingError>;

/// Makes the call that the request names.
pub(crate) async fn perform(binding: &Binding, host: &ConnectorHost, request: Request) -> Outcome {
    let Request { operation, arguments, body, actor, reason, stop } = request;
    let a = Arguments { operation: &operation, arguments };
    let stopped = stop.cancelled_owned();
    match operation.as_str() {
        "begin-consent" => connecting::begin_consent(host, a.read()?).await,
        "finish-consent" => connecting::finish_consent(host, a.read()?).await,
        "authorization-url" => connecting::authorization_url(host, a.read()?).await,
        "connect" => connecting::connect(host, a.read()?).await,
        "import-grant" => connecting::import_grant(host, a.read()?).await,
        "export-grant" => connecting::export_grant(host, a.read()?).await,
        "begin-install" => connecting::begin_install(host, a.read()?).await,
        "confirm-install" => connecting::confirm_install(host, a.read()?).await,
        "cancel-install" => connecting::cancel_install(host, a.read()?).await,
        "refresh" => connections::refresh(host, a.read()?).await,
        "list-shops" => connections::list_shops(host, a.read()?).await,
        "list-connections" => connections::list_connections(host, a.read()?).await,
        "left-out" => connections::left_out(host, a.read()?).await,
        "tenant-connections" => connections::tenant_connections(host, a.read()?).await,
        "link-shops" => connections::link_shops(host, a.read()?).await,
        "access-token" => connections::access_token(host, a.read()?).await,
        "call" => connections::call(host, a.read()?, body).await,
        "shared-connections" => connections::shared_connections(host, a.read()?, stopped).await,
        "disconnect" => connections::disconnect(host, a.read()?).await,
        "receive-webhook" => background::receive_webhook(host, a.read()?, body).await,
        "events" => background::events(binding, a.read()?).await,
        "sweep" => background::sweep(binding, host, a.read()?, stopped).await,
        "advance-clock" => background::advance_clock(binding, a.read()?),
        "key-status" => keys::status(&binding.keyring(actor, reason)).await,
        "check-keys" => keys::check(&binding.keyring(actor, reason)).await,
        "rotate-keys" => keys::rotate(&binding.keyring(actor, reason)).await,
        "add-host-key" => keys::add_host_key(binding.key_file()?),
        "promote-host-key" => keys::promote_host_key(binding.key_file()?, a.read()?),
        "retire-host-key" => keys::retire(&binding.keyring(actor, reason), binding.key_file()?, a.read()?).await,
        "erase-tenant" => keys::erase(&binding.keyring(actor, reason), a.read()?).await,
        _ => Err(BindingError::arguments("there is no such operation")),
    }
}

/// The arguments of a request that are not read yet.
struct Arguments<'a> {
    operation: &'a str,
    arguments: Value,
}

impl Arguments<'_> {
    fn read<T: serde::de::DeserializeOwned>(self) -> Result<T, BindingError> {
        let what = format!("the arguments of {}", self.operation);
        if self.arguments.is_null() { read(&what, json!({})) } else { read(&what, self.arguments) }
    }
}

/// Returns the number of entries of a page.
fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(100).clamp(1, MAX_PAGE)
}
