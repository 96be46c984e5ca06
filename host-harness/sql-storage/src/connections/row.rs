//! The columns of a row in `tiktok_shop_connections`.

use sqlx::any::AnyRow;
use tiktok_shop_host::Revision;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, PastFailure};
use tiktok_shop_host::error::Failure;
use tiktok_shop_host::storage::{Row, RowEntry, Sealed, StorageError};

use crate::sql::columns::{Columns as _, malformed};
use crate::sql::statement::Statement;

/// The columns that a swap writes, in the order in which [`bind_row`] binds them. `tenant`, `customer` and `account`
/// are not among them.
pub(crate) const COLUMNS: [&str; 25] = [
    "revision",
    "token_lineage",
    "token_generation",
    "seller_name",
    "seller_base_region",
    "granted_scopes",
    "shop_policy",
    "status",
    "status_ends_at",
    "status_reason",
    "access_expires_at",
    "refresh_expires_at",
    "authorization_ends_at",
    "ends_at",
    "connected_at",
    "granted_at",
    "refreshed_at",
    "shops_synced_at",
    "failure_at",
    "failure_code",
    "failure_detail",
    "failure_http_status",
    "failure_request_id",
    "sealed_by",
    "sealed",
];

/// Binds the values of [`COLUMNS`].
pub(crate) fn bind_row(query: Statement, revision: &Revision, row: &Row) -> Result<Statement, StorageError> {
    let Row { connection, ciphers, token_lineage, token_generation } = row;
    let scopes =
        serde_json::to_string(&connection.granted_scopes).map_err(|error| StorageError::Refused(error.to_string()))?;
    let status = connection.status;
    let past = connection.last_failure.as_ref();
    let failure = past.map(|past| &past.failure);
    Ok(query
        .bind_text(revision.as_str())
        .bind_text(token_lineage)
        .bind_number(*token_generation)?
        .bind_text(&connection.seller_name)
        .bind_text(&connection.seller_base_region)
        .bind(scopes)
        .bind_text(connection.shop_policy.as_str())
        .bind_text(status.as_str())
        .bind_optional_seconds(status.ends_at())?
        .bind_optional_text(status.reason().map(|reason| reason.as_str()))
        .bind_optional_seconds(connection.access_expires_at)?
        .bind_optional_seconds(connection.refresh_expires_at)?
        .bind_optional_seconds(connection.authorization_ends_at)?
        .bind_optional_seconds(connection.ends_at())?
        .bind_seconds(connection.connected_at)?
        .bind_seconds(connection.granted_at)?
        .bind_seconds(connection.refreshed_at)?
        .bind_optional_seconds(connection.shops_synced_at)?
        .bind_optional_seconds(past.map(|past| past.at))?
        .bind_optional_text(failure.map(|failure| failure.code.as_str()))
        .bind_optional_text(failure.map(|failure| failure.detail.as_str()))
        .bind_optional_number(failure.and_then(|failure| failure.http_status).map(u64::from))?
        .bind_optional_text(failure.and_then(|failure| failure.request_id.as_deref()))
        .bind_optional_text(ciphers.as_ref().map(|sealed| sealed.key().as_str()))
        .bind(ciphers.as_ref().map(|sealed| sealed.bytes().to_vec())))
}

/// Reads a row from the columns `customer` and `account` and from [`COLUMNS`]. The returned row has no shops yet.
pub(crate) fn read_row(row: &AnyRow) -> Result<RowEntry, StorageError> {
    let scopes = row.text("granted_scopes")?;
    let connection = Connection {
        key: row.key()?,
        seller_name: row.text("seller_name")?,
        seller_base_region: row.text("seller_base_region")?,
        granted_scopes: serde_json::from_str(&scopes).map_err(|_| malformed("granted_scopes"))?,
        shop_policy: row.word("shop_policy")?,
        status: read_status(row)?,
        access_expires_at: row.optional_seconds("access_expires_at")?,
        refresh_expires_at: row.optional_seconds("refresh_expires_at")?,
        authorization_ends_at: row.optional_seconds("authorization_ends_at")?,
        connected_at: row.seconds("connected_at")?,
        granted_at: row.seconds("granted_at")?,
        refreshed_at: row.seconds("refreshed_at")?,
        shops_synced_at: row.optional_seconds("shops_synced_at")?,
        shops: Vec::new(),
        last_failure: read_failure(row)?,
    };
    let ciphers = match row.optional_text("sealed_by")? {
        Some(_) => Some(Sealed::new(row.id("sealed_by")?, row.bytes("sealed")?)),
        None => None,
    };
    let (token_lineage, token_generation) = (row.text("token_lineage")?, row.number("token_generation")?);
    let revision = row.id("revision")?;
    Ok(RowEntry { revision, row: Row { connection, ciphers, token_lineage, token_generation } })
}

fn read_status(row: &AnyRow) -> Result<ConnectionStatus, StorageError> {
    let (ends_at, reason) = (row.optional_seconds("status_ends_at")?, row.optional_word("status_reason")?);
    ConnectionStatus::from_parts(&row.text("status")?, ends_at, reason).ok_or_else(|| malformed("status"))
}

fn read_failure(row: &AnyRow) -> Result<Option<PastFailure>, StorageError> {
    let Some(at) = row.optional_seconds("failure_at")? else { return Ok(None) };
    let http_status = row.optional_number("failure_http_status")?.map(u16::try_from).transpose();
    let failure = Failure {
        code: row.text("failure_code")?,
        detail: row.text("failure_detail")?,
        http_status: http_status.map_err(|_| malformed("failure_http_status"))?,
        request_id: row.optional_text("failure_request_id")?,
    };
    Ok(Some(PastFailure { at, failure }))
}
