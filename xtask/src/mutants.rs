//! `cargo xtask mutants` breaks each rule of the refresh protocol, or each promise of the host, in turn, and names the
//! tests that notice it.

mod core_set;
mod host_mutant;
mod host_set;
mod mutant;
mod patch;
mod rules;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{progress, report};
use host_mutant::HostMutant;
use mutant::Mutant;
use rules::Rule;
use trial::{Outcome, Trial};

/// Break each rule or promise in turn, and name the tests that notice it.
///
/// A mutant is a patch that breaks one rule or promise. Each patch is applied to a copy of the source tree in cargo's
/// target folder. The copy is built and tested. Exit status 1 if a mutant survives, does not apply or does not build,
/// or if a test fails without a mutant.
///
/// --set core: the rules of the refresh protocol in docs/refresh.md, with the mutants in connector-core/mutants. For
/// each mutant, the core's tests are run. If all of them pass, the simulation is run, too. TIKTOK_SHOP_SIMULATION_SEEDS
/// sets the number of its runs for each policy.
///
/// --set host: promises of SECURITY.md, docs/ and the documentation of the host's code, with the mutants in
/// host-harness/mutants. For each mutant, only the tests that its patch names are run, and each of these tests must
/// fail. Some of the tests run on PostgreSQL. They need the address of a server in TIKTOK_SHOP_TEST_POSTGRES.
#[derive(Args, Debug)]
pub(crate) struct Mutants {
    /// The set of mutants to try.
    #[arg(long, value_enum, default_value_t = Set::Core)]
    set: Set,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
    /// Try only this mutant. May be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the rules or promises and their mutants, and try no mutant.
    #[arg(long, conflicts_with = "json")]
    list: bool,
    /// Build in this folder. If `cargo test` has already built in this folder, wasmtime is not compiled again.
    #[arg(long, value_name = "FOLDER")]
    target_folder: Option<PathBuf>,
}

/// A set of mutants.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Set {
    /// The rules of the refresh protocol. Takes some minutes.
    Core,
    /// The promises of the host. Takes some hours.
    Host,
}

impl Mutants {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.set {
            Set::Core => self.run_core(),
            Set::Host => self.run_host(),
        }
    }

    fn run_core(self) -> Result<ExitCode> {
        let rules = Rule::all()?;
        let mut mutants = self.chosen(Mutant::all()?, |mutant| &mutant.name)?;
        // The mutants are ordered by the first rule that each of them breaks.
        mutants.sort_by_key(|mutant| rules.iter().position(|rule| mutant.rules.first() == Some(&rule.name)));
        if self.list {
            report::print(&core_set::list(&rules, &mutants))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut trial = Trial::prepare(self.target_folder.as_deref())?;
        progress::say("Testing the source tree without a mutant ...");
        trial.baseline(core_set::run_tests)?;
        let tried = try_all(mutants, |mutant| &mutant.name, |mutant| trial.run(&mutant.path, core_set::run_tests))?;
        let tried: Vec<_> = tried.into_iter().map(|(mutant, outcome)| core_set::Tried { mutant, outcome }).collect();
        let killed = tried.iter().filter(|tried| tried.outcome.is_killed()).count();
        self.report(&core_set::object(&tried, killed), &core_set::text(&rules, &tried, killed))?;
        Ok(if killed == tried.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn run_host(self) -> Result<ExitCode> {
        let mutants = self.chosen(HostMutant::all()?, |mutant| &mutant.name)?;
        if self.list {
            report::print(&host_set::list(&mutants))?;
            return Ok(ExitCode::SUCCESS);
        }
        let tests = host_set::tests_of(&mutants);
        let postgres = host_set::postgres(&tests)?;
        let mut trial = Trial::prepare(self.target_folder.as_deref())?;
        progress::say(&format!("Running {} tests without a mutant ...", tests.len()));
        trial.baseline(|trial| host_set::run_tests(trial, &tests, postgres.as_deref()))?;
        let tried = try_all(
            mutants,
            |mutant| &mutant.name,
            |mutant| {
                let tests: Vec<_> = mutant.killers.iter().collect();
                let outcome =
                    trial.run(&mutant.path, |trial| host_set::run_tests(trial, &tests, postgres.as_deref()))?;
                Ok(host_set::verdict(mutant, outcome))
            },
        )?;
        let killed = tried.iter().filter(|(_, outcome)| outcome.is_killed()).count();
        self.report(&host_set::object(&tried, killed), &host_set::text(&tried, killed))?;
        Ok(if killed == tried.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Returns the mutants that the options select.
    fn chosen<M>(&self, mut mutants: Vec<M>, name: impl Fn(&M) -> &String) -> Result<Vec<M>> {
        if let Some(unknown) = self.only.iter().find(|only| mutants.iter().all(|mutant| name(mutant) != *only)) {
            bail!("there is no mutant {unknown}; --list names them");
        }
        mutants.retain(|mutant| self.only.is_empty() || self.only.contains(name(mutant)));
        Ok(mutants)
    }

    fn report(&self, object: &Value, text: &str) -> Result<()> {
        if self.json { report::print(&format!("{object:#}\n")) } else { report::print(text) }
    }
}

/// Tries each mutant, and prints the outcome of each mutant.
fn try_all<M>(
    mutants: Vec<M>,
    name: impl Fn(&M) -> &String,
    try_one: impl Fn(&M) -> Result<Outcome>,
) -> Result<Vec<(M, Outcome)>> {
    let count = mutants.len();
    let mut tried = Vec::with_capacity(count);
    for (number, mutant) in (1..).zip(mutants) {
        progress::say(&format!("[{number:>3}/{count}] {}", name(&mutant)));
        let outcome = try_one(&mutant)?;
        progress::say(&format!("          {}; failed tests: {}", outcome.name(), outcome.killers().len()));
        if let Outcome::DoesNotApply(problem) = &outcome {
            progress::say(problem);
        }
        tried.push((mutant, outcome));
    }
    Ok(tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_still_applies_to_the_tree() {
        let core = Mutant::all().unwrap().into_iter().map(|mutant| mutant.path);
        let host = HostMutant::all().unwrap().into_iter().map(|mutant| mutant.path);
        for path in core.chain(host) {
            let problem = trial::git_apply(xtask::workspace_root(), &path, &["--check"]).err();
            assert_eq!(problem.map(|problem| problem.to_string()), None, "{}", path.display());
        }
    }
}
