//! `keys status`: counts the sealed records for each host key and each data key.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{KeyStatus, TenantKeyStatus};
use tiktok_shop_key_service::KeyService;

use super::missing;
use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report, count};
use crate::settings::{AllTenants, HostKeySource, KeyNeed, Needs, StorageArgs, TenantNeed};

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
    /// `null` if this program has no host keys.
    current: Option<&'a str>,
    /// `null` if this program has no host keys.
    rotation_needed: Option<bool>,
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

/// The keys in the database and on this machine.
struct Found<'a> {
    /// The stored data keys of all tenants.
    keys: &'a [TenantKeyStatus],
    /// The host keys that can unwrap data keys now.
    own: &'a [HostKeyId],
    /// The current host key. `None` if this program has no host keys.
    current: Option<&'a HostKeyId>,
    /// Whether nothing is left to rotate. `None` if this program has no host keys.
    is_rotated: Option<bool>,
    service: Option<&'a KeyService>,
}

impl Status {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let needs = Needs { keys: KeyNeed::Shown, tenant: TenantNeed::Any };
        let opened = self.settings.open_for(needs, report).await?;
        if let HostKeySource::Missing(why) = &opened.keys {
            let keys = opened.keyring().data_keys().await?;
            Found { keys: &keys, own: &[], current: None, is_rotated: None, service: None }.print(report);
            report.flush();
            return Err(Failure::Unavailable(why.clone()));
        }
        let status = opened.keyring().status().await?;
        let own = opened.keys.usable_ids(&status)?;
        if !missing(&status.keys, &own).is_empty() {
            report.set_key_missing();
        }
        let KeyStatus { current, keys } = &status;
        let (is_rotated, service) = (Some(status.is_rotated()), opened.keys.service());
        Found { keys, own: &own, current: Some(current), is_rotated, service }.print(report);
        Ok(())
    }
}

impl<'a> Found<'a> {
    fn print(&self, report: &mut Report) {
        if report.is_json() {
            self.print_json(report);
        } else {
            self.print_tables(report);
            self.print_advice(report);
        }
    }

    /// Returns, for each host key, the number of data keys that it wraps and the number of records that are sealed with
    /// these data keys. The entry `None` counts the erased data keys.
    fn uses(&self) -> BTreeMap<Option<&'a HostKeyId>, (u64, u64)> {
        let mut uses: BTreeMap<_, (u64, u64)> = self.own.iter().map(|id| (Some(id), (0, 0))).collect();
        for key in self.keys {
            let (data_keys, records) = uses.entry(key.host_key.as_ref()).or_default();
            *data_keys += 1;
            *records += key.records;
        }
        uses
    }

    fn print_json(&self, report: &mut Report) {
        let Self { keys, own, current, is_rotated, .. } = *self;
        let uses = self.uses();
        let host_keys = uses.iter().map(|(id, &(data_keys, records))| HostKeyLine {
            host_key: id.map(HostKeyId::as_str),
            data_keys,
            records,
            here: id.is_some_and(|id| own.contains(id)),
        });
        report.json(&StatusLine {
            current: current.map(HostKeyId::as_str),
            rotation_needed: is_rotated.map(|is_rotated| !is_rotated),
            missing: missing(keys, own).into_iter().map(|(id, _)| id.as_str()).collect(),
            host_keys: host_keys.collect(),
            keys: keys.iter().map(DataKeyLine::from).collect(),
        });
    }

    fn print_tables(&self, report: &mut Report) {
        let Self { keys, own, current, .. } = *self;
        let is_current =
            |id: &HostKeyId| Some(id) == current || keys.iter().any(|key| key.current.as_ref() == Some(id));
        report.table(
            ["host key", "data keys", "records", ""],
            self.uses().iter().map(|(id, (data_keys, records))| {
                let note = match id {
                    None => "",
                    Some(id) if !own.contains(id) => "missing",
                    Some(id) if is_current(id) => "current",
                    Some(_) if *data_keys == 0 => "unused",
                    Some(_) => "",
                };
                [name_or_erased(*id), data_keys.to_string(), records.to_string(), note.to_owned()]
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
    }

    /// Says which host keys are missing and what to do about them, or whether a rotation is needed.
    fn print_advice(&self, report: &mut Report) {
        let Self { keys, own, is_rotated, service, .. } = *self;
        let missing = missing(keys, own);
        if missing.is_empty() && is_rotated.is_none() {
            return;
        }
        report.line("");
        let is_in_service = |id: &HostKeyId| service.is_some_and(|service| service.owns(id));
        for (id, data_keys) in missing.iter().filter(|(id, _)| !is_in_service(id)) {
            let data_keys = count(*data_keys, "data key", "data keys");
            report.styled(
                BAD,
                &format!(
                    "host key {id} is missing; put it into the key file or the environment to open its {data_keys}"
                ),
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
                        "the key service has no key {path}; if it was deleted to erase the tenant, run keys erase \
                         --tenant {tenant}, else restore it there"
                    ),
                );
            }
        }
        match (is_rotated, service) {
            _ if !missing.is_empty() => {}
            (None, _) => {}
            (Some(true), Some(_)) => {
                report.styled(GOOD, "every data key is wrapped by the newest version of its tenant's key");
            }
            (Some(true), None) => report.styled(GOOD, "every data key is wrapped by the current host key"),
            (Some(false), _) => report.styled(BAD, "a rotation is needed or unfinished; run keys rotate"),
        }
    }
}

fn name_or_erased(host_key: Option<&HostKeyId>) -> String {
    host_key.map_or_else(|| "erased".to_owned(), ToString::to_string)
}
