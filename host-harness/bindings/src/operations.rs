//! Makes the call of the library that a request names. The files of this folder have the arguments of each operation.

mod background;
mod connecting;
mod connections;

use serde::{Deserialize, Deserializer};
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
        "apps" => connecting::apps(host, a.read()?).await,
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
        "shared-connections" => {
            connections::shared_connections(host, a.read()?, either(stopped, binding.closing())).await
        }
        "disconnect" => connections::disconnect(host, a.read()?).await,
        "receive-webhook" => background::receive_webhook(host, a.read()?, body).await,
        "events" => background::events(binding, a.read()?).await,
        "sweep" => background::sweep(binding, host, a.read()?, either(stopped, binding.closing())).await,
        "advance-clock" => background::advance_clock(binding, a.read()?),
        "key-status" => keys::status(&binding.keyring(actor, reason)).await,
        "check-keys" => keys::check(&binding.keyring(actor, reason)).await,
        "check-host-keys" => keys::check_host_keys(&binding.keyring(actor, reason), a.read()?).await,
        "rotate-keys" => keys::rotate(&binding.keyring(actor, reason), binding.closing()).await,
        "add-host-key" => keys::add_host_key(&binding.keyring(actor, reason), binding.key_file()?).await,
        "promote-host-key" => {
            keys::promote_host_key(&binding.keyring(actor, reason), binding.key_file()?, a.read()?).await
        }
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

/// The number of entries of a page: 1 to [`MAX_PAGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageLimit(usize);

impl PageLimit {
    pub(crate) const fn entries(self) -> usize {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(100)
    }
}

impl<'de> Deserialize<'de> for PageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = i64::deserialize(deserializer)?;
        let allowed = usize::try_from(limit).ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
        allowed.map(Self).ok_or_else(|| serde::de::Error::custom(format!("limit: a number from 1 to {MAX_PAGE}")))
    }
}

/// Completes when one of the two futures completes.
async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Page {
        limit: Option<PageLimit>,
    }

    fn limit(arguments: Value) -> Result<usize, String> {
        let page: Result<Page, _> = Arguments { operation: "events", arguments }.read();
        page.map(|page| page.limit.unwrap_or_default().entries()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_page_has_1_to_1000_entries() {
        for (arguments, entries) in [
            (Value::Null, 100),
            (json!({ "limit": null }), 100),
            (json!({ "limit": 1 }), 1),
            (json!({ "limit": 1000 }), 1000),
        ] {
            assert_eq!(limit(arguments.clone()), Ok(entries), "{arguments}");
        }
        let text = "invalid-argument: the arguments of events: limit: a number from 1 to 1000";
        for wrong in [0, 1001, -1, i64::MAX] {
            assert_eq!(limit(json!({ "limit": wrong })), Err(text.to_owned()), "{wrong}");
        }
        let text = "invalid-argument: the arguments of events: `limit` has the wrong type or form";
        for wrong in [json!(1.5), json!("100"), json!(u64::MAX)] {
            assert_eq!(limit(json!({ "limit": wrong })), Err(text.to_owned()), "{wrong}");
        }
    }

    #[tokio::test]
    async fn the_first_of_two_reasons_to_stop_stops() {
        either(ready(()), pending()).await;
        either(pending(), ready(())).await;
    }
}
