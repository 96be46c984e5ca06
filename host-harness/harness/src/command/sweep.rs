//! `sweep`: refreshes all due connections.

use std::io::{self, IsTerminal as _};
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::CallError;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::refresh::{RefreshEffect, Refreshed};
use tiktok_shop_host::storage::{Due, HostStorage};
use tiktok_shop_host::sweep::{Sweep, SweepError, Swept};
use tokio::signal::ctrl_c;

use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report};
use crate::settings::{AllTenants, HostArgs, OpenedHost};

/// Refresh all due connections, and write notices about expiring authorizations
#[derive(Args)]
#[command(name = "sweep", after_help = AFTER_HELP)]
pub(crate) struct SweepConnections {
    /// Number of concurrent refreshes, 1 to 100
    #[arg(long, value_name = "NUMBER", default_value = "16", value_parser = clap::value_parser!(u8).range(1..=100))]
    concurrency: u8,

    #[command(flatten)]
    settings: HostArgs<AllTenants>,
}

const AFTER_HELP: &str = "\
A platform should sweep every few minutes. The sweep covers all tenants, and takes their apps from
the configuration file. So there is no option --tenant, and TIKTOK_SHOP_TENANT only names the tenant
whose app is in the environment. The command prints a line for each connection that could not be
refreshed, for example because its tenant has no app. At the end it prints a summary. With --json,
it also prints a line for each refreshed connection. After Ctrl-C, the sweep finishes the refreshes
that have begun, and then stops.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness sweep
  0 refreshed, 0 failed, notices: 0

  $ tiktok-shop-harness sweep --concurrency 4 --json
  {\"refreshed\":0,\"waiting\":0,\"failed\":0,\"notices\":0,\"stopped\":false}

The summary counts a connection as waiting if nothing was sent for it, for example because another
process is refreshing it. If connections wait in every sweep, compare this machine's clock with the
clock of the database.

Exit status: 0 if every due connection was refreshed or is waiting; 1 if one could not be refreshed;
16 if the database fails; for others see tiktok-shop-harness --help.";

/// The maximum number of due connections that the command reads from the storage in one call.
const PAGE: usize = 500;

#[derive(Serialize)]
struct Line<'a> {
    tenant: &'a str,
    customer: &'a str,
    account: &'a str,
    /// `refreshed` or `nothing-sent` if the call succeeded. If the call failed, the case of its error, such as
    /// `retry-after`.
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct SweptLine {
    refreshed: u64,
    waiting: u64,
    failed: u64,
    notices: u64,
    stopped: bool,
}

impl SweepConnections {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let OpenedHost { host, opened, .. } = self.settings.open(report).await?;
        let now = opened.now();
        let concurrency = NonZeroUsize::new(self.concurrency.into()).unwrap_or(NonZeroUsize::MIN);
        // Only the progress bar needs this number, and the bar is shown only on a terminal.
        let due = if io::stderr().is_terminal() { count_due(&*opened.storage, now).await? } else { 0 };
        let bar = report.begin_progress("Refreshing", due);
        let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(now, concurrency) };
        let stop = async {
            // If Ctrl-C can't be received, the sweep runs to its end.
            if ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let swept = host
            .sweep(sweep, stop, |due, outcome| {
                bar.inc(1);
                print(due, outcome, report);
            })
            .await;
        report.end_progress();
        let (swept, failure) = match swept {
            Ok(swept) => (swept, None),
            Err(SweepError { source, swept }) => (swept, Some(source)),
        };
        let Swept { refreshed, waiting, failed, notices, stopped } = swept;
        if failed > 0 {
            report.set_refused();
        }
        if report.is_json() {
            report.json(&SweptLine { refreshed, waiting, failed, notices, stopped });
        } else {
            report.styled(if failed > 0 { BAD } else { GOOD }, &swept.to_string());
        }
        report.flush();
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

/// Counts the due connections.
async fn count_due(storage: &dyn HostStorage, now: UnixSeconds) -> Result<u64, Failure> {
    let (mut number, mut last): (u64, Option<Due>) = (0, None);
    loop {
        let page = storage.due(now, last.as_ref(), PAGE).await?;
        let Some(due) = page.last() else { return Ok(number) };
        last = Some(due.clone());
        number += page.len() as u64;
    }
}

fn print(due: &Due, outcome: &Result<Refreshed, CallError>, report: &mut Report) {
    let Due { tenant, key, .. } = due;
    if report.is_json() {
        let (outcome, why) = match outcome {
            Ok(Refreshed { effect: RefreshEffect::Renewed | RefreshEffect::ShopsRead, .. }) => ("refreshed", None),
            Ok(Refreshed { effect: RefreshEffect::NothingSent(error), .. }) => {
                ("nothing-sent", Some(error.failure().to_string()))
            }
            Err(error) => {
                let error = report.error_report(&error.clone().into());
                (error.case, Some(error.line()))
            }
        };
        report.json(&Line {
            tenant: tenant.as_str(),
            customer: key.customer.as_str(),
            account: key.account.as_str(),
            outcome,
            why,
        });
        report.flush();
    } else if let Err(error) = outcome {
        let why = report.error_report(&error.clone().into()).line();
        report.styled(BAD, &format!("tenant {tenant}, customer {}, account {}: {why}", key.customer, key.account));
        report.flush();
    }
}
