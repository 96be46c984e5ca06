//! `link-shops`: which shops a customer uses.

use clap::Args;
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use super::connection_view;
use super::failure::Failure;
use super::output::Report;
use super::settings::{Host, Setting};

/// Set which shops of an account a customer uses: these, no others
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LinkShops {
    /// Whose connection
    customer: CustomerId,

    /// TikTok's ids of the shops; none at all is allowed, and keeps the tokens
    #[arg(value_name = "SHOP")]
    shops: Vec<ShopId>,

    /// Which of several accounts
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
TikTok Shop is not asked. list-connections names the shops.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness link-shops customer-7 7490000000000000001
  customer-7: Teapot Corner (GB), active
  …
      shop    7490000000000000001  Teapot Corner (GB), linked, cipher present

  $ tiktok-shop-harness link-shops customer-7 42
  error: invalid-request: unknown-shop: …

Exit status: 0 if these are linked now; 13 if the account has no such shop, then nothing changes;
others: tiktok-shop-harness --help.";

impl LinkShops {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, shops, account, setting } = self;
        let Host { host, stored, .. } = setting.open(report).await?;
        let connection = host.link_shops(&stored.tenant, &customer, account.as_ref(), &shops).await?;
        connection_view::tell(&connection, stored.now(), report);
        Ok(())
    }
}
