//! `list-shops`: lists the shops that a customer may use.

use clap::Args;
use tiktok_shop_host::connection::Shop;
use tiktok_shop_host::list::Listed;
use tiktok_shop_host::{AppKey, CustomerId};

use super::left_out;
use crate::failure::Failure;
use crate::output::{Ciphers, Report, ShopLine, cipher};
use crate::settings::{HostArgs, OpenedHost};

/// List the shops that a customer may use now, in all accounts of the customer
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ListShops {
    /// Customer whose shops are listed
    customer: CustomerId,

    /// Show the ciphers, which are secrets; a call for a shop needs the shop's cipher
    #[arg(long)]
    reveal: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
This command reads the storage and sends nothing to TikTok Shop. It lists a shop if the shop is
linked, TikTok Shop grants it, and its connection works. The command list-connections lists all
shops.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness list-shops customer-7
  id                   name           region  account…  app            standing  cipher
  7490000000000000001  Teapot Corner  GB      …  6fakeapp00001  granted   present

  $ tiktok-shop-harness list-shops customer-7 --json
  {\"id\":\"7490000000000000001\",…,\"cipher\":\"present\",…}

Exit status: 0, also if there is no such shop; 16 if the list leaves out a connection, because its
row is missing or was changed in the database; for others see tiktok-shop-harness --help.";

impl ListShops {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, reveal, settings } = self;
        let OpenedHost { host, opened, .. } = settings.open(report).await?;
        let Listed { entries: shops, left_out } = host.listed_shops(&opened.tenant, &customer).await?;
        let connections = host.list_connections(&opened.tenant, &customer).await?;
        let app_of = |shop: &Shop| {
            connections.iter().find(|known| known.key.account == shop.account).and_then(|known| known.app.as_ref())
        };
        let ciphers = if reveal { Ciphers::Revealed } else { Ciphers::Hidden };
        if report.is_json() {
            shops.iter().for_each(|shop| report.json(&ShopLine::new(shop, app_of(shop), ciphers)));
        } else if shops.is_empty() && !left_out.is_empty() {
            // The error below says why there is no shop.
        } else if shops.is_empty() {
            report.note(&format!("{customer} may use no shop now; list-connections shows all shops"));
        } else {
            report.table(
                ["id", "name", "region", "account", "app", "standing", "cipher"],
                shops.iter().map(|shop| {
                    [
                        shop.id.as_str(),
                        &shop.name,
                        &shop.region,
                        shop.account.as_str(),
                        app_of(shop).map_or("unknown", AppKey::as_str),
                        shop.standing.as_str(),
                        cipher(shop, ciphers),
                    ]
                    .map(str::to_owned)
                }),
            );
        }
        report.flush();
        left_out::check(&left_out)
    }
}
