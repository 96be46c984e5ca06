//! States of consents and digests of webhooks.

use super::broken::{Broken, ensure, ensure_same};
use super::concurrency::{race, settles};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::storage::{BrowserDigest, ConsentRecord};
use tiktok_shop_host::storage::{StateDigest, WebhookDigest};

fn consent(customer: &str, shops: ShopPolicy) -> Result<ConsentRecord, Broken> {
    Ok(ConsentRecord { customer: customer.parse()?, browser: BrowserDigest::new([0xff; 32]), shops })
}

/// What is kept of a state, and whether it is used.
async fn kept(tenant: &Tenant, state: &StateDigest) -> Result<Option<(ConsentRecord, bool)>, StorageError> {
    let stored = tenant.storage.load_state(&tenant.id, state).await?;
    Ok(stored.map(|stored| (stored.record, stored.used)))
}

pub(super) async fn a_state_is_there_as_soon_as_it_is_put(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (zeros, ones) = (StateDigest::new([0; 32]), StateDigest::new([0xff; 32]));
    ensure_same!(kept(&tenant, &zeros).await?, None, "load_state of a state that nobody has put");
    for (state, customer, shops) in
        [(zeros, "\0customer' ", ShopPolicy::All), (ones, "\u{10ffff}", ShopPolicy::ExactlyOne)]
    {
        let record = consent(customer, shops)?;
        tenant.storage.put_state(&tenant.id, &state, &record).await?;
        // The browser is back sooner than any replica is.
        ensure_same!(kept(&tenant, &state).await?, Some((record, false)), "load_state after put_state");
    }
    Ok(())
}

pub(super) async fn a_state_is_put_once(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let state = StateDigest::new([1; 32]);
    let (first, second) = (consent("first", ShopPolicy::All)?, consent("second", ShopPolicy::ExactlyOne)?);
    ours.storage.put_state(&ours.id, &state, &first).await?;
    for used in [false, true] {
        if used {
            ensure!(ours.storage.use_state(&ours.id, &state).await?, "an unused state was not usable");
        }
        let again = ours.storage.put_state(&ours.id, &state, &second).await;
        ensure!(matches!(again, Err(StorageError::Refused(_))), "the same state put twice: {again:?}");
        settles("load_state", Some((first.clone(), used)), || kept(&ours, &state)).await?;
    }
    theirs.storage.put_state(&theirs.id, &state, &second).await?;
    settles("load_state of another tenant", Some((second, false)), || kept(&theirs, &state)).await
}

pub(super) async fn of_many_who_use_a_state_one_may(trial: &Trial) -> Result<(), Broken> {
    const RACERS: usize = 8;
    let tenant = trial.tenant().await?;
    for round in 0..4 {
        let state = StateDigest::new([round; 32]);
        tenant.storage.put_state(&tenant.id, &state, &consent("customer", ShopPolicy::All)?).await?;
        // Once more after it was released.
        for time in ["first", "second"] {
            let answers = race((0..RACERS).map(|_| {
                let tenant = tenant.clone();
                async move { Ok(tenant.storage.use_state(&tenant.id, &state).await?) }
            }));
            let used = answers.await?.into_iter().filter(|used| *used).count();
            ensure!(used == 1, "{used} of {RACERS} used a state up, the {time} time");
            tenant.storage.release_state(&tenant.id, &state).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_released_state_is_usable_once_more(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let (storage, id, state) = (&tenant.storage, &tenant.id, StateDigest::new([2; 32]));
    let record = consent("customer", ShopPolicy::All)?;
    storage.put_state(id, &state, &record).await?;
    for _ in 0..2 {
        // One that is not used is released without effect.
        storage.release_state(id, &state).await?;
        ensure!(storage.use_state(id, &state).await?, "a state that is unused was not usable");
        settles("load_state", Some((record.clone(), true)), || kept(&tenant, &state)).await?;
        storage.release_state(&other.id, &state).await?;
        ensure!(!storage.use_state(id, &state).await?, "a used state was usable again");
        storage.release_state(id, &state).await?;
        settles("load_state", Some((record.clone(), false)), || kept(&tenant, &state)).await?;
    }
    Ok(())
}

pub(super) async fn an_unknown_state_stays_unknown(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let (storage, id, state) = (&tenant.storage, &tenant.id, StateDigest::new([3; 32]));
    other.storage.put_state(&other.id, &state, &consent("customer", ShopPolicy::All)?).await?;
    ensure!(!storage.use_state(id, &state).await?, "a state that only another tenant has was usable");
    storage.release_state(id, &state).await?;
    ensure_same!(kept(&tenant, &state).await?, None, "load_state of a state that only another tenant has");
    ensure!(!storage.use_state(id, &state).await?, "a state that only another tenant has was usable after its release");
    ensure!(other.storage.use_state(&other.id, &state).await?, "a state that another tenant tried to use was used up");
    Ok(())
}

pub(super) async fn a_webhook_is_known_once_it_is_remembered(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let (storage, id) = (&ours.storage, &ours.id);
    let digests = [[0; 32], [0xff; 32], [7; 32]].map(WebhookDigest::new);
    for webhook in &digests {
        ensure!(!storage.knows_webhook(id, webhook).await?, "a webhook that nobody remembered was known");
    }
    let [known, also_known, unknown] = &digests;
    for webhook in [known, also_known, known] {
        storage.remember_webhook(id, webhook).await?;
        settles("knows_webhook", true, || storage.knows_webhook(id, webhook)).await?;
    }
    ensure!(!storage.knows_webhook(id, unknown).await?, "a webhook was known that is not the one remembered");
    ensure!(!storage.knows_webhook(&theirs.id, known).await?, "a webhook was known to a tenant that never had it");
    race((0..8).map(|_| {
        let (tenant, webhook) = (theirs.clone(), *known);
        async move { Ok(tenant.storage.remember_webhook(&tenant.id, &webhook).await?) }
    }))
    .await?;
    settles("knows_webhook of the other tenant", true, || storage.knows_webhook(&theirs.id, known)).await
}
