//! `/v1/customers/{customer}/connect-sessions`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tiktok_shop_host::{AppKey, CustomerId, TenantId};

use super::{OfCustomer, of_named_app};
use crate::caller::{Allowed, Connect};
use crate::input::{JsonOf, PathOf};
use crate::model::{BegunSession, SessionRequest, SessionState};
use crate::problem::Problem;
use crate::session::{self, ADDRESS_LIFE, MAX_RETURN_BYTES, Wanted};
use crate::state::Shared;

/// A connect session in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfSession {
    /// The platform's id of the customer. A generated client percent-encodes it. The ids `.` and `..` are refused.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    customer: CustomerId,
    /// The id of the session.
    #[param(max_length = 256)]
    session: String,
}

/// Begins a connect session for a new consent, or to renew a consent.
///
/// Redirect the browser of the signed-in customer to the address of the result at once. Do not show or send the
/// address: whoever opens it connects a shop to this customer. The address lasts 30 minutes. The seller then decides on
/// TikTok Shop's page within ten minutes.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/connect-sessions", tag = "connecting",
    operation_id = "begin_connect_session", params(OfCustomer), request_body = SessionRequest,
    responses(
        (status = 201, description = "The session has begun", body = BegunSession),
    ),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn begin(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(OfCustomer { customer }): PathOf<OfCustomer>,
    JsonOf(SessionRequest { app, shop_policy, return_to, customer_name }): JsonOf<SessionRequest>,
) -> Result<(StatusCode, Json<BegunSession>), Problem> {
    let is_allowed = |address: &String| {
        address.len() <= MAX_RETURN_BYTES
            && state.settings.return_addresses.iter().any(|allowed| allowed.allows(address))
    };
    if !return_to.as_ref().is_none_or(is_allowed) {
        return Err(Problem::refused(
            "return-address",
            "return_to is not in the list serve.return-addresses of the configuration, or has more than 1024 bytes",
        ));
    }
    check_app(&state, &allowed.tenant, app.as_ref()).await?;
    let customer_name = customer_name.map(String::from);
    let wanted = Wanted { customer, app, shops: shop_policy.into(), return_to, customer_name };
    let (id, secret) = session::begin(&*state.storage, &allowed.tenant, &allowed.actor, wanted).await?;
    let address = format!("{}/connect/{}", state.settings.public_address, secret.expose());
    let expires_at = state.now().0.saturating_add(ADDRESS_LIFE.as_secs());
    Ok((StatusCode::CREATED, Json(BegunSession { id, address, expires_at })))
}

/// Refuses a session whose consent could not begin: the tenant has no such app, or has several apps and the request
/// names none, or the app has no consent link. Otherwise only the seller's browser would notice.
async fn check_app(state: &Shared, tenant: &TenantId, app: Option<&AppKey>) -> Result<(), Problem> {
    // Nobody uses this link. The call sends no request and stores nothing.
    let unused = session::random_digits::<16>()?;
    let link = state.host.authorization_url(tenant, app, unused.into()).await;
    link.map(drop).map_err(of_named_app)
}

/// Shows whether the seller has connected, and if not, why.
///
/// The answer is known for an hour after the session began.
#[utoipa::path(
    get, path = "/v1/customers/{customer}/connect-sessions/{session}", tag = "connecting",
    operation_id = "show_connect_session", params(OfSession),
    responses(
        (status = 200, description = "The session", body = SessionState),
    ),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn show(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(OfSession { customer, session }): PathOf<OfSession>,
) -> Result<Json<SessionState>, Problem> {
    let unknown =
        || Problem::not_found("unknown-session", "the customer has no such session, or it began more than an hour ago");
    let progress = session::state(&*state.storage, &allowed.tenant, &customer, &session).await?.ok_or_else(unknown)?;
    Ok(Json(SessionState::new(session, progress)))
}
