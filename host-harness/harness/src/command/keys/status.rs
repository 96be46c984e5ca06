//! `keys status`: counts the sealed records for each host key and each data key.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{KeyStatus, TenantKeyStatus};

use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report};
use crate::settings::{AllTenants, HostKeySource, KeyNeed, Needs, StorageArgs, TenantNeed};

/// Count the sealed records for each host key and each data key, and say whether a rotation is needed
#[derive(Args)]
#[command(after_help = "\
Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness keys status
  host key               data keys  records
  host-…  1          2        current
  …
  every data key is wrapped by the current host key

Exit status: 0; 3 if there are no host keys here, and then all of them are shown as missing; 16 if
the database fails; for others see tiktok-shop-harness --help.")]
pub(crate) struct Status {
    #[command(flatten)]
    settings: StorageArgs<AllTenants>,
}

#[derive(Serialize)]
struct StatusLine<'a> {
    current: &'a str,
    rotation_needed: bool,
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
        let needs = Needs { keys: KeyNeed::None, tenant: TenantNeed::Any };
        let opened = self.settings.open_for(needs, report).await?;
        if let HostKeySource::Missing(why) = &opened.keys {
            return without_host_keys(&opened.keyring().data_keys().await?, why, report);
        }
        let status = opened.keyring().status().await?;
        let own = opened.keys.ids()?;
        if report.is_json() {
            print_json(&status, &own, report);
        } else {
            print_text(&status, &own, report);
        }
        Ok(())
    }
}

/// Prints the data keys of a database whose host keys are missing, and returns why they are missing.
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

/// Prints the status as JSON. `own` are the host keys that this program has.
fn print_json(status: &KeyStatus, own: &[HostKeyId], report: &mut Report) {
    let mut uses = status.by_host_key();
    for id in own {
        uses.entry(Some(id)).or_default();
    }
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
        host_keys: host_keys.collect(),
        keys: keys.collect(),
    });
}

/// Prints the status as tables. `own` are the host keys that this program has.
fn print_text(status: &KeyStatus, own: &[HostKeyId], report: &mut Report) {
    let KeyStatus { current, keys } = status;
    let mut uses = status.by_host_key();
    for id in own {
        uses.entry(Some(id)).or_default();
    }
    let missing = uses.keys().copied().flatten().find(|id| !own.contains(id));
    report.table(
        ["host key", "data keys", "records", ""],
        uses.iter().map(|(id, (keys, records))| {
            let note = match id {
                None => "",
                Some(id) if *id == current => "current",
                Some(id) if !own.contains(id) => "missing",
                Some(_) if *keys == 0 => "can be retired",
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
    if let Some(id) = missing {
        report.styled(
            BAD,
            &format!("host key {id} is missing; put it into the key file or the environment to open its data keys"),
        );
    } else if status.is_rotated() {
        report.styled(GOOD, "every data key is wrapped by the current host key");
    } else {
        report.styled(BAD, "a rotation is needed or unfinished; run keys rotate");
    }
}

fn name_or_erased(host_key: Option<&HostKeyId>) -> String {
    host_key.map_or_else(|| "erased".to_owned(), ToString::to_string)
}
