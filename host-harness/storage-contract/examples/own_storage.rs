//! A storage of one's own, complete: on redb, an embedded key-value database. Nothing in it knows of tokens, keys or TikTok
//! Shop; it keeps what it is given, and compares revisions.
//!
//! `tests/storage/main.rs` runs the contract suite on it. It lists what is due by looking at every record: with many
//! connections keep an index, as `migrations/sqlite` does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redb::{Database, ReadableDatabase as _, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::*;

/// Tenant, customer, account: parts of their own, so that no separator in an id can make two keys one.
type Key = (&'static str, &'static str, &'static str);
/// A tenant, and 32 bytes or a number.
type Digest = (&'static str, &'static [u8]);

const TOKENS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("tokens");
const ROWS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("rows");
const EVENTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("events");
const TOLD: TableDefinition<'_, (&str, &str, &str, &[u8]), ()> = TableDefinition::new("told");
const STATES: TableDefinition<'_, Digest, &[u8]> = TableDefinition::new("states");
const WEBHOOKS: TableDefinition<'_, Digest, u64> = TableDefinition::new("webhooks");
const KEYS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("keys");

/// When something was written, by a clock that nobody can set.
#[derive(Serialize, Deserialize)]
struct Moment {
    boot: String,
    since_boot: Duration,
}

#[derive(Serialize, Deserialize)]
struct StoredToken {
    revision: Revision,
    value: Sealed,
    refresh_due_at: Option<UnixSeconds>,
    written: Moment,
}

#[derive(Serialize, Deserialize)]
struct StoredRow {
    revision: Revision,
    row: Row,
}

#[derive(Serialize, Deserialize)]
struct StoredState {
    record: ConsentRecord,
    used: bool,
    begun: Moment,
}

/// A storage in one file, for one process.
#[derive(Clone)]
pub struct OwnStorage {
    database: Arc<Database>,
    clock: Arc<BootClock>,
}

impl OwnStorage {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let storage = Self { database: Arc::new(Database::create(path)?), clock: Arc::new(BootClock::read()?) };
        let transaction = storage.database.begin_write()?;
        // A table exists once it was opened for writing.
        transaction.open_table(TOKENS)?;
        transaction.open_table(ROWS)?;
        transaction.open_table(EVENTS)?;
        transaction.open_table(TOLD)?;
        transaction.open_table(STATES)?;
        transaction.open_table(WEBHOOKS)?;
        transaction.open_table(KEYS)?;
        transaction.commit()?;
        Ok(storage)
    }

    /// One transaction that writes: all of it happens, or nothing. There is one at a time, which makes every swap atomic.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction, &BootClock) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, StorageError> {
        let storage = self.clone();
        // On a thread of its own: it waits for the disk, and goes on when nobody waits for it any more.
        let done = tokio::task::spawn_blocking(move || {
            let transaction = storage.database.begin_write()?;
            let done = work(&transaction, &storage.clock)?;
            transaction.commit()?;
            Ok(done)
        });
        done.await.map_err(|error| StorageError::Unavailable(error.to_string()))?.map_err(|failed: Failed| failed.0)
    }

    /// The same, where nothing is written.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction, &BootClock) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, StorageError> {
        let storage = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&storage.database.begin_read()?, &storage.clock));
        done.await.map_err(|error| StorageError::Unavailable(error.to_string()))?.map_err(|failed: Failed| failed.0)
    }
}

/// What any step of a transaction may end in. A database's error says nothing about what it was writing.
struct Failed(StorageError);

impl<E: Into<redb::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(StorageError::Unavailable(error.into().to_string()))
    }
}

fn refused(why: &str) -> Failed {
    Failed(StorageError::Refused(why.to_owned()))
}

fn written<T: Serialize>(value: &T) -> Result<Vec<u8>, Failed> {
    serde_json::to_vec(value).map_err(|_| refused("a value that is no JSON"))
}

fn stored<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(bytes).map_err(|_| refused("a stored value is malformed"))
}

fn names<'a>(tenant: &'a TenantId, key: &'a ConnectionKey) -> (&'a str, &'a str, &'a str) {
    (tenant.as_str(), key.customer.as_str(), key.account.as_str())
}

fn found<'txn, K: redb::Key + 'static, T: DeserializeOwned>(
    table: &impl ReadableTable<K, &'static [u8]>,
    key: impl std::borrow::Borrow<K::SelfType<'txn>>,
) -> Result<Option<T>, Failed> {
    table.get(key)?.map(|bytes| stored(bytes.value())).transpose()
}

fn now(clock: &BootClock) -> Moment {
    Moment { boot: clock.boot().to_owned(), since_boot: clock.since_boot() }
}

/// Written before this boot: nobody knows how long ago.
fn age(clock: &BootClock, moment: &Moment) -> Duration {
    if moment.boot == clock.boot() { clock.since_boot().saturating_sub(moment.since_boot) } else { Duration::MAX }
}

fn token_entry(clock: &BootClock, token: StoredToken) -> TokenEntry {
    TokenEntry { age: age(clock, &token.written), revision: token.revision, value: token.value }
}

fn row_entry(stored: StoredRow) -> RowEntry {
    RowEntry { revision: stored.revision, row: stored.row }
}

/// Every token record or row, with its names: of one tenant, or of all.
fn each<T: DeserializeOwned>(
    table: &impl ReadableTable<Key, &'static [u8]>,
    tenant: Option<&TenantId>,
) -> Result<Vec<(TenantId, ConnectionKey, T)>, Failed> {
    let mut all = Vec::new();
    for entry in table.range((tenant.map_or("", TenantId::as_str), "", "")..)? {
        let (key, bytes) = entry?;
        let (of, customer, account) = key.value();
        if tenant.is_some_and(|tenant| tenant.as_str() != of) {
            break;
        }
        let malformed = |_| refused("a stored name is malformed");
        let key = ConnectionKey {
            customer: customer.parse().map_err(malformed)?,
            account: account.parse().map_err(malformed)?,
        };
        all.push((of.parse().map_err(malformed)?, key, stored(bytes.value())?));
    }
    Ok(all)
}

/// The keys of a tenant, in the order in which they were added.
fn keys_of(
    table: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    tenant: &TenantId,
) -> Result<Vec<(u64, TenantKey)>, Failed> {
    let tenant = tenant.as_str();
    let keys = table.range((tenant, 0)..=(tenant, u64::MAX))?.map(|entry| {
        let (number, bytes) = entry?;
        Ok((number.value().1, stored(bytes.value())?))
    });
    keys.collect()
}

fn must_have_key(transaction: &WriteTransaction, tenant: &TenantId, key: &KeyId) -> Result<(), Failed> {
    let keys = keys_of(&transaction.open_table(KEYS)?, tenant)?;
    let serves = keys.iter().any(|(_, known)| known.id == *key && known.wrapped.is_some());
    if serves { Ok(()) } else { Err(Failed(StorageError::KeyGone)) }
}

/// Everything of a tenant that is sealed.
fn sealed_records(
    tokens: &impl ReadableTable<Key, &'static [u8]>,
    rows: &impl ReadableTable<Key, &'static [u8]>,
    tenant: &TenantId,
) -> Result<Vec<SealedRecord>, Failed> {
    let tokens = each::<StoredToken>(tokens, Some(tenant))?.into_iter().map(|(_, key, token)| {
        let StoredToken { revision, value: sealed, .. } = token;
        SealedRecord { key, purpose: Purpose::Token, revision, sealed }
    });
    let rows =
        each::<StoredRow>(rows, Some(tenant))?.into_iter().filter_map(|(_, key, StoredRow { revision, row })| {
            Some(SealedRecord { key, purpose: Purpose::Ciphers, revision, sealed: row.ciphers? })
        });
    Ok(tokens.chain(rows).collect())
}

/// The transaction holds the only lock for writing: positions become visible in their order.
fn append(transaction: &WriteTransaction, tenant: &TenantId, events: &[NewEvent]) -> Result<(), Failed> {
    let mut table: Table<'_, (&str, u64), &[u8]> = transaction.open_table(EVENTS)?;
    let tenant = tenant.as_str();
    let last = table.range((tenant, 0)..=(tenant, u64::MAX))?.next_back().transpose()?;
    let mut position = last.map_or(0, |(key, _)| key.value().1);
    for event in events {
        position += 1;
        table.insert((tenant, position), written(event)?.as_slice())?;
    }
    Ok(())
}

#[async_trait]
impl HostStorage for OwnStorage {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        let (tenant, customer) = (tenant.clone(), customer.clone());
        self.read(move |transaction, _| {
            let all = each::<StoredToken>(&transaction.open_table(TOKENS)?, Some(&tenant))?.into_iter();
            let ours = all.filter(|(_, key, _)| key.customer == customer);
            Ok(ours.map(|(_, key, _)| key.account).collect())
        })
        .await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.read(move |transaction, clock| {
            let token = found(&transaction.open_table(TOKENS)?, names(&tenant, &key))?;
            Ok(token.map(|token| token_entry(clock, token)))
        })
        .await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        let (tenant, key, expected, next) = (tenant.clone(), key.clone(), expected.cloned(), next.cloned());
        self.write(move |transaction, clock| {
            let mut table = transaction.open_table(TOKENS)?;
            let before: Option<StoredToken> = found(&table, names(&tenant, &key))?;
            if before.as_ref().map(|token| &token.revision) != expected.as_ref() {
                return Ok(Swapped::Stale(before.map(|token| token_entry(clock, token))));
            }
            match next {
                Some(Next { revision, value: TokenWrite { value, refresh_due_at } }) => {
                    must_have_key(transaction, &tenant, value.key())?;
                    let token = StoredToken { revision, value, refresh_due_at, written: now(clock) };
                    table.insert(names(&tenant, &key), written(&token)?.as_slice())?;
                }
                None => drop(table.remove(names(&tenant, &key))?),
            }
            Ok(Swapped::Done)
        })
        .await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        let after = after.cloned();
        self.read(move |transaction, _| {
            let tokens = each::<StoredToken>(&transaction.open_table(TOKENS)?, None)?.into_iter();
            let due = tokens.filter_map(|(tenant, key, token)| {
                let at = token.refresh_due_at.filter(|at| *at <= now)?;
                Some(Due { at, tenant, key })
            });
            let mut due: Vec<_> = due.filter(|due| Some(due) > after.as_ref()).collect();
            due.sort();
            due.truncate(limit);
            Ok(due)
        })
        .await
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        let (tenant, customer) = (tenant.clone(), customer.clone());
        self.read(move |transaction, _| {
            let all = each::<StoredRow>(&transaction.open_table(ROWS)?, Some(&tenant))?.into_iter();
            let ours = all.filter(|(_, key, _)| key.customer == customer);
            Ok(ours.map(|(_, _, row)| row_entry(row)).collect())
        })
        .await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.read(move |transaction, _| {
            let row = found(&transaction.open_table(ROWS)?, names(&tenant, &key))?;
            Ok(row.map(row_entry))
        })
        .await
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let (tenant, key, expected, next) = (tenant.clone(), key.clone(), expected.cloned(), next.cloned());
        let events = events.to_vec();
        self.write(move |transaction, _| {
            let mut table = transaction.open_table(ROWS)?;
            let before: Option<StoredRow> = found(&table, names(&tenant, &key))?;
            if before.as_ref().map(|row| &row.revision) != expected.as_ref() {
                return Ok(Swapped::Stale(before.map(row_entry)));
            }
            match next {
                Some(Next { revision, value: row }) => {
                    if let Some(ciphers) = &row.ciphers {
                        must_have_key(transaction, &tenant, ciphers.key())?;
                    }
                    table.insert(names(&tenant, &key), written(&StoredRow { revision, row })?.as_slice())?;
                }
                None => drop(table.remove(names(&tenant, &key))?),
            }
            append(transaction, &tenant, &events)?;
            Ok(Swapped::Done)
        })
        .await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        let (tenant, shop) = (tenant.clone(), shop.clone());
        self.read(move |transaction, _| {
            let all = each::<StoredRow>(&transaction.open_table(ROWS)?, Some(&tenant))?.into_iter();
            let holds = |row: &Row| row.connection.shops.iter().any(|held| held.id == shop);
            let owners = all.filter(|(_, _, stored)| holds(&stored.row));
            Ok(owners.map(|(_, key, _)| key).collect())
        })
        .await
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        let after = after.cloned();
        self.read(move |transaction, _| {
            let rows = each::<StoredRow>(&transaction.open_table(ROWS)?, None)?.into_iter();
            let endings = rows.filter_map(|(tenant, key, StoredRow { row, .. })| {
                let is_dead = matches!(row.connection.status, ConnectionStatus::ReauthorizationRequired(_));
                let at = row.connection.ends_at().filter(|at| *at <= by && !is_dead)?;
                Some(Ending { at, tenant, key, grant: row.grant() })
            });
            let mut endings: Vec<_> = endings.filter(|ending| Some(ending) > after.as_ref()).collect();
            endings.sort();
            endings.truncate(limit);
            Ok(endings)
        })
        .await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        let tenant = tenant.clone();
        self.read(move |transaction, _| {
            let table = transaction.open_table(EVENTS)?;
            let Some(first) = after.map_or(Some(0), |after| after.0.checked_add(1)) else { return Ok(Vec::new()) };
            let events = table.range((tenant.as_str(), first)..=(tenant.as_str(), u64::MAX))?.take(limit);
            let event = |entry: Result<(redb::AccessGuard<'_, (&str, u64)>, redb::AccessGuard<'_, &[u8]>), _>| {
                let (position, bytes) = entry?;
                Ok(Event { position: EventPosition(position.value().1), event: stored(bytes.value())? })
            };
            events.map(event).collect()
        })
        .await
    }

    async fn append_once(&self, tenant: &TenantId, once: &OnceDigest, event: &NewEvent) -> Result<bool, StorageError> {
        let (tenant, once, event) = (tenant.clone(), *once, event.clone());
        self.write(move |transaction, _| {
            let (of, customer, account) = names(&tenant, &event.key);
            let name = (of, customer, account, once.as_bytes().as_slice());
            let is_first = transaction.open_table(TOLD)?.insert(name, ())?.is_none();
            if is_first {
                append(transaction, &tenant, std::slice::from_ref(&event))?;
            }
            Ok(is_first)
        })
        .await
    }

    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        let (tenant, state, record) = (tenant.clone(), *state, consent.clone());
        self.write(move |transaction, clock| {
            let mut table = transaction.open_table(STATES)?;
            let name = (tenant.as_str(), state.as_bytes().as_slice());
            if table.get(name)?.is_some() {
                return Err(refused("the state is stored already"));
            }
            table.insert(name, written(&StoredState { record, used: false, begun: now(clock) })?.as_slice())?;
            Ok(())
        })
        .await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        let (tenant, state) = (tenant.clone(), *state);
        self.read(move |transaction, clock| {
            let table = transaction.open_table(STATES)?;
            let state: Option<StoredState> = found(&table, (tenant.as_str(), state.as_bytes().as_slice()))?;
            let consent = |StoredState { record, used, begun }| StoredConsent { record, age: age(clock, &begun), used };
            Ok(state.map(consent))
        })
        .await
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.set_used(tenant, state, true).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        self.set_used(tenant, state, false).await.map(drop)
    }

    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        let (tenant, webhook) = (tenant.clone(), *webhook);
        self.read(move |transaction, _| {
            let table = transaction.open_table(WEBHOOKS)?;
            Ok(table.get((tenant.as_str(), webhook.as_bytes().as_slice()))?.is_some())
        })
        .await
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        let (tenant, webhook) = (tenant.clone(), *webhook);
        self.write(move |transaction, clock| {
            // So that a task of yours can remove those of last week.
            let now = clock.wall().as_secs();
            transaction.open_table(WEBHOOKS)?.insert((tenant.as_str(), webhook.as_bytes().as_slice()), now)?;
            Ok(())
        })
        .await
    }

    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        let tenant = tenant.clone();
        self.read(move |transaction, _| {
            let keys = keys_of(&transaction.open_table(KEYS)?, &tenant)?;
            Ok(keys.into_iter().map(|(_, key)| key).collect())
        })
        .await
    }

    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError> {
        let (tenant, newest, key) = (tenant.clone(), newest.cloned(), key.clone());
        self.write(move |transaction, _| {
            let mut table = transaction.open_table(KEYS)?;
            let keys = keys_of(&table, &tenant)?;
            let last = keys.last();
            if last.map(|(_, key)| &key.id) != newest.as_ref() || keys.iter().any(|(_, known)| known.id == key.id) {
                return Ok(false);
            }
            let number = last.map_or(1, |(number, _)| number + 1);
            table.insert((tenant.as_str(), number), written(&key)?.as_slice())?;
            Ok(true)
        })
        .await
    }

    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        let (tenant, key, next) = (tenant.clone(), key.clone(), next.cloned());
        self.write(move |transaction, _| {
            let mut table = transaction.open_table(KEYS)?;
            let keys = keys_of(&table, &tenant)?;
            let same = keys.into_iter().find(|(_, known)| *known == key && known.wrapped.is_some());
            let Some((number, _)) = same else { return Ok(false) };
            let anew = TenantKey { id: key.id, wrapped: next };
            table.insert((tenant.as_str(), number), written(&anew)?.as_slice())?;
            Ok(true)
        })
        .await
    }

    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.write(move |transaction, _| {
            let (tokens, rows) = (transaction.open_table(TOKENS)?, transaction.open_table(ROWS)?);
            let in_use = sealed_records(&tokens, &rows, &tenant)?.iter().any(|record| *record.sealed.key() == key);
            let mut table = transaction.open_table(KEYS)?;
            let found = keys_of(&table, &tenant)?.into_iter().find(|(_, known)| known.id == key);
            let Some((number, _)) = found.filter(|_| !in_use) else { return Ok(false) };
            table.remove((tenant.as_str(), number))?;
            Ok(true)
        })
        .await
    }

    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError> {
        let after = after.map(|(tenant, key)| (tenant.clone(), key.clone()));
        self.read(move |transaction, _| {
            let (tokens, rows) = (transaction.open_table(TOKENS)?, transaction.open_table(ROWS)?);
            let mut uses = Vec::new();
            for entry in transaction.open_table(KEYS)?.iter()? {
                let (name, bytes) = entry?;
                let tenant: TenantId = name.value().0.parse().map_err(|_| refused("a stored name is malformed"))?;
                let key: TenantKey = stored(bytes.value())?;
                let sealed = sealed_records(&tokens, &rows, &tenant)?;
                let records = sealed.iter().filter(|record| *record.sealed.key() == key.id).count() as u64;
                uses.push(KeyUse { tenant, key, records });
            }
            uses.sort_by(|a, b| (&a.tenant, &a.key.id).cmp(&(&b.tenant, &b.key.id)));
            let after = after.as_ref().map(|(tenant, key)| (tenant, key));
            uses.retain(|used| after.is_none_or(|after| (&used.tenant, &used.key.id) > after));
            uses.truncate(limit);
            Ok(uses)
        })
        .await
    }

    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        let after = after.map(|(purpose, key)| (purpose, key.clone()));
        self.read(move |transaction, _| {
            let mut records =
                sealed_records(&transaction.open_table(TOKENS)?, &transaction.open_table(ROWS)?, &tenant)?;
            let after = after.as_ref().map(|(purpose, key)| (*purpose, key));
            records.retain(|record| {
                *record.sealed.key() == key && after.is_none_or(|after| (record.purpose, &record.key) > after)
            });
            records.sort_by(|a, b| (a.purpose, &a.key).cmp(&(b.purpose, &b.key)));
            records.truncate(limit);
            Ok(records)
        })
        .await
    }

    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError> {
        let (tenant, record, next) = (tenant.clone(), record.clone(), next.clone());
        self.write(move |transaction, _| {
            must_have_key(transaction, &tenant, next.key())?;
            let name = names(&tenant, &record.key);
            match record.purpose {
                Purpose::Token => {
                    let mut table = transaction.open_table(TOKENS)?;
                    let same = |token: &StoredToken| token.revision == record.revision && token.value == record.sealed;
                    let Some(token) = found(&table, name)?.filter(same) else { return Ok(false) };
                    table.insert(name, written(&StoredToken { value: next, ..token })?.as_slice())?;
                }
                Purpose::Ciphers => {
                    let mut table = transaction.open_table(ROWS)?;
                    let same = |stored: &StoredRow| {
                        stored.revision == record.revision && stored.row.ciphers.as_ref() == Some(&record.sealed)
                    };
                    let Some(mut row) = found(&table, name)?.filter(same) else { return Ok(false) };
                    row.row.ciphers = Some(next);
                    table.insert(name, written(&row)?.as_slice())?;
                }
            }
            Ok(true)
        })
        .await
    }
}

impl OwnStorage {
    /// `true`: it was otherwise before.
    async fn set_used(&self, tenant: &TenantId, state: &StateDigest, used: bool) -> Result<bool, StorageError> {
        let (tenant, state) = (tenant.clone(), *state);
        self.write(move |transaction, _| {
            let mut table = transaction.open_table(STATES)?;
            let name = (tenant.as_str(), state.as_bytes().as_slice());
            let Some(before) = found::<_, StoredState>(&table, name)?.filter(|state| state.used != used) else {
                return Ok(false);
            };
            table.insert(name, written(&StoredState { used, ..before })?.as_slice())?;
            Ok(true)
        })
        .await
    }
}

/// A host over it: with keys that are on this machine, where its database is.
#[allow(clippy::print_stdout, reason = "an example says what it has done")]
fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let folder = Path::new("target/own-storage");
    std::fs::create_dir_all(folder)?;
    let host = ConnectorHost::builder()
        .component(Component::File("target/dist/tiktok_shop_connector.wasm".into()))
        .storage(Arc::new(OwnStorage::open(&folder.join("connections.redb"))?))
        .keys(Arc::new(KeyFile::open_or_create(folder.join("host-keys"))?))
        .credentials(Arc::new(StaticCredentials::new()))
        .build()?;
    println!("{} runs on a storage of its own", host.plugin());
    Ok(())
}
