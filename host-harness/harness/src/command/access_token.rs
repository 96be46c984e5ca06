//! `access-token`: gets an access token for calls that another program makes.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::access_token::ValidToken;
use tiktok_shop_host::{AccountId, CustomerId};

use super::held_back::Subject;
use crate::failure::Failure;
use crate::output::{Report, end};
use crate::settings::{HostArgs, OpenedHost};

/// Get an access token, renew it if necessary, and print when it ends
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AccessToken {
    /// Customer whose connection is used
    customer: CustomerId,

    /// Account to use; required if the customer has several accounts
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    /// Seconds that the token must stay valid (maximum 3600)
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    min_validity: u32,

    /// Print the token itself, which is a secret, on standard output
    #[arg(long)]
    reveal: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
With --reveal, standard output contains only the token. A note on standard error says when it ends.
Each use writes the event token-shown, also without --reveal. If the event can't be written, the
command fails and shows no token.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness access-token customer-7
  account …: the access token ends …

  $ token=$(tiktok-shop-harness access-token customer-7 --min-validity 600 --reveal)
  note: account …: the access token ends …

Exit status: 0 if the token is valid; 11 if only a new consent helps; 13 if the customer is not
connected or --min-validity is too long; for others see tiktok-shop-harness --help.";

#[derive(Serialize)]
struct Line<'a> {
    account: &'a str,
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl AccessToken {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, account, min_validity, reveal, settings } = self;
        let OpenedHost { host, opened, fake } = settings.open(report).await?;
        let subject = Subject { opened: &opened, fake, customer: &customer, account: account.as_ref(), shop: None };
        let min_validity = Duration::from_secs(min_validity.into());
        let ValidToken { account, token, expires_at } =
            match host.access_token(&opened.tenant, &customer, account.as_ref(), min_validity).await {
                Ok(token) => token,
                Err(error) => return Err(subject.explained(error).await),
            };
        if report.is_json() {
            let token = reveal.then(|| token.expose());
            report.json(&Line { account: account.as_str(), expires_at: expires_at.map(|at| at.0), token });
            return Ok(());
        }
        let description = format!("account {account}: the access token ends {}", end(expires_at, opened.now()));
        if reveal {
            report.note(&description);
            report.line(token.expose());
        } else {
            report.line(&description);
        }
        Ok(())
    }
}
