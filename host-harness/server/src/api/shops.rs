//! Shops: those that a customer may use, and those that are linked.

use axum::Json;
use axum::extract::State;
use tiktok_shop_host::list::Listed;

use super::{OfConnection, OfCustomer};
use crate::caller::{Allowed, Connect, Read};
use crate::input::{JsonOf, PathOf};
use crate::model::{Connection, LeftOut, LinkShops, Shop, ShopList};
use crate::problem::Problem;
use crate::state::Shared;

/// Lists the shops that the customer may use now, over all accounts of the customer.
#[utoipa::path(
    get, path = "/v1/customers/{customer}/shops", tag = "connections", operation_id = "list_shops",
    params(OfCustomer),
    responses(
        (status = 200, description = "The shops. Empty if there are none", body = ShopList),
    ),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    allowed: Allowed<Read>,
    PathOf(OfCustomer { customer }): PathOf<OfCustomer>,
) -> Result<Json<ShopList>, Problem> {
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let listed = allowed.run(&state, async move { host.listed_shops(&tenant, &customer).await });
    let Listed { entries: shops, left_out } = listed.await??;
    left_out.iter().for_each(|left_out| state.metrics.left_out(left_out.fault));
    // The list contains only shops that the customer may use.
    Ok(Json(ShopList {
        shops: shops.iter().map(|shop| Shop::new(shop, true)).collect(),
        left_out: left_out.iter().map(LeftOut::from).collect(),
    }))
}

/// Links exactly these shops of the account to the customer.
///
/// Repeating the request changes nothing more.
#[utoipa::path(
    put, path = "/v1/customers/{customer}/connections/{account}/linked-shops", tag = "connections",
    operation_id = "link_shops", params(OfConnection), request_body = LinkShops,
    responses(
        (status = 200, description = "The connection", body = Connection),
    ),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn link(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(OfConnection { customer, account }): PathOf<OfConnection>,
    JsonOf(LinkShops { shops }): JsonOf<LinkShops>,
) -> Result<Json<Connection>, Problem> {
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let linked =
        allowed.run(&state, async move { host.link_shops(&tenant, &customer, Some(&account), &shops).await }).await?;
    Ok(Json((&linked?).into()))
}
