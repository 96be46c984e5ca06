//! `keys`: the keys under which tokens and ciphers are sealed.

mod rotate;

use clap::{Args, Subcommand};
use serde::Serialize;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{Erased, KeyStatus};

use self::rotate::Rotate;
use super::failure::Failure;
use super::output::{BAD, GOOD, Report};
use super::settings::{HOST_KEYS, Keys, Place, Stored};
use super::words::count;

/// Look after the keys under which tokens and ciphers are sealed
#[derive(Args)]
#[command(arg_required_else_help = false, after_help = AFTER_HELP)]
pub(crate) struct KeysCommand {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Status(Status),
    Rotate(Rotate),
    Retire(Retire),
    Erase(Erase),
}

const AFTER_HELP: &str = "\
A data key of each tenant seals what is stored, and a host key, from the key file or the
environment, wraps data keys. To change the host key: keys rotate, then keys retire with the name
of the one before.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness keys status
  host key               data keys  records
  …

  $ tiktok-shop-harness keys rotate --wait 0
  …

Exit status: 0 if it is done; 1 if a key is in use, or a record does not open; 16 if the database
fails or a key is missing; others: tiktok-shop-harness --help.";

/// Count what is sealed under each key, and say whether a rotation is needed
#[derive(Args)]
#[command(after_help = "\
Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness keys status
  host key               data keys  records
  host-…  1          2        current
  …
  every data key is wrapped by the current host key

Exit status: 0; 16 if the database fails; others: tiktok-shop-harness --help.")]
pub(crate) struct Status {
    #[command(flatten)]
    place: Place,
}

/// Take a host key out of the key file that wraps nothing any more
#[derive(Args)]
#[command(after_help = "\
Another key of the same file wraps by then: see keys rotate.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys retire host-0000000000000000
  error: there is no host key host-0000000000000000

Exit status: 0 if it is gone; 1 if it is in use or the current one, then it stays; 2 if there is
none of that name; others: tiktok-shop-harness --help.")]
pub(crate) struct Retire {
    /// As keys status names it
    #[arg(value_name = "ID")]
    host_key: HostKeyId,

    #[command(flatten)]
    place: Place,
}

/// Erase a tenant: its data keys, then its connections. Nothing brings them back
#[derive(Args)]
#[command(after_help = "\
The tenant has to be named, by --tenant or its variable. Events stay, and hold no secret. Copies of
the database from before hold the wrapped keys, too: retire the host key that wraps them.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness keys erase --tenant gone --yes
  tenant gone: 0 data keys and 0 connections are erased

Exit status: 0 if nothing of it is left; 2 without --yes, then nothing is erased; others:
tiktok-shop-harness --help.")]
pub(crate) struct Erase {
    /// Do it
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    place: Place,
}

impl KeysCommand {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        match self.task {
            Task::Status(task) => task.run(report).await,
            Task::Rotate(task) => task.run(report).await,
            Task::Retire(task) => task.run(report).await,
            Task::Erase(task) => task.run(report).await,
        }
    }
}

#[derive(Serialize)]
struct StatusLine<'a> {
    current: &'a str,
    rotation_needed: bool,
    host_keys: Vec<HostKeyLine<'a>>,
    keys: Vec<KeyLine<'a>>,
}

#[derive(Serialize)]
struct HostKeyLine<'a> {
    /// `null`: of data keys that are erased.
    host_key: Option<&'a str>,
    data_keys: u64,
    records: u64,
    /// `false`: what it wraps does not open here.
    here: bool,
}

#[derive(Serialize)]
struct KeyLine<'a> {
    tenant: &'a str,
    key: &'a str,
    /// `null`: erased.
    host_key: Option<&'a str>,
    records: u64,
}

fn shown(host_key: Option<&HostKeyId>) -> String {
    host_key.map_or_else(|| "erased".to_owned(), ToString::to_string)
}

impl Status {
    async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let stored = self.place.open(report).await?;
        let status = stored.keyring().status().await?;
        let KeyStatus { current, keys } = &status;
        let own = stored.keys.ids()?;
        let mut uses = status.by_host_key();
        for id in &own {
            uses.entry(Some(id)).or_default();
        }
        let is_here = |id: Option<&HostKeyId>| id.is_some_and(|id| own.contains(id));
        let missing = uses.keys().find(|id| id.is_some() && !is_here(**id)).copied().flatten();
        if report.is_json() {
            let host_keys = uses.iter().map(|(id, &(data_keys, records))| HostKeyLine {
                host_key: id.map(HostKeyId::as_str),
                data_keys,
                records,
                here: is_here(*id),
            });
            let keys = keys.iter().map(|key| KeyLine {
                tenant: key.tenant.as_str(),
                key: key.key.as_str(),
                host_key: key.host_key.as_ref().map(HostKeyId::as_str),
                records: key.records,
            });
            report.json(&StatusLine {
                current: current.as_str(),
                rotation_needed: !status.is_rotated(),
                host_keys: host_keys.collect(),
                keys: keys.collect(),
            });
            return Ok(());
        }
        report.table(
            ["host key", "data keys", "records", ""],
            uses.iter().map(|(id, (keys, records))| {
                let note = match id {
                    None => "",
                    Some(id) if *id == current => "current",
                    Some(_) if !is_here(*id) => "missing here",
                    Some(_) if *keys == 0 => "may be retired",
                    Some(_) => "",
                };
                [shown(*id), keys.to_string(), records.to_string(), note.to_owned()]
            }),
        );
        if !keys.is_empty() {
            report.line("");
            report.table(
                ["tenant", "data key", "host key", "records"],
                keys.iter().map(|key| {
                    [key.tenant.as_str(), key.key.as_str(), &shown(key.host_key.as_ref()), &key.records.to_string()]
                        .map(str::to_owned)
                }),
            );
        }
        report.line("");
        if let Some(id) = missing {
            let where_to = "give it back in the key file, or the environment";
            report.styled(BAD, &format!("what host key {id} wraps does not open here: {where_to}"));
        } else if status.is_rotated() {
            report.styled(GOOD, "every data key is wrapped by the current host key");
        } else {
            report.styled(BAD, "a rotation is needed, or unfinished: keys rotate");
        }
        Ok(())
    }
}

impl Retire {
    async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let stored = self.place.open(report).await?;
        let Keys::File(file) = &stored.keys else {
            return Err(Failure::Malformed(format!("the host keys stand in {HOST_KEYS}: take it out there")));
        };
        stored.keyring().retire(file, &self.host_key).await?;
        if report.is_json() {
            report.json(&serde_json::json!({ "retired": self.host_key.as_str() }));
        } else {
            report.line(&format!("host key {} is retired", self.host_key));
        }
        Ok(())
    }
}

impl Erase {
    async fn run(self, report: &mut Report) -> Result<(), Failure> {
        if self.place.tenant.is_none() {
            return Err(Failure::Malformed("which tenant? --tenant names it".to_owned()));
        }
        let stored = self.place.open(report).await?;
        let (keyring, Stored { tenant, .. }) = (stored.keyring(), &stored);
        if !self.yes {
            let keys = keyring.status().await?.keys;
            let own = keys.iter().filter(|key| key.tenant == *tenant);
            let (keys, records) = own.fold((0, 0), |(keys, records), key| (keys + 1, records + key.records));
            let (keys, records) = (count(keys, "data key", "data keys"), count(records, "record", "records"));
            return Err(Failure::Malformed(format!(
                "tenant {tenant}: {keys} with {records} would be lost for good; --yes does it"
            )));
        }
        let Erased { keys, connections } = keyring.erase(tenant, stored.now()).await?;
        if report.is_json() {
            report.json(&serde_json::json!({ "tenant": tenant.as_str(), "keys": keys, "connections": connections }));
            return Ok(());
        }
        let (keys, connections) =
            (count(keys, "data key", "data keys"), count(connections, "connection", "connections"));
        report.line(&format!("tenant {tenant}: {keys} and {connections} are erased"));
        Ok(())
    }
}
