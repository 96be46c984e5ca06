//! `keys`: manages the keys that seal tokens and ciphers.

mod add;
mod erase;
mod init;
mod promote;
mod retire;
mod rotate;
mod status;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{KeyFile, KeyStatus, Keyring, TenantKeyStatus};

use self::add::Add;
use self::erase::Erase;
use self::init::Init;
use self::promote::Promote;
use self::retire::Retire;
use self::rotate::Rotate;
use self::status::Status;
use crate::failure::Failure;
use crate::output::{Report, count};
use crate::settings::{HOST_KEYS, HostKeySource, KeyNeed, Needs, TenantNeed};

/// The needs of the `keys` commands that work without host keys. These commands also accept a tenant whose app is no
/// longer configured.
const NEEDS: Needs = Needs { keys: KeyNeed::None, tenant: TenantNeed::Any };

/// The needs of the `keys` commands that change the key file.
const NEEDS_KEY_FILE: Needs = Needs { keys: KeyNeed::KeyFile, tenant: TenantNeed::Any };

/// Manage the keys that seal tokens and ciphers
#[derive(Args)]
#[command(arg_required_else_help = false, after_help = AFTER_HELP)]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand)]
enum KeysCommand {
    Init(Init),
    Status(Status),
    Add(Add),
    Promote(Promote),
    Rotate(Rotate),
    Retire(Retire),
    Erase(Erase),
}

const AFTER_HELP: &str = "\
Each tenant has a data key, which seals the tenant's stored tokens and ciphers. A host key wraps the
data keys. The host keys come from the key file, from the environment or from a key service. The
first one is the current one: it wraps new data keys. Every one of them unwraps data keys. Run
keys init once to make the key file of a new database. No other command makes a key file, except on
the first run with the database and the key file in the data folder, and with a fake.

Four steps change the host key. After each step that changes the key file, copy the file to every
other machine that has a copy of it, before the next step:

  1. keys add         appends a new host key, which wraps nothing yet
  2. keys promote ID  makes it the current one
  3. keys rotate      moves all data keys and records to the current host key
  4. keys retire ID   removes the earlier host key

If no other process, machine or container uses a copy of the key file, keys rotate --single-machine
takes the first three steps at once. Make a new backup afterwards. docs/storage.md describes the
steps for host keys in the environment, under systemd and in Kubernetes.

A key service has a host key for each tenant. Rotate these keys there, and then run keys rotate.
docs/keys.md describes the steps.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness keys status
  host key               data keys  records
  …

  $ tiktok-shop-harness keys rotate --single-machine --wait 0
  …

Exit status: 0 if the command succeeded; 1 if a key is in use, or if a record can't be opened; 5 if
there is nothing of that name; 16 if the database fails or a key is missing; for others see
tiktok-shop-harness --help.";

impl Keys {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        match self.command {
            KeysCommand::Init(command) => command.run(report),
            KeysCommand::Status(command) => command.run(report).await,
            KeysCommand::Add(command) => command.run(report).await,
            KeysCommand::Promote(command) => command.run(report).await,
            KeysCommand::Rotate(command) => command.run(report).await,
            KeysCommand::Retire(command) => command.run(report).await,
            KeysCommand::Erase(command) => command.run(report).await,
        }
    }
}

/// What the user should do instead of a command that changes the key file, if the host keys are not in a key file.
struct Instead<'a> {
    /// What to do if the host keys come from the environment.
    environment: &'a str,
    /// What to do if the host keys are in a key service.
    service: &'a str,
}

/// Returns the key file. If the host keys are not in a key file, returns an error that says what the user should do
/// instead.
fn key_file<'a>(keys: &'a HostKeySource, instead: &Instead<'_>) -> Result<&'a KeyFile, Failure> {
    let Instead { environment, service } = instead;
    match keys {
        HostKeySource::File(file) => Ok(file),
        HostKeySource::Environment(_) => Err(Failure::Malformed(format!(
            "the host keys come from {HOST_KEYS}, which this program can't change; {environment}"
        ))),
        HostKeySource::Service { .. } => {
            Err(Failure::Malformed(format!("the host keys are in a key service; {service}")))
        }
        HostKeySource::Missing(why) => Err(Failure::Unavailable(why.clone())),
    }
}

/// Returns every host key that wraps stored data keys but is not in `own`, together with the number of data keys that
/// it wraps.
fn missing<'a>(keys: &'a [TenantKeyStatus], own: &[HostKeyId]) -> Vec<(&'a HostKeyId, u64)> {
    let mut missing: BTreeMap<&HostKeyId, u64> = BTreeMap::new();
    for id in keys.iter().filter_map(|key| key.host_key.as_ref()).filter(|id| !own.contains(id)) {
        *missing.entry(id).or_default() += 1;
    }
    missing.into_iter().collect()
}

/// Returns the host keys that this program has and that wrap no data key, except the current host key. Such a host key
/// was added but not promoted yet, or it was the current one before a rotation. If there is a key service, such a host
/// key was used before the service.
fn unused(status: &KeyStatus, keys: &HostKeySource) -> Result<Vec<HostKeyId>, Failure> {
    let uses = status.by_host_key();
    Ok(keys.ids()?.into_iter().filter(|id| !uses.contains_key(&Some(id))).collect())
}

/// Returns the status of all data keys. Fails if a host key is missing, or if the key of that name unwraps nothing. A
/// command calls this function before it changes the key file.
async fn check_changeable(keyring: &Keyring, keys: &HostKeySource) -> Result<KeyStatus, Failure> {
    let status = keyring.status().await?;
    refuse_missing(&status, keys)?;
    keyring.check_data_keys().await?;
    Ok(status)
}

/// Refuses to change the key file if stored data needs a host key that is not in the file. Such a file is probably not
/// the newest copy. If the user copied it to the other machines, it would replace the only files that contain the
/// missing host key.
fn refuse_missing(status: &KeyStatus, keys: &HostKeySource) -> Result<(), Failure> {
    match missing(&status.keys, &keys.ids()?).first() {
        None => Ok(()),
        Some((id, data_keys)) => Err(Failure::KeyMissing(format!(
            "host key {id} wraps {} and is not in the key file, so nothing was changed; copy the newest key file here, \
             or erase the tenants that keys status lists under this host key",
            count(*data_keys, "data key", "data keys")
        ))),
    }
}
