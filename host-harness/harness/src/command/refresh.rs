//! `refresh`: renews the tokens of a connection if they are due, and reads its shops again.

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode, Refreshed};
use tiktok_shop_host::{AccountId, CallError, CustomerId};

use super::held_back::Subject;
use crate::failure::Failure;
use crate::output::{BAD, ConnectionLine, Report, print_connection};
use crate::settings::{HostArgs, OpenedHost};

/// Renew a connection's tokens if they are due, and read its shops again
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Refresh {
    /// Customer whose connection is refreshed
    customer: CustomerId,

    /// Account of the connection; needed only if the customer has several accounts
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    /// Renew the tokens even if they are not due
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
The tokens are due for renewal about one day before the access token ends. If several processes
refresh a connection at the same time, only one of them renews the tokens. The last line says what
was done: TikTok Shop has issued new tokens, or only the shops were read, or nothing was sent. After
a refresh whose answer was lost or could not be read, nothing is sent for 120 s. list-connections
shows the customer and the account.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness refresh customer-7
  customer-7: Teapot Corner (GB), active
  …
      done    shops read; the tokens were not due

  $ tiktok-shop-harness refresh customer-7 --force --json
  {\"customer\":\"customer-7\",…,\"effect\":\"renewed\"}

Exit status: 0 if the connection works; 10 if the same command may succeed later, also if --force
could not renew the tokens now; 11 if only a new consent helps; 13 if the customer is not connected;
for others see tiktok-shop-harness --help.";

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    connection: ConnectionLine<'a>,
    /// What the refresh did: `renewed`, `shops-read` or `nothing-sent`.
    effect: &'static str,
    /// Why nothing was sent to TikTok Shop. `None` if something was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Refresh {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, account, force, settings } = self;
        let mode = if force { RefreshMode::Forced } else { RefreshMode::WhenDue };
        let OpenedHost { host, opened, fake } = settings.open(report).await?;
        let subject = Subject { opened: &opened, fake, customer: &customer, account: account.as_ref(), shop: None };
        let Refreshed { connection, effect } =
            match host.refresh(&opened.tenant, &customer, account.as_ref(), mode).await {
                Ok(refreshed) => refreshed,
                Err(error) => return Err(subject.explained(error).await),
            };
        let (word, done, why) = match effect {
            RefreshEffect::Renewed => ("renewed", "new tokens stored, shops read", None),
            RefreshEffect::ShopsRead => ("shops-read", "shops read; the tokens were not due", None),
            // With `--force`, the user requires a renewal. The tokens were not renewed, so the command fails.
            RefreshEffect::NothingSent(error) if force => return Err(CallError::Connector(error).into()),
            RefreshEffect::NothingSent(error) => {
                let why = error.failure().to_string();
                // The connection, which is printed too, contains its latest failure. So only the next step is added.
                let is_held_back =
                    error.failure().code == Cause::BackingOff.code() && connection.last_failure.is_some();
                let why = if is_held_back { format!("{why} Next: {}", subject.next()) } else { why };
                ("nothing-sent", "tokens not renewed, shops not read", Some(why))
            }
        };
        if report.is_json() {
            report.json(&Line { connection: ConnectionLine::from(&connection), effect: word, why });
        } else {
            print_connection(&connection, opened.now(), report);
            let style = if why.is_some() { BAD } else { Style::new() };
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            report.detail("done", style, &format!("{done}{why}"));
        }
        Ok(())
    }
}
