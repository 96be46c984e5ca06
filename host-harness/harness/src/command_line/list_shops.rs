//! `list-shops`: the shops that a customer uses.

use clap::Args;
use tiktok_shop_host::CustomerId;

use super::failure::Failure;
use super::output::Report;
use super::settings::{Host, Setting};
use super::shapes::{Ciphers, ShopLine, cipher};
use super::words;

/// List the shops that a customer uses, over all accounts
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ListShops {
    /// Whose shops
    customer: CustomerId,

    /// Show ciphers, which calls for a shop are made with; they are secrets
    #[arg(long)]
    reveal: bool,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
Read from storage; TikTok Shop is not asked. A shop without a cipher can't be called for.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness list-shops customer-7
  id                   name           region  account…  standing  cipher
  7490000000000000001  Teapot Corner  GB      …  granted   present

  $ tiktok-shop-harness list-shops customer-7 --json
  {\"id\":\"7490000000000000001\",…,\"cipher\":\"present\",…}

Exit status: 0, also if there is none; others: tiktok-shop-harness --help.";

impl ListShops {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, reveal, setting } = self;
        let Host { host, stored, .. } = setting.open(report).await?;
        let shops = host.list_shops(&stored.tenant, &customer).await?;
        let ciphers = if reveal { Ciphers::Revealed } else { Ciphers::Hidden };
        if report.is_json() {
            shops.iter().for_each(|shop| report.json(&ShopLine::of(shop, ciphers)));
        } else if shops.is_empty() {
            report.note(&format!("{customer} has no linked shop; list-connections shows all that is known"));
        } else {
            report.table(
                ["id", "name", "region", "account", "standing", "cipher"],
                shops.iter().map(|shop| {
                    [
                        shop.id.as_str(),
                        &shop.name,
                        &shop.region,
                        shop.account.as_str(),
                        words::standing(shop.standing),
                        cipher(shop, ciphers),
                    ]
                    .map(str::to_owned)
                }),
            );
        }
        Ok(())
    }
}
