//! `GET /v1/apps`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::{Allowed, Read};
use crate::problem::Problem;
use crate::state::Shared;

/// The apps of the tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppList {
    apps: Vec<App>,
}

/// An app at TikTok Shop.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct App {
    /// The app key, which a connect session names in `app`. It is not secret.
    key: String,
}

/// Lists the apps of the tenant.
///
/// A tenant with several apps names one when it begins a connect session.
#[utoipa::path(
    get, path = "/v1/apps", tag = "connecting", operation_id = "list_apps",
    responses((status = 200, description = "The apps", body = AppList)),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn list(State(state): State<Shared>, allowed: Allowed<Read>) -> Result<Json<AppList>, Problem> {
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let apps = allowed.run(&state, async move { host.apps(&tenant).await }).await??;
    Ok(Json(AppList { apps: apps.into_iter().map(|key| App { key: key.to_string() }).collect() }))
}
