//! `contract`: whether a database keeps the promises of a storage.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_storage_contract as contract;
use tiktok_shop_storage_contract::Outcome;

use super::failure::Failure;
use super::output::{BAD, GOOD, Report};
use super::settings::{Address, CONTRACT_STORAGE, variable};
use super::words::count;

/// Try every promise of a storage on a database
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Contract {
    /// sqlite:PATH, postgres:… or memory: [env: TIKTOK_SHOP_CONTRACT_STORAGE]
    #[arg(value_name = "ADDRESS", value_parser = Address::without_password)]
    address: Option<Address>,
}

const AFTER_HELP: &str = "\
Take an empty database: the checks write into it, and one that holds connections is refused. An
address with a password comes by the variable.

Example:

  $ tiktok-shop-harness contract memory:
  …

Exit status: 0 if every promise is kept; 1 if one is broken; 2 if the address is none or the
database holds connections; 3 if it cannot be opened.";

/// As many as are looked at to see whether a database is in use.
const MOST_KEYS: usize = 10_000;

#[derive(Serialize)]
struct Line<'a> {
    check: &'a str,
    promise: &'a str,
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    took_ms: u64,
}

impl Contract {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let address = match (self.address, variable(CONTRACT_STORAGE)?) {
            (Some(address), _) => address,
            (None, Some(text)) => {
                Address::parse(&text).map_err(|what| Failure::Malformed(format!("{CONTRACT_STORAGE}: {what}")))?
            }
            (None, None) => {
                return Err(Failure::Malformed(format!("which database? ADDRESS or {CONTRACT_STORAGE} names it")));
            }
        };
        let storage = address.open(Arc::new(SystemClock::new())).await?;
        if storage.key_uses(None, MOST_KEYS).await?.iter().any(|key| key.records > 0) {
            return Err(Failure::Malformed("this database holds connections: take an empty one".to_owned()));
        }
        let bar = report.progress("Checking", contract_tests::checks().count() as u64);
        let outcomes = contract_tests::run(storage, |outcome| {
            bar.inc(1);
            tell(outcome, report);
            report.tell();
        })
        .await
        .outcomes;
        report.end_progress();
        let broken = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count() as u64;
        if broken > 0 {
            report.failed();
        }
        if !report.is_json() {
            let checks = count(outcomes.len() as u64, "check", "checks");
            report.styled(if broken > 0 { BAD } else { GOOD }, &format!("{checks}, {broken} broken"));
        }
        Ok(())
    }
}

fn tell(outcome: &Outcome, report: &mut Report) {
    let Outcome { check, promise, failure, took } = outcome;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if report.is_json() {
        return report.json(&Line { check, promise, kept: failure.is_none(), failure: failure.as_deref(), took_ms });
    }
    let check = check.replace('_', " ");
    match failure {
        None => report.styled(GOOD, &format!("kept    {took_ms:>6} ms  {check}")),
        Some(failure) => {
            report.styled(BAD, &format!("broken  {took_ms:>6} ms  {check}"));
            report.detail("promise", anstyle::Style::new(), promise);
            report.detail("found", BAD, failure);
        }
    }
}
