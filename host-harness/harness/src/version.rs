//! `--version`: the versions of the program, of the component that it would run, and of the database schema.

use std::path::PathBuf;

use anstyle::Style;
use serde::Serialize;
use tiktok_shop_host::ComponentDigest;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_private_file as private_file;
use tiktok_shop_sql_storage::SqlStorage;

use crate::failure::Failure;
use crate::input;
use crate::output::Report;
use crate::settings::{COMPONENT, component_file, variable};

#[derive(Serialize)]
struct Line {
    version: &'static str,
    /// `null` if there is no component, or if the component can't be read.
    component: Option<ComponentLine>,
    /// The version of the schema that this release needs.
    schema: i64,
}

#[derive(Serialize)]
struct ComponentLine {
    path: String,
    sha256: String,
}

/// Prints the versions. A missing component is no error, because the program has a version without it.
pub(crate) fn print(report: &mut Report) -> Result<(), Failure> {
    let given = variable(COMPONENT)?.map(PathBuf::from);
    let component = component_file(given.as_deref()).and_then(|path| {
        let name = path.display().to_string();
        let bytes = input::bytes(private_file::open_regular(&path)?, &name, Limits::default().component_bytes)?;
        Ok(ComponentLine { path: name, sha256: ComponentDigest::of(&bytes).to_string() })
    });
    let (version, schema) = (env!("CARGO_PKG_VERSION"), SqlStorage::SCHEMA_VERSION);
    if report.is_json() {
        report.json(&Line { version, component: component.ok(), schema });
        return Ok(());
    }
    let plain = Style::new();
    report.line(&format!("tiktok-shop-harness {version}"));
    match component {
        Ok(ComponentLine { path, sha256 }) => {
            report.detail("wasm", plain, &path);
            report.detail("sha256", plain, &sha256);
        }
        Err(failure) => report.detail("wasm", plain, &failure.report().line()),
    }
    report.detail("schema", plain, &schema.to_string());
    Ok(())
}
