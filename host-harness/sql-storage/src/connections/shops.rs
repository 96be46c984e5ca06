//! The shops of a row, in `tiktok_shop_shops`.

use sqlx::any::AnyRow;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{Connection, ConnectionKey, Shop};
use tiktok_shop_host::storage::{IndexedShop, OpenRow, StorageError};

use crate::pool::transaction::Transaction;
use crate::sql::columns::Columns as _;
use crate::sql::run::execute;
use crate::sql::statement::{MAX_VALUES, Statement, Tuples, numbered, statement};
use crate::sql::together::Together;

/// The columns of a shop, in the order in which [`bind_shop`] binds them, the id first. `tenant`, `customer` and `account`
/// are not among them.
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
        execute(&mut *transaction, chunk.iter().fold(query, bind_placed_shop)).await?;
    }
    Ok(())
}

/// Adds the writes that make the stored shops of a connection equal to `shops`. `$1` to `$3` must be the key of the
/// connection. A shop that is already stored with the same values is not written.
pub(super) fn replace_shops(writes: &mut Together, shops: &[PlacedShop<'_>]) -> Result<(), StorageError> {
    let (condition, mut ids) = (writes.has_written.clone(), Vec::new());
    let values = COLUMNS.get(1..).unwrap_or_default();
    let [stored, new] = ["tiktok_shop_shops", "excluded"]
        .map(|table| values.iter().map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", "));
    for (index, chunk) in shops.chunks(MAX_VALUES / COLUMNS.len()).enumerate() {
        let first = writes.next_parameter();
        let tuples = (0..chunk.len()).map(|at| format!("({})", numbered(first + at * COLUMNS.len(), COLUMNS.len())));
        let insert = format!(
            "INSERT INTO tiktok_shop_shops (tenant, customer, account, {}) \
             SELECT $1, $2, $3, {} FROM (VALUES {}) AS shops WHERE {condition} \
             ON CONFLICT (tenant, customer, account, id) DO UPDATE SET ({}) = ({new}) \
             WHERE ({stored}) IS DISTINCT FROM ({new})",
            COLUMNS.join(", "),
            (1..=COLUMNS.len()).map(|number| format!("column{number}")).collect::<Vec<_>>().join(", "),
            tuples.collect::<Vec<_>>().join(", "),
            values.join(", ")
        );
        writes.add_after(&format!("shops_{index}"), insert);
        ids.extend((0..chunk.len()).map(|at| format!("${}", first + at * COLUMNS.len())));
        writes.bind(|values| Ok(chunk.iter().fold(values, bind_shop)))?;
    }
    let others = if ids.is_empty() { String::new() } else { format!(" AND id NOT IN ({})", ids.join(", ")) };
    let delete = "DELETE FROM tiktok_shop_shops WHERE tenant = $1 AND customer = $2 AND account = $3";
    writes.add_after("removed", format!("{delete} AND {condition}{others}"));
    Ok(())
}

/// Binds customer, account and the values of [`COLUMNS`].
fn bind_placed_shop(query: Statement, placed: &PlacedShop<'_>) -> Statement {
    bind_shop(query.bind_key(placed.key), placed)
}

/// Binds the values of [`COLUMNS`].
fn bind_shop(query: Statement, placed: &PlacedShop<'_>) -> Statement {
    let PlacedShop { key: _, position, shop } = placed;
    let Shop { id, account: _, app: _, name, region, seller_type, cipher: _, code, raw, standing, linked } = shop;
    query
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
