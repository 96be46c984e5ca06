//! Checks of the deletion of a tenant: nothing of the tenant is left, other tenants lose nothing, and an event that is
//! appended later gets a later position.

use std::sync::Arc;

use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy};
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, Deleted, HostStorage, InstallDigest, InstallRecord, Next, StateDigest, WebhookDigest,
};

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::eventually;
use super::events::all_events;
use super::samples;
use super::trial::{Tenant, Trial};

/// The number of connections of a tenant. The tenant also has this number of consents, of pending installs and of
/// remembered webhooks.
const ENTRIES: u8 = 7;

/// Writes entries of every kind for a tenant. Some connections get only a token record, some get only a row, and some
/// get both.
async fn fill(tenant: &Tenant) -> Result<(), Broken> {
    for number in 0..ENTRIES {
        let key = connection(number)?;
        if !number.is_multiple_of(3) {
            tenant.put_token(&key, "r", "value").await?;
        }
        let connected = samples::event(&key, EventKind::Connected);
        if number % 3 != 1 {
            let mut row = samples::row_with_shops(&key, &["1", "2"])?;
            row.sealed = Some(tenant.sealed("ciphers"));
            let next = Next { revision: "r".parse()?, value: row.stored()? };
            tenant.swap_row(&key, None, Some(&next), std::slice::from_ref(&connected)).await?;
        }
        let Tenant { storage, id, .. } = tenant;
        let once = samples::once(&number.to_string());
        storage.append_once(id, &once, &connected, None).await?;
        storage.append_once(id, &once, &samples::tenant_event(EventKind::TenantErased), None).await?;
        let record = ConsentRecord {
            customer: key.customer,
            app: None,
            browser: BrowserDigest::new([number; 32]),
            shops: ShopPolicy::All,
        };
        storage.put_state(id, &StateDigest::new([number; 32]), &record).await?;
        let install = InstallRecord { browser: BrowserDigest::new([number; 32]), sealed: vec![number] };
        storage.put_install(id, &InstallDigest::new([number; 32]), &install).await?;
        storage.remember_webhook(id, &WebhookDigest::new([number; 32])).await?;
    }
    Ok(())
}

fn connection(number: u8) -> Result<ConnectionKey, Broken> {
    samples::key(&format!("customer {number}"), "account")
}

/// Reads what is stored of a tenant. Returns the numbers of its token records, rows, owners of the shop "2", events,
/// consents, pending installs and webhooks.
async fn found(tenant: &Tenant) -> Result<[usize; 7], Broken> {
    let Tenant { storage, id, .. } = tenant;
    let mut found = [0; 7];
    let [tokens, rows, owners, events, consents, installs, webhooks] = &mut found;
    for number in 0..ENTRIES {
        let key = connection(number)?;
        *tokens += usize::from(storage.load_token(id, &key).await?.is_some());
        *rows += usize::from(storage.load_row(id, &key).await?.is_some());
        *consents += usize::from(storage.load_state(id, &StateDigest::new([number; 32])).await?.is_some());
        *installs += usize::from(storage.load_install(id, &InstallDigest::new([number; 32])).await?.is_some());
        *webhooks += usize::from(storage.knows_webhook(id, &WebhookDigest::new([number; 32])).await?);
    }
    *owners = storage.owners(id, &"2".parse()?).await?.len();
    *events = all_events(storage, id).await?.len();
    Ok(found)
}

/// Calls `delete_tenant` with this limit until nothing of the tenant is left. Returns the total of what these calls
/// deleted.
async fn delete(storage: &Arc<dyn HostStorage>, tenant: &Tenant, limit: usize) -> Result<Deleted, Broken> {
    let mut all = Deleted::default();
    while !all.is_complete {
        let Deleted { connections, others, is_complete } = storage.delete_tenant(&tenant.id, limit).await?;
        ensure!(
            connections <= limit as u64,
            "`delete_tenant` with the limit {limit} deleted {connections} connections"
        );
        ensure!(is_complete || connections + others > 0, "`delete_tenant` deleted nothing, and there is more");
        all = Deleted { connections: all.connections + connections, others: all.others + others, is_complete };
    }
    Ok(all)
}

pub(super) async fn a_deleted_tenant_leaves_nothing_and_other_tenants_keep_everything(
    trial: &Trial,
) -> Result<(), Broken> {
    for limit in [1, 3, usize::MAX] {
        let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
        fill(&ours).await?;
        fill(&theirs).await?;
        let (tokens, rows, all) = (4, 5, usize::from(ENTRIES));
        let everything = [tokens, rows, rows, rows + 2 * all, all, all, all];
        eventually("what is stored of a tenant", everything, || found(&ours)).await?;

        let deleted = delete(&trial.storage, &ours, limit).await?;
        // The terms of this sum: the events of rows, the events of `append_once`, the digests of `append_once`, the
        // consents, the pending installs and the webhooks.
        let others = (rows + 2 * all + 2 * all + all + all + all) as u64;
        ensure_eq!(deleted, Deleted { connections: ENTRIES.into(), others, is_complete: true }, "what was deleted");
        eventually("what is stored of a deleted tenant", [0; 7], || found(&ours)).await?;
        eventually("what is stored of another tenant", everything, || found(&theirs)).await?;
        let again = trial.storage.delete_tenant(&ours.id, 1).await?;
        ensure_eq!(again, Deleted { is_complete: true, ..Deleted::default() }, "a second deletion");

        // The tenant's keys stay until they are removed. No value is sealed with them any more.
        let keys = trial.storage.tenant_keys(&ours.id).await?;
        ensure_eq!(keys.len(), 1, "the keys of a deleted tenant");
        ensure!(trial.storage.remove_key(&ours.id, &ours.key).await?, "the key of a deleted tenant was not removed");
    }
    Ok(())
}

pub(super) async fn a_deleted_event_never_shares_its_position_with_a_later_one(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let event = samples::event(&connection(0)?, EventKind::Connected);
    let mut last = None;
    for round in 0..3 {
        for number in 0..2 {
            let once = samples::once(&format!("{round} {number}"));
            ensure!(storage.append_once(id, &once, &event, None).await?, "a first `append_once` answered false");
        }
        // A reader continues after the last event that it has read, even if that event has been deleted since.
        let read = || async { Ok::<_, Broken>(storage.events(id, last, usize::MAX).await?.len()) };
        eventually("the number of new events", 2, read).await?;
        last = storage.events(id, last, usize::MAX).await?.last().map(|event| event.position);
        delete(storage, &tenant, usize::MAX).await?;
    }
    Ok(())
}
