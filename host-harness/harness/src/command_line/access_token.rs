//! `access-token`: a token for a call that is made elsewhere.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::access_token::ValidToken;
use tiktok_shop_host::{AccountId, CustomerId};

use super::failure::Failure;
use super::output::Report;
use super::settings::{Host, Setting};
use super::words;

/// Get an access token, renewed if need be: when it ends, and with --reveal itself
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AccessToken {
    /// Whose connection
    customer: CustomerId,

    /// Which of several accounts
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    /// How long it has to be good for, at most 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    min_validity: u32,

    /// Print the token, alone, on standard output; it is a secret
    #[arg(long)]
    reveal: bool,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness access-token customer-7
  account … has an access token until …

  $ token=$(tiktok-shop-harness access-token customer-7 --min-validity 600 --reveal)
  note: of account …, good until …

Exit status: 0 if there is a valid token; 11 if only a new consent helps; 13 if the customer is
not connected or the time is too long; others: tiktok-shop-harness --help.";

#[derive(Serialize)]
struct Line<'a> {
    account: &'a str,
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl AccessToken {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, account, min_validity, reveal, setting } = self;
        let Host { host, stored, .. } = setting.open(report).await?;
        let min_validity = Duration::from_secs(min_validity.into());
        let ValidToken { account, token, expires_at } =
            host.access_token(&stored.tenant, &customer, account.as_ref(), min_validity).await?;
        let until = words::end(expires_at, stored.now());
        if report.is_json() {
            let token = reveal.then(|| token.expose());
            report.json(&Line { account: account.as_str(), expires_at: expires_at.map(|at| at.0), token });
        } else if reveal {
            report.note(&format!("of account {account}, good until {until}"));
            report.line(token.expose());
        } else {
            report.line(&format!("account {account} has an access token until {until}"));
        }
        Ok(())
    }
}
