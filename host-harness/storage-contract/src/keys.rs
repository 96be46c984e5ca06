//! Checks of the tenants' keys: their order, their wrapping, and that no value is stored if its key is missing or
//! erased. A tenant's key encrypts (seals) the tenant's values, and a host key encrypts (wraps) the tenant's key.

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::{eventually, race};
use super::events::all_events;
use super::samples::{self, tenant_key, wrapped_key};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::KeyId;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::storage::{Next, Sealed, StorageError, Swapped, TenantKey};

/// The number of tasks in each race.
const RACERS: u64 = 8;
/// How often each race is run.
const ROUNDS: u64 = 4;

pub(super) async fn keys_are_listed_in_the_order_in_which_they_were_added(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant_id("-keys")?;
    let storage = &trial.storage;
    let mut added: Vec<TenantKey> = Vec::new();
    // The ids are not added in byte order. A host key id may contain any visible ASCII character.
    for (id, bytes, host_key) in [
        ("b", [0; 32], "~"),
        ("a", [0xff; 32], "host-1"),
        ("\0", [1; 32], "'\"%\\"),
        ("\u{10ffff}", [2; 32], "arn:aws:kms"),
    ] {
        let key = TenantKey { id: id.parse()?, wrapped: Some(wrapped_key(host_key, &bytes)?) };
        let newest = added.last().map(|key| key.id.clone());
        for wrong in [None, Some("b".parse()?), Some("unknown".parse()?)].into_iter().filter(|wrong| *wrong != newest) {
            ensure!(
                !storage.add_key(&tenant, wrong.as_ref(), &key).await?,
                "a key was added after {wrong:?}, which is not the newest key"
            );
        }
        ensure!(
            storage.add_key(&tenant, newest.as_ref(), &key).await?,
            "a key was not added after {newest:?}, the newest key"
        );
        ensure!(!storage.add_key(&tenant, newest.as_ref(), &key).await?, "a key was added twice");
        added.push(key);
        eventually("`tenant_keys`", added.clone(), || storage.tenant_keys(&tenant)).await?;
    }
    // The first removal must not change the order of the other keys. The second removal removes the newest key, so the
    // key before it becomes the newest one.
    for at in [1, 2] {
        let gone = added.remove(at);
        ensure!(storage.remove_key(&tenant, &gone.id).await?, "a key that seals nothing was not removed");
        ensure!(!storage.remove_key(&tenant, &gone.id).await?, "a key was removed twice");
        eventually("`tenant_keys` after a removal", added.clone(), || storage.tenant_keys(&tenant)).await?;
    }
    let (newest, next) = (added.last().map(|key| key.id.clone()), tenant_key("next", b"next")?);
    ensure!(
        storage.add_key(&tenant, newest.as_ref(), &next).await?,
        "a key was not added after {newest:?}, the newest key"
    );
    added.push(next);
    eventually("`tenant_keys`", added, || storage.tenant_keys(&tenant)).await
}

pub(super) async fn exactly_one_concurrent_add_key_succeeds(trial: &Trial) -> Result<(), Broken> {
    let id = trial.tenant_id("-race")?;
    let mut newest: Option<KeyId> = None;
    for round in 0..ROUNDS {
        let answers = race((0..RACERS).map(|racer| {
            let (storage, id, newest) = (trial.storage.clone(), id.clone(), newest.clone());
            async move {
                let key = tenant_key(&format!("{round} of {racer}"), b"wrapped")?;
                Ok((storage.add_key(&id, newest.as_ref(), &key).await?, key))
            }
        }));
        let added: Vec<_> = answers.await?.into_iter().filter(|(added, _)| *added).map(|(_, key)| key).collect();
        let [key] = added.as_slice() else {
            return Err(Broken(format!(
                "{} of {RACERS} `add_key` calls after the same newest key answered true",
                added.len()
            )));
        };
        newest = Some(key.id.clone());
        let listed = || async {
            let keys = trial.storage.tenant_keys(&id).await?;
            Ok::<_, Broken>((keys.len() as u64, keys.last().map(|key| key.id.clone())))
        };
        eventually("the number of keys, and the newest key", (round + 1, newest.clone()), listed).await?;
    }
    Ok(())
}

pub(super) async fn a_key_is_rewrapped_only_if_its_wrapping_is_unchanged(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let mut current = tenant_key("key", b"wrapped")?;
    let host_key = |host_key: &str, bytes: &[u8]| {
        Ok::<_, Broken>(TenantKey { id: tenant.key.clone(), wrapped: Some(wrapped_key(host_key, bytes)?) })
    };
    for other in [host_key("host-key", b"other")?, host_key("other", b"wrapped")?, tenant_key("other", b"wrapped")?] {
        let next = wrapped_key("host-key", b"next")?;
        ensure!(
            !storage.rewrap_key(id, &other, Some(&next)).await?,
            "`rewrap_key` answered true for a key that differs from the stored one: {other:?}"
        );
        ensure!(
            !storage.rewrap_key(id, &other, None).await?,
            "`rewrap_key` erased a key that differs from the stored one: {other:?}"
        );
    }
    for round in 0..ROUNDS {
        let answers = race((0..RACERS).map(|racer| {
            let (tenant, current) = (tenant.clone(), current.clone());
            async move {
                let next = wrapped_key(&format!("host-{racer}"), &[u8::try_from(round).unwrap_or_default()])?;
                Ok((tenant.storage.rewrap_key(&tenant.id, &current, Some(&next)).await?, next))
            }
        }));
        let rewrapped: Vec<_> = answers.await?.into_iter().filter(|(done, _)| *done).map(|(_, next)| next).collect();
        let [next] = rewrapped.as_slice() else {
            return Err(Broken(format!(
                "{} of {RACERS} `rewrap_key` calls of the same wrapping answered true",
                rewrapped.len()
            )));
        };
        current.wrapped = Some(next.clone());
        eventually("`tenant_keys`", vec![current.clone()], || storage.tenant_keys(id)).await?;
    }
    Ok(())
}

pub(super) async fn an_erased_key_stays_erased(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    tenant.put_token(&samples::key("customer", "account")?, "r", "value").await?;
    let (key, next) = (tenant_key("key", b"wrapped")?, wrapped_key("host-key", b"next")?);
    ensure!(storage.rewrap_key(id, &key, None).await?, "a key was not erased");
    let erased = TenantKey { id: key.id.clone(), wrapped: None };
    eventually("`tenant_keys`", vec![erased.clone()], || storage.tenant_keys(id)).await?;
    for key in [&key, &erased] {
        for next in [Some(&next), None] {
            ensure!(!storage.rewrap_key(id, key, next).await?, "`rewrap_key` of an erased key answered true");
        }
    }
    ensure!(!storage.add_key(id, None, &key).await?, "`add_key` with the id of an erased key answered true");
    // The erased key is still the newest one, and it can't be removed because it seals a record.
    ensure!(!storage.remove_key(id, &key.id).await?, "an erased key that seals a record was removed");
    let second = tenant.add_key("key", "second").await?;
    eventually("`tenant_keys`", vec![erased, second], || storage.tenant_keys(id)).await
}

/// Tries to write values that are sealed with this key. Every attempt must answer `KeyGone` and change nothing. The
/// tenant has a token record and a row for the account "there", and nothing for the account "new".
async fn check_refused(tenant: &Tenant, key: &str) -> Result<(), Broken> {
    let Tenant { storage, id, .. } = tenant;
    let sealed = |bytes: &str| Ok::<_, Broken>(Sealed::new(key.parse()?, bytes.into()));
    for (account, expected) in [("new", None), ("there", Some("r".parse()?))] {
        let place = samples::key("customer", account)?;
        let token = samples::token("refused", sealed("value")?, Some(UnixSeconds(1)))?;
        let answer = storage.swap_token(id, &place, expected.as_ref(), Some(&token)).await;
        ensure_eq!(answer, Err(StorageError::KeyGone), "a token record sealed under the key {key:?}");
        let mut row = samples::row_with_shops(&place, &["2"])?;
        row.sealed = Some(sealed("ciphers")?);
        let next = Next { revision: "refused".parse()?, value: row.stored()? };
        let event = samples::event(&place, EventKind::Disconnected);
        let answer = storage.swap_row(id, &place, expected.as_ref(), Some(&next), &[event]).await;
        ensure_eq!(answer, Err(StorageError::KeyGone), "a row sealed under the key {key:?}");
    }
    for record in storage.sealed_under(id, &tenant.key, None, 10).await? {
        let answer = storage.reseal(id, &record, &sealed("resealed")?).await;
        ensure_eq!(answer, Err(StorageError::KeyGone), "`reseal` under the key {key:?}");
    }
    // The records are read with swaps that must lose, because a load may return an old record.
    for (account, expected) in [("new", None), ("there", Some("r"))] {
        let place = samples::key("customer", account)?;
        let found = match storage.swap_token(id, &place, Some(&"none".parse()?), None).await? {
            Swapped::Stale(found) => samples::revision_and_value(found),
            Swapped::Done => return Err(Broken("a deletion that expects another revision won".to_owned())),
        };
        let own = expected.map(|revision| (revision.to_owned(), tenant.sealed("value")));
        ensure_eq!(found, own, "the token record after writes under the key {key:?}");
        let found = match storage.swap_row(id, &place, Some(&"none".parse()?), None, &[]).await? {
            Swapped::Stale(found) => found.map(|entry| entry.revision.as_str().to_owned()),
            Swapped::Done => return Err(Broken("a deletion that expects another revision won".to_owned())),
        };
        ensure_eq!(found.as_deref(), expected, "the row after writes under the key {key:?}");
    }
    let shop = "2".parse()?;
    ensure_eq!(storage.owners(id, &shop).await?, Vec::new(), "`owners` after refused rows");
    ensure_eq!(all_events(storage, id).await?, Vec::new(), "`events` after refused rows");
    Ok(())
}

pub(super) async fn nothing_is_written_under_a_missing_or_erased_key(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let storage = &tenant.storage;
    let there = samples::key("customer", "there")?;
    tenant.put_token(&there, "r", "value").await?;
    let mut row = samples::row_with_shops(&there, &["1"])?;
    row.sealed = Some(tenant.sealed("value"));
    tenant.put_row("r", &row).await?;
    other.add_key("key", "another tenant's").await?;
    let erased = tenant.add_key("key", "erased").await?;
    tenant.add_key("erased", "removed").await?;
    ensure!(storage.rewrap_key(&tenant.id, &erased, None).await?, "a key was not erased");
    ensure!(storage.remove_key(&tenant.id, &"removed".parse()?).await?, "a key that seals nothing was not removed");
    for key in ["unknown", "KEY", "key ", "another tenant's", "erased", "removed"] {
        check_refused(&tenant, key).await?;
    }
    // A row without ciphers needs no key.
    row.sealed = None;
    let place = samples::key("customer", "without ciphers")?;
    row.connection.key = place.clone();
    row.connection.shops.clear();
    let keyless = Tenant { id: trial.tenant_id("-keyless")?, ..tenant };
    keyless.put_row("r", &row).await?;
    let load = || async { keyless.storage.load_row(&keyless.id, &place).await.map(samples::revision_and_row) };
    eventually("`load_row`", Some(("r".to_owned(), row.stored()?)), load).await
}

pub(super) async fn a_key_in_use_is_not_removed(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let place = samples::key("customer", "account")?;
    let mut row = samples::row(&place);
    row.sealed = Some(tenant.sealed("ciphers"));
    tenant.add_key("key", "second").await?;
    let in_use = async |record: &str| {
        ensure!(!storage.remove_key(id, &tenant.key).await?, "a key that seals {record} was removed");
        Ok::<_, Broken>(())
    };
    tenant.put_token(&place, "r1", "value").await?;
    in_use("a token record").await?;
    tenant.put_row("r1", &row).await?;
    in_use("a token record and a row").await?;
    tenant.swap_token(&place, Some("r1"), None).await?;
    in_use("a row").await?;
    row.sealed = Some(Sealed::new("second".parse()?, b"ciphers".to_vec()));
    let next = Next { revision: "r2".parse()?, value: row.stored()? };
    tenant.swap_row(&place, Some("r1"), Some(&next), &[]).await?;
    ensure!(storage.remove_key(id, &tenant.key).await?, "a key that no longer seals a record was not removed");
    let second = "second".parse()?;
    ensure!(!storage.remove_key(id, &second).await?, "a key that seals a row was removed");
    ensure!(!storage.remove_key(id, &"unknown".parse()?).await?, "`remove_key` of an unknown key answered true");
    tenant.swap_row(&place, Some("r2"), None, &[]).await?;
    ensure!(storage.remove_key(id, &second).await?, "the last key was not removed although it seals nothing");
    eventually("`tenant_keys`", Vec::new(), || storage.tenant_keys(id)).await
}

/// The work of one of the two tasks in a race. One task removes a key, and the other task writes a value that this key
/// seals.
#[derive(Clone, Copy)]
enum Racer {
    RemovesKey,
    WritesToken,
    WritesRow,
}

pub(super) async fn either_a_write_or_the_removal_of_its_key_succeeds(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut newest = tenant.key.clone();
    for round in 0..ROUNDS * 3 {
        let key = tenant.add_key(newest.as_str(), &format!("{round}")).await?.id;
        let place = samples::key("customer", &format!("{round}"))?;
        let sealed = Sealed::new(key.clone(), b"value".to_vec());
        let writer = if round.is_multiple_of(2) { Racer::WritesToken } else { Racer::WritesRow };
        let answers = race([Racer::RemovesKey, writer].map(|racer| {
            let (tenant, key, place, sealed) = (tenant.clone(), key.clone(), place.clone(), sealed.clone());
            async move {
                let Tenant { storage, id, .. } = &tenant;
                let succeeded = match racer {
                    Racer::RemovesKey => storage.remove_key(id, &key).await,
                    Racer::WritesToken => {
                        let token = samples::token("r", sealed, None)?;
                        storage.swap_token(id, &place, None, Some(&token)).await.map(|swapped| swapped == Swapped::Done)
                    }
                    Racer::WritesRow => {
                        let mut row = samples::row(&place);
                        row.sealed = Some(sealed);
                        let next = Next { revision: "r".parse()?, value: row.stored()? };
                        let swapped = storage.swap_row(id, &place, None, Some(&next), &[]).await;
                        swapped.map(|swapped| swapped == Swapped::Done)
                    }
                };
                match (racer, succeeded) {
                    (Racer::WritesToken | Racer::WritesRow, Err(StorageError::KeyGone)) => Ok(false),
                    (_, Ok(succeeded)) => Ok(succeeded),
                    (_, Err(error)) => Err(error.into()),
                }
            }
        }));
        let answers = answers.await?;
        let [removed, written] = answers.as_slice() else { continue };
        ensure!(
            removed != written,
            "`remove_key` answered {removed}, and the write under the same key succeeded: {written}"
        );
        if *written {
            newest = key;
        }
    }
    Ok(())
}
