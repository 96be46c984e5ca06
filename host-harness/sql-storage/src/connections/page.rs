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
use crate::sql::statement::{Statement, statement};

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
    // With `OFFSET 0`, PostgreSQL looks for the token record of one connection after the other. Otherwise it would join
    // the two tables. It expects that hardly any connection has a record with the same customer and the same account.
    // So it would read every connection of the tenant for each page.
    format!(
        "SELECT c.customer, c.account FROM {from} WHERE {} AND EXISTS (SELECT 1 FROM tiktok_shop_tokens t \
         WHERE t.tenant = c.tenant AND t.customer = c.customer AND t.account = c.account LIMIT 1 OFFSET 0) \
         ORDER BY {order} LIMIT $4",
        conditions.join(" AND ")
    )
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
    use tiktok_shop_host::connection::UnixSeconds;
    use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
    use tiktok_shop_host::storage::{ConnectionStorage as _, TokenStorage as _};

    use super::*;
    use crate::sql::columns::Columns as _;
    use crate::sql::run::fetch_all;
    use crate::storage::SqlStorage;
    use crate::{OpenMode, PostgresOptions};

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

    /// Fills the tables with 20 000 connections of the tenant `t`. If there were few connections, PostgreSQL could read
    /// a whole table faster than an index.
    const FILL: &str = "\
        INSERT INTO tiktok_shop_tenant_keys (tenant, id, number) VALUES ('t', 'k', 1); \
        INSERT INTO tiktok_shop_tokens (tenant, customer, account, revision, refresh_due_at, sealed_by, sealed, \
        written_at) SELECT 't', 'c' || n, 'a' || n, 'r', n, 'k', '', now() FROM generate_series(1, 20000) n; \
        INSERT INTO tiktok_shop_connections (tenant, customer, account, revision, token_lineage, token_generation, \
        seller_name, seller_base_region, granted_scopes, shop_policy, status, ends_at, connected_at, granted_at, \
        refreshed_at, document, document_revision) \
        SELECT 't', 'c' || n, 'a' || n, 'r', '', 0, 's' || n, '', '[]', 'all', \
        CASE WHEN n % 100 = 0 THEN 'reauthorization-required' ELSE 'active' END, n, 0, 0, 0, '{}', 'r' \
        FROM generate_series(1, 20000) n; \
        INSERT INTO tiktok_shop_shops (tenant, customer, account, id, position, name, region, seller_type, code, raw, \
        standing, linked) SELECT 't', 'c' || n, 'a' || n, n, 0, '', '', '', '', '{}', 'granted', TRUE \
        FROM generate_series(1, 20000) n; \
        INSERT INTO tiktok_shop_events (tenant, position, at, customer, account, kind) \
        SELECT 't', n, n, 'c', 'a', 'connected' FROM generate_series(1, 20000) n; \
        ANALYZE tiktok_shop_tokens, tiktok_shop_connections, tiktok_shop_shops, tiktok_shop_events";

    /// Creates a schema, and opens a filled database in it. The storage has one connection to the server.
    async fn filled_postgres(server: &str) -> SqlStorage {
        let mut bits = [0; 8];
        SystemRandomness.fill(&mut bits).unwrap();
        let name = format!("pages_{:016x}", u64::from_be_bytes(bits));
        let mut connection = PgConnection::connect(server).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let address = format!("{server}{separator}options=-c%20search_path%3D{name}");
        let options = PostgresOptions { connections: 1, ..PostgresOptions::default() };
        let storage = SqlStorage::postgres(&address, OpenMode::Migrate, options).await.unwrap();
        connection.execute(AssertSqlSafe(format!("SET search_path TO {name}"))).await.unwrap();
        connection.execute(FILL).await.unwrap();
        connection.close().await.unwrap();
        storage
    }

    /// Returns the plan with which PostgreSQL runs the statement.
    async fn postgres_plan(storage: &SqlStorage, mut query: Statement) -> String {
        query.sql.insert_str(0, "EXPLAIN (COSTS OFF) ");
        let steps = fetch_all(&storage.readers, query).await.unwrap();
        steps.iter().map(|step| step.text("QUERY PLAN").unwrap()).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgresql_reads_each_page_of_a_tenants_list_from_an_index_that_has_its_order() {
        let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
        let storage = filled_postgres(&server).await;
        let tenant: TenantId = "t".parse().unwrap();
        let after = ConnectionKey { customer: "c5".parse().unwrap(), account: "a".parse().unwrap() };
        let filter = RowFilter::default;
        for (filter, index) in [
            (filter(), "tiktok_shop_connections_pkey"),
            (RowFilter { status: Some(StatusKind::Active), ..filter() }, "tiktok_shop_connections_status"),
            (
                RowFilter { status: Some(StatusKind::ReauthorizationRequired), ..filter() },
                "tiktok_shop_connections_status",
            ),
            (RowFilter { account: Some("a7".parse().unwrap()), ..filter() }, "tiktok_shop_connections_account"),
            (RowFilter { seller_name: Some("s7".to_owned()), ..filter() }, "tiktok_shop_connections_seller"),
            (RowFilter { shop: Some("7".parse().unwrap()), ..filter() }, "tiktok_shop_shops_owners"),
        ] {
            let page = page_statement(&tenant, &filter, Some(&after), 10, "SELECT * FROM page", &storage.dialect);
            let plan = postgres_plan(&storage, page).await;
            assert!(plan.contains(&format!(" using {index} on ")), "{filter:?}: {plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{filter:?}: {plan}");
        }
    }

    /// Returns the text of the statement that the storage has run and that contains `part`.
    async fn text_of(storage: &SqlStorage, part: &str) -> String {
        let sql = "SELECT statement FROM pg_prepared_statements WHERE position($1 IN statement) > 0";
        let mut found = fetch_all(&storage.readers, statement(sql).bind_text(part)).await.unwrap();
        assert_eq!(found.len(), 1, "{part}");
        found.remove(0).text("statement").unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgresql_counts_connections_with_indexes_alone() {
        let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
        let storage = filled_postgres(&server).await;
        let counts = storage.count_rows().await.unwrap();
        let of = |status| counts.iter().find(|count| count.status == status && count.app.is_none()).unwrap().rows;
        assert_eq!((of(StatusKind::Active), of(StatusKind::ReauthorizationRequired), counts.len()), (19_800, 200, 2));
        assert_eq!(storage.count_due(UnixSeconds(10)).await, Ok(10));
        let rows = statement(text_of(&storage, "GROUP BY status, app_key").await);
        let due = statement(text_of(&storage, "COUNT(*) AS number FROM tiktok_shop_tokens").await).bind_bound(10);
        // The rows of this test are so short that reading the table can be faster.
        fetch_all(&storage.readers, statement("SET enable_seqscan = off")).await.unwrap();
        for (query, index) in [(rows, "tiktok_shop_connections_counts"), (due, "tiktok_shop_tokens_due")] {
            let plan = postgres_plan(&storage, query).await;
            assert!(plan.contains(&format!("Index Only Scan using {index} on ")), "{plan}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgresql_reads_each_page_of_due_connections_endings_and_events_from_an_index_that_has_its_order() {
        let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
        let storage = filled_postgres(&server).await;
        let end = UnixSeconds(100_000);
        assert_eq!(storage.due(end, None, 10).await.unwrap().len(), 10);
        assert_eq!(storage.endings(end, None, 10).await.unwrap().len(), 10);
        assert_eq!(storage.events(&"t".parse().unwrap(), None, 10).await.unwrap().len(), 10);
        let by_time = |text: String| statement(text).bind_bound(end.0).bind_position(None).unwrap().bind_limit(10);
        let by_position = |text: String| statement(text).bind_text("t").bind_bound(0).bind_limit(10);
        let lists = [
            (by_time(text_of(&storage, "WHERE refresh_due_at <= $1").await), "tiktok_shop_tokens_due"),
            (by_time(text_of(&storage, "WHERE ends_at <= $1").await), "tiktok_shop_connections_ends"),
            (by_position(text_of(&storage, "position > $2 ORDER BY").await), "tiktok_shop_events_pkey"),
        ];
        for (query, index) in lists {
            let plan = postgres_plan(&storage, query).await;
            assert!(plan.contains(&format!(" using {index} on ")), "{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
        }
    }
}
