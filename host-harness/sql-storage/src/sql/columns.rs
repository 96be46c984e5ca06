//! Reads the columns of a database row. An error contains the name of the column, but nothing of its content.

use std::str::FromStr;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{Any, Decode, Row as _, Type};
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::storage::StorageError;

use super::text::unescaped;

/// Creates the error for a column with malformed content. This storage never writes such content, so another program
/// wrote it, or the disk is faulty.
pub(crate) fn malformed(column: &str) -> StorageError {
    StorageError::Refused(format!("the content of column {column} is malformed"))
}

/// Reads columns by their name.
pub(crate) trait Columns {
    /// Returns a value as the driver reads it. A text is still escaped.
    fn value<'r, T: Decode<'r, Any> + Type<Any>>(&'r self, column: &'static str) -> Result<T, StorageError>;

    fn optional_text(&self, column: &'static str) -> Result<Option<String>, StorageError> {
        let text: Option<String> = self.value(column)?;
        text.map(|text| unescaped(text).ok_or_else(|| malformed(column))).transpose()
    }

    fn text(&self, column: &'static str) -> Result<String, StorageError> {
        self.optional_text(column)?.ok_or_else(|| malformed(column))
    }

    fn id<T: TryFrom<String>>(&self, column: &'static str) -> Result<T, StorageError> {
        T::try_from(self.text(column)?).map_err(|_| malformed(column))
    }

    fn optional_id<T: TryFrom<String>>(&self, column: &'static str) -> Result<Option<T>, StorageError> {
        self.optional_text(column)?.map(|text| T::try_from(text).map_err(|_| malformed(column))).transpose()
    }

    /// Reads a JSON array of ids. Returns an empty list if the value is null.
    fn ids<T: TryFrom<String>>(&self, column: &'static str) -> Result<Vec<T>, StorageError> {
        let Some(array) = self.optional_text(column)? else { return Ok(Vec::new()) };
        let texts: Vec<String> = serde_json::from_str(&array).map_err(|_| malformed(column))?;
        // The columns that were aggregated hold escaped texts.
        let id = |text| unescaped(text).and_then(|text| T::try_from(text).ok()).ok_or_else(|| malformed(column));
        texts.into_iter().map(id).collect()
    }

    /// Reads a word, and returns the variant of the enum that has this word.
    fn word<T: FromStr>(&self, column: &'static str) -> Result<T, StorageError> {
        self.optional_word(column)?.ok_or_else(|| malformed(column))
    }

    fn optional_word<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StorageError> {
        let word = self.optional_text(column)?;
        word.map(|word| word.parse().map_err(|_| malformed(column))).transpose()
    }

    fn optional_number(&self, column: &'static str) -> Result<Option<u64>, StorageError> {
        let integer: Option<i64> = self.value(column)?;
        integer.map(|integer| u64::try_from(integer).map_err(|_| malformed(column))).transpose()
    }

    fn number(&self, column: &'static str) -> Result<u64, StorageError> {
        self.optional_number(column)?.ok_or_else(|| malformed(column))
    }

    fn optional_seconds(&self, column: &'static str) -> Result<Option<UnixSeconds>, StorageError> {
        Ok(self.optional_number(column)?.map(UnixSeconds))
    }

    fn seconds(&self, column: &'static str) -> Result<UnixSeconds, StorageError> {
        self.number(column).map(UnixSeconds)
    }

    /// Returns a boolean that the statement selects as 0 or 1.
    fn flag(&self, column: &'static str) -> Result<bool, StorageError> {
        Ok(self.number(column)? != 0)
    }

    fn optional_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, StorageError> {
        self.value(column)
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StorageError> {
        self.optional_bytes(column)?.ok_or_else(|| malformed(column))
    }

    /// Returns an age that the statement selects in milliseconds. If the value is null, the age is unknown, and the
    /// function returns [`Duration::MAX`]. If the value is negative, the server's clock was set back, and the function
    /// returns zero.
    fn age(&self, column: &'static str) -> Result<Duration, StorageError> {
        let ms: Option<i64> = self.value(column)?;
        Ok(ms.map_or(Duration::MAX, |ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default())))
    }

    /// Returns the key from the columns `customer` and `account`.
    fn key(&self) -> Result<ConnectionKey, StorageError> {
        Ok(ConnectionKey { customer: self.id("customer")?, account: self.id("account")? })
    }
}

impl Columns for AnyRow {
    fn value<'r, T: Decode<'r, Any> + Type<Any>>(&'r self, column: &'static str) -> Result<T, StorageError> {
        self.try_get(column).map_err(|_| malformed(column))
    }
}
