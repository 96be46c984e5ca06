//! The webhooks that the service sends, in `tiktok_shop_deliveries`.
//!
//! Each queue with waiting deliveries has one database row in `tiktok_shop_delivery_queues`. Every transaction that may
//! add or remove a queue locks this database row before it decides. So a delivery that is appended while the last one
//! is settled is not forgotten.

mod row;

use std::collections::BTreeSet;

use async_trait::async_trait;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{CustomerId, TenantId};
use tiktok_shop_server::delivery::{
    Backlog, Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryStorage, EndpointName, LEASE, Lease,
    NewDelivery, Settlement,
};

use self::row::{BODY, COLUMNS, DUE_AT, attempts_text, condition, read_delivery};
use crate::pool::transaction::Transaction;
use crate::sql::columns::Columns as _;
use crate::sql::dialect::{Dialect, Moment};
use crate::sql::run::{execute, execute_count, fetch_all, fetch_optional};
use crate::sql::statement::{Statement, statement};
use crate::storage::SqlStorage;

/// A queue: an endpoint, and a customer. The empty text is the queue of the whole tenant.
type Queue = (String, String);

fn customer_text(customer: Option<&CustomerId>) -> &str {
    customer.map_or("", CustomerId::as_str)
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
    let (mut added, mut queues) = (0, BTreeSet::new());
    for NewDelivery { id, endpoint, customer, event_type, body } in deliveries {
        let customer = customer_text(customer.as_ref());
        let sql = "INSERT INTO tiktok_shop_deliveries \
                   (tenant, endpoint, customer, id, event_type, body, stored_at, waiting_since, state, tries, attempts) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 'waiting', 0, '[]') ON CONFLICT DO NOTHING";
        let query = queue_statement(sql, tenant, (endpoint.as_str(), customer)).bind_text(id.as_str());
        let query = query.bind_text(event_type).bind_text(body).bind_seconds(now)?;
        if execute(&mut *transaction, query).await? {
            added += 1;
            queues.insert((endpoint.as_str().to_owned(), customer.to_owned()));
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
    for (endpoint, customer) in queues {
        let sql = format!(
            "INSERT INTO tiktok_shop_delivery_queues (tenant, endpoint, customer, due_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (tenant, endpoint, customer) DO UPDATE SET due_at = {due_at}"
        );
        execute(&mut *transaction, queue_statement(sql, tenant, (endpoint, customer)).bind_seconds(now)?).await?;
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
            let queue = |row: &sqlx::any::AnyRow| Ok((row.text("endpoint")?, row.text("customer")?));
            let queues = changed.iter().map(queue).collect::<Result<BTreeSet<_>, StorageError>>()?;
            open_queues(&mut transaction, tenant, &queues, now, "$4").await?;
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
                let places: Vec<_> = (0..some.len())
                    .map(|at| format!("tenant = ${} AND endpoint = ${}", 2 * at + 1, 2 * at + 2))
                    .collect();
                // The index of the waiting deliveries is in this order, so the first row that matches ends the search.
                let sql = format!(
                    "SELECT waiting_since FROM tiktok_shop_deliveries WHERE state = 'waiting' AND ({}) \
                     ORDER BY waiting_since LIMIT 1",
                    places.join(" OR ")
                );
                let query = some.iter().fold(statement(sql), |query, (tenant, endpoint)| {
                    query.bind_text(tenant.as_str()).bind_text(endpoint.as_str())
                });
                if let Some(row) = fetch_optional(&self.readers, query).await? {
                    let since = row.seconds("waiting_since")?;
                    backlog.oldest_waiting = Some(backlog.oldest_waiting.map_or(since, |oldest| oldest.min(since)));
                }
            }
            let dead = "SELECT COUNT(*) AS dead FROM tiktok_shop_deliveries WHERE state = 'dead'";
            if let Some(row) = fetch_optional(&self.readers, statement(dead)).await? {
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

/// Returns the statement that lists deliveries in the order of their numbers. The order is that of an index for each
/// customer, for each state, or for the whole tenant. If only an endpoint is named, the database reads the tenant's
/// deliveries to all endpoints until the page is full.
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
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
    use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};

    use super::*;
    use crate::{OpenMode, PostgresOptions};

    /// Returns the plan with which the database lists the deliveries of a filter. `explain` comes before the statement,
    /// and `column` is the column of the plan.
    async fn plan(storage: &SqlStorage, filter: &DeliveryFilter, explain: &str, column: &'static str) -> String {
        let mut query = list_statement(&"t".parse().unwrap(), filter, Some(5), 10);
        query.sql.insert_str(0, explain);
        let steps = fetch_all(&storage.readers, query).await.unwrap();
        steps.iter().map(|step| step.text(column).unwrap()).collect::<Vec<_>>().join("; ")
    }

    /// The filters of a customer, with and without an endpoint.
    fn of_a_customer() -> [DeliveryFilter; 2] {
        let customer = DeliveryFilter { customer: Some("c7".parse().unwrap()), ..DeliveryFilter::default() };
        [DeliveryFilter { endpoint: "main".parse().ok(), ..customer.clone() }, customer]
    }

    #[tokio::test]
    async fn sqlite_lists_the_deliveries_of_a_customer_without_reading_those_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let storage = SqlStorage::sqlite(folder.path().join("storage.db"), OpenMode::Create).await.unwrap();
        for filter in of_a_customer() {
            let plan = plan(&storage, &filter, "EXPLAIN QUERY PLAN ", "detail").await;
            let index = "tiktok_shop_deliveries_customer (tenant=? AND customer=? AND number>?)";
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
        }
        let all = plan(&storage, &DeliveryFilter::default(), "EXPLAIN QUERY PLAN ", "detail").await;
        assert!(all.contains("tiktok_shop_deliveries_number (tenant=? AND number>?)"), "{all}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgresql_lists_the_deliveries_of_a_customer_without_reading_those_of_others() {
        let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
        let mut bits = [0; 8];
        SystemRandomness.fill(&mut bits).unwrap();
        let schema = format!("deliveries_{:016x}", u64::from_be_bytes(bits));
        let mut connection = PgConnection::connect(&server).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.unwrap();
        connection.close().await.unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let address = format!("{server}{separator}options=-c%20search_path%3D{schema}");
        let options = PostgresOptions { connections: 1, ..PostgresOptions::default() };
        let storage = SqlStorage::postgres(&address, OpenMode::Migrate, options).await.unwrap();
        // If there were few deliveries, PostgreSQL could read the whole table faster than an index.
        let fill = "INSERT INTO tiktok_shop_deliveries (tenant, endpoint, customer, id, event_type, stored_at, \
                    waiting_since, state, tries, attempts) SELECT 't', 'main', 'c' || n % 200, n, '', 0, 0, \
                    'delivered', 0, '[]' FROM generate_series(1, 20000) n";
        for sql in [fill, "ANALYZE tiktok_shop_deliveries"] {
            fetch_all(&storage.readers, statement(sql)).await.unwrap();
        }
        for filter in of_a_customer() {
            let plan = plan(&storage, &filter, "EXPLAIN (COSTS OFF) ", "QUERY PLAN").await;
            assert!(plan.contains("using tiktok_shop_deliveries_customer on ") && !plan.contains("Sort"), "{plan}");
        }
        storage.close().await;
    }
}
