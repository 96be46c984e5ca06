//! Similar ids are kept apart in every method that takes an id: no method returns or changes the records of another
//! tenant, customer or account.

use std::collections::BTreeMap;

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::{all, eventually};
use super::events::all_events;
use super::samples::{self, Sample, revision_and_value, row_with_shops};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy, UnixSeconds};
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, Due, Ending, Next, Purpose, Row, StateDigest, TenantKey, WebhookDigest,
};

pub(super) async fn similar_customers_and_accounts_are_kept_apart(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut keys = Vec::new();
    for id in samples::ids() {
        keys.push(samples::key(&id, "account")?);
        keys.push(samples::key("customer", &id)?);
    }
    check_apart(trial, keys.into_iter().map(|key| (tenant.clone(), key)).collect()).await
}

pub(super) async fn the_parts_of_a_key_are_not_joined(trial: &Trial) -> Result<(), Broken> {
    const SEPARATORS: [&str; 14] = ["", "/", ":", "|", ",", ";", ".", "-", "_", " ", "\\", "\0", "\u{1}", "\u{1f}"];
    let outer = trial.tenant_with_suffix(".").await?;
    let mut places = Vec::new();
    for separator in SEPARATORS {
        let inner = trial.tenant_with_suffix(&format!(".{separator}a")).await?;
        let between = |left: &str, right: &str| format!("{left}{separator}{right}");
        places.push((outer.clone(), samples::key(&between("a", "b"), &between("c", "d"))?));
        places.push((inner.clone(), samples::key("b", &between("c", "d"))?));
        places.push((inner, samples::key(&between("b", "c"), "d")?));
        places.push((outer.clone(), samples::key(&between("a", &between("b", "c")), "d")?));
        places.push((outer.clone(), samples::key("a", &between("b", &between("c", "d")))?));
    }
    check_apart(trial, places).await
}

pub(super) async fn similar_tenants_are_kept_apart(trial: &Trial) -> Result<(), Broken> {
    let mut places = Vec::new();
    for end in samples::SIMILAR_IDS {
        places.push((trial.tenant_with_suffix(end).await?, samples::key("customer", "account")?));
    }
    // These ids have the maximum length. They become even longer if a storage encodes or escapes their characters.
    let [tenant, customer, account] = ["\0", "\u{1}", "\u{10ffff}"].map(samples::longest_id);
    places.push((trial.tenant_with_suffix(trial.cut_to_fit(&tenant)).await?, samples::key(&customer, &account)?));
    check_apart(trial, places).await
}

/// A connection, and the values that the check writes for it. All connections have the same revisions, the same shops
/// and the same digests for `append_once`.
struct Place {
    tenant: Tenant,
    key: ConnectionKey,
    bytes: Vec<u8>,
    row: Sample,
}

const SHOP: &str = "7495929172636467189";

/// Writes records for each of these connections, then deletes the records of every second connection. After the writes
/// and after the deletions, every list and load must return exactly the records that are stored.
async fn check_apart(trial: &Trial, keys: Vec<(Tenant, ConnectionKey)>) -> Result<(), Broken> {
    let mut places = Vec::new();
    for (number, (tenant, key)) in keys.into_iter().enumerate() {
        let mut row = row_with_shops(&key, &[SHOP])?;
        row.connection.seller_name = number.to_string();
        row.connection.refresh_expires_at = Some(trial.at(1));
        places.push(Place { tenant, key, bytes: number.to_string().into_bytes(), row });
    }
    all(places.iter().map(|place| write(trial, place)).collect()).await?;
    all(places.iter().map(|place| check_records(place, Presence::Stored)).collect()).await?;
    check_lists(trial, &places.iter().collect::<Vec<_>>()).await?;

    let (deleted, kept): (Vec<_>, Vec<_>) = places.iter().enumerate().partition(|(number, _)| number.is_multiple_of(2));
    let [deleted, kept] = [deleted, kept].map(|half| half.into_iter().map(|(_, place)| place).collect::<Vec<_>>());
    all(deleted.iter().map(|place| delete(place)).collect()).await?;
    all(deleted.iter().map(|place| check_records(place, Presence::Deleted)).collect()).await?;
    all(kept.iter().map(|place| check_records(place, Presence::Stored)).collect()).await?;
    check_lists(trial, &kept).await?;
    check_events(&places).await
}

async fn write(trial: &Trial, place: &Place) -> Result<(), Broken> {
    let Place { tenant, key, bytes, row } = place;
    let token = samples::token("r", tenant.sealed(bytes.as_slice()), Some(trial.at(1)))?;
    tenant.swap_token(key, None, Some(&token)).await?;
    let mut row = row.clone();
    row.sealed = Some(tenant.sealed(bytes.as_slice()));
    let event = samples::event(key, EventKind::Connected);
    tenant.swap_row(key, None, Some(&Next { revision: "r".parse()?, value: row.stored()? }), &[event]).await?;
    let once = samples::event(key, EventKind::Recovered);
    let appended = tenant.storage.append_once(&tenant.id, &samples::once("once"), &once, None).await?;
    ensure!(appended, "the first `append_once` answered false for {key:?}");
    Ok(())
}

async fn delete(place: &Place) -> Result<(), Broken> {
    place.tenant.swap_token(&place.key, Some("r"), None).await?;
    place.tenant.swap_row(&place.key, Some("r"), None, &[]).await
}

/// Whether the records of a connection are stored or deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Stored,
    Deleted,
}

/// Checks that the token record and the row of this connection are stored or deleted, as `presence` says.
async fn check_records(place: &Place, presence: Presence) -> Result<(), Broken> {
    let is_stored = presence == Presence::Stored;
    let Place { tenant: Tenant { storage, id, .. }, key, bytes, row } = place;
    let token = is_stored.then(|| ("r".to_owned(), place.tenant.sealed(bytes.as_slice())));
    let load = || async { storage.load_token(id, key).await.map(revision_and_value) };
    eventually(&format!("`load_token` of {key:?}"), token, load).await?;
    let name = is_stored.then(|| row.connection.seller_name.clone());
    let load = || async {
        let entry = storage.load_row(id, key).await?.filter(|entry| entry.row.key == *key);
        Ok::<_, Broken>(entry.map(|entry| entry.row.index.seller_name))
    };
    eventually(&format!("`load_row` of {key:?}"), name, load).await
}

/// Reads every list. Each list must contain these connections, and no other connection of this check. The pages are
/// small, so that many different ids stand at the end of a page, and reading must continue after each of them.
async fn check_lists(trial: &Trial, places: &[&Place]) -> Result<(), Broken> {
    const PAGE: usize = 5;
    let mut by_tenant: BTreeMap<TenantId, (Tenant, Vec<ConnectionKey>)> = BTreeMap::new();
    for Place { tenant, key, .. } in places.iter().copied() {
        let (_, keys) = by_tenant.entry(tenant.id.clone()).or_insert_with(|| (tenant.clone(), Vec::new()));
        keys.push(key.clone());
    }
    let mut all_due = Vec::new();
    for (id, (tenant, keys)) in &mut by_tenant {
        keys.sort();
        all_due.extend(keys.iter().map(|key| Due { at: trial.at(1), tenant: id.clone(), key: key.clone() }));
        let shop = SHOP.parse()?;
        eventually("`owners`", keys.clone(), || trial.storage.owners(id, &shop)).await?;
        let sealed = [Purpose::Token, Purpose::Ciphers]
            .into_iter()
            .flat_map(|purpose| keys.iter().map(move |key| (purpose, key.clone())));
        let sealed: Vec<_> = sealed.collect();
        eventually("`sealed_under`", sealed, || super::sealing::listed(tenant, &tenant.key, PAGE)).await?;
        let mut customers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ConnectionKey { customer, account } in &*keys {
            customers.entry(customer).or_default().push(account.clone());
        }
        for (customer, accounts) in customers {
            eventually("`accounts`", accounts.clone(), || trial.storage.accounts(id, customer)).await?;
            eventually("`list_rows`", accounts, || async {
                let rows = trial.storage.list_rows(id, customer).await?.into_iter();
                let rows = rows.filter(|entry| entry.row.key.customer == *customer);
                Ok::<_, Broken>(rows.map(|entry| entry.row.key.account).collect())
            })
            .await?;
        }
    }
    eventually("`due`", all_due.clone(), || super::due::listed(trial, trial.at(1), PAGE)).await?;
    let grant = Row::grant_name("", UnixSeconds(0));
    let ending = |Due { at, tenant, key }| Ending { at, tenant, key, grant: grant.clone() };
    let endings = all_due.into_iter().map(ending).collect();
    eventually("`endings`", endings, || super::endings::listed(trial, trial.at(1), PAGE)).await
}

/// Reads the events of each tenant. A tenant must have exactly two events for each of its connections, and no other
/// events.
async fn check_events(places: &[Place]) -> Result<(), Broken> {
    let mut tenants: BTreeMap<&TenantId, Vec<_>> = BTreeMap::new();
    for Place { tenant, key, .. } in places {
        let events = tenants.entry(&tenant.id).or_default();
        events.extend([(Some(key.clone()), true), (Some(key.clone()), false)]);
    }
    for (tenant, mut expected) in tenants {
        expected.sort();
        let storage = places.iter().find(|place| place.tenant.id == *tenant).map(|place| &place.tenant.storage);
        let storage = storage.ok_or_else(|| Broken("a tenant without a connection".to_owned()))?;
        eventually("`events`", expected, || async {
            let events = all_events(storage, tenant).await?.into_iter();
            let mut found: Vec<_> = events.map(|event| (event.key, event.kind == EventKind::Connected)).collect();
            found.sort();
            Ok::<_, Broken>(found)
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn each_tenant_has_its_own_keys_states_and_webhooks(trial: &Trial) -> Result<(), Broken> {
    let mut owners = Vec::new();
    for (number, end) in samples::SIMILAR_IDS.iter().enumerate() {
        owners.push(Owner { tenant: trial.tenant_id(end)?, number });
    }
    all(owners.iter().map(|owner| owner.write(trial)).collect()).await?;
    all(owners.iter().map(|owner| owner.check(trial)).collect()).await?;
    Ok(())
}

/// A tenant of this check. All tenants use the same key ids, the same `state` and the same webhook. Each tenant has its
/// own customer, and its own bytes of the first key. Every second tenant also has a second key, has used its `state`,
/// and has remembered the webhook.
struct Owner {
    tenant: TenantId,
    number: usize,
}

const STATE: StateDigest = StateDigest::new([9; 32]);
const WEBHOOK: WebhookDigest = WebhookDigest::new([9; 32]);

impl Owner {
    fn has_more(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    fn consent(&self) -> Result<ConsentRecord, Broken> {
        let (customer, browser) = (format!("customer {}", self.number).parse()?, BrowserDigest::new([0; 32]));
        Ok(ConsentRecord { customer, app: None, browser, shops: ShopPolicy::All })
    }

    fn keys(&self) -> Result<Vec<TenantKey>, Broken> {
        let first = samples::tenant_key("key", self.number.to_string().as_bytes())?;
        let second = samples::tenant_key("second", b"second")?;
        Ok([Some(first), self.has_more().then_some(second)].into_iter().flatten().collect())
    }

    async fn write(&self, trial: &Trial) -> Result<(), Broken> {
        let (storage, tenant) = (&trial.storage, &self.tenant);
        let mut newest = None;
        for key in self.keys()? {
            let added = storage.add_key(tenant, newest.as_ref(), &key).await?;
            ensure!(added, "a key of {tenant:?} was not added after {newest:?}");
            newest = Some(key.id);
        }
        storage.put_state(tenant, &STATE, &self.consent()?).await?;
        if self.has_more() {
            ensure!(
                storage.use_state(tenant, &STATE).await?,
                "`use_state` of {tenant:?} answered false before any use"
            );
            storage.remember_webhook(tenant, &WEBHOOK).await?;
        }
        Ok(())
    }

    async fn check(&self, trial: &Trial) -> Result<(), Broken> {
        let (storage, tenant, has_more) = (&trial.storage, &self.tenant, self.has_more());
        eventually(&format!("`tenant_keys` of {tenant:?}"), self.keys()?, || storage.tenant_keys(tenant)).await?;
        let state = storage.load_state(tenant, &STATE).await?.map(|stored| stored.record);
        ensure_eq!(state, Some(self.consent()?), "`load_state` of {tenant:?}");
        ensure_eq!(storage.use_state(tenant, &STATE).await?, !has_more, "`use_state` of {tenant:?}");
        eventually(&format!("`knows_webhook` of {tenant:?}"), has_more, || storage.knows_webhook(tenant, &WEBHOOK))
            .await?;
        // Rewrap and remove the second key of this tenant. The second keys of the other tenants must not change.
        let (second, next) = (samples::tenant_key("second", b"second")?, samples::wrapped_key("host-key", b"next")?);
        let rewrapped = storage.rewrap_key(tenant, &second, Some(&next)).await?;
        ensure_eq!(rewrapped, has_more, "`rewrap_key` of {tenant:?}");
        let removed = storage.remove_key(tenant, &"second".parse()?).await?;
        ensure_eq!(removed, has_more, "`remove_key` of {tenant:?}");
        Ok(())
    }
}
