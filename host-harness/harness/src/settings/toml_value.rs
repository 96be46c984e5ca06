//! Reads a value of the configuration file as a text or a table, and names its place in an error.

use toml::{Table, Value};

use super::configured_text::{Rule, cleaned};

/// Returns a value that is a text, without white space at its ends. `place` names the value in an error.
pub(super) fn text_of<'a>(value: &'a Value, place: &str, rule: Rule) -> Result<&'a str, String> {
    let text = value.as_str().ok_or_else(|| format!("{place}: not text"))?;
    cleaned(text, rule).map_err(|error| format!("{place}: {error}"))
}

/// Returns a value that is a table.
pub(super) fn table_of<'a>(value: &'a Value, place: &str) -> Result<&'a Table, String> {
    value.as_table().ok_or_else(|| format!("{place}: not a table"))
}

/// Returns the error for a member that is not known. `known` lists the known members.
pub(super) fn unknown(place: &str, known: &str) -> String {
    format!("{place}: unknown member; the known members are {known}")
}
