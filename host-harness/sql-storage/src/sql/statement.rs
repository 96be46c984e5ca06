//! Statements: their text, the values that they bind, how they run. A value is always bound, and never a part of
//! the text.

use std::fmt;

use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::storage::StorageError;

use super::text::escaped;

/// The highest number of values that one statement binds. For each value, SQLite searches the names of all values, so a
/// statement with more values is slow.
pub(crate) const MAX_VALUES: usize = 1_000;

/// A statement and the values that have been bound so far.
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(super) values: Vec<Value>,
    /// Whether the connection keeps the prepared statement.
    pub(super) is_kept: bool,
}

/// A value that a statement binds.
pub(crate) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Flag(bool),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

impl From<Option<i64>> for Value {
    fn from(integer: Option<i64>) -> Self {
        Self::Integer(integer)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Creates a statement. The text must not contain a value.
pub(crate) fn statement(sql: impl Into<String>) -> Statement {
    Statement { sql: sql.into(), values: Vec::new(), is_kept: true }
}

impl Statement {
    /// The connection forgets the prepared statement. A statement whose text depends on the number of its rows would
    /// otherwise be kept once for each number, and push the other statements out.
    #[cfg(feature = "service")]
    pub(crate) fn forgotten(self) -> Self {
        Self { is_kept: false, ..self }
    }

    /// Binds the next value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds a text. A column can't hold every character, so the text may be escaped.
    pub(crate) fn bind_text(self, text: &str) -> Self {
        self.bind_optional_text(Some(text))
    }

    pub(crate) fn bind_optional_text(self, text: Option<&str>) -> Self {
        self.bind(text.map(escaped))
    }

    pub(crate) fn bind_optional_integer(self, integer: Option<i64>) -> Self {
        self.bind(integer)
    }

    /// Binds customer and account, in this order.
    pub(crate) fn bind_key(self, key: &ConnectionKey) -> Self {
        self.bind_text(key.customer.as_str()).bind_text(key.account.as_str())
    }

    /// # Errors
    /// The number has more than 63 bits. A column has 64 bits, and one bit is the sign.
    pub(crate) fn bind_number(self, number: u64) -> Result<Self, StorageError> {
        self.bind_optional_number(Some(number))
    }

    /// # Errors
    /// See [`bind_number`](Self::bind_number).
    pub(crate) fn bind_optional_number(self, number: Option<u64>) -> Result<Self, StorageError> {
        let integer = number.map(i64::try_from).transpose();
        let integer = integer.map_err(|_| StorageError::Refused("a number has more than 63 bits".to_owned()))?;
        Ok(self.bind_optional_integer(integer))
    }

    /// # Errors
    /// See [`bind_number`](Self::bind_number).
    pub(crate) fn bind_seconds(self, at: UnixSeconds) -> Result<Self, StorageError> {
        self.bind_number(at.0)
    }

    /// # Errors
    /// See [`bind_number`](Self::bind_number).
    pub(crate) fn bind_optional_seconds(self, at: Option<UnixSeconds>) -> Result<Self, StorageError> {
        self.bind_optional_number(at.map(|at| at.0))
    }

    /// Binds a number that a statement uses in a comparison or as a limit. If the number has more than 63 bits, it is
    /// above every stored number, so the highest number of 63 bits is bound instead.
    pub(crate) fn bind_bound(self, bound: u64) -> Self {
        self.bind_optional_integer(Some(i64::try_from(bound).unwrap_or(i64::MAX)))
    }

    /// Binds the highest number of database rows that a statement may return.
    pub(crate) fn bind_limit(self, limit: usize) -> Self {
        self.bind_bound(u64::try_from(limit).unwrap_or(u64::MAX))
    }

    /// Binds the last entry that was read from a list: its time, tenant, customer and account. If `last` is `None`,
    /// binds values that come before every entry.
    ///
    /// # Errors
    /// See [`bind_number`](Self::bind_number).
    pub(crate) fn bind_position(
        self,
        last: Option<(UnixSeconds, &TenantId, &ConnectionKey)>,
    ) -> Result<Self, StorageError> {
        match last {
            Some((at, tenant, key)) => Ok(self.bind_seconds(at)?.bind_text(tenant.as_str()).bind_key(key)),
            None => Ok(self.bind_optional_integer(Some(-1)).bind_text("").bind_text("").bind_text("")),
        }
    }
}

/// Creates a statement and binds tenant, customer and account as `$1` to `$3`.
pub(crate) fn connection_statement(sql: impl Into<String>, tenant: &TenantId, key: &ConnectionKey) -> Statement {
    statement(sql).bind_text(tenant.as_str()).bind_key(key)
}

/// The tuples of an `INSERT` of several database rows. `Display` writes them with numbered parameters.
pub(crate) struct Tuples<'a> {
    /// The number of database rows.
    pub(crate) rows: usize,
    /// The number of parameters of each database row.
    pub(crate) parameters: usize,
    /// The number of the first parameter.
    pub(crate) first: usize,
    /// The text of the values that all database rows share. Each tuple begins with this text.
    pub(crate) shared: &'a str,
}

impl fmt::Display for Tuples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, parameters, first, shared } = *self;
        for row in 0..rows {
            let separator = if row == 0 { "" } else { ", " };
            write!(f, "{separator}({shared}, {})", numbered(first + row * parameters, parameters))?;
        }
        Ok(())
    }
}

/// Returns a list of `count` parameters that begins with the number `first`, for example `$4, $5, $6`.
pub(crate) fn numbered(first: usize, count: usize) -> String {
    let parameters: Vec<_> = (first..).take(count).map(|number| format!("${number}")).collect();
    parameters.join(", ")
}
