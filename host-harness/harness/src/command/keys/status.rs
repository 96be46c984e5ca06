//! `keys status`: counts the sealed records for each host key and each data key.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{KeyStatus, TenantKeyStatus};
use tiktok_shop_key_service::KeyService;

use super::{NEEDS, missing};
use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report, count};
use crate::settings::{AllTenants, HostKeySource, StorageArgs};

/// Count the records of each host key and data key, and say if a rotation is needed
#[derive(Args)]
#[command(after_help = "\
The last column of the first table says what a host key is here: the current one, which wraps new
data keys; missing, if stored data needs it and this machine lacks it; or unused, if it wraps no
data key. An unused host key was added and not promoted yet, or a rotation has replaced it. Before a
change of the host key goes on, run this command on every machine: each must list the same host keys
with the same current one.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness keys status
  host key               data keys  records
  host-…  1          2        current
  …
  every data key is wrapped by the current host key

With a key service, each tenant has a host key there, and its id ends with the version of the key.
Such a host key is missing if the service has no key of the tenant.

Exit status: 0; 3 if there are no host keys here, and then all of them are shown as missing; 16 if
the database fails, or if some host keys are missing, and then the tables are still printed; for
others see tiktok-shop-harness --help.")]
pub(crate) struct Status {
    #[command(flatten)]
    settings: StorageArgs<AllTenants>,
}

#[derive(Serialize)]
struct StatusLine<'a> {
    current: &'a str,
    rotation_needed: bool,
    /// The host keys that wrap stored data keys but that this program does not have.
    missing: Vec<&'a str>,
    host_keys: Vec<HostKeyLine<'a>>,
    keys: Vec<DataKeyLine<'a>>,
}

#[derive(Serialize)]
struct HostKeyLine<'a> {
    /// `null` in the entry that counts the erased data keys.
    host_key: Option<&'a str>,
    data_keys: u64,
    records: u64,
    /// Whether this program has the host key. Without the host key, the program can't unwrap the data keys that the
    /// host key wraps.
    here: bool,
}

#[derive(Serialize)]
struct DataKeyLine<'a> {
    tenant: &'a str,
    key: &'a str,
    /// `null` if the data key is erased.
    host_key: Option<&'a str>,
    records: u64,
}

impl<'a> From<&'a TenantKeyStatus> for DataKeyLine<'a> {
    fn from(key: &'a TenantKeyStatus) -> Self {
        Self {
            tenant: key.tenant.as_str(),
            key: key.key.as_str(),
            host_key: key.host_key.as_ref().map(HostKeyId::as_str),
            records: key.records,
        }
    }
}

impl Status {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let opened = self.settings.open_for(NEEDS, report).await?;
        if let HostKeySource::Missing(why) = &opened.keys {
            return without_host_keys(&opened.keyring().data_keys().await?, why, report);
        }
        let status = opened.keyring().status().await?;
        let own = opened.keys.usable_ids(&status)?;
        if !missing(&status, &own).is_empty() {
            report.set_key_missing();
        }
        if report.is_json() {
            print_json(&status, &own, opened.keys.service(), report);
        } else {
            print_text(&status, &own, opened.keys.service(), report);
        }
        Ok(())
    }
}

/// Prints the stored data keys although this program has no host keys. Returns an error with the reason `why`.
fn without_host_keys(keys: &[TenantKeyStatus], why: &str, report: &mut Report) -> Result<(), Failure> {
    let mut uses: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for key in keys {
        let (number, records) = uses.entry(key.host_key.as_ref()).or_default();
        *number += 1;
        *records += key.records;
    }
    if report.is_json() {
        let line = |(id, &(data_keys, records)): (&Option<&HostKeyId>, &(u64, u64))| serde_json::json!({ "host_key": id.map(HostKeyId::as_str), "data_keys": data_keys, "records": records, "here": false });
        let host_keys: Vec<_> = uses.iter().map(line).collect();
        let keys: Vec<_> = keys.iter().map(DataKeyLine::from).collect();
        report.json(&serde_json::json!({ "current": null, "host_keys": host_keys, "keys": keys }));
    } else {
        report.table(
            ["host key", "data keys", "records", ""],
            uses.iter().map(|(id, (keys, records))| {
                let note = if id.is_some() { "missing" } else { "" };
                [name_or_erased(*id), keys.to_string(), records.to_string(), note.to_owned()]
            }),
        );
    }
    report.flush();
    Err(Failure::Unavailable(why.to_owned()))
}

/// Returns, for each host key, the number of data keys that it wraps and the number of records that are sealed with
/// these data keys. `own` contains the host keys that can unwrap data keys now.
fn uses<'a>(
    status: &'a KeyStatus,
    own: &'a [HostKeyId],
    service: Option<&KeyService>,
) -> BTreeMap<Option<&'a HostKeyId>, (u64, u64)> {
    let mut uses = status.by_host_key();
    if service.is_some() {
        uses.remove(&Some(&status.current)); // With a key service, this id stands for the keys of all tenants.
    }
    for id in own {
        uses.entry(Some(id)).or_default();
    }
    uses
}

/// Prints the status as JSON. `own` contains the host keys that can unwrap data keys now.
fn print_json(status: &KeyStatus, own: &[HostKeyId], service: Option<&KeyService>, report: &mut Report) {
    let uses = uses(status, own, service);
    let host_keys = uses.iter().map(|(id, &(data_keys, records))| HostKeyLine {
        host_key: id.map(HostKeyId::as_str),
        data_keys,
        records,
        here: id.is_some_and(|id| own.contains(id)),
    });
    let keys = status.keys.iter().map(DataKeyLine::from);
    report.json(&StatusLine {
        current: status.current.as_str(),
        rotation_needed: !status.is_rotated(),
        missing: missing(status, own).into_iter().map(|(id, _)| id.as_str()).collect(),
        host_keys: host_keys.collect(),
        keys: keys.collect(),
    });
}

/// Prints the status as tables. `own` contains the host keys that can unwrap data keys now.
fn print_text(status: &KeyStatus, own: &[HostKeyId], service: Option<&KeyService>, report: &mut Report) {
    let KeyStatus { current, keys } = status;
    let uses = uses(status, own, service);
    let is_current = |id: &HostKeyId| id == current || keys.iter().any(|key| key.current.as_ref() == Some(id));
    report.table(
        ["host key", "data keys", "records", ""],
        uses.iter().map(|(id, (keys, records))| {
            let note = match id {
                None => "",
                Some(id) if !own.contains(id) => "missing",
                Some(id) if is_current(id) => "current",
                Some(_) if *keys == 0 => "unused",
                Some(_) => "",
            };
            [name_or_erased(*id), keys.to_string(), records.to_string(), note.to_owned()]
        }),
    );
    if !keys.is_empty() {
        report.line("");
        report.table(
            ["tenant", "data key", "host key", "records"],
            keys.iter().map(|key| {
                let host_key = name_or_erased(key.host_key.as_ref());
                [key.tenant.as_str(), key.key.as_str(), &host_key, &key.records.to_string()].map(str::to_owned)
            }),
        );
    }
    report.line("");
    let missing = missing(status, own);
    let is_in_service = |id: &HostKeyId| service.is_some_and(|service| service.owns(id));
    for (id, data_keys) in missing.iter().filter(|(id, _)| !is_in_service(id)) {
        let data_keys = count(*data_keys, "data key", "data keys");
        report.styled(
            BAD,
            &format!("host key {id} is missing; put it into the key file or the environment to open its {data_keys}"),
        );
    }
    if let Some(service) = service {
        let is_missing = |id: &HostKeyId| service.owns(id) && !own.contains(id);
        let without_key = keys.iter().filter(|key| key.host_key.as_ref().is_some_and(is_missing));
        for tenant in without_key.map(|key| &key.tenant).collect::<BTreeSet<_>>() {
            let path = service.key_path(tenant);
            report.styled(
                BAD,
                &format!(
                    "the key service has no key {path}; if it was deleted to erase the tenant, run keys erase --tenant \
                     {tenant}, else restore it there"
                ),
            );
        }
    }
    if !missing.is_empty() {
        return;
    }
    if status.is_rotated() {
        let wrapped = match service {
            Some(_) => "every data key is wrapped by the newest version of its tenant's key",
            None => "every data key is wrapped by the current host key",
        };
        report.styled(GOOD, wrapped);
    } else {
        report.styled(BAD, "a rotation is needed or unfinished; run keys rotate");
    }
}

fn name_or_erased(host_key: Option<&HostKeyId>) -> String {
    host_key.map_or_else(|| "erased".to_owned(), ToString::to_string)
}
