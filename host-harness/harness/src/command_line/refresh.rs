//! `refresh`: renews tokens, reads shops.

use clap::Args;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{AccountId, CustomerId};

use super::connection_view;
use super::failure::Failure;
use super::output::Report;
use super::settings::{Host, Setting};

/// Renew a connection's tokens if they are due, and read its shops anew
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Refresh {
    /// Whose connection
    customer: CustomerId,

    /// Which of several accounts
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    /// Renew the tokens whether or not they are due
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
A token is due a day before it ends. Of several processes that refresh at once one asks TikTok
Shop.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness refresh customer-7
  customer-7: Teapot Corner (GB), active
  …

  $ tiktok-shop-harness refresh customer-7 --force --json
  {\"customer\":\"customer-7\",…}

Exit status: 0 if the connection is in order; 10 if it is worth a repetition; 11 if only a new
consent helps; 13 if the customer is not connected; others: tiktok-shop-harness --help.";

impl Refresh {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, account, force, setting } = self;
        let rotation = if force { RefreshMode::Forced } else { RefreshMode::WhenDue };
        let Host { host, stored, .. } = setting.open(report).await?;
        let connection = host.refresh(&stored.tenant, &customer, account.as_ref(), rotation).await?;
        connection_view::tell(&connection, stored.now(), report);
        Ok(())
    }
}
