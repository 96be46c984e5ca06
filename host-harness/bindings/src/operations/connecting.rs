//! Operations that connect a seller: consents, imports and installs. Also the export of a grant, and the list of the
//! apps with which sellers connect.

use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::{ShopPolicy, UnixSeconds};
use tiktok_shop_host::consent::BrowserSession;
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::install::InstallId;
use tiktok_shop_host::{AccountId, AppKey, ConnectorHost, CustomerId, Secret, TenantId};

use super::Outcome;
use crate::error::BindingError;
use crate::options::{SecretText, Word};
use crate::shape;

fn session(secret: SecretText) -> Result<BrowserSession, BindingError> {
    let too_short = || BindingError::arguments("browser: a random secret of 16 bytes at least");
    BrowserSession::new(secret.into()).ok_or_else(too_short)
}

fn install_id(id: &SecretText) -> Result<InstallId, BindingError> {
    InstallId::parse(id.0.expose()).ok_or_else(|| BindingError::arguments("id: not the id of an install"))
}

/// The policy of a consent for which the caller names none.
fn all_shops() -> Word<ShopPolicy> {
    Word(ShopPolicy::All)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfTenant {
    tenant: TenantId,
}

/// Returns the keys of the tenant's apps.
pub(super) async fn apps(host: &ConnectorHost, a: OfTenant) -> Outcome {
    let apps = host.apps(&a.tenant).await?;
    Ok(Value::from_iter(apps.iter().map(AppKey::as_str)).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeginConsent {
    tenant: TenantId,
    customer: CustomerId,
    browser: SecretText,
    app: Option<AppKey>,
    #[serde(default = "all_shops")]
    shop_policy: Word<ShopPolicy>,
}

pub(super) async fn begin_consent(host: &ConnectorHost, a: BeginConsent) -> Outcome {
    let browser = session(a.browser)?;
    let Word(policy) = a.shop_policy;
    let consent = host.begin_consent(&a.tenant, &a.customer, a.app.as_ref(), &browser, policy).await?;
    Ok(json!({ "url": consent.url.expose() }).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FinishConsent {
    tenant: TenantId,
    browser: SecretText,
    query: SecretText,
}

pub(super) async fn finish_consent(host: &ConnectorHost, a: FinishConsent) -> Outcome {
    let connection = host.finish_consent(&a.tenant, &session(a.browser)?, a.query.into()).await?;
    Ok(shape::connection(&connection).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizationUrl {
    tenant: TenantId,
    state: SecretText,
    app: Option<AppKey>,
}

pub(super) async fn authorization_url(host: &ConnectorHost, a: AuthorizationUrl) -> Outcome {
    let url = host.authorization_url(&a.tenant, a.app.as_ref(), a.state.into()).await?;
    Ok(json!({ "url": url.expose() }).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Connect {
    tenant: TenantId,
    customer: CustomerId,
    app: Option<AppKey>,
    /// The code of a callback that the platform has checked itself.
    code: Option<SecretText>,
    /// The query of a callback, and the state that it must contain.
    query: Option<SecretText>,
    state: Option<SecretText>,
    #[serde(default = "all_shops")]
    shop_policy: Word<ShopPolicy>,
}

pub(super) async fn connect(host: &ConnectorHost, a: Connect) -> Outcome {
    let grant = match (a.code, a.query, a.state) {
        (Some(code), None, None) => Grant::Code(code.into()),
        (None, Some(query), Some(state)) => Grant::Callback { query: query.into(), state: state.into() },
        _ => return Err(BindingError::arguments("connect: give either a code, or a query with its state")),
    };
    let connection = host.connect(&a.tenant, &a.customer, a.app.as_ref(), grant, a.shop_policy.0).await?;
    Ok(shape::connection(&connection).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportGrant {
    tenant: TenantId,
    customer: CustomerId,
    app: Option<AppKey>,
    account: Option<AccountId>,
    refresh_token: SecretText,
    access_token: Option<SecretText>,
    access_token_ends: Option<u64>,
    refresh_token_ends: Option<u64>,
    #[serde(default = "all_shops")]
    shop_policy: Word<ShopPolicy>,
}

pub(super) async fn import_grant(host: &ConnectorHost, a: ImportGrant) -> Outcome {
    let grant = ExistingGrant {
        account: a.account,
        refresh_token: a.refresh_token.into(),
        access_token: a.access_token.map(Secret::from),
        access_token_ends: a.access_token_ends.map(UnixSeconds),
        refresh_token_ends: a.refresh_token_ends.map(UnixSeconds),
    };
    let connection = host.import_grant(&a.tenant, &a.customer, a.app.as_ref(), grant, a.shop_policy.0).await?;
    Ok(shape::connection(&connection).into())
}

/// A customer, and one of the customer's accounts. Without an account, the customer's only account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfAccount {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
}

pub(super) async fn export_grant(host: &ConnectorHost, a: OfAccount) -> Outcome {
    let grant = host.export_grant(&a.tenant, &a.customer, a.account.as_ref()).await?;
    Ok(shape::existing_grant(&grant).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeginInstall {
    tenant: TenantId,
    customer: CustomerId,
    browser: SecretText,
    query: SecretText,
    app: Option<AppKey>,
}

pub(super) async fn begin_install(host: &ConnectorHost, a: BeginInstall) -> Outcome {
    let (browser, query) = (session(a.browser)?, a.query.into());
    let pending = host.begin_install(&a.tenant, &a.customer, a.app.as_ref(), &browser, query).await?;
    Ok(shape::pending_install(&pending).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmInstall {
    tenant: TenantId,
    customer: CustomerId,
    browser: SecretText,
    id: SecretText,
    #[serde(default = "all_shops")]
    shop_policy: Word<ShopPolicy>,
}

pub(super) async fn confirm_install(host: &ConnectorHost, a: ConfirmInstall) -> Outcome {
    let (browser, id) = (session(a.browser)?, install_id(&a.id)?);
    let Word(policy) = a.shop_policy;
    let connection = host.confirm_install(&a.tenant, &a.customer, &browser, &id, policy).await?;
    Ok(shape::connection(&connection).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelInstall {
    tenant: TenantId,
    customer: CustomerId,
    browser: SecretText,
    id: SecretText,
}

pub(super) async fn cancel_install(host: &ConnectorHost, a: CancelInstall) -> Outcome {
    let (browser, id) = (session(a.browser)?, install_id(&a.id)?);
    let found = host.cancel_install(&a.tenant, &a.customer, &browser, &id).await?;
    Ok(json!({ "found": found }).into())
}
