//! Reads `tests/fault-matrix.json`, which lists the outcome of each fault of TikTok's network hosts in each operation.
//! The file has one row for each pair of an operation and a fault.
//!
//! The test `e2e fault_matrix` runs every row against the shipped component. `cargo xtask docs` prints the rows into
//! `docs/errors.md`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One fault in one operation, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The operation, and the kind of request that the fault affects. For example, `connect: shops` means that in a
    /// `connect`, the fault affects the request for the shops.
    pub operation: String,
    /// The name of the fault.
    pub fault: String,
    /// The case of the WIT's `error` that the operation returned. It is `ok` if the operation succeeded, and `answer`
    /// if `call` returned TikTok's error answer.
    pub case: String,
    /// The delay in seconds, if the case is `retry-after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The code of the error. If the case is `ok`, this is the code of the failure in the result, if there is one (the
    /// `last-failure` of the connection, or the failure of a shop that `disconnect` could not revoke). If the case is
    /// `answer`, this is TikTok's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The HTTP status that belongs to the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The requests that TikTok's network hosts received during the call, in order, for example `refresh shops`. The
    /// words are `get`, `refresh`, `shops`, `call` and `deauthorize`. A space stands between two words.
    pub requests: String,
    /// The state of the connection after the call, when TikTok's network hosts work without faults again.
    pub then: String,
}

/// Reads every row, in the order of the file.
///
/// # Errors
/// If the file can't be read or is not a list of rows.
pub fn fault_matrix() -> Result<Vec<Row>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("fault-matrix.json");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}
