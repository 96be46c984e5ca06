//! Builds the queries that list a tenant's connections page by page.
//!
//! Each query uses an index that has the order of the list. So the database reads only about as many rows as the page
//! contains, even if the tenant has many more connections. If a query has several conditions, the database reads the
//! connections that match the condition of one index, and checks the other conditions for each of these connections.
//!
//! | condition | index |
//! | --- | --- |
//! | none | the primary key of `tiktok_shop_connections` |
//! | shop | `tiktok_shop_shops_owners` |
//! | account | `tiktok_shop_connections_account` |
//! | seller's name | `tiktok_shop_connections_seller` |
//! | status | `tiktok_shop_connections_status` |

use tiktok_shop_host::connection::{ConnectionKey, StatusKind};
use tiktok_shop_host::storage::RowFilter;
use tiktok_shop_host::{AccountId, ShopId, TenantId};

use crate::sql::dialect::Dialect;
use crate::sql::statement::{BindValues as _, Statement, statement};

/// Returns a statement with the common table expression `page`. This expression selects the columns `customer` and
/// `account` of one page, in the order of the list. `rest` is the SQL text that follows the expression.
pub(super) fn page_statement(
    tenant: &TenantId,
    filter: &RowFilter,
    after: Option<&ConnectionKey>,
    limit: usize,
    rest: &str,
    dialect: &Dialect,
) -> Statement {
    let (customer, account) = after.map_or(("", ""), |key| (key.customer.as_str(), key.account.as_str()));
    let query = statement(format!("WITH page AS ({}) {rest}", page_sql(filter, dialect)))
        .bind_text(tenant.as_str())
        .bind_text(customer)
        .bind_text(account)
        .bind_limit(limit);
    let RowFilter { status, shop, account, seller_name } = filter;
    let values = [
        shop.as_ref().map(ShopId::as_str),
        account.as_ref().map(AccountId::as_str),
        seller_name.as_deref(),
        status.map(StatusKind::as_str),
    ];
    values.into_iter().flatten().fold(query, |query, value| query.bind_text(value))
}

/// Returns the SQL text that selects the keys of a page. `$1` is the tenant, `$2` and `$3` are the key after which the
/// page begins, and `$4` is the limit. The values of the filter follow from `$5` on, in this order: shop, account,
/// seller's name, status.
fn page_sql(filter: &RowFilter, dialect: &Dialect) -> String {
    let RowFilter { status, shop, account, seller_name } = filter;
    let mut conditions = Vec::new();
    let mut next = 5_usize;
    let mut number = || {
        next += 1;
        next - 1
    };
    // With `CROSS JOIN`, SQLite reads the table on the left first. This is fast, because few connections have the same
    // shop.
    let (from, order) = if shop.is_some() {
        conditions.push(format!("s.tenant = $1 AND s.id = ${} AND (s.customer, s.account) > ($2, $3)", number()));
        conditions.push("c.tenant = s.tenant AND c.customer = s.customer AND c.account = s.account".to_owned());
        ("tiktok_shop_shops s CROSS JOIN tiktok_shop_connections c", "s.customer, s.account")
    } else {
        conditions.push("c.tenant = $1 AND (c.customer, c.account) > ($2, $3)".to_owned());
        let from = match (seller_name, dialect) {
            // Without `INDEXED BY`, SQLite would use the primary key, and would read every connection of the tenant.
            (Some(_), Dialect::Sqlite(_)) => "tiktok_shop_connections c INDEXED BY tiktok_shop_connections_seller",
            _ => "tiktok_shop_connections c",
        };
        (from, "c.customer, c.account")
    };
    if account.is_some() {
        conditions.push(format!("c.account = ${}", number()));
    }
    if seller_name.is_some() {
        let name = number();
        // SQLite uses the index for the first condition. The second condition compares an expression on purpose. If it
        // compared the column itself, SQLite would replace the column by the value in both conditions, and would not
        // use the index.
        let first = format!("substr(c.seller_name, 1, 60) = substr(CAST(${name} AS TEXT), 1, 60)");
        conditions.push(format!("{first} AND c.seller_name || '' = ${name}"));
    }
    if status.is_some() {
        conditions.push(format!("c.status = ${}", number()));
    }
    format!(
        "SELECT c.customer, c.account FROM {from} WHERE {} AND EXISTS (SELECT 1 FROM tiktok_shop_tokens t \
         WHERE t.tenant = c.tenant AND t.customer = c.customer AND t.account = c.account) ORDER BY {order} LIMIT $4",
        conditions.join(" AND ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;
    use crate::sql::columns::Columns as _;
    use crate::sql::statement::fetch_all;
    use crate::storage::SqlStorage;

    /// Returns the plan with which SQLite would select the keys of a page with this filter. The plan does not depend on
    /// the values, so no value is bound, and SQLite takes every value as null.
    async fn plan(storage: &SqlStorage, filter: &RowFilter) -> String {
        let explained =
            format!("EXPLAIN QUERY PLAN {}", page_sql(filter, &storage.dialect).replace("LIMIT $4", "LIMIT 10"));
        let steps = fetch_all(&storage.readers, statement(explained)).await.unwrap();
        steps.iter().map(|step| step.text("detail").unwrap()).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn every_list_uses_the_index_of_its_condition_and_sorts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storage.db");
        let storage = SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap();
        let filter = RowFilter::default;
        let status = Some(StatusKind::ReauthorizationRequired);
        for (filter, index) in [
            (filter(), "SEARCH c USING PRIMARY KEY (tenant=? AND (customer,account)>(?,?))"),
            (RowFilter { status, ..filter() }, "tiktok_shop_connections_status (tenant=? AND status=? AND "),
            (
                RowFilter { account: Some("open-id".parse().unwrap()), ..filter() },
                "tiktok_shop_connections_account (tenant=? AND account=?",
            ),
            (
                RowFilter { seller_name: Some("Teapot Corner".to_owned()), ..filter() },
                "tiktok_shop_connections_seller (tenant=? AND <expr>=? AND ",
            ),
            (
                RowFilter { shop: Some("7".parse().unwrap()), status, ..filter() },
                "tiktok_shop_shops_owners (tenant=? AND id=? AND ",
            ),
        ] {
            let plan = plan(&storage, &filter).await;
            assert!(plan.contains(index), "{filter:?}: {plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
        }
    }
}
