//! Runs tests on the mutants of the host, and reports the outcomes. Each mutant breaks a promise, and every test that
//! its patch names must notice it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::Artifact;
use serde_json::{Value, json};

use super::host_mutant::{HostMutant, Killer, Storage};
use super::trial::{Outcome, Trial};
use crate::{progress, report};

/// The variable with the address of a PostgreSQL server.
const POSTGRES: &str = "TIKTOK_SHOP_TEST_POSTGRES";
/// The variable that chooses the storage of the end-to-end tests.
const STORAGE: &str = "TIKTOK_SHOP_TEST_STORAGE";

/// Packages without a library, so they add no tests to a build with `--lib`. With them, cargo chooses the same features of
/// the dependencies as for the whole workspace. Otherwise it would compile wasmtime again for each set of packages.
const PROGRAMS: [&str; 4] = ["tiktok-shop-bench", "tiktok-shop-demo", "tiktok-shop-harness", "tiktok-shop-kill-points"];

/// Returns the tests that these mutants name. A test that several mutants name is returned only once.
pub(super) fn tests_of(mutants: &[HostMutant]) -> Vec<&Killer> {
    mutants.iter().flat_map(|mutant| &mutant.killers).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns the address of the PostgreSQL server, or `None` if no test needs a server.
///
/// # Errors
/// If a test needs a server, but the environment variable with its address is not set.
#[expect(clippy::disallowed_methods, reason = "the caller chooses the database of the tests")]
pub(super) fn postgres(tests: &[&Killer]) -> Result<Option<String>> {
    if tests.iter().all(|test| test.storage != Storage::Postgres) {
        return Ok(None);
    }
    let address = std::env::var(POSTGRES).ok().filter(|address| !address.is_empty());
    address.map(Some).with_context(|| format!("{POSTGRES} is not set; `.ci/postgres start FOLDER` prints an address"))
}

/// Builds and runs these tests. If a mutant is applied, the tests that fail are its killers.
pub(super) fn run_tests(trial: &Trial, tests: &[&Killer], postgres: Option<&str>) -> Result<Outcome> {
    let mut compilation = trial.compilation();
    // With the flags in the environment variable, the dependencies in the target folder would be compiled again.
    compilation.env_remove("RUSTFLAGS");
    let packages: BTreeSet<_> = tests.iter().map(|test| &*test.package).chain(PROGRAMS).collect();
    for package in packages {
        compilation.args(["--package", package]);
    }
    let targets: BTreeSet<_> = tests.iter().map(|test| &*test.target).collect();
    for target in targets {
        match target {
            "lib" => compilation.arg("--lib"),
            test => compilation.args(["--test", test]),
        };
    }
    let Ok(artifacts) = xtask::build(compilation, &|_| {}) else { return Ok(Outcome::DoesNotBuild) };
    let executables: BTreeMap<_, _> = artifacts.into_iter().filter_map(executable).collect();
    let mut killers = Vec::new();
    for test in tests {
        let wanted = (test.package.clone(), test.target.clone());
        let Some((executable, folder)) = executables.get(&wanted) else { bail!("there is no test target of {test}") };
        let mut command = xtask::program(executable);
        command
            .current_dir(folder)
            // The end-to-end tests build the component with cargo, in the same target folder.
            .env("CARGO_TARGET_DIR", &trial.target)
            .args(["--exact", &test.test]);
        match (test.storage, postgres) {
            (Storage::Own, _) => command.env_remove(STORAGE),
            (Storage::Sqlite, _) => command.env(STORAGE, "sqlite"),
            (Storage::Postgres, Some(address)) => command.env(STORAGE, address).env(POSTGRES, address),
            (Storage::Postgres, None) => bail!("no PostgreSQL for {test}"),
        };
        let (failed, printed) = trial.failed_tests(&mut command)?;
        if !printed.contains("\nrunning 1 test\n") {
            bail!("there is no test {test}");
        }
        if !failed.is_empty() {
            killers.push(test.to_string());
        }
    }
    Ok(if killers.is_empty() { Outcome::Survived } else { Outcome::Killed(killers) })
}

/// Returns the package and the test target of a test executable, its path, and the folder of its package.
fn executable(artifact: Artifact) -> Option<((String, String), (PathBuf, PathBuf))> {
    let executable = artifact.executable.filter(|_| artifact.profile.test)?;
    let target = if artifact.target.is_lib() { "lib".to_owned() } else { artifact.target.name };
    let folder = artifact.manifest_path.parent()?.to_owned();
    let package = package_name(&artifact.package_id.repr, folder.file_name()?);
    Some(((package, target), (executable.into(), folder.into())))
}

/// Returns the name of a package. Cargo leaves the name out of the id if it equals the name of the package's folder.
fn package_name(id: &str, folder: &str) -> String {
    let named = id.rsplit_once('#').and_then(|(_, end)| end.split_once('@'));
    named.map_or(folder, |(name, _)| name).to_owned()
}

/// Returns the outcome of a mutant. The mutant counts as killed only if every test that its patch names has failed.
pub(super) fn verdict(mutant: &HostMutant, outcome: Outcome) -> Outcome {
    let passed = |killers: &[String]| {
        mutant.killers.iter().map(ToString::to_string).filter(|killer| !killers.contains(killer)).collect::<Vec<_>>()
    };
    match outcome {
        Outcome::Killed(killers) if !passed(&killers).is_empty() => {
            progress::say(&format!("          passed, although it should fail: {}", passed(&killers).join(", ")));
            Outcome::Survived
        }
        outcome @ (Outcome::Killed(_) | Outcome::Survived | Outcome::DoesNotApply(_) | Outcome::DoesNotBuild) => {
            outcome
        }
    }
}

/// Formats the promises and their mutants.
pub(super) fn list(mutants: &[HostMutant]) -> String {
    let mut promises: BTreeMap<_, Vec<&HostMutant>> = BTreeMap::new();
    for mutant in mutants {
        promises.entry(&mutant.promise).or_default().push(mutant);
    }
    let mut text = String::new();
    for (promise, mutants) in promises {
        text.push_str(&format!("{}: {}\n", promise.file, promise.quotation));
        for mutant in mutants {
            text.push_str(&format!("    {}: {}\n", mutant.name, mutant.breaks));
        }
    }
    text
}

/// Formats a line for each mutant.
pub(super) fn text(tried: &[(HostMutant, Outcome)], killed: usize) -> String {
    let mut rows = vec![["mutant", "killed by"].map(str::to_owned)];
    for (mutant, outcome) in tried {
        let by = if outcome.is_killed() { outcome.killers().join(", ") } else { outcome.name().to_uppercase() };
        rows.push([mutant.name.clone(), by]);
    }
    format!("{}{killed} of {} mutants killed\n", report::aligned(&rows), tried.len())
}

/// Returns the outcomes as a JSON object, for programs.
pub(super) fn object(tried: &[(HostMutant, Outcome)], killed: usize) -> Value {
    let mutants = tried.iter().map(|(mutant, outcome)| {
        json!({
            "name": mutant.name,
            "promise": { "file": mutant.promise.file, "quotation": mutant.promise.quotation },
            "breaks": mutant.breaks,
            "outcome": outcome.name(),
            "killed_by": outcome.killers(),
        })
    });
    json!({ "killed": killed, "mutants": mutants.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_package_is_read_from_its_id() {
        assert_eq!(package_name("path+file:///w/host-harness/host#tiktok-shop-host@0.1.0", "host"), "tiktok-shop-host");
        assert_eq!(package_name("path+file:///w/xtask#0.1.0", "xtask"), "xtask");
    }
}
