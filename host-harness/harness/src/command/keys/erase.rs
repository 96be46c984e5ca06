//! `keys erase`: erases everything that is stored for a tenant, including its data keys.

use anstyle::Style;
use clap::Args;
use tiktok_shop_host::seal::Erased;

use crate::failure::Failure;
use crate::output::{BAD, Report, count};
use crate::settings::{HOST_KEYS, HostKeySource, KeyNeed, Needs, StorageArgs, TenantNeed};

/// Erase a tenant forever: its data keys, connections, events, consents and webhooks
#[derive(Args)]
#[command(after_help = "\
Give the tenant with --tenant or TIKTOK_SHOP_TENANT. Afterwards no host can open a value of the
tenant, and SQLite's files contain none. Only one new event is stored: tenant-erased says who erased
the tenant. But older copies of the database still contain the wrapped data keys: backups, and
PostgreSQL's log and free pages. The command shows which host keys can open such a copy. To make the
erasure final, run keys rotate --retire, and delete all copies of the old host keys. Use a key file
for one database only: --retire removes the host keys that this database does not need.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys erase --tenant gone --yes
  tenant gone: erased 0 data keys, 0 connections and 0 other entries
  …

Exit status: 0 if everything of the tenant is erased; 2 without --yes, and then nothing is erased;
16 if the database fails, and then the same command finishes the erasure; for others see
tiktok-shop-harness --help.")]
pub(crate) struct Erase {
    /// Confirm the erasure; without this option, nothing is erased
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    settings: StorageArgs,
}

/// An erasure opens nothing. It is also for a tenant whose app is no longer configured.
const NEEDS: Needs = Needs { keys: KeyNeed::None, tenant: TenantNeed::Any };

impl Erase {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { yes, settings } = self;
        if !settings.names_tenant() {
            return Err(Failure::Malformed("no tenant named; name it with --tenant".to_owned()));
        }
        let opened = settings.open_for(NEEDS, report).await?;
        let (keyring, tenant) = (opened.keyring(), &opened.tenant);
        if !yes {
            let keys = keyring.data_keys().await?;
            let own = keys.iter().filter(|key| key.tenant == *tenant);
            let (keys, records) = own.fold((0, 0), |(keys, records), key| (keys + 1, records + key.records));
            let (keys, records) = (count(keys, "data key", "data keys"), count(records, "record", "records"));
            return Err(Failure::Malformed(format!(
                "tenant {tenant}: {keys} with {records} would be lost forever; confirm with --yes"
            )));
        }
        let Erased { keys, connections, others } = keyring.erase(tenant).await?;
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
        let host_keys = if host_keys.is_empty() {
            "s that are not here".to_owned()
        } else {
            format!(" {}", host_keys.join(" or "))
        };
        report.detail(
            "open",
            BAD,
            &format!("who has an older copy of the database can open it with host key{host_keys}"),
        );
        let next = match opened.keys {
            HostKeySource::File(_) => "keys rotate --retire".to_owned(),
            HostKeySource::Missing(_) => "name the host keys, then run keys rotate --retire".to_owned(),
            HostKeySource::Environment(_) => {
                format!("put a new key before the others in {HOST_KEYS}, run keys rotate, then remove the others")
            }
        };
        report.detail("next", Style::new(), &next);
        Ok(())
    }
}
