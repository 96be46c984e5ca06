//! `keys retire`: removes a host key from the key file.

use clap::Args;
use tiktok_shop_host::HostKeyId;

use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{AllTenants, HOST_KEYS, HostKeySource, StorageArgs};

/// Remove a host key from the key file, if the host key no longer wraps a data key
#[derive(Args)]
#[command(after_help = "\
Run keys rotate first. After the rotation, another host key of the file wraps the data keys.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys retire host-0000000000000000
  error: there is no host key host-0000000000000000

Exit status: 0 if the key was removed; 1 if the key is in use or is the current host key, and then
the key stays; 2 if there is no key with this name; for others see tiktok-shop-harness --help.")]
pub(crate) struct Retire {
    /// Name of the host key, as keys status shows it
    #[arg(value_name = "ID")]
    host_key: HostKeyId,

    #[command(flatten)]
    settings: StorageArgs<AllTenants>,
}

impl Retire {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { host_key, settings } = self;
        let opened = settings.open(report).await?;
        let file = match &opened.keys {
            HostKeySource::File(file) => file,
            HostKeySource::Environment(_) => {
                return Err(Failure::Malformed(format!("the host keys come from {HOST_KEYS}; remove the key there")));
            }
            HostKeySource::Missing(why) => return Err(Failure::Unavailable(why.clone())),
            HostKeySource::Service { .. } => {
                return Err(Failure::Malformed(
                    "the host keys are in a key service; to retire earlier versions, raise min_decryption_version there"
                        .to_owned(),
                ));
            }
        };
        opened.keyring().retire(file, &host_key).await?;
        if report.is_json() {
            report.json(&serde_json::json!({ "retired": host_key.as_str() }));
        } else {
            report.line(&format!("host key {host_key} is retired"));
        }
        Ok(())
    }
}
