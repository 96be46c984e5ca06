//! Converts rows between their typed form and their document. The core encodes and decodes the document.

use tiktok_shop_connector_core::connection as core;
use tiktok_shop_connector_core::connection::document::{self, DocumentError};
use tiktok_shop_connector_core::identity;
use tiktok_shop_connector_core::record::{DeadReason, ShopPolicy as CorePolicy};
use tiktok_shop_connector_core::secret::{SecretBytes, ShopCipher};
use tiktok_shop_connector_core::time::UnixSeconds as CoreSeconds;

use super::connections::{OpenRow, Row, RowIndex, RowOrigin};
use super::error::StorageError;
use crate::connection::{
    Connection, ConnectionKey, ConnectionStatus, PastFailure, ReauthorizationReason, Shop, ShopPolicy, ShopStanding,
    UnixSeconds,
};
use crate::error::Failure;
use crate::id::{AppKey, ShopId};
use crate::secret::Secret;

impl OpenRow {
    /// Reads a document and the secrets that belong to it. If there are no secrets, the shops have no cipher.
    ///
    /// # Errors
    /// [`StorageError::Refused`] if the document or the secrets cannot be decoded.
    pub fn decode(key: &ConnectionKey, document: &str, secrets: &[u8]) -> Result<Self, StorageError> {
        let row = document::decode(core_key(key)?, document, secrets).map_err(|error| match error {
            DocumentError::TooNew => refused("a newer connector wrote the row"),
            DocumentError::Unreadable => refused("the document of the row cannot be decoded"),
        })?;
        let connection = connection_of(key, row.connection).ok_or_else(|| refused("the row has an invalid id"))?;
        Ok(Self { connection, token_lineage: row.lineage, token_generation: row.generation })
    }

    /// Returns the row as a document that is not sealed yet. The ciphers are not in it.
    ///
    /// # Errors
    /// [`StorageError::Refused`] if the row cannot be encoded. This does not happen for rows that the connector writes.
    pub fn encode(&self) -> Result<Row, StorageError> {
        Ok(self.with_document(document::encode(&self.in_core()?).ok_or_else(not_encoded)?))
    }

    /// Returns the row with its document, which is not sealed yet. The values beside the document are those of `self`.
    pub(crate) fn with_document(&self, document: String) -> Row {
        let Self { connection, token_lineage, token_generation } = self;
        Row {
            key: connection.key.clone(),
            document,
            sealed: None,
            origin: RowOrigin::Document,
            index: RowIndex::of(connection),
            token_lineage: token_lineage.clone(),
            token_generation: *token_generation,
        }
    }

    /// Returns the ciphers of the shops as the bytes that the host seals.
    pub(crate) fn secrets(&self) -> Result<SecretBytes, StorageError> {
        document::encode_secrets(&self.in_core()?).ok_or_else(not_encoded)
    }

    fn in_core(&self) -> Result<core::Row, StorageError> {
        let Self { connection, token_lineage, token_generation } = self;
        let Connection {
            key,
            app,
            seller_name,
            seller_base_region,
            granted_scopes,
            shop_policy,
            status,
            access_expires_at,
            refresh_expires_at,
            authorization_ends_at,
            connected_at,
            granted_at,
            refreshed_at,
            shops_synced_at,
            shops,
            last_failure,
        } = connection;
        let connection = core::Connection {
            key: core_key(key)?,
            app: app.as_ref().map(|app| app.as_str().to_owned()),
            seller_name: seller_name.clone(),
            base_region: seller_base_region.clone(),
            scopes: granted_scopes.clone(),
            shop_policy: match shop_policy {
                ShopPolicy::All => CorePolicy::All,
                ShopPolicy::ExactlyOne => CorePolicy::ExactlyOne,
            },
            status: match (status.dead(), status.ends_at()) {
                (Some(reason), _) => core::Status::ReauthorizationRequired(reason),
                (None, Some(at)) => core::Status::AuthorizationEnding(core_seconds(at)),
                (None, None) => core::Status::Active,
            },
            access_ends: access_expires_at.map(core_seconds),
            refresh_ends: refresh_expires_at.map(core_seconds),
            authorization_ends: authorization_ends_at.map(core_seconds),
            connected_at: core_seconds(*connected_at),
            granted_at: core_seconds(*granted_at),
            refreshed_at: core_seconds(*refreshed_at),
            shops_synced_at: shops_synced_at.map(core_seconds),
            shops: shops.iter().map(core_shop).collect(),
            last_failure: last_failure.as_ref().map(|PastFailure { at, failure }| core::PastFailure {
                at: core_seconds(*at),
                code: failure.code.clone(),
                detail: failure.detail.clone(),
                http_status: failure.http_status,
                request_id: failure.request_id.clone(),
            }),
        };
        Ok(core::Row { connection, lineage: token_lineage.clone(), generation: *token_generation })
    }
}

const fn core_seconds(at: UnixSeconds) -> CoreSeconds {
    CoreSeconds::new(at.0)
}

const fn seconds(at: CoreSeconds) -> UnixSeconds {
    UnixSeconds(at.seconds())
}

fn core_key(key: &ConnectionKey) -> Result<identity::ConnectionKey, StorageError> {
    let customer = identity::CustomerId::parse(key.customer.as_str().to_owned());
    let account = identity::AccountId::parse(key.account.as_str().to_owned());
    match (customer, account) {
        (Ok(customer), Ok(account)) => Ok(identity::ConnectionKey { customer, account }),
        (Err(error), _) | (_, Err(error)) => Err(refused(&error.detail())),
    }
}

fn core_shop(shop: &Shop) -> core::Shop {
    let Shop { id, account: _, app: _, name, region, seller_type, cipher, code, raw, standing, linked } = shop;
    let listed = core::ListedShop {
        id: id.as_str().to_owned(),
        name: name.clone(),
        region: region.clone(),
        seller_type: seller_type.clone(),
        cipher: cipher.as_ref().map(|cipher| ShopCipher::new(cipher.expose().to_owned())),
        code: code.clone(),
        raw: raw.clone(),
    };
    core::Shop { listed, standing: standing.in_core(), linked: *linked }
}

/// Returns `None` if an id in the document is invalid.
fn connection_of(key: &ConnectionKey, connection: core::Connection) -> Option<Connection> {
    let app = connection.app.map(AppKey::try_from).transpose().ok()?;
    let shops = connection.shops.into_iter().map(|shop| shop_of(key, app.as_ref(), shop));
    Some(Connection {
        key: key.clone(),
        shops: shops.collect::<Option<_>>()?,
        app,
        seller_name: connection.seller_name,
        seller_base_region: connection.base_region,
        granted_scopes: connection.scopes,
        shop_policy: match connection.shop_policy {
            CorePolicy::All => ShopPolicy::All,
            CorePolicy::ExactlyOne => ShopPolicy::ExactlyOne,
        },
        status: match connection.status {
            core::Status::Active => ConnectionStatus::Active,
            core::Status::AuthorizationEnding(at) => ConnectionStatus::AuthorizationEnding(seconds(at)),
            core::Status::ReauthorizationRequired(reason) => ConnectionStatus::ReauthorizationRequired(match reason {
                DeadReason::AuthorizationExpired => ReauthorizationReason::AuthorizationExpired,
                DeadReason::AuthorizationRevoked => ReauthorizationReason::AuthorizationRevoked,
                DeadReason::RefreshOutcomeUnknown => ReauthorizationReason::RefreshOutcomeUnknown,
            }),
        },
        access_expires_at: connection.access_ends.map(seconds),
        refresh_expires_at: connection.refresh_ends.map(seconds),
        authorization_ends_at: connection.authorization_ends.map(seconds),
        connected_at: seconds(connection.connected_at),
        granted_at: seconds(connection.granted_at),
        refreshed_at: seconds(connection.refreshed_at),
        shops_synced_at: connection.shops_synced_at.map(seconds),
        last_failure: connection.last_failure.map(|failure| PastFailure {
            at: seconds(failure.at),
            failure: Failure {
                code: failure.code,
                detail: failure.detail,
                http_status: failure.http_status,
                request_id: failure.request_id,
            },
        }),
    })
}

fn shop_of(key: &ConnectionKey, app: Option<&AppKey>, shop: core::Shop) -> Option<Shop> {
    let core::Shop { listed, standing, linked } = shop;
    Some(Shop {
        id: ShopId::try_from(listed.id).ok()?,
        account: key.account.clone(),
        app: app.cloned(),
        name: listed.name,
        region: listed.region,
        seller_type: listed.seller_type,
        cipher: listed.cipher.map(|cipher| Secret::from(cipher.expose().to_owned())),
        code: listed.code,
        raw: listed.raw,
        standing: match standing {
            core::ShopStanding::Granted => ShopStanding::Granted,
            core::ShopStanding::Inactive => ShopStanding::Inactive,
            core::ShopStanding::NoLongerGranted => ShopStanding::NoLongerGranted,
            core::ShopStanding::Unconfirmed => ShopStanding::Unconfirmed,
        },
        linked,
    })
}

fn refused(why: &str) -> StorageError {
    StorageError::Refused(why.to_owned())
}

fn not_encoded() -> StorageError {
    refused("the row cannot be encoded")
}
