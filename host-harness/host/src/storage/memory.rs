//! Storage in this process's memory, for tests and demonstrations. One lock makes every swap atomic. Everything is lost
//! when the process ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::connections::{ConnectionStorage, Ending, OnceDigest, Row, RowCount, RowEntry, RowFilter, RowIndex};
use super::consents::{
    BrowserDigest, ConsentRecord, ConsentStorage, InstallDigest, InstallRecord, StateDigest, StoredConsent,
    StoredInstall,
};
use super::environment::Environment;
use super::error::StorageError;
use super::keys::{Deleted, KeyStorage, KeyUse, Purpose, Sealed, SealedRecord, TenantKey, WrappedKey};
use super::requests::{BegunRequest, RequestDigest, RequestStorage, StoredRequest};
use super::swap::{Next, Swapped};
use super::tokens::{Due, TokenEntry, TokenStorage, TokenWrite};
use super::webhooks::{WebhookDigest, WebhookStorage};
use crate::clock::Clock;
use crate::connection::{ConnectionKey, StatusKind, UnixSeconds};
use crate::events::{Event, EventPosition, NewEvent};
use crate::id::{AccountId, CustomerId, KeyId, Revision, ShopId, TenantId};

/// How long the state of a consent is kept: one hour. The host refuses the consent much earlier, after ten minutes.
const STATE_RETENTION: Duration = Duration::from_secs(3_600);
/// How long an install that waits for a confirmation is kept: 30 minutes. The host refuses an older install.
const INSTALL_RETENTION: Duration = Duration::from_secs(1_800);
/// How long a handled webhook is remembered: three days.
const WEBHOOK_RETENTION: Duration = Duration::from_secs(3 * 86_400);
/// How long a request with an idempotency key is remembered: 24 hours.
const REQUEST_RETENTION: Duration = Duration::from_secs(86_400);

/// Storage in memory. It measures ages with the monotonic time of its clock.
pub struct MemoryStorage {
    clock: Arc<dyn Clock>,
    /// The environment to which the storage belongs. The first call of `belongs_to` sets it.
    environment: OnceLock<Environment>,
    records: Mutex<BTreeMap<TenantId, Records>>,
}

#[derive(Default)]
struct Records {
    tokens: ByCustomer<StoredToken>,
    rows: ByCustomer<RowEntry>,
    /// For each shop, the connections whose row contains it.
    owners: BTreeMap<ShopId, BTreeSet<ConnectionKey>>,
    /// The events. The position of an event is its index in this list, plus the number of deleted events, plus 1.
    events: Vec<NewEvent>,
    deleted_events: u64,
    once: BTreeSet<(Option<ConnectionKey>, OnceDigest)>,
    states: BTreeMap<StateDigest, StoredState>,
    installs: BTreeMap<InstallDigest, PutInstall>,
    webhooks: Webhooks,
    requests: BTreeMap<RequestDigest, RememberedRequest>,
    /// The tenant's keys, in the order in which they were added.
    keys: Vec<TenantKey>,
}

impl Records {
    /// Deletes the consents and the installs that are too old.
    fn delete_old_consents(&mut self, now: Duration) {
        self.states.retain(|_, stored| now.saturating_sub(stored.put_at) <= STATE_RETENTION);
        self.installs.retain(|_, stored| now.saturating_sub(stored.put_at) <= INSTALL_RETENTION);
    }

    /// Returns whether the tenant has this key and has not erased it.
    fn has_key(&self, key: &KeyId) -> bool {
        self.keys.iter().any(|known| known.id == *key && known.wrapped.is_some())
    }

    /// Returns every sealed value, ordered by purpose, then by connection.
    fn sealed(&self) -> impl Iterator<Item = SealedRecord> {
        let record = |purpose, (customer, account): (&CustomerId, &AccountId), revision: &Revision, sealed: &Sealed| {
            let key = ConnectionKey { customer: customer.clone(), account: account.clone() };
            SealedRecord { key, purpose, revision: revision.clone(), sealed: sealed.clone() }
        };
        let tokens =
            each(&self.tokens).map(move |(key, stored)| record(Purpose::Token, key, &stored.revision, &stored.value));
        let ciphers = each(&self.rows).filter_map(move |(key, entry)| {
            Some(record(Purpose::Ciphers, key, &entry.revision, entry.row.sealed.as_ref()?))
        });
        tokens.chain(ciphers)
    }
}

fn each<T>(all: &ByCustomer<T>) -> impl Iterator<Item = ((&CustomerId, &AccountId), &T)> {
    all.iter()
        .flat_map(|(customer, accounts)| accounts.iter().map(move |(account, stored)| ((customer, account), stored)))
}

type ByCustomer<T> = BTreeMap<CustomerId, BTreeMap<AccountId, T>>;

struct StoredState {
    record: ConsentRecord,
    put_at: Duration,
    used: bool,
}

struct PutInstall {
    browser: BrowserDigest,
    sealed: Option<Vec<u8>>,
    put_at: Duration,
}

struct RememberedRequest {
    begun: BegunRequest,
    answer: Option<Vec<u8>>,
    begun_at: Duration,
}

#[derive(Default)]
struct Webhooks {
    known: BTreeSet<WebhookDigest>,
    /// The remembered webhooks, each with the time at which it was remembered, oldest first.
    since: VecDeque<(Duration, WebhookDigest)>,
}

struct StoredToken {
    revision: Revision,
    value: Sealed,
    refresh_due_at: Option<UnixSeconds>,
    written_at: Duration,
}

impl MemoryStorage {
    /// Creates an empty storage.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, environment: OnceLock::new(), records: Mutex::default() }
    }

    /// Takes the lock. If a thread has panicked while it held the lock, the records are still consistent, so the lock
    /// is taken anyway.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Records>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, stored: &StoredToken) -> TokenEntry {
        TokenEntry {
            revision: stored.revision.clone(),
            value: stored.value.clone(),
            age: self.clock.monotonic().saturating_sub(stored.written_at),
        }
    }
}

impl std::fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStorage").finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStorage for MemoryStorage {
    async fn belongs_to(&self, environment: Environment) -> Result<bool, StorageError> {
        // If the storage has tokens but no environment yet, it belongs to TikTok Shop.
        let has_tokens = self.lock().values().any(|tenant| !tenant.tokens.is_empty());
        let first = if has_tokens { Environment::TikTokShop } else { environment };
        Ok(*self.environment.get_or_init(|| first) == environment)
    }

    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        let records = self.lock();
        let accounts = records.get(tenant).and_then(|records| records.tokens.get(customer));
        Ok(accounts.into_iter().flat_map(BTreeMap::keys).cloned().collect())
    }

    async fn accounts_with_token(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(Vec<AccountId>, Option<TokenEntry>), StorageError> {
        let accounts = self.accounts(tenant, customer).await?;
        let token = match &*accounts {
            [only] => {
                let key = ConnectionKey { customer: customer.clone(), account: only.clone() };
                self.load_token(tenant, &key).await?
            }
            _ => None,
        };
        Ok((accounts, token))
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        let records = self.lock();
        let accounts = records.get(tenant).and_then(|records| records.tokens.get(&key.customer));
        Ok(accounts.and_then(|accounts| accounts.get(&key.account)).map(|stored| self.entry(stored)))
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        let mut records = self.lock();
        let records = records.entry(tenant.clone()).or_default();
        let found = records.tokens.get(&key.customer).and_then(|accounts| accounts.get(&key.account));
        if found.map(|stored| &stored.revision) != expected {
            return Ok(Swapped::Stale(found.map(|stored| self.entry(stored))));
        }
        if next.is_some_and(|next| !records.has_key(next.value.value.key())) {
            return Err(StorageError::KeyGone);
        }
        let accounts = records.tokens.entry(key.customer.clone()).or_default();
        match next {
            Some(Next { revision, value }) => accounts.insert(
                key.account.clone(),
                StoredToken {
                    revision: revision.clone(),
                    value: value.value.clone(),
                    refresh_due_at: value.refresh_due_at,
                    written_at: self.clock.monotonic(),
                },
            ),
            None => accounts.remove(&key.account),
        };
        Ok(Swapped::Done)
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        let records = self.lock();
        let all = records.iter().flat_map(|(tenant, records)| {
            let tokens = records.tokens.iter();
            tokens.flat_map(move |(customer, accounts)| {
                accounts.iter().map(move |(account, stored)| (tenant, customer, account, stored))
            })
        });
        let mut due: Vec<_> = all
            .filter_map(|(tenant, customer, account, stored)| {
                let at = stored.refresh_due_at.filter(|at| *at <= now)?;
                let key = ConnectionKey { customer: customer.clone(), account: account.clone() };
                Some(Due { at, tenant: tenant.clone(), key })
            })
            .filter(|due| after.is_none_or(|after| due > after))
            .collect();
        due.sort();
        due.truncate(limit);
        Ok(due)
    }
}

#[async_trait]
impl ConnectionStorage for MemoryStorage {
    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        let records = self.lock();
        let accounts = records.get(tenant).and_then(|records| records.rows.get(customer));
        Ok(accounts.into_iter().flat_map(BTreeMap::values).cloned().collect())
    }

    async fn list_rows_with_accounts(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(Vec<RowEntry>, Option<Vec<AccountId>>), StorageError> {
        let rows = self.list_rows(tenant, customer).await?;
        Ok((rows, Some(self.accounts(tenant, customer).await?)))
    }

    async fn load_row_with_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<(Option<RowEntry>, Option<TokenEntry>), StorageError> {
        let row = self.load_row(tenant, key).await?;
        Ok((row, self.load_token(tenant, key).await?))
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let records = self.lock();
        let accounts = records.get(tenant).and_then(|records| records.rows.get(&key.customer));
        Ok(accounts.and_then(|accounts| accounts.get(&key.account)).cloned())
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let mut records = self.lock();
        let records = records.entry(tenant.clone()).or_default();
        let found = records.rows.get(&key.customer).and_then(|accounts| accounts.get(&key.account));
        if found.map(|entry| &entry.revision) != expected {
            return Ok(Swapped::Stale(found.cloned()));
        }
        let sealed_under = next.and_then(|next| next.value.sealed.as_ref()).map(Sealed::key);
        if sealed_under.is_some_and(|key| !records.has_key(key)) {
            return Err(StorageError::KeyGone);
        }
        let Records { rows, owners, events: all_events, .. } = records;
        let accounts = rows.entry(key.customer.clone()).or_default();
        let found = accounts.get(&key.account);
        for shop in found.into_iter().flat_map(|entry| &entry.row.index.shops) {
            owners.entry(shop.id.clone()).or_default().remove(key);
        }
        for shop in next.into_iter().flat_map(|next| &next.value.index.shops) {
            owners.entry(shop.id.clone()).or_default().insert(key.clone());
        }
        match next {
            Some(Next { revision, value }) => {
                accounts.insert(key.account.clone(), RowEntry { revision: revision.clone(), row: value.clone() })
            }
            None => accounts.remove(&key.account),
        };
        all_events.extend_from_slice(events);
        Ok(Swapped::Done)
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        let records = self.lock();
        let owners = records.get(tenant).and_then(|records| records.owners.get(shop));
        Ok(owners.into_iter().flatten().cloned().collect())
    }

    async fn tenant_rows(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<RowEntry>, StorageError> {
        let records = self.lock();
        let Some(Records { rows, tokens, .. }) = records.get(tenant) else { return Ok(Vec::new()) };
        let is_connected =
            |key: &ConnectionKey| tokens.get(&key.customer).is_some_and(|accounts| accounts.contains_key(&key.account));
        let wanted = rows.values().flat_map(BTreeMap::values).filter(|entry| {
            let key = &entry.row.key;
            after.is_none_or(|after| key > after) && filter.matches(&entry.row) && is_connected(key)
        });
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        let records = self.lock();
        let all = records.iter().flat_map(|(tenant, records)| {
            records.rows.values().flat_map(BTreeMap::values).map(move |entry| (tenant, &entry.row))
        });
        let mut endings: Vec<_> = all
            .filter(|(_, row)| row.index.status != StatusKind::ReauthorizationRequired)
            .filter_map(|(tenant, row)| {
                let at = row.index.ends_at.filter(|at| *at <= by)?;
                Some(Ending { at, tenant: tenant.clone(), key: row.key.clone(), grant: row.grant() })
            })
            .filter(|ending| after.is_none_or(|after| ending > after))
            .collect();
        endings.sort();
        endings.truncate(limit);
        Ok(endings)
    }

    async fn count_rows(&self) -> Result<Vec<RowCount>, StorageError> {
        let records = self.lock();
        let rows = records.values().flat_map(|records| records.rows.values()).flat_map(BTreeMap::values);
        let mut counts: Vec<RowCount> = Vec::new();
        for RowIndex { status, app, .. } in rows.map(|entry| &entry.row.index) {
            match counts.iter_mut().find(|count| count.status == *status && count.app == *app) {
                Some(count) => count.rows += 1,
                None => counts.push(RowCount { status: *status, app: app.clone(), rows: 1 }),
            }
        }
        Ok(counts)
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        let records = self.lock();
        let Some(Records { events, deleted_events, .. }) = records.get(tenant) else { return Ok(Vec::new()) };
        let numbered = (deleted_events + 1..).map(EventPosition).zip(events);
        let wanted = numbered.filter(|(position, _)| after.is_none_or(|after| *position > after)).take(limit);
        Ok(wanted.map(|(position, event)| Event { position, event: event.clone() }).collect())
    }

    async fn knows_once(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        once: &OnceDigest,
    ) -> Result<bool, StorageError> {
        let records = self.lock();
        Ok(records.get(tenant).is_some_and(|records| records.once.contains(&(Some(key.clone()), *once))))
    }

    async fn append_once(
        &self,
        tenant: &TenantId,
        once: &OnceDigest,
        event: &NewEvent,
        grant: Option<&str>,
    ) -> Result<bool, StorageError> {
        let mut records = self.lock();
        let records = records.entry(tenant.clone()).or_default();
        let row = event.key.as_ref().and_then(|key| records.rows.get(&key.customer)?.get(&key.account));
        if grant.is_some_and(|grant| !row.is_some_and(|entry| entry.row.works_with(grant))) {
            return Ok(false);
        }
        let is_first = records.once.insert((event.key.clone(), *once));
        if is_first {
            records.events.push(event.clone());
        }
        Ok(is_first)
    }
}

#[async_trait]
impl ConsentStorage for MemoryStorage {
    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        let now = self.clock.monotonic();
        let mut records = self.lock();
        let records = records.entry(tenant.clone()).or_default();
        records.delete_old_consents(now);
        let states = &mut records.states;
        if states.contains_key(state) {
            return Err(StorageError::Refused("this state is already stored".to_owned()));
        }
        states.insert(*state, StoredState { record: consent.clone(), put_at: now, used: false });
        Ok(())
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        let records = self.lock();
        let stored = records.get(tenant).and_then(|records| records.states.get(state));
        Ok(stored.map(|stored| StoredConsent {
            record: stored.record.clone(),
            age: self.clock.monotonic().saturating_sub(stored.put_at),
            used: stored.used,
        }))
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        let mut records = self.lock();
        let stored = records.get_mut(tenant).and_then(|records| records.states.get_mut(state));
        Ok(stored.is_some_and(|stored| !std::mem::replace(&mut stored.used, true)))
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        let mut records = self.lock();
        if let Some(stored) = records.get_mut(tenant).and_then(|records| records.states.get_mut(state)) {
            stored.used = false;
        }
        Ok(())
    }

    async fn put_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
        record: &InstallRecord,
    ) -> Result<(), StorageError> {
        let now = self.clock.monotonic();
        let mut records = self.lock();
        let records = records.entry(tenant.clone()).or_default();
        records.delete_old_consents(now);
        if records.installs.contains_key(install) {
            return Err(StorageError::Refused("this install is already stored".to_owned()));
        }
        let InstallRecord { browser, sealed } = record.clone();
        records.installs.insert(*install, PutInstall { browser, sealed: Some(sealed), put_at: now });
        Ok(())
    }

    async fn load_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
    ) -> Result<Option<StoredInstall>, StorageError> {
        let records = self.lock();
        let stored = records.get(tenant).and_then(|records| records.installs.get(install));
        Ok(stored.map(|stored| StoredInstall {
            browser: stored.browser,
            sealed: stored.sealed.clone(),
            age: self.clock.monotonic().saturating_sub(stored.put_at),
        }))
    }

    async fn close_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        let mut records = self.lock();
        if let Some(stored) = records.get_mut(tenant).and_then(|records| records.installs.get_mut(install)) {
            stored.sealed = None;
        }
        Ok(())
    }

    async fn delete_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        if let Some(records) = self.lock().get_mut(tenant) {
            records.installs.remove(install);
        }
        Ok(())
    }

    async fn delete_expired(&self) -> Result<(), StorageError> {
        let now = self.clock.monotonic();
        self.lock().values_mut().for_each(|records| records.delete_old_consents(now));
        Ok(())
    }
}

#[async_trait]
impl WebhookStorage for MemoryStorage {
    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        Ok(self.lock().get(tenant).is_some_and(|records| records.webhooks.known.contains(webhook)))
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        let now = self.clock.monotonic();
        let mut records = self.lock();
        let Webhooks { known, since } = &mut records.entry(tenant.clone()).or_default().webhooks;
        while let Some((_, old)) = since.pop_front_if(|(at, _)| now.saturating_sub(*at) > WEBHOOK_RETENTION) {
            known.remove(&old);
        }
        if known.insert(*webhook) {
            since.push_back((now, *webhook));
        }
        Ok(())
    }
}

#[async_trait]
impl RequestStorage for MemoryStorage {
    async fn begin_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        begun: &BegunRequest,
    ) -> Result<Option<StoredRequest>, StorageError> {
        let now = self.clock.monotonic();
        let mut records = self.lock();
        let requests = &mut records.entry(tenant.clone()).or_default().requests;
        requests.retain(|_, stored| now.saturating_sub(stored.begun_at) <= REQUEST_RETENTION);
        if let Some(RememberedRequest { begun, answer, begun_at }) = requests.get(key) {
            let age = now.saturating_sub(*begun_at);
            return Ok(Some(StoredRequest { begun: begun.clone(), answer: answer.clone(), age }));
        }
        requests.insert(*key, RememberedRequest { begun: begun.clone(), answer: None, begun_at: now });
        Ok(None)
    }

    async fn finish_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        attempt: &[u8; 16],
        answer: &[u8],
    ) -> Result<(), StorageError> {
        let mut records = self.lock();
        let stored = records.get_mut(tenant).and_then(|records| records.requests.get_mut(key));
        if let Some(stored) = stored.filter(|stored| stored.begun.attempt == *attempt) {
            stored.answer = Some(answer.to_vec());
        }
        Ok(())
    }

    async fn forget_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        attempt: &[u8; 16],
    ) -> Result<(), StorageError> {
        if let Some(records) = self.lock().get_mut(tenant) {
            records.requests.retain(|known, stored| known != key || stored.begun.attempt != *attempt);
        }
        Ok(())
    }
}

#[async_trait]
impl KeyStorage for MemoryStorage {
    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        Ok(self.lock().get(tenant).map(|records| records.keys.clone()).unwrap_or_default())
    }

    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError> {
        let mut records = self.lock();
        let keys = &mut records.entry(tenant.clone()).or_default().keys;
        let is_next = keys.last().map(|last| &last.id) == newest && keys.iter().all(|known| known.id != key.id);
        if is_next {
            keys.push(key.clone());
        }
        Ok(is_next)
    }

    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        let mut records = self.lock();
        let keys = records.get_mut(tenant).map(|records| &mut records.keys);
        let found = keys.into_iter().flatten().find(|known| *known == key && known.wrapped.is_some());
        Ok(found.map(|known| known.wrapped = next.cloned()).is_some())
    }

    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        let mut records = self.lock();
        let Some(records) = records.get_mut(tenant) else { return Ok(false) };
        if records.sealed().any(|record| record.sealed.key() == key) {
            return Ok(false);
        }
        let before = records.keys.len();
        records.keys.retain(|known| known.id != *key);
        Ok(records.keys.len() < before)
    }

    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError> {
        let records = self.lock();
        let mut uses = Vec::new();
        for (tenant, records) in &*records {
            let mut keys: Vec<_> = records.keys.iter().collect();
            keys.sort_by_key(|key| &key.id);
            for key in keys.into_iter().filter(|key| after.is_none_or(|after| (tenant, &key.id) > after)) {
                if uses.len() >= limit {
                    return Ok(uses);
                }
                let sealed = records.sealed().filter(|record| *record.sealed.key() == key.id).count();
                uses.push(KeyUse { tenant: tenant.clone(), key: key.clone(), records: sealed as u64 });
            }
        }
        Ok(uses)
    }

    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        let records = self.lock();
        let sealed = records.get(tenant).into_iter().flat_map(Records::sealed);
        let wanted = sealed.filter(|record| {
            record.sealed.key() == key && after.is_none_or(|after| (record.purpose, &record.key) > after)
        });
        Ok(wanted.take(limit).collect())
    }

    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError> {
        let mut records = self.lock();
        let Some(records) = records.get_mut(tenant) else { return Ok(false) };
        if !records.has_key(next.key()) {
            return Err(StorageError::KeyGone);
        }
        let ConnectionKey { customer, account } = &record.key;
        let stored = match record.purpose {
            Purpose::Token => {
                let token = records.tokens.get_mut(customer).and_then(|accounts| accounts.get_mut(account));
                token.filter(|token| token.revision == record.revision).map(|token| &mut token.value)
            }
            Purpose::Ciphers => {
                let entry = records.rows.get_mut(customer).and_then(|accounts| accounts.get_mut(account));
                entry.filter(|entry| entry.revision == record.revision).and_then(|entry| entry.row.sealed.as_mut())
            }
        };
        let same = stored.filter(|sealed| **sealed == record.sealed);
        Ok(same.map(|sealed| *sealed = next.clone()).is_some())
    }

    async fn delete_tenant(&self, tenant: &TenantId, limit: usize) -> Result<Deleted, StorageError> {
        let mut records = self.lock();
        let Some(records) = records.get_mut(tenant) else {
            return Ok(Deleted { is_complete: true, ..Deleted::default() });
        };
        let Records {
            tokens,
            rows,
            owners,
            events,
            deleted_events,
            once,
            states,
            installs,
            webhooks,
            requests,
            keys: _,
        } = records;
        let key = |(customer, account): (&CustomerId, &AccountId)| ConnectionKey {
            customer: customer.clone(),
            account: account.clone(),
        };
        let all = each(tokens).map(|(place, _)| key(place)).chain(each(rows).map(|(place, _)| key(place)));
        let all: BTreeSet<_> = all.collect();
        for ConnectionKey { customer, account } in all.iter().take(limit) {
            tokens.get_mut(customer).and_then(|accounts| accounts.remove(account));
            rows.get_mut(customer).and_then(|accounts| accounts.remove(account));
        }
        let deleted: BTreeSet<_> = all.iter().take(limit).collect();
        owners.values_mut().for_each(|owners| owners.retain(|key| !deleted.contains(key)));
        let old_events = events.drain(..limit.min(events.len())).count() as u64;
        *deleted_events += old_events;
        let mut others = old_events;
        let most = once.len().max(states.len()).max(installs.len()).max(webhooks.since.len()).max(requests.len());
        for _ in 0..limit.min(most) {
            others += u64::from(once.pop_first().is_some()) + u64::from(states.pop_first().is_some());
            others += u64::from(installs.pop_first().is_some()) + u64::from(requests.pop_first().is_some());
            if let Some((_, webhook)) = webhooks.since.pop_front() {
                others += u64::from(webhooks.known.remove(&webhook));
            }
        }
        let is_complete = all.len() <= limit
            && events.is_empty()
            && once.is_empty()
            && states.is_empty()
            && installs.is_empty()
            && webhooks.since.is_empty()
            && requests.is_empty();
        Ok(Deleted { connections: all.len().min(limit) as u64, others, is_complete })
    }
}

#[cfg(test)]
mod tests;
