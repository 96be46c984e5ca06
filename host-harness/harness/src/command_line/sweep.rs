//! `sweep`: refreshes all that is due.

use std::io::{self, IsTerminal as _};
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::CallError;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::{Due, HostStorage};
use tiktok_shop_host::sweep::{Sweep, SweepError, Swept};
use tokio::signal::ctrl_c;

use super::failure::Failure;
use super::output::{BAD, GOOD, Report};
use super::settings::{Host, Setting};

/// Refresh all connections that are due, and give notice of those that end
#[derive(Args)]
#[command(name = "sweep", after_help = AFTER_HELP)]
pub(crate) struct SweepAll {
    /// Connections that are refreshed side by side, 1 to 100
    #[arg(long, value_name = "NUMBER", default_value = "16", value_parser = clap::value_parser!(u8).range(1..=100))]
    concurrency: u8,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
What a platform does every few minutes, for all tenants. The configuration file names the apps of
other tenants; a connection that could not be refreshed, as of a tenant without an app, is a line;
at the end stands what was done. --json prints a line for each connection. Ctrl-C lets what has
begun finish, then stops.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness sweep
  0 refreshed, 0 failed, notices: 0

  $ tiktok-shop-harness sweep --concurrency 4 --json
  {\"refreshed\":0,\"failed\":0,\"notices\":0,\"stopped\":false}

Exit status: 0 if all that was due is in order; 1 if a connection could not be refreshed; 16 if
the database fails; others: tiktok-shop-harness --help.";

/// Read at a time.
const PAGE: usize = 500;

#[derive(Serialize)]
struct Line<'a> {
    tenant: &'a str,
    customer: &'a str,
    account: &'a str,
    /// `refreshed`, or the failure's case.
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct SweptLine {
    refreshed: u64,
    failed: u64,
    notices: u64,
    stopped: bool,
}

impl SweepAll {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Host { host, stored, .. } = self.setting.open(report).await?;
        let now = stored.now();
        let concurrency = NonZeroUsize::new(self.concurrency.into()).unwrap_or(NonZeroUsize::MIN);
        // Counted for whoever watches.
        let due = if io::stderr().is_terminal() { count(&*stored.storage, now).await? } else { 0 };
        let bar = report.progress("Refreshing", due);
        let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(now, concurrency) };
        let stop = async {
            // Without it nothing but the end of the work stops it.
            if ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let swept = host
            .sweep(sweep, stop, |due, outcome| {
                bar.inc(1);
                tell(due, outcome.as_ref().err(), report);
            })
            .await;
        report.end_progress();
        let (swept, failure) = match swept {
            Ok(swept) => (swept, None),
            Err(SweepError { source, swept }) => (swept, Some(source)),
        };
        let Swept { refreshed, failed, notices, stopped } = swept;
        if failed > 0 {
            report.failed();
        }
        if report.is_json() {
            report.json(&SweptLine { refreshed, failed, notices, stopped });
        } else {
            report.styled(if failed > 0 { BAD } else { GOOD }, &swept.to_string());
        }
        report.tell();
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

/// How many connections are due.
async fn count(storage: &dyn HostStorage, now: UnixSeconds) -> Result<u64, Failure> {
    let (mut number, mut last): (u64, Option<Due>) = (0, None);
    loop {
        let page = storage.due(now, last.as_ref(), PAGE).await?;
        let Some(due) = page.last() else { return Ok(number) };
        last = Some(due.clone());
        number += page.len() as u64;
    }
}

fn tell(due: &Due, error: Option<&CallError>, report: &mut Report) {
    let Due { tenant, key, .. } = due;
    if report.is_json() {
        let told = error.map(|error| report.told(&error.clone().into()));
        report.json(&Line {
            tenant: tenant.as_str(),
            customer: key.customer.as_str(),
            account: key.account.as_str(),
            outcome: told.as_ref().map_or("refreshed", |told| told.case),
            why: told.map(|told| told.line()),
        });
        report.tell();
    } else if let Some(error) = error {
        let why = report.told(&error.clone().into()).line();
        report.styled(BAD, &format!("tenant {tenant}, customer {}, account {}: {why}", key.customer, key.account));
        report.tell();
    }
}
