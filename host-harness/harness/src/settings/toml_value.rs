//! Reads a value of the configuration file as a text or a table, and names its place in an error.

use toml::{Table, Value};

use super::configured_text::{InvalidText, Rule, cleaned};

/// Returns a value that is a text, without white space at its ends. `place` names the value in an error.
pub(super) fn text_of<'a>(value: &'a Value, place: &str, rule: Rule) -> Result<&'a str, String> {
    let text = value.as_str().ok_or_else(|| format!("{place}: not text; write it in quotes"))?;
    cleaned(text, rule).map_err(|error| match error {
        InvalidText::Empty => format!("{place}: empty; remove it, or give it a value"),
        InvalidText::Hidden { .. } | InvalidText::NotAscii { .. } | InvalidText::TooLongPath => {
            format!("{place}: {error}")
        }
    })
}

/// Returns a value that is a table.
pub(super) fn table_of<'a>(value: &'a Value, place: &str) -> Result<&'a Table, String> {
    value.as_table().ok_or_else(|| {
        // An item of a list has its number in brackets, as in `tenants.acme.apps[1]`.
        let heading = match place.split_once('[') {
            Some((list, _)) => format!("[[{list}]]"),
            None => format!("[{place}]"),
        };
        format!("{place}: not a table; write {heading} above its members")
    })
}

/// Returns the error for a member that is not known. `known` lists the known members.
pub(super) fn unknown(place: &str, known: &str) -> String {
    format!("{place}: there is no such member; correct or remove it; the members are {known}")
}
