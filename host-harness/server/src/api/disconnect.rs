//! `POST /v1/customers/{customer}/disconnect`, and what a revocation would take from other customers.

use axum::Json;
use axum::extract::State;

use super::OfCustomer;
use crate::caller::{Allowed, Connect};
use crate::input::{JsonOf, PathOf};
use crate::model::{Disconnect, DisconnectResult, RevocationTarget, SharedConnectionList};
use crate::problem::Problem;
use crate::state::Shared;

/// Disconnects a shop, an account, or all accounts of the customer.
///
/// Repeating the request is safe: `found` is then empty.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/disconnect", tag = "connecting", operation_id = "disconnect",
    params(OfCustomer), request_body = Disconnect,
    responses(
        (status = 200, description = "Disconnected, or there was nothing to disconnect", body = DisconnectResult),
    ),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn disconnect(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(OfCustomer { customer }): PathOf<OfCustomer>,
    JsonOf(wanted): JsonOf<Disconnect>,
) -> Result<Json<DisconnectResult>, Problem> {
    let (target, remote) = (wanted.target()?, wanted.tiktok_access.into());
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let ended = allowed.run(&state, async move { host.disconnect(&tenant, &customer, target, remote).await }).await?;
    Ok(Json((&ended?).into()))
}

/// Shows which connections of other customers lose shops if this target is revoked.
///
/// Show them to the person who must confirm the revocation. The call refreshes the customer's connections, because
/// a revocation also takes away shops that are not stored yet.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/shared-connections", tag = "connecting",
    operation_id = "list_shared_connections", params(OfCustomer), request_body = RevocationTarget,
    responses(
        (status = 200, description = "The connections of other customers", body = SharedConnectionList),
    ),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn shared(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(OfCustomer { customer }): PathOf<OfCustomer>,
    JsonOf(wanted): JsonOf<RevocationTarget>,
) -> Result<Json<SharedConnectionList>, Problem> {
    let target = wanted.target()?;
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let never = std::future::pending();
    let shared =
        allowed.run(&state, async move { host.shared_connections(&tenant, &customer, &target, never).await }).await?;
    Ok(Json((&shared?).into()))
}
