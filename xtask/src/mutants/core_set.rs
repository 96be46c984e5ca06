//! Runs the core's tests on the mutants of the core, and reports the outcomes. Each mutant breaks a rule of the refresh
//! protocol, and at least one test must notice it.

use anyhow::Result;
use serde_json::{Value, json};

use super::mutant::Mutant;
use super::rules::Rule;
use super::trial::{Outcome, Trial};
use crate::report;

const PACKAGE: &str = "tiktok-shop-connector-core";
const PACKAGE_FOLDER: &str = "connector-core";

/// The tests, in the order in which they run. After a suite has failed, no further suite runs.
const SUITES: [Suite; 2] = [
    // The two skipped modules are slow. They only check that secrets do not leak; they do not check the rules.
    Suite { targets: &["--lib", "--test", "core"], skipped: &["compile_fail::", "free_text::"] },
    Suite { targets: &["--test", "simulation"], skipped: &[] },
];

struct Suite {
    targets: &'static [&'static str],
    skipped: &'static [&'static str],
}

/// A mutant and its outcome.
pub(super) struct Tried {
    pub(super) mutant: Mutant,
    pub(super) outcome: Outcome,
}

/// Runs the core's tests.
pub(super) fn run_tests(trial: &Trial) -> Result<Outcome> {
    for suite in &SUITES {
        let mut compilation = trial.compilation();
        // A mutant may leave code unused, which is only a warning.
        compilation.args(["--package", PACKAGE]).args(suite.targets).env("RUSTFLAGS", "--cap-lints=warn");
        let Ok(artifacts) = xtask::build(compilation, &|_| {}) else {
            return Ok(Outcome::DoesNotBuild);
        };
        let mut failed = Vec::new();
        for executable in artifacts.into_iter().filter_map(|artifact| artifact.executable) {
            let mut command = xtask::program(&executable);
            command
                .current_dir(trial.tree.join(PACKAGE_FOLDER))
                .env_remove("TIKTOK_SHOP_SIMULATION_SEED")
                .args(suite.skipped.iter().flat_map(|name| ["--skip", name]));
            failed.extend(trial.failed_tests(&mut command)?.0);
        }
        if !failed.is_empty() {
            failed.sort();
            return Ok(Outcome::Killed(failed));
        }
    }
    Ok(Outcome::Survived)
}

/// Formats the rules and their mutants.
pub(super) fn list(rules: &[Rule], mutants: &[Mutant]) -> String {
    let mut text = String::new();
    for rule in rules {
        text.push_str(&format!("{}  {}\n", rule.name, rule.says));
        for mutant in mutants.iter().filter(|mutant| mutant.rules.contains(&rule.name)) {
            text.push_str(&format!("    {}: {}\n", mutant.name, mutant.breaks));
        }
    }
    text
}

/// Formats a line for each pair of rule and mutant. A mutant that breaks two rules has two lines.
pub(super) fn text(rules: &[Rule], tried: &[Tried], killed: usize) -> String {
    let mut rows = vec![["rule", "mutant", "killed by"].map(str::to_owned)];
    for rule in rules {
        for Tried { mutant, outcome } in tried.iter().filter(|tried| tried.mutant.rules.contains(&rule.name)) {
            let by = match (most_specific(outcome, tried), outcome.killers().len()) {
                (None, _) => outcome.name().to_uppercase(),
                (Some(test), 1) => test.to_owned(),
                (Some(test), failed) => format!("{test} (+{})", failed - 1),
            };
            rows.push([rule.name.clone(), mutant.name.clone(), by]);
        }
    }
    format!("{}{killed} of {} mutants killed\n", report::aligned(&rows), tried.len())
}

/// Returns the test that shows the broken rule best: among the tests that killed the mutant, the test that killed the
/// fewest mutants in all.
fn most_specific<'a>(outcome: &'a Outcome, tried: &[Tried]) -> Option<&'a str> {
    let victims = |test: &String| tried.iter().filter(|other| other.outcome.killers().contains(test)).count();
    outcome.killers().iter().min_by_key(|test| victims(test)).map(String::as_str)
}

/// Returns the outcomes as a JSON object, for programs.
pub(super) fn object(tried: &[Tried], killed: usize) -> Value {
    let mutants = tried.iter().map(|Tried { mutant, outcome }| {
        json!({
            "name": mutant.name,
            "rules": mutant.rules,
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
    use std::collections::BTreeSet;

    #[test]
    fn every_mutant_names_a_rule_and_every_rule_has_a_mutant() {
        let rules: BTreeSet<_> = Rule::all().unwrap().into_iter().map(|rule| rule.name).collect();
        let named: BTreeSet<_> = Mutant::all().unwrap().into_iter().flat_map(|mutant| mutant.rules).collect();
        assert_eq!(named, rules);
    }
}
