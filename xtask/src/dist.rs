//! `cargo xtask dist` writes the component as shipped, and prints its size, SHA-256 and imports.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use xtask::{Checked, Component, Extern};

use crate::{check_imports, progress, report};

/// The largest allowed size of the component, in bytes. Raise this limit only for a good reason.
const MAX_BYTES: usize = 360_000;

/// Build the component as it is shipped and check its imports, exports and size.
///
/// Writes dist/tiktok_shop_connector.wasm in cargo's target folder, then prints size, SHA-256, compiler, imports and
/// exports. Two machines with the pinned compiler print the same SHA-256. Exit status 1 if the component does not fit
/// the world `plugin` of wit/world.wit or is larger than 360 000 bytes.
#[derive(Args, Debug)]
pub(crate) struct Dist {
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

impl Dist {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let packages = xtask::component_package_count();
        let component = progress::show("Building the component", packages, xtask::build_component)?;
        let mut checked = xtask::check(&component.bytes)?;
        if component.bytes.len() > MAX_BYTES {
            checked.problems.push(format!("it has {} bytes; at most {MAX_BYTES} are allowed", component.bytes.len()));
        }
        let report =
            if self.json { format!("{:#}\n", object(&component, &checked)) } else { text(&component, &checked) };
        report::print(&report)?;
        Ok(if checked.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(component: &Component, checked: &Checked) -> String {
    format!(
        "{}\n  size    {} bytes ({:.1} kB, limit {:.1} kB)\n  sha256  {}\n  rustc   {}\n  target  wasm32-unknown-unknown, {}\n{}{}",
        component.path.display(),
        component.bytes.len(),
        kilobytes(component.bytes.len()),
        kilobytes(MAX_BYTES),
        sha256(&component.bytes),
        component.rustc,
        component.target,
        check_imports::table(checked),
        check_imports::problems(checked),
    )
}

fn object(component: &Component, checked: &Checked) -> Value {
    json!({
        "path": component.path.display().to_string(),
        "bytes": component.bytes.len(),
        "bytes_limit": MAX_BYTES,
        "sha256": sha256(&component.bytes),
        "rustc": component.rustc,
        "target": component.target.to_string(),
        "imports": checked.imports.iter().map(extern_object).collect::<Vec<_>>(),
        "exports": checked.exports.iter().map(extern_object).collect::<Vec<_>>(),
        "problems": checked.problems,
    })
}

fn extern_object(item: &Extern) -> Value {
    json!({ "name": item.name, "version": item.version, "functions": item.functions })
}

fn kilobytes(bytes: usize) -> f64 {
    bytes as f64 / 1000.0
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_printed_as_hexadecimal_text() {
        // The digest of "abc" is an example in FIPS 180-4.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), expected);
    }
}
