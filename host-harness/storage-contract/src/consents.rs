//! Checks of the `state` values of consents, of pending installs, and of the webhooks that the storage remembers as
//! handled.

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::{eventually, race};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, InstallDigest, InstallRecord, StateDigest, StorageError, WebhookDigest,
};

fn consent(customer: &str, shops: ShopPolicy) -> Result<ConsentRecord, Broken> {
    let browser = BrowserDigest::new([0xff; 32]);
    Ok(ConsentRecord { customer: customer.parse()?, app: None, browser, shops })
}

/// Returns the consent with this state, and whether the state is used.
async fn consent_and_use(tenant: &Tenant, state: &StateDigest) -> Result<Option<(ConsentRecord, bool)>, StorageError> {
    let stored = tenant.storage.load_state(&tenant.id, state).await?;
    Ok(stored.map(|stored| (stored.record, stored.used)))
}

pub(super) async fn a_state_can_be_loaded_as_soon_as_it_is_put(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (zeros, ones) = (StateDigest::new([0; 32]), StateDigest::new([0xff; 32]));
    ensure_eq!(consent_and_use(&tenant, &zeros).await?, None, "`load_state` of an unknown state");
    for (state, customer, shops) in
        [(zeros, "\0customer' ", ShopPolicy::All), (ones, "\u{10ffff}", ShopPolicy::ExactlyOne)]
    {
        let mut record = consent(customer, shops)?;
        record.app = (shops == ShopPolicy::All).then(|| "\u{10ffff}app' ".parse()).transpose()?;
        tenant.storage.put_state(&tenant.id, &state, &record).await?;
        // This load must not be stale, because the browser may return before a replica has caught up.
        ensure_eq!(consent_and_use(&tenant, &state).await?, Some((record, false)), "`load_state` after `put_state`");
    }
    Ok(())
}

pub(super) async fn a_state_can_be_put_only_once(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let state = StateDigest::new([1; 32]);
    let (first, second) = (consent("first", ShopPolicy::All)?, consent("second", ShopPolicy::ExactlyOne)?);
    ours.storage.put_state(&ours.id, &state, &first).await?;
    for used in [false, true] {
        if used {
            ensure!(ours.storage.use_state(&ours.id, &state).await?, "`use_state` of an unused state answered false");
        }
        let again = ours.storage.put_state(&ours.id, &state, &second).await;
        ensure!(
            matches!(again, Err(StorageError::Refused(_))),
            "a second `put_state` of the same state answered {again:?}"
        );
        eventually("`load_state`", Some((first.clone(), used)), || consent_and_use(&ours, &state)).await?;
    }
    theirs.storage.put_state(&theirs.id, &state, &second).await?;
    eventually("`load_state` of another tenant", Some((second, false)), || consent_and_use(&theirs, &state)).await
}

pub(super) async fn exactly_one_concurrent_use_of_a_state_succeeds(trial: &Trial) -> Result<(), Broken> {
    const RACERS: usize = 8;
    let tenant = trial.tenant().await?;
    for round in 0..4 {
        let state = StateDigest::new([round; 32]);
        tenant.storage.put_state(&tenant.id, &state, &consent("customer", ShopPolicy::All)?).await?;
        // Before the second race, the state is released.
        for time in ["first", "second"] {
            let answers = race((0..RACERS).map(|_| {
                let tenant = tenant.clone();
                async move { Ok(tenant.storage.use_state(&tenant.id, &state).await?) }
            }));
            let used = answers.await?.into_iter().filter(|used| *used).count();
            ensure!(used == 1, "{used} of {RACERS} callers used the state in the {time} race");
            tenant.storage.release_state(&tenant.id, &state).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_released_state_can_be_used_once_more(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let (storage, id, state) = (&tenant.storage, &tenant.id, StateDigest::new([2; 32]));
    let record = consent("customer", ShopPolicy::All)?;
    storage.put_state(id, &state, &record).await?;
    for _ in 0..2 {
        // The release of an unused state has no effect.
        storage.release_state(id, &state).await?;
        ensure!(storage.use_state(id, &state).await?, "`use_state` of a released state answered false");
        eventually("`load_state`", Some((record.clone(), true)), || consent_and_use(&tenant, &state)).await?;
        storage.release_state(&other.id, &state).await?;
        ensure!(
            !storage.use_state(id, &state).await?,
            "`use_state` of a used state answered true after another tenant released it"
        );
        storage.release_state(id, &state).await?;
        eventually("`load_state`", Some((record.clone(), false)), || consent_and_use(&tenant, &state)).await?;
    }
    Ok(())
}

pub(super) async fn using_or_releasing_an_unknown_state_changes_nothing(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let (storage, id, state) = (&tenant.storage, &tenant.id, StateDigest::new([3; 32]));
    other.storage.put_state(&other.id, &state, &consent("customer", ShopPolicy::All)?).await?;
    ensure!(!storage.use_state(id, &state).await?, "`use_state` of a state that only another tenant has answered true");
    storage.release_state(id, &state).await?;
    ensure_eq!(consent_and_use(&tenant, &state).await?, None, "`load_state` of a state that only another tenant has");
    ensure!(
        !storage.use_state(id, &state).await?,
        "`use_state` of a state that only another tenant has answered true after `release_state`"
    );
    ensure!(
        other.storage.use_state(&other.id, &state).await?,
        "`use_state` answered false after another tenant tried to use the same state"
    );
    Ok(())
}

/// Returns the record of a pending install. `byte` makes it different from other records.
fn install(byte: u8) -> InstallRecord {
    InstallRecord { browser: BrowserDigest::new([byte; 32]), sealed: vec![0, byte, 0xff] }
}

/// Returns the digest of the browser and the sealed content of a pending install.
async fn browser_and_content(
    tenant: &Tenant,
    digest: &InstallDigest,
) -> Result<Option<(BrowserDigest, Option<Vec<u8>>)>, StorageError> {
    let stored = tenant.storage.load_install(&tenant.id, digest).await?;
    Ok(stored.map(|stored| (stored.browser, stored.sealed)))
}

pub(super) async fn an_install_can_be_loaded_as_soon_as_it_is_put(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let (zeros, ones) = (InstallDigest::new([0; 32]), InstallDigest::new([0xff; 32]));
    ensure_eq!(browser_and_content(&tenant, &zeros).await?, None, "`load_install` of an unknown install");
    for (digest, byte) in [(zeros, 1), (ones, 2)] {
        let record = install(byte);
        tenant.storage.put_install(&tenant.id, &digest, &record).await?;
        // This load must not be stale, because the customer may confirm before a replica has caught up.
        let expected = Some((record.browser, Some(record.sealed)));
        ensure_eq!(browser_and_content(&tenant, &digest).await?, expected, "`load_install` after `put_install`");
        ensure_eq!(browser_and_content(&other, &digest).await?, None, "`load_install` of another tenant");
    }
    Ok(())
}

pub(super) async fn an_install_can_be_put_only_once(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let digest = InstallDigest::new([1; 32]);
    let content = |record: &InstallRecord| Some((record.browser, Some(record.sealed.clone())));
    let (first, second) = (install(1), install(2));
    ours.storage.put_install(&ours.id, &digest, &first).await?;
    let again = ours.storage.put_install(&ours.id, &digest, &second).await;
    ensure!(
        matches!(again, Err(StorageError::Refused(_))),
        "a second `put_install` of the same install answered {again:?}"
    );
    eventually("`load_install`", content(&first), || browser_and_content(&ours, &digest)).await?;
    theirs.storage.put_install(&theirs.id, &digest, &second).await?;
    eventually("`load_install` of another tenant", content(&second), || browser_and_content(&theirs, &digest)).await
}

pub(super) async fn a_closed_install_keeps_its_browser_and_loses_its_content(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let (digest, record) = (InstallDigest::new([2; 32]), install(3));
    ours.storage.close_install(&ours.id, &digest).await?;
    ensure_eq!(browser_and_content(&ours, &digest).await?, None, "`load_install` after an unknown install was closed");
    for tenant in [&ours, &theirs] {
        tenant.storage.put_install(&tenant.id, &digest, &record).await?;
    }
    for _ in 0..2 {
        ours.storage.close_install(&ours.id, &digest).await?;
        let closed = Some((record.browser, None));
        eventually("`load_install` of a closed install", closed, || browser_and_content(&ours, &digest)).await?;
    }
    let open = Some((record.browser, Some(record.sealed.clone())));
    ensure_eq!(browser_and_content(&theirs, &digest).await?, open, "`load_install` of another tenant");
    let again = ours.storage.put_install(&ours.id, &digest, &record).await;
    ensure!(matches!(again, Err(StorageError::Refused(_))), "`put_install` of a closed install answered {again:?}");
    Ok(())
}

pub(super) async fn a_deleted_install_is_gone(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let (digest, record) = (InstallDigest::new([4; 32]), install(5));
    for tenant in [&ours, &theirs] {
        tenant.storage.put_install(&tenant.id, &digest, &record).await?;
    }
    // No entry of these checks is old enough to expire.
    ours.storage.delete_expired().await?;
    for _ in 0..2 {
        ours.storage.delete_install(&ours.id, &digest).await?;
        eventually("`load_install` of a deleted install", None, || browser_and_content(&ours, &digest)).await?;
    }
    let open = Some((record.browser, Some(record.sealed.clone())));
    ensure_eq!(browser_and_content(&theirs, &digest).await?, open, "`load_install` of another tenant");
    Ok(())
}

pub(super) async fn a_remembered_webhook_is_known(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let (storage, id) = (&ours.storage, &ours.id);
    let digests = [[0; 32], [0xff; 32], [7; 32]].map(WebhookDigest::new);
    for webhook in &digests {
        ensure!(!storage.knows_webhook(id, webhook).await?, "`knows_webhook` answered true for an unknown webhook");
    }
    let [known, also_known, unknown] = &digests;
    for webhook in [known, also_known, known] {
        storage.remember_webhook(id, webhook).await?;
        eventually("`knows_webhook`", true, || storage.knows_webhook(id, webhook)).await?;
    }
    ensure!(
        !storage.knows_webhook(id, unknown).await?,
        "`knows_webhook` answered true for another webhook than the remembered ones"
    );
    ensure!(
        !storage.knows_webhook(&theirs.id, known).await?,
        "`knows_webhook` answered true for a webhook of another tenant"
    );
    race((0..8).map(|_| {
        let (tenant, webhook) = (theirs.clone(), *known);
        async move { Ok(tenant.storage.remember_webhook(&tenant.id, &webhook).await?) }
    }))
    .await?;
    eventually("`knows_webhook` of the other tenant", true, || storage.knows_webhook(&theirs.id, known)).await
}
