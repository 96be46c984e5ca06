//! A Rust compiler on this machine and what lies in its folders.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::semver::Version;

use crate::cargo::{program, variable};

/// A compiler, as it describes itself.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    /// The program to call.
    pub(crate) rustc: PathBuf,
    /// The folder that holds its standard libraries.
    pub(crate) sysroot: PathBuf,
    pub(crate) about: About,
}

/// What `rustc -vV` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// The first line, such as `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub(crate) line: String,
    pub(crate) release: Version,
    /// The triple of the machine it runs on.
    pub(crate) host: String,
    /// `unknown` for a compiler built without git.
    pub(crate) commit_hash: String,
}

impl Toolchain {
    /// The compiler that cargo uses in this workspace.
    pub(crate) fn active() -> Result<Self> {
        Self::ask(&variable("RUSTC").unwrap_or_else(|| "rustc".into()))
    }

    /// The compiler `rustc`, if it can be run.
    pub(crate) fn ask(rustc: &OsStr) -> Result<Self> {
        let sysroot = answer(rustc, &["--print", "sysroot"])?;
        let about = About::parse(&answer(rustc, &["-vV"])?)?;
        Ok(Self { rustc: rustc.into(), sysroot: sysroot.trim().into(), about })
    }

    /// Whether the standard library for `triple` is there, ready to link.
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

    /// Whether rustup looks after this toolchain, so that it could add a target to it.
    pub(crate) fn is_managed_by_rustup(&self) -> bool {
        self.sysroot.join("lib/rustlib/multirust-channel-manifest.toml").is_file()
    }

    /// Where the sources of the standard library stand (component `rust-src`, Debian's package `rust-web-src`).
    pub(crate) fn std_sources(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }

    /// Whether the sources of the standard library are there.
    pub(crate) fn has_std_sources(&self) -> bool {
        self.std_sources().join("library/std/Cargo.toml").is_file()
    }

    /// The linker for WebAssembly that comes with toolchains of the Rust project; distributions leave it out.
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

fn answer(rustc: &OsStr, arguments: &[&str]) -> Result<String> {
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
    fn a_compiler_describes_itself() {
        let about = About::parse(ABOUT).unwrap();
        assert_eq!(about.line, "rustc 1.95.0 (59807616e 2026-04-14)");
        assert_eq!((about.release.major, about.release.minor), (1, 95));
        assert_eq!(about.host, "x86_64-unknown-linux-gnu");
        assert_eq!(about.commit_hash, "59807616e");
    }

    #[test]
    fn a_target_without_its_standard_library_does_not_count() {
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
