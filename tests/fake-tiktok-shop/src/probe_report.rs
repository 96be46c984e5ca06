//! Reads the report of `tiktok-shop-harness probe`, so that the fake behaves as TikTok Shop was seen to do.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::switches::Switches;

/// The member `format` of a report.
const FORMAT: &str = "tiktok-shop-probe";
/// The version of the report's form that this fake reads.
const VERSION: u64 = 1;
/// The maximum length of the file: 4 MiB.
const MAX_BYTES: u64 = 4 << 20;

/// The members of a report that the fake reads.
#[derive(Deserialize)]
struct Report {
    format: String,
    version: u64,
    switches: Value,
}

/// Reads the switches that a report names. Every other switch keeps its default.
///
/// # Errors
/// The file can't be read, it is not a report, or it names an unknown switch or value. The error is a text for people.
pub(crate) fn read(file: &Path) -> Result<Switches, String> {
    let named = |what: String| format!("{}: {what}", file.display());
    let length = fs::metadata(file).map_err(|error| named(error.to_string()))?.len();
    if length > MAX_BYTES {
        return Err(named("longer than 4 MiB, so it is not a report of the probe".to_owned()));
    }
    let text = fs::read(file).map_err(|error| named(error.to_string()))?;
    let report: Report =
        serde_json::from_slice(&text).map_err(|error| named(format!("not a report of the probe: {error}")))?;
    if report.format != FORMAT {
        return Err(named("not a report of the probe".to_owned()));
    }
    if report.version != VERSION {
        return Err(named(format!("a report of version {}; this fake reads version {VERSION}", report.version)));
    }
    Switches::default().merged(report.switches).map_err(named)
}
