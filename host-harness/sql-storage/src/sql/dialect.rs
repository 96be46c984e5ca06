//! The differences between SQLite and PostgreSQL in the text of statements: how a table keeps a moment, and how the
//! time since this moment is computed.
//!
//! PostgreSQL keeps a moment as a time of the server's clock. SQLite keeps it as the id of a boot and the time since
//! that boot: see [`MachineClock`].

use std::sync::Arc;

use tiktok_shop_host::storage::StorageError;

use super::statement::Statement;
use crate::clock::MachineClock;

/// The kind of database, and the clock that measures time in it.
#[derive(Clone)]
pub(crate) enum Dialect {
    Sqlite(Arc<dyn MachineClock>),
    Postgres,
}

/// A moment that a table keeps. The names of its columns begin with the word that `as_str` returns.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    /// When a token record was written.
    Written,
    /// When a consent or an install began.
    Begun,
}

impl Moment {
    fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Begun => "begun",
        }
    }
}

impl Dialect {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// Returns the expression for a parameter that is JSON text. The parameter is bound as text. The column keeps the
    /// text as it is.
    pub(crate) fn json(&self, parameter: usize) -> String {
        match self {
            Self::Sqlite(_) => format!("${parameter}"),
            Self::Postgres => format!("CAST(${parameter} AS JSON)"),
        }
    }

    /// Returns the aggregate function that makes a JSON array of a text column, in this order. If there is nothing to
    /// aggregate, its value is null or an empty array.
    pub(crate) fn json_array(&self, column: &str, order: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("json_group_array({column} ORDER BY {order})"),
            Self::Postgres => format!("CAST(json_agg({column} ORDER BY {order}) AS TEXT)"),
        }
    }

    /// Returns the names of the columns that keep a moment.
    pub(crate) fn columns(&self, moment: Moment) -> String {
        let word = moment.as_str();
        match self {
            Self::Sqlite(_) => format!("{word}_boot, {word}_ms"),
            Self::Postgres => format!("{word}_at"),
        }
    }

    /// Returns the expressions for the current time. A statement writes their values into the columns from
    /// [`columns`](Self::columns). `first` is the number of the first free parameter. [`bind_now`](Self::bind_now)
    /// binds the parameters.
    pub(crate) fn now(&self, first: usize) -> String {
        match self {
            Self::Sqlite(_) => format!("${first}, ${}", first + 1),
            Self::Postgres => "clock_timestamp()".to_owned(),
        }
    }

    /// Returns the expression for the time since a moment, in milliseconds. With SQLite, the value of the expression is
    /// null if the moment was before the latest boot. The expression has the same parameters as [`now`](Self::now).
    pub(crate) fn age(&self, moment: Moment, first: usize) -> String {
        let word = moment.as_str();
        match self {
            Self::Sqlite(_) => format!("CASE WHEN {word}_boot = ${first} THEN ${} - {word}_ms END", first + 1),
            Self::Postgres => {
                format!("CAST(EXTRACT(EPOCH FROM clock_timestamp() - {word}_at) * 1000 AS BIGINT)")
            }
        }
    }

    /// Binds the parameters of [`now`](Self::now) and [`age`](Self::age).
    pub(crate) fn bind_now(&self, query: Statement) -> Result<Statement, StorageError> {
        match self {
            Self::Sqlite(clock) => {
                let ms = i64::try_from(clock.since_boot().as_millis()).map_err(|_| {
                    StorageError::Unavailable("the machine's clock shows a time that no column can hold".to_owned())
                })?;
                Ok(query.bind(clock.boot().to_owned()).bind(ms))
            }
            Self::Postgres => Ok(query),
        }
    }
}
