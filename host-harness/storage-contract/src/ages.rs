//! Ages: of the newest write, by a clock that ticks. What is measured here passes in real time.

use std::time::Duration;

use tokio::time::Instant;

use super::broken::{Broken, ensure};
use super::samples;
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy};
use tiktok_shop_host::storage::StateDigest;
use tiktok_shop_host::storage::{BrowserDigest, ConsentRecord};
use tiktok_shop_host::storage::{Purpose, SealedRecord, StorageError, Swapped};

/// A storage may measure in whole seconds, and round up.
const RESOLUTION: Duration = Duration::from_secs(1);
/// It may measure in milliseconds, and round up.
const ROUNDING: Duration = Duration::from_millis(1);
/// An age that is less could be that of a write that has just come.
const GROWN: Duration = Duration::from_millis(20);
/// Within this time any clock has ticked.
const TICKS_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// The age of this write, once a load shows it.
async fn age(tenant: &Tenant, key: &ConnectionKey, revision: &str) -> Result<Duration, Broken> {
    let begin = Instant::now();
    loop {
        let found = tenant.storage.load_token(&tenant.id, key).await?;
        if let Some(entry) = found.filter(|entry| entry.revision.as_str() == revision) {
            ensure!(entry.age < Duration::MAX, "the age of a record that was written just now is not known");
            return Ok(entry.age);
        }
        ensure!(begin.elapsed() < TICKS_WITHIN, "a token record is not shown, still after {TICKS_WITHIN:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until this has grown so that nobody takes it for the age of a write that has just come.
async fn grown<F>(age: impl Fn() -> F) -> Result<Duration, Broken>
where
    F: Future<Output = Result<Duration, Broken>>,
{
    let (begin, first) = (Instant::now(), age().await?);
    loop {
        let now = age().await?;
        ensure!(now >= first, "an age went from {first:?} to {now:?}");
        if now >= first + GROWN {
            return Ok(now);
        }
        ensure!(begin.elapsed() < TICKS_WITHIN, "an age is {now:?}, and was {first:?} {TICKS_WITHIN:?} ago");
        tokio::time::sleep(PAUSE).await;
    }
}

pub(super) async fn an_age_is_small_after_the_write_and_grows(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let begin = Instant::now();
    tenant.put_token(&key, "r1", "value").await?;
    let first = age(&tenant, &key, "r1").await?;
    let passed = begin.elapsed() + RESOLUTION;
    ensure!(first <= passed, "the age of a record that was written within {passed:?} is {first:?}");
    let last = grown(|| age(&tenant, &key, "r1")).await?;
    let passed = begin.elapsed() + RESOLUTION;
    ensure!(last <= passed, "the age of a record that was written within {passed:?} has grown to {last:?}");
    // The same entry comes with a lost swap.
    let lost = tenant.storage.swap_token(&tenant.id, &key, None, None).await?;
    let Swapped::Stale(Some(entry)) = lost else {
        return Err(Broken(format!("a deletion that expected no record answered {lost:?}")));
    };
    ensure!(
        entry.age >= last && entry.age < Duration::MAX,
        "the age was {last:?}, and is {:?} in a lost swap",
        entry.age
    );
    Ok(())
}

pub(super) async fn an_age_is_that_of_the_newest_write(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    tenant.put_token(&key, "r1", "value").await?;
    let mut stands = "r1".to_owned();
    // Replaced; then deleted and made anew.
    for (revision, is_made_anew) in [("r2", false), ("r3", true)] {
        let before = grown(|| age(&tenant, &key, &stands)).await?;
        let begin = Instant::now();
        let next = samples::token(revision, tenant.sealed("value"), None)?;
        if is_made_anew {
            tenant.swap_token(&key, Some(&stands), None).await?;
            tenant.swap_token(&key, None, Some(&next)).await?;
        } else {
            tenant.swap_token(&key, Some(&stands), Some(&next)).await?;
        }
        let after = age(&tenant, &key, revision).await?;
        let passed = begin.elapsed() + ROUNDING;
        ensure!(
            after < before || after <= passed,
            "written within {passed:?}, and its age went from {before:?} to {after:?}"
        );
        stands = revision.to_owned();
    }
    Ok(())
}

pub(super) async fn an_age_goes_on_when_the_value_is_sealed_anew(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    tenant.put_token(&key, "r1", "value").await?;
    let before = grown(|| age(&tenant, &key, "r1")).await?;
    let (purpose, revision, sealed) = (Purpose::Token, "r1".parse()?, tenant.sealed("value"));
    let record = SealedRecord { key: key.clone(), purpose, revision, sealed };
    ensure!(tenant.storage.reseal(&tenant.id, &record, &tenant.sealed("anew")).await?, "a value was not sealed anew");
    let after = age(&tenant, &key, "r1").await?;
    ensure!(after >= before, "the age went from {before:?} to {after:?} when the value was sealed anew");
    Ok(())
}

pub(super) async fn a_state_ages_from_its_begin_whether_used_or_released(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id, state) = (&tenant.storage, &tenant.id, StateDigest::new([5; 32]));
    let shops = ShopPolicy::All;
    let consent = ConsentRecord { customer: "customer".parse()?, browser: BrowserDigest::new([0; 32]), shops };
    let begin = Instant::now();
    storage.put_state(id, &state, &consent).await?;
    let age = || async {
        let stored = storage.load_state(id, &state).await?;
        let stored = stored.ok_or_else(|| StorageError::Refused("the state is not there".to_owned()))?;
        Ok::<_, Broken>(stored.age)
    };
    let (first, passed) = (age().await?, begin.elapsed() + RESOLUTION);
    ensure!(first <= passed, "the age of a state that was put within {passed:?} is {first:?}");
    let before = grown(age).await?;
    ensure!(storage.use_state(id, &state).await?, "an unused state was not usable");
    let used = age().await?;
    storage.release_state(id, &state).await?;
    let released = age().await?;
    ensure!(
        before <= used && used <= released,
        "the age of a state was {before:?}, {used:?} used, {released:?} released"
    );
    Ok(())
}
