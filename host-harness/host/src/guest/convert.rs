//! Converts between this library's types and the types that `bindgen!` generates. Every `match` is exhaustive, so a new
//! variant breaks the build until the variant is converted.

use std::time::Duration;

use super::bindings::{app_credentials, export, guest_storage, types};
use crate::access_token::ValidToken;
use crate::call::{CallRequest, CallResponse, CallScope, HttpMethod};
use crate::connect::Grant;
use crate::connection::{
    Connection, ConnectionKey, ConnectionStatus, PastFailure, ReauthorizationReason, Shop, ShopPolicy, ShopStanding,
    UnixSeconds,
};
use crate::credentials::AppCredentials;
use crate::disconnect::{DisconnectTarget, Disconnected, NotRevoked, RemoteGrant};
use crate::error::{Action, ConnectorError, Failure, Plugin};
use crate::existing_grant::ExistingGrant;
use crate::id::{AccountId, AppKey, InvalidId, ShopId};
use crate::install::{ExchangedInstall, InstallShop, InstallTokens};
use crate::refresh::{RefreshEffect, RefreshMode};
use crate::seal::{CheckedRow, OpenToken};
use crate::secret::Secret;
use crate::storage::{Environment, RowEntry, StorageError};
use crate::webhook::{Webhook, WebhookEffect, WebhookOwner};

impl From<Grant> for export::Grant {
    fn from(grant: Grant) -> Self {
        match grant {
            Grant::Code(code) => Self::Code(code.expose().to_owned()),
            Grant::Callback { query, state } => {
                Self::Callback(export::Callback { query: query.expose().to_owned(), state: state.expose().to_owned() })
            }
            Grant::Existing(grant) => Self::Existing(grant.into()),
            Grant::Pending(tokens) => Self::Pending(tokens.expose().to_vec()),
        }
    }
}

impl TryFrom<export::PendingInstall> for ExchangedInstall {
    type Error = InvalidId;

    fn try_from(install: export::PendingInstall) -> Result<Self, InvalidId> {
        let tokens = InstallTokens::from(install.secret);
        Ok(Self {
            app: install.app.try_into()?,
            account: install.account.try_into()?,
            seller_name: install.seller_name,
            seller_base_region: install.seller_base_region,
            granted_scopes: install.granted_scopes,
            tokens,
        })
    }
}

impl TryFrom<export::InstallShop> for InstallShop {
    type Error = InvalidId;

    fn try_from(shop: export::InstallShop) -> Result<Self, InvalidId> {
        Ok(Self {
            id: shop.id.try_into()?,
            name: shop.name,
            region: shop.region,
            seller_type: shop.seller_type,
            code: shop.code,
        })
    }
}

impl From<ExistingGrant> for export::ExistingGrant {
    fn from(grant: ExistingGrant) -> Self {
        Self {
            account: grant.account.map(String::from),
            refresh_token: grant.refresh_token.expose().to_owned(),
            access_token: grant.access_token.map(|token| token.expose().to_owned()),
            access_token_ends: grant.access_token_ends.map(|end| end.0),
            refresh_token_ends: grant.refresh_token_ends.map(|end| end.0),
        }
    }
}

impl TryFrom<export::ExistingGrant> for ExistingGrant {
    type Error = InvalidId;

    fn try_from(grant: export::ExistingGrant) -> Result<Self, InvalidId> {
        Ok(Self {
            account: grant.account.map(AccountId::try_from).transpose()?,
            refresh_token: Secret::from(grant.refresh_token),
            access_token: grant.access_token.map(Secret::from),
            access_token_ends: grant.access_token_ends.map(UnixSeconds),
            refresh_token_ends: grant.refresh_token_ends.map(UnixSeconds),
        })
    }
}

impl From<RefreshMode> for export::Rotation {
    fn from(mode: RefreshMode) -> Self {
        match mode {
            RefreshMode::WhenDue => Self::WhenDue,
            RefreshMode::Forced => Self::Forced,
        }
    }
}

impl From<ShopPolicy> for types::ShopPolicy {
    fn from(policy: ShopPolicy) -> Self {
        match policy {
            ShopPolicy::All => Self::All,
            ShopPolicy::ExactlyOne => Self::ExactlyOne,
        }
    }
}

impl From<types::ShopPolicy> for ShopPolicy {
    fn from(policy: types::ShopPolicy) -> Self {
        match policy {
            types::ShopPolicy::All => Self::All,
            types::ShopPolicy::ExactlyOne => Self::ExactlyOne,
        }
    }
}

impl From<ShopStanding> for types::ShopStanding {
    fn from(standing: ShopStanding) -> Self {
        match standing {
            ShopStanding::Granted => Self::Granted,
            ShopStanding::Inactive => Self::Inactive,
            ShopStanding::NoLongerGranted => Self::NoLongerGranted,
            ShopStanding::Unconfirmed => Self::Unconfirmed,
        }
    }
}

impl From<types::ShopStanding> for ShopStanding {
    fn from(standing: types::ShopStanding) -> Self {
        match standing {
            types::ShopStanding::Granted => Self::Granted,
            types::ShopStanding::Inactive => Self::Inactive,
            types::ShopStanding::NoLongerGranted => Self::NoLongerGranted,
            types::ShopStanding::Unconfirmed => Self::Unconfirmed,
        }
    }
}

impl From<ReauthorizationReason> for types::ReauthorizationReason {
    fn from(reason: ReauthorizationReason) -> Self {
        match reason {
            ReauthorizationReason::AuthorizationExpired => Self::AuthorizationExpired,
            ReauthorizationReason::AuthorizationRevoked => Self::AuthorizationRevoked,
            ReauthorizationReason::RefreshOutcomeUnknown => Self::RefreshOutcomeUnknown,
        }
    }
}

impl From<types::ReauthorizationReason> for ReauthorizationReason {
    fn from(reason: types::ReauthorizationReason) -> Self {
        match reason {
            types::ReauthorizationReason::AuthorizationExpired => Self::AuthorizationExpired,
            types::ReauthorizationReason::AuthorizationRevoked => Self::AuthorizationRevoked,
            types::ReauthorizationReason::RefreshOutcomeUnknown => Self::RefreshOutcomeUnknown,
        }
    }
}

impl From<ConnectionStatus> for types::ConnectionStatus {
    fn from(status: ConnectionStatus) -> Self {
        match status {
            ConnectionStatus::Active => Self::Active,
            ConnectionStatus::AuthorizationEnding(at) => Self::AuthorizationEnding(at.0),
            ConnectionStatus::ReauthorizationRequired(reason) => Self::ReauthorizationRequired(reason.into()),
        }
    }
}

impl From<types::ConnectionStatus> for ConnectionStatus {
    fn from(status: types::ConnectionStatus) -> Self {
        match status {
            types::ConnectionStatus::Active => Self::Active,
            types::ConnectionStatus::AuthorizationEnding(at) => Self::AuthorizationEnding(UnixSeconds(at)),
            types::ConnectionStatus::ReauthorizationRequired(reason) => Self::ReauthorizationRequired(reason.into()),
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let Failure { code, detail, http_status, request_id } = failure;
        Self { code, detail, http_status, request_id }
    }
}

impl From<types::Failure> for Failure {
    fn from(failure: types::Failure) -> Self {
        let types::Failure { code, detail, http_status, request_id } = failure;
        Self { code, detail, http_status, request_id }
    }
}

impl From<types::Retry> for (Action, Failure) {
    fn from(retry: types::Retry) -> Self {
        let types::Retry { after_ms, failure } = retry;
        (Action::RetryAfter(Duration::from_millis(after_ms.into())), failure.into())
    }
}

impl From<types::ConnectorError> for (Action, Failure) {
    fn from(error: types::ConnectorError) -> Self {
        let (action, failure) = match error {
            types::ConnectorError::RetryAfter(retry) => return retry.into(),
            types::ConnectorError::Reauthorize(failure) => (Action::Reauthorize, failure),
            types::ConnectorError::Misconfigured(failure) => (Action::Misconfigured, failure),
            types::ConnectorError::InvalidRequest(failure) => (Action::InvalidRequest, failure),
            types::ConnectorError::Upstream(failure) => (Action::Upstream, failure),
            types::ConnectorError::StorageConflict(failure) => (Action::StorageConflict, failure),
            types::ConnectorError::StorageFailed(failure) => (Action::StorageFailed, failure),
            types::ConnectorError::Internal(failure) => (Action::Internal, failure),
        };
        (action, failure.into())
    }
}

impl From<ConnectionKey> for types::ConnectionKey {
    fn from(key: ConnectionKey) -> Self {
        Self { customer: key.customer.into(), account: key.account.into() }
    }
}

impl TryFrom<types::ConnectionKey> for ConnectionKey {
    type Error = InvalidId;

    fn try_from(key: types::ConnectionKey) -> Result<Self, InvalidId> {
        Ok(Self { customer: key.customer.try_into()?, account: key.account.try_into()? })
    }
}

impl From<Shop> for types::Shop {
    fn from(shop: Shop) -> Self {
        let Shop { id, account, app, name, region, seller_type, cipher, code, raw, standing, linked } = shop;
        Self {
            id: id.into(),
            account: account.into(),
            app: app.map(Into::into),
            name,
            region,
            seller_type,
            cipher: cipher.map(|cipher| cipher.expose().to_owned()),
            code,
            raw,
            standing: standing.into(),
            linked,
        }
    }
}

impl TryFrom<types::Shop> for Shop {
    type Error = InvalidId;

    fn try_from(shop: types::Shop) -> Result<Self, InvalidId> {
        let types::Shop { id, account, app, name, region, seller_type, cipher, code, raw, standing, linked } = shop;
        Ok(Self {
            id: id.try_into()?,
            account: account.try_into()?,
            app: app.map(AppKey::try_from).transpose()?,
            name,
            region,
            seller_type,
            cipher: cipher.map(Secret::from),
            code,
            raw,
            standing: standing.into(),
            linked,
        })
    }
}

impl From<Connection> for types::Connection {
    fn from(connection: Connection) -> Self {
        let seconds = |at: UnixSeconds| at.0;
        Self {
            key: connection.key.into(),
            app: connection.app.map(Into::into),
            seller_name: connection.seller_name,
            seller_base_region: connection.seller_base_region,
            granted_scopes: connection.granted_scopes,
            shop_policy: connection.shop_policy.into(),
            status: connection.status.into(),
            access_expires_at: connection.access_expires_at.map(seconds),
            refresh_expires_at: connection.refresh_expires_at.map(seconds),
            authorization_ends_at: connection.authorization_ends_at.map(seconds),
            connected_at: seconds(connection.connected_at),
            granted_at: seconds(connection.granted_at),
            refreshed_at: seconds(connection.refreshed_at),
            shops_synced_at: connection.shops_synced_at.map(seconds),
            shops: connection.shops.into_iter().map(Into::into).collect(),
            last_failure: connection
                .last_failure
                .map(|past| types::PastFailure { at: past.at.0, failure: past.failure.into() }),
        }
    }
}

impl TryFrom<types::Connection> for Connection {
    type Error = InvalidId;

    fn try_from(connection: types::Connection) -> Result<Self, InvalidId> {
        Ok(Self {
            key: connection.key.try_into()?,
            app: connection.app.map(AppKey::try_from).transpose()?,
            seller_name: connection.seller_name,
            seller_base_region: connection.seller_base_region,
            granted_scopes: connection.granted_scopes,
            shop_policy: connection.shop_policy.into(),
            status: connection.status.into(),
            access_expires_at: connection.access_expires_at.map(UnixSeconds),
            refresh_expires_at: connection.refresh_expires_at.map(UnixSeconds),
            authorization_ends_at: connection.authorization_ends_at.map(UnixSeconds),
            connected_at: UnixSeconds(connection.connected_at),
            granted_at: UnixSeconds(connection.granted_at),
            refreshed_at: UnixSeconds(connection.refreshed_at),
            shops_synced_at: connection.shops_synced_at.map(UnixSeconds),
            shops: connection.shops.into_iter().map(Shop::try_from).collect::<Result<_, _>>()?,
            last_failure: connection
                .last_failure
                .map(|past| PastFailure { at: UnixSeconds(past.at), failure: past.failure.into() }),
        })
    }
}

/// Converts an app's credentials. A fake may have a consent page without TLS.
pub(super) fn credentials_to_wit(
    credentials: AppCredentials,
    environment: Environment,
) -> app_credentials::Credentials {
    let AppCredentials { app_key, app_secret, previous_app_secret, authorization_link } = credentials;
    app_credentials::Credentials {
        app_key,
        app_secret: app_secret.expose().to_owned(),
        previous_app_secret: previous_app_secret.map(|secret| secret.expose().to_owned()),
        authorization_link,
        allow_http_link: match environment {
            Environment::Fake => true,
            Environment::TikTokShop => false,
        },
    }
}

impl From<StorageError> for guest_storage::StorageError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(why) => Self::Unavailable(why),
            StorageError::Refused(why) => Self::Refused(why),
            StorageError::KeyGone => Self::Refused(error.to_string()),
            StorageError::RowChanged(revision) => Self::Changed(revision.into()),
        }
    }
}

impl From<OpenToken> for guest_storage::Entry {
    fn from(mut token: OpenToken) -> Self {
        Self {
            revision: token.revision.into(),
            document: String::new(),
            secrets: std::mem::take(&mut *token.value),
            age_ms: i64::try_from(token.age.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// The connector does not read the age of a row, so the age is 0.
impl From<CheckedRow> for guest_storage::Entry {
    fn from(CheckedRow { entry, mut secrets, open: _ }: CheckedRow) -> Self {
        let RowEntry { revision, row } = entry;
        Self { revision: revision.into(), document: row.document, secrets: std::mem::take(&mut *secrets), age_ms: 0 }
    }
}

impl From<HttpMethod> for export::HttpMethod {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::Get,
            HttpMethod::Post => Self::Post,
            HttpMethod::Put => Self::Put,
            HttpMethod::Delete => Self::Delete,
        }
    }
}

impl From<CallRequest> for export::CallRequest {
    fn from(request: CallRequest) -> Self {
        Self {
            scope: match request.scope {
                CallScope::Shop(shop) => export::CallScope::Shop(shop.into()),
                CallScope::Seller(account) => export::CallScope::Seller(account.map(String::from)),
            },
            method: request.method.into(),
            path: request.path,
            query: request.query,
            content_type: request.content_type,
            body: request.body,
            max_response_bytes: request.max_response_bytes,
        }
    }
}

impl From<export::CallResponse> for CallResponse {
    fn from(response: export::CallResponse) -> Self {
        Self {
            http_status: response.http_status,
            code: response.code,
            request_id: response.request_id,
            content_type: response.content_type,
            body: response.body,
        }
    }
}

/// The effect of a `refresh`, as the guest reports it. The error in `NothingSent` does not contain the name of the
/// component yet.
#[derive(Debug)]
pub(crate) enum GuestEffect {
    Renewed,
    ShopsRead,
    NothingSent(Action, Failure),
}

impl GuestEffect {
    /// Converts the effect, and adds the name of the component to the error.
    pub(crate) fn of(self, plugin: &Plugin) -> RefreshEffect {
        match self {
            Self::Renewed => RefreshEffect::Renewed,
            Self::ShopsRead => RefreshEffect::ShopsRead,
            Self::NothingSent(action, failure) => RefreshEffect::NothingSent(ConnectorError {
                plugin: plugin.clone(),
                action,
                failure,
                proxy_error: None,
            }),
        }
    }
}

/// Converts the result of `refresh`.
pub(crate) fn refreshed(refreshed: export::Refreshed) -> Result<(Connection, GuestEffect), InvalidId> {
    let export::Refreshed { connection, effect } = refreshed;
    let effect = match effect {
        export::RefreshEffect::Renewed => GuestEffect::Renewed,
        export::RefreshEffect::ShopsRead => GuestEffect::ShopsRead,
        export::RefreshEffect::NothingSent(retry) => {
            let (action, failure): (Action, Failure) = retry.into();
            GuestEffect::NothingSent(action, failure)
        }
    };
    Ok((connection.try_into()?, effect))
}

impl TryFrom<export::ValidToken> for ValidToken {
    type Error = InvalidId;

    fn try_from(token: export::ValidToken) -> Result<Self, InvalidId> {
        Ok(Self {
            account: token.account.try_into()?,
            token: Secret::from(token.token),
            expires_at: token.expires_at.map(UnixSeconds),
        })
    }
}

impl From<DisconnectTarget> for export::DisconnectTarget {
    fn from(target: DisconnectTarget) -> Self {
        match target {
            DisconnectTarget::All(account) => Self::All(account.map(Into::into)),
            DisconnectTarget::Shop(shop) => Self::Shop(shop.into()),
        }
    }
}

impl From<RemoteGrant> for export::RemoteGrant {
    fn from(remote: RemoteGrant) -> Self {
        match remote {
            RemoteGrant::Keep => Self::Keep,
            RemoteGrant::Revoke => Self::Revoke,
        }
    }
}

impl TryFrom<export::NotRevoked> for NotRevoked {
    type Error = InvalidId;

    fn try_from(shop: export::NotRevoked) -> Result<Self, InvalidId> {
        let export::NotRevoked { account, shop, failure } = shop;
        Ok(Self {
            account: account.try_into()?,
            shop: shop.map(ShopId::try_from).transpose()?,
            failure: failure.into(),
        })
    }
}

impl TryFrom<export::Disconnected> for Disconnected {
    type Error = InvalidId;

    fn try_from(ended: export::Disconnected) -> Result<Self, InvalidId> {
        let export::Disconnected { remaining, not_revoked } = ended;
        Ok(Self {
            // The guest does not return `found` and `revoked`. The host fills them in, because the host sees which
            // connections and shops the call finds.
            found: Vec::new(),
            revoked: Vec::new(),
            remaining: remaining.into_iter().map(Connection::try_from).collect::<Result<_, _>>()?,
            not_revoked: not_revoked.into_iter().map(NotRevoked::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<export::WebhookEffect> for WebhookEffect {
    fn from(effect: export::WebhookEffect) -> Self {
        match effect {
            export::WebhookEffect::None => Self::None,
            export::WebhookEffect::VerificationDue => Self::VerificationDue,
            export::WebhookEffect::AuthorizationEnding => Self::AuthorizationEnding,
        }
    }
}

impl TryFrom<export::Webhook> for Webhook {
    type Error = InvalidId;

    fn try_from(webhook: export::Webhook) -> Result<Self, InvalidId> {
        let export::Webhook { app, notification_id, event_type, shop, occurred_at, data, owners, effect } = webhook;
        let owner =
            |owner: export::WebhookOwner| Ok(WebhookOwner { key: owner.key.try_into()?, may_use: owner.may_use });
        Ok(Self {
            app: app.try_into()?,
            notification_id,
            event_type,
            shop: shop.map(ShopId::try_from).transpose()?,
            occurred_at: occurred_at.map(UnixSeconds),
            data,
            owners: owners.into_iter().map(owner).collect::<Result<_, _>>()?,
            effect: effect.into(),
        })
    }
}

/// Converts a list. If one identifier is malformed, the whole conversion fails.
pub(crate) fn read_all<T, U: TryFrom<T, Error = InvalidId>>(items: Vec<T>) -> Result<Vec<U>, InvalidId> {
    items.into_iter().map(U::try_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str) -> Failure {
        Failure {
            code: code.to_owned(),
            detail: "detail".to_owned(),
            http_status: Some(502),
            request_id: Some("id".to_owned()),
        }
    }

    fn shop(standing: ShopStanding, cipher: Option<&str>) -> Shop {
        Shop {
            id: "7".parse().unwrap(),
            account: "account".parse().unwrap(),
            app: Some("app-key".parse().unwrap()),
            name: "name".to_owned(),
            region: "region".to_owned(),
            seller_type: "seller type".to_owned(),
            cipher: cipher.map(Secret::from),
            code: "code".to_owned(),
            raw: "raw".to_owned(),
            standing,
            linked: cipher.is_some(),
        }
    }

    fn connection(status: ConnectionStatus, shop_policy: ShopPolicy) -> Connection {
        Connection {
            key: ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() },
            app: Some("app-key".parse().unwrap()),
            seller_name: "seller".to_owned(),
            seller_base_region: "base region".to_owned(),
            granted_scopes: vec!["one".to_owned(), "two".to_owned()],
            shop_policy,
            status,
            access_expires_at: Some(UnixSeconds(1)),
            refresh_expires_at: Some(UnixSeconds(4_903_858_076)),
            authorization_ends_at: Some(UnixSeconds(3)),
            connected_at: UnixSeconds(4),
            granted_at: UnixSeconds(5),
            refreshed_at: UnixSeconds(5),
            shops_synced_at: Some(UnixSeconds(6)),
            shops: vec![
                shop(ShopStanding::Granted, Some("cipher")),
                shop(ShopStanding::Inactive, None),
                shop(ShopStanding::NoLongerGranted, Some("")),
                shop(ShopStanding::Unconfirmed, None),
            ],
            last_failure: Some(PastFailure { at: UnixSeconds(8), failure: failure("code") }),
        }
    }

    #[test]
    fn a_connection_is_unchanged_after_conversion_there_and_back() {
        let required = ConnectionStatus::ReauthorizationRequired;
        for status in [
            ConnectionStatus::Active,
            ConnectionStatus::AuthorizationEnding(UnixSeconds(9)),
            required(ReauthorizationReason::AuthorizationExpired),
            required(ReauthorizationReason::AuthorizationRevoked),
            required(ReauthorizationReason::RefreshOutcomeUnknown),
        ] {
            for policy in [ShopPolicy::All, ShopPolicy::ExactlyOne] {
                let ours = connection(status, policy);
                assert_eq!(Connection::try_from(types::Connection::from(ours.clone())), Ok(ours));
            }
        }
    }

    #[test]
    fn every_error_keeps_its_action_and_failure() {
        let f = || types::Failure::from(failure("code"));
        let retry = types::Retry { after_ms: 3_600_000, failure: f() };
        let table = [
            (types::ConnectorError::RetryAfter(retry), Action::RetryAfter(Duration::from_secs(3_600))),
            (types::ConnectorError::Reauthorize(f()), Action::Reauthorize),
            (types::ConnectorError::Misconfigured(f()), Action::Misconfigured),
            (types::ConnectorError::InvalidRequest(f()), Action::InvalidRequest),
            (types::ConnectorError::Upstream(f()), Action::Upstream),
            (types::ConnectorError::StorageConflict(f()), Action::StorageConflict),
            (types::ConnectorError::StorageFailed(f()), Action::StorageFailed),
            (types::ConnectorError::Internal(f()), Action::Internal),
        ];
        for (theirs, action) in table {
            assert_eq!(<(Action, Failure)>::from(theirs), (action, failure("code")));
        }
    }

    #[test]
    fn debug_output_contains_no_secret() {
        let grant = Grant::Callback { query: "s3cret".into(), state: "s3cret".into() };
        let code = Grant::Code("s3cret".into());
        let shop = shop(ShopStanding::Granted, Some("s3cret"));
        let credentials = AppCredentials {
            app_key: "key".to_owned(),
            app_secret: "s3cret".into(),
            previous_app_secret: Some("s3cret".into()),
            authorization_link: None,
        };
        let existing = Grant::Existing(ExistingGrant {
            access_token: Some("s3cret".into()),
            ..ExistingGrant::new("s3cret".into())
        });
        let printed = format!("{grant:?} {code:?} {existing:?} {shop:?} {credentials:?}");
        assert!(!printed.contains("s3cret"), "{printed}");
        assert_eq!(printed.matches("[redacted]").count(), 8);
    }
}
