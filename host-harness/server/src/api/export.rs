//! `POST /v1/customers/{customer}/connections/{account}/export`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::OfConnection;
use crate::caller::{Admin, Allowed};
use crate::input::PathOf;
use crate::problem::Problem;
use crate::state::Shared;

/// The newest tokens of a connection. Secret. With the customer, these are the members of an import.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportedGrant {
    /// TikTok Shop's `open_id`.
    account: String,
    /// The refresh token.
    refresh_token: String,
    /// The access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// When the access token ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_ends: Option<u64>,
    /// When the refresh token ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_ends: Option<u64>,
}

/// Returns the newest tokens of a connection, for an import by another installation.
///
/// The configuration must allow exports; otherwise the answer is 403 (`export-not-allowed`). Before the request,
/// stop everything that refreshes the connection: TikTok Shop may end an authorization whose refresh token is used
/// twice. Each export is recorded as an event.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/connections/{account}/export", tag = "tokens",
    operation_id = "export_grant", params(OfConnection),
    responses((status = 200, description = "The tokens", body = ExportedGrant)),
    security(("api-key" = ["admin"]))
)]
pub(crate) async fn export(
    State(state): State<Shared>,
    allowed: Allowed<Admin>,
    PathOf(OfConnection { customer, account }): PathOf<OfConnection>,
) -> Result<Json<ExportedGrant>, Problem> {
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let named = account.clone();
    let grant = allowed.run(&state, async move { host.export_grant(&tenant, &customer, Some(&named)).await }).await??;
    Ok(Json(ExportedGrant {
        account: account.to_string(),
        refresh_token: grant.refresh_token.expose().to_owned(),
        access_token: grant.access_token.map(|token| token.expose().to_owned()),
        access_token_ends: grant.access_token_ends.map(|at| at.0),
        refresh_token_ends: grant.refresh_token_ends.map(|at| at.0),
    }))
}
