//! What is sealed under a key: counted, listed, and sealed anew in place of exactly what was read.

use super::broken::{Broken, ensure, ensure_same};
use super::concurrency::{all, race, settles};
use super::samples::{self, ageless, tenant_key};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::{Due, KeyUse, Next, Purpose, Sealed, SealedRecord, StorageError, Swapped};
use tiktok_shop_host::{KeyId, Revision, TenantId};

/// What is sealed under a key, so many at a time.
pub(super) async fn listed(
    tenant: &Tenant,
    key: &KeyId,
    limit: usize,
) -> Result<Vec<(Purpose, ConnectionKey)>, Broken> {
    Ok(records(tenant, key, limit).await?.into_iter().map(|record| (record.purpose, record.key)).collect())
}

async fn records(tenant: &Tenant, key: &KeyId, limit: usize) -> Result<Vec<SealedRecord>, Broken> {
    let mut records: Vec<SealedRecord> = Vec::new();
    loop {
        let after = records.last().map(|last| (last.purpose, &last.key));
        let page = tenant.storage.sealed_under(&tenant.id, key, after, limit).await?;
        ensure!(page.len() <= limit, "sealed_under listed {}, where {limit} at most were asked for", page.len());
        if page.is_empty() {
            return Ok(records);
        }
        for record in page {
            let last = records.last().map(|last| (last.purpose, last.key.clone()));
            let place = (record.purpose, record.key.clone());
            ensure!(last.as_ref() < Some(&place), "sealed_under listed {place:?} after {last:?}");
            ensure!(record.sealed.key() == key, "sealed_under of {key:?} listed {record:?}");
            records.push(record);
        }
    }
}

/// The uses of this check's keys, so many at a time.
async fn uses(trial: &Trial, limit: usize) -> Result<Vec<KeyUse>, Broken> {
    let mut last: (TenantId, KeyId) = (trial.first_tenant()?, "\0".parse()?);
    let mut own = Vec::new();
    loop {
        let page = trial.storage.key_uses(Some((&last.0, &last.1)), limit).await?;
        ensure!(page.len() <= limit, "key_uses listed {}, where {limit} at most were asked for", page.len());
        if page.is_empty() {
            return Ok(own);
        }
        for used in page {
            let place = (used.tenant.clone(), used.key.id.clone());
            ensure!(place > last, "key_uses listed {place:?} after {last:?}");
            last = place;
            if !trial.is_own(&used.tenant) {
                return Ok(own);
            }
            own.push(used);
        }
    }
}

pub(super) async fn uses_of_keys_are_counted_and_listed_page_by_page(trial: &Trial) -> Result<(), Broken> {
    let mut tenants = Vec::new();
    for end in ["", "\0", "\u{ffff}", "\u{10000}", "A", "a"] {
        tenants.push(trial.tenant_named(end).await?);
    }
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
    settles("key_uses of keys that nothing needs", counted(&nothing)?, || uses(trial, 100)).await?;

    first.add_key("key", "Key").await?;
    let other = |bytes: &str| Ok::<_, Broken>(Sealed::new("Key".parse()?, bytes.into()));
    for account in ["a", "b", "c"] {
        first.put_token(&samples::key("customer", account)?, "r1", "value").await?;
        let mut row = samples::row(&samples::key("customer", account)?);
        row.ciphers = match account {
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
        settles("key_uses", counted(&now)?, || uses(trial, limit)).await?;
    }
    ensure_same!(trial.storage.key_uses(None, 0).await?, Vec::new(), "key_uses, of which none were asked for");
    // Others may have keys before.
    let from_the_first = || async {
        let uses = trial.storage.key_uses(None, 5).await?;
        let places: Vec<_> = uses.iter().map(|used| (&used.tenant, &used.key.id)).collect();
        Ok::<_, StorageError>(places.is_sorted().then_some(places.len()))
    };
    settles("how many key_uses from the first on, if they are in order", Some(5), from_the_first).await?;

    // A swap moves a record to another key, a row loses its ciphers, and a record goes.
    let moved = samples::token("r2", other("value")?, None)?;
    first.swap_token(&samples::key("customer", "a")?, Some("r1"), Some(&moved)).await?;
    let place = samples::key("customer", "a")?;
    let next = Next { revision: "r2".parse()?, value: samples::row(&place) };
    first.swap_row(&place, Some("r1"), Some(&next), &[]).await?;
    second.swap_token(&place, Some("r1"), None).await?;
    let now = [&[(0, "Key", 2), (0, "key", 2), (1, "key", 0)], rest.as_slice()].concat();
    settles("key_uses after swaps", counted(&now)?, || uses(trial, 100)).await
}

pub(super) async fn what_is_sealed_under_a_key_is_listed_page_by_page(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let other = tenant.add_key("key", "other").await?.id;
    let mut expected = Vec::new();
    let mut rows = Vec::new();
    for customer in ["a", "B", "a\0", "ä", "\u{ffff}", "\u{10000}"] {
        for account in ["2", "10", "1"] {
            let mut row = samples::row(&samples::key(customer, account)?);
            // Of every account "10" the row has no ciphers.
            row.ciphers = (account != "10").then(|| tenant.sealed(format!("{customer} {account}")));
            let revision: Revision = account.parse()?;
            let record = |purpose| {
                let (key, sealed) = (row.connection.key.clone(), tenant.sealed(format!("{customer} {account}")));
                SealedRecord { key, purpose, revision: revision.clone(), sealed }
            };
            expected.push(record(Purpose::Token));
            expected.extend(row.ciphers.is_some().then(|| record(Purpose::Ciphers)));
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
        settles("sealed_under", expected.clone(), || records(&tenant, &tenant.key, limit)).await?;
    }
    ensure_same!(records(&tenant, &other, 5).await?, Vec::new(), "what is sealed under a key that nothing needs");
    let none = tenant.storage.sealed_under(&tenant.id, &tenant.key, None, 0).await?;
    ensure_same!(none, Vec::new(), "sealed_under, of which none were asked for");
    Ok(())
}

pub(super) async fn no_key_is_taken_for_another(trial: &Trial) -> Result<(), Broken> {
    let mut tenant = trial.tenant().await?;
    let mut newest = tenant.key.clone();
    for id in samples::ALIKE {
        newest = tenant.add_key(newest.as_str(), id).await?.id;
        tenant.key = newest.clone();
        tenant.put_token(&samples::key("customer", id)?, "r", id).await?;
    }
    for id in samples::ALIKE {
        let only = vec![(Purpose::Token, samples::key("customer", id)?)];
        let key = id.parse()?;
        settles(&format!("sealed_under of {key:?}"), only, || listed(&tenant, &key, 5)).await?;
    }
    let mut expected: Vec<_> =
        samples::ALIKE.iter().map(|id| ((*id).to_owned(), 1)).chain([("key".to_owned(), 0)]).collect();
    expected.sort();
    let counted = || async {
        let uses = uses(trial, 5).await?.into_iter();
        Ok::<_, Broken>(uses.map(|used| (String::from(used.key.id), used.records)).collect::<Vec<_>>())
    };
    settles("key_uses", expected, counted).await
}

/// A tenant with a second key, and a place with a token record and a row under the first.
async fn resealable(trial: &Trial) -> Result<(Tenant, ConnectionKey, [SealedRecord; 2]), Broken> {
    let tenant = trial.tenant().await?;
    tenant.add_key("key", "second").await?;
    let key = samples::key("customer", "account")?;
    let token = samples::token("r1", tenant.sealed("value"), Some(trial.at(1)))?;
    tenant.swap_token(&key, None, Some(&token)).await?;
    let mut row = samples::row_with_shops(&key, &["1"])?;
    row.ciphers = Some(tenant.sealed("value"));
    tenant.put_row("r1", &row).await?;
    let record = |purpose| {
        let (revision, sealed) = ("r1".parse()?, tenant.sealed("value"));
        Ok::<_, Broken>(SealedRecord { key: key.clone(), purpose, revision, sealed })
    };
    let both = [record(Purpose::Token)?, record(Purpose::Ciphers)?];
    settles("sealed_under", both.to_vec(), || records(&tenant, &tenant.key, 5)).await?;
    Ok((tenant, key, both))
}

fn second(bytes: &str) -> Result<Sealed, Broken> {
    Ok(Sealed::new("second".parse()?, bytes.into()))
}

pub(super) async fn sealing_anew_replaces_exactly_what_was_read(trial: &Trial) -> Result<(), Broken> {
    let (tenant, _, both) = resealable(trial).await?;
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
                !storage.reseal(id, &other, &second("anew")?).await?,
                "what stands nowhere was sealed anew: {other:?}"
            );
        }
        let both_under_the_first = both.get(nth..).unwrap_or_default().to_vec();
        settles("sealed_under the first key", both_under_the_first, || records(&tenant, &tenant.key, 5)).await?;
        ensure!(storage.reseal(id, record, &second("anew")?).await?, "a value was not sealed anew: {record:?}");
        ensure!(!storage.reseal(id, record, &second("again")?).await?, "what stands there no longer was sealed anew");
    }
    let anew = both.map(|record| (record.purpose, record.key, record.revision, b"anew".to_vec()));
    let listed = || async {
        let found = records(&tenant, &"second".parse()?, 5).await?.into_iter();
        let found = found
            .map(|SealedRecord { key, purpose, revision, sealed }| (purpose, key, revision, sealed.bytes().to_vec()));
        Ok::<_, Broken>(found.collect::<Vec<_>>())
    };
    settles("sealed_under the second key", anew.to_vec(), listed).await?;
    settles("sealed_under the first key", Vec::new(), || records(&tenant, &tenant.key, 5)).await?;
    ensure!(storage.remove_key(id, &tenant.key).await?, "a key was not removed under which nothing is sealed any more");
    Ok(())
}

pub(super) async fn sealing_anew_keeps_revision_due_time_and_row(trial: &Trial) -> Result<(), Broken> {
    let (tenant, key, both) = resealable(trial).await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    for record in &both {
        ensure!(storage.reseal(id, record, &second("anew")?).await?, "a value was not sealed anew: {record:?}");
    }
    let expected = Some(("r1".to_owned(), second("anew")?));
    settles("load_token", expected, || async { storage.load_token(id, &key).await.map(ageless) }).await?;
    let mut row = samples::row_with_shops(&key, &["1"])?;
    row.ciphers = Some(second("anew")?);
    let load = || async { storage.load_row(id, &key).await.map(samples::revised) };
    settles("load_row", Some(("r1".to_owned(), row)), load).await?;
    let due = vec![Due { at: trial.at(1), tenant: id.clone(), key: key.clone() }];
    settles("due", due, || super::due::listed(trial, trial.at(1), 5, usize::MAX)).await?;
    ensure_same!(super::events::told(storage, id).await?, Vec::new(), "events of what was sealed anew");
    // Whoever has read it before may still write.
    tenant.swap_token(&key, Some("r1"), None).await?;
    tenant.swap_row(&key, Some("r1"), None, &[]).await?;
    for record in &both {
        let gone = storage.reseal(id, record, &second("anew")?).await?;
        ensure!(!gone, "what is gone was sealed anew: {record:?}");
    }
    Ok(())
}

pub(super) async fn sealing_anew_loses_to_a_write(trial: &Trial) -> Result<(), Broken> {
    for _ in 0..4 {
        let (tenant, key, both) = resealable(trial).await?;
        let (storage, id) = (&tenant.storage, &tenant.id);
        let swap = async |revision: &str| {
            let token = samples::token(revision, tenant.sealed("newer"), None)?;
            tenant.swap_token(&key, Some("r1"), Some(&token)).await?;
            let mut row = samples::row(&key);
            row.ciphers = Some(tenant.sealed("newer"));
            let next = Next { revision: revision.parse()?, value: row };
            tenant.swap_row(&key, Some("r1"), Some(&next), &[]).await
        };
        // At once: whichever is first, what the swap wrote stands there, as it wrote it.
        let resealing = race(both.clone().map(|record| {
            let tenant = tenant.clone();
            async move { Ok(tenant.storage.reseal(&tenant.id, &record, &second("anew")?).await?) }
        }));
        let (swapped, resealed) = futures::future::join(swap("r2"), resealing).await;
        swapped?;
        resealed?;
        for record in &both {
            let late = storage.reseal(id, record, &second("late")?).await?;
            ensure!(!late, "what was written since was sealed anew: {record:?}");
        }
        let stands = Some(("r2".to_owned(), tenant.sealed("newer")));
        settles("load_token", stands, || async { storage.load_token(id, &key).await.map(ageless) }).await?;
        let ciphers = || async {
            let row = storage.load_row(id, &key).await?;
            Ok::<_, StorageError>(row.and_then(|entry| entry.row.ciphers))
        };
        settles("ciphers of load_row", Some(tenant.sealed("newer")), ciphers).await?;
    }
    Ok(())
}

pub(super) async fn of_many_who_seal_the_same_value_anew_one_does(trial: &Trial) -> Result<(), Broken> {
    const RACERS: usize = 8;
    let (tenant, key, both) = resealable(trial).await?;
    for record in both {
        let answers = race((0..RACERS).map(|racer| {
            let (tenant, record) = (tenant.clone(), record.clone());
            async move {
                let next = second(&format!("anew by {racer}"))?;
                Ok((tenant.storage.reseal(&tenant.id, &record, &next).await?, next))
            }
        }));
        let done: Vec<_> = answers.await?.into_iter().filter(|(done, _)| *done).map(|(_, next)| next).collect();
        let [next] = done.as_slice() else {
            return Err(Broken(format!("{} of {RACERS} sealed the same value anew", done.len())));
        };
        let found = match record.purpose {
            Purpose::Token => match tenant.storage.swap_token(&tenant.id, &key, None, None).await? {
                Swapped::Stale(found) => found.map(|entry| entry.value),
                Swapped::Done => None,
            },
            Purpose::Ciphers => match tenant.storage.swap_row(&tenant.id, &key, None, None, &[]).await? {
                Swapped::Stale(found) => found.and_then(|entry| entry.row.ciphers),
                Swapped::Done => None,
            },
        };
        ensure_same!(found.as_ref(), Some(next), "what stands there after it was sealed anew");
    }
    Ok(())
}
