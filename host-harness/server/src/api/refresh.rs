//! `POST /v1/customers/{customer}/connections/{account}/refresh`

use axum::Json;
use axum::extract::State;

use super::OfConnection;
use crate::caller::{Allowed, Connect};
use crate::input::{JsonOf, PathOf};
use crate::model::{Refresh, RefreshResult, effect_word};
use crate::problem::Problem;
use crate::state::Shared;

/// Renews the tokens of a connection, and reads its shops again.
///
/// The service refreshes due connections by itself; this is for a person who waits.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/connections/{account}/refresh", tag = "connections",
    operation_id = "refresh_connection", params(OfConnection), request_body = Refresh,
    responses(
        (status = 200, description = "The connection, and what the refresh did", body = RefreshResult),
    ),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn refresh(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(OfConnection { customer, account }): PathOf<OfConnection>,
    JsonOf(Refresh { mode }): JsonOf<Refresh>,
) -> Result<Json<RefreshResult>, Problem> {
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let refreshed =
        allowed.run(&state, async move { host.refresh(&tenant, &customer, Some(&account), mode.into()).await }).await?;
    let word = match &refreshed {
        Ok(refreshed) => effect_word(&refreshed.effect),
        Err(error) => error.known_code(),
    };
    state.metrics.refresh("api", word);
    Ok(Json((&refreshed?).into()))
}
