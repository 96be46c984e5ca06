//! `keys erase`: erases everything that is stored for a tenant, including its data keys.

use anstyle::Style;
use clap::Args;
use tiktok_shop_host::seal::Erased;

use crate::failure::Failure;
use crate::output::{BAD, Report, count};
use crate::settings::{HOST_KEYS, HostKeySource, StorageArgs};

/// Erase a tenant forever: its data keys, connections, events, consents and webhooks
#[derive(Args)]
#[command(after_help = "\
Give the tenant with --tenant or TIKTOK_SHOP_TENANT. Afterwards no host can open a value of the
tenant, and SQLite's files contain none. Only one new event is stored: tenant-erased says who erased
the tenant. But older copies of the database still contain the wrapped data keys: backups, and
PostgreSQL's log and free pages. The command shows which host keys can open such a copy. To make the
erasure final, change the host key and delete all copies of the old one: run keys rotate
--single-machine --retire, or, if other machines have the key file, keys add, promote, rotate and
retire. Use a key file for one database only: --retire removes the host keys that this database does
not need.

If nothing is stored of the tenant, its name may be misspelt. The command then says so, and ends
with 5. With --allow-absent it succeeds, and writes the event tenant-erased in any case.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys erase --tenant gone --yes
  error: nothing is stored of tenant gone; check the name, or use --allow-absent

Exit status: 0 if everything of the tenant is erased; 2 without --yes, and then nothing is erased; 5
if nothing is stored of the tenant, unless --allow-absent is given; 16 if the database fails, and
then the same command with --allow-absent finishes the erasure; for others see tiktok-shop-harness
--help.")]
pub(crate) struct Erase {
    /// Confirm the erasure; without this option, nothing is erased
    #[arg(long)]
    yes: bool,

    /// Succeed if nothing is stored of the tenant
    #[arg(long)]
    allow_absent: bool,

    #[command(flatten)]
    settings: StorageArgs,
}

impl Erase {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { yes, allow_absent, settings } = self;
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
        let erased = if allow_absent {
            keyring.erase(tenant).await?
        } else {
            keyring.erase_existing(tenant).await?.ok_or_else(|| {
                Failure::Absent(format!("nothing is stored of tenant {tenant}; check the name, or use --allow-absent"))
            })?
        };
        let Erased { keys, connections, others } = erased;
        // Any host key of this program may wrap a data key of the tenant in an older copy of the database.
        let host_keys = opened.keys.ids()?;
        if report.is_json() {
            report.json(&serde_json::json!({
                "tenant": tenant.as_str(),
                "keys": keys,
                "connections": connections,
                "others": others,
                "older_copies_open_with": host_keys,
            }));
            return Ok(());
        }
        let (keys, connections, others) = (
            count(keys, "data key", "data keys"),
            count(connections, "connection", "connections"),
            count(others, "other entry", "other entries"),
        );
        report.line(&format!("tenant {tenant}: erased {keys}, {connections} and {others}"));
        let host_keys: Vec<_> = host_keys.iter().map(ToString::to_string).collect();
        report.detail(
            "open",
            BAD,
            &format!("who has an older copy of the database can open it with host key {}", host_keys.join(" or ")),
        );
        let next = match opened.keys {
            HostKeySource::File(_) => {
                "keys rotate --single-machine --retire, or keys add if other machines have the key file".to_owned()
            }
            HostKeySource::Environment(_) => {
                format!(
                    "change the host key in {HOST_KEYS} step by step, as docs/storage.md says; then destroy the old one"
                )
            }
        };
        report.detail("next", Style::new(), &next);
        Ok(())
    }
}
