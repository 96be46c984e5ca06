//! `keys erase`: erases everything that is stored for a tenant, including its data keys.

use anstyle::Style;
use clap::Args;
use tiktok_shop_host::seal::{Destruction, Erased};
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::{HostKeyId, InvalidId, KeyId, TenantId};

use super::NEEDS;
use crate::failure::Failure;
use crate::output::{BAD, Report, count};
use crate::settings::{HOST_KEYS, HostKeySource, StorageArgs};

/// Erase a tenant forever: its data keys, connections, events, consents and webhooks
#[derive(Args)]
#[command(after_help = "\
Give the tenant with --tenant or TIKTOK_SHOP_TENANT. After at most one minute, no host can open a
value of the tenant. When the command ends, SQLite's files contain no value of the tenant. If the
database is larger than 64 MiB, a copy may be left: then run VACUUM at a quiet time. Only one new
event is stored: tenant-erased says who erased the tenant. But older copies of the database still
contain the wrapped data keys: backups, and PostgreSQL's log and free pages. The command shows which
host keys can open such a copy. To make the erasure final, change the host key and delete all copies
of the old one: run keys rotate --single-machine --retire, or, if the key file has copies in use,
keys add, promote, rotate and retire. Make a new backup afterwards. Use a key file for one database
only: --retire removes the host keys that this database does not need. With a key service, the
command deletes the tenant's key there, if it may, and the erasure is final at once.

If nothing is stored of the tenant, its name may be misspelt. The command then says so, deletes no
key in a key service, and ends with 5. With --allow-absent it succeeds, and writes the event
tenant-erased in any case.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys erase --tenant gone --yes
  error: nothing is stored of tenant gone; check the name, or use --allow-absent

Exit status: 0 if everything of the tenant is erased; 1 if only the tenant's key in a key service is
left, because the program may not delete it; 2 without --yes, and then nothing is erased; 5 if
nothing is stored of the tenant, unless --allow-absent is given; 16 if the database or the key
service fails, and then the same command with --allow-absent finishes the erasure; for others see
tiktok-shop-harness --help.")]
pub(crate) struct Erase {
    /// Confirm the erasure; without this option, nothing is erased
    #[arg(long)]
    yes: bool,

    /// Succeed even if nothing of the tenant is stored
    #[arg(long)]
    allow_absent: bool,

    #[command(flatten)]
    settings: StorageArgs,
}

impl Erase {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { yes, allow_absent, settings } = self;
        if !settings.names_tenant() {
            return Err(Failure::Malformed("no tenant named; name it with --tenant".to_owned()));
        }
        let opened = settings.open_for(NEEDS, report).await?;
        let (keyring, tenant) = (opened.keyring(), &opened.tenant);
        if !yes {
            let (keys, records) = stored_of(tenant, &*opened.storage).await?;
            if keys == 0 {
                return Err(Failure::Malformed(format!(
                    "tenant {tenant}: no data key is stored; check the name, or erase everything else with --yes"
                )));
            }
            let (keys, records) = (count(keys, "data key", "data keys"), count(records, "record", "records"));
            return Err(Failure::Malformed(format!(
                "tenant {tenant}: {keys} with {records} would be lost forever; confirm with --yes"
            )));
        }
        // The erasure deletes the data keys, which say whether the key in the service belongs to this database.
        let destruction = keyring.destroy_host_key(tenant).await?;
        let erased = if allow_absent {
            keyring.erase(tenant).await?
        } else {
            keyring.erase_existing(tenant).await?.ok_or_else(|| {
                Failure::Absent(format!("nothing is stored of tenant {tenant}; check the name, or use --allow-absent"))
            })?
        };
        let Erased { keys, connections, others } = erased;
        // If the tenant's key in the service wrapped no data key of this database, that key may belong to another
        // database, and somebody else must decide.
        if matches!(destruction, Destruction::NotAllowed { .. }) {
            report.set_refused();
        }
        // Any host key of this program may wrap a data key of the tenant in an older copy of the database.
        let mut open_with = older_copies_open_with(&destruction, &opened.keys.ids()?);
        if report.is_json() {
            let mut line = serde_json::json!({
                "tenant": tenant.as_str(),
                "keys": keys,
                "connections": connections,
                "others": others,
                "older_copies_open_with": open_with,
            });
            let in_service = match &destruction {
                Destruction::Destroyed => Some("deleted"),
                Destruction::NotAllowed { .. } => Some("not-allowed"),
                Destruction::NotPossible => None,
            };
            if let (Some(line), Some(in_service)) = (line.as_object_mut(), in_service) {
                line.insert("key_in_service".to_owned(), in_service.into());
            }
            if let (Some(line), true) = (line.as_object_mut(), opened.keys.misses_keys()) {
                line.insert("host_keys_missing".to_owned(), true.into());
            }
            report.json(&line);
            return Ok(());
        }
        let (keys, connections, others) = (
            count(keys, "data key", "data keys"),
            count(connections, "connection", "connections"),
            count(others, "other entry", "other entries"),
        );
        report.line(&format!("tenant {tenant}: erased {keys}, {connections} and {others}"));
        if opened.keys.misses_keys() {
            open_with.push("that is not here".to_owned());
        }
        if open_with.is_empty() {
            report.line("the key service has no key of the tenant any more: no copy and no backup can be opened");
            return Ok(());
        }
        report.detail(
            "open",
            BAD,
            &format!("who has an older copy of the database can open it with host key {}", open_with.join(" or ")),
        );
        let next = match opened.keys {
            HostKeySource::Service { .. } => match destruction {
                Destruction::NotAllowed { next, .. } => next,
                Destruction::Destroyed | Destruction::NotPossible => {
                    "destroy the host keys that were used before the key service".to_owned()
                }
            },
            HostKeySource::File(_) => {
                "keys rotate --single-machine --retire, or keys add if other machines have the key file".to_owned()
            }
            HostKeySource::Missing(_) => {
                "name the host keys, then change the host key as docs/storage.md says".to_owned()
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

/// Returns the number of the tenant's data keys, and the number of records that are sealed with them. Reads nothing of
/// other tenants.
async fn stored_of(tenant: &TenantId, storage: &dyn HostStorage) -> Result<(u64, u64), Failure> {
    let keys = storage.tenant_keys(tenant).await?.len();
    // The ids of data keys are hexadecimal digits, so all of them come after this one.
    let start: KeyId = "!".parse().map_err(|error: InvalidId| Failure::Malformed(error.to_string()))?;
    let uses = storage.key_uses(Some((tenant, &start)), keys).await?;
    let own = uses.iter().filter(|found| found.tenant == *tenant);
    Ok(own.fold((0, 0), |(keys, records), found| (keys + 1, records + found.records)))
}

/// Returns the names of the host keys that can open older copies of the database.
fn older_copies_open_with(destruction: &Destruction, host_keys: &[HostKeyId]) -> Vec<String> {
    let in_service = match destruction {
        Destruction::NotAllowed { key, .. } => Some(key.clone()),
        Destruction::Destroyed | Destruction::NotPossible => None,
    };
    in_service.into_iter().chain(host_keys.iter().map(ToString::to_string)).collect()
}
