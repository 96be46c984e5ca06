//! `POST /v1/customers/{customer}/imports`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use tiktok_shop_host::Secret;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::existing_grant::ExistingGrant;

use super::{OfCustomer, of_named_app};
use crate::caller::{Admin, Allowed};
use crate::input::{JsonOf, PathOf};
use crate::model::{Connection, ImportRequest};
use crate::problem::Problem;
use crate::state::Shared;

/// Connects a customer with the tokens that another system holds.
///
/// That system must have stopped its refreshes. The service renews the tokens once. From then on, only this service
/// has them. After an answer with the action `retry-after`, repeat the same request. An account that is connected
/// already keeps its own tokens (`already-connected`).
#[utoipa::path(
    post, path = "/v1/customers/{customer}/imports", tag = "connecting", operation_id = "import_grant",
    params(OfCustomer), request_body = ImportRequest,
    responses(
        (status = 201, description = "The connection", body = Connection),
    ),
    security(("api-key" = ["admin"]))
)]
pub(crate) async fn import(
    State(state): State<Shared>,
    allowed: Allowed<Admin>,
    PathOf(OfCustomer { customer }): PathOf<OfCustomer>,
    JsonOf(import): JsonOf<ImportRequest>,
) -> Result<(StatusCode, Json<Connection>), Problem> {
    let app = import.app;
    let shops = import.shop_policy.into();
    let grant = ExistingGrant {
        account: import.account,
        refresh_token: import.refresh_token.into(),
        access_token: import.access_token.map(Secret::from),
        access_token_ends: import.access_token_ends.map(UnixSeconds),
        refresh_token_ends: import.refresh_token_ends.map(UnixSeconds),
    };
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let imported = allowed
        .run(&state, async move { host.import_grant(&tenant, &customer, app.as_ref(), grant, shops).await })
        .await?;
    let connection = imported.map_err(of_named_app)?;
    Ok((StatusCode::CREATED, Json((&connection).into())))
}
