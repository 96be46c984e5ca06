//! Deletes entries that have expired, for all tenants.
//!
//! A call that stores an entry first deletes expired entries of the same kind. It deletes at most [`MAX_DELETED`], so
//! it stays fast if there are many. Each call stores one entry, so the number of expired entries falls. An expired entry
//! may stay for a while, so a call that reads an entry must check the age of the entry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tiktok_shop_host::storage::StorageError;
use tokio::time::Instant;

use crate::sql::dialect::Dialect;
use crate::sql::run::execute_count;
use crate::sql::statement::{Statement, statement};
use crate::storage::{SqlStorage, run_within};

/// The highest number of expired entries that one statement deletes. A statement that deletes all of them could reach
/// the time limit of a statement, and would then delete none of them, each time.
pub(crate) const MAX_DELETED: usize = 200;

/// The entries of a table that expire. The primary key of the table must be tenant and digest.
pub(crate) struct Expiry {
    pub(crate) table: &'static str,
    pub(crate) max_age: MaxAge,
}

/// The highest age of an entry, and the clock that measures it.
pub(crate) enum MaxAge {
    /// By the wall clock, since the time in this column.
    Wall { column: &'static str, seconds: i64 },
    /// By the machine's boot clock in SQLite, since [`Moment::Begun`](crate::sql::dialect::Moment::Begun).
    Begun { milliseconds: i64 },
}

impl Expiry {
    /// Returns the SQL text that selects tenant and digest of up to [`MAX_DELETED`] expired entries.
    /// [`bind`](Self::bind) binds its parameters, from `$1` on. In PostgreSQL these are `$1`, the limit, and `$2`, the
    /// highest age.
    pub(crate) fn keys_sql(&self, dialect: &Dialect) -> String {
        let Self { table, max_age } = self;
        let condition = match (dialect, max_age) {
            (Dialect::Sqlite(_), MaxAge::Wall { column, .. }) => format!("{column} < $3 - $2"),
            // The age of an entry from an earlier boot is unknown, so such an entry is also deleted. Each of the three
            // conditions is a range of the index, so the statement can use the index.
            (Dialect::Sqlite(_), MaxAge::Begun { .. }) => {
                "(begun_boot < $3 OR begun_boot > $3 OR (begun_boot = $3 AND begun_ms < $4 - $2))".to_owned()
            }
            (Dialect::Postgres, _) => {
                let (column, unit) = match max_age {
                    MaxAge::Wall { column, .. } => (*column, "second"),
                    MaxAge::Begun { .. } => ("begun_at", "millisecond"),
                };
                // The subquery reads the clock only once. Without the subquery, each entry could be compared with a
                // different time, and PostgreSQL could not use the index. With the order, PostgreSQL always uses the
                // index. Other calls skip the entries that this one is deleting, and do not wait.
                return format!(
                    "SELECT tenant, digest FROM {table} \
                     WHERE {column} < (SELECT clock_timestamp()) - $2 * INTERVAL '1 {unit}' \
                     ORDER BY {column} LIMIT $1 FOR UPDATE SKIP LOCKED"
                );
            }
        };
        format!("SELECT tenant, digest FROM {table} WHERE {condition} LIMIT $1")
    }

    /// Binds the parameters of [`keys_sql`](Self::keys_sql). No value may have been bound before.
    pub(crate) fn bind(&self, query: Statement, dialect: &Dialect) -> Result<Statement, StorageError> {
        let (MaxAge::Wall { seconds: max_age, .. } | MaxAge::Begun { milliseconds: max_age }) = self.max_age;
        let query = query.bind_limit(MAX_DELETED).bind(max_age);
        match (dialect, &self.max_age) {
            (Dialect::Sqlite(clock), MaxAge::Wall { .. }) => query.bind_number(clock.wall().as_secs()),
            (Dialect::Sqlite(_), MaxAge::Begun { .. }) | (Dialect::Postgres, _) => dialect.bind_now(query),
        }
    }
}

/// How long expired entries stay after a deletion has failed: 30 s. PostgreSQL works on a deletion that was given up until
/// its own time limit, so further ones would only add work.
const PAUSE: Duration = Duration::from_secs(30);

/// When a deletion has failed, for each table. All clones of a storage share it.
#[derive(Clone, Default)]
pub(crate) struct ExpiryPauses(Arc<Mutex<BTreeMap<&'static str, Instant>>>);

impl ExpiryPauses {
    /// Returns whether a deletion has failed in the last [`PAUSE`].
    pub(crate) fn is_paused(&self, expiry: &Expiry) -> bool {
        self.lock().get(expiry.table).is_some_and(|failed| failed.elapsed() < PAUSE)
    }

    /// Reports that a deletion has failed.
    pub(crate) fn begin(&self, expiry: &Expiry, error: &StorageError) {
        let table = expiry.table;
        self.lock().insert(table, Instant::now());
        tracing::warn!(table, %error, "expired entries could not be deleted; a later call tries again");
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqlStorage {
    /// Deletes up to [`MAX_DELETED`] expired entries, before a call stores another entry. The call does not depend on
    /// the deletion, so a failure is only reported. Does nothing for [`PAUSE`] after a failure.
    pub(crate) async fn make_room(&self, expiry: &Expiry) {
        if !self.expiry_pauses.is_paused(expiry) {
            let deleted = self.in_part_of_deadline(self.delete_some_expired(expiry)).await;
            if let Err(error) = deleted {
                self.expiry_pauses.begin(expiry, &error);
            }
        }
    }

    /// Runs a deletion in at most a quarter of the time of a call.
    pub(crate) async fn in_part_of_deadline<T>(
        &self,
        deletion: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        run_within(self.deadline.map(|deadline| deadline / 4), deletion).await
    }

    /// Deletes every expired entry, a few with each statement. Returns whether there was one.
    pub(crate) async fn delete_all_expired(&self, expiry: &Expiry) -> Result<bool, StorageError> {
        let mut is_any_deleted = false;
        loop {
            let deleted = self.delete_some_expired(expiry).await?;
            is_any_deleted |= deleted > 0;
            if deleted < MAX_DELETED as u64 {
                return Ok(is_any_deleted);
            }
        }
    }

    /// Deletes up to [`MAX_DELETED`] expired entries. Returns their number.
    async fn delete_some_expired(&self, expiry: &Expiry) -> Result<u64, StorageError> {
        // As a table expression, the selection runs once. PostgreSQL may run a subquery several times, and each time
        // select other entries.
        let sql = format!(
            "WITH expired AS ({}) DELETE FROM {} WHERE (tenant, digest) IN (SELECT tenant, digest FROM expired)",
            expiry.keys_sql(&self.dialect),
            expiry.table
        );
        execute_count(&self.writers, expiry.bind(statement(sql), &self.dialect)?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_failed_deletion_only_its_table_pauses_for_30_s() {
        let of = |table| Expiry { table, max_age: MaxAge::Begun { milliseconds: 1 } };
        let pauses = ExpiryPauses::default();
        assert!(!pauses.is_paused(&of("one")));
        pauses.clone().begin(&of("one"), &StorageError::Unavailable("down".to_owned()));
        assert!(pauses.is_paused(&of("one")) && !pauses.is_paused(&of("other")));
        tokio::time::advance(PAUSE - Duration::from_millis(1)).await;
        assert!(pauses.is_paused(&of("one")));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!pauses.is_paused(&of("one")));
    }
}
