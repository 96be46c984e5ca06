//! `list-connections`: lists the connections of a customer.

use clap::Args;
use tiktok_shop_host::CustomerId;

use crate::failure::Failure;
use crate::output::{Report, print_connection};
use crate::settings::{HostArgs, Needs, OpenedHost};

/// List a customer's connections, with their status and all their shops
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ListConnections {
    /// Customer whose connections are listed
    customer: CustomerId,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
This command reads the storage and sends nothing to TikTok Shop. It also works without the right
host keys. Then it shows \"cipher none\" for every shop.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness list-connections customer-7
  customer-7: Teapot Corner (GB), active
      account …
      token   ends …
      consent ends …
      shop    7490000000000000001  Teapot Corner (GB), linked, cipher present

  $ tiktok-shop-harness list-connections customer-7 --json
  {\"customer\":\"customer-7\",…,\"status\":\"active\",…}

Exit status: 0, also if the customer is not connected; for others see tiktok-shop-harness --help.";

impl ListConnections {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, settings } = self;
        let OpenedHost { host, opened, .. } = settings.open_for(Needs::NO_KEYS, report).await?;
        let connections = host.list_connections(&opened.tenant, &customer).await?;
        if connections.is_empty() && !report.is_json() {
            report.note(&format!("{customer} is not connected; begin a consent with authorization-url"));
        }
        connections.iter().for_each(|connection| print_connection(connection, opened.now(), report));
        Ok(())
    }
}
