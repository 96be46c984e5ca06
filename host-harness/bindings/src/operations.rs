//! The arguments of each operation, and the call of the library that it makes.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy, StatusKind, UnixSeconds};
use tiktok_shop_host::consent::BrowserSession;
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::install::InstallId;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::RowFilter;
use tiktok_shop_host::sweep::Sweep;
use tiktok_shop_host::{AccountId, AppKey, ConnectorHost, CustomerId, Secret, ShopId, TenantId};

use crate::binding::Binding;
use crate::error::BindingError;
use crate::options::{SecretText, read};
use crate::request::{Reply, Request};
use crate::{keys, shape};

/// The most entries of a page.
const MAX_PAGE: usize = 1000;

type Outcome = Result<Reply, BindingError>;

/// Makes the call that the request names.
pub(crate) async fn perform(binding: &Binding, host: &ConnectorHost, request: Request) -> Outcome {
    let Request { operation, arguments, body, actor, reason, stop } = request;
    let a = Arguments { operation: &operation, arguments };
    let stopped = stop.cancelled_owned();
    match operation.as_str() {
        "begin-consent" => begin_consent(host, a.read()?).await,
        "finish-consent" => finish_consent(host, a.read()?).await,
        "authorization-url" => authorization_url(host, a.read()?).await,
        "connect" => connect(host, a.read()?).await,
        "import-grant" => import_grant(host, a.read()?).await,
        "export-grant" => export_grant(host, a.read()?).await,
        "begin-install" => begin_install(host, a.read()?).await,
        "confirm-install" => confirm_install(host, a.read()?).await,
        "cancel-install" => cancel_install(host, a.read()?).await,
        "refresh" => refresh(host, a.read()?).await,
        "list-shops" => list_shops(host, a.read()?).await,
        "list-connections" => list_connections(host, a.read()?).await,
        "tenant-connections" => tenant_connections(host, a.read()?).await,
        "link-shops" => link_shops(host, a.read()?).await,
        "access-token" => access_token(host, a.read()?).await,
        "call" => call(host, a.read()?, body).await,
        "shared-connections" => shared_connections(host, a.read()?, stopped).await,
        "disconnect" => disconnect(host, a.read()?).await,
        "receive-webhook" => receive_webhook(host, a.read()?, body).await,
        "events" => events(binding, a.read()?).await,
        "sweep" => sweep(binding, host, a.read()?, stopped).await,
        "advance-clock" => advance_clock(binding, a.read()?),
        "key-status" => keys::status(&binding.keyring(actor, reason)).await,
        "check-keys" => keys::check(&binding.keyring(actor, reason)).await,
        "rotate-keys" => keys::rotate(&binding.keyring(actor, reason)).await,
        "add-host-key" => keys::add_host_key(binding.key_file()?),
        "promote-host-key" => keys::promote_host_key(binding.key_file()?, a.read()?),
        "retire-host-key" => keys::retire(&binding.keyring(actor, reason), binding.key_file()?, a.read()?).await,
        "erase-tenant" => keys::erase(&binding.keyring(actor, reason), a.read()?).await,
        _ => Err(BindingError::arguments("there is no such operation")),
    }
}

/// The arguments of a request that are not read yet.
struct Arguments<'a> {
    operation: &'a str,
    arguments: Value,
}

impl Arguments<'_> {
    fn read<T: serde::de::DeserializeOwned>(self) -> Result<T, BindingError> {
        let what = format!("the arguments of {}", self.operation);
        if self.arguments.is_null() { read(&what, json!({})) } else { read(&what, self.arguments) }
    }
}

fn session(secret: SecretText) -> Result<BrowserSession, BindingError> {
    let too_short = || BindingError::arguments("browser: a random secret of 16 bytes at least");
    BrowserSession::new(secret.into()).ok_or_else(too_short)
}

fn install_id(id: &SecretText) -> Result<InstallId, BindingError> {
    InstallId::parse(id.0.expose()).ok_or_else(|| BindingError::arguments("id: not the id of an install"))
}

/// Which shops a consent links.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    #[default]
    All,
    ExactlyOne,
}

impl From<Policy> for ShopPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::All => Self::All,
            Policy::ExactlyOne => Self::ExactlyOne,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginConsent {
    tenant: TenantId,
    customer: CustomerId,
    browser: SecretText,
    app: Option<AppKey>,
    #[serde(default)]
    shop_policy: Policy,
}

async fn begin_consent(host: &ConnectorHost, a: BeginConsent) -> Outcome {
    let browser = session(a.browser)?;
    let policy = a.shop_policy.into();
    let consent = host.begin_consent(&a.tenant, &a.customer, a.app.as_ref(), &browser, policy).await?;
    Ok(json!({ "url": consent.url.expose() }).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishConsent {
    tenant: TenantId,
    browser: SecretText,
    query: SecretText,
}

async fn finish_consent(host: &ConnectorHost, a: FinishConsent) -> Outcome {
    let connection = host.finish_consent(&a.tenant, &session(a.browser)?, a.query.into()).await?;
    Ok(shape::connection(&connection).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorizationUrl {
    tenant: TenantId,
    state: SecretText,
    app: Option<AppKey>,
}

async fn authorization_url(host: &ConnectorHost, a: AuthorizationUrl) -> Outcome {
    let url = host.authorization_url(&a.tenant, a.app.as_ref(), a.state.into()).await?;
    Ok(json!({ "url": url.expose() }).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Connect {
    tenant: TenantId,
    customer: CustomerId,
    app: Option<AppKey>,
    /// The code of a callback that the platform has checked itself.
    code: Option<SecretText>,
    /// The query of a callback, and the state that it must contain.
    query: Option<SecretText>,
    state: Option<SecretText>,
    #[serde(default)]
    shop_policy: Policy,
}

async fn connect(host: &ConnectorHost, a: Connect) -> Outcome {
    let grant = match (a.code, a.query, a.state) {
        (Some(code), None, None) => Grant::Code(code.into()),
        (None, Some(query), Some(state)) => Grant::Callback { query: query.into(), state: state.into() },
        _ => return Err(BindingError::arguments("connect: give either a code, or a query with its state")),
    };
    let connection = host.connect(&a.tenant, &a.customer, a.app.as_ref(), grant, a.shop_policy.into()).await?;
    Ok(shape::connection(&connection).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportGrant {
    tenant: TenantId,
    customer: CustomerId,
    app: Option<AppKey>,
    account: Option<AccountId>,
    refresh_token: SecretText,
    access_token: Option<SecretText>,
    access_token_ends: Option<u64>,
    refresh_token_ends: Option<u64>,
    #[serde(default)]
    shop_policy: Policy,
}

async fn import_grant(host: &ConnectorHost, a: ImportGrant) -> Outcome {
    let grant = ExistingGrant {
        account: a.account,
        refresh_token: a.refresh_token.into(),
        access_token: a.access_token.map(Secret::from),
        access_token_ends: a.access_token_ends.map(UnixSeconds),
        refresh_token_ends: a.refresh_token_ends.map(UnixSeconds),
    };
    let connection = host.import_grant(&a.tenant, &a.customer, a.app.as_ref(), grant, a.shop_policy.into()).await?;
    Ok(shape::connection(&connection).into())
}

/// A customer, and one of the customer's accounts. Without an account, the customer's only account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAccount {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
}

async fn export_grant(host: &ConnectorHost, a: OfAccount) -> Outcome {
    let grant = host.export_grant(&a.tenant, &a.customer, a.account.as_ref()).await?;
    Ok(shape::existing_grant(&grant).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginInstall {
    tenant: TenantId,
    customer: CustomerId,
    browser: SecretText,
    query: SecretText,
    app: Option<AppKey>,
}

async fn begin_install(host: &ConnectorHost, a: BeginInstall) -> Outcome {
    let (browser, query) = (session(a.browser)?, a.query.into());
    let pending = host.begin_install(&a.tenant, &a.customer, a.app.as_ref(), &browser, query).await?;
    Ok(shape::pending_install(&pending).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmInstall {
    tenant: TenantId,
    customer: CustomerId,
    browser: SecretText,
    id: SecretText,
    #[serde(default)]
    shop_policy: Policy,
}

async fn confirm_install(host: &ConnectorHost, a: ConfirmInstall) -> Outcome {
    let (browser, id) = (session(a.browser)?, install_id(&a.id)?);
    let policy = a.shop_policy.into();
    let connection = host.confirm_install(&a.tenant, &a.customer, &browser, &id, policy).await?;
    Ok(shape::connection(&connection).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelInstall {
    tenant: TenantId,
    customer: CustomerId,
    browser: SecretText,
    id: SecretText,
}

async fn cancel_install(host: &ConnectorHost, a: CancelInstall) -> Outcome {
    let (browser, id) = (session(a.browser)?, install_id(&a.id)?);
    let found = host.cancel_install(&a.tenant, &a.customer, &browser, &id).await?;
    Ok(json!({ "found": found }).into())
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    WhenDue,
    Forced,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    #[serde(default)]
    mode: Mode,
}

async fn refresh(host: &ConnectorHost, a: Refresh) -> Outcome {
    let mode = match a.mode {
        Mode::WhenDue => RefreshMode::WhenDue,
        Mode::Forced => RefreshMode::Forced,
    };
    let refreshed = host.refresh(&a.tenant, &a.customer, a.account.as_ref(), mode).await?;
    Ok(shape::refreshed(&refreshed).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfCustomer {
    tenant: TenantId,
    customer: CustomerId,
}

async fn list_shops(host: &ConnectorHost, a: OfCustomer) -> Outcome {
    let shops = host.list_shops(&a.tenant, &a.customer).await?;
    // The list has only shops that the customer may use.
    Ok(Value::from_iter(shops.iter().map(|shop| shape::shop(shop, true))).into())
}

async fn list_connections(host: &ConnectorHost, a: OfCustomer) -> Outcome {
    let connections = host.list_connections(&a.tenant, &a.customer).await?;
    Ok(Value::from_iter(connections.iter().map(shape::connection)).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantConnections {
    tenant: TenantId,
    status: Option<StatusWord>,
    shop: Option<ShopId>,
    account: Option<AccountId>,
    seller_name: Option<String>,
    after: Option<After>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StatusWord {
    Active,
    AuthorizationEnding,
    ReauthorizationRequired,
}

impl From<StatusWord> for StatusKind {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Active => Self::Active,
            StatusWord::AuthorizationEnding => Self::AuthorizationEnding,
            StatusWord::ReauthorizationRequired => Self::ReauthorizationRequired,
        }
    }
}

#[derive(Deserialize)]
struct After {
    customer: CustomerId,
    account: AccountId,
}

fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(100).clamp(1, MAX_PAGE)
}

async fn tenant_connections(host: &ConnectorHost, a: TenantConnections) -> Outcome {
    let TenantConnections { tenant, status, shop, account, seller_name, after, limit } = a;
    let filter = RowFilter { status: status.map(StatusKind::from), shop, account, seller_name };
    let after = after.map(|After { customer, account }| ConnectionKey { customer, account });
    let connections = host.tenant_connections(&tenant, &filter, after.as_ref(), page(limit)).await?;
    Ok(Value::from_iter(connections.iter().map(shape::connection)).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkShops {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    shops: Vec<ShopId>,
}

async fn link_shops(host: &ConnectorHost, a: LinkShops) -> Outcome {
    let connection = host.link_shops(&a.tenant, &a.customer, a.account.as_ref(), &a.shops).await?;
    Ok(shape::connection(&connection).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessToken {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    #[serde(default)]
    min_validity_seconds: u32,
}

async fn access_token(host: &ConnectorHost, a: AccessToken) -> Outcome {
    let min_validity = Duration::from_secs(a.min_validity_seconds.into());
    let token = host.access_token(&a.tenant, &a.customer, a.account.as_ref(), min_validity).await?;
    Ok(shape::valid_token(&token).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tenant: TenantId,
    customer: CustomerId,
    shop: Option<ShopId>,
    account: Option<AccountId>,
    method: String,
    path: String,
    #[serde(default)]
    query: Vec<(String, String)>,
    content_type: Option<String>,
    max_response_bytes: Option<u32>,
    #[serde(default)]
    has_body: bool,
}

async fn call(host: &ConnectorHost, a: Call, body: Vec<u8>) -> Outcome {
    let scope = match (a.shop, a.account) {
        (Some(_), Some(_)) => return Err(BindingError::arguments("call: name a shop or an account, and not both")),
        (Some(shop), None) => CallScope::Shop(shop),
        (None, account) => CallScope::Seller(account),
    };
    let known = HttpMethod::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(&a.method));
    let method = known.ok_or_else(|| BindingError::arguments("call: the method is GET, POST, PUT or DELETE"))?;
    let usual = CallRequest::new(scope, method, a.path);
    let request = CallRequest {
        query: a.query,
        content_type: a.content_type,
        body: a.has_body.then_some(body),
        max_response_bytes: a.max_response_bytes.unwrap_or(usual.max_response_bytes),
        ..usual
    };
    let answer = host.call(&a.tenant, &a.customer, request).await?;
    Ok(Reply { value: shape::call_response(&answer), body: Some(answer.body) })
}

fn target(account: Option<AccountId>, shop: Option<ShopId>) -> Result<DisconnectTarget, BindingError> {
    match (account, shop) {
        (Some(_), Some(_)) => Err(BindingError::arguments("name an account or a shop, and not both")),
        (account, None) => Ok(DisconnectTarget::All(account)),
        (None, Some(shop)) => Ok(DisconnectTarget::Shop(shop)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedWith {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    shop: Option<ShopId>,
}

async fn shared_connections(host: &ConnectorHost, a: SharedWith, stop: impl Future<Output = ()>) -> Outcome {
    let target = target(a.account, a.shop)?;
    let shared = host.shared_connections(&a.tenant, &a.customer, &target, stop).await?;
    Ok(shape::shared_connections(&shared).into())
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Access {
    Keep,
    Revoke,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnect {
    tenant: TenantId,
    customer: CustomerId,
    account: Option<AccountId>,
    shop: Option<ShopId>,
    tiktok_access: Access,
}

async fn disconnect(host: &ConnectorHost, a: Disconnect) -> Outcome {
    let remote = match a.tiktok_access {
        Access::Keep => RemoteGrant::Keep,
        Access::Revoke => RemoteGrant::Revoke,
    };
    let ended = host.disconnect(&a.tenant, &a.customer, target(a.account, a.shop)?, remote).await?;
    Ok(shape::disconnected(&ended).into())
}

/// The head of a webhook.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookHead {
    pub(crate) tenant: TenantId,
    pub(crate) app: Option<AppKey>,
    /// The value of the header `Authorization`. Empty if the header is missing.
    #[serde(default)]
    pub(crate) authorization: String,
}

async fn receive_webhook(host: &ConnectorHost, a: WebhookHead, body: Vec<u8>) -> Outcome {
    let webhook = host.receive_webhook(&a.tenant, a.app.as_ref(), &a.authorization, body).await?;
    Ok(shape::webhook(&webhook).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    tenant: TenantId,
    after: Option<String>,
    limit: Option<usize>,
}

async fn events(binding: &Binding, a: Events) -> Outcome {
    let position = |text: String| {
        let malformed = |_| BindingError::arguments("after: the position of an event, which is a number as text");
        text.parse().map(EventPosition).map_err(malformed)
    };
    let after = a.after.map(position).transpose()?;
    let events = binding.storage().events(&a.tenant, after, page(a.limit)).await?;
    Ok(Value::from_iter(events.iter().map(shape::event)).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepArguments {
    concurrency: Option<NonZeroUsize>,
    jitter_seconds: Option<f64>,
}

async fn sweep(
    binding: &Binding,
    host: &ConnectorHost,
    a: SweepArguments,
    stopped: impl Future<Output = ()>,
) -> Outcome {
    const USUAL: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9);
    let usual = Sweep::new(binding.now(), a.concurrency.unwrap_or(USUAL));
    let jitter = a.jitter_seconds.map(Duration::try_from_secs_f64).transpose();
    let jitter = jitter.map_err(|_| BindingError::arguments("jitter_seconds: a number of seconds"))?;
    let sweep = Sweep { jitter: jitter.unwrap_or(usual.jitter), ..usual };
    let closing = binding.closing();
    let stop = async move {
        tokio::select! {
            () = stopped => {}
            () = closing => {}
        }
    };
    let mut outcomes = Vec::new();
    let swept = host.sweep(sweep, stop, |due, outcome| outcomes.push(shape::sweep_outcome(due, outcome))).await;
    let swept = swept.map_err(|error| BindingError {
        message: format!("the sweep ended early after {}: {}", error.swept, error.source),
        ..error.source.clone().into()
    })?;
    let mut value = shape::swept(&swept);
    if let Some(members) = value.as_object_mut() {
        // The refreshed ones are only counted, because there may be many.
        outcomes.retain(|outcome| outcome.get("outcome").is_none_or(|word| word != "refreshed"));
        members.insert("not_refreshed".to_owned(), outcomes.into());
    }
    Ok(value.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceClock {
    seconds: u64,
}

fn advance_clock(binding: &Binding, a: AdvanceClock) -> Outcome {
    binding.advance_clock(Duration::from_secs(a.seconds))?;
    Ok(Reply::default())
}
