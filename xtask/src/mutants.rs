//! `cargo xtask mutants`: breaks each rule of the refresh protocol in turn, and names the tests that fail because of it

mod mutant;
mod rules;
mod trial;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::{progress, report};
use mutant::Mutant;
use rules::Rule;
use trial::{Outcome, Trial};

/// Break each rule of the refresh protocol in turn, and name the tests that fail because of it.
///
/// docs/refresh.md states the rules. connector-core/mutants holds the mutants: patches that each break a rule. Each
/// patch is applied to a copy of the source tree in cargo's target folder. The copy is built and tested with the core's
/// tests. If all these tests pass, the copy is also tested with the simulation (TIKTOK_SHOP_SIMULATION_SEEDS sets the
/// runs for each policy). Exit status 1 if a mutant survives, does not apply or does not build, or if a test fails
/// without a mutant.
#[derive(Args, Debug)]
pub(crate) struct Mutants {
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
    /// Try only this mutant. May be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the rules and their mutants, and try no mutant.
    #[arg(long, conflicts_with = "json")]
    list: bool,
}

/// A mutant and its outcome.
struct Tried {
    mutant: Mutant,
    outcome: Outcome,
}

impl Mutants {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let rules = Rule::all()?;
        let mutants = self.chosen(&rules)?;
        if self.list {
            report::print(&list(&rules, &mutants))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut trial = Trial::prepare()?;
        progress::say("Testing the source tree without a mutant ...");
        trial.baseline()?;

        let count = mutants.len();
        let mut tried = Vec::with_capacity(count);
        for (number, mutant) in (1..).zip(mutants) {
            progress::say(&format!("[{number:>3}/{count}] {}", mutant.name));
            let outcome = trial.run(&mutant)?;
            progress::say(&format!("          {}; failed tests: {}", outcome.name(), outcome.killers().len()));
            if let Outcome::DoesNotApply(problem) = &outcome {
                progress::say(problem);
            }
            tried.push(Tried { mutant, outcome });
        }
        let killed = tried.iter().filter(|tried| matches!(tried.outcome, Outcome::Killed { .. })).count();
        let report = if self.json { format!("{:#}\n", object(&tried, killed)) } else { text(&rules, &tried, killed) };
        report::print(&report)?;
        Ok(if killed == count { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Returns the mutants that the options select, ordered by the first rule that each mutant breaks.
    fn chosen(&self, rules: &[Rule]) -> Result<Vec<Mutant>> {
        let mut mutants = Mutant::all()?;
        if let Some(unknown) = self.only.iter().find(|name| mutants.iter().all(|mutant| mutant.name != **name)) {
            bail!("there is no mutant {unknown}; --list names them");
        }
        mutants.retain(|mutant| self.only.is_empty() || self.only.contains(&mutant.name));
        mutants.sort_by_key(|mutant| rules.iter().position(|rule| mutant.rules.first() == Some(&rule.name)));
        Ok(mutants)
    }
}

fn list(rules: &[Rule], mutants: &[Mutant]) -> String {
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
fn text(rules: &[Rule], tried: &[Tried], killed: usize) -> String {
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

fn object(tried: &[Tried], killed: usize) -> Value {
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
    fn every_mutant_still_applies_to_the_tree() {
        for mutant in Mutant::all().unwrap() {
            let problem = trial::git_apply(xtask::workspace_root(), &mutant.path, &["--check"]).err();
            assert_eq!(problem.map(|problem| problem.to_string()), None, "{}", mutant.name);
        }
    }

    #[test]
    fn every_mutant_names_a_rule_and_every_rule_has_a_mutant() {
        let rules: BTreeSet<_> = Rule::all().unwrap().into_iter().map(|rule| rule.name).collect();
        let named: BTreeSet<_> = Mutant::all().unwrap().into_iter().flat_map(|mutant| mutant.rules).collect();
        assert_eq!(named, rules);
    }
}
