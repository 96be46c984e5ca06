//! The columns of a row in `tiktok_shop_connections`.

use sqlx::any::AnyRow;
use tiktok_shop_host::connection::{ConnectionKey, StatusKind, UnixSeconds};
use tiktok_shop_host::storage::{OpenRow, Row, RowEntry, RowIndex, RowOrigin, Sealed, StorageError};
use tiktok_shop_host::{AppKey, Revision};

use super::legacy;
use super::shops::read_indexed_shop;
use crate::sql::columns::{Columns as _, malformed};
use crate::sql::dialect::Dialect;
use crate::sql::statement::{Statement, numbered};

/// The columns that a swap writes, in the order in which [`bind_row`] binds them. `tenant`, `customer` and `account`
/// are not among them.
pub(crate) const COLUMNS: [&str; 28] = [
    "document",
    "document_revision",
    "revision",
    "app_key",
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

/// The columns of the [`RowIndex`], and the other columns that are read for every row, besides the key, the revision and
/// the document.
pub(super) const READ: [&str; 9] = [
    "app_key",
    "token_lineage",
    "token_generation",
    "seller_name",
    "status",
    "ends_at",
    "granted_at",
    "sealed_by",
    "sealed",
];

/// Returns the text of a statement's values for [`COLUMNS`]: parameters, of which the first has this number.
pub(crate) fn values(first: usize, dialect: &Dialect) -> String {
    let rest = numbered(first + 1, COLUMNS.len() - 1);
    format!("{}, {rest}", dialect.json(first))
}

/// The revision of a row whose column `revision` somebody has changed to a value that is no revision. No row is stored
/// with it, so the row can be neither replaced nor deleted by a swap.
const NO_REVISION: &str = "no revision";

/// Decodes a row that is to be written. The values of the columns come from the document, so they always agree with it.
pub(crate) fn decoded(row: &Row) -> Result<OpenRow, StorageError> {
    match row.origin {
        RowOrigin::Document => row.decode(),
        RowOrigin::Columns => Err(StorageError::Refused("a row is written as a document".to_owned())),
    }
}

/// Binds the values of [`COLUMNS`]. `open` is the decoded row.
pub(crate) fn bind_row(
    query: Statement,
    revision: &Revision,
    row: &Row,
    open: &OpenRow,
) -> Result<Statement, StorageError> {
    let OpenRow { connection, token_lineage, token_generation } = open;
    let scopes =
        serde_json::to_string(&connection.granted_scopes).map_err(|error| StorageError::Refused(error.to_string()))?;
    let status = connection.status;
    let past = connection.last_failure.as_ref();
    let failure = past.map(|past| &past.failure);
    Ok(query
        .bind_text(&row.document)
        .bind_text(revision.as_str())
        .bind_text(revision.as_str())
        .bind_optional_text(connection.app.as_ref().map(AppKey::as_str))
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
        .bind_optional_text(row.sealed.as_ref().map(|sealed| sealed.key().as_str()))
        .bind(row.sealed.as_ref().map(|sealed| sealed.bytes().to_vec())))
}

/// Reads a row. `rows` are the database rows of one connection, one for each shop.
///
/// If somebody has written a value into a column that this storage never writes there, or has deleted the shop at
/// position 0, the row is returned without its sealed value. The host then refuses this row as changed, and the other
/// rows of the list are read. If the customer or the account is no valid id, the row is left out, because nobody can ask
/// for it. If the revision is not valid, the row has [`NO_REVISION`].
pub(super) fn read_row(rows: &[AnyRow]) -> Result<Option<RowEntry>, StorageError> {
    let Some(row) = rows.first() else { return Ok(None) };
    let Ok(key) = row.key() else {
        tracing::error!("a row is left out, because its customer or its account is no valid id");
        return Ok(None);
    };
    let Ok(revision) = row.id("revision").or_else(|_| Revision::try_from(NO_REVISION.to_owned())) else {
        return Err(malformed("revision"));
    };
    let row = read_intact(row, rows, &key).unwrap_or_else(|_| Row {
        key,
        document: String::new(),
        sealed: None,
        origin: RowOrigin::Document,
        index: RowIndex {
            status: StatusKind::Active,
            ends_at: None,
            app: None,
            seller_name: String::new(),
            granted_at: UnixSeconds(0),
            shops: Vec::new(),
        },
        token_lineage: String::new(),
        token_generation: 0,
    });
    Ok(Some(RowEntry { revision, row }))
}

fn read_intact(row: &AnyRow, rows: &[AnyRow], key: &ConnectionKey) -> Result<Row, StorageError> {
    if row.optional_number("position")?.is_some_and(|position| position > 0) {
        return Err(malformed("position"));
    }
    match row.optional_text("document")? {
        Some(document) => read_values(row, rows, key, document),
        None => legacy::read_row(row, rows),
    }
}

fn read_values(row: &AnyRow, rows: &[AnyRow], key: &ConnectionKey, document: String) -> Result<Row, StorageError> {
    let index = RowIndex {
        status: row.word("status")?,
        ends_at: row.optional_seconds("ends_at")?,
        app: row.optional_id("app_key")?,
        seller_name: row.text("seller_name")?,
        granted_at: row.seconds("granted_at")?,
        shops: with_shop(rows)?.into_iter().map(read_indexed_shop).collect::<Result<_, _>>()?,
    };
    Ok(Row {
        key: key.clone(),
        document,
        sealed: read_sealed(row)?,
        origin: RowOrigin::Document,
        index,
        token_lineage: row.text("token_lineage")?,
        token_generation: row.number("token_generation")?,
    })
}

/// Returns the database rows that have a shop.
pub(super) fn with_shop(rows: &[AnyRow]) -> Result<Vec<&AnyRow>, StorageError> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        if row.optional_number("position")?.is_some() {
            found.push(row);
        }
    }
    Ok(found)
}

pub(super) fn read_sealed(row: &AnyRow) -> Result<Option<Sealed>, StorageError> {
    Ok(match row.optional_text("sealed_by")? {
        Some(_) => Some(Sealed::new(row.id("sealed_by")?, row.bytes("sealed")?)),
        None => None,
    })
}
