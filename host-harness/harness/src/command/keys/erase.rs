//! `keys erase`: erases a tenant's data keys and connections.

use clap::Args;
use tiktok_shop_host::seal::Erased;

use crate::failure::Failure;
use crate::output::{Report, count};
use crate::settings::StorageArgs;

/// Erase a tenant's data keys and then its connections, forever
#[derive(Args)]
#[command(after_help = "\
Give the tenant with --tenant or TIKTOK_SHOP_TENANT. The tenant's events stay, and they contain no
secret. The last one, tenant-erased, says who erased the tenant. Older copies of the database still
contain the wrapped data keys. To make these copies useless, change the host key with keys rotate
and keys retire, and delete all copies of the old host key.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys erase --tenant gone --yes
  tenant gone: erased 0 data keys and 0 connections

Exit status: 0 if all keys and connections of the tenant are erased; 2 without --yes, and then
nothing is erased; for others see tiktok-shop-harness --help.")]
pub(crate) struct Erase {
    /// Confirmation; without it, nothing is erased
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    settings: StorageArgs,
}

impl Erase {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { yes, settings } = self;
        if settings.tenant.is_none() {
            return Err(Failure::Malformed("no tenant named; name it with --tenant".to_owned()));
        }
        let opened = settings.open(report).await?;
        let (keyring, tenant) = (opened.keyring(), &opened.tenant);
        if !yes {
            let keys = keyring.status().await?.keys;
            let own = keys.iter().filter(|key| key.tenant == *tenant);
            let (keys, records) = own.fold((0, 0), |(keys, records), key| (keys + 1, records + key.records));
            let (keys, records) = (count(keys, "data key", "data keys"), count(records, "record", "records"));
            return Err(Failure::Malformed(format!(
                "tenant {tenant}: {keys} with {records} would be lost forever; confirm with --yes"
            )));
        }
        let Erased { keys, connections } = keyring.erase(tenant, opened.now()).await?;
        if report.is_json() {
            report.json(&serde_json::json!({ "tenant": tenant.as_str(), "keys": keys, "connections": connections }));
            return Ok(());
        }
        let (keys, connections) =
            (count(keys, "data key", "data keys"), count(connections, "connection", "connections"));
        report.line(&format!("tenant {tenant}: erased {keys} and {connections}"));
        Ok(())
    }
}
