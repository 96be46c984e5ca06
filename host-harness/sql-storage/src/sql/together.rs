//! Writes that happen together or not at all, in one round trip to the database.
//!
//! The first write has a condition. If the condition does not hold, no write changes anything. PostgreSQL runs all writes
//! as one statement: each of the other writes is a common table expression that looks whether the first write has
//! returned a row. SQLite has no such expressions, so it runs a script that begins and commits a transaction. In the
//! script, each of the other writes checks a condition of its own.

use tiktok_shop_host::storage::StorageError;

use super::dialect::Dialect;
use super::run::{Written, fetch_together};
use super::statement::{Statement, statement};
use crate::pool::Pool;

/// Writes that happen together or not at all.
pub(crate) struct Together {
    is_script: bool,
    first: String,
    before: Vec<String>,
    after: Vec<String>,
    /// A condition for a write that runs before the first one. It holds if the first write is going to write.
    pub(crate) will_write: String,
    /// A condition for a write that runs after the first one. It holds if the first write has written. In SQLite, it may
    /// also hold if the same write was made before. So the write that has this condition must change nothing if it is
    /// repeated.
    pub(crate) has_written: String,
    /// The values of all writes. The same parameter means the same value in each of them.
    values: Statement,
}

impl Together {
    /// Begins with the first write, which returns one row if it writes, and none otherwise. The conditions are those of
    /// the fields with the same names, as SQLite checks them.
    pub(crate) fn new(dialect: &Dialect, first: Statement, will_write: String, has_written: String) -> Self {
        let Statement { sql: first, values, .. } = first;
        let is_script = matches!(dialect, Dialect::Sqlite(_));
        let [will_write, has_written] = [will_write, has_written]
            .map(|condition| if is_script { condition } else { "EXISTS (SELECT 1 FROM written)".to_owned() });
        let values = Statement { values, ..statement("") };
        Self { is_script, first, before: Vec::new(), after: Vec::new(), will_write, has_written, values }
    }

    /// Returns the number of the parameter for the value that is bound next.
    pub(crate) fn next_parameter(&self) -> usize {
        1 + self.values.values.len()
    }

    /// Binds the values of the write that was added last or is added next.
    pub(crate) fn bind(
        &mut self,
        bind: impl FnOnce(Statement) -> Result<Statement, StorageError>,
    ) -> Result<(), StorageError> {
        let bound = std::mem::replace(&mut self.values, statement(""));
        self.values = bind(bound)?;
        Ok(())
    }

    /// Adds a write that does not need the first one. In PostgreSQL, later writes can read its returned rows from the
    /// table expression `name`.
    pub(crate) fn add_before(&mut self, name: &str, write: String) {
        self.before.push(if self.is_script { write } else { format!("{name} AS ({write})") });
    }

    /// Adds a write that needs the database row of the first one. `name` is used as in [`add_before`](Self::add_before).
    pub(crate) fn add_after(&mut self, name: &str, write: String) {
        self.after.push(if self.is_script { write } else { format!("{name} AS ({write})") });
    }

    /// Runs the writes, and returns whether they have written. If they would break a foreign key, they change nothing,
    /// and this function returns false.
    pub(crate) async fn run(self, on: &Pool) -> Result<bool, StorageError> {
        let Self { is_script, first, before, after, values: Statement { values, .. }, .. } = self;
        let sql = if is_script {
            let steps = before.into_iter().chain([first]).chain(after);
            format!("BEGIN IMMEDIATE; {}; COMMIT", steps.collect::<Vec<_>>().join("; "))
        } else {
            let steps = [format!("written AS ({first})")].into_iter().chain(before).chain(after);
            format!("WITH {} SELECT 1 FROM written", steps.collect::<Vec<_>>().join(", "))
        };
        match fetch_together(on, Statement { values, ..statement(sql) }).await? {
            Written::Rows(rows) => Ok(rows > 0),
            Written::ForeignKeyBroken(_) => Ok(false),
        }
    }
}
