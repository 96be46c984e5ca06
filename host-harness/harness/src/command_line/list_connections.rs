//! `list-connections`: everything that is known of a customer.

use clap::Args;
use tiktok_shop_host::CustomerId;

use super::connection_view;
use super::failure::Failure;
use super::output::Report;
use super::settings::{Host, Setting};

/// List a customer's connections with their states and all their shops
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ListConnections {
    /// Whose connections
    customer: CustomerId,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
Read from storage; TikTok Shop is not asked. Works without the host keys, too: shops have no
cipher then.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness list-connections customer-7
  customer-7: Teapot Corner (GB), active
      account …
      access  …
      ends    …
      shop    7490000000000000001  Teapot Corner (GB), linked, cipher present

  $ tiktok-shop-harness list-connections customer-7 --json
  {\"customer\":\"customer-7\",…,\"status\":\"active\",…}

Exit status: 0, also if there is none; others: tiktok-shop-harness --help.";

impl ListConnections {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, setting } = self;
        let Host { host, stored, .. } = setting.open(report).await?;
        let connections = host.list_connections(&stored.tenant, &customer).await?;
        if connections.is_empty() && !report.is_json() {
            report.note(&format!("{customer} is not connected; authorization-url begins a consent"));
        }
        connections.iter().for_each(|connection| connection_view::tell(connection, stored.now(), report));
        Ok(())
    }
}
