//! `inspect`: what a component is, and whether this host runs it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{BuildError, Component, ConnectorHost};
use wasmparser::{BinaryReaderError, Parser, Payload};

use super::failure::{Failure, refusal};
use super::input;
use super::output::{BAD, GOOD, Report};

/// Look at a component: size, SHA-256, imports, exports; does this host run it?
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Inspect {
    /// A file; nothing of it is run
    component: PathBuf,
}

const AFTER_HELP: &str = "\
Compare the SHA-256 with what cargo xtask dist prints: the same sources and compiler make the same
bytes.

Examples:

  $ tiktok-shop-harness inspect target/dist/tiktok_shop_connector.wasm
  accepted: tiktok-shop:connector@0.1.0
      size    …
      sha256  …
      import  tiktok-shop:connector/types@0.1.0
  …
      export  tiktok-shop:connector/connector@0.1.0

  $ tiktok-shop-harness inspect README.md
  not accepted: not a component: …
  …

Exit status: 0 if this host runs it; 1 if not; 2 if the file cannot be read.";

/// What was seen of a component.
#[derive(Serialize)]
struct Seen {
    path: String,
    bytes: u64,
    /// Not of a file that is too large to be looked at.
    sha256: Option<String>,
    imports: Vec<String>,
    exports: Vec<String>,
    accepted: bool,
    /// Package and version.
    plugin: Option<String>,
    why_not: Option<String>,
}

impl Inspect {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let seen = look(&self.component)?;
        if !seen.accepted {
            report.failed();
        }
        if report.is_json() {
            report.json(&seen);
            return Ok(());
        }
        let Seen { bytes, sha256, imports, exports, plugin, why_not, .. } = seen;
        match (plugin, why_not) {
            (Some(plugin), _) => report.styled(GOOD, &format!("accepted: {plugin}")),
            (None, why_not) => report.styled(BAD, &format!("not accepted: {}", why_not.unwrap_or_default())),
        }
        let plain = Style::new();
        report.detail("size", plain, &format!("{bytes} bytes"));
        sha256.iter().for_each(|sha256| report.detail("sha256", plain, sha256));
        imports.iter().for_each(|import| report.detail("import", plain, import));
        exports.iter().for_each(|export| report.detail("export", plain, export));
        Ok(())
    }
}

fn look(path: &Path) -> Result<Seen, Failure> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| Failure::Malformed(format!("{name}: {error}"));
    // Whatever else it is, such as a pipe, could keep its reader waiting for ever.
    let found = path.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(Failure::Malformed(format!("{name}: not a regular file")));
    }
    let limit = Limits::default().component_bytes;
    let mut seen = Seen {
        path: name.clone(),
        bytes: found.len(),
        sha256: None,
        imports: Vec::new(),
        exports: Vec::new(),
        accepted: false,
        plugin: None,
        why_not: None,
    };
    if seen.bytes > limit {
        seen.why_not = Some(refusal(&BuildError::TooLarge { limit }));
        return Ok(seen);
    }
    let bytes = input::bytes(File::open(path).map_err(unreadable)?, &name, limit)?;
    seen.sha256 = Some(hex::encode(Sha256::digest(&bytes)));
    // What stands in front of a damaged part is listed; the engine says what is wrong.
    let _damaged = externs(&bytes, &mut seen);
    match accept(bytes) {
        Ok(host) => (seen.accepted, seen.plugin) = (true, Some(host.plugin().to_string())),
        Err(error) => seen.why_not = Some(refusal(&error)),
    }
    Ok(seen)
}

/// What the outermost component imports and exports.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
fn externs(bytes: &[u8], seen: &mut Seen) -> Result<(), BinaryReaderError> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    seen.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    seen.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn accept(bytes: Vec<u8>) -> Result<ConnectorHost, BuildError> {
    let keys = HostKeys::draw().map_err(|error| BuildError::Engine(error.to_string()))?;
    ConnectorHost::builder()
        .component(Component::Bytes(bytes))
        .storage(Arc::new(MemoryStorage::new(Arc::new(SystemClock::new()))))
        .keys(Arc::new(keys))
        .credentials(Arc::new(StaticCredentials::new()))
        .build()
}
