//! `keys promote`: makes a host key of the key file the current one.

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_host::HostKeyId;

use super::{Instead, NEEDS_KEY_FILE, check_changeable, key_file};
use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{AllTenants, HOST_KEYS, StorageArgs};

/// Make a host key of the key file the current one, which wraps new data keys
#[derive(Args)]
#[command(after_help = "\
This is the second of four steps that change the host key: keys add, keys promote, keys rotate, keys
retire. Before you run it, every machine that has a copy of the key file must have the host key: run
keys status there. The command can't check that, because it knows only its own key file. A machine
that lacks the current host key can't open what others seal. Next, copy the key file to every other
machine again, and then run keys rotate here.

With host keys in TIKTOK_SHOP_HOST_KEYS, put the host key before the others there yourself. In a key
service, the newest version of a tenant's key is always the current one, so there is no such step.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys promote host-0000000000000000
  error: there is no host key host-0000000000000000 here; keys add adds a new one

Exit status: 0 if the host key is the current one now; 1 if it was the current one before; 2 if the
host keys come from the environment or a key service; 5 if the key file has no host key of this
name; 16 if the database fails, or if a host key that stored data needs is not in the file; except
with 0, nothing is changed; for others see tiktok-shop-harness --help.")]
pub(crate) struct Promote {
    /// Name of the host key, as keys add and keys status show it
    #[arg(value_name = "ID")]
    host_key: HostKeyId,

    #[command(flatten)]
    settings: StorageArgs<AllTenants>,
}

#[derive(Serialize)]
struct Line {
    current: HostKeyId,
    /// The host key that was the current one before.
    earlier: HostKeyId,
}

impl Promote {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { host_key, settings } = self;
        let opened = settings.open_for(NEEDS_KEY_FILE, report).await?;
        let instead = Instead {
            environment: &format!("if every machine has {host_key} there, put it before the others in {HOST_KEYS}"),
            service: "the newest version of a tenant's key is always the current one; run keys rotate",
        };
        let file = key_file(&opened.keys, &instead)?;
        if !opened.keys.ids()?.contains(&host_key) {
            return Err(Failure::Absent(format!("there is no host key {host_key} here; keys add adds a new one")));
        }
        let keyring = opened.keyring();
        let status = check_changeable(&keyring, &opened.keys).await?;
        keyring.promote(file, &host_key).await?;
        let earlier = status.current;
        if report.is_json() {
            report.json(&Line { current: host_key, earlier });
            return Ok(());
        }
        report.line(&format!("the current host key is {host_key}; it was {earlier} before"));
        let path = file.path().display();
        report.detail("next", Style::new(), &format!("copy {path} to every other machine that has a copy of it"));
        report.detail("", Style::new(), &format!("then, if {host_key} is current in keys status there: keys rotate"));
        Ok(())
    }
}
