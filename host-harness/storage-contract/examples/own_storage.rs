//! A complete storage for one process, which uses the embedded key-value database redb. It stores the values that the
//! host gives it, and compares revisions. It decrypts nothing, and knows nothing about tokens or TikTok Shop.
//!
//! `tests/contract.rs` runs the checks of the storage contract on this storage. The method `due` reads every token
//! record, `endings` reads every row, and `tenant_rows` reads every row of a tenant. If you have many connections, keep
//! an index for these three methods, as `tiktok-shop-sql-storage` does.
//!
//! redb keeps deleted values in its file until it needs their pages for something else. So the erasure of a tenant is
//! final only after the host key was replaced and destroyed: see `docs/storage.md`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redb::{Database, ReadableDatabase as _, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::clock::{Clock as _, SystemClock};
use tiktok_shop_host::connection::{ConnectionKey, StatusKind, UnixSeconds};
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::events::{Event, EventPosition, NewEvent};
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::seal::KeyFile;
use tiktok_shop_host::storage::{
    BrowserDigest, ConnectionStorage, ConsentRecord, ConsentStorage, Deleted, Due, Ending, Environment, InstallDigest,
    InstallRecord, KeyStorage, KeyUse, Next, OnceDigest, Purpose, Row, RowEntry, RowFilter, Sealed, SealedRecord,
    StateDigest, StorageError, StoredConsent, StoredInstall, Swapped, TenantKey, TokenEntry, TokenStorage, TokenWrite,
    WebhookDigest, WebhookStorage, WrappedKey,
};
use tiktok_shop_host::{AccountId, Component, ConnectorHost, CustomerId, KeyId, Revision, ShopId, TenantId};

/// Tenant, customer and account. They are separate parts of the key. So two different keys stay different, whatever
/// characters the ids contain.
type Key = (&'static str, &'static str, &'static str);
/// A tenant, and a digest of 32 bytes.
type Digest = (&'static str, &'static [u8]);

const TOKENS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("tokens");
const ROWS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("rows");
const EVENTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("events");
/// The position of each tenant's last event. It stays when the events are deleted.
const POSITIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("positions");
/// The digests that `append_once` has stored. The parts of the key are tenant, customer, account and digest.
const ONCE: TableDefinition<'_, (&str, &str, &str, &[u8]), ()> = TableDefinition::new("once");
/// The installs that wait for a confirmation.
const INSTALLS: TableDefinition<'_, Digest, &[u8]> = TableDefinition::new("installs");
const STATES: TableDefinition<'_, Digest, &[u8]> = TableDefinition::new("states");
/// The time at which the digest of each webhook was stored, in seconds since 1970.
const WEBHOOKS: TableDefinition<'_, Digest, u64> = TableDefinition::new("webhooks");
/// The environment to which this storage belongs, in one entry.
const ENVIRONMENT: TableDefinition<'_, (), &str> = TableDefinition::new("environment");
/// The tenants' data keys, which encrypt (seal) tokens and ciphers. Each entry of this table is identified by a tenant
/// and a number. A data key that was added later has a greater number.
const KEYS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("keys");

/// How long an install that waits for a confirmation is kept: 30 minutes.
const INSTALL_RETENTION: Duration = Duration::from_secs(30 * 60);

/// When a record was written, as the time since the start of a process. Nobody can set the clock that measures this
/// time.
#[derive(Serialize, Deserialize)]
struct Moment {
    /// The random id of the process.
    process: String,
    since_start: Duration,
}

/// The monotonic clock of this process.
struct ProcessClock {
    process: String,
    clock: SystemClock,
}

impl ProcessClock {
    fn start() -> std::io::Result<Self> {
        let mut id = [0; 16];
        SystemRandomness.fill(&mut id)?;
        Ok(Self { process: hex::encode(id), clock: SystemClock::new() })
    }

    fn now(&self) -> Moment {
        Moment { process: self.process.clone(), since_start: self.clock.monotonic() }
    }

    /// Returns the time since this moment. If an earlier process wrote the record, its age is unknown, and this
    /// function returns the maximum. The claims of the earlier process then count as lapsed, and its unfinished
    /// consents as expired.
    fn age(&self, moment: &Moment) -> Duration {
        let is_own = moment.process == self.process;
        if is_own { self.clock.monotonic().saturating_sub(moment.since_start) } else { Duration::MAX }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredToken {
    revision: Revision,
    value: Sealed,
    refresh_due_at: Option<UnixSeconds>,
    written_at: Moment,
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
    began_at: Moment,
}

#[derive(Serialize, Deserialize)]
struct PutInstall {
    browser: BrowserDigest,
    sealed: Option<Vec<u8>>,
    began_at: Moment,
}

/// A storage in one file, for one process.
#[derive(Clone)]
pub struct OwnStorage {
    database: Arc<Database>,
    clock: Arc<ProcessClock>,
}

impl OwnStorage {
    /// Opens the file, or creates it.
    pub fn open(path: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let storage = Self { database: Arc::new(Database::create(path)?), clock: Arc::new(ProcessClock::start()?) };
        let transaction = storage.database.begin_write()?;
        // Opening a table for writing creates it.
        transaction.open_table(TOKENS)?;
        transaction.open_table(ROWS)?;
        transaction.open_table(EVENTS)?;
        transaction.open_table(POSITIONS)?;
        transaction.open_table(ONCE)?;
        transaction.open_table(STATES)?;
        transaction.open_table(INSTALLS)?;
        transaction.open_table(WEBHOOKS)?;
        transaction.open_table(KEYS)?;
        transaction.open_table(ENVIRONMENT)?;
        transaction.commit()?;
        Ok(storage)
    }

    /// Runs the work in one transaction that can write. redb allows only one such transaction at a time, so every swap
    /// is atomic. If the work fails, nothing is written.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction, &ProcessClock) -> Result<T, TransactionError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let storage = self.clone();
        // The transaction runs on its own thread because it waits for the disk. It completes even if the caller stops
        // waiting.
        let done = tokio::task::spawn_blocking(move || {
            let transaction = storage.database.begin_write()?;
            let done = work(&transaction, &storage.clock)?;
            transaction.commit()?;
            Ok(done)
        });
        done.await
            .map_err(|error| StorageError::Unavailable(error.to_string()))?
            .map_err(|error: TransactionError| error.0)
    }

    /// Runs the work in one transaction that only reads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction, &ProcessClock) -> Result<T, TransactionError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let storage = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&storage.database.begin_read()?, &storage.clock));
        done.await
            .map_err(|error| StorageError::Unavailable(error.to_string()))?
            .map_err(|error: TransactionError| error.0)
    }
}

/// The error of one step of a transaction. It may contain redb's error texts, because they contain no stored value.
struct TransactionError(StorageError);

impl<E: Into<redb::Error>> From<E> for TransactionError {
    fn from(error: E) -> Self {
        Self(StorageError::Unavailable(error.into().to_string()))
    }
}

fn refused(why: &str) -> TransactionError {
    TransactionError(StorageError::Refused(why.to_owned()))
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, TransactionError> {
    serde_json::to_vec(value).map_err(|_| refused("the value cannot be written as JSON"))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TransactionError> {
    serde_json::from_slice(bytes).map_err(|_| refused("a stored value is malformed"))
}

fn table_key<'a>(tenant: &'a TenantId, key: &'a ConnectionKey) -> (&'a str, &'a str, &'a str) {
    (tenant.as_str(), key.customer.as_str(), key.account.as_str())
}

/// Returns the value that the table stores for this key. `None` if the table does not contain the key.
fn get<'txn, K: redb::Key + 'static, T: DeserializeOwned>(
    table: &impl ReadableTable<K, &'static [u8]>,
    key: impl std::borrow::Borrow<K::SelfType<'txn>>,
) -> Result<Option<T>, TransactionError> {
    table.get(key)?.map(|bytes| from_json(bytes.value())).transpose()
}

fn token_entry(clock: &ProcessClock, token: StoredToken) -> TokenEntry {
    TokenEntry { age: clock.age(&token.written_at), revision: token.revision, value: token.value }
}

fn row_entry(stored: StoredRow) -> RowEntry {
    RowEntry { revision: stored.revision, row: stored.row }
}

/// Returns the token records or rows in this table, with their tenants and keys, in byte order. `tenant: None` means
/// the records of all tenants.
fn records<T: DeserializeOwned>(
    table: &impl ReadableTable<Key, &'static [u8]>,
    tenant: Option<&TenantId>,
) -> Result<Vec<(TenantId, ConnectionKey, T)>, TransactionError> {
    let mut all = Vec::new();
    for entry in table.range((tenant.map_or("", TenantId::as_str), "", "")..)? {
        let (key, bytes) = entry?;
        let (owner, customer, account) = key.value();
        if tenant.is_some_and(|tenant| tenant.as_str() != owner) {
            break;
        }
        let malformed = |_| refused("a stored id is malformed");
        let key = ConnectionKey {
            customer: customer.parse().map_err(malformed)?,
            account: account.parse().map_err(malformed)?,
        };
        all.push((owner.parse().map_err(malformed)?, key, from_json(bytes.value())?));
    }
    Ok(all)
}

/// Returns the data keys of a tenant with their numbers, in the order in which they were added.
fn keys_of(
    table: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    tenant: &TenantId,
) -> Result<Vec<(u64, TenantKey)>, TransactionError> {
    let tenant = tenant.as_str();
    let keys = table.range((tenant, 0)..=(tenant, u64::MAX))?.map(|entry| {
        let (number, bytes) = entry?;
        Ok((number.value().1, from_json(bytes.value())?))
    });
    keys.collect()
}

/// Fails with `KeyGone` if the tenant does not have this data key, or if the key is erased.
fn require_key(transaction: &WriteTransaction, tenant: &TenantId, key: &KeyId) -> Result<(), TransactionError> {
    let keys = keys_of(&transaction.open_table(KEYS)?, tenant)?;
    let is_usable = keys.iter().any(|(_, known)| known.id == *key && known.wrapped.is_some());
    if is_usable { Ok(()) } else { Err(TransactionError(StorageError::KeyGone)) }
}

/// Returns all sealed (encrypted) values of a tenant: its token records and its rows.
fn sealed_records(
    tokens: &impl ReadableTable<Key, &'static [u8]>,
    rows: &impl ReadableTable<Key, &'static [u8]>,
    tenant: &TenantId,
) -> Result<Vec<SealedRecord>, TransactionError> {
    let tokens = records::<StoredToken>(tokens, Some(tenant))?.into_iter().map(|(_, key, token)| {
        let StoredToken { revision, value: sealed, .. } = token;
        SealedRecord { key, purpose: Purpose::Token, revision, sealed }
    });
    let rows =
        records::<StoredRow>(rows, Some(tenant))?.into_iter().filter_map(|(_, key, StoredRow { revision, row })| {
            Some(SealedRecord { key, purpose: Purpose::Ciphers, revision, sealed: row.sealed? })
        });
    Ok(tokens.chain(rows).collect())
}

/// Appends events. No other transaction can write at the same time, so events become visible in the order of their
/// positions.
fn append(transaction: &WriteTransaction, tenant: &TenantId, events: &[NewEvent]) -> Result<(), TransactionError> {
    let mut table: Table<'_, (&str, u64), &[u8]> = transaction.open_table(EVENTS)?;
    let mut positions = transaction.open_table(POSITIONS)?;
    let tenant = tenant.as_str();
    let mut position = positions.get(tenant)?.map_or(0, |last| last.value());
    for event in events {
        position += 1;
        table.insert((tenant, position), to_json(event)?.as_slice())?;
    }
    positions.insert(tenant, position)?;
    Ok(())
}

#[async_trait]
impl TokenStorage for OwnStorage {
    async fn belongs_to(&self, environment: Environment) -> Result<bool, StorageError> {
        self.write(move |transaction, _| {
            let mut table = transaction.open_table(ENVIRONMENT)?;
            let stored = table.get(())?.map(|stored| stored.value().to_owned());
            match stored {
                Some(stored) => Ok(stored == environment.as_str()),
                None => {
                    table.insert((), environment.as_str())?;
                    Ok(true)
                }
            }
        })
        .await
    }

    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        let (tenant, customer) = (tenant.clone(), customer.clone());
        self.read(move |transaction, _| {
            let all = records::<StoredToken>(&transaction.open_table(TOKENS)?, Some(&tenant))?.into_iter();
            let ours = all.filter(|(_, key, _)| key.customer == customer);
            Ok(ours.map(|(_, key, _)| key.account).collect())
        })
        .await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.read(move |transaction, clock| {
            let token = get(&transaction.open_table(TOKENS)?, table_key(&tenant, &key))?;
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
            let before: Option<StoredToken> = get(&table, table_key(&tenant, &key))?;
            if before.as_ref().map(|token| &token.revision) != expected.as_ref() {
                return Ok(Swapped::Stale(before.map(|token| token_entry(clock, token))));
            }
            match next {
                Some(Next { revision, value: TokenWrite { value, refresh_due_at } }) => {
                    require_key(transaction, &tenant, value.key())?;
                    let token = StoredToken { revision, value, refresh_due_at, written_at: clock.now() };
                    table.insert(table_key(&tenant, &key), to_json(&token)?.as_slice())?;
                }
                None => drop(table.remove(table_key(&tenant, &key))?),
            }
            Ok(Swapped::Done)
        })
        .await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        let after = after.cloned();
        self.read(move |transaction, _| {
            let tokens = records::<StoredToken>(&transaction.open_table(TOKENS)?, None)?.into_iter();
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
}

#[async_trait]
impl ConnectionStorage for OwnStorage {
    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        let (tenant, customer) = (tenant.clone(), customer.clone());
        self.read(move |transaction, _| {
            let all = records::<StoredRow>(&transaction.open_table(ROWS)?, Some(&tenant))?.into_iter();
            let ours = all.filter(|(_, key, _)| key.customer == customer);
            Ok(ours.map(|(_, _, row)| row_entry(row)).collect())
        })
        .await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.read(move |transaction, _| {
            let row = get(&transaction.open_table(ROWS)?, table_key(&tenant, &key))?;
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
            let before: Option<StoredRow> = get(&table, table_key(&tenant, &key))?;
            if before.as_ref().map(|row| &row.revision) != expected.as_ref() {
                return Ok(Swapped::Stale(before.map(row_entry)));
            }
            match next {
                Some(Next { revision, value: row }) => {
                    if let Some(sealed) = &row.sealed {
                        require_key(transaction, &tenant, sealed.key())?;
                    }
                    table.insert(table_key(&tenant, &key), to_json(&StoredRow { revision, row })?.as_slice())?;
                }
                None => drop(table.remove(table_key(&tenant, &key))?),
            }
            append(transaction, &tenant, &events)?;
            Ok(Swapped::Done)
        })
        .await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        let (tenant, shop) = (tenant.clone(), shop.clone());
        self.read(move |transaction, _| {
            let all = records::<StoredRow>(&transaction.open_table(ROWS)?, Some(&tenant))?.into_iter();
            let contains = |row: &Row| row.index.shops.iter().any(|known| known.id == shop);
            let owners = all.filter(|(_, _, stored)| contains(&stored.row));
            Ok(owners.map(|(_, key, _)| key).collect())
        })
        .await
    }

    async fn tenant_rows(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<RowEntry>, StorageError> {
        let (tenant, filter, after) = (tenant.clone(), filter.clone(), after.cloned());
        self.read(move |transaction, _| {
            let tokens = transaction.open_table(TOKENS)?;
            let mut page = Vec::new();
            for (_, key, stored) in records::<StoredRow>(&transaction.open_table(ROWS)?, Some(&tenant))? {
                let is_wanted = Some(&key) > after.as_ref() && filter.matches(&stored.row);
                if is_wanted && page.len() < limit && tokens.get(table_key(&tenant, &key))?.is_some() {
                    page.push(row_entry(stored));
                }
            }
            Ok(page)
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
            let rows = records::<StoredRow>(&transaction.open_table(ROWS)?, None)?.into_iter();
            let endings = rows.filter_map(|(tenant, key, StoredRow { row, .. })| {
                let needs_consent = row.index.status == StatusKind::ReauthorizationRequired;
                let at = row.index.ends_at.filter(|at| *at <= by && !needs_consent)?;
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
                Ok(Event { position: EventPosition(position.value().1), event: from_json(bytes.value())? })
            };
            events.map(event).collect()
        })
        .await
    }

    async fn knows_once(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        once: &OnceDigest,
    ) -> Result<bool, StorageError> {
        let (tenant, key, once) = (tenant.clone(), key.clone(), *once);
        self.read(move |transaction, _| {
            let (owner, customer, account) = table_key(&tenant, &key);
            let name = (owner, customer, account, once.as_bytes().as_slice());
            Ok(transaction.open_table(ONCE)?.get(name)?.is_some())
        })
        .await
    }

    async fn append_once(
        &self,
        tenant: &TenantId,
        once: &OnceDigest,
        event: &NewEvent,
        grant: Option<&str>,
    ) -> Result<bool, StorageError> {
        let (tenant, once, event, grant) = (tenant.clone(), *once, event.clone(), grant.map(ToOwned::to_owned));
        self.write(move |transaction, _| {
            if let (Some(grant), Some(key)) = (&grant, &event.key) {
                let row: Option<StoredRow> = get(&transaction.open_table(ROWS)?, table_key(&tenant, key))?;
                if !row.is_some_and(|stored| stored.row.works_with(grant)) {
                    return Ok(false);
                }
            }
            // An event of the whole tenant concerns no connection, so empty texts replace the ids. No id is empty.
            let (customer, account) =
                event.key.as_ref().map_or(("", ""), |key| (key.customer.as_str(), key.account.as_str()));
            let name = (tenant.as_str(), customer, account, once.as_bytes().as_slice());
            let is_first = transaction.open_table(ONCE)?.insert(name, ())?.is_none();
            if is_first {
                append(transaction, &tenant, std::slice::from_ref(&event))?;
            }
            Ok(is_first)
        })
        .await
    }
}

#[async_trait]
impl ConsentStorage for OwnStorage {
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
                return Err(refused("this state is already stored"));
            }
            table.insert(name, to_json(&StoredState { record, used: false, began_at: clock.now() })?.as_slice())?;
            Ok(())
        })
        .await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        let (tenant, state) = (tenant.clone(), *state);
        self.read(move |transaction, clock| {
            let table = transaction.open_table(STATES)?;
            let state: Option<StoredState> = get(&table, (tenant.as_str(), state.as_bytes().as_slice()))?;
            let consent = |state: StoredState| {
                let StoredState { record, used, began_at } = state;
                StoredConsent { record, age: clock.age(&began_at), used }
            };
            Ok(state.map(consent))
        })
        .await
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.mark_state(tenant, state, Mark::Used).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        self.mark_state(tenant, state, Mark::Unused).await.map(drop)
    }

    async fn put_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
        record: &InstallRecord,
    ) -> Result<(), StorageError> {
        let (tenant, install, InstallRecord { browser, sealed }) = (tenant.clone(), *install, record.clone());
        self.write(move |transaction, clock| {
            let mut table = transaction.open_table(INSTALLS)?;
            let name = (tenant.as_str(), install.as_bytes().as_slice());
            if table.get(name)?.is_some() {
                return Err(refused("this install is already stored"));
            }
            delete_old_installs(&mut table, clock)?;
            let entry = PutInstall { browser, sealed: Some(sealed), began_at: clock.now() };
            table.insert(name, to_json(&entry)?.as_slice())?;
            Ok(())
        })
        .await
    }

    async fn load_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
    ) -> Result<Option<StoredInstall>, StorageError> {
        let (tenant, install) = (tenant.clone(), *install);
        self.read(move |transaction, clock| {
            let table = transaction.open_table(INSTALLS)?;
            let entry: Option<PutInstall> = get(&table, (tenant.as_str(), install.as_bytes().as_slice()))?;
            Ok(entry.map(|PutInstall { browser, sealed, began_at }| StoredInstall {
                browser,
                sealed,
                age: clock.age(&began_at),
            }))
        })
        .await
    }

    async fn close_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        let (tenant, install) = (tenant.clone(), *install);
        self.write(move |transaction, _| {
            let mut table = transaction.open_table(INSTALLS)?;
            let name = (tenant.as_str(), install.as_bytes().as_slice());
            if let Some(entry) = get::<_, PutInstall>(&table, name)? {
                table.insert(name, to_json(&PutInstall { sealed: None, ..entry })?.as_slice())?;
            }
            Ok(())
        })
        .await
    }

    async fn delete_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        let (tenant, install) = (tenant.clone(), *install);
        self.write(move |transaction, _| {
            let mut table = transaction.open_table(INSTALLS)?;
            table.remove((tenant.as_str(), install.as_bytes().as_slice()))?;
            Ok(())
        })
        .await
    }

    async fn delete_expired(&self) -> Result<(), StorageError> {
        self.write(move |transaction, clock| delete_old_installs(&mut transaction.open_table(INSTALLS)?, clock)).await
    }
}

/// Deletes the installs that are too old, and the entries that can't be read.
fn delete_old_installs(
    table: &mut Table<'_, Digest, &'static [u8]>,
    clock: &ProcessClock,
) -> Result<(), TransactionError> {
    let is_kept = |entry: PutInstall| clock.age(&entry.began_at) <= INSTALL_RETENTION;
    Ok(table.retain(|_, entry| serde_json::from_slice(entry).is_ok_and(is_kept))?)
}

#[async_trait]
impl WebhookStorage for OwnStorage {
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
            // The time is stored so that you can delete webhooks that were remembered more than three days ago.
            let now = clock.clock.wall().as_secs();
            transaction.open_table(WEBHOOKS)?.insert((tenant.as_str(), webhook.as_bytes().as_slice()), now)?;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl KeyStorage for OwnStorage {
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
            table.insert((tenant.as_str(), number), to_json(&key)?.as_slice())?;
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
            let rewrapped = TenantKey { id: key.id, wrapped: next };
            table.insert((tenant.as_str(), number), to_json(&rewrapped)?.as_slice())?;
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
                let tenant: TenantId = name.value().0.parse().map_err(|_| refused("a stored id is malformed"))?;
                let key: TenantKey = from_json(bytes.value())?;
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
            require_key(transaction, &tenant, next.key())?;
            let name = table_key(&tenant, &record.key);
            match record.purpose {
                Purpose::Token => {
                    let mut table = transaction.open_table(TOKENS)?;
                    let same = |token: &StoredToken| token.revision == record.revision && token.value == record.sealed;
                    let Some(token) = get(&table, name)?.filter(same) else { return Ok(false) };
                    table.insert(name, to_json(&StoredToken { value: next, ..token })?.as_slice())?;
                }
                Purpose::Ciphers => {
                    let mut table = transaction.open_table(ROWS)?;
                    let same = |stored: &StoredRow| {
                        stored.revision == record.revision && stored.row.sealed.as_ref() == Some(&record.sealed)
                    };
                    let Some(mut row) = get(&table, name)?.filter(same) else { return Ok(false) };
                    row.row.sealed = Some(next);
                    table.insert(name, to_json(&row)?.as_slice())?;
                }
            }
            Ok(true)
        })
        .await
    }

    async fn delete_tenant(&self, tenant: &TenantId, limit: usize) -> Result<Deleted, StorageError> {
        let tenant = tenant.clone();
        self.write(move |transaction, _| {
            let (mut tokens, mut rows) = (transaction.open_table(TOKENS)?, transaction.open_table(ROWS)?);
            let with_token = records::<StoredToken>(&tokens, Some(&tenant))?.into_iter().map(|(_, key, _)| key);
            let with_row = records::<StoredRow>(&rows, Some(&tenant))?.into_iter().map(|(_, key, _)| key);
            let mut connections = Page { limit, found: 0 };
            for key in with_token.chain(with_row).collect::<BTreeSet<_>>() {
                if !connections.keeps_next() {
                    tokens.remove(table_key(&tenant, &key))?;
                    rows.remove(table_key(&tenant, &key))?;
                }
            }
            // `next` is the next possible id after the tenant's id. All entries of the tenant come before the entries
            // of `next`.
            let (first, next) = (tenant.as_str(), format!("{tenant}\0"));
            let next = next.as_str();
            let [mut events, mut once, mut states, mut installs, mut webhooks] =
                [0; 5].map(|found| Page { limit, found });
            transaction.open_table(EVENTS)?.retain_in((first, 0)..(next, 0), |_, _| events.keeps_next())?;
            let range = (first, "", "", [].as_slice())..(next, "", "", [].as_slice());
            transaction.open_table(ONCE)?.retain_in(range, |_, ()| once.keeps_next())?;
            let range = || (first, [].as_slice())..(next, [].as_slice());
            transaction.open_table(STATES)?.retain_in(range(), |_, _| states.keeps_next())?;
            transaction.open_table(INSTALLS)?.retain_in(range(), |_, _| installs.keeps_next())?;
            transaction.open_table(WEBHOOKS)?.retain_in(range(), |_, _| webhooks.keeps_next())?;
            let others = [events, once, states, installs, webhooks];
            Ok(Deleted {
                connections: connections.deleted(),
                others: others.iter().map(Page::deleted).sum(),
                is_complete: others.iter().chain([&connections]).all(|page| page.found <= limit),
            })
        })
        .await
    }
}

/// Counts the entries of one kind. A call deletes the first entries, up to `limit`.
struct Page {
    limit: usize,
    found: usize,
}

impl Page {
    /// Counts the next entry, and returns whether it stays.
    fn keeps_next(&mut self) -> bool {
        self.found += 1;
        self.found > self.limit
    }

    fn deleted(&self) -> u64 {
        self.found.min(self.limit) as u64
    }
}

/// How [`OwnStorage::mark_state`] marks a state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Used,
    Unused,
}

impl OwnStorage {
    /// Marks a state as used or unused. Returns `false`, and changes nothing, if the state already has this mark or is
    /// unknown.
    async fn mark_state(&self, tenant: &TenantId, state: &StateDigest, mark: Mark) -> Result<bool, StorageError> {
        let (tenant, state, used) = (tenant.clone(), *state, mark == Mark::Used);
        self.write(move |transaction, _| {
            let mut table = transaction.open_table(STATES)?;
            let name = (tenant.as_str(), state.as_bytes().as_slice());
            let Some(before) = get::<_, StoredState>(&table, name)?.filter(|state| state.used != used) else {
                return Ok(false);
            };
            table.insert(name, to_json(&StoredState { used, ..before })?.as_slice())?;
            Ok(true)
        })
        .await
    }
}

/// Builds a host that uses this storage. The database and the host keys are files in one folder.
#[allow(clippy::print_stdout, reason = "an example prints its result")]
fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let folder = Path::new("target/own-storage");
    std::fs::create_dir_all(folder)?;
    let host = ConnectorHost::builder()
        .component(Component::File("target/dist/tiktok_shop_connector.wasm".into()))
        .storage(Arc::new(OwnStorage::open(&folder.join("connections.redb"))?))
        .keys(Arc::new(KeyFile::open_or_create(folder.join("host-keys"))?))
        .credentials(Arc::new(StaticCredentials::new()))
        .build()?;
    println!("{} runs on its own storage", host.plugin());
    Ok(())
}
