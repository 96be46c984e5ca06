//! `tests/fault-matrix.json`: what each operation makes of each fault of TikTok's hosts, one row for every pair.
//!
//! A test runs every row against the shipped component; `cargo xtask docs` prints them into `docs/errors.md`.

use std::fs;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One fault in one operation, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The operation, and which of its requests meets the fault.
    pub operation: String,
    /// Name of the fault.
    pub fault: String,
    /// The case of `error`, or `ok`.
    pub case: String,
    /// Seconds until the same call may be made again; of `retry-after` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The code of the error; after `ok` the one that the connection's row names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// HTTP status that goes with the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What TikTok's hosts were sent during the call, in order: `get`, `refresh`, `shops`.
    pub requests: String,
    /// What stands afterwards, with TikTok in order again.
    pub then: String,
}

/// Every row, in the order of the file.
///
/// # Errors
/// The file can't be read, or is not a list of rows.
pub fn fault_matrix() -> Result<Vec<Row>> {
    let path = crate::workspace_root().join("tests/fault-matrix.json");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}
