//! `link-shops`: sets which shops of an account are linked to the customer.

use clap::Args;
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use crate::failure::Failure;
use crate::output::{Report, print_connection};
use crate::settings::{HostArgs, OpenedHost};

/// Link exactly the given shops of an account, and unlink all other shops of the account
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LinkShops {
    /// Customer whose connection is changed
    customer: CustomerId,

    /// TikTok's ids of the shops to link; if no id is given, all shops are unlinked, but the tokens are kept
    #[arg(value_name = "SHOP")]
    shops: Vec<ShopId>,

    /// Account whose shops are linked; needed only if the customer has several accounts
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
This command sends nothing to TikTok Shop. list-connections shows the ids of the shops.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness link-shops customer-7 7490000000000000001
  customer-7: Teapot Corner (GB), active
  …
      shop    7490000000000000001  Teapot Corner (GB), linked, cipher present

  $ tiktok-shop-harness link-shops customer-7 42
  error: invalid-request: unknown-shop: …

Exit status: 0 if these shops are linked now; 13 if the account does not have one of the shops, and
then nothing changes; for others see tiktok-shop-harness --help.";

impl LinkShops {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, shops, account, settings } = self;
        let OpenedHost { host, opened, .. } = settings.open(report).await?;
        let connection = host.link_shops(&opened.tenant, &customer, account.as_ref(), &shops).await?;
        print_connection(&connection, opened.now(), report);
        Ok(())
    }
}
