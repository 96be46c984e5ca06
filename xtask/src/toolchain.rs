//! A Rust compiler on this machine and the files in its folders.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::semver::Version;

use crate::process::{program, variable};

/// A compiler and its own description of itself.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    /// The path of the compiler.
    pub(crate) rustc: PathBuf,
    /// The folder that holds the compiler's standard libraries.
    pub(crate) sysroot: PathBuf,
    pub(crate) about: About,
}

/// The output of `rustc -vV`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// The first line, for example `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub(crate) line: String,
    pub(crate) release: Version,
    /// The triple of the machine that the compiler runs on.
    pub(crate) host: String,
    /// The hash of the commit from which the compiler was built. `unknown` if the compiler was built without git.
    pub(crate) commit_hash: String,
}

impl Toolchain {
    /// Returns the compiler that cargo uses in this workspace.
    pub(crate) fn active() -> Result<Self> {
        Self::read(&variable("RUSTC").unwrap_or_else(|| "rustc".into()))
    }

    /// Runs the compiler `rustc` and reads its description.
    pub(crate) fn read(rustc: &OsStr) -> Result<Self> {
        let sysroot = output_of(rustc, &["--print", "sysroot"])?;
        let about = About::parse(&output_of(rustc, &["-vV"])?)?;
        Ok(Self { rustc: rustc.into(), sysroot: sysroot.trim().into(), about })
    }

    /// Checks whether the compiled standard library for `triple` is installed.
    pub(crate) fn has_std_for(&self, triple: &str) -> bool {
        let folder = self.sysroot.join("lib/rustlib").join(triple).join("lib");
        let Ok(entries) = folder.read_dir() else {
            return false;
        };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    }

    /// Checks whether rustup installed this toolchain. Only then can rustup add a target to it.
    pub(crate) fn is_managed_by_rustup(&self) -> bool {
        self.sysroot.join("lib/rustlib/multirust-channel-manifest.toml").is_file()
    }

    /// Returns the folder for the sources of the standard library (component `rust-src`, Debian's package
    /// `rust-web-src`).
    pub(crate) fn std_sources(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }

    /// Checks whether the sources of the standard library are installed.
    pub(crate) fn has_std_sources(&self) -> bool {
        self.std_sources().join("library/std/Cargo.toml").is_file()
    }

    /// Returns the linker for WebAssembly, or `None` if this toolchain has none. The toolchains of the Rust project
    /// include this linker. The toolchains of Linux distributions do not.
    pub(crate) fn rust_lld(&self) -> Option<PathBuf> {
        let linker = self.sysroot.join("lib/rustlib").join(&self.about.host).join("bin/rust-lld");
        linker.is_file().then_some(linker)
    }
}

impl About {
    fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .with_context(|| format!("`rustc -vV` names no {name}"))
        };
        Ok(Self {
            line: text.lines().next().unwrap_or_default().to_owned(),
            release: Version::parse(field("release")?)?,
            host: field("host")?.to_owned(),
            commit_hash: field("commit-hash")?.to_owned(),
        })
    }
}

fn output_of(rustc: &OsStr, arguments: &[&str]) -> Result<String> {
    let name = Path::new(rustc).display();
    let output = program(rustc).args(arguments).output().with_context(|| format!("can't start {name}"))?;
    if !output.status.success() {
        bail!("{name} {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\ncommit-hash: 59807616e\n\
                         commit-date: 2026-04-14\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 21.1\n";

    #[test]
    fn the_output_of_rustc_is_read() {
        let about = About::parse(ABOUT).unwrap();
        assert_eq!(about.line, "rustc 1.95.0 (59807616e 2026-04-14)");
        assert_eq!((about.release.major, about.release.minor), (1, 95));
        assert_eq!(about.host, "x86_64-unknown-linux-gnu");
        assert_eq!(about.commit_hash, "59807616e");
    }

    #[test]
    fn a_target_folder_without_the_standard_library_does_not_count_as_installed() {
        let sysroot = tempfile::tempdir().unwrap();
        let toolchain =
            Toolchain { rustc: "rustc".into(), sysroot: sysroot.path().into(), about: About::parse(ABOUT).unwrap() };
        let lib = sysroot.path().join("lib/rustlib/wasm32-unknown-unknown/lib");
        std::fs::create_dir_all(&lib).unwrap();
        std::fs::write(lib.join("libcore-0123.rlib"), "").unwrap();
        assert!(!toolchain.has_std_for("wasm32-unknown-unknown"));

        std::fs::write(lib.join("libstd-0123.rlib"), "").unwrap();
        assert!(toolchain.has_std_for("wasm32-unknown-unknown"));
        assert!(!toolchain.has_std_for("wasm32-wasip2"));
    }
}
