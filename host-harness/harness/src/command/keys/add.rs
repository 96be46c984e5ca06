//! `keys add`: appends a new host key to the key file.

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_host::HostKeyId;

use super::{Instead, NEEDS_KEY_FILE, check_changeable, key_file, unused};
use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{AllTenants, HOST_KEYS, StorageArgs};

/// Append a new host key to the key file; the key wraps nothing before keys promote
#[derive(Args)]
#[command(after_help = "\
This is the first of four steps that change the host key: keys add, keys promote, keys rotate, keys
retire. The new host key stands behind the current one. A host that has it can open what it will
wrap, but no host uses it yet. Next, copy the key file to every other machine that has a copy, and
run keys status there: it must list the new host key. Run keys promote only then. Make all changes
of the key file on one machine, because a copy replaces the whole file.

With host keys in TIKTOK_SHOP_HOST_KEYS, append a new ID:HEX behind the others there yourself.
With a key service, rotate the keys there, and then run keys rotate.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness keys add
  host key host-… is added; the current host key is still host-…
  …

Exit status: 0 if the host key was added; 2 if the host keys come from the environment or a key
service; 16 if the database fails, or if a host key that stored data needs is not in the file, and
then nothing is added; for others see tiktok-shop-harness --help.")]
pub(crate) struct Add {
    #[command(flatten)]
    settings: StorageArgs<AllTenants>,
}

#[derive(Serialize)]
struct Line {
    added: HostKeyId,
    current: HostKeyId,
    /// The host keys that wrap no data key, without the current host key. The last entry is the host key that was
    /// added.
    unused: Vec<HostKeyId>,
}

impl Add {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let opened = self.settings.open_for(NEEDS_KEY_FILE, report).await?;
        let instead = Instead {
            environment: &format!(
                "append a new ID:HEX with 64 random hexadecimal digits behind the others in {HOST_KEYS}"
            ),
            service: "rotate the keys there, then run keys rotate",
        };
        let file = key_file(&opened.keys, &instead)?;
        let keyring = opened.keyring();
        let status = check_changeable(&keyring, &opened.keys).await?;
        let added = keyring.add_host_key(file).await?;
        let unused = unused(&status, &opened.keys)?;
        for earlier in unused.iter().filter(|id| **id != added) {
            report.note(&format!(
                "host key {earlier} wraps no data key, too; if no machine needs it any more, run keys retire {earlier}"
            ));
        }
        let current = status.current;
        if report.is_json() {
            report.json(&Line { added, current, unused });
            return Ok(());
        }
        report.line(&format!("host key {added} is added; the current host key is still {current}"));
        let path = file.path().display();
        report.detail("next", Style::new(), &format!("copy {path} to every other machine that has a copy of it"));
        report.detail("", Style::new(), &format!("then, if keys status there lists {added}: keys promote {added}"));
        Ok(())
    }
}
