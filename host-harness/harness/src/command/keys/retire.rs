//! `keys retire`: removes a host key from the key file.

use anstyle::Style;
use clap::Args;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{KeyFileError, RotationError};

use super::{Instead, NEEDS_KEY_FILE, check_changeable, key_file};
use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{AllTenants, HOST_KEYS, StorageArgs};

/// Remove a host key from the key file, if the host key no longer wraps a data key
#[derive(Args)]
#[command(after_help = "\
This is the last of four steps that change the host key: keys add, keys promote, keys rotate, keys
retire. Before you run it, the new host key must be the current one on every machine that has a copy
of the key file: run keys status there. Otherwise such a machine may wrap data keys of new tenants
with the removed host key, and the copy would replace the last copy of that host key. Afterwards, if
keys status names no missing host key, copy the key file to these machines again.

With a key service, raise min_decryption_version of the keys there instead, as docs/keys.md says.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys retire host-0000000000000000
  error: there is no host key host-0000000000000000; keys status shows the host keys

Exit status: 0 if the key was removed; 1 if the key is in use or is the current host key, and then
the key stays; 2 if the host keys come from the environment or a key service; 5 if there is no key
with this name, unless --allow-absent is given; for others see tiktok-shop-harness --help.")]
pub(crate) struct Retire {
    /// Name of the host key, as keys status shows it
    #[arg(value_name = "ID")]
    host_key: HostKeyId,

    /// Succeed even if there is no host key with this name
    #[arg(long)]
    allow_absent: bool,

    #[command(flatten)]
    settings: StorageArgs<AllTenants>,
}

impl Retire {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { host_key, allow_absent, settings } = self;
        let opened = settings.open_for(NEEDS_KEY_FILE, report).await?;
        let instead = Instead {
            environment: &format!("if keys status counts no data key under {host_key}, remove it from {HOST_KEYS}"),
            service: "to retire earlier versions, raise min_decryption_version there",
        };
        let file = key_file(&opened.keys, &instead)?;
        let keyring = opened.keyring();
        check_changeable(&keyring, &opened.keys).await?;
        let is_retired = match keyring.retire(file, &host_key).await {
            Ok(()) => true,
            Err(RotationError::KeyFile(KeyFileError::NoSuchKey(_))) if allow_absent => false,
            Err(error) => return Err(error.into()),
        };
        if report.is_json() {
            report.json(&serde_json::json!({ "retired": is_retired.then_some(&host_key) }));
        } else if is_retired {
            report.line(&format!("host key {host_key} is retired"));
            let path = file.path().display();
            report.detail(
                "next",
                Style::new(),
                &format!("if keys status names no missing host key, copy {path} to the other machines"),
            );
            report.detail("", Style::new(), "then delete the host key from the backups of the key file");
        } else {
            report.line(&format!("there is no host key {host_key}"));
        }
        Ok(())
    }
}
