//! Makes sure that something on this machine compiles for `wasm32-unknown-unknown`.
//!
//! In this order: the active toolchain has the target; rustup adds it; a compiler whose standard library is here as
//! source builds it. The last one serves machines that reach a registry of crates and a distribution's packages, but
//! not the Rust project's downloads: a stable compiler does it under `RUSTC_BOOTSTRAP=1`, and cargo takes the few crates
//! below the standard library from there.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::semver::Version;

use crate::cargo::program;
use crate::toolchain::Toolchain;

/// The target of the shipped component.
pub(crate) const TRIPLE: &str = "wasm32-unknown-unknown";

/// A distribution's compiler: the second place to look for sources of the standard library.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// Where the standard library of the target comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It was there.
    Installed,
    /// `rustup target add` has just brought it.
    AddedByRustup,
    /// It is compiled from the sources in this folder.
    BuiltFromSources(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed => f.write_str("installed"),
            Self::AddedByRustup => f.write_str("added by rustup"),
            Self::BuiltFromSources(sources) => write!(f, "built from {}", sources.display()),
        }
    }
}

/// How to compile for the target.
#[derive(Debug)]
pub(crate) struct WasmTarget {
    pub(crate) origin: Origin,
    /// The compiler that does it.
    pub(crate) toolchain: Toolchain,
    /// The linker to name; none means the one that the compiler finds by itself.
    pub(crate) linker: Option<PathBuf>,
}

/// Finds or makes a way to compile for the target.
///
/// # Errors
/// If there is none; the error says what stood in each.
pub(crate) fn ensure() -> Result<WasmTarget> {
    let active = Toolchain::active()?;
    let minimum = minimum_release()?;
    let mut found = Found {
        std: active.has_std_for(TRIPLE),
        rustup: active.is_managed_by_rustup(),
        active_sources: active.has_std_sources(),
        system_sources: false,
    };
    let mut refusal = None;
    if next_step(found) == Step::AskRustup {
        refusal = ask_rustup().err();
        found.std = active.has_std_for(TRIPLE);
        found.rustup = false;
        if found.std {
            return Ok(WasmTarget { origin: Origin::AddedByRustup, toolchain: active, linker: None });
        }
    }
    let system = if found.std { None } else { Toolchain::ask(OsStr::new(SYSTEM_RUSTC)).ok() };
    found.system_sources =
        system.as_ref().is_some_and(|system| system.has_std_sources() && system.about.release >= minimum);

    let linker = active.rust_lld();
    match (next_step(found), system) {
        (Step::Use, _) => Ok(WasmTarget { origin: Origin::Installed, toolchain: active, linker: None }),
        (Step::BuildWithActive, _) => Ok(WasmTarget::from_sources(active, linker)),
        (Step::BuildWithSystem, Some(system)) => Ok(WasmTarget::from_sources(system, linker)),
        (_, system) => bail!("{}", explain(&active, refusal.as_ref(), system.as_ref(), &minimum)),
    }
}

impl WasmTarget {
    fn from_sources(toolchain: Toolchain, linker: Option<PathBuf>) -> Self {
        Self { origin: Origin::BuiltFromSources(toolchain.std_sources()), toolchain, linker }
    }
}

/// What the machine has.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The active toolchain's standard library for the target.
    std: bool,
    /// A rustup that looks after the active toolchain and has not been asked yet.
    rustup: bool,
    /// Sources of the standard library beside the active toolchain.
    active_sources: bool,
    /// The same beside a system's compiler that is new enough.
    system_sources: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Use,
    AskRustup,
    BuildWithActive,
    BuildWithSystem,
    GiveUp,
}

fn next_step(found: Found) -> Step {
    match found {
        Found { std: true, .. } => Step::Use,
        Found { rustup: true, .. } => Step::AskRustup,
        Found { active_sources: true, .. } => Step::BuildWithActive,
        Found { system_sources: true, .. } => Step::BuildWithSystem,
        Found { .. } => Step::GiveUp,
    }
}

fn ask_rustup() -> Result<()> {
    let output = program("rustup").args(["target", "add", TRIPLE]).output().context("can't start rustup")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The oldest compiler that the workspace's `Cargo.toml` allows.
fn minimum_release() -> Result<Version> {
    Ok(Version::parse(concat!(env!("CARGO_PKG_RUST_VERSION"), ".0"))?)
}

fn explain(
    active: &Toolchain,
    refusal: Option<&anyhow::Error>,
    system: Option<&Toolchain>,
    minimum: &Version,
) -> String {
    let rustup = match refusal {
        Some(refusal) => format!("failed: {refusal:#}"),
        None if active.is_managed_by_rustup() => "succeeded, but the target is not there".to_owned(),
        None => "not tried: the active toolchain is not one of rustup's".to_owned(),
    };
    let system = match system {
        None => "absent".to_owned(),
        Some(system) if system.has_std_sources() => {
            format!("{}, older than {minimum}", system.about.release)
        }
        Some(system) => format!("{}, without {}", system.about.release, system.std_sources().display()),
    };
    let (toolchain, sources) = (active.sysroot.display(), active.std_sources());
    let sources = sources.display();
    format!(
        "nothing here compiles for {TRIPLE}. One of these is enough:\n\
         - rustup adds the target to {toolchain}: `rustup target add {TRIPLE}` ({rustup})\n\
         - the sources of the active toolchain: `rustup component add rust-src` (no {sources})\n\
         - a system compiler with sources; on Debian: `apt-get install rustc-web rust-web-src` ({SYSTEM_RUSTC}: {system})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Found = Found { std: false, rustup: false, active_sources: false, system_sources: false };

    #[test]
    fn an_installed_target_is_used_whatever_else_there_is() {
        let everything = Found { std: true, rustup: true, active_sources: true, system_sources: true };
        assert_eq!(next_step(everything), Step::Use);
    }

    #[test]
    fn rustup_is_asked_before_anything_is_built() {
        let found = Found { rustup: true, active_sources: true, system_sources: true, ..NOTHING };
        assert_eq!(next_step(found), Step::AskRustup);
    }

    #[test]
    fn the_active_toolchains_sources_come_before_the_systems() {
        let found = Found { active_sources: true, system_sources: true, ..NOTHING };
        assert_eq!(next_step(found), Step::BuildWithActive);
        assert_eq!(next_step(Found { system_sources: true, ..NOTHING }), Step::BuildWithSystem);
    }

    #[test]
    fn with_nothing_there_is_no_way() {
        assert_eq!(next_step(NOTHING), Step::GiveUp);
    }

    #[test]
    fn the_workspace_names_its_oldest_compiler() {
        assert_eq!(minimum_release().unwrap(), Version::new(1, 95, 0));
    }
}
