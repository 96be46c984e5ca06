//! Builds the component: cargo compiles the module, `prune` takes out what can't be reached to any purpose, and
//! `wit-component` turns it into a component.
//!
//! The bytes depend on sources, `Cargo.lock` and compiler alone. Paths of this machine are mapped to fixed names,
//! `RUSTFLAGS` of the environment (coverage, a native linker) are kept out, and incremental compilation is off.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow};
use cargo_metadata::camino::Utf8Path;
use wit_component::ComponentEncoder;

use crate::cargo::{self, BuildEvent};
use crate::prune;
use crate::toolchain::Toolchain;
use crate::wasm_target::{self, Origin, TRIPLE, WasmTarget};

/// A package of the workspace that becomes a component.
#[derive(Clone, Copy, Debug)]
struct Guest {
    package: &'static str,
    library: &'static str,
    /// Where the component goes, in cargo's target folder.
    folder: &'static str,
}

const CONNECTOR: Guest = Guest { package: "tiktok-shop-connector", library: "tiktok_shop_connector", folder: "dist" };
/// Not for `dist`: tests alone load it.
const HOSTILE_GUEST: Guest = Guest { package: "hostile-guest", library: "hostile_guest", folder: "test-guests" };

/// A component as it stands on disk.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Component {
    /// In cargo's target folder; the connector is `dist/tiktok_shop_connector.wasm`.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// The compiler, such as `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub rustc: String,
    /// Where the standard library of the wasm target came from.
    pub target: Origin,
}

/// Builds the component, at most once per process, and returns its path.
///
/// Silent unless it fails. Processes that do this at the same time wait for each other and never meet half a file.
///
/// # Errors
/// If nothing here compiles for the wasm target, the connector does not compile (the compiler's messages have gone to
/// standard error then), or the result is not a component. Later calls get the first one's error.
pub fn component() -> Result<PathBuf> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&PATH, CONNECTOR)
}

/// Builds the guest that breaks the rules, for tests of the host, as [`component`] builds the connector.
///
/// # Errors
/// As [`component`].
pub fn hostile_guest() -> Result<PathBuf> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&PATH, HOSTILE_GUEST)
}

fn once(path: &OnceLock<Result<PathBuf, String>>, guest: Guest) -> Result<PathBuf> {
    path.get_or_init(|| match build(guest, &|_| {}) {
        Ok(component) => Ok(component.path),
        Err(error) => Err(format!("{error:#}")),
    })
    .clone()
    .map_err(|error| anyhow!(error))
}

/// Builds the component and reports cargo's progress; [`component`] without its memory.
///
/// # Errors
/// As [`component`].
pub fn build_component(report: &(dyn Fn(BuildEvent<'_>) + Sync)) -> Result<Component> {
    build(CONNECTOR, report)
}

fn build(guest: Guest, report: &(dyn Fn(BuildEvent<'_>) + Sync)) -> Result<Component> {
    let target_directory = cargo::target_directory()?;
    let folder = target_directory.join(guest.folder);
    fs::create_dir_all(&folder)?;
    // Held to the end: neither rustup nor the file in place is meant for two at a time.
    let lock = File::create(target_directory.join(".guest-lock"))?;
    lock.lock()?;

    let target = wasm_target::ensure()?;
    // The folders that are mapped to fixed names have to be there before the compiler runs.
    cargo::fetch()?;
    let artifacts = cargo::build(compile(guest, &target, &target_directory)?, report)?;
    let module = artifacts
        .iter()
        .filter(|artifact| artifact.target.name == guest.library)
        .flat_map(|artifact| &artifact.filenames)
        .find(|file| file.extension() == Some("wasm"))
        .context("cargo names no WebAssembly module")?;

    let bytes = encode(&prune::prune(&fs::read(module)?)?)?;
    let path = folder.join(guest.library).with_extension("wasm");
    put_in_place(path.as_std_path(), &bytes)?;
    Ok(Component { path: path.into(), bytes, rustc: target.toolchain.about.line, target: target.origin })
}

/// How many packages [`build_component`] passes through: the length of a progress bar.
///
/// Crates of the standard library are not counted. On a fresh machine this downloads the dependencies; cargo then shows
/// its own progress on standard error.
///
/// # Errors
/// If cargo can't resolve the workspace, for example without a network.
pub fn component_package_count() -> Result<usize> {
    cargo::package_count(CONNECTOR.package, &[TRIPLE, &Toolchain::active()?.about.host])
}

/// The cargo command that compiles the module.
fn compile(guest: Guest, target: &WasmTarget, target_directory: &Utf8Path) -> Result<Command> {
    let mut cargo = cargo::cargo();
    // These would replace the flags below, and they are meant for the outer, native build.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_INCREMENTAL", "0");
    cargo.args(["build", "--locked", "--package", guest.package, "--profile", "component", "--target", TRIPLE]);

    // The smaller of two implementations of SHA-256; a request hashes some hundred bytes.
    let mut flags = vec![toml_string(r#"--cfg=sha2_backend_soft="compact""#)];
    flags.extend(
        path_prefixes(&target.toolchain, target_directory)?
            .into_iter()
            .map(|(prefix, name)| toml_string(&format!("--remap-path-prefix={}={name}", prefix.display()))),
    );
    cargo.args(["--config", &format!("target.{TRIPLE}.rustflags=[{}]", flags.join(","))]);

    if let Origin::BuiltFromSources(_) = target.origin {
        cargo.env("RUSTC", &target.toolchain.rustc).env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
        if let Some(linker) = &target.linker {
            let linker = toml_string(&linker.display().to_string());
            cargo.args(["--config", &format!("target.{TRIPLE}.linker={linker}")]);
        }
    }
    Ok(cargo)
}

/// Folders of this machine that could stand in the module, and what stands there instead. The last match wins.
fn path_prefixes(toolchain: &Toolchain, target_directory: &Utf8Path) -> Result<Vec<(PathBuf, String)>> {
    let home = cargo::home()?;
    let mut prefixes = vec![
        (cargo::workspace_root().to_owned(), "/workspace".to_owned()),
        (target_directory.into(), "/target".to_owned()),
        (home.clone(), "/cargo".to_owned()),
        // The name that the Rust project's own builds of the standard library use.
        (toolchain.std_sources(), format!("/rustc/{}", toolchain.about.commit_hash)),
    ];
    // A crate is the same from whichever registry it came; the folder is named after the registry's address.
    for registry in fs::read_dir(home.join("registry/src")).into_iter().flatten() {
        prefixes.push((registry?.path(), "/cargo/registry".to_owned()));
    }
    Ok(prefixes)
}

/// A module with the sections that `wit-bindgen` left in it becomes a validated component.
fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map(|component| prune::without_names(&component))
        .map_err(|error| anyhow!("the module can't be encoded as a component: {error:#}"))
}

/// Writes by rename, so that a reader meets the old file or the new one; leaves an equal file alone.
fn put_in_place(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let fresh = path.with_extension("wasm.new");
    fs::write(&fresh, bytes)?;
    fs::rename(&fresh, path).with_context(|| format!("can't write {}", path.display()))
}

/// A basic string of TOML. A JSON string is one.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("component.wasm");
        put_in_place(&path, b"one").unwrap();
        let first = fs::metadata(&path).unwrap().modified().unwrap();
        put_in_place(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), first);
    }

    #[test]
    fn a_new_file_takes_the_place_of_the_old_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("component.wasm");
        put_in_place(&path, b"one").unwrap();
        put_in_place(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_path_with_quotes_and_backslashes_survives_cargos_configuration() {
        assert_eq!(toml_string(r#"C:\a "b""#), r#""C:\\a \"b\"""#);
    }

    #[test]
    fn a_module_without_a_world_is_a_component_that_imports_nothing() {
        let component = encode(b"\0asm\x01\0\0\0").unwrap();
        let checked = crate::check(&component).unwrap();
        assert_eq!((checked.imports, checked.exports), (vec![], vec![]));
    }
}
