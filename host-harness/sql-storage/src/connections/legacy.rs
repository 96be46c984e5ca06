//! Reads rows that a host of release 0.1 wrote: rows without a document, whose columns hold everything.
//!
//! Delete this file, and make the column `document` not null, in the first release that no longer migrates databases of
//! schema version 5. `migrate` shows how many such rows a database still has.

use sqlx::any::AnyRow;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, PastFailure};
use tiktok_shop_host::error::Failure;
use tiktok_shop_host::storage::{OpenRow, Row, RowOrigin, StorageError};

use super::row::{read_sealed, with_shop};
use super::shops::read_shop;
use crate::sql::columns::{Columns as _, malformed};

/// The columns that are read only for rows without a document.
pub(super) const COLUMNS: [&str; 16] = [
    "seller_base_region",
    "granted_scopes",
    "shop_policy",
    "status_ends_at",
    "status_reason",
    "access_expires_at",
    "refresh_expires_at",
    "authorization_ends_at",
    "connected_at",
    "refreshed_at",
    "shops_synced_at",
    "failure_at",
    "failure_code",
    "failure_detail",
    "failure_http_status",
    "failure_request_id",
];

/// Reads a row and makes its document. `rows` are the database rows of the connection, one for each shop. `row` is the
/// first of them.
pub(super) fn read_row(row: &AnyRow, rows: &[AnyRow]) -> Result<Row, StorageError> {
    let scopes = row.text("granted_scopes")?;
    let connection = Connection {
        key: row.key()?,
        app: row.optional_id("app_key")?,
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
        shops: with_shop(rows)?.into_iter().map(read_shop).collect::<Result<_, _>>()?,
        last_failure: read_failure(row)?,
    };
    let (token_lineage, token_generation) = (row.text("token_lineage")?, row.number("token_generation")?);
    let open = OpenRow { connection, token_lineage, token_generation };
    Ok(Row { sealed: read_sealed(row)?, origin: RowOrigin::Columns, ..open.encode()? })
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
