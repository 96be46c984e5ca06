//! `sweep`: refreshes all due connections.

use std::io::{self, IsTerminal as _};
use std::num::NonZeroUsize;
use std::time::Duration;

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::error::ConnectorError;
use tiktok_shop_host::storage::{Due, HostStorage};
use tiktok_shop_host::sweep::{AccessTokenState, PassedOver, PassedOverReason, Sweep, SweepError, SweepOutcome, Swept};

use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report, time};
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
the configuration file. So there is no option --tenant. TIKTOK_SHOP_TENANT only names the tenant
whose app is in the environment, and a note says so; without such an app, the variable is an error.
The command prints a line for each due connection that was not refreshed, and at the end a summary.
With --json, it also prints a line for each refreshed connection, and for each connection that is no
longer due. The words in the lines and in the summary:

  failed       the refresh failed, for example because the tenant has no app
  held         an earlier refresh has not stored TikTok Shop's answer: it is still running, or the
               answer was lost; the refresh token is locked for at most 120 s
  backing-off  the latest refreshes failed, and the next one is not allowed yet
  ended        the authorization has ended, for example because the seller has revoked it; only a
               new consent helps; later sweeps leave the connection out
  no longer due
               other processes have refreshed or disconnected the connection during the sweep
  unusable     how many of the held and backing-off connections have no valid access token; these
               connections do not work until a later sweep refreshes them

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness sweep
  0 refreshed, 0 failed, notices: 0

  $ tiktok-shop-harness sweep --concurrency 4 --json
  {\"refreshed\":0,\"ended\":0,\"no_longer_due\":0,\"held\":0,\"backing_off\":0,\"unusable\":0,…}

If connections are held in every sweep, compare this machine's clock with the clock of the database.

After Ctrl-C, SIGTERM or SIGHUP, the sweep finishes the refreshes that have begun, begins no others,
and prints how many connections are still due.

Exit status: 0 if each due connection was refreshed, has ended, or waits with a valid access token,
and also if a signal stopped the sweep; 1 if a refresh failed; 6 if no refresh failed but a waiting
connection is unusable; 16 if the database fails; for others see tiktok-shop-harness --help.
Let an alert fire on 16 at once, on 1 if several sweeps in a row end with it, and on 6 if a sweep
after the time that was printed still ends with it.";

/// The maximum number of due connections that the command reads from the storage in one call.
const PAGE: usize = 500;

#[derive(Serialize)]
struct Line<'a> {
    tenant: &'a str,
    customer: &'a str,
    account: &'a str,
    /// The outcome for the connection: `refreshed`, `held`, `backing-off`, `ended` or `no-longer-due`. If the refresh failed, the case
    /// of its error, for example `retry-after`.
    outcome: &'a str,
    /// If the connection was passed over, the time after which a sweep can refresh it.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// If the connection was passed over, the state of its access token until `until`: `valid` or `unusable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct SweptLine {
    refreshed: u64,
    ended: u64,
    no_longer_due: u64,
    held: u64,
    backing_off: u64,
    unusable: u64,
    failed: u64,
    notices: u64,
    stopped: bool,
    left: u64,
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
        let stop = report.stop.clone();
        let swept = host
            .sweep(sweep, stop.cancelled(), |due, outcome| {
                // The bar counts only the connections that were due when the sweep began. The sweep also reports other
                // connections.
                bar.inc(u64::from(due.at <= now));
                print(due, outcome, report);
            })
            .await;
        report.end_progress();
        let (swept, failure) = match swept {
            Ok(swept) => (swept, None),
            Err(SweepError { source, swept }) => (swept, Some(source)),
        };
        let Swept { refreshed, ended, no_longer_due, held, backing_off, unusable, failed, notices, stopped, left } =
            swept;
        if failed > 0 {
            report.set_refused();
        } else if unusable > 0 {
            report.set_overdue();
        }
        if report.is_json() {
            report.json(&SweptLine {
                refreshed,
                ended,
                no_longer_due,
                held,
                backing_off,
                unusable,
                failed,
                notices,
                stopped,
                left,
            });
        } else {
            report.styled(if failed + unusable > 0 { BAD } else { GOOD }, &swept.to_string());
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

fn print(due: &Due, outcome: &SweepOutcome, report: &mut Report) {
    let Due { tenant, key, .. } = due;
    let (tenant, customer, account) = (tenant.as_str(), key.customer.as_str(), key.account.as_str());
    let (word, passed_over, why) = match outcome {
        SweepOutcome::Refreshed(_) => ("refreshed", None, None),
        SweepOutcome::PassedOver(passed_over) => {
            (passed_over.reason.as_str(), Some(passed_over), Some(passed_over.error.failure().to_string()))
        }
        SweepOutcome::Ended(error) => ("ended", None, Some(ended(error))),
        SweepOutcome::NoLongerDue => ("no-longer-due", None, None),
        SweepOutcome::Failed(error) => {
            let error = report.error_report(&error.clone().into(), &due.tenant);
            (error.case, None, Some(error.line()))
        }
    };
    if report.is_json() {
        let until = passed_over.map(|passed_over| passed_over.until.0);
        let access_token = passed_over.map(|passed_over| passed_over.access_token.as_str());
        report.json(&Line { tenant, customer, account, outcome: word, until, access_token, why });
        report.flush();
    } else if let Some(why) = why {
        let (style, text) = match outcome {
            SweepOutcome::Refreshed(_) | SweepOutcome::Failed(_) => (BAD, why),
            SweepOutcome::Ended(_) | SweepOutcome::NoLongerDue => (Style::new(), why),
            SweepOutcome::PassedOver(passed_over) => (style_of(passed_over), waits(passed_over)),
        };
        report.styled(style, &format!("tenant {tenant}, customer {customer}, account {account}: {text}"));
        report.flush();
    }
}

/// Returns a text that says why an authorization has ended, and what to do.
fn ended(error: &ConnectorError) -> String {
    let why = error.failure().to_string();
    format!("ended: {}. Next: run authorization-url, and let the seller consent again", why.trim_end_matches('.'))
}

fn style_of(passed_over: &PassedOver) -> Style {
    match passed_over.access_token {
        AccessTokenState::Valid => Style::new(),
        AccessTokenState::Unusable => BAD,
    }
}

/// Returns a text that says why and until when a connection was passed over, and whether it works until then.
fn waits(PassedOver { reason, until, access_token, .. }: &PassedOver) -> String {
    let why = match reason {
        PassedOverReason::Held => "an earlier refresh is still running, or TikTok Shop's answer to it was lost",
        PassedOverReason::BackingOff => "the latest refreshes failed",
    };
    let meanwhile = match access_token {
        AccessTokenState::Valid => "works until then",
        AccessTokenState::Unusable => "unusable until then, because its access token has ended",
    };
    format!("{} until {}: {why}; {meanwhile}", reason.as_str(), time(*until))
}
