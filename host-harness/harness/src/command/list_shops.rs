//! `list-shops`: lists the shops that a customer uses.

use clap::Args;
use tiktok_shop_host::CustomerId;

use crate::failure::Failure;
use crate::output::{Ciphers, Report, ShopLine, cipher};
use crate::settings::{HostArgs, OpenedHost};

/// List the linked shops of all accounts of a customer
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ListShops {
    /// Customer whose shops are listed
    customer: CustomerId,

    /// Show the ciphers, which are secrets; calls for a shop need them
    #[arg(long)]
    reveal: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
This command reads the storage and sends nothing to TikTok Shop. If a shop has no cipher, the
command call can't be used for it.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness list-shops customer-7
  id                   name           region  account…  standing  cipher
  7490000000000000001  Teapot Corner  GB      …  granted   present

  $ tiktok-shop-harness list-shops customer-7 --json
  {\"id\":\"7490000000000000001\",…,\"cipher\":\"present\",…}

Exit status: 0, also if no shop is linked; for others see tiktok-shop-harness --help.";

impl ListShops {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, reveal, settings } = self;
        let OpenedHost { host, opened, .. } = settings.open(report).await?;
        let shops = host.list_shops(&opened.tenant, &customer).await?;
        let ciphers = if reveal { Ciphers::Revealed } else { Ciphers::Hidden };
        if report.is_json() {
            shops.iter().for_each(|shop| report.json(&ShopLine::new(shop, ciphers)));
        } else if shops.is_empty() {
            report.note(&format!("{customer} has no linked shop; list-connections shows all shops"));
        } else {
            report.table(
                ["id", "name", "region", "account", "standing", "cipher"],
                shops.iter().map(|shop| {
                    [
                        shop.id.as_str(),
                        &shop.name,
                        &shop.region,
                        shop.account.as_str(),
                        shop.standing.as_str(),
                        cipher(shop, ciphers),
                    ]
                    .map(str::to_owned)
                }),
            );
        }
        Ok(())
    }
}
