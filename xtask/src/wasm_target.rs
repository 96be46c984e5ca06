//! Makes sure that this machine can compile for `wasm32-unknown-unknown`.
//!
//! Tries three ways, in this order:
//!
//! 1. The active toolchain already has the target.
//! 2. rustup adds the target.
//! 3. A compiler with the sources of the standard library builds the standard library for the target.
//!
//! The third way is for machines that can reach a registry of crates and a distribution's packages, but not the Rust
//! project's downloads. A stable compiler can build the standard library if `RUSTC_BOOTSTRAP=1` is set. Cargo downloads
//! the few crates that the standard library depends on from the registry.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::semver::Version;

use crate::process::program;
use crate::toolchain::Toolchain;

/// The target of the shipped component.
pub(crate) const TRIPLE: &str = "wasm32-unknown-unknown";

/// The compiler of a Linux distribution. If the active toolchain has no sources of the standard library, this compiler
/// is used with its own sources.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// The origin of the standard library for the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The standard library was already installed.
    Installed,
    /// `rustup target add` has just installed the standard library.
    AddedByRustup,
    /// Cargo compiles the standard library from the sources in this folder.
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

/// A way to compile for the target.
#[derive(Debug)]
pub(crate) struct WasmTarget {
    pub(crate) origin: Origin,
    /// The compiler.
    pub(crate) toolchain: Toolchain,
    /// The linker. `None` if the compiler finds a linker by itself.
    pub(crate) linker: Option<PathBuf>,
}

/// Finds a way to compile for the target, and installs the target if needed.
///
/// # Errors
/// If none of the three ways works. For each way, the error says why it does not work.
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
    let system = if found.std { None } else { Toolchain::read(OsStr::new(SYSTEM_RUSTC)).ok() };
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

/// The facts about this machine that decide how it can compile for the target.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The active toolchain has the standard library for the target.
    std: bool,
    /// rustup installed the active toolchain and has not been asked for the target yet.
    rustup: bool,
    /// The active toolchain has the sources of the standard library.
    active_sources: bool,
    /// The system's compiler is new enough and has the sources of the standard library.
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

/// Returns the oldest compiler version that the workspace's `Cargo.toml` allows.
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
        None if active.is_managed_by_rustup() => "succeeded, but the target is still missing".to_owned(),
        None => "not tried, because rustup did not install the active toolchain".to_owned(),
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
        "this machine can't compile for {TRIPLE}. Do one of these:\n\
         - Let rustup add the target to {toolchain}: `rustup target add {TRIPLE}` ({rustup})\n\
         - Install the sources of the active toolchain: `rustup component add rust-src` ({sources} is missing)\n\
         - Install a system compiler with sources. On Debian: `apt-get install rustc-web rust-web-src` \
           ({SYSTEM_RUSTC}: {system})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Found = Found { std: false, rustup: false, active_sources: false, system_sources: false };

    #[test]
    fn an_installed_target_is_used_before_anything_else() {
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
    fn a_machine_that_has_nothing_gives_up() {
        assert_eq!(next_step(NOTHING), Step::GiveUp);
    }

    #[test]
    fn the_oldest_compiler_is_the_rust_version_of_the_workspace() {
        assert_eq!(minimum_release().unwrap(), Version::new(1, 95, 0));
    }
}
