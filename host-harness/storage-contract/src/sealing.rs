//! Checks of sealed values, which are encrypted with a tenant's key: the storage counts and lists them by key, and
//! `reseal` replaces exactly the value that was read.

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::{all, eventually, race};
use super::samples::{self, revision_and_value, tenant_key};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::{Due, KeyUse, Next, Purpose, Sealed, SealedRecord, StorageError, Swapped};
use tiktok_shop_host::{KeyId, Revision, TenantId};

/// Reads the records that are sealed with this key, in pages of at most `limit` entries. Returns the purpose and the
/// connection of each record.
pub(super) async fn listed(
    tenant: &Tenant,
    key: &KeyId,
    limit: usize,
) -> Result<Vec<(Purpose, ConnectionKey)>, Broken> {
    Ok(records(tenant, key, limit).await?.into_iter().map(|record| (record.purpose, record.key)).collect())
}

/// Reads the records that are sealed with this key, in pages of at most `limit` entries.
async fn records(tenant: &Tenant, key: &KeyId, limit: usize) -> Result<Vec<SealedRecord>, Broken> {
    let mut records: Vec<SealedRecord> = Vec::new();
    loop {
        let after = records.last().map(|last| (last.purpose, &last.key));
        let page = tenant.storage.sealed_under(&tenant.id, key, after, limit).await?;
        ensure!(page.len() <= limit, "`sealed_under` returned {} entries, but the limit is {limit}", page.len());
        if page.is_empty() {
            return Ok(records);
        }
        for record in page {
            let last = records.last().map(|last| (last.purpose, last.key.clone()));
            let place = (record.purpose, record.key.clone());
            ensure!(last.as_ref() < Some(&place), "`sealed_under` returned {place:?} after {last:?}");
            ensure!(record.sealed.key() == key, "`sealed_under` of {key:?} returned {record:?}");
            records.push(record);
        }
    }
}

/// Returns every key of this check's tenants, and for each key the number of records that are sealed with it. Reads the
/// list of all keys in pages of at most `limit` entries. The entries of this check's tenants follow each other, so
/// reading ends at the first entry of another tenant.
async fn uses(trial: &Trial, limit: usize) -> Result<Vec<KeyUse>, Broken> {
    let mut last: (TenantId, KeyId) = (trial.first_tenant()?, "\0".parse()?);
    let mut own = Vec::new();
    loop {
        let page = trial.storage.key_uses(Some((&last.0, &last.1)), limit).await?;
        ensure!(page.len() <= limit, "`key_uses` returned {} entries, but the limit is {limit}", page.len());
        if page.is_empty() {
            return Ok(own);
        }
        for used in page {
            let place = (used.tenant.clone(), used.key.id.clone());
            ensure!(place > last, "`key_uses` returned {place:?} after {last:?}");
            last = place;
            if !trial.is_own(&used.tenant) {
                return Ok(own);
            }
            own.push(used);
        }
    }
}

pub(super) async fn key_uses_are_counted_and_listed_page_by_page(trial: &Trial) -> Result<(), Broken> {
    let mut tenants = Vec::new();
    for end in ["", "\0", "\u{ffff}", "\u{10000}", "A", "a"] {
        tenants.push(trial.tenant_with_suffix(end).await?);
    }
    // Each tuple holds the index of a tenant, a key of this tenant, and the number of records that the key seals.
    let counted = |counts: &[(usize, &str, u64)]| {
        let used = |(tenant, key, records): &(usize, &str, u64)| {
            let tenant = tenants.get(*tenant).map(|tenant| tenant.id.clone());
            let tenant = tenant.ok_or_else(|| Broken("no such tenant".to_owned()))?;
            let wrapped = if *key == "key" { b"wrapped".as_slice() } else { key.as_bytes() };
            Ok::<_, Broken>(KeyUse { tenant, key: tenant_key(key, wrapped)?, records: *records })
        };
        let mut uses = counts.iter().map(used).collect::<Result<Vec<_>, _>>()?;
        uses.sort_by(|one, other| (&one.tenant, &one.key.id).cmp(&(&other.tenant, &other.key.id)));
        Ok::<_, Broken>(uses)
    };
    let [first, second, ..] = tenants.as_slice() else { return Ok(()) };
    let nothing = [(0, "key", 0), (1, "key", 0), (2, "key", 0), (3, "key", 0), (4, "key", 0), (5, "key", 0)];
    eventually("`key_uses` of keys that seal nothing", counted(&nothing)?, || uses(trial, 100)).await?;

    first.add_key("key", "Key").await?;
    let other = |bytes: &str| Ok::<_, Broken>(Sealed::new("Key".parse()?, bytes.into()));
    for account in ["a", "b", "c"] {
        first.put_token(&samples::key("customer", account)?, "r1", "value").await?;
        let mut row = samples::row(&samples::key("customer", account)?);
        row.sealed = match account {
            "a" => Some(first.sealed("ciphers")),
            "b" => Some(other("ciphers")?),
            _ => None,
        };
        first.put_row("r1", &row).await?;
    }
    second.put_token(&samples::key("customer", "a")?, "r1", "value").await?;
    let [_, _, rest @ ..] = &nothing;
    let now = [&[(0, "Key", 1), (0, "key", 4), (1, "key", 1)], rest.as_slice()].concat();
    for limit in [1, 2, 100] {
        eventually("`key_uses`", counted(&now)?, || uses(trial, limit)).await?;
    }
    ensure_eq!(trial.storage.key_uses(None, 0).await?, Vec::new(), "`key_uses` with the limit 0");
    // Only the order and the length of the first page are checked, because its entries may belong to other tenants.
    let from_the_first = || async {
        let uses = trial.storage.key_uses(None, 5).await?;
        let places: Vec<_> = uses.iter().map(|used| (&used.tenant, &used.key.id)).collect();
        Ok::<_, StorageError>(places.is_sorted().then_some(places.len()))
    };
    eventually("the number of entries of the first page of `key_uses`, if they are in order", Some(5), from_the_first)
        .await?;

    // One swap seals a token record with another key, the next one removes the ciphers of a row, and the last one
    // deletes a token record.
    let moved = samples::token("r2", other("value")?, None)?;
    first.swap_token(&samples::key("customer", "a")?, Some("r1"), Some(&moved)).await?;
    let place = samples::key("customer", "a")?;
    let next = Next { revision: "r2".parse()?, value: samples::row(&place).stored()? };
    first.swap_row(&place, Some("r1"), Some(&next), &[]).await?;
    second.swap_token(&place, Some("r1"), None).await?;
    let now = [&[(0, "Key", 2), (0, "key", 2), (1, "key", 0)], rest.as_slice()].concat();
    eventually("`key_uses` after swaps", counted(&now)?, || uses(trial, 100)).await
}

pub(super) async fn records_sealed_under_a_key_are_listed_page_by_page(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let other = tenant.add_key("key", "other").await?.id;
    let mut expected = Vec::new();
    let mut rows = Vec::new();
    for customer in ["a", "B", "a\0", "ä", "\u{ffff}", "\u{10000}"] {
        for account in ["2", "10", "1"] {
            let mut row = samples::row(&samples::key(customer, account)?);
            // The rows of the accounts with the id "10" have no ciphers.
            row.sealed = (account != "10").then(|| tenant.sealed(format!("{customer} {account}")));
            let revision: Revision = account.parse()?;
            let record = |purpose| {
                let (key, sealed) = (row.connection.key.clone(), tenant.sealed(format!("{customer} {account}")));
                SealedRecord { key, purpose, revision: revision.clone(), sealed }
            };
            expected.push(record(Purpose::Token));
            expected.extend(row.sealed.is_some().then(|| record(Purpose::Ciphers)));
            rows.push(row);
        }
    }
    let writes = rows.iter().map(|row| {
        let ConnectionKey { customer, account } = &row.connection.key;
        tenant.put_both(account.as_str(), format!("{customer} {account}"), row)
    });
    all(writes.collect()).await?;
    expected.sort_by(|one, other| (one.purpose, &one.key).cmp(&(other.purpose, &other.key)));
    for limit in [1, 5, 500, usize::MAX] {
        eventually("`sealed_under`", expected.clone(), || records(&tenant, &tenant.key, limit)).await?;
    }
    ensure_eq!(records(&tenant, &other, 5).await?, Vec::new(), "`sealed_under` of a key that seals nothing");
    let none = tenant.storage.sealed_under(&tenant.id, &tenant.key, None, 0).await?;
    ensure_eq!(none, Vec::new(), "`sealed_under` with the limit 0");
    Ok(())
}

pub(super) async fn similar_key_ids_are_kept_apart(trial: &Trial) -> Result<(), Broken> {
    let mut tenant = trial.tenant().await?;
    let mut newest = tenant.key.clone();
    for id in samples::SIMILAR_IDS {
        newest = tenant.add_key(newest.as_str(), id).await?.id;
        tenant.key = newest.clone();
        tenant.put_token(&samples::key("customer", id)?, "r", id).await?;
    }
    for id in samples::SIMILAR_IDS {
        let only = vec![(Purpose::Token, samples::key("customer", id)?)];
        let key = id.parse()?;
        eventually(&format!("`sealed_under` of {key:?}"), only, || listed(&tenant, &key, 5)).await?;
    }
    let mut expected: Vec<_> =
        samples::SIMILAR_IDS.iter().map(|id| ((*id).to_owned(), 1)).chain([("key".to_owned(), 0)]).collect();
    expected.sort();
    let counted = || async {
        let uses = uses(trial, 5).await?.into_iter();
        Ok::<_, Broken>(uses.map(|used| (String::from(used.key.id), used.records)).collect::<Vec<_>>())
    };
    eventually("`key_uses`", expected, counted).await
}

/// A connection whose token record and row can be resealed, which means sealed again with the second key.
struct Resealable {
    /// A tenant with a second key.
    tenant: Tenant,
    key: ConnectionKey,
    /// The token record and the ciphers of the row, both sealed with the first key.
    records: [SealedRecord; 2],
}

/// Writes a token record and a row that can be resealed.
async fn resealable(trial: &Trial) -> Result<Resealable, Broken> {
    let tenant = trial.tenant().await?;
    tenant.add_key("key", "second").await?;
    let key = samples::key("customer", "account")?;
    let token = samples::token("r1", tenant.sealed("value"), Some(trial.at(1)))?;
    tenant.swap_token(&key, None, Some(&token)).await?;
    let mut row = samples::row_with_shops(&key, &["1"])?;
    row.sealed = Some(tenant.sealed("value"));
    tenant.put_row("r1", &row).await?;
    let record = |purpose| {
        let (revision, sealed) = ("r1".parse()?, tenant.sealed("value"));
        Ok::<_, Broken>(SealedRecord { key: key.clone(), purpose, revision, sealed })
    };
    let both = [record(Purpose::Token)?, record(Purpose::Ciphers)?];
    eventually("`sealed_under`", both.to_vec(), || records(&tenant, &tenant.key, 5)).await?;
    Ok(Resealable { tenant, key, records: both })
}

/// Returns a value that is sealed with the second key.
fn second(bytes: &str) -> Result<Sealed, Broken> {
    Ok(Sealed::new("second".parse()?, bytes.into()))
}

pub(super) async fn reseal_replaces_only_the_exact_value(trial: &Trial) -> Result<(), Broken> {
    let Resealable { tenant, records: both, .. } = resealable(trial).await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    for (nth, record) in both.iter().enumerate() {
        let others = [
            SealedRecord { revision: "r2".parse()?, ..record.clone() },
            SealedRecord { sealed: tenant.sealed("Value"), ..record.clone() },
            SealedRecord { sealed: second("value")?, ..record.clone() },
            SealedRecord { key: samples::key("customer", "other")?, ..record.clone() },
            SealedRecord { key: samples::key("other", "account")?, ..record.clone() },
        ];
        for other in others {
            ensure!(
                !storage.reseal(id, &other, &second("resealed")?).await?,
                "`reseal` of a value that is not stored answered true: {other:?}"
            );
        }
        let remaining = both.get(nth..).unwrap_or_default().to_vec();
        eventually("`sealed_under` of the first key", remaining, || records(&tenant, &tenant.key, 5)).await?;
        ensure!(
            storage.reseal(id, record, &second("resealed")?).await?,
            "`reseal` of the stored value answered false: {record:?}"
        );
        ensure!(!storage.reseal(id, record, &second("again")?).await?, "`reseal` of a replaced value answered true");
    }
    let resealed = both.map(|record| (record.purpose, record.key, record.revision, b"resealed".to_vec()));
    let listed = || async {
        let found = records(&tenant, &"second".parse()?, 5).await?.into_iter();
        let found = found
            .map(|SealedRecord { key, purpose, revision, sealed }| (purpose, key, revision, sealed.bytes().to_vec()));
        Ok::<_, Broken>(found.collect::<Vec<_>>())
    };
    eventually("`sealed_under` of the second key", resealed.to_vec(), listed).await?;
    eventually("`sealed_under` of the first key", Vec::new(), || records(&tenant, &tenant.key, 5)).await?;
    ensure!(storage.remove_key(id, &tenant.key).await?, "a key that no longer seals a record was not removed");
    Ok(())
}

pub(super) async fn reseal_keeps_revision_due_time_and_row(trial: &Trial) -> Result<(), Broken> {
    let Resealable { tenant, key, records: both } = resealable(trial).await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    for record in &both {
        ensure!(
            storage.reseal(id, record, &second("resealed")?).await?,
            "`reseal` of the stored value answered false: {record:?}"
        );
    }
    let expected = Some(("r1".to_owned(), second("resealed")?));
    eventually("`load_token`", expected, || async { storage.load_token(id, &key).await.map(revision_and_value) })
        .await?;
    let mut row = samples::row_with_shops(&key, &["1"])?;
    row.sealed = Some(second("resealed")?);
    let load = || async { storage.load_row(id, &key).await.map(samples::revision_and_row) };
    eventually("`load_row`", Some(("r1".to_owned(), row.stored()?)), load).await?;
    let due = vec![Due { at: trial.at(1), tenant: id.clone(), key: key.clone() }];
    eventually("`due`", due, || super::due::listed(trial, trial.at(1), 5)).await?;
    ensure_eq!(super::events::all_events(storage, id).await?, Vec::new(), "`events` after `reseal`");
    // `reseal` does not change the revision. So a caller that read the records before the `reseal` can still swap them.
    tenant.swap_token(&key, Some("r1"), None).await?;
    tenant.swap_row(&key, Some("r1"), None, &[]).await?;
    for record in &both {
        let done = storage.reseal(id, record, &second("resealed")?).await?;
        ensure!(!done, "`reseal` of a deleted record answered true: {record:?}");
    }
    Ok(())
}

pub(super) async fn reseal_never_overwrites_a_newer_write(trial: &Trial) -> Result<(), Broken> {
    for _ in 0..4 {
        let Resealable { tenant, key, records: both } = resealable(trial).await?;
        let (storage, id) = (&tenant.storage, &tenant.id);
        let swap = async |revision: &str| {
            let token = samples::token(revision, tenant.sealed("newer"), None)?;
            tenant.swap_token(&key, Some("r1"), Some(&token)).await?;
            let mut row = samples::row(&key);
            row.sealed = Some(tenant.sealed("newer"));
            let next = Next { revision: revision.parse()?, value: row.stored()? };
            tenant.swap_row(&key, Some("r1"), Some(&next), &[]).await
        };
        // The swaps and the reseals run at the same time. No matter which of them come first, the swaps' values must be
        // stored in the end.
        let resealing = race(both.clone().map(|record| {
            let tenant = tenant.clone();
            async move { Ok(tenant.storage.reseal(&tenant.id, &record, &second("resealed")?).await?) }
        }));
        let (swapped, resealed) = futures::future::join(swap("r2"), resealing).await;
        swapped?;
        resealed?;
        for record in &both {
            let done = storage.reseal(id, record, &second("late")?).await?;
            ensure!(!done, "`reseal` of a record that was written since answered true: {record:?}");
        }
        let written = Some(("r2".to_owned(), tenant.sealed("newer")));
        eventually("`load_token`", written, || async { storage.load_token(id, &key).await.map(revision_and_value) })
            .await?;
        let ciphers = || async {
            let row = storage.load_row(id, &key).await?;
            Ok::<_, StorageError>(row.and_then(|entry| entry.row.sealed))
        };
        eventually("the ciphers in `load_row`", Some(tenant.sealed("newer")), ciphers).await?;
    }
    Ok(())
}

pub(super) async fn exactly_one_concurrent_reseal_of_a_value_succeeds(trial: &Trial) -> Result<(), Broken> {
    const RACERS: usize = 8;
    let Resealable { tenant, key, records: both } = resealable(trial).await?;
    for record in both {
        let answers = race((0..RACERS).map(|racer| {
            let (tenant, record) = (tenant.clone(), record.clone());
            async move {
                let next = second(&format!("resealed by {racer}"))?;
                Ok((tenant.storage.reseal(&tenant.id, &record, &next).await?, next))
            }
        }));
        let done: Vec<_> = answers.await?.into_iter().filter(|(done, _)| *done).map(|(_, next)| next).collect();
        let [next] = done.as_slice() else {
            return Err(Broken(format!("{} of {RACERS} `reseal` calls of the same value answered true", done.len())));
        };
        let found = match record.purpose {
            Purpose::Token => match tenant.storage.swap_token(&tenant.id, &key, None, None).await? {
                Swapped::Stale(found) => found.map(|entry| entry.value),
                Swapped::Done => None,
            },
            Purpose::Ciphers => match tenant.storage.swap_row(&tenant.id, &key, None, None, &[]).await? {
                Swapped::Stale(found) => found.and_then(|entry| entry.row.sealed),
                Swapped::Done => None,
            },
        };
        ensure_eq!(found.as_ref(), Some(next), "the value after concurrent `reseal` calls");
    }
    Ok(())
}
