//! Keys of tenants: their order, and that nothing is sealed under one that is gone.

use super::broken::{Broken, ensure, ensure_same};
use super::concurrency::{race, settles};
use super::events::told;
use super::samples::{self, tenant_key, wrapped_key};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::KeyId;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::storage::{Next, Sealed, StorageError, Swapped, TenantKey};

const RACERS: u64 = 8;
const ROUNDS: u64 = 4;

pub(super) async fn keys_are_listed_in_the_order_in_which_they_were_added(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant_id("-keys")?;
    let storage = &trial.storage;
    let mut added: Vec<TenantKey> = Vec::new();
    // Not in their own order. Host keys are visible ASCII, whatever is in them.
    for (id, bytes, host_key) in [
        ("b", [0; 32], "~"),
        ("a", [0xff; 32], "host-1"),
        ("\0", [1; 32], "'\"%\\"),
        ("\u{10ffff}", [2; 32], "arn:aws:kms"),
    ] {
        let key = TenantKey { id: id.parse()?, wrapped: Some(wrapped_key(host_key, &bytes)?) };
        let newest = added.last().map(|key| key.id.clone());
        for wrong in [None, Some("b".parse()?), Some("unknown".parse()?)].into_iter().filter(|wrong| *wrong != newest) {
            ensure!(!storage.add_key(&tenant, wrong.as_ref(), &key).await?, "a key was added behind {wrong:?}");
        }
        ensure!(storage.add_key(&tenant, newest.as_ref(), &key).await?, "a key was not added behind {newest:?}");
        ensure!(!storage.add_key(&tenant, newest.as_ref(), &key).await?, "a key was added twice");
        added.push(key);
        settles("tenant_keys", added.clone(), || storage.tenant_keys(&tenant)).await?;
    }
    // One goes, and the order of the others stays; the newest goes, and the one before it is the newest.
    for at in [1, 2] {
        let gone = added.remove(at);
        ensure!(storage.remove_key(&tenant, &gone.id).await?, "a key that nothing needs was not removed");
        ensure!(!storage.remove_key(&tenant, &gone.id).await?, "a key was removed twice");
        settles("tenant_keys after a removal", added.clone(), || storage.tenant_keys(&tenant)).await?;
    }
    let (newest, next) = (added.last().map(|key| key.id.clone()), tenant_key("next", b"next")?);
    ensure!(storage.add_key(&tenant, newest.as_ref(), &next).await?, "a key was not added behind {newest:?}");
    added.push(next);
    settles("tenant_keys", added, || storage.tenant_keys(&tenant)).await
}

pub(super) async fn of_many_who_add_a_key_one_does(trial: &Trial) -> Result<(), Broken> {
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
            return Err(Broken(format!("{} of {RACERS} added a key behind the same one", added.len())));
        };
        newest = Some(key.id.clone());
        let listed = || async {
            let keys = trial.storage.tenant_keys(&id).await?;
            Ok::<_, Broken>((keys.len() as u64, keys.last().map(|key| key.id.clone())))
        };
        settles("how many keys, and the newest", (round + 1, newest.clone()), listed).await?;
    }
    Ok(())
}

pub(super) async fn a_key_is_wrapped_anew_only_as_it_was_read(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let mut stands = tenant_key("key", b"wrapped")?;
    let host_key = |host_key: &str, bytes: &[u8]| {
        Ok::<_, Broken>(TenantKey { id: tenant.key.clone(), wrapped: Some(wrapped_key(host_key, bytes)?) })
    };
    for other in [host_key("host-key", b"other")?, host_key("other", b"wrapped")?, tenant_key("other", b"wrapped")?] {
        let next = wrapped_key("host-key", b"next")?;
        ensure!(!storage.rewrap_key(id, &other, Some(&next)).await?, "a key was wrapped anew that is none: {other:?}");
        ensure!(!storage.rewrap_key(id, &other, None).await?, "a key was erased that is none: {other:?}");
    }
    for round in 0..ROUNDS {
        let answers = race((0..RACERS).map(|racer| {
            let (tenant, stands) = (tenant.clone(), stands.clone());
            async move {
                let next = wrapped_key(&format!("host-{racer}"), &[u8::try_from(round).unwrap_or_default()])?;
                Ok((tenant.storage.rewrap_key(&tenant.id, &stands, Some(&next)).await?, next))
            }
        }));
        let wrapped: Vec<_> = answers.await?.into_iter().filter(|(done, _)| *done).map(|(_, next)| next).collect();
        let [next] = wrapped.as_slice() else {
            return Err(Broken(format!("{} of {RACERS} wrapped the same key anew", wrapped.len())));
        };
        stands.wrapped = Some(next.clone());
        settles("tenant_keys", vec![stands.clone()], || storage.tenant_keys(id)).await?;
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
    settles("tenant_keys", vec![erased.clone()], || storage.tenant_keys(id)).await?;
    for key in [&key, &erased] {
        for next in [Some(&next), None] {
            ensure!(!storage.rewrap_key(id, key, next).await?, "an erased key was wrapped anew or erased again");
        }
    }
    ensure!(!storage.add_key(id, None, &key).await?, "an erased key was taken for none");
    // It still is the newest, and can't be removed while something is sealed under it.
    ensure!(!storage.remove_key(id, &key.id).await?, "an erased key was removed under which something is sealed");
    let second = tenant.add_key("key", "second").await?;
    settles("tenant_keys", vec![erased, second], || storage.tenant_keys(id)).await
}

/// Tries to write under this key: nothing may come of it.
async fn nothing_is_written(tenant: &Tenant, key: &str, why: &str) -> Result<(), Broken> {
    let Tenant { storage, id, .. } = tenant;
    let sealed = |bytes: &str| Ok::<_, Broken>(Sealed::new(key.parse()?, bytes.into()));
    for (account, expected) in [("new", None), ("there", Some("r".parse()?))] {
        let place = samples::key("customer", account)?;
        let token = samples::token("refused", sealed("value")?, Some(tiktok_shop_host::connection::UnixSeconds(1)))?;
        let answer = storage.swap_token(id, &place, expected.as_ref(), Some(&token)).await;
        ensure_same!(answer, Err(StorageError::KeyGone), "a token record sealed under a key that is {why}");
        let mut row = samples::row_with_shops(&place, &["2"])?;
        row.ciphers = Some(sealed("ciphers")?);
        let next = Next { revision: "refused".parse()?, value: row };
        let event = samples::event(&place, EventKind::Disconnected);
        let answer = storage.swap_row(id, &place, expected.as_ref(), Some(&next), &[event]).await;
        ensure_same!(answer, Err(StorageError::KeyGone), "a row sealed under a key that is {why}");
    }
    for record in storage.sealed_under(id, &tenant.key, None, 10).await? {
        let answer = storage.reseal(id, &record, &sealed("anew")?).await;
        ensure_same!(answer, Err(StorageError::KeyGone), "reseal under a key that is {why}");
    }
    // Only what was there is there: read from swaps that lose, which are never old.
    for (account, expected) in [("new", None), ("there", Some("r"))] {
        let place = samples::key("customer", account)?;
        let found = match storage.swap_token(id, &place, Some(&"none".parse()?), None).await? {
            Swapped::Stale(found) => samples::ageless(found),
            Swapped::Done => return Err(Broken("a deletion won that expected another revision".to_owned())),
        };
        let own = expected.map(|revision| (revision.to_owned(), tenant.sealed("value")));
        ensure_same!(found, own, "the token record after writes under a key that is {why}");
        let found = match storage.swap_row(id, &place, Some(&"none".parse()?), None, &[]).await? {
            Swapped::Stale(found) => found.map(|entry| entry.revision.as_str().to_owned()),
            Swapped::Done => return Err(Broken("a deletion won that expected another revision".to_owned())),
        };
        ensure_same!(found.as_deref(), expected, "the row after writes under a key that is {why}");
    }
    let shop = "2".parse()?;
    ensure_same!(storage.owners(id, &shop).await?, Vec::new(), "owners after rows that were refused");
    ensure_same!(told(storage, id).await?, Vec::new(), "events of rows that were refused");
    Ok(())
}

pub(super) async fn nothing_is_written_under_a_key_that_is_gone(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let storage = &tenant.storage;
    let there = samples::key("customer", "there")?;
    tenant.put_token(&there, "r", "value").await?;
    let mut row = samples::row_with_shops(&there, &["1"])?;
    row.ciphers = Some(tenant.sealed("value"));
    tenant.put_row("r", &row).await?;
    other.add_key("key", "another tenant's").await?;
    let erased = tenant.add_key("key", "erased").await?;
    tenant.add_key("erased", "removed").await?;
    ensure!(storage.rewrap_key(&tenant.id, &erased, None).await?, "a key was not erased");
    ensure!(storage.remove_key(&tenant.id, &"removed".parse()?).await?, "a key that nothing needs was not removed");
    for key in ["unknown", "KEY", "key ", "another tenant's", "erased", "removed"] {
        nothing_is_written(&tenant, key, key).await?;
    }
    // A row without ciphers needs no key.
    row.ciphers = None;
    let place = samples::key("customer", "without ciphers")?;
    row.connection.key = place.clone();
    row.connection.shops.clear();
    let keyless = Tenant { id: trial.tenant_id("-keyless")?, ..tenant };
    keyless.put_row("r", &row).await?;
    let load = || async { keyless.storage.load_row(&keyless.id, &place).await.map(samples::revised) };
    settles("load_row", Some(("r".to_owned(), row.clone())), load).await
}

pub(super) async fn a_key_in_use_is_not_removed(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let place = samples::key("customer", "account")?;
    let mut row = samples::row(&place);
    row.ciphers = Some(tenant.sealed("ciphers"));
    tenant.add_key("key", "second").await?;
    let in_use = async |under: &str| {
        ensure!(!storage.remove_key(id, &tenant.key).await?, "a key was removed under which {under} is sealed");
        Ok::<_, Broken>(())
    };
    tenant.put_token(&place, "r1", "value").await?;
    in_use("a token record").await?;
    tenant.put_row("r1", &row).await?;
    in_use("a token record and a row").await?;
    tenant.swap_token(&place, Some("r1"), None).await?;
    in_use("a row").await?;
    row.ciphers = Some(Sealed::new("second".parse()?, b"ciphers".to_vec()));
    let next = Next { revision: "r2".parse()?, value: row };
    tenant.swap_row(&place, Some("r1"), Some(&next), &[]).await?;
    ensure!(storage.remove_key(id, &tenant.key).await?, "a key was not removed under which nothing is sealed any more");
    let second = "second".parse()?;
    ensure!(!storage.remove_key(id, &second).await?, "a key was removed under which a row is sealed");
    ensure!(!storage.remove_key(id, &"unknown".parse()?).await?, "a key was removed that there is not");
    tenant.swap_row(&place, Some("r2"), None, &[]).await?;
    ensure!(storage.remove_key(id, &second).await?, "the last key was not removed, though nothing is sealed under it");
    settles("tenant_keys", Vec::new(), || storage.tenant_keys(id)).await
}

pub(super) async fn of_a_write_and_the_removal_of_its_key_one_happens(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut newest = tenant.key.clone();
    for round in 0..ROUNDS * 3 {
        let key = tenant.add_key(newest.as_str(), &format!("{round}")).await?.id;
        let place = samples::key("customer", &format!("{round}"))?;
        let sealed = Sealed::new(key.clone(), b"value".to_vec());
        let is_token = round.is_multiple_of(2);
        let answers = race([true, false].map(|removes| {
            let (tenant, key, place, sealed) = (tenant.clone(), key.clone(), place.clone(), sealed.clone());
            async move {
                let Tenant { storage, id, .. } = &tenant;
                if removes {
                    return Ok(storage.remove_key(id, &key).await?);
                }
                let written = if is_token {
                    let token = samples::token("r", sealed, None)?;
                    storage.swap_token(id, &place, None, Some(&token)).await.map(|swapped| swapped == Swapped::Done)
                } else {
                    let mut row = samples::row(&place);
                    row.ciphers = Some(sealed);
                    let next = Next { revision: "r".parse()?, value: row };
                    storage.swap_row(id, &place, None, Some(&next), &[]).await.map(|swapped| swapped == Swapped::Done)
                };
                match written {
                    Err(StorageError::KeyGone) => Ok(false),
                    Ok(written) => Ok(written),
                    Err(error) => Err(error.into()),
                }
            }
        }));
        let answers = answers.await?;
        let [removed, written] = answers.as_slice() else { continue };
        ensure!(removed != written, "the key was removed: {removed}, and the write under it was done: {written}");
        if *written {
            newest = key;
        }
    }
    Ok(())
}
