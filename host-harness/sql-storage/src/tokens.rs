//! Stores token records. A swap is one conditional statement.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::storage::{
    Due, Environment, Next, Sealed, StorageError, Swapped, TokenEntry, TokenStorage, TokenWrite,
};
use tiktok_shop_host::{AccountId, CustomerId, Revision, TenantId};

use crate::sql::columns::Columns as _;
use crate::sql::dialect::Moment;
use crate::sql::run::{execute, execute_if_references_hold, fetch_all, fetch_optional};
use crate::sql::statement::{Statement, connection_statement, statement};
use crate::storage::SqlStorage;
use crate::swap::Condition;
use crate::usable_key::usable_key;

#[async_trait]
impl TokenStorage for SqlStorage {
    async fn belongs_to(&self, environment: Environment) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            if let Some(stored) = self.environment().await? {
                return Ok(stored == environment.as_str());
            }
            // A database that already has data keys may contain tokens, so it belongs to TikTok Shop. If another
            // process is faster, the second read finds the word that the other process stored.
            let insert = "INSERT INTO tiktok_shop_environment (id, name) \
                          SELECT 1, CASE WHEN EXISTS (SELECT 1 FROM tiktok_shop_tenant_keys) THEN $1 ELSE $2 END \
                          WHERE 1 = 1 ON CONFLICT DO NOTHING";
            let words = [Environment::TikTokShop, environment].map(Environment::as_str);
            execute(&self.writers, words.into_iter().fold(statement(insert), |query, word| query.bind_text(word)))
                .await?;
            Ok(self.environment().await?.as_deref() == Some(environment.as_str()))
        })
        .await
    }

    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT account FROM tiktok_shop_tokens WHERE tenant = $1 AND customer = $2 ORDER BY account";
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(customer.as_str());
            fetch_all(&self.readers, query).await?.iter().map(|row| row.id("account")).collect()
        })
        .await
    }

    async fn accounts_with_token(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(Vec<AccountId>, Option<TokenEntry>), StorageError> {
        self.run_to_deadline(async {
            // With several accounts, the statement would read sealed values that nobody needs.
            let (age, others) = (self.dialect.age(Moment::Written, 3), "o.account <> t.account");
            let sql = format!(
                "SELECT account, revision, sealed_by, {age} AS age_ms, CASE WHEN NOT EXISTS \
                 (SELECT 1 FROM tiktok_shop_tokens o WHERE o.tenant = $1 AND o.customer = $2 AND {others}) \
                 THEN sealed END AS sealed \
                 FROM tiktok_shop_tokens t WHERE tenant = $1 AND customer = $2 ORDER BY account"
            );
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(customer.as_str());
            let rows = fetch_all(&self.readers, self.dialect.bind_now(query)?).await?;
            let accounts = rows.iter().map(|row| row.id("account")).collect::<Result<_, _>>()?;
            Ok((accounts, if let [only] = &*rows { Some(read_token(only, READ)?) } else { None }))
        })
        .await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        self.run_to_deadline(async {
            let age = self.dialect.age(Moment::Written, 4);
            let sql = format!(
                "SELECT revision, sealed_by, sealed, {age} AS age_ms FROM tiktok_shop_tokens \
                 WHERE tenant = $1 AND customer = $2 AND account = $3"
            );
            let query = self.dialect.bind_now(connection_statement(sql, tenant, key))?;
            fetch_optional(&self.readers, query).await?.as_ref().map(|row| read_token(row, READ)).transpose()
        })
        .await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        self.run_to_deadline(async {
            if expected.is_none() && next.is_none() {
                // A deletion that expects no record has nothing to write, so a read is enough.
                let found = self.load_token(tenant, key).await?;
                return Ok(found.map_or(Swapped::Done, |found| Swapped::Stale(Some(found))));
            }
            let condition = Condition { tenant, expected, sealed_by: next.map(|next| next.value.value.key()) };
            let write = || self.write_token(tenant, key, expected, next);
            let load = || self.load_token(tenant, key);
            let swapped = self.swap(condition, write, load).await?;
            self.empty_log_after(&swapped, next.is_none()).await;
            Ok(swapped)
        })
        .await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT refresh_due_at, tenant, customer, account FROM tiktok_shop_tokens \
                       WHERE refresh_due_at <= $1 AND (refresh_due_at, tenant, customer, account) > ($2, $3, $4, $5) \
                       ORDER BY refresh_due_at, tenant, customer, account LIMIT $6";
            let after = after.map(|due| (due.at, &due.tenant, &due.key));
            let query = statement(sql).bind_bound(now.0).bind_position(after)?.bind_limit(limit);
            let due = |row: &AnyRow| {
                Ok(Due { at: row.seconds("refresh_due_at")?, tenant: row.id("tenant")?, key: row.key()? })
            };
            fetch_all(&self.readers, query).await?.iter().map(due).collect()
        })
        .await
    }

    async fn count_due(&self, now: UnixSeconds) -> Result<u64, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT COUNT(*) AS number FROM tiktok_shop_tokens WHERE refresh_due_at <= $1";
            let row = fetch_optional(&self.readers, statement(sql).bind_bound(now.0)).await?;
            row.map_or(Ok(0), |row| row.number("number"))
        })
        .await
    }
}

impl SqlStorage {
    /// Returns the word of the environment to which the database belongs. `None` if the database belongs to no
    /// environment yet.
    async fn environment(&self) -> Result<Option<String>, StorageError> {
        let row = fetch_optional(&self.readers, statement("SELECT name FROM tiktok_shop_environment")).await?;
        row.map(|row| row.text("name")).transpose()
    }

    /// Writes or deletes a token record if it has the expected revision and the new value's key is usable. Returns
    /// whether both conditions held.
    async fn write_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<bool, StorageError> {
        let moment = self.dialect.columns(Moment::Written);
        let query = match (next, expected) {
            (Some(Next { revision, value }), Some(expected)) => {
                let (now, usable_key) = (self.dialect.now(9), usable_key(6));
                let sql = format!(
                    "UPDATE tiktok_shop_tokens SET (revision, refresh_due_at, sealed_by, sealed, {moment}) \
                     = ($4, $5, $6, $7, {now}) \
                     WHERE tenant = $1 AND customer = $2 AND account = $3 AND revision = $8 AND {usable_key}"
                );
                let query = bind_token(connection_statement(sql, tenant, key), revision, value)?;
                self.dialect.bind_now(query.bind_text(expected.as_str()))?
            }
            (Some(Next { revision, value }), None) => {
                let (now, usable_key) = (self.dialect.now(8), usable_key(6));
                let sql = format!(
                    "INSERT INTO tiktok_shop_tokens \
                     (tenant, customer, account, revision, refresh_due_at, sealed_by, sealed, {moment}) \
                     SELECT $1, $2, $3, $4, $5, $6, $7, {now} WHERE {usable_key} ON CONFLICT DO NOTHING"
                );
                self.dialect.bind_now(bind_token(connection_statement(sql, tenant, key), revision, value)?)?
            }
            (None, expected) => {
                // Without an expected revision the statement compares with null, and deletes nothing.
                let sql = "DELETE FROM tiktok_shop_tokens \
                           WHERE tenant = $1 AND customer = $2 AND account = $3 AND revision = $4";
                connection_statement(sql, tenant, key).bind_optional_text(expected.map(Revision::as_str))
            }
        };
        execute_if_references_hold(&self.writers, query).await
    }
}

/// The columns from which a token record is read: the revision, the key, the sealed value and the age.
const READ: [&str; 4] = ["revision", "sealed_by", "sealed", "age_ms"];

/// Reads a token record from columns with the meaning of [`READ`].
pub(crate) fn read_token(row: &AnyRow, columns: [&'static str; 4]) -> Result<TokenEntry, StorageError> {
    let [revision, sealed_by, sealed, age] = columns;
    let value = Sealed::new(row.id(sealed_by)?, row.bytes(sealed)?);
    Ok(TokenEntry { revision: row.id(revision)?, value, age: row.age(age)? })
}

/// Binds revision, due time, key and sealed value, in this order.
pub(crate) fn bind_token(query: Statement, revision: &Revision, token: &TokenWrite) -> Result<Statement, StorageError> {
    let TokenWrite { value, refresh_due_at } = token;
    let query = query.bind_text(revision.as_str()).bind_optional_seconds(*refresh_due_at)?;
    Ok(query.bind_text(value.key().as_str()).bind(value.bytes().to_vec()))
}
