//! Installs from TikTok's App Store, in two steps: the first one shows the seller, the second one connects.
//!
//! The callback of an install has no state, so it proves nothing about the person in whose browser it arrives. The
//! platform signs its customer in, and binds the install to the session of this sign-in. The service attaches nothing
//! before the customer has seen the seller and the shops and has confirmed.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::consent::BrowserSession;
use tiktok_shop_host::install::{InstallError, InstallId, InstallShop, PendingInstall};
use tiktok_shop_host::{AppKey, CustomerId};
use utoipa::ToSchema;

use super::{OfCustomer, of_named_app};
use crate::caller::{Allowed, Connect};
use crate::input::{JsonOf, PathOf};
use crate::model::{Connection, ShopPolicy};
use crate::problem::Problem;
use crate::state::Shared;

/// The secret of a signed-in browser session at the platform. The same text must come with the confirmation.
#[derive(Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(as = BrowserSession, value_type = String, min_length = 16, max_length = 4096)]
pub(crate) struct BrowserSessionText(BrowserSession);

/// The maximum length of a session's secret, in bytes.
const MAX_SESSION_BYTES: usize = 4096;

impl TryFrom<String> for BrowserSessionText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = text.len() <= MAX_SESSION_BYTES;
        let session = if fits { BrowserSession::new(text.into()) } else { None };
        session.map(Self).ok_or("a browser session has 16 to 4096 bytes")
    }
}

/// An install to begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstallRequest {
    /// The query with which the browser came to the install address, unchanged. Secret.
    #[schema(max_length = 8192)]
    query: String,
    browser_session: BrowserSessionText,
    /// The app that the seller has installed. Needed if the tenant has several.
    #[schema(value_type = Option<String>, pattern = "^[!-~]{1,64}$")]
    app: Option<AppKey>,
}

/// A confirmation of an install.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    browser_session: BrowserSessionText,
    /// Which shops are linked.
    #[serde(default)]
    shop_policy: ShopPolicy,
}

/// A cancellation of an install.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancellation {
    browser_session: BrowserSessionText,
}

/// An install that waits for a confirmation. Show the seller and the shops to the customer, and ask whether these are
/// theirs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Install {
    /// The id with which the customer confirms. Put it into the form. Only the browser session of the customer gets it.
    id: String,
    /// The app that the seller has installed.
    app: String,
    /// TikTok Shop's id of the seller account, its `open_id`.
    account: String,
    /// The name of the seller.
    seller_name: String,
    /// The base region of the seller.
    seller_base_region: String,
    /// The scopes that the seller granted.
    granted_scopes: Vec<String>,
    /// The shops of the seller.
    shops: Vec<ShopOfInstall>,
}

/// A shop of an install that waits for a confirmation.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShopOfInstall {
    /// TikTok Shop's id of the shop.
    id: String,
    /// The name of the shop.
    name: String,
    /// The region of the shop.
    region: String,
    /// TikTok Shop's word for the type of seller.
    seller_type: String,
    /// TikTok Shop's short code of the shop.
    code: String,
}

impl From<PendingInstall> for Install {
    fn from(pending: PendingInstall) -> Self {
        let PendingInstall { id, app, account, seller_name, seller_base_region, granted_scopes, shops } = pending;
        let shops = shops.into_iter().map(|InstallShop { id, name, region, seller_type, code }| ShopOfInstall {
            id: id.to_string(),
            name,
            region,
            seller_type,
            code,
        });
        Self {
            id: id.expose().to_owned(),
            app: app.to_string(),
            account: account.to_string(),
            seller_name,
            seller_base_region,
            granted_scopes,
            shops: shops.collect(),
        }
    }
}

/// The result of a cancellation.
#[derive(Serialize, ToSchema)]
pub(crate) struct Cancelled {
    /// Whether such an install was waiting. Its tokens are deleted.
    cancelled: bool,
}

/// An install in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfInstall {
    /// The platform's id of the customer. A generated client percent-encodes it. The ids `.` and `..` are refused.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    customer: CustomerId,
    /// The id of the install.
    #[param(pattern = "^[0-9a-f]{64}$")]
    install: String,
}

impl OfInstall {
    fn id(&self) -> Result<InstallId, Problem> {
        InstallId::parse(&self.install)
            .ok_or_else(|| Problem::invalid_parameter("install: not 64 hexadecimal digits in lower case"))
    }
}

/// Begins an install from TikTok's App Store for a signed-in customer.
///
/// Exchanges the code of the query, stores the tokens sealed, and reads the shops. Connects nothing. The same
/// request again returns the same install, and sends no code. An install waits for 30 minutes.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/installs", tag = "connecting", operation_id = "begin_install",
    params(OfCustomer), request_body = InstallRequest,
    responses((status = 200, description = "The install waits for a confirmation", body = Install)),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn begin(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(OfCustomer { customer }): PathOf<OfCustomer>,
    JsonOf(InstallRequest { query, browser_session: BrowserSessionText(browser), app }): JsonOf<InstallRequest>,
) -> Result<Json<Install>, Problem> {
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let begun = async move { host.begin_install(&tenant, &customer, app.as_ref(), &browser, query.into()).await };
    let begun = allowed.run(&state, begun).await?;
    state.metrics.consent("begin-install", outcome(&begun));
    let pending = begun
        .map_err(|error| if let InstallError::Call(error) = error { of_named_app(error) } else { error.into() })?;
    Ok(Json(pending.into()))
}

/// Connects the customer after they have confirmed that the seller and the shops are theirs.
///
/// The customer and the browser session must be those of the beginning.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/installs/{install}/confirm", tag = "connecting",
    operation_id = "confirm_install", params(OfInstall), request_body = Confirmation,
    responses((status = 200, description = "The connection", body = Connection)),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn confirm(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(place): PathOf<OfInstall>,
    JsonOf(Confirmation { browser_session: BrowserSessionText(browser), shop_policy }): JsonOf<Confirmation>,
) -> Result<Json<Connection>, Problem> {
    let (host, tenant, id) = (allowed.host.clone(), allowed.tenant.clone(), place.id()?);
    let confirmed =
        async move { host.confirm_install(&tenant, &place.customer, &browser, &id, shop_policy.into()).await };
    let confirmed = allowed.run(&state, confirmed).await?;
    state.metrics.consent("confirm-install", outcome(&confirmed));
    Ok(Json((&confirmed?).into()))
}

/// Deletes an install and its tokens, because the customer says that the seller is not theirs.
///
/// At TikTok Shop, the app stays installed. Repeating the request is safe.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/installs/{install}/cancel", tag = "connecting",
    operation_id = "cancel_install", params(OfInstall), request_body = Cancellation,
    responses((status = 200, description = "No such install waits any more", body = Cancelled)),
    security(("api-key" = ["connect"]))
)]
pub(crate) async fn cancel(
    State(state): State<Shared>,
    allowed: Allowed<Connect>,
    PathOf(place): PathOf<OfInstall>,
    JsonOf(Cancellation { browser_session: BrowserSessionText(browser) }): JsonOf<Cancellation>,
) -> Result<Json<Cancelled>, Problem> {
    let (host, tenant, id) = (allowed.host.clone(), allowed.tenant.clone(), place.id()?);
    let cancelled =
        allowed.run(&state, async move { host.cancel_install(&tenant, &place.customer, &browser, &id).await }).await?;
    state.metrics.consent("cancel-install", outcome(&cancelled));
    Ok(Json(Cancelled { cancelled: cancelled? }))
}

/// Returns `ok` or the code of the error, for metrics.
fn outcome<T>(result: &Result<T, InstallError>) -> &'static str {
    result.as_ref().map_or_else(InstallError::known_code, |_| "ok")
}
