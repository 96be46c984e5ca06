//! `refresh`: renews the tokens of a connection and reads its shops.

use clap::Args;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{AccountId, CustomerId};

use crate::failure::Failure;
use crate::output::{Report, print_connection};
use crate::settings::{HostArgs, OpenedHost};

/// Renew a connection's tokens if they are due, and read its shops again
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Refresh {
    /// Customer whose connection is refreshed
    customer: CustomerId,

    /// Account, if the customer has several accounts
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
refresh a connection at the same time, only one of them renews the tokens.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness refresh customer-7
  customer-7: Teapot Corner (GB), active
  …

  $ tiktok-shop-harness refresh customer-7 --force --json
  {\"customer\":\"customer-7\",…}

Exit status: 0 if the connection works; 10 if the same command may succeed later; 11 if only a new
consent helps; 13 if the customer is not connected; for others see tiktok-shop-harness --help.";

impl Refresh {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, account, force, settings } = self;
        let mode = if force { RefreshMode::Forced } else { RefreshMode::WhenDue };
        let OpenedHost { host, opened, .. } = settings.open(report).await?;
        let connection = host.refresh(&opened.tenant, &customer, account.as_ref(), mode).await?;
        print_connection(&connection, opened.now(), report);
        Ok(())
    }
}
