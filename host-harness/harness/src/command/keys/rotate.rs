//! `keys rotate`: changes to a new host key, and seals every record again with new data keys.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{Keyring, Rotated, RotationStep, TenantKeyStatus};

use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report, count};
use crate::settings::{AllTenants, HOST_KEYS, HostKeySource, StorageArgs};

/// Change to a new host key, and seal every record again with new data keys
#[derive(Args)]
#[command(after_help = "\
With a key file, the command adds a new host key to the file. If an earlier rotation is unfinished,
the command finishes it instead. With keys in the environment, put the new key before the others
first, because the first key wraps the data keys. If other hosts have copies of the keys, they need
the new host key before the rotation; docs/storage.md explains how. With a key service, rotate the
keys there first; the command then moves every data key to the newest version of its tenant's key. Calls continue during a
rotation. To finish an interrupted rotation, run the same command again.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE, customer-7 connected, and no host running:

  $ tiktok-shop-harness keys rotate --wait 0
  the current host key is host-…
  1 tenant, 2 records sealed again, 1 data key removed
  …

With --retire, the command then removes all earlier host keys from the key file. Afterwards nobody
can open an older copy of the database, and every erased tenant and every ended connection in it is
gone for good. Delete the other copies of the earlier host keys, too. Backups of the database from
before the rotation become useless.

A record that can't be opened stays unchanged, and so does its data key, which the new host key then
wraps. All other records, and the removal of host keys, do not wait for it.

After Ctrl-C, SIGTERM or SIGHUP, the rotation stops at once. Every record can still be opened. To
finish the rotation, run the same command again.

Exit status: 0 if everything is under the current host key; 1 if a record can't be opened; 2 if
--retire is used with keys in the environment or a key service; 7 if a signal stopped the rotation;
16 if the database fails or an earlier host key is missing, and then all other tenants are rotated
and no host key is removed; for others see tiktok-shop-harness --help.")]
pub(crate) struct Rotate {
    /// Seconds to wait for running calls before earlier data keys are removed; 0 is safe if no host runs
    #[arg(long, value_name = "SECONDS", default_value_t = Keyring::GRACE.as_secs())]
    wait: u64,

    /// Remove all earlier host keys from the key file after the rotation
    #[arg(long)]
    retire: bool,

    #[command(flatten)]
    settings: StorageArgs<AllTenants>,
}

#[derive(Serialize)]
struct Line<'a> {
    host_key: &'a str,
    tenants: u64,
    added: u64,
    rewrapped: u64,
    resealed: u64,
    removed: u64,
    unopened: u64,
    /// The host keys that this command removed from the key file.
    retired: Vec<HostKeyId>,
}

impl Rotate {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { wait, retire, settings } = self;
        let opened = settings.open(report).await?;
        match &opened.keys {
            HostKeySource::Environment(_) if retire => {
                return Err(Failure::Malformed(format!(
                    "the host keys come from {HOST_KEYS}; run keys rotate without --retire, then remove the old keys \
                     there"
                )));
            }
            HostKeySource::Service { .. } if retire => {
                return Err(Failure::Malformed(
                    "the host keys are in a key service; run keys rotate without --retire, then raise \
                     min_decryption_version there"
                        .to_owned(),
                ));
            }
            HostKeySource::File(_)
            | HostKeySource::Environment(_)
            | HostKeySource::Service { .. }
            | HostKeySource::Missing(_) => {}
        }
        let keyring = opened.keyring();
        let before = keyring.status().await?;
        if before.is_rotated() {
            // This rotation changes nothing. It only checks that the data keys of every tenant can be unwrapped. If a
            // data key can't be unwrapped, the command fails here, before it adds a new host key.
            keyring.rotate(Duration::ZERO, |_| {}).await?;
        }
        let current = match &opened.keys {
            HostKeySource::File(file) if before.is_rotated() => file.add()?,
            HostKeySource::Environment(_) if before.is_rotated() => {
                report.note(&format!(
                    "every data key is already wrapped by {}; to change the host key, put a new ID:HEX with 64 random \
                     hexadecimal digits before the others in {HOST_KEYS}",
                    before.current
                ));
                before.current.clone()
            }
            HostKeySource::Service { service, .. } if before.is_rotated() => {
                report.note(&format!(
                    "every data key is already wrapped by the newest version of its tenant's key; to rotate, first \
                     rotate the keys in the key service, for example with bao write -f {}/rotate",
                    service.key_path(before.keys.first().map_or(&opened.tenant, |key| &key.tenant))
                ));
                before.current.clone()
            }
            HostKeySource::File(_)
            | HostKeySource::Environment(_)
            | HostKeySource::Service { .. }
            | HostKeySource::Missing(_) => before.current.clone(),
        };
        let newest = |key: &TenantKeyStatus| match opened.keys.service() {
            Some(_) => key.current.clone(),
            None => Some(current.clone()),
        };
        let records = before.keys.iter().filter(|key| key.host_key != newest(key)).map(|key| key.records);
        let bar = report.begin_progress("Sealing", records.sum());
        let rotating = keyring.rotate(Duration::from_secs(wait), |step| match step {
            RotationStep::Record => bar.inc(1),
            RotationStep::Waiting(wait) if wait.is_zero() => {}
            RotationStep::Waiting(wait) => report.note(&format!(
                "waiting {} s for running calls; to finish an interrupted rotation, run the same command again",
                wait.as_secs()
            )),
        });
        // Each record is sealed again by one write, so a rotation can end between any two steps.
        let Some(rotated) = report.stop.run_until_cancelled(rotating).await else {
            return Err(Failure::Stopped("the rotation is unfinished; run the same command again".to_owned()));
        };
        report.end_progress();
        let Rotated { tenants, added, rewrapped, resealed, removed, unopened } = rotated?;
        let mut retired = Vec::new();
        if unopened > 0 {
            report.set_refused();
        }
        if let (true, HostKeySource::File(file)) = (retire, &opened.keys) {
            for earlier in opened.keys.ids()?.into_iter().filter(|id| *id != current) {
                keyring.retire(file, &earlier).await?;
                retired.push(earlier);
            }
        }
        if report.is_json() {
            let host_key = current.as_str();
            report.json(&Line { host_key, tenants, added, rewrapped, resealed, removed, unopened, retired });
            return Ok(());
        }
        match opened.keys.service() {
            Some(_) => report.line(&format!("the newest versions of the keys {current} wrap the data keys")),
            None => report.line(&format!("the current host key is {current}")),
        }
        report.styled(
            GOOD,
            &format!(
                "{}, {} sealed again, {} removed",
                count(tenants, "tenant", "tenants"),
                count(resealed, "record", "records"),
                count(removed, "data key", "data keys")
            ),
        );
        if unopened > 0 {
            let records = count(unopened, "record", "records");
            report.styled(
                BAD,
                &format!(
                    "can't open {records}: damaged, or copied from another place; keys status shows the data keys"
                ),
            );
        }
        for earlier in &retired {
            report.line(&format!("host key {earlier} is retired"));
        }
        if retire && retired.is_empty() {
            report.styled(BAD, "no host key is retired");
        } else if before.current != current && !retire {
            report.detail("next", anstyle::Style::new(), &format!("keys retire {}", before.current));
        }
        Ok(())
    }
}
