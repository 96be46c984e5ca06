//! `keys rotate`: brings everything under a new host key.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::seal::{Keyring, Rotated, RotationStep};

use crate::command_line::failure::Failure;
use crate::command_line::output::{BAD, GOOD, Report};
use crate::command_line::settings::{HOST_KEYS, Keys, Place};
use crate::command_line::words::count;

/// Bring every tenant under a new host key, and seal every record anew
#[derive(Args)]
#[command(after_help = "\
With a key file a new host key is drawn, unless a rotation is unfinished. With keys in the
environment put a new one in front of the others first: it wraps from then on. Every host must
have the new host key before. Calls go on meanwhile, and what was interrupted is finished by the
same command.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE, customer-7 connected, and no host running:

  $ tiktok-shop-harness keys rotate --wait 0
  to host key host-…
  1 tenant, 2 records sealed anew, 1 data key removed
  …

Exit status: 0 if all is under the current host key; 1 if a record does not open and stays as it
is; 16 if the database fails or an earlier host key is missing; others: tiktok-shop-harness
--help.")]
pub(crate) struct Rotate {
    /// Time for calls under way; less only while no host runs
    #[arg(long, value_name = "SECONDS", default_value_t = Keyring::GRACE.as_secs())]
    wait: u64,

    #[command(flatten)]
    place: Place,
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
}

impl Rotate {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { wait, place } = self;
        let stored = place.open(report).await?;
        let keyring = stored.keyring();
        let before = keyring.status().await?;
        if before.is_rotated() {
            // Changes nothing, but shows that every tenant's key opens: only then is a new host key put in front.
            keyring.rotate(Duration::ZERO, |_| {}).await?;
        }
        let current = match &stored.keys {
            Keys::File(file) if before.is_rotated() => file.add()?,
            Keys::Listed(_) if before.is_rotated() => {
                report.note(&format!(
                    "every data key is wrapped by {}: for another host key put ID:HEX, with 64 random hexadecimal \
                     digits, in front of the others in {HOST_KEYS}",
                    before.current
                ));
                before.current.clone()
            }
            Keys::File(_) | Keys::Listed(_) => before.current.clone(),
        };
        let records = before.keys.iter().filter(|key| key.host_key.as_ref() != Some(&current)).map(|key| key.records);
        let bar = report.progress("Sealing anew", records.sum());
        let rotated = keyring
            .rotate(Duration::from_secs(wait), |step| match step {
                RotationStep::Record => bar.inc(1),
                RotationStep::Waiting(wait) if wait.is_zero() => {}
                RotationStep::Waiting(wait) => report.note(&format!(
                    "waiting {} s for calls that are under way; if interrupted, the same command finishes it",
                    wait.as_secs()
                )),
            })
            .await;
        report.end_progress();
        let Rotated { tenants, added, rewrapped, resealed, removed, unopened } = rotated?;
        if unopened > 0 {
            report.failed();
        }
        if report.is_json() {
            let host_key = current.as_str();
            report.json(&Line { host_key, tenants, added, rewrapped, resealed, removed, unopened });
            return Ok(());
        }
        report.line(&format!("to host key {current}"));
        report.styled(
            GOOD,
            &format!(
                "{}, {} sealed anew, {} removed",
                count(tenants, "tenant", "tenants"),
                count(resealed, "record", "records"),
                count(removed, "data key", "data keys")
            ),
        );
        if unopened > 0 {
            let records = count(unopened, "record does", "records do");
            report.styled(BAD, &format!("{records} not open: damaged, or sealed elsewhere; keys status shows where"));
        }
        if before.current != current {
            report.detail("next", anstyle::Style::new(), &format!("keys retire {}", before.current));
        }
        Ok(())
    }
}
