//! The shops of a row, in `tiktok_shop_shops`.

use sqlx::any::AnyRow;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{Connection, ConnectionKey, Shop};
use tiktok_shop_host::storage::{IndexedShop, OpenRow, StorageError};

use crate::pool::transaction::Transaction;
use crate::sql::columns::Columns as _;
use crate::sql::run::execute;
use crate::sql::statement::{MAX_VALUES, Statement, Tuples, statement};

/// The columns of a shop, in the order in which [`bind_shop`] binds them. `tenant`, `customer` and `account` are not
/// among them.
const COLUMNS: [&str; 9] = ["id", "position", "name", "region", "seller_type", "code", "raw", "standing", "linked"];

/// A shop, its connection, and its position in the connection's list of shops.
pub(crate) struct PlacedShop<'a> {
    key: &'a ConnectionKey,
    /// The index of the shop, from 0.
    position: i64,
    shop: &'a Shop,
}

/// Returns the shops of a row with their positions.
pub(crate) fn placed(row: &OpenRow) -> impl Iterator<Item = PlacedShop<'_>> {
    let Connection { key, shops, .. } = &row.connection;
    (0..).zip(shops).map(move |(position, shop)| PlacedShop { key, position, shop })
}

/// Inserts shops of one or several connections of a tenant.
pub(crate) async fn insert_shops(
    transaction: &mut Transaction,
    tenant: &TenantId,
    shops: &[PlacedShop<'_>],
) -> Result<(), StorageError> {
    const PARAMETERS: usize = 2 + COLUMNS.len();
    for chunk in shops.chunks(MAX_VALUES / PARAMETERS) {
        let sql = format!(
            "INSERT INTO tiktok_shop_shops (tenant, customer, account, {}) VALUES {}",
            COLUMNS.join(", "),
            Tuples { rows: chunk.len(), parameters: PARAMETERS, first: 2, shared: "$1" }
        );
        let query = statement(sql).bind_text(tenant.as_str());
        execute(&mut *transaction, chunk.iter().fold(query, bind_shop)).await?;
    }
    Ok(())
}

/// Binds customer, account and the values of [`COLUMNS`].
fn bind_shop(query: Statement, placed: &PlacedShop<'_>) -> Statement {
    let PlacedShop { key, position, shop } = placed;
    let Shop { id, account: _, app: _, name, region, seller_type, cipher: _, code, raw, standing, linked } = shop;
    query
        .bind_key(key)
        .bind_text(id.as_str())
        .bind(*position)
        .bind_text(name)
        .bind_text(region)
        .bind_text(seller_type)
        .bind_text(code)
        .bind_text(raw)
        .bind_text(standing.as_str())
        .bind(*linked)
}

/// Reads a shop from the column `account` and the columns of the shop. The statement must select the column `id` as
/// `shop_id`. The returned shop has no cipher.
pub(super) fn read_shop(row: &AnyRow) -> Result<Shop, StorageError> {
    Ok(Shop {
        id: row.id("shop_id")?,
        account: row.id("account")?,
        app: row.optional_id("app_key")?,
        name: row.text("name")?,
        region: row.text("region")?,
        seller_type: row.text("seller_type")?,
        cipher: None,
        code: row.text("code")?,
        raw: row.text("raw")?,
        standing: row.word("standing")?,
        linked: row.flag("linked")?,
    })
}

/// Reads what the index of a row says about a shop.
pub(super) fn read_indexed_shop(row: &AnyRow) -> Result<IndexedShop, StorageError> {
    Ok(IndexedShop { id: row.id("shop_id")?, linked: row.flag("linked")? })
}
