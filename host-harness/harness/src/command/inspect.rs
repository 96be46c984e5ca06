//! `inspect`: describes a component, and checks whether this host can run it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::Style;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use serde::Serialize;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{BuildError, Component, ComponentDigest, ConnectorHost};
use tiktok_shop_private_file as private_file;
use wasmparser::{BinaryReaderError, Parser, Payload};

use crate::failure::{Failure, build_error_line};
use crate::input;
use crate::output::{BAD, GOOD, Report};
use crate::settings;

/// Describe a component, and check whether this host can run it
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Inspect {
    /// File of the component; its code is not run
    #[arg(value_parser = OsStringValueParser::new().try_map(settings::path))]
    component: PathBuf,
}

const AFTER_HELP: &str = "\
The command shows the size, the SHA-256, the imports and the exports. Compare the SHA-256 with the
one that cargo xtask dist prints. The same sources and compiler produce the same bytes.

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

Exit status: 0 if this host can run the component; 1 if not; 2 if the file can't be read.";

/// The description of a component.
#[derive(Serialize)]
struct Description {
    path: String,
    bytes: u64,
    /// `None` if the file is too large to be read.
    sha256: Option<String>,
    imports: Vec<String>,
    exports: Vec<String>,
    accepted: bool,
    /// The package and the version of an accepted component.
    plugin: Option<String>,
    why_not: Option<String>,
}

impl Inspect {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let description = describe(&self.component)?;
        if !description.accepted {
            report.set_refused();
        }
        if report.is_json() {
            report.json(&description);
            return Ok(());
        }
        let Description { bytes, sha256, imports, exports, plugin, why_not, .. } = description;
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

fn describe(path: &Path) -> Result<Description, Failure> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        Failure::Malformed(format!("component {name}: {}; name the file of a component", private_file::reason(&error)))
    };
    // Reading a pipe or a device could block forever.
    let found = path.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(Failure::Malformed(format!("component {name}: not a regular file; name the file of a component")));
    }
    let limit = Limits::default().component_bytes;
    let mut description = Description {
        path: name.clone(),
        bytes: found.len(),
        sha256: None,
        imports: Vec::new(),
        exports: Vec::new(),
        accepted: false,
        plugin: None,
        why_not: None,
    };
    if description.bytes > limit {
        description.why_not = Some(build_error_line(&BuildError::TooLarge { limit }));
        return Ok(description);
    }
    let bytes = input::bytes(File::open(path).map_err(unreadable)?, &name, limit)?;
    description.sha256 = Some(ComponentDigest::of(&bytes).to_string());
    // If the component is damaged, the lists end at the damage. The engine's error below says what is wrong.
    let _damaged = list_imports_and_exports(&bytes, &mut description);
    match build(bytes) {
        Ok(host) => (description.accepted, description.plugin) = (true, Some(host.plugin().to_string())),
        Err(error) => description.why_not = Some(build_error_line(&error)),
    }
    Ok(description)
}

/// Lists the imports and exports of the outermost component.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other section lists imports or exports")]
fn list_imports_and_exports(bytes: &[u8], description: &mut Description) -> Result<(), BinaryReaderError> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    description.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    description.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Builds a host with the component.
fn build(bytes: Vec<u8>) -> Result<ConnectorHost, BuildError> {
    let keys = HostKeys::draw().map_err(|error| BuildError::Engine(error.to_string()))?;
    ConnectorHost::builder()
        .component(Component::Bytes(bytes))
        .storage(Arc::new(MemoryStorage::new(Arc::new(SystemClock::new()))))
        .keys(Arc::new(keys))
        .credentials(Arc::new(StaticCredentials::new()))
        .build()
}
