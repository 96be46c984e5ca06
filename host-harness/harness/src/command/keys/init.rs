//! `keys init`: makes the key file of a new database.

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_host::HostKeyId;

use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report};
use crate::settings::KeyArgs;

/// Make the key file of a new database, with one host key
#[derive(Args)]
#[command(after_help = "\
Run this command once, before the first seller connects. The file is the one that --key-file,
TIKTOK_SHOP_KEY_FILE or the configuration file names, or else the file in the data folder. A file
that exists stays as it is. Copy the file to every machine that uses the database, and back it up
apart from the database. If it is lost, every connection is lost, and every seller must consent
again. For host keys in a variable, draw 64 hexadecimal digits with openssl rand -hex 32, and put a
name and a colon before them.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys init
  host key host-… is in the new file …/fake-host-keys
  …

Exit status: 0 if the file was made; 1 if it exists; 2 if the host keys are in TIKTOK_SHOP_HOST_KEYS
or in a key service; 3 if the file can't be written; for others see tiktok-shop-harness --help.")]
pub(crate) struct Init {
    #[command(flatten)]
    settings: KeyArgs,
}

#[derive(Serialize)]
struct Line {
    host_key: HostKeyId,
    key_file: String,
}

impl Init {
    pub(crate) fn run(self, report: &mut Report) -> Result<(), Failure> {
        let file = self.settings.create_key_file()?;
        let key_file = file.path().display().to_string();
        for host_key in file.keys()?.ids().cloned() {
            if report.is_json() {
                report.json(&Line { host_key, key_file: key_file.clone() });
            } else {
                report.styled(GOOD, &format!("host key {host_key} is in the new file {key_file}"));
                report.detail(
                    "back up",
                    BAD,
                    "keep a copy of this file apart from the database; without it, every connection is lost",
                );
                report.detail("next", Style::new(), "give the file to every machine that uses the database");
            }
        }
        for database in ["connections.sqlite", "fake-connections.sqlite"].map(|name| file.path().with_file_name(name)) {
            if database.exists() {
                report.note(&format!(
                    "{} exists already; this is right after migrate; but if it contains connections, the new host key \
                     can't open them, so put their key file back instead",
                    database.display()
                ));
            }
        }
        Ok(())
    }
}
