//! `contract`: checks whether a database keeps the promises of a storage.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_sql_storage::OpenMode;
use tiktok_shop_storage_contract as contract;
use tiktok_shop_storage_contract::Outcome;

use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report, count};
use crate::settings::{Address, CONTRACT_STORAGE, file_access, variable};

/// Check whether a database keeps every promise of a storage
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Contract {
    /// Database: sqlite:PATH, postgres:… or memory: [env: TIKTOK_SHOP_CONTRACT_STORAGE]
    #[arg(value_name = "ADDRESS", value_parser = Address::without_password)]
    address: Option<Address>,

    /// Create the database if it does not exist
    #[arg(long)]
    create: bool,
}

const AFTER_HELP: &str = "\
Use an empty database, because the checks write into it. The command refuses a database that
contains connections. It creates a file or tables only with --create. If the address contains a
password, put it into the variable TIKTOK_SHOP_CONTRACT_STORAGE.

Example:

  $ tiktok-shop-harness contract memory:
  …

Exit status: 0 if every promise is kept; 1 if a promise is broken; 2 if the address is malformed or
the database contains connections; 3 if the database can't be opened.";

/// The maximum number of data keys that the command reads to find out whether the database contains connections.
const MAX_KEYS: usize = 10_000;

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
                return Err(Failure::Malformed(format!("no database named; give ADDRESS or set {CONTRACT_STORAGE}")));
            }
        };
        let mode = if self.create { OpenMode::Create } else { OpenMode::Existing };
        let storage = address.open(mode, file_access()?, Arc::new(SystemClock::new())).await?.storage;
        if storage.key_uses(None, MAX_KEYS).await?.iter().any(|key| key.records > 0) {
            return Err(Failure::Malformed("this database contains connections; use an empty one".to_owned()));
        }
        let bar = report.begin_progress("Checking", contract::checks().count() as u64);
        let stop = report.stop.clone();
        let checks = contract::run(storage, |outcome| {
            bar.inc(1);
            print(outcome, report);
            report.flush();
        });
        // The database was empty before the checks, so a signal may stop the checks at any point.
        let Some(contract::Report { outcomes, .. }) = stop.run_until_cancelled(checks).await else {
            return Err(Failure::Stopped("not every promise was checked".to_owned()));
        };
        report.end_progress();
        let broken = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count() as u64;
        if broken > 0 {
            report.set_refused();
        }
        if !report.is_json() {
            let checks = count(outcomes.len() as u64, "check", "checks");
            report.styled(if broken > 0 { BAD } else { GOOD }, &format!("{checks}, {broken} broken"));
        }
        Ok(())
    }
}

fn print(outcome: &Outcome, report: &mut Report) {
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
