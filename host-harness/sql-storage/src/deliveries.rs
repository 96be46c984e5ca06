//! The webhooks that the service sends, in `tiktok_shop_deliveries`.
//!
//! Each queue with waiting deliveries has one database row in `tiktok_shop_delivery_queues`. Every transaction that may
//! add or remove a queue locks this database row before it decides. So a delivery that is appended while the last one
//! is settled is not forgotten.

mod row;

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::any::AnyRow;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{CustomerId, TenantId};
use tiktok_shop_server::delivery::{
    Backlog, Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryStorage, EndpointName, LEASE, Lease,
    MAX_COUNTED_DEAD_LETTERS, NewDelivery, Settlement,
};

use self::row::{BODY, COLUMNS, DUE_AT, attempts_text, condition, read_delivery};
use crate::pool::transaction::Transaction;
use crate::sql::columns::Columns as _;
use crate::sql::dialect::{Dialect, Moment};
use crate::sql::run::{execute, execute_count, fetch_all, fetch_optional};
use crate::sql::statement::{MAX_VALUES, Statement, Tuples, statement};
use crate::storage::SqlStorage;

/// A queue: an endpoint, and a customer. The empty text is the queue of the whole tenant.
type Queue = (String, String);

/// The number of parameters that all tuples of a statement share: the tenant and the time.
const SHARED: usize = 2;

fn customer_text(customer: Option<&CustomerId>) -> &str {
    customer.map_or("", CustomerId::as_str)
}

/// Reads the queue from the columns `endpoint` and `customer`.
fn read_queue(row: &AnyRow) -> Result<Queue, StorageError> {
    Ok((row.text("endpoint")?, row.text("customer")?))
}

/// Creates a statement and binds tenant, endpoint and customer as `$1` to `$3`.
fn queue_statement(sql: impl Into<String>, tenant: &TenantId, (endpoint, customer): (&str, &str)) -> Statement {
    statement(sql).bind_text(tenant.as_str()).bind_text(endpoint).bind_text(customer)
}

/// Adds deliveries, and makes sure that their queues have a database row.
async fn append(
    transaction: &mut Transaction,
    tenant: &TenantId,
    deliveries: &[NewDelivery],
    now: UnixSeconds,
) -> Result<u64, StorageError> {
    const PARAMETERS: usize = 5;
    let (mut added, mut queues) = (0, BTreeSet::new());
    // One statement for each delivery would take longer than the deadline of the storage if the network is slow.
    for chunk in deliveries.chunks((MAX_VALUES - SHARED) / PARAMETERS) {
        // The database numbers the deliveries in the order of the tuples.
        let sql = format!(
            "INSERT INTO tiktok_shop_deliveries (tenant, stored_at, waiting_since, state, tries, attempts, \
             endpoint, customer, id, event_type, body) VALUES {} ON CONFLICT DO NOTHING RETURNING endpoint, customer",
            Tuples {
                rows: chunk.len(),
                parameters: PARAMETERS,
                first: SHARED + 1,
                shared: "$1, $2, $2, 'waiting', 0, '[]'"
            }
        );
        let mut query = statement(sql).forgotten().bind_text(tenant.as_str()).bind_seconds(now)?;
        for NewDelivery { id, endpoint, customer, event_type, body } in chunk {
            query = query.bind_text(endpoint.as_str()).bind_text(customer_text(customer.as_ref()));
            query = query.bind_text(id.as_str()).bind_text(event_type).bind_text(body);
        }
        for row in fetch_all(&mut *transaction, query).await? {
            added += 1;
            queues.insert(read_queue(&row)?);
        }
    }
    // The update changes nothing, but it locks a queue that exists already.
    open_queues(transaction, tenant, &queues, now, "tiktok_shop_delivery_queues.due_at").await?;
    Ok(added)
}

/// Makes sure that these queues have a database row, always in the same order, so that two transactions never wait for
/// each other. `due_at` is the SQL text for the time at which an existing queue is due.
async fn open_queues(
    transaction: &mut Transaction,
    tenant: &TenantId,
    queues: &BTreeSet<Queue>,
    now: UnixSeconds,
    due_at: &str,
) -> Result<(), StorageError> {
    const PARAMETERS: usize = 2;
    let queues: Vec<_> = queues.iter().collect();
    for chunk in queues.chunks((MAX_VALUES - SHARED) / PARAMETERS) {
        let sql = format!(
            "INSERT INTO tiktok_shop_delivery_queues (tenant, due_at, endpoint, customer) VALUES {} \
             ON CONFLICT (tenant, endpoint, customer) DO UPDATE SET due_at = {due_at}",
            Tuples { rows: chunk.len(), parameters: PARAMETERS, first: SHARED + 1, shared: "$1, $2" }
        );
        let mut query = statement(sql).forgotten().bind_text(tenant.as_str()).bind_seconds(now)?;
        for (endpoint, customer) in chunk {
            query = query.bind_text(endpoint).bind_text(customer);
        }
        execute(&mut *transaction, query).await?;
    }
    Ok(())
}

/// Deletes the database row of a queue without waiting deliveries.
async fn close_queue(
    transaction: &mut Transaction,
    tenant: &TenantId,
    queue: (&str, &str),
) -> Result<(), StorageError> {
    let sql = "DELETE FROM tiktok_shop_delivery_queues WHERE tenant = $1 AND endpoint = $2 AND customer = $3";
    execute(transaction, queue_statement(sql, tenant, queue)).await.map(drop)
}

/// The number of endpoints whose backlog one statement asks for.
const ENDPOINTS_AT_ONCE: usize = 100;

#[async_trait]
impl DeliveryStorage for SqlStorage {
    async fn append(
        &self,
        tenant: &TenantId,
        deliveries: &[NewDelivery],
        now: UnixSeconds,
    ) -> Result<u64, StorageError> {
        self.run_to_deadline(async {
            let mut transaction = self.begin().await?;
            let added = append(&mut transaction, tenant, deliveries, now).await?;
            transaction.commit().await?;
            Ok(added)
        })
        .await
    }

    async fn position(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
    ) -> Result<Option<EventPosition>, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT position FROM tiktok_shop_delivery_positions WHERE tenant = $1 AND endpoint = $2";
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(endpoint.as_str());
            let row = fetch_optional(&self.readers, query).await?;
            row.map(|row| row.number("position").map(EventPosition)).transpose()
        })
        .await
    }

    async fn advance(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
        from: Option<EventPosition>,
        to: EventPosition,
        deliveries: &[NewDelivery],
        now: UnixSeconds,
    ) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let mut transaction = self.begin().await?;
            let sql = if from.is_some() {
                "UPDATE tiktok_shop_delivery_positions SET position = $3 \
                 WHERE tenant = $1 AND endpoint = $2 AND position = $4"
            } else {
                "INSERT INTO tiktok_shop_delivery_positions (tenant, endpoint, position) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING"
            };
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(endpoint.as_str()).bind_number(to.0)?;
            let query = match from {
                Some(EventPosition(from)) => query.bind_number(from)?,
                None => query,
            };
            if !execute(&mut transaction, query).await? {
                // Nothing was written. A transaction that is dropped would cost a connection to PostgreSQL.
                transaction.commit().await?;
                return Ok(false);
            }
            append(&mut transaction, tenant, deliveries, now).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn claim(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
        lease: &Lease,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        self.run_to_deadline(async {
            let query = |sql: String| statement(sql).bind_text(tenant.as_str()).bind_text(endpoint.as_str());
            // Most claims find nothing. A read finds that out without a lock.
            let any = "SELECT customer FROM tiktok_shop_delivery_queues \
                       WHERE tenant = $1 AND endpoint = $2 AND due_at <= $3 LIMIT 1";
            if fetch_optional(&self.readers, query(any.to_owned()).bind_bound(now.0)).await?.is_none() {
                return Ok(Vec::new());
            }
            let mut transaction = self.begin().await?;
            let query = query(self.claim_sql()).bind_bound(now.0).bind_limit(limit).bind_text(lease.as_str());
            let leased = fetch_all(&mut transaction, self.dialect.bind_now(query)?).await?;
            let mut claimed = Vec::new();
            for row in leased {
                let customer = row.text("customer")?;
                let queue = (endpoint.as_str(), customer.as_str());
                let sql = format!(
                    "SELECT {COLUMNS}, {BODY} FROM tiktok_shop_deliveries d WHERE tenant = $1 AND endpoint = $2 \
                     AND customer = $3 AND state = 'waiting' ORDER BY number LIMIT 1"
                );
                match fetch_optional(&mut transaction, queue_statement(sql, tenant, queue)).await? {
                    Some(first) => claimed.push(read_delivery(&first)?),
                    None => close_queue(&mut transaction, tenant, queue).await?,
                }
            }
            transaction.commit().await?;
            Ok(claimed)
        })
        .await
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        lease: &Lease,
        delivery: &Delivery,
        settlement: Settlement,
        now: UnixSeconds,
    ) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let mut transaction = self.begin().await?;
            let queue = (delivery.endpoint.as_str(), customer_text(delivery.customer.as_ref()));
            // This locks the queue. A delivery that is appended meanwhile is visible from here on, or waits for the end
            // of this transaction.
            let sql = "UPDATE tiktok_shop_delivery_queues SET lease = NULL \
                       WHERE tenant = $1 AND endpoint = $2 AND customer = $3 AND lease = $4";
            if !execute(&mut transaction, queue_statement(sql, tenant, queue).bind_text(lease.as_str())).await? {
                // Nothing was written. A transaction that is dropped would cost a connection to PostgreSQL.
                transaction.commit().await?;
                return Ok(false);
            }
            settle_delivery(&mut transaction, tenant, delivery, settlement, now).await?;
            let sql = "SELECT number FROM tiktok_shop_deliveries \
                       WHERE tenant = $1 AND endpoint = $2 AND customer = $3 AND state = 'waiting' \
                       ORDER BY number LIMIT 1";
            match fetch_optional(&mut transaction, queue_statement(sql, tenant, queue)).await? {
                Some(first) => {
                    let due_at = settlement.queue_due_at(delivery, first.number("number")?, now);
                    let sql = "UPDATE tiktok_shop_delivery_queues SET due_at = $4 \
                               WHERE tenant = $1 AND endpoint = $2 AND customer = $3";
                    execute(&mut transaction, queue_statement(sql, tenant, queue).bind_seconds(due_at)?).await?;
                }
                None => close_queue(&mut transaction, tenant, queue).await?,
            }
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn list(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        self.run_to_deadline(async {
            let query = list_statement(tenant, filter, after, limit);
            fetch_all(&self.readers, query).await?.iter().map(read_delivery).collect()
        })
        .await
    }

    async fn load(&self, tenant: &TenantId, id: &DeliveryId) -> Result<Option<Delivery>, StorageError> {
        self.run_to_deadline(async {
            let sql = format!(
                "SELECT {COLUMNS}, {DUE_AT}, {BODY} FROM tiktok_shop_deliveries d WHERE tenant = $1 AND id = $2"
            );
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(id.as_str());
            fetch_optional(&self.readers, query).await?.as_ref().map(read_delivery).transpose()
        })
        .await
    }

    async fn redeliver(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        after: Option<u64>,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<u64>, StorageError> {
        self.run_to_deadline(async {
            let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..filter.clone() };
            let (condition, values) = condition(&dead, 5);
            let sql = format!(
                "UPDATE tiktok_shop_deliveries SET state = 'waiting', waiting_since = $2, ended_at = NULL, tries = 0 \
                 WHERE tenant = $1 AND state = 'dead' AND id IN (SELECT id FROM tiktok_shop_deliveries \
                 WHERE tenant = $1 AND number > $4{condition} ORDER BY number LIMIT $3) \
                 RETURNING number, endpoint, customer"
            );
            let query = statement(sql).bind_text(tenant.as_str()).bind_seconds(now)?.bind_limit(limit);
            let query = query.bind_bound(after.unwrap_or_default());
            let query = values.iter().fold(query, |query, value| query.bind_text(value));
            let mut transaction = self.begin().await?;
            let changed = fetch_all(&mut transaction, query).await?;
            let queues = changed.iter().map(read_queue).collect::<Result<BTreeSet<_>, _>>()?;
            open_queues(&mut transaction, tenant, &queues, now, "$2").await?;
            transaction.commit().await?;
            let mut numbers = changed.iter().map(|row| row.number("number")).collect::<Result<Vec<_>, _>>()?;
            numbers.sort_unstable();
            Ok(numbers)
        })
        .await
    }

    async fn backlog(&self, endpoints: &[(TenantId, EndpointName)]) -> Result<Backlog, StorageError> {
        self.run_to_deadline(async {
            let mut backlog = Backlog::default();
            for some in endpoints.chunks(ENDPOINTS_AT_ONCE) {
                for row in fetch_all(&self.readers, oldest_statement(some)).await? {
                    let since = row.seconds("waiting_since")?;
                    backlog.oldest_waiting = Some(backlog.oldest_waiting.map_or(since, |oldest| oldest.min(since)));
                }
            }
            let dead = "SELECT COUNT(*) AS dead \
                        FROM (SELECT 1 FROM tiktok_shop_deliveries WHERE state = 'dead' LIMIT $1) AS counted";
            if let Some(row) =
                fetch_optional(&self.readers, statement(dead).bind_bound(MAX_COUNTED_DEAD_LETTERS)).await?
            {
                backlog.dead = row.number("dead")?;
            }
            Ok(backlog)
        })
        .await
    }

    async fn delete_old(&self, state: DeliveryState, before: UnixSeconds, limit: usize) -> Result<u64, StorageError> {
        self.run_to_deadline(async {
            let since = match state {
                DeliveryState::Waiting => "waiting_since",
                DeliveryState::Delivered | DeliveryState::Dead => "ended_at",
            };
            // The state is a part of the text, because the index of the waiting deliveries contains only these. It
            // occurs twice, because PostgreSQL checks only the outer condition again for a delivery that another
            // transaction has just changed. Otherwise a dead letter that is being redelivered could be deleted.
            let state = state.as_str();
            let sql = format!(
                "DELETE FROM tiktok_shop_deliveries WHERE state = '{state}' AND (tenant, id) IN (SELECT tenant, id \
                 FROM tiktok_shop_deliveries WHERE state = '{state}' AND {since} < $1 LIMIT $2)"
            );
            let query = statement(sql).bind_bound(before.0).bind_limit(limit);
            execute_count(&self.writers, query).await
        })
        .await
    }
}

impl SqlStorage {
    /// Returns the statement that leases queues. Its parameters are tenant, endpoint, time, limit and lease, and those
    /// of the dialect's current time.
    fn claim_sql(&self) -> String {
        let (leased, now, age) =
            (self.dialect.columns(Moment::Leased), self.dialect.now(6), self.dialect.age(Moment::Leased, 6));
        // Other replicas skip the queues that this one is leasing, and do not wait.
        let skip = match self.dialect {
            Dialect::Sqlite(_) => "",
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        };
        let lapsed = LEASE.as_millis();
        // The age of a lease from an earlier boot is null, and such a lease has lapsed.
        format!(
            "WITH due AS (SELECT customer FROM tiktok_shop_delivery_queues \
             WHERE tenant = $1 AND endpoint = $2 AND due_at <= $3 \
             AND (lease IS NULL OR COALESCE({age}, {lapsed}) >= {lapsed}) \
             ORDER BY due_at, customer LIMIT $4{skip}) \
             UPDATE tiktok_shop_delivery_queues SET (lease, {leased}) = ($5, {now}) \
             WHERE tenant = $1 AND endpoint = $2 AND customer IN (SELECT customer FROM due) RETURNING customer"
        )
    }
}

/// Returns the statement that finds, for each of these endpoints, the time since which its oldest waiting delivery has
/// waited. The statement reads one entry of an index for each endpoint: the first one that is not before the endpoint.
/// With equal signs in place of the comparison, PostgreSQL can choose the index by time alone, and then it reads all
/// waiting deliveries of other endpoints.
fn oldest_statement(endpoints: &[(TenantId, EndpointName)]) -> Statement {
    let of_endpoint = |at: usize| {
        let (tenant, endpoint) = (2 * at + 1, 2 * at + 2);
        format!(
            "SELECT waiting_since FROM (SELECT tenant, endpoint, waiting_since FROM tiktok_shop_deliveries \
             WHERE state = 'waiting' AND (tenant, endpoint, waiting_since) >= (${tenant}, ${endpoint}, 0) \
             ORDER BY tenant, endpoint, waiting_since LIMIT 1) AS oldest \
             WHERE tenant = ${tenant} AND endpoint = ${endpoint}"
        )
    };
    let parts: Vec<_> = (0..endpoints.len()).map(of_endpoint).collect();
    endpoints.iter().fold(statement(parts.join(" UNION ALL ")), |query, (tenant, endpoint)| {
        query.bind_text(tenant.as_str()).bind_text(endpoint.as_str())
    })
}

/// Returns the statement that lists deliveries in the order of their numbers. Each combination of filters has an index
/// in this order: (1) customer; (2) endpoint; (3) tenant; (4) endpoint with state `waiting` or `dead`; (5) tenant with
/// state `waiting` or `dead`.
fn list_statement(tenant: &TenantId, filter: &DeliveryFilter, after: Option<u64>, limit: usize) -> Statement {
    let (condition, values) = condition(filter, 4);
    let sql = format!(
        "SELECT {COLUMNS}, {DUE_AT}, CAST(NULL AS TEXT) AS body FROM tiktok_shop_deliveries d \
         WHERE tenant = $1 AND number > $2{condition} ORDER BY number LIMIT $3"
    );
    let query = statement(sql).bind_text(tenant.as_str()).bind_bound(after.unwrap_or_default());
    values.iter().fold(query.bind_limit(limit), |query, value| query.bind_text(value))
}

/// Stores the attempts of a delivery, and its new state.
async fn settle_delivery(
    transaction: &mut Transaction,
    tenant: &TenantId,
    delivery: &Delivery,
    settlement: Settlement,
    now: UnixSeconds,
) -> Result<(), StorageError> {
    let state = settlement.state();
    // The body may be personal data, so it is deleted as soon as nobody needs it.
    let body = if state == DeliveryState::Delivered { ", body = NULL" } else { "" };
    let sql = format!(
        "UPDATE tiktok_shop_deliveries SET state = $3, ended_at = $4, tries = $5, attempts = $6{body} \
         WHERE tenant = $1 AND id = $2"
    );
    let query = statement(sql)
        .bind_text(tenant.as_str())
        .bind_text(delivery.id.as_str())
        .bind_text(state.as_str())
        .bind_optional_seconds(settlement.ended_at(now))?
        .bind_number(delivery.tries.into())?
        .bind_text(&attempts_text(&delivery.attempts)?);
    execute(transaction, query).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
    use tempfile::TempDir;
    use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};

    use super::*;
    use crate::{OpenMode, PostgresOptions};

    const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

    async fn sqlite() -> (SqlStorage, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let storage = SqlStorage::sqlite(folder.path().join("storage.db"), OpenMode::Create).await.unwrap();
        (storage, folder)
    }

    /// Returns a storage in a new schema. `None` if there is no server.
    async fn postgres() -> Option<SqlStorage> {
        let server = tiktok_shop_test_postgres::test_postgres()?;
        let mut bits = [0; 8];
        SystemRandomness.fill(&mut bits).unwrap();
        let schema = format!("deliveries_{:016x}", u64::from_be_bytes(bits));
        let mut connection = PgConnection::connect(&server).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.unwrap();
        connection.close().await.unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let address = format!("{server}{separator}options=-c%20search_path%3D{schema}");
        // Some tests store very many deliveries with one statement.
        let statement = Duration::from_secs(60);
        let options = PostgresOptions { connections: 1, statement, ..PostgresOptions::default() };
        Some(SqlStorage::postgres(&address, OpenMode::Migrate, options).await.unwrap())
    }

    async fn run(storage: &SqlStorage, sql: &str) {
        fetch_all(&storage.writers, statement(sql)).await.unwrap();
    }

    fn tenant() -> TenantId {
        "t".parse().unwrap()
    }

    fn main_endpoint() -> EndpointName {
        "main".parse().unwrap()
    }

    /// Returns the plan of a statement. `explain` comes before the statement, and `column` is the column of the plan.
    async fn plan(storage: &SqlStorage, mut query: Statement, explain: &str, column: &'static str) -> String {
        query.sql.insert_str(0, explain);
        let steps = fetch_all(&storage.readers, query).await.unwrap();
        steps.iter().map(|step| step.text(column).unwrap()).collect::<Vec<_>>().join("; ")
    }

    async fn sqlite_plan(storage: &SqlStorage, query: Statement) -> String {
        plan(storage, query, "EXPLAIN QUERY PLAN ", "detail").await
    }

    async fn postgres_plan(storage: &SqlStorage, query: Statement) -> String {
        plan(storage, query, "EXPLAIN (COSTS OFF) ", "QUERY PLAN").await
    }

    fn list(filter: &DeliveryFilter) -> Statement {
        list_statement(&tenant(), filter, Some(5), 10)
    }

    /// The filters of a customer, with and without an endpoint.
    fn of_a_customer() -> [DeliveryFilter; 2] {
        let customer = DeliveryFilter { customer: Some("c7".parse().unwrap()), ..DeliveryFilter::default() };
        [DeliveryFilter { endpoint: "main".parse().ok(), ..customer.clone() }, customer]
    }

    /// The filters of an endpoint with few deliveries, and of the tenant, each with the index that the list then needs.
    fn of_an_endpoint_or_a_state() -> [(DeliveryFilter, &'static str); 6] {
        let filter = |endpoint: &str, state| DeliveryFilter {
            endpoint: endpoint.parse().ok(),
            state,
            ..DeliveryFilter::default()
        };
        [
            (filter("rare", None), "tiktok_shop_deliveries_endpoint"),
            (filter("rare", Some(DeliveryState::Delivered)), "tiktok_shop_deliveries_endpoint"),
            (filter("rare", Some(DeliveryState::Dead)), "tiktok_shop_deliveries_dead_endpoint"),
            (filter("rare", Some(DeliveryState::Waiting)), "tiktok_shop_deliveries_waiting_endpoint"),
            (filter("", Some(DeliveryState::Dead)), "tiktok_shop_deliveries_dead"),
            (filter("", Some(DeliveryState::Waiting)), "tiktok_shop_deliveries_waiting_tenant"),
        ]
    }

    /// Two endpoints of which the backlog is asked.
    fn two_endpoints() -> Statement {
        oldest_statement(&[(tenant(), main_endpoint()), (tenant(), "rare".parse().unwrap())])
    }

    #[tokio::test]
    async fn sqlite_lists_deliveries_without_reading_those_of_other_customers_endpoints_and_states() {
        let (storage, _folder) = sqlite().await;
        for filter in of_a_customer() {
            let plan = sqlite_plan(&storage, list(&filter)).await;
            let index = "tiktok_shop_deliveries_customer (tenant=? AND customer=? AND number>?)";
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
        }
        for (filter, index) in of_an_endpoint_or_a_state() {
            let plan = sqlite_plan(&storage, list(&filter)).await;
            let values = if filter.endpoint.is_some() { "tenant=? AND endpoint=?" } else { "tenant=?" };
            let index = format!("{index} ({values} AND number>?)");
            assert!(plan.contains(&index) && !plan.contains("TEMP B-TREE"), "{index}: {plan}");
        }
        let all = sqlite_plan(&storage, list(&DeliveryFilter::default())).await;
        assert!(all.contains("tiktok_shop_deliveries_number (tenant=? AND number>?)"), "{all}");
        let oldest = sqlite_plan(&storage, two_endpoints()).await;
        assert_eq!(
            oldest.matches("tiktok_shop_deliveries_oldest ((tenant,endpoint,waiting_since)>").count(),
            2,
            "{oldest}"
        );
        assert!(!oldest.contains("TEMP B-TREE"), "{oldest}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgresql_lists_deliveries_without_reading_those_of_other_customers_endpoints_and_states() {
        let Some(storage) = postgres().await else { return };
        // If there were few deliveries, PostgreSQL could read the whole table faster than an index. The endpoint `main`
        // works, and `removed` is not configured any more.
        for (ids, endpoint, state) in [
            ("m", "CASE WHEN n % 199 = 0 THEN 'rare' ELSE 'main' END", "delivered"),
            ("w", "CASE WHEN n % 199 = 0 THEN 'rare' ELSE 'removed' END", "waiting"),
            ("d", "CASE WHEN n % 199 = 0 THEN 'rare' ELSE 'main' END", "dead"),
        ] {
            let fill = format!(
                "INSERT INTO tiktok_shop_deliveries (tenant, endpoint, customer, id, event_type, stored_at, \
                 waiting_since, state, tries, attempts) SELECT 't', {endpoint}, 'c' || n % 200, '{ids}' || n, '', 0, n, \
                 '{state}', 0, '[]' FROM generate_series(1, 20000) n"
            );
            run(&storage, &fill).await;
        }
        run(&storage, "ANALYZE tiktok_shop_deliveries").await;
        for filter in of_a_customer() {
            let plan = postgres_plan(&storage, list(&filter)).await;
            assert!(plan.contains("using tiktok_shop_deliveries_customer on ") && !plan.contains("Sort"), "{plan}");
        }
        for (filter, index) in of_an_endpoint_or_a_state() {
            let plan = postgres_plan(&storage, list(&filter)).await;
            assert!(plan.contains(&format!("using {index} on ")) && !plan.contains("Sort"), "{index}: {plan}");
        }
        let oldest = postgres_plan(&storage, two_endpoints()).await;
        assert_eq!(oldest.matches("using tiktok_shop_deliveries_oldest on ").count(), 2, "{oldest}");
        assert!(!oldest.contains("Sort"), "{oldest}");
        storage.close().await;
    }

    /// A delivery of a customer of its own.
    fn delivery(number: usize) -> NewDelivery {
        NewDelivery {
            id: DeliveryId::parse(&format!("d{number}")).unwrap(),
            endpoint: main_endpoint(),
            customer: Some(format!("c{number}").parse().unwrap()),
            event_type: "tiktok.1".to_owned(),
            body: "{}".to_owned(),
        }
    }

    /// The deadline of a call is 4.5 s, and the network may take a tenth of a second for each statement.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_page_of_events_becomes_deliveries_with_a_few_statements() {
        let Some(storage) = postgres().await else { return };
        run(&storage, "CREATE TABLE statements (at TEXT)").await;
        run(
            &storage,
            "CREATE FUNCTION note_statement() RETURNS TRIGGER LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO statements VALUES (TG_TABLE_NAME); RETURN NULL; END $$",
        )
        .await;
        for table in ["tiktok_shop_deliveries", "tiktok_shop_delivery_queues"] {
            let on = format!("CREATE TRIGGER note_statement AFTER INSERT ON {table} FOR EACH STATEMENT");
            run(&storage, &format!("{on} EXECUTE FUNCTION note_statement()")).await;
        }
        let page: Vec<_> = (0..200).map(delivery).collect();
        let [begin, end] = [0, 200].map(EventPosition);
        assert_eq!(storage.advance(&tenant(), &main_endpoint(), None, begin, &[], NOW).await, Ok(true));
        assert_eq!(storage.advance(&tenant(), &main_endpoint(), Some(begin), end, &page, NOW).await, Ok(true));
        let count = statement("SELECT COUNT(*) AS count FROM statements");
        let count = fetch_optional(&storage.readers, count).await.unwrap().unwrap().number("count").unwrap();
        assert_eq!(count, 3, "two for the deliveries, and one for their queues");
        let stored = storage.list(&tenant(), &DeliveryFilter::default(), None, 999).await.unwrap();
        assert_eq!(stored.len(), 200);
        storage.close().await;
    }

    /// The driver for SQLite does not say which statements it keeps.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgresql_keeps_no_statement_for_each_number_of_deliveries() {
        let Some(storage) = postgres().await else { return };
        for (first, count) in [(0, 1), (1, 2), (3, 3)] {
            let deliveries: Vec<_> = (first..first + count).map(delivery).collect();
            assert_eq!(storage.append(&tenant(), &deliveries, NOW).await, Ok(count as u64));
        }
        assert_eq!(storage.position(&tenant(), &main_endpoint()).await, Ok(None));
        let kept = "SELECT statement FROM pg_prepared_statements WHERE position('pg_prepared' IN statement) = 0 \
                    AND position('tiktok_shop_deliver' IN statement) > 0";
        let kept = fetch_all(&storage.readers, statement(kept)).await.unwrap();
        let kept: Vec<_> = kept.iter().map(|row| row.text("statement").unwrap()).collect();
        let position = "SELECT position FROM tiktok_shop_delivery_positions WHERE tenant = $1 AND endpoint = $2";
        assert_eq!(kept, [position], "only the statement whose text is always the same");
        storage.close().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn dead_letters_are_counted_up_to_a_limit() {
        let (in_sqlite, _folder) = sqlite().await;
        for storage in [Some(in_sqlite), postgres().await].into_iter().flatten() {
            let series = "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < $1) ";
            let fill = "INSERT INTO tiktok_shop_deliveries (tenant, endpoint, customer, id, event_type, stored_at, \
                        waiting_since, ended_at, state, tries, attempts) SELECT 't', 'main', '', \
                        CAST(n AS TEXT), '', 0, 0, 0, 'dead', 0, '[]' FROM series";
            let fill = statement(format!("{series}{fill}")).bind_bound(MAX_COUNTED_DEAD_LETTERS + 1);
            fetch_all(&storage.writers, fill).await.unwrap();
            assert_eq!(
                storage.backlog(&[]).await,
                Ok(Backlog { oldest_waiting: None, dead: MAX_COUNTED_DEAD_LETTERS })
            );
            run(&storage, "DELETE FROM tiktok_shop_deliveries WHERE number > 7").await;
            assert_eq!(storage.backlog(&[]).await, Ok(Backlog { oldest_waiting: None, dead: 7 }));
            storage.close().await;
        }
    }
}
