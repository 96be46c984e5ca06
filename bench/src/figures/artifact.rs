//! The size of the component.

use std::io::Write as _;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Context, Outcome};
use crate::figure::Measured;

pub(super) const KEYS: [&str; 2] = ["artifact_bytes", "artifact_gzip_bytes"];

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    let bytes = std::fs::read(&context.component)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let [plain, compressed] = KEYS;
    let size = |key, bytes: usize| Measured::of_value(key, bytes as f64, "");
    Ok(vec![size(plain, bytes.len()), size(compressed, gzip.finish()?.len())].into())
}
