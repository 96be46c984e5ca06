//! `POST /v1/customers/{customer}/connections/{account}/access-token`

use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::OfConnection;
use crate::caller::{Allowed, Token};
use crate::input::{JsonOf, PathOf};
use crate::model::{AccessToken, TokenRequest};
use crate::problem::Problem;
use crate::state::Shared;

/// Gets an access token, for calls that the platform signs and sends itself.
///
/// Each token that is returned is recorded as an event. A platform that needs no token uses the signed calls.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/connections/{account}/access-token", tag = "tokens",
    operation_id = "get_access_token", params(OfConnection), request_body = TokenRequest,
    responses(
        (status = 200, description = "A valid access token", body = AccessToken),
    ),
    security(("api-key" = ["token"]))
)]
pub(crate) async fn get(
    State(state): State<Shared>,
    allowed: Allowed<Token>,
    PathOf(OfConnection { customer, account }): PathOf<OfConnection>,
    JsonOf(TokenRequest { min_validity_seconds }): JsonOf<TokenRequest>,
) -> Result<Json<AccessToken>, Problem> {
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let min_validity = Duration::from_secs(min_validity_seconds.into());
    let shown = allowed
        .run(&state, async move { host.access_token(&tenant, &customer, Some(&account), min_validity).await })
        .await?;
    let shown = shown?;
    Ok(Json(AccessToken {
        account: shown.account.to_string(),
        token: shown.token.expose().to_owned(),
        expires_at: shown.expires_at.map(|at| at.0),
    }))
}
