//! Reads the report of `tiktok-shop-harness probe`, so that the fake behaves as TikTok Shop was seen to do.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::file_error::reason;
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
    let unreadable =
        |error: io::Error| named(format!("{}; name the file probe.json of a probe with --as", reason(&error)));
    let other = |what: &str| named(format!("{what}; name the file probe.json that the command probe has written"));
    let length = fs::metadata(file).map_err(unreadable)?.len();
    if length > MAX_BYTES {
        return Err(other("longer than 4 MiB, so it is not a report of the probe"));
    }
    let text = fs::read(file).map_err(unreadable)?;
    let report: Report =
        serde_json::from_slice(&text).map_err(|error| other(&format!("not a report of the probe: {error}")))?;
    if report.format != FORMAT {
        return Err(other("not a report of the probe"));
    }
    if report.version != VERSION {
        return Err(named(format!(
            "a report of version {}, and this fake reads version {VERSION}; use the fake of the release whose probe \
             wrote the report, or run the probe of this release again",
            report.version
        )));
    }
    let refused = |error| {
        named(format!(
            "{error}; use the fake of the release whose probe wrote the report, or remove this switch from the file"
        ))
    };
    Switches::default().merged(report.switches).map_err(refused)
}
