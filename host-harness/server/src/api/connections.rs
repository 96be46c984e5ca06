//! Connections: those of a customer, those of the tenant, and one.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tiktok_shop_host::connection::{self as host, ConnectionKey, StatusKind};
use tiktok_shop_host::list::Listed;
use tiktok_shop_host::storage::RowFilter;
use tiktok_shop_host::{AccountId, CustomerId, ShopId};
use utoipa::ToSchema;

use super::{DEFAULT_PAGE, MAX_PAGE, OfConnection, OfCustomer};
use crate::caller::{Allowed, Read};
use crate::input::{PathOf, QueryOf};
use crate::model::{Connection, ConnectionList, ConnectionPage, LeftOut};
use crate::problem::Problem;
use crate::state::Shared;

/// A stored status.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only describes the words in the OpenAPI document")]
enum StatusWord {
    Active,
    AuthorizationEnding,
    ReauthorizationRequired,
}

/// The filter and the page of a list of connections.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only connections in this stored status: `active`, `authorization-ending` or `reauthorization-required`.
    #[param(value_type = Option<StatusWord>, inline)]
    status: Option<String>,
    /// Only connections with this shop.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,19}$")]
    shop: Option<ShopId>,
    /// Only connections to this account.
    #[param(value_type = Option<String>, min_length = 1, max_length = 256)]
    account: Option<AccountId>,
    /// Only connections to sellers of exactly this name.
    seller_name: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// The maximum number of connections, 1 to 200. Default: 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Lists the connections of a customer, with all their shops.
#[utoipa::path(
    get, path = "/v1/customers/{customer}/connections", tag = "connections",
    operation_id = "list_customer_connections", params(OfCustomer),
    responses(
        (status = 200, description = "The connections. Empty, without `left_out`, if the customer is not connected", body = ConnectionList),
    ),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn of_customer(
    State(state): State<Shared>,
    allowed: Allowed<Read>,
    PathOf(OfCustomer { customer }): PathOf<OfCustomer>,
) -> Result<Json<ConnectionList>, Problem> {
    let Listed { entries: connections, left_out } = list(&state, &allowed, customer).await?;
    Ok(Json(ConnectionList {
        connections: connections.iter().map(Connection::from).collect(),
        left_out: left_out.iter().map(LeftOut::from).collect(),
    }))
}

/// Returns all connections of a customer, and those that the list leaves out.
async fn list(
    state: &Shared,
    allowed: &Allowed<Read>,
    customer: CustomerId,
) -> Result<Listed<host::Connection>, Problem> {
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let listed = allowed.run(state, async move { host.listed_connections(&tenant, &customer).await }).await??;
    listed.left_out.iter().for_each(|left_out| state.metrics.left_out(left_out.fault));
    Ok(listed)
}

/// Shows one connection.
#[utoipa::path(
    get, path = "/v1/customers/{customer}/connections/{account}", tag = "connections",
    operation_id = "show_connection", params(OfConnection),
    responses(
        (status = 200, description = "The connection", body = Connection),
    ),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn one(
    State(state): State<Shared>,
    allowed: Allowed<Read>,
    PathOf(OfConnection { customer, account }): PathOf<OfConnection>,
) -> Result<Json<Connection>, Problem> {
    let Listed { entries: connections, left_out } = list(&state, &allowed, customer).await?;
    if let Some(left_out) = left_out.iter().find(|left_out| left_out.key.account == account) {
        return Err(Problem::left_out(left_out.fault));
    }
    let found = connections.iter().find(|connection| connection.key.account == account);
    let unknown = || Problem::not_found("not-connected", "the customer has no connection to this account");
    found.map(|connection| Json(connection.into())).ok_or_else(unknown)
}

/// Lists the connections of all customers, ordered by customer and account.
///
/// Reads the stored rows: a status is the one that was last written.
#[utoipa::path(
    get, path = "/v1/connections", tag = "connections", operation_id = "list_connections", params(Wanted),
    responses(
        (status = 200, description = "A page of connections", body = ConnectionPage),
    ),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn of_tenant(
    State(state): State<Shared>,
    allowed: Allowed<Read>,
    QueryOf(wanted): QueryOf<Wanted>,
) -> Result<Json<ConnectionPage>, Problem> {
    let Wanted { status, shop, account, seller_name, cursor, limit } = wanted;
    let status = status.map(|word| word.parse::<StatusKind>()).transpose();
    let status = status.map_err(|error| Problem::invalid_parameter(format!("status: {error}")))?;
    let after = cursor.map(|cursor| read_cursor(&cursor)).transpose()?;
    let limit = page_size(limit)?;
    let filter = RowFilter { status, shop, account, seller_name };
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let page = async move { host.tenant_page(&tenant, &filter, after.as_ref(), limit).await };
    let Listed { entries: connections, left_out } = allowed.run(&state, page).await??;
    left_out.iter().for_each(|left_out| state.metrics.left_out(left_out.fault));
    let next_cursor = connections.last().filter(|_| connections.len() == limit).map(|last| write_cursor(&last.key));
    Ok(Json(ConnectionPage {
        connections: connections.iter().map(Connection::from).collect(),
        next_cursor,
        left_out: left_out.iter().map(LeftOut::from).collect(),
    }))
}

/// Returns the size of a page.
pub(super) fn page_size(asked: Option<usize>) -> Result<usize, Problem> {
    let size = asked.unwrap_or(DEFAULT_PAGE);
    if (1..=MAX_PAGE).contains(&size) { Ok(size) } else { Err(Problem::invalid_parameter("limit: 1 to 200")) }
}

/// Returns the cursor behind a connection. A tenant can read its own cursors, and they contain nothing else.
fn write_cursor(key: &ConnectionKey) -> String {
    // The key contains only texts, so it can always be serialized.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

fn read_cursor(cursor: &str) -> Result<ConnectionKey, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let key = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    key.ok_or_else(Problem::invalid_cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let key = ConnectionKey { customer: "é/ 7".parse().unwrap(), account: "a".parse().unwrap() };
        assert_eq!(read_cursor(&write_cursor(&key)).unwrap(), key);
        for wrong in ["", "e30", "!", "7"] {
            assert_eq!(read_cursor(wrong).unwrap_err().code(), "invalid-cursor", "{wrong}");
        }
    }

    #[test]
    fn a_page_has_1_to_200_entries() {
        assert_eq!(
            (page_size(None).unwrap(), page_size(Some(1)).unwrap(), page_size(Some(200)).unwrap()),
            (50, 1, 200)
        );
        for wrong in [0, 201, usize::MAX] {
            assert_eq!(page_size(Some(wrong)).unwrap_err().code(), "invalid-parameter");
        }
    }
}
