//! Checks the ages that a storage returns: the time since the newest write of a token record, or since the beginning of
//! a consent, by the storage's own clock. These checks wait in real time.

use std::time::Duration;

use tokio::time::Instant;

use super::broken::{Broken, ensure};
use super::samples;
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy};
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, Purpose, SealedRecord, StateDigest, StorageError, Swapped,
};

/// How much an age may exceed the measured time. A storage may measure in whole seconds and round up.
const RESOLUTION: Duration = Duration::from_secs(1);
/// How much an age may exceed the time since a new write. A check accepts a greater age only if the age is smaller than
/// before the write. A storage may measure in milliseconds and round up.
const ROUNDING: Duration = Duration::from_millis(1);
/// How much an age must grow before a check writes again, so that the old age is clearly greater than the age of the
/// new write.
const MIN_GROWTH: Duration = Duration::from_millis(20);
/// The maximum time until an age has grown, or until a load shows a new write.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The pause between two loads.
const PAUSE: Duration = Duration::from_millis(2);

/// Loads the record until it has this revision, and returns its age.
async fn age(tenant: &Tenant, key: &ConnectionKey, revision: &str) -> Result<Duration, Broken> {
    let begin = Instant::now();
    loop {
        let found = tenant.storage.load_token(&tenant.id, key).await?;
        if let Some(entry) = found.filter(|entry| entry.revision.as_str() == revision) {
            ensure!(entry.age < Duration::MAX, "the age of a record that was written just now is unknown");
            return Ok(entry.age);
        }
        ensure!(begin.elapsed() < MAX_WAIT, "no load returned the new token record within {MAX_WAIT:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the age has grown by [`MIN_GROWTH`], and returns it.
async fn wait_for_growth<F>(age: impl Fn() -> F) -> Result<Duration, Broken>
where
    F: Future<Output = Result<Duration, Broken>>,
{
    let (begin, first) = (Instant::now(), age().await?);
    loop {
        let now = age().await?;
        ensure!(now >= first, "an age went back from {first:?} to {now:?}");
        if now >= first + MIN_GROWTH {
            return Ok(now);
        }
        ensure!(begin.elapsed() < MAX_WAIT, "an age is {now:?}, but was {first:?} more than {MAX_WAIT:?} ago");
        tokio::time::sleep(PAUSE).await;
    }
}

pub(super) async fn the_age_is_small_after_a_write_and_grows(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let begin = Instant::now();
    tenant.put_token(&key, "r1", "value").await?;
    let first = age(&tenant, &key, "r1").await?;
    let passed = begin.elapsed() + RESOLUTION;
    ensure!(first <= passed, "the age of a record that was written within {passed:?} is {first:?}");
    let last = wait_for_growth(|| age(&tenant, &key, "r1")).await?;
    let passed = begin.elapsed() + RESOLUTION;
    ensure!(last <= passed, "the age of a record that was written within {passed:?} has grown to {last:?}");
    // The answer of a stale swap also contains the record with its age.
    let stale = tenant.storage.swap_token(&tenant.id, &key, None, None).await?;
    let Swapped::Stale(Some(entry)) = stale else {
        return Err(Broken(format!("a deletion that expects no record answered {stale:?}")));
    };
    ensure!(
        entry.age >= last && entry.age < Duration::MAX,
        "the age was {last:?}, but {:?} in the answer of a stale swap",
        entry.age
    );
    Ok(())
}

pub(super) async fn a_new_write_restarts_the_age(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    tenant.put_token(&key, "r1", "value").await?;
    let mut current = "r1".to_owned();
    // The first write replaces the record. The second write creates the record again after a deletion.
    for (revision, is_created_again) in [("r2", false), ("r3", true)] {
        let before = wait_for_growth(|| age(&tenant, &key, &current)).await?;
        let begin = Instant::now();
        let next = samples::token(revision, tenant.sealed("value"), None)?;
        if is_created_again {
            tenant.swap_token(&key, Some(&current), None).await?;
            tenant.swap_token(&key, None, Some(&next)).await?;
        } else {
            tenant.swap_token(&key, Some(&current), Some(&next)).await?;
        }
        let after = age(&tenant, &key, revision).await?;
        let passed = begin.elapsed() + ROUNDING;
        ensure!(
            after < before || after <= passed,
            "the age went from {before:?} to {after:?} by a write within {passed:?}"
        );
        current = revision.to_owned();
    }
    Ok(())
}

pub(super) async fn reseal_does_not_restart_the_age(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    tenant.put_token(&key, "r1", "value").await?;
    let before = wait_for_growth(|| age(&tenant, &key, "r1")).await?;
    let (purpose, revision, sealed) = (Purpose::Token, "r1".parse()?, tenant.sealed("value"));
    let record = SealedRecord { key: key.clone(), purpose, revision, sealed };
    ensure!(
        tenant.storage.reseal(&tenant.id, &record, &tenant.sealed("resealed")).await?,
        "`reseal` of the stored value answered false"
    );
    let after = age(&tenant, &key, "r1").await?;
    ensure!(after >= before, "the age went back from {before:?} to {after:?} by a reseal");
    Ok(())
}

pub(super) async fn using_or_releasing_a_state_does_not_restart_its_age(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id, state) = (&tenant.storage, &tenant.id, StateDigest::new([5; 32]));
    let shops = ShopPolicy::All;
    let consent =
        ConsentRecord { customer: "customer".parse()?, app: None, browser: BrowserDigest::new([0; 32]), shops };
    let begin = Instant::now();
    storage.put_state(id, &state, &consent).await?;
    let age = || async {
        let stored = storage.load_state(id, &state).await?;
        let stored = stored.ok_or_else(|| StorageError::Refused("the state is missing".to_owned()))?;
        Ok::<_, Broken>(stored.age)
    };
    let (first, passed) = (age().await?, begin.elapsed() + RESOLUTION);
    ensure!(first <= passed, "the age of a state that was put within {passed:?} is {first:?}");
    let before = wait_for_growth(age).await?;
    ensure!(storage.use_state(id, &state).await?, "`use_state` of an unused state answered false");
    let used = age().await?;
    storage.release_state(id, &state).await?;
    let released = age().await?;
    ensure!(
        before <= used && used <= released,
        "the age of a state was {before:?}, then {used:?} after its use, then {released:?} after its release"
    );
    Ok(())
}
