//! Remembers requests by their idempotency key.
//!
//! Ages are measured by the wall clock and not by the time since the machine's boot: a request must be remembered after
//! a restart of the machine, too.

use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::storage::{BegunRequest, RequestDigest, RequestStorage, StorageError, StoredRequest};

use crate::expiry::{Expiry, MaxAge};
use crate::sql::columns::{Columns as _, malformed};
use crate::sql::dialect::Dialect;
use crate::sql::run::{execute, fetch_optional};
use crate::sql::statement::{Statement, statement};
use crate::storage::SqlStorage;

/// How long a request is remembered: 24 hours, in seconds.
const REQUEST_RETENTION_S: i64 = 86_400;
const EXPIRY: Expiry = Expiry {
    table: "tiktok_shop_requests",
    max_age: MaxAge::Wall { column: "begun_at", seconds: REQUEST_RETENTION_S },
};
/// The number of attempts to begin a request. One is enough, unless another caller deletes the stored request at the
/// same moment.
const MAX_ATTEMPTS: usize = 3;

#[async_trait]
impl RequestStorage for SqlStorage {
    async fn begin_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        begun: &BegunRequest,
    ) -> Result<Option<StoredRequest>, StorageError> {
        self.run_to_deadline(async {
            self.make_room(&EXPIRY).await;
            // An expired request with this key may still be stored. It does not count, so the new one replaces it.
            let (values, retention) = match self.dialect {
                Dialect::Sqlite(_) => ("$1, $2, $3, $4, $5", "$6"),
                Dialect::Postgres => ("clock_timestamp(), $1, $2, $3, $4", "$5 * INTERVAL '1 second'"),
            };
            for _ in 0..MAX_ATTEMPTS {
                let insert = format!(
                    "INSERT INTO tiktok_shop_requests (begun_at, tenant, digest, fingerprint, attempt) \
                     VALUES ({values}) ON CONFLICT (tenant, digest) DO UPDATE SET begun_at = excluded.begun_at, \
                     fingerprint = excluded.fingerprint, attempt = excluded.attempt, answer = NULL \
                     WHERE tiktok_shop_requests.begun_at < excluded.begun_at - {retention}"
                );
                let insert = of_request(self.with_now(statement(insert))?, tenant, key)
                    .bind(begun.fingerprint.to_vec())
                    .bind(begun.attempt.to_vec())
                    .bind(REQUEST_RETENTION_S);
                if execute(&self.writers, insert).await? {
                    return Ok(None);
                }
                if let Some(stored) = self.load_request(tenant, key).await? {
                    return Ok(Some(stored));
                }
            }
            Err(StorageError::Unavailable("the request is begun and forgotten again and again".to_owned()))
        })
        .await
    }

    async fn finish_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        attempt: &[u8; 16],
        answer: &[u8],
    ) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            let sql = "UPDATE tiktok_shop_requests SET answer = $4 WHERE tenant = $1 AND digest = $2 AND attempt = $3";
            let query = of_request(statement(sql), tenant, key).bind(attempt.to_vec()).bind(answer.to_vec());
            execute(&self.writers, query).await.map(drop)
        })
        .await
    }

    async fn forget_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        attempt: &[u8; 16],
    ) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            let sql = "DELETE FROM tiktok_shop_requests WHERE tenant = $1 AND digest = $2 AND attempt = $3";
            let query = of_request(statement(sql), tenant, key).bind(attempt.to_vec());
            execute(&self.writers, query).await.map(drop)
        })
        .await
    }
}

fn of_request(query: Statement, tenant: &TenantId, key: &RequestDigest) -> Statement {
    query.bind_text(tenant.as_str()).bind(key.as_bytes().to_vec())
}

impl SqlStorage {
    /// Reads from the connections that write, because a reader of SQLite could still miss a row that was just written.
    async fn load_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
    ) -> Result<Option<StoredRequest>, StorageError> {
        let sql = match self.dialect {
            Dialect::Sqlite(_) => {
                "SELECT fingerprint, attempt, answer, $1 - begun_at AS age_s FROM tiktok_shop_requests \
                 WHERE tenant = $2 AND digest = $3"
            }
            Dialect::Postgres => {
                "SELECT fingerprint, attempt, answer, \
                 CAST(EXTRACT(EPOCH FROM clock_timestamp() - begun_at) AS BIGINT) AS age_s FROM tiktok_shop_requests \
                 WHERE tenant = $1 AND digest = $2"
            }
        };
        let query = of_request(self.with_now(statement(sql))?, tenant, key);
        let Some(row) = fetch_optional(&self.writers, query).await? else { return Ok(None) };
        let begun = BegunRequest {
            fingerprint: row.bytes("fingerprint")?.try_into().map_err(|_| malformed("fingerprint"))?,
            attempt: row.bytes("attempt")?.try_into().map_err(|_| malformed("attempt"))?,
        };
        let age: i64 = row.value("age_s")?;
        let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
        Ok(Some(StoredRequest { begun, answer: row.optional_bytes("answer")?, age }))
    }

    /// Binds the current time as the first parameter. A statement for PostgreSQL has no such parameter, because it reads
    /// the server's clock.
    fn with_now(&self, query: Statement) -> Result<Statement, StorageError> {
        match &self.dialect {
            Dialect::Sqlite(clock) => query.bind_number(clock.wall().as_secs()),
            Dialect::Postgres => Ok(query),
        }
    }
}
