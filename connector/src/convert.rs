//! Converts between the types of the core and the types of the WIT package. Every match is exhaustive. Generated types
//! are used only here, in `effects.rs` and in `lib.rs`, because their `Debug` prints the secrets that they hold.

use crate::bindings::exports::tiktok_shop::connector::connector as export;
use crate::bindings::tiktok_shop::connector::{app_credentials, storage, types};
use core::time::Duration;
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::callback::Grant as Consent;
use tiktok_shop_connector_core::connection::document::{self, RowIndex, StatusKind};
use tiktok_shop_connector_core::connection::{Connection, ListedShop, PastFailure, Row, Shop, ShopStanding, Status};
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::endpoint::business::{BusinessRequest, BusinessResponse};
use tiktok_shop_connector_core::error::{Action, Error};
use tiktok_shop_connector_core::existing_grant::ExistingGrant;
use tiktok_shop_connector_core::http::Method;
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey, CustomerId};
use tiktok_shop_connector_core::operation::access_token::ValidToken;
use tiktok_shop_connector_core::operation::call::CallScope;
use tiktok_shop_connector_core::operation::disconnect::{DisconnectTarget, Disconnected, RemoteGrant};
use tiktok_shop_connector_core::operation::exchange_install::Exchange;
use tiktok_shop_connector_core::operation::receive_webhook::{Received, WebhookEffect};
use tiktok_shop_connector_core::operation::refresh::{RefreshEffect, RefreshMode, Refreshed};
use tiktok_shop_connector_core::ports::{Entry, Revision, StorageError, TokenWrite};
use tiktok_shop_connector_core::record::{DeadReason, ShopPolicy};
use tiktok_shop_connector_core::secret::{AccessToken, AppSecret, AuthorizationCode, RefreshToken, SecretBytes, State};
use tiktok_shop_connector_core::time::UnixSeconds;

/// Converts an error. Only this function decides which case of the WIT variant `error` stands for an [`Action`].
pub(crate) fn error(error: Error) -> types::ConnectorError {
    let failure = failure(&error);
    match error.cause.action() {
        Action::Internal => types::ConnectorError::Internal(failure),
        Action::InvalidRequest => types::ConnectorError::InvalidRequest(failure),
        Action::Misconfigured => types::ConnectorError::Misconfigured(failure),
        Action::Reauthorize => types::ConnectorError::Reauthorize(failure),
        Action::RetryAfter => {
            types::ConnectorError::RetryAfter(types::Retry { after_ms: milliseconds(error.delay), failure })
        }
        Action::StorageConflict => types::ConnectorError::StorageConflict(failure),
        Action::StorageFailed => types::ConnectorError::StorageFailed(failure),
        Action::Upstream => types::ConnectorError::Upstream(failure),
    }
}

fn retry(error: &Error) -> types::Retry {
    types::Retry { after_ms: milliseconds(error.delay), failure: failure(error) }
}

fn failure(error: &Error) -> types::Failure {
    types::Failure {
        code: error.cause.code().to_owned(),
        detail: error.detail(),
        http_status: error.http_status,
        request_id: error.request_id.clone(),
    }
}

fn milliseconds(delay: Duration) -> u32 {
    u32::try_from(delay.as_secs() * 1000 + u64::from(delay.subsec_millis())).unwrap_or(u32::MAX)
}

/// The kinds of grants. The core has one operation for each kind.
pub(crate) enum Grant {
    Consent(Consent),
    Existing(ExistingGrant),
    /// The stored form of a pending install.
    Pending(SecretBytes),
}

pub(crate) fn grant(grant: export::Grant) -> Result<Grant, Error> {
    Ok(match grant {
        export::Grant::Code(code) => Grant::Consent(Consent::Code(AuthorizationCode::new(code))),
        export::Grant::Callback(callback) => {
            Grant::Consent(Consent::Callback { query: callback.query, state: State::new(callback.state) })
        }
        export::Grant::Pending(pending) => Grant::Pending(SecretBytes::new(pending)),
        export::Grant::Existing(existing) => Grant::Existing(ExistingGrant {
            account: existing.account.map(AccountId::parse).transpose()?,
            refresh: RefreshToken::new(existing.refresh_token),
            access: existing.access_token.map(AccessToken::new),
            access_ends: existing.access_token_ends.map(UnixSeconds::new),
            refresh_ends: existing.refresh_token_ends.map(UnixSeconds::new),
        }),
    })
}

pub(crate) fn existing_grant(grant: ExistingGrant) -> export::ExistingGrant {
    export::ExistingGrant {
        account: grant.account.map(|account| account.as_str().to_owned()),
        refresh_token: grant.refresh.expose().to_owned(),
        access_token: grant.access.map(|token| token.expose().to_owned()),
        access_token_ends: grant.access_ends.map(UnixSeconds::seconds),
        refresh_token_ends: grant.refresh_ends.map(UnixSeconds::seconds),
    }
}

pub(crate) fn pending_install(exchange: Exchange) -> export::PendingInstall {
    let Exchange { install, stored_form } = exchange;
    let profile = install.record.profile();
    export::PendingInstall {
        app: install.record.app_key().to_owned(),
        account: install.account.as_str().to_owned(),
        seller_name: profile.seller_name.clone(),
        seller_base_region: profile.base_region.clone(),
        granted_scopes: profile.scopes.clone(),
        secret: stored_form.expose().to_vec(),
    }
}

pub(crate) fn install_shop(shop: ListedShop) -> export::InstallShop {
    export::InstallShop {
        id: shop.id,
        name: shop.name,
        region: shop.region,
        seller_type: shop.seller_type,
        code: shop.code,
    }
}

pub(crate) fn refresh_mode(mode: export::Rotation) -> RefreshMode {
    match mode {
        export::Rotation::WhenDue => RefreshMode::WhenDue,
        export::Rotation::Forced => RefreshMode::Forced,
    }
}

pub(crate) fn refreshed(refreshed: Refreshed) -> export::Refreshed {
    export::Refreshed {
        connection: connection_to_wit(&refreshed.connection),
        effect: match refreshed.effect {
            RefreshEffect::Renewed => export::RefreshEffect::Renewed,
            RefreshEffect::ShopsRead => export::RefreshEffect::ShopsRead,
            RefreshEffect::NothingSent(error) => export::RefreshEffect::NothingSent(retry(&error)),
        },
    }
}

pub(crate) fn valid_token(token: ValidToken) -> export::ValidToken {
    export::ValidToken {
        account: token.account.as_str().to_owned(),
        token: token.token.expose().to_owned(),
        expires_at: token.expires.map(UnixSeconds::seconds),
    }
}

pub(crate) fn call_request(request: export::CallRequest) -> Result<(CallScope, BusinessRequest), Error> {
    let scope = match request.scope {
        export::CallScope::Shop(id) => CallScope::Shop(id),
        export::CallScope::Seller(account) => CallScope::Seller(account.map(AccountId::parse).transpose()?),
    };
    let request = BusinessRequest {
        method: match request.method {
            export::HttpMethod::Get => Method::Get,
            export::HttpMethod::Post => Method::Post,
            export::HttpMethod::Put => Method::Put,
            export::HttpMethod::Delete => Method::Delete,
        },
        path: request.path,
        query: request.query,
        content_type: request.content_type,
        body: request.body.unwrap_or_default(),
        max_response_bytes: request.max_response_bytes,
    };
    Ok((scope, request))
}

pub(crate) fn call_response(response: BusinessResponse) -> export::CallResponse {
    export::CallResponse {
        http_status: response.status,
        code: response.code.map(|code| code.to_string()),
        request_id: response.request_id,
        content_type: response.content_type,
        body: response.body,
    }
}

pub(crate) fn disconnect_target(target: export::DisconnectTarget) -> Result<DisconnectTarget, Error> {
    Ok(match target {
        export::DisconnectTarget::All(account) => DisconnectTarget::All(account.map(AccountId::parse).transpose()?),
        export::DisconnectTarget::Shop(id) => DisconnectTarget::Shop(id),
    })
}

pub(crate) fn remote_grant(remote: export::RemoteGrant) -> RemoteGrant {
    match remote {
        export::RemoteGrant::Keep => RemoteGrant::Keep,
        export::RemoteGrant::Revoke => RemoteGrant::Revoke,
    }
}

pub(crate) fn disconnected(ended: Disconnected) -> export::Disconnected {
    let not_revoked = ended.not_revoked.into_iter().map(|shop| export::NotRevoked {
        account: shop.account.as_str().to_owned(),
        shop: shop.shop,
        failure: failure(&shop.error),
    });
    export::Disconnected {
        remaining: ended.remaining.iter().map(connection_to_wit).collect(),
        not_revoked: not_revoked.collect(),
    }
}

pub(crate) fn webhook(received: Received) -> export::Webhook {
    let owners = received.owners.iter();
    export::Webhook {
        app: received.app,
        owners: owners
            .map(|owner| export::WebhookOwner { key: key_to_wit(&owner.key), may_use: owner.may_use })
            .collect(),
        notification_id: received.notification.id,
        event_type: received.notification.event_type,
        shop: received.notification.shop,
        occurred_at: received.notification.occurred.map(UnixSeconds::seconds),
        data: received.notification.data,
        effect: match received.effect {
            WebhookEffect::None => export::WebhookEffect::None,
            WebhookEffect::VerificationDue => export::WebhookEffect::VerificationDue,
            WebhookEffect::AuthorizationEnding => export::WebhookEffect::AuthorizationEnding,
        },
    }
}

pub(crate) fn shop_policy(policy: types::ShopPolicy) -> ShopPolicy {
    match policy {
        types::ShopPolicy::All => ShopPolicy::All,
        types::ShopPolicy::ExactlyOne => ShopPolicy::ExactlyOne,
    }
}

fn shop_policy_to_wit(policy: ShopPolicy) -> types::ShopPolicy {
    match policy {
        ShopPolicy::All => types::ShopPolicy::All,
        ShopPolicy::ExactlyOne => types::ShopPolicy::ExactlyOne,
    }
}

pub(crate) fn credentials(app: app_credentials::Credentials) -> Credentials {
    Credentials {
        app_key: app.app_key,
        app_secret: AppSecret::new(app.app_secret),
        previous_app_secret: app.previous_app_secret.map(AppSecret::new),
        authorization_link: app.authorization_link,
        link_scheme: if app.allow_http_link { LinkScheme::HttpsOrHttp } else { LinkScheme::Https },
    }
}

pub(crate) fn key_to_wit(key: &ConnectionKey) -> types::ConnectionKey {
    types::ConnectionKey { customer: key.customer.as_str().to_owned(), account: key.account.as_str().to_owned() }
}

/// Builds the error for an invalid identifier from storage. The connector never writes an invalid identifier, so the
/// host's storage returned an identifier that it never received from the connector.
fn invalid_stored_identifier<E>(_: E) -> StorageError {
    StorageError::Refused("storage returned an identifier that the connector cannot have written".to_owned())
}

pub(crate) fn stored_account(text: String) -> Result<AccountId, StorageError> {
    AccountId::parse(text).map_err(invalid_stored_identifier)
}

pub(crate) fn key_from_wit(key: types::ConnectionKey) -> Result<ConnectionKey, StorageError> {
    let customer = CustomerId::parse(key.customer).map_err(invalid_stored_identifier)?;
    Ok(ConnectionKey { customer, account: stored_account(key.account)? })
}

/// Converts a token record. The whole record is secret.
pub(crate) fn token_to_wit(token: &TokenWrite) -> storage::Write {
    storage::Write {
        document: String::new(),
        secrets: token.bytes.expose().to_vec(),
        index: storage::Index {
            refresh_due_at: token.refresh_due_at.map(UnixSeconds::seconds),
            status: None,
            ends_at: None,
            app: None,
            shops: Vec::new(),
            lineage: String::new(),
            generation: 0,
        },
    }
}

/// Encodes a row. Fails only if the encoder fails.
pub(crate) fn row_to_wit(row: &Row) -> Result<storage::Write, StorageError> {
    let not_encoded = || StorageError::Refused("the row cannot be encoded".to_owned());
    let index = RowIndex::of(&row.connection);
    let shops = index.shops.into_iter();
    Ok(storage::Write {
        document: document::encode(row).ok_or_else(not_encoded)?,
        secrets: document::encode_secrets(row).ok_or_else(not_encoded)?.expose().to_vec(),
        index: storage::Index {
            refresh_due_at: None,
            status: Some(match index.status {
                StatusKind::Active => storage::RowStatus::Active,
                StatusKind::AuthorizationEnding => storage::RowStatus::AuthorizationEnding,
                StatusKind::ReauthorizationRequired => storage::RowStatus::ReauthorizationRequired,
            }),
            ends_at: index.ends_at.map(UnixSeconds::seconds),
            app: index.app,
            shops: shops
                .map(|shop| storage::IndexedShop { id: shop.id, linked: shop.linked, usable: shop.usable })
                .collect(),
            lineage: row.lineage.clone(),
            generation: row.generation,
        },
    })
}

/// Decodes a stored row.
pub(crate) fn row_from_wit(key: ConnectionKey, entry: storage::Entry) -> Result<Entry<Row>, StorageError> {
    let (revision, secrets) = (Revision(entry.revision), SecretBytes::new(entry.secrets));
    match document::decode(key, &entry.document, secrets.expose()) {
        Ok(value) => Ok(Entry { revision, value }),
        Err(why) => Err(StorageError::RowUnreadable(revision, why)),
    }
}

pub(crate) fn connection_to_wit(connection: &Connection) -> types::Connection {
    let (account, app) = (connection.key.account.as_str(), connection.app.as_deref());
    types::Connection {
        shops: connection.shops.iter().map(|shop| shop_to_wit(account, app, shop)).collect(),
        key: key_to_wit(&connection.key),
        app: connection.app.clone(),
        seller_name: connection.seller_name.clone(),
        seller_base_region: connection.base_region.clone(),
        granted_scopes: connection.scopes.clone(),
        shop_policy: shop_policy_to_wit(connection.shop_policy),
        status: match connection.status {
            Status::Active => types::ConnectionStatus::Active,
            Status::AuthorizationEnding(end) => types::ConnectionStatus::AuthorizationEnding(end.seconds()),
            Status::ReauthorizationRequired(reason) => {
                types::ConnectionStatus::ReauthorizationRequired(reason_to_wit(reason))
            }
        },
        access_expires_at: connection.access_ends.map(UnixSeconds::seconds),
        refresh_expires_at: connection.refresh_ends.map(UnixSeconds::seconds),
        authorization_ends_at: connection.authorization_ends.map(UnixSeconds::seconds),
        connected_at: connection.connected_at.seconds(),
        granted_at: connection.granted_at.seconds(),
        refreshed_at: connection.refreshed_at.seconds(),
        shops_synced_at: connection.shops_synced_at.map(UnixSeconds::seconds),
        last_failure: connection.last_failure.as_ref().map(past_failure_to_wit),
    }
}

fn reason_to_wit(reason: DeadReason) -> types::ReauthorizationReason {
    match reason {
        DeadReason::AuthorizationExpired => types::ReauthorizationReason::AuthorizationExpired,
        DeadReason::AuthorizationRevoked => types::ReauthorizationReason::AuthorizationRevoked,
        DeadReason::RefreshOutcomeUnknown => types::ReauthorizationReason::RefreshOutcomeUnknown,
    }
}

pub(crate) fn shop_to_wit(account: &str, app: Option<&str>, shop: &Shop) -> types::Shop {
    types::Shop {
        id: shop.listed.id.clone(),
        account: account.to_owned(),
        app: app.map(str::to_owned),
        name: shop.listed.name.clone(),
        region: shop.listed.region.clone(),
        seller_type: shop.listed.seller_type.clone(),
        cipher: shop.listed.cipher.as_ref().map(|cipher| cipher.expose().to_owned()),
        code: shop.listed.code.clone(),
        raw: shop.listed.raw.clone(),
        standing: match shop.standing {
            ShopStanding::Granted => types::ShopStanding::Granted,
            ShopStanding::Inactive => types::ShopStanding::Inactive,
            ShopStanding::NoLongerGranted => types::ShopStanding::NoLongerGranted,
            ShopStanding::Unconfirmed => types::ShopStanding::Unconfirmed,
        },
        linked: shop.linked,
    }
}

fn past_failure_to_wit(past: &PastFailure) -> types::PastFailure {
    types::PastFailure {
        at: past.at.seconds(),
        failure: types::Failure {
            code: past.code.clone(),
            detail: past.detail.clone(),
            http_status: past.http_status,
            request_id: past.request_id.clone(),
        },
    }
}
