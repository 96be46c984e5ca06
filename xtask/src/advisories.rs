//! `cargo xtask advisories` compares `Cargo.lock` with a snapshot of the RustSec advisory database. The snapshot is a
//! file of this repository, so the comparison needs no network.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use jiff::civil::Date;
use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::report;

/// The snapshot's path in the workspace.
const SNAPSHOT: &str = ".ci/advisories.tsv";

/// The snapshot is too old if `Cargo.lock` changed more than this many days after the snapshot was taken.
const MAX_AGE_DAYS: i32 = 30;

/// The exit status if the snapshot is too old to be trusted and names no affected package.
const TOO_OLD: u8 = 3;

const HEADER: &str = "\
# Advisories about crates: the crate, the id, the date, the versions that are not affected. Facts from the RustSec
# database (github.com/rustsec/advisory-db), without its texts. Written by `cargo xtask advisories --update FOLDER`.
";

/// Compare Cargo.lock with the snapshot of the RustSec database in .ci/advisories.tsv. Needs no network.
///
/// Exit status 1 if a package of Cargo.lock has an advisory. Exit status 3 if no package has an advisory, but the
/// snapshot is more than 30 days older than the last change of Cargo.lock. In this case, take a new snapshot with
/// --update.
#[derive(Args, Debug)]
pub(crate) struct Advisories {
    /// First write a new snapshot. FOLDER is a checkout of github.com/rustsec/advisory-db.
    #[arg(long, value_name = "FOLDER")]
    update: Option<PathBuf>,
}

/// The facts of one advisory.
#[derive(Debug, PartialEq, Eq)]
struct Advisory {
    package: String,
    id: String,
    date: String,
    /// The versions with a fix and the versions that never had the fault.
    not_affected: Vec<VersionReq>,
}

/// The content of the snapshot.
struct Snapshot {
    /// When the newest commit of the database was made.
    taken: Date,
    advisories: Vec<Advisory>,
}

impl Advisories {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let path = xtask::workspace_root().join(SNAPSHOT);
        if let Some(database) = self.update {
            let taken = commit_date(&database, None)?;
            let snapshot = Snapshot { taken, advisories: read_database(&database)? };
            fs::write(&path, snapshot.to_text()).with_context(|| path.display().to_string())?;
            report::print(&format!("{SNAPSHOT}: {} advisories until {taken}\n", snapshot.advisories.len()))?;
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let snapshot = Snapshot::parse(&text)?;
        let packages = locked_packages(&fs::read_to_string(xtask::workspace_root().join("Cargo.lock"))?)?;
        let affected = snapshot.affected(&packages);
        if !affected.is_empty() {
            report::print(&format!(
                "Update these packages, or state in {SNAPSHOT} which versions are safe:\n{affected}"
            ))?;
            return Ok(ExitCode::FAILURE);
        }
        let changed = commit_date(xtask::workspace_root(), Some("Cargo.lock"))?;
        let days = snapshot.taken.until(changed)?.get_days();
        if days > MAX_AGE_DAYS {
            report::print(&format!(
                "No package has an advisory of {} or earlier. Cargo.lock changed {days} days later, on {changed}, so \
                 newer advisories are unknown.\nTake a new snapshot: cargo xtask advisories --update FOLDER, with a \
                 checkout of github.com/rustsec/advisory-db in FOLDER\n",
                snapshot.taken
            ))?;
            return Ok(ExitCode::from(TOO_OLD));
        }
        report::print(&format!("{} packages, no advisory until {}\n", packages.len(), snapshot.taken))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Snapshot {
    fn parse(text: &str) -> Result<Self> {
        let mut taken = None;
        let mut advisories = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')) {
            if let Some(date) = line.strip_prefix("taken\t") {
                taken = Some(date.parse().with_context(|| format!("{SNAPSHOT}:{number}: not a date"))?);
                continue;
            }
            let &[package, id, date, versions] = line.split('\t').collect::<Vec<_>>().as_slice() else {
                bail!("{SNAPSHOT}:{number}: not four columns");
            };
            let not_affected = versions.split(" | ").filter(|range| !range.is_empty()).map(VersionReq::parse);
            advisories.push(Advisory {
                package: package.to_owned(),
                id: id.to_owned(),
                date: date.to_owned(),
                not_affected: not_affected
                    .collect::<Result<_, _>>()
                    .with_context(|| format!("{SNAPSHOT}:{number}: not a range of versions"))?,
            });
        }
        Ok(Self { taken: taken.with_context(|| format!("{SNAPSHOT}: no date of the snapshot"))?, advisories })
    }

    fn to_text(&self) -> String {
        let mut text = format!("{HEADER}taken\t{}\n", self.taken);
        for Advisory { package, id, date, not_affected } in &self.advisories {
            let ranges: Vec<_> = not_affected.iter().map(ToString::to_string).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{package}\t{id}\t{date}\t{}", ranges.join(" | "));
        }
        text
    }

    /// Returns one line for each package that has an advisory. If a package has several advisories, it has several
    /// lines.
    fn affected(&self, packages: &[(String, Version)]) -> String {
        let mut lines = String::new();
        for (name, version) in packages {
            for advisory in self.advisories.iter().filter(|advisory| advisory.package == *name) {
                if !advisory.not_affected.iter().any(|range| range.matches(version)) {
                    // Writing to a string cannot fail.
                    let _ = writeln!(lines, "  {name} {version}: {} of {}", advisory.id, advisory.date);
                }
            }
        }
        lines
    }
}

/// Reads a `Cargo.lock`. Returns the packages that come from a registry.
fn locked_packages(lock: &str) -> Result<Vec<(String, Version)>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: Version,
        source: Option<String>,
    }
    let lock: Lock = toml::from_str(lock).context("Cargo.lock")?;
    let packages = lock.package.into_iter().filter(|package| package.source.is_some());
    Ok(packages.map(|package| (package.name, package.version)).collect())
}

/// Reads the advisories in a checkout of the database. Each advisory is one file, which begins with a block of TOML.
fn read_database(folder: &Path) -> Result<Vec<Advisory>> {
    let mut advisories = Vec::new();
    let crates = folder.join("crates");
    for package in fs::read_dir(&crates).with_context(|| crates.display().to_string())? {
        for file in fs::read_dir(package?.path())? {
            let path = file?.path();
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            advisories.extend(read_advisory(&text).with_context(|| path.display().to_string())?);
        }
    }
    ensure!(!advisories.is_empty(), "{} contains no advisory", crates.display());
    advisories.sort_by(|a, b| (&a.package, &a.id).cmp(&(&b.package, &b.id)));
    Ok(advisories)
}

/// Reads one advisory. Returns `None` if the advisory was withdrawn.
fn read_advisory(text: &str) -> Result<Option<Advisory>> {
    #[derive(Deserialize)]
    struct File {
        advisory: Head,
        versions: Versions,
    }
    #[derive(Deserialize)]
    struct Head {
        id: String,
        package: String,
        date: String,
        withdrawn: Option<String>,
    }
    #[derive(Deserialize)]
    struct Versions {
        patched: Vec<VersionReq>,
        #[serde(default)]
        unaffected: Vec<VersionReq>,
    }
    let toml = text.split("```").nth(1).and_then(|block| block.strip_prefix("toml")).context("no block of TOML")?;
    let File { advisory, versions } = toml::from_str(toml)?;
    let not_affected = versions.patched.into_iter().chain(versions.unaffected).collect();
    let Head { id, package, date, withdrawn } = advisory;
    Ok(withdrawn.is_none().then_some(Advisory { package, id, date, not_affected }))
}

/// Returns the date of the newest commit of a git repository, or of the newest commit that changes one file.
fn commit_date(repository: &Path, file: Option<&str>) -> Result<Date> {
    let mut git = xtask::program("git");
    git.arg("-C").arg(repository).args(["log", "-1", "--format=%cs", "--"]).args(file);
    let output = git.output().context("can't start git")?;
    let date = String::from_utf8_lossy(&output.stdout);
    date.trim().parse().with_context(|| {
        format!("git knows no commit in {}: {}", repository.display(), String::from_utf8_lossy(&output.stderr))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "```toml\n[advisory]\nid = \"RUSTSEC-2026-0001\"\npackage = \"tar\"\ndate = \"2026-01-02\"\n\
                        [versions]\npatched = [\">= 1.4.2\", \">= 1.2.9, < 1.3.0\"]\nunaffected = [\"< 1.0.0\"]\n```\n# Title\n";

    fn snapshot() -> Snapshot {
        Snapshot { taken: "2026-02-03".parse().unwrap(), advisories: vec![read_advisory(FILE).unwrap().unwrap()] }
    }

    fn affected(version: &str) -> String {
        snapshot()
            .affected(&[("other".to_owned(), Version::new(1, 0, 0)), ("tar".to_owned(), version.parse().unwrap())])
    }

    #[test]
    fn versions_without_a_fix_are_affected() {
        assert_eq!(affected("1.4.1"), "  tar 1.4.1: RUSTSEC-2026-0001 of 2026-01-02\n");
        assert_eq!(affected("1.3.0"), "  tar 1.3.0: RUSTSEC-2026-0001 of 2026-01-02\n");
        for safe in ["0.9.0", "1.2.9", "1.4.2", "2.0.0"] {
            assert_eq!(affected(safe), "");
        }
    }

    #[test]
    fn an_advisory_without_a_fix_affects_every_version() {
        let file = FILE.replace("\">= 1.4.2\", \">= 1.2.9, < 1.3.0\"", "").replace("unaffected = [\"< 1.0.0\"]\n", "");
        let none = Snapshot { advisories: vec![read_advisory(&file).unwrap().unwrap()], ..snapshot() };
        let packages = [("tar".to_owned(), Version::new(9, 0, 0))];
        assert_eq!(none.affected(&packages), "  tar 9.0.0: RUSTSEC-2026-0001 of 2026-01-02\n");
    }

    #[test]
    fn a_withdrawn_advisory_is_left_out() {
        let file = FILE.replace("[versions]", "withdrawn = \"2026-01-09\"\n[versions]");
        assert_eq!(read_advisory(&file).unwrap(), None);
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        let read = Snapshot::parse(&snapshot().to_text()).unwrap();
        assert_eq!((read.taken, read.advisories), (snapshot().taken, snapshot().advisories));
    }

    #[test]
    fn a_line_that_is_no_advisory_is_refused() {
        let text = format!("{}tar\tRUSTSEC-2026-0001\n", snapshot().to_text());
        let error = Snapshot::parse(&text).err().unwrap().to_string();
        assert_eq!(error, format!("{SNAPSHOT}:5: not four columns"));
    }

    #[test]
    fn only_packages_of_a_registry_are_compared() {
        let lock = "[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\n\
                    [[package]]\nname = \"tar\"\nversion = \"1.4.1\"\nsource = \"registry+x\"\n";
        assert_eq!(locked_packages(lock).unwrap(), [("tar".to_owned(), Version::new(1, 4, 1))]);
    }
}
