//! Operations that read, use and end connections.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connection::{ConnectionKey, StatusKind};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::list::LeftOut;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::RowFilter;
use tiktok_shop_host::{AccountId, ConnectorHost, CustomerId, ShopId, TenantId};

use super::{Outcome, PageLimit};
use crate::error::BindingError;
use crate::options::Word;
use crate::request::Reply;
use crate::shape;

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    WhenDue,
    Forced,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    #[serde(default)]
    mode: Mode,
}

pub(super) async fn refresh(host: &ConnectorHost, a: Refresh) -> Outcome {
    let mode = match a.mode {
        Mode::WhenDue => RefreshMode::WhenDue,
        Mode::Forced => RefreshMode::Forced,
    };
    let refreshed = host.refresh(&a.tenant, &a.customer, a.account.as_ref(), mode).await?;
    Ok(shape::refreshed(&refreshed).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfCustomer {
    tenant: TenantId,
    customer: CustomerId,
}

pub(super) async fn list_shops(host: &ConnectorHost, a: OfCustomer) -> Outcome {
    let shops = host.list_shops(&a.tenant, &a.customer).await?;
    // The list has only shops that the customer may use.
    Ok(Value::from_iter(shops.iter().map(|shop| shape::shop(shop, true))).into())
}

pub(super) async fn list_connections(host: &ConnectorHost, a: OfCustomer) -> Outcome {
    let connections = host.list_connections(&a.tenant, &a.customer).await?;
    Ok(Value::from_iter(connections.iter().map(shape::connection)).into())
}

/// Returns the connections that the lists of the customer leave out because of their rows.
pub(super) async fn left_out(host: &ConnectorHost, a: OfCustomer) -> Outcome {
    let left_out = host.listed_connections(&a.tenant, &a.customer).await?.left_out;
    let each = |LeftOut { key, fault }: &LeftOut| json!({ "account": key.account.as_str(), "code": fault.code() });
    Ok(Value::from_iter(left_out.iter().map(each)).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantConnections {
    tenant: TenantId,
    status: Option<Word<StatusKind>>,
    shop: Option<ShopId>,
    account: Option<AccountId>,
    seller_name: Option<String>,
    after: Option<After>,
    limit: Option<PageLimit>,
}

#[derive(Deserialize)]
pub(super) struct After {
    customer: CustomerId,
    account: AccountId,
}

pub(super) async fn tenant_connections(host: &ConnectorHost, a: TenantConnections) -> Outcome {
    let TenantConnections { tenant, status, shop, account, seller_name, after, limit } = a;
    let filter = RowFilter { status: status.map(|Word(kind)| kind), shop, account, seller_name };
    let after = after.map(|After { customer, account }| ConnectionKey { customer, account });
    let limit = limit.unwrap_or_default().entries();
    let connections = host.tenant_connections(&tenant, &filter, after.as_ref(), limit).await?;
    Ok(Value::from_iter(connections.iter().map(shape::connection)).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkShops {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    shops: Vec<ShopId>,
}

pub(super) async fn link_shops(host: &ConnectorHost, a: LinkShops) -> Outcome {
    let connection = host.link_shops(&a.tenant, &a.customer, a.account.as_ref(), &a.shops).await?;
    Ok(shape::connection(&connection).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessToken {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    #[serde(default)]
    min_validity_seconds: u32,
}

pub(super) async fn access_token(host: &ConnectorHost, a: AccessToken) -> Outcome {
    let min_validity = Duration::from_secs(a.min_validity_seconds.into());
    let token = host.access_token(&a.tenant, &a.customer, a.account.as_ref(), min_validity).await?;
    Ok(shape::valid_token(&token).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    tenant: TenantId,
    customer: CustomerId,
    shop: Option<ShopId>,
    account: Option<AccountId>,
    method: String,
    path: String,
    #[serde(default)]
    query: Vec<(String, String)>,
    content_type: Option<String>,
    max_response_bytes: Option<u32>,
    #[serde(default)]
    has_body: bool,
}

pub(super) async fn call(host: &ConnectorHost, a: Call, body: Vec<u8>) -> Outcome {
    let scope = match (a.shop, a.account) {
        (Some(_), Some(_)) => return Err(BindingError::arguments("call: name a shop or an account, and not both")),
        (Some(shop), None) => CallScope::Shop(shop),
        (None, account) => CallScope::Seller(account),
    };
    let known = HttpMethod::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(&a.method));
    let method = known.ok_or_else(|| BindingError::arguments("call: the method is GET, POST, PUT or DELETE"))?;
    let usual = CallRequest::new(scope, method, a.path);
    let request = CallRequest {
        query: a.query,
        content_type: a.content_type,
        body: a.has_body.then_some(body),
        max_response_bytes: a.max_response_bytes.unwrap_or(usual.max_response_bytes),
        ..usual
    };
    let answer = host.call(&a.tenant, &a.customer, request).await?;
    Ok(Reply { value: shape::call_response(&answer), body: Some(answer.body) })
}

fn target(account: Option<AccountId>, shop: Option<ShopId>) -> Result<DisconnectTarget, BindingError> {
    match (account, shop) {
        (Some(_), Some(_)) => Err(BindingError::arguments("name an account or a shop, and not both")),
        (account, None) => Ok(DisconnectTarget::All(account)),
        (None, Some(shop)) => Ok(DisconnectTarget::Shop(shop)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedWith {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    shop: Option<ShopId>,
}

pub(super) async fn shared_connections(host: &ConnectorHost, a: SharedWith, stop: impl Future<Output = ()>) -> Outcome {
    let target = target(a.account, a.shop)?;
    let shared = host.shared_connections(&a.tenant, &a.customer, &target, stop).await?;
    Ok(shape::shared_connections(&shared).into())
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Access {
    Keep,
    Revoke,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    shop: Option<ShopId>,
    tiktok_access: Access,
}

pub(super) async fn disconnect(host: &ConnectorHost, a: Disconnect) -> Outcome {
    let remote = match a.tiktok_access {
        Access::Keep => RemoteGrant::Keep,
        Access::Revoke => RemoteGrant::Revoke,
    };
    let ended = host.disconnect(&a.tenant, &a.customer, target(a.account, a.shop)?, remote).await?;
    Ok(shape::disconnected(&ended).into())
}
