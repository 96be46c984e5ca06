//! Builds the component: cargo compiles the module, `prune` removes the code that prints panics, and `wit-component`
//! turns the module into a component.
//!
//! The bytes of the component depend only on the sources, `Cargo.lock` and the compiler. Paths of this machine are
//! mapped to fixed names, `RUSTFLAGS` from the environment (for coverage or a native linker) are removed, and
//! incremental compilation is off.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow};
use cargo_metadata::camino::Utf8Path;
use wit_component::ComponentEncoder;

use crate::cargo::{self, BuildEvent};
use crate::process::workspace_root;
use crate::prune::{self, UnreadTexts};
use crate::toolchain::Toolchain;
use crate::wasm_target::{self, Origin, TRIPLE, WasmTarget};

/// A package of the workspace that becomes a component.
#[derive(Clone, Copy, Debug)]
struct Guest {
    package: &'static str,
    library: &'static str,
    /// The folder of the finished component, within cargo's target folder.
    folder: &'static str,
    /// The flags that shape the memory of a new instance.
    memory: &'static [&'static str],
    unread: UnreadTexts,
}

/// A new instance has 128 KiB of memory: a stack of 32 KiB, the data, and room for the values of a small call. So a small
/// call need not grow the memory, and the host can clear all of it after the call for little (`guest/engine.rs` in the
/// host). The deepest call uses 8 KiB of the stack; the compiler's default is 1 MiB. The stack lies at the lowest
/// addresses, so a stack that overflows is a trap.
const CONNECTOR: Guest = Guest {
    package: "tiktok-shop-connector",
    library: "tiktok_shop_connector",
    folder: "dist",
    memory: &["-Clink-arg=-zstack-size=32768", "-Clink-arg=--initial-memory=131072"],
    unread: UnreadTexts::Remove,
};
/// The guest that attacks its host. Only tests load it, so it is not in `dist`.
const HOSTILE_GUEST: Guest = Guest {
    package: "hostile-guest",
    library: "hostile_guest",
    folder: "test-guests",
    memory: &[],
    // It reports what it has reached with `Debug`.
    unread: UnreadTexts::Keep,
};

/// A component file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Component {
    /// The full path of the file. The file is in cargo's target folder: the connector is in the subfolder `dist`, under
    /// the name `tiktok_shop_connector.wasm`.
    pub path: PathBuf,
    /// The content of the file.
    pub bytes: Vec<u8>,
    /// The compiler's name and version, for example `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub rustc: String,
    /// The origin of the standard library for the wasm target.
    pub target: Origin,
}

/// Builds the connector, at most once per process, and returns its path.
///
/// Writes nothing if the build succeeds. Processes that build at the same time wait for each other, and none of them
/// reads a half-written file.
///
/// # Errors
/// If this machine can't compile for the wasm target, if the connector does not compile (the compiler's messages are
/// then on standard error), or if the result is not a component. Later calls return the error of the first call.
pub fn component() -> Result<PathBuf> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    build_once(&PATH, CONNECTOR)
}

/// Builds the hostile guest, in the same way as [`component`] builds the connector. Tests use this guest to attack the
/// host.
///
/// # Errors
/// As [`component`].
pub fn hostile_guest() -> Result<PathBuf> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    build_once(&PATH, HOSTILE_GUEST)
}

fn build_once(path: &OnceLock<Result<PathBuf, String>>, guest: Guest) -> Result<PathBuf> {
    path.get_or_init(|| match build(guest, &|_| {}) {
        Ok(component) => Ok(component.path),
        Err(error) => Err(format!("{error:#}")),
    })
    .clone()
    .map_err(|error| anyhow!(error))
}

/// Builds the connector and reports cargo's progress. Builds again at every call, unlike [`component`].
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
    // The lock is held until this function returns, because two processes must not run rustup or replace the file at
    // the same time.
    let lock = File::create(target_directory.join(".guest-lock"))?;
    lock.lock()?;

    let target = wasm_target::ensure()?;
    // `path_prefixes` lists the registries' folders, so they must exist before the compiler runs.
    cargo::fetch()?;
    let artifacts = cargo::build(compile(guest, &target, &target_directory)?, report)?;
    let module = artifacts
        .iter()
        .filter(|artifact| artifact.target.name == guest.library)
        .flat_map(|artifact| &artifact.filenames)
        .find(|file| file.extension() == Some("wasm"))
        .context("cargo names no WebAssembly module")?;

    let bytes = encode(&prune::prune(&fs::read(module)?, guest.unread)?)?;
    let path = folder.join(guest.library).with_extension("wasm");
    replace_file(path.as_std_path(), &bytes)?;
    Ok(Component { path: path.into(), bytes, rustc: target.toolchain.about.line, target: target.origin })
}

/// Returns the number of packages that [`build_component`] builds. A progress bar needs this number as its length.
///
/// Does not count the crates of the standard library. On a fresh machine, this function downloads the dependencies.
/// Cargo then shows its own progress on standard error.
///
/// # Errors
/// If cargo can't resolve the workspace, for example without a network.
pub fn component_package_count() -> Result<usize> {
    cargo::package_count(CONNECTOR.package, &[TRIPLE, &Toolchain::active()?.about.host])
}

/// Returns the cargo command that compiles the module.
fn compile(guest: Guest, target: &WasmTarget, target_directory: &Utf8Path) -> Result<Command> {
    let mut cargo = cargo::cargo();
    // The user's flags are meant for the native build, and would replace the flags below.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_INCREMENTAL", "0");
    cargo.args(["build", "--locked", "--package", guest.package, "--profile", "component", "--target", TRIPLE]);

    // This flag chooses the smaller of the two implementations in the crate `sha2`. Most requests hash little data, so
    // the smaller size matters more than speed.
    let mut flags = vec![toml_string(r#"--cfg=sha2_backend_soft="compact""#)];
    flags.extend(guest.memory.iter().map(|flag| toml_string(flag)));
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

/// Returns the folders of this machine whose paths could get into the module. For each folder, also returns the fixed
/// name that replaces its path. If several folders of the list contain a file, the compiler uses the last of these
/// folders.
fn path_prefixes(toolchain: &Toolchain, target_directory: &Utf8Path) -> Result<Vec<(PathBuf, String)>> {
    let home = cargo::home()?;
    let mut prefixes = vec![
        (workspace_root().to_owned(), "/workspace".to_owned()),
        (target_directory.into(), "/target".to_owned()),
        (home.clone(), "/cargo".to_owned()),
        // The Rust project's own builds of the standard library use this name.
        (toolchain.std_sources(), format!("/rustc/{}", toolchain.about.commit_hash)),
    ];
    // A registry's folder is named after the registry's address. The crates are the same from every registry, so all
    // registries get the same name.
    for registry in fs::read_dir(home.join("registry/src")).into_iter().flatten() {
        prefixes.push((registry?.path(), "/cargo/registry".to_owned()));
    }
    Ok(prefixes)
}

/// Turns a module into a validated component. The module describes its world in sections that `wit-bindgen` wrote.
fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map(|component| prune::without_names(&component))
        .map_err(|error| anyhow!("the module can't be encoded as a component: {error:#}"))
}

/// Replaces a file by a rename, so that a reader finds either the old file or the new file. Does nothing if the content
/// is the same.
fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let fresh = path.with_extension("wasm.new");
    fs::write(&fresh, bytes)?;
    fs::rename(&fresh, path).with_context(|| format!("can't write {}", path.display()))
}

/// Returns `text` as a TOML string. A JSON string is also a valid TOML string.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_the_same_content_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("component.wasm");
        replace_file(&path, b"one").unwrap();
        let first = fs::metadata(&path).unwrap().modified().unwrap();
        replace_file(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), first);
    }

    #[test]
    fn a_file_with_new_content_replaces_the_old_one_and_leaves_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("component.wasm");
        replace_file(&path, b"one").unwrap();
        replace_file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_toml_string_escapes_quotes_and_backslashes() {
        assert_eq!(toml_string(r#"C:\a "b""#), r#""C:\\a \"b\"""#);
    }

    #[test]
    fn a_module_without_a_world_is_a_component_that_imports_nothing() {
        let component = encode(b"\0asm\x01\0\0\0").unwrap();
        let checked = crate::check(&component).unwrap();
        assert_eq!((checked.imports, checked.exports), (vec![], vec![]));
    }
}
