//! The releases whose component and WIT package `tests/compatibility` keeps.
//!
//! `cargo xtask wit-compat` compares the present package with them. The tests run the kept components on the present host,
//! and the present component on a host that is made from the first kept package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use semver::Version;
use wit_component::WitPrinter;
use wit_parser::{PackageId, PackageName, Resolve};

use crate::compatibility::{Comparison, compare};
use crate::contract::Contract;
use crate::process::workspace_root;

/// The file of a kept release that contains its component.
const COMPONENT: &str = "tiktok_shop_connector.wasm";
/// The file of a kept release that contains its WIT package, together with the packages that it uses.
const PACKAGE: &str = "connector.wit";

/// A release whose component and WIT package are kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeptRelease {
    /// The version of the release's WIT package.
    pub version: Version,
    /// The folder of the release, in `tests/compatibility`.
    pub folder: PathBuf,
}

impl KeptRelease {
    /// Returns the path of the release's component.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        self.folder.join(COMPONENT)
    }

    /// Returns the path of the release's WIT package. The file also contains the packages of WASI that the package
    /// uses.
    #[must_use]
    pub fn package(&self) -> PathBuf {
        self.folder.join(PACKAGE)
    }
}

/// Returns the kept releases, the earliest first.
///
/// # Errors
/// If `tests/compatibility` can't be read.
pub fn kept_releases() -> Result<Vec<KeptRelease>> {
    let root = kept_root();
    let mut releases = Vec::new();
    for entry in fs::read_dir(&root).with_context(|| format!("can't read {}", root.display()))? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let (true, Ok(version)) = (folder.is_dir(), Version::parse(name)) {
            releases.push(KeptRelease { version, folder });
        }
    }
    releases.sort_by(|one, other| one.version.cmp(&other.version));
    Ok(releases)
}

/// Compares `wit/` with the package of each kept release of the same minor version (from 1.0 on: of the same major
/// version).
///
/// # Errors
/// If `wit/` or a kept package can't be read or parsed.
pub fn compare_with_kept_releases() -> Result<Vec<(KeptRelease, Comparison)>> {
    let present = read(&workspace_root().join("wit"))?;
    let is_compatible = |kept: &KeptRelease| {
        PackageName::version_compat_track(&kept.version) == PackageName::version_compat_track(&present.version)
    };
    let releases = kept_releases()?.into_iter().filter(is_compatible);
    releases
        .map(|release| {
            let kept = read(&release.package())?;
            ensure!(kept.version == release.version, "{} has another version", release.package().display());
            let comparison = compare(&kept, &present);
            Ok((release, comparison))
        })
        .collect()
}

/// Keeps a component and the present WIT package as the release of the package's version. Returns the release.
///
/// # Errors
/// If the release is kept already with other content and `replace` is false, or if a file can't be read or written.
pub fn keep_release(component: &[u8], replace: bool) -> Result<KeptRelease> {
    let (resolve, package) = parse(&workspace_root().join("wit"))?;
    let version = Contract::new(&resolve, package)?.version;
    let folder = kept_root().join(version.to_string());
    let release = KeptRelease { version, folder };
    let text = print(&resolve, package)?;
    for (path, content) in [(release.component(), component), (release.package(), text.as_bytes())] {
        let is_free = replace || fs::read(&path).map_or(true, |kept| kept == content);
        let name = path.display();
        ensure!(is_free, "{name} is kept already with other content; a release that was published must not change");
    }
    fs::create_dir_all(&release.folder)?;
    fs::write(release.component(), component)?;
    fs::write(release.package(), text)?;
    Ok(release)
}

fn kept_root() -> PathBuf {
    workspace_root().join("tests/compatibility")
}

/// Reads a package from a folder or a file.
fn read(path: &Path) -> Result<Contract> {
    let (resolve, package) = parse(path)?;
    Contract::new(&resolve, package)
}

fn parse(path: &Path) -> Result<(Resolve, PackageId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok((resolve, package))
}

/// Prints a package and all packages that it uses as one text, without documentation.
fn print(resolve: &Resolve, package: PackageId) -> Result<String> {
    let others: Vec<PackageId> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != package).collect();
    let mut printer = WitPrinter::default();
    printer.emit_docs(false).print(resolve, package, &others)?;
    Ok(printer.output.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::check_against;

    #[test]
    fn the_package_fits_the_kept_releases() {
        for (release, comparison) in compare_with_kept_releases().unwrap() {
            assert_eq!(comparison.problems, [""; 0], "compared with {}", release.version);
        }
    }

    #[test]
    fn each_kept_component_has_the_imports_and_exports_of_its_kept_package() {
        let releases = kept_releases().unwrap();
        assert!(!releases.is_empty());
        for release in releases {
            let (resolve, package) = parse(&release.package()).unwrap();
            let world = resolve.select_world(&[package], Some("plugin")).unwrap();
            let component = fs::read(release.component()).unwrap();
            let checked = check_against(&resolve, world, &component).unwrap();
            assert_eq!(checked.problems, [""; 0], "{}", release.version);
        }
    }

    #[test]
    fn a_package_that_was_printed_is_read_as_the_same_package() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(PACKAGE);
        let (resolve, package) = parse(&workspace_root().join("wit")).unwrap();
        fs::write(&file, print(&resolve, package).unwrap()).unwrap();
        let (printed, present) = (read(&file).unwrap(), Contract::new(&resolve, package).unwrap());
        assert_eq!(compare(&printed, &present), Comparison::default());
        assert_eq!(compare(&present, &printed), Comparison::default());
    }

    /// From 0.2 on, an item of the package says since which release it exists. A function or a type without such a line
    /// is as old as its interface.
    #[test]
    fn every_interface_and_world_of_the_package_states_since_when_it_exists() {
        let (resolve, package) = parse(&workspace_root().join("wit")).unwrap();
        let package = resolve.packages.get(package).unwrap();
        let interfaces =
            package.interfaces.iter().map(|(name, id)| (name, &resolve.interfaces.get(*id).unwrap().stability));
        let worlds = package.worlds.iter().map(|(name, id)| (name, &resolve.worlds.get(*id).unwrap().stability));
        let unstated = interfaces.chain(worlds).filter(|(_, stability)| !stability.is_stable());
        assert_eq!(unstated.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [""; 0]);
    }
}
