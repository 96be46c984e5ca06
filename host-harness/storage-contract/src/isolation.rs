//! Ids that look like each other, through every method that takes one: nothing of one place is seen or changed at another.

use std::collections::BTreeMap;

use super::broken::{Broken, ensure, ensure_same};
use super::concurrency::{all, settles};
use super::events::told;
use super::samples::{self, ageless, row_with_shops};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy, UnixSeconds};
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::storage::{BrowserDigest, ConsentRecord};
use tiktok_shop_host::storage::{Due, Ending, Next, Purpose, Row, TenantKey};
use tiktok_shop_host::storage::{OnceDigest, StateDigest, WebhookDigest};

pub(super) async fn no_customer_or_account_reaches_into_another(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut keys = Vec::new();
    for id in samples::ids() {
        keys.push(samples::key(&id, "account")?);
        keys.push(samples::key("customer", &id)?);
    }
    keep_apart(trial, keys.into_iter().map(|key| (tenant.clone(), key)).collect()).await
}

pub(super) async fn parts_of_a_key_are_not_joined(trial: &Trial) -> Result<(), Broken> {
    const SEPARATORS: [&str; 14] = ["", "/", ":", "|", ",", ";", ".", "-", "_", " ", "\\", "\0", "\u{1}", "\u{1f}"];
    let outer = trial.tenant_named(".").await?;
    let mut places = Vec::new();
    for separator in SEPARATORS {
        let inner = trial.tenant_named(&format!(".{separator}a")).await?;
        let between = |left: &str, right: &str| format!("{left}{separator}{right}");
        places.push((outer.clone(), samples::key(&between("a", "b"), &between("c", "d"))?));
        places.push((inner.clone(), samples::key("b", &between("c", "d"))?));
        places.push((inner, samples::key(&between("b", "c"), "d")?));
        places.push((outer.clone(), samples::key(&between("a", &between("b", "c")), "d")?));
        places.push((outer.clone(), samples::key("a", &between("b", &between("c", "d")))?));
    }
    keep_apart(trial, places).await
}

pub(super) async fn no_tenant_reaches_into_another(trial: &Trial) -> Result<(), Broken> {
    let mut places = Vec::new();
    for end in samples::ALIKE {
        places.push((trial.tenant_named(end).await?, samples::key("customer", "account")?));
    }
    // As long as all of it may be, of what takes more room than it shows.
    let [tenant, customer, account] = ["\0", "\u{1}", "\u{10ffff}"].map(samples::longest);
    places.push((trial.tenant_named(trial.that_fits(&tenant)).await?, samples::key(&customer, &account)?));
    keep_apart(trial, places).await
}

/// A place, and what is written there. Revisions, shops and names of what happens once are the same everywhere.
struct Place {
    tenant: Tenant,
    key: ConnectionKey,
    bytes: Vec<u8>,
    row: Row,
}

const SHOP: &str = "7495929172636467189";

async fn keep_apart(trial: &Trial, keys: Vec<(Tenant, ConnectionKey)>) -> Result<(), Broken> {
    let mut places = Vec::new();
    for (number, (tenant, key)) in keys.into_iter().enumerate() {
        let mut row = row_with_shops(&key, &[SHOP])?;
        row.connection.seller_name = number.to_string();
        row.connection.refresh_expires_at = Some(trial.at(1));
        places.push(Place { tenant, key, bytes: number.to_string().into_bytes(), row });
    }
    all(places.iter().map(|place| write(trial, place)).collect()).await?;
    all(places.iter().map(|place| is_own(place, true)).collect()).await?;
    are_listed(trial, &places.iter().collect::<Vec<_>>()).await?;

    // Half of them go, and the others stay.
    let (go, stay): (Vec<_>, Vec<_>) = places.iter().enumerate().partition(|(number, _)| number.is_multiple_of(2));
    let [go, stay] = [go, stay].map(|half| half.into_iter().map(|(_, place)| place).collect::<Vec<_>>());
    all(go.iter().map(|place| delete(place)).collect()).await?;
    all(go.iter().map(|place| is_own(place, false)).collect()).await?;
    all(stay.iter().map(|place| is_own(place, true)).collect()).await?;
    are_listed(trial, &stay).await?;
    events_are_own(&places).await
}

async fn write(trial: &Trial, place: &Place) -> Result<(), Broken> {
    let Place { tenant, key, bytes, row } = place;
    let token = samples::token("r", tenant.sealed(bytes.as_slice()), Some(trial.at(1)))?;
    tenant.swap_token(key, None, Some(&token)).await?;
    let mut row = row.clone();
    row.ciphers = Some(tenant.sealed(bytes.as_slice()));
    let event = samples::event(key, EventKind::Connected);
    tenant.swap_row(key, None, Some(&Next { revision: "r".parse()?, value: row }), &[event]).await?;
    let once = samples::event(key, EventKind::Recovered);
    let appended = tenant.storage.append_once(&tenant.id, &OnceDigest::of("once"), &once).await?;
    ensure!(appended, "append_once answered false where nothing was appended, at {key:?}");
    Ok(())
}

async fn delete(place: &Place) -> Result<(), Broken> {
    place.tenant.swap_token(&place.key, Some("r"), None).await?;
    place.tenant.swap_row(&place.key, Some("r"), None, &[]).await
}

async fn is_own(place: &Place, is_there: bool) -> Result<(), Broken> {
    let Place { tenant: Tenant { storage, id, .. }, key, bytes, row } = place;
    let token = is_there.then(|| ("r".to_owned(), place.tenant.sealed(bytes.as_slice())));
    let load = || async { storage.load_token(id, key).await.map(ageless) };
    settles(&format!("load_token of {key:?}"), token, load).await?;
    let name = is_there.then(|| row.connection.seller_name.clone());
    let load = || async {
        let entry = storage.load_row(id, key).await?.filter(|entry| entry.row.connection.key == *key);
        Ok::<_, Broken>(entry.map(|entry| entry.row.connection.seller_name))
    };
    settles(&format!("load_row of {key:?}"), name, load).await
}

/// Every list has these and no others of this check. Read in small pages, so that each id is one to read on from.
async fn are_listed(trial: &Trial, places: &[&Place]) -> Result<(), Broken> {
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
        settles("owners", keys.clone(), || trial.storage.owners(id, &shop)).await?;
        let sealed = [Purpose::Token, Purpose::Ciphers]
            .into_iter()
            .flat_map(|purpose| keys.iter().map(move |key| (purpose, key.clone())));
        let sealed: Vec<_> = sealed.collect();
        settles("sealed_under", sealed, || super::sealing::listed(tenant, &tenant.key, PAGE)).await?;
        let mut customers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ConnectionKey { customer, account } in &*keys {
            customers.entry(customer).or_default().push(account.clone());
        }
        for (customer, accounts) in customers {
            settles("accounts", accounts.clone(), || trial.storage.accounts(id, customer)).await?;
            settles("list_rows", accounts, || async {
                let rows = trial.storage.list_rows(id, customer).await?.into_iter();
                let rows = rows.filter(|entry| entry.row.connection.key.customer == *customer);
                Ok::<_, Broken>(rows.map(|entry| entry.row.connection.key.account).collect())
            })
            .await?;
        }
    }
    settles("due", all_due.clone(), || super::due::listed(trial, trial.at(1), PAGE, usize::MAX)).await?;
    let grant = Row::grant_of("", UnixSeconds(0));
    let ending = |Due { at, tenant, key }| Ending { at, tenant, key, grant: grant.clone() };
    let endings = all_due.into_iter().map(ending).collect();
    settles("endings", endings, || super::endings::listed(trial, trial.at(1), PAGE)).await
}

/// A tenant's events are of its own connections, two of each.
async fn events_are_own(places: &[Place]) -> Result<(), Broken> {
    let mut tenants: BTreeMap<&TenantId, Vec<_>> = BTreeMap::new();
    for Place { tenant, key, .. } in places {
        let events = tenants.entry(&tenant.id).or_default();
        events.extend([(key.clone(), true), (key.clone(), false)]);
    }
    for (tenant, mut expected) in tenants {
        expected.sort();
        let storage = places.iter().find(|place| place.tenant.id == *tenant).map(|place| &place.tenant.storage);
        let storage = storage.ok_or_else(|| Broken("a tenant without a place".to_owned()))?;
        settles("events", expected, || async {
            let told = told(storage, tenant).await?.into_iter();
            let mut told: Vec<_> = told.map(|event| (event.key, event.kind == EventKind::Connected)).collect();
            told.sort();
            Ok::<_, Broken>(told)
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn keys_states_and_webhooks_are_their_tenants_own(trial: &Trial) -> Result<(), Broken> {
    let mut owners = Vec::new();
    for (number, end) in samples::ALIKE.iter().enumerate() {
        owners.push(Owner { tenant: trial.tenant_id(end)?, number });
    }
    all(owners.iter().map(|owner| owner.writes(trial)).collect()).await?;
    all(owners.iter().map(|owner| owner.has_its_own(trial)).collect()).await?;
    Ok(())
}

/// A tenant that has the same names as others, for something else. Every second one has more.
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
        Ok(ConsentRecord { customer, browser, shops: ShopPolicy::All })
    }

    fn keys(&self) -> Result<Vec<TenantKey>, Broken> {
        let first = samples::tenant_key("key", self.number.to_string().as_bytes())?;
        let second = samples::tenant_key("second", b"second")?;
        Ok([Some(first), self.has_more().then_some(second)].into_iter().flatten().collect())
    }

    async fn writes(&self, trial: &Trial) -> Result<(), Broken> {
        let (storage, tenant) = (&trial.storage, &self.tenant);
        let mut newest = None;
        for key in self.keys()? {
            let added = storage.add_key(tenant, newest.as_ref(), &key).await?;
            ensure!(added, "a key of {tenant:?} was not added behind {newest:?}");
            newest = Some(key.id);
        }
        storage.put_state(tenant, &STATE, &self.consent()?).await?;
        if self.has_more() {
            ensure!(storage.use_state(tenant, &STATE).await?, "a state of {tenant:?} was used by another tenant");
            storage.remember_webhook(tenant, &WEBHOOK).await?;
        }
        Ok(())
    }

    async fn has_its_own(&self, trial: &Trial) -> Result<(), Broken> {
        let (storage, tenant, has_more) = (&trial.storage, &self.tenant, self.has_more());
        settles(&format!("tenant_keys of {tenant:?}"), self.keys()?, || storage.tenant_keys(tenant)).await?;
        let state = storage.load_state(tenant, &STATE).await?.map(|stored| stored.record);
        ensure_same!(state, Some(self.consent()?), "load_state of {tenant:?}");
        ensure_same!(storage.use_state(tenant, &STATE).await?, !has_more, "use_state of {tenant:?}");
        settles(&format!("knows_webhook of {tenant:?}"), has_more, || storage.knows_webhook(tenant, &WEBHOOK)).await?;
        // What is wrapped anew and what goes here stays at the others.
        let (second, anew) = (samples::tenant_key("second", b"second")?, samples::wrapped_key("host-key", b"anew")?);
        let wrapped = storage.rewrap_key(tenant, &second, Some(&anew)).await?;
        ensure_same!(wrapped, has_more, "rewrap_key of {tenant:?}");
        let removed = storage.remove_key(tenant, &"second".parse()?).await?;
        ensure_same!(removed, has_more, "remove_key of {tenant:?}");
        Ok(())
    }
}
