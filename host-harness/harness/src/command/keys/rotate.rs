//! `keys rotate`: moves all data keys and records to the current host key.

use std::time::Duration;

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_host::seal::{Keyring, Rotated, RotationStep};
use tiktok_shop_host::{HostKeyId, TenantId};
use tiktok_shop_key_service::KeyService;

use super::{Instead, NEEDS_KEY_FILE, check_changeable, key_file, unused};
use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report, count};
use crate::settings::{AllTenants, HOST_KEYS, HostKeySource, Needs, StorageArgs};

/// Move all tenants to the current host key, and seal every record again with new data keys
#[derive(Args)]
#[command(after_help = "\
This is the third of four steps that change the host key: keys add, keys promote, keys rotate, keys
retire. The command itself draws no host key. Before you run it, the current host key must be the
same on every machine, and every machine must still have the earlier one: run keys status there.
Calls continue during a rotation. To finish an interrupted rotation, run keys rotate again.

If no other process, machine or container uses a copy of the key file, use --single-machine: the
command then draws a new host key, makes it the current one, and rotates. Make a new backup
afterwards. Do not use it if copies are in use, for example by systemd's LoadCredential=. A process
that lacks the new host key can open nothing after the rotation, until it gets the key.

With a key service, rotate the keys there first. The command then moves every data key to the newest
version of its tenant's key.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE, customer-7 connected, and no host running:

  $ tiktok-shop-harness keys rotate --single-machine --wait 0
  the current host key is host-…
  1 tenant, 2 records sealed again, 1 data key removed
  …

  $ tiktok-shop-harness keys rotate --wait 0
  the current host key is host-…
  nothing to rotate: the current host key wraps every data key
  …

With --single-machine --retire, the command then removes all earlier host keys from the key file.
Afterwards nobody can open an older copy of the database, and every erased tenant and every ended
connection in it is gone for good. Delete the other copies of the earlier host keys, too. Backups of
the database from before the rotation become useless.

A record that can't be opened stays unchanged, and so does its data key, which the current host key
then wraps. All other records, and the removal of host keys, do not wait for it.

After Ctrl-C, SIGTERM or SIGHUP, the rotation stops at once. Every record can still be opened. To
finish the rotation, run keys rotate, without --single-machine.

Exit status: 0 if everything is under the current host key; 1 if a record can't be opened; 2 if
--single-machine is used with keys in the environment or a key service; 7 if a signal stopped the
rotation; 16 if the database fails or a host key is missing. Without --single-machine, all other
tenants are then rotated; with it, no host key is added or removed if one is missing. For others see
tiktok-shop-harness --help.")]
pub(crate) struct Rotate {
    /// Seconds to wait for running calls; 0 is safe if no host runs
    #[arg(long, value_name = "SECONDS", default_value_t = Keyring::GRACE.as_secs())]
    wait: u64,

    /// Draw and use a new host key; safe only if the key file has no copy in use
    #[arg(long)]
    single_machine: bool,

    /// Remove all earlier host keys from the key file after the rotation
    #[arg(long, requires = "single_machine")]
    retire: bool,

    #[command(flatten)]
    settings: StorageArgs<AllTenants>,
}

#[derive(Serialize)]
struct Line {
    host_key: HostKeyId,
    tenants: u64,
    added: u64,
    rewrapped: u64,
    resealed: u64,
    removed: u64,
    unopened: u64,
    /// The host keys that this command removed from the key file.
    retired: Vec<HostKeyId>,
    /// The host keys that wrap no data key, without the current host key.
    unused: Vec<HostKeyId>,
}

impl Rotate {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { wait, single_machine, retire, settings } = self;
        let needs = if single_machine { NEEDS_KEY_FILE } else { Needs::EVERYTHING };
        let opened = settings.open_for(needs, report).await?;
        let keyring = opened.keyring();
        let file = if single_machine {
            let instead = Instead {
                environment: "run keys rotate without --single-machine",
                service: "rotate the keys there, then run keys rotate without --single-machine",
            };
            let file = key_file(&opened.keys, &instead)?;
            check_changeable(&keyring, &opened.keys).await?;
            let added = keyring.add_host_key(file).await?;
            keyring.promote(file, &added).await?;
            Some(file)
        } else {
            None
        };
        let before = keyring.status().await?;
        let current = before.current.clone();
        let unused_before = unused(&before, &opened.keys)?;
        let records = before.keys.iter().filter(|key| key.host_key != key.current).map(|key| key.records);
        let bar = report.begin_progress("Sealing", records.sum());
        let rotating = keyring.rotate(Duration::from_secs(wait), |step| match step {
            RotationStep::Record => bar.inc(1),
            RotationStep::Waiting(wait) if wait.is_zero() => {}
            RotationStep::Waiting(wait) => report.note(&format!(
                "waiting {} s for running calls; keys rotate finishes an interrupted rotation",
                wait.as_secs()
            )),
        });
        // Each record is sealed again in a single write, so a signal may end the rotation between any two steps.
        let Some(rotated) = report.stop.run_until_cancelled(rotating).await else {
            return Err(Failure::Stopped("the rotation is unfinished; run keys rotate to finish it".to_owned()));
        };
        report.end_progress();
        let rotated = rotated?;
        if rotated.unopened > 0 {
            report.set_refused();
        }
        let mut retired = Vec::new();
        if let (true, Some(file)) = (retire, file) {
            for earlier in opened.keys.ids()?.into_iter().filter(|id| *id != current) {
                keyring.retire(file, &earlier).await?;
                retired.push(earlier);
            }
        }
        let unused = unused(&keyring.status().await?, &opened.keys)?;
        if report.is_json() {
            let Rotated { tenants, added, rewrapped, resealed, removed, unopened } = rotated;
            let host_key = current;
            report.json(&Line { host_key, tenants, added, rewrapped, resealed, removed, unopened, retired, unused });
            return Ok(());
        }
        match opened.keys.service() {
            Some(_) => report.line(&format!("the newest versions of the keys {current} wrap the data keys")),
            None => report.line(&format!("the current host key is {current}")),
        }
        print_rotated(rotated, opened.keys.service(), report);
        for earlier in &retired {
            report.line(&format!("host key {earlier} is retired"));
        }
        // If `--retire` has removed host keys, only the current host key is left, and the command prints no next step.
        if retired.is_empty() {
            let earlier: Vec<_> = unused.iter().filter(|id| !unused_before.contains(id)).cloned().collect();
            let tenant = before.keys.first().map_or(&opened.tenant, |key| &key.tenant);
            for next in next_steps(&opened.keys, tenant, &earlier, &unused, rotated) {
                report.detail("next", Style::new(), &next);
            }
        }
        Ok(())
    }
}

fn print_rotated(rotated: Rotated, service: Option<&KeyService>, report: &mut Report) {
    let Rotated { tenants, resealed, removed, unopened, .. } = rotated;
    if has_changed(rotated) {
        report.styled(
            GOOD,
            &format!(
                "{}, {} sealed again, {} removed",
                count(tenants, "tenant", "tenants"),
                count(resealed, "record", "records"),
                count(removed, "data key", "data keys")
            ),
        );
    } else {
        report.styled(
            GOOD,
            match service {
                Some(_) => "nothing to rotate: the newest version of its tenant's key wraps every data key",
                None => "nothing to rotate: the current host key wraps every data key",
            },
        );
    }
    if unopened > 0 {
        let records = count(unopened, "record", "records");
        report.styled(
            BAD,
            &format!("can't open {records}: damaged, or copied from another place; keys status shows the data keys"),
        );
    }
}

/// Returns true if a rotation changed anything, or if it found records that it could not open.
fn has_changed(rotated: Rotated) -> bool {
    let Rotated { tenants, .. } = rotated;
    rotated != Rotated { tenants, ..Rotated::default() }
}

/// Returns what the user should do next. `tenant` is a tenant for the examples in the text. `earlier` contains the host
/// keys that wrapped data keys before this rotation and wrap no data key now. `unused` contains all host keys that wrap
/// no data key, except the current host key.
fn next_steps(
    keys: &HostKeySource,
    tenant: &TenantId,
    earlier: &[HostKeyId],
    unused: &[HostKeyId],
    rotated: Rotated,
) -> Vec<String> {
    if !earlier.is_empty() {
        return earlier
            .iter()
            .map(|id| match keys {
                HostKeySource::File(_) | HostKeySource::Missing(_) => format!("keys retire {id}"),
                HostKeySource::Environment(_) => format!("remove {id} from {HOST_KEYS} on every machine"),
                HostKeySource::Service { .. } => remove_earlier(id),
            })
            .collect();
    }
    if has_changed(rotated) {
        return match keys {
            HostKeySource::File(_) | HostKeySource::Environment(_) | HostKeySource::Missing(_) => Vec::new(),
            HostKeySource::Service { .. } => {
                vec!["raise min_decryption_version of the keys in the key service, as docs/keys.md says".to_owned()]
            }
        };
    }
    if unused.is_empty() {
        return vec![match keys {
            HostKeySource::File(_) | HostKeySource::Missing(_) => "to change the host key, keys add".to_owned(),
            HostKeySource::Environment(_) => format!(
                "to change the host key, append a new ID:HEX with 64 random hexadecimal digits in {HOST_KEYS} on \
                 every machine; then put it before the others on every machine; then keys rotate"
            ),
            HostKeySource::Service { service, .. } => format!(
                "to rotate, first rotate the keys in the key service, for example with bao write -f {}/rotate",
                service.key_path(tenant)
            ),
        }];
    }
    unused
        .iter()
        .map(|id| match keys {
            HostKeySource::File(_) | HostKeySource::Missing(_) => {
                format!("keys promote {id} if it is new and every machine has it, or keys retire {id}")
            }
            HostKeySource::Environment(_) => {
                format!("put {id} before the others in {HOST_KEYS} if every machine has it, or remove it")
            }
            HostKeySource::Service { .. } => remove_earlier(id),
        })
        .collect()
}

/// Returns what to do with a host key that was used before the key service.
fn remove_earlier(id: &HostKeyId) -> String {
    format!("remove {id} on every machine; the key service has replaced it, and only earlier backups need it")
}
