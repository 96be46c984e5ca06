//! Storage in an SQL database: SQLite, the embedded default, and PostgreSQL, for fleets. One set of statements serves both;
//! what differs is how a connection is made and whose clock measures ages ([`Dialect`]).
//!
//! A swap of a token record is one conditional statement. A row, its shops and its events are one transaction, in which
//! the position of the tenant's last event is locked, so that no event appears before one that was read.

mod bulk;
mod connections;
mod consents;
mod dialect;
mod error;
mod events;
mod keys;
mod open;
mod postgres;
mod sqlite;
mod text;
mod tokens;

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, AssertSqlSafe, Row as _};

pub use self::bulk::NewConnection;
use self::dialect::Dialect;
pub use self::dialect::{BootClock, MachineClock};
pub use self::open::OpenError;
pub use self::postgres::PostgresOptions;
use self::text::{escaped, unescaped};
use super::{
    Due, Ending, HostStorage, KeyUse, Next, Purpose, Row, RowEntry, Sealed, SealedRecord, StorageError, Swapped,
    TenantKey, TokenEntry, TokenWrite, WrappedKey,
};
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::{Event, EventPosition, NewEvent};
use tiktok_shop_host::storage::{ConsentRecord, StoredConsent};
use tiktok_shop_host::storage::{OnceDigest, StateDigest, WebhookDigest};
use tiktok_shop_host::{AccountId, CustomerId, KeyId, Revision, ShopId, TenantId};

/// Storage in SQLite or PostgreSQL. Cheap to clone; clones share their connections to the database.
#[derive(Clone)]
pub struct SqlStorage {
    dialect: Dialect,
    /// For single statements that only read.
    readers: AnyPool,
    /// The same, where reading and writing need no telling apart.
    writers: AnyPool,
    /// How long a server may take over one call, all of its statements together. A file has no such end.
    deadline: Option<Duration>,
}

impl SqlStorage {
    /// In time, or it is given up: a server that says nothing any more, nor that it is gone, would hold its caller for as long
    /// as the network believes in it.
    async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        let Some(deadline) = self.deadline else { return answer.await };
        let late = |_| StorageError::Unavailable("the database did not answer in time".to_owned());
        tokio::time::timeout(deadline, answer).await.map_err(late)?
    }

    /// Closes every connection to the database, once what is under way is done.
    pub async fn close(&self) {
        self.writers.close().await;
        self.readers.close().await;
    }
}

impl std::fmt::Debug for SqlStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlStorage").field("dialect", &self.dialect.name()).finish_non_exhaustive()
    }
}

/// Times that a swap is made again because the record came and went while it looked.
const MAX_RACES: usize = 8;

/// A statement of ours: every value is bound, none is part of its text.
type Statement = Query<'static, Any, AnyArguments>;

fn statement(sql: String) -> Statement {
    sqlx::query(AssertSqlSafe(sql))
}

/// Binds tenant, customer and account, as `$1` to `$3`.
fn keyed(sql: String, tenant: &TenantId, key: &ConnectionKey) -> Statement {
    statement(sql)
        .bind(escaped(tenant.as_str()))
        .bind(escaped(key.customer.as_str()))
        .bind(escaped(key.account.as_str()))
}

/// A value that goes into a column of 64 bits.
fn number(value: u64) -> Result<i64, StorageError> {
    i64::try_from(value).map_err(|_| StorageError::Refused(format!("{value} is larger than a stored number may be")))
}

fn seconds(at: UnixSeconds) -> Result<i64, StorageError> {
    number(at.0)
}

fn optional_seconds(at: Option<UnixSeconds>) -> Result<Option<i64>, StorageError> {
    at.map(seconds).transpose()
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A record of another program, or of a disk that fails.
fn malformed(column: &str) -> StorageError {
    StorageError::Refused(format!("what is stored in column {column} is malformed"))
}

/// Reads columns of a row, with an error that names the column and nothing of its content.
trait Columns {
    fn text(&self, column: &'static str) -> Result<String, StorageError>;
    fn optional_text(&self, column: &'static str) -> Result<Option<String>, StorageError>;
    fn whole(&self, column: &'static str) -> Result<u64, StorageError>;
    fn optional_whole(&self, column: &'static str) -> Result<Option<u64>, StorageError>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StorageError>;
    fn optional_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, StorageError>;

    fn id<T: TryFrom<String>>(&self, column: &'static str) -> Result<T, StorageError> {
        T::try_from(self.text(column)?).map_err(|_| malformed(column))
    }

    fn seconds(&self, column: &'static str) -> Result<UnixSeconds, StorageError> {
        self.whole(column).map(UnixSeconds)
    }

    fn optional_seconds(&self, column: &'static str) -> Result<Option<UnixSeconds>, StorageError> {
        Ok(self.optional_whole(column)?.map(UnixSeconds))
    }

    fn is(&self, column: &'static str) -> Result<bool, StorageError> {
        Ok(self.whole(column)? != 0)
    }

    fn key(&self) -> Result<ConnectionKey, StorageError> {
        Ok(ConnectionKey { customer: self.id("customer")?, account: self.id("account")? })
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, StorageError> {
        self.optional_text(column)?.ok_or_else(|| malformed(column))
    }

    fn optional_text(&self, column: &'static str) -> Result<Option<String>, StorageError> {
        let text: Option<String> = self.try_get(column).map_err(|_| malformed(column))?;
        text.map(|text| unescaped(text).ok_or_else(|| malformed(column))).transpose()
    }

    fn whole(&self, column: &'static str) -> Result<u64, StorageError> {
        self.optional_whole(column)?.ok_or_else(|| malformed(column))
    }

    fn optional_whole(&self, column: &'static str) -> Result<Option<u64>, StorageError> {
        let number: Option<i64> = self.try_get(column).map_err(|_| malformed(column))?;
        number.map(|number| u64::try_from(number).map_err(|_| malformed(column))).transpose()
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StorageError> {
        self.optional_bytes(column)?.ok_or_else(|| malformed(column))
    }

    fn optional_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, StorageError> {
        self.try_get(column).map_err(|_| malformed(column))
    }
}

/// The statements stand in the files of their tables.
#[async_trait]
impl HostStorage for SqlStorage {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.answered(self.accounts_with_tokens(tenant, customer)).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        self.answered(self.token(tenant, key)).await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        self.answered(self.swapped_token(tenant, key, expected, next)).await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.answered(self.due_tokens(now, after, limit)).await
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        self.answered(self.rows(tenant, customer, None)).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        Ok(self.answered(self.rows(tenant, &key.customer, Some(&key.account))).await?.pop())
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        self.answered(self.swapped_row(tenant, key, expected, next, events)).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.answered(self.owners_of(tenant, shop)).await
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        self.answered(self.ending_connections(by, after, limit)).await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        self.answered(self.events_after(tenant, after, limit)).await
    }

    async fn append_once(&self, tenant: &TenantId, once: &OnceDigest, event: &NewEvent) -> Result<bool, StorageError> {
        self.answered(self.told_once(tenant, once, event)).await
    }

    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        self.answered(self.begin_state(tenant, state, consent)).await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        self.answered(self.state(tenant, state)).await
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.answered(self.set_used(tenant, state, true)).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        self.answered(self.set_used(tenant, state, false)).await.map(drop)
    }

    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        self.answered(self.handled(tenant, webhook)).await
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        self.answered(self.set_handled(tenant, webhook)).await
    }

    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        self.answered(self.keys_of(tenant)).await
    }

    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError> {
        self.answered(self.added_key(tenant, newest, key)).await
    }

    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        self.answered(self.rewrapped_key(tenant, key, next)).await
    }

    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        self.answered(self.removed_key(tenant, key)).await
    }

    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError> {
        self.answered(self.uses_of_keys(after, limit)).await
    }

    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        self.answered(self.records_under(tenant, key, after, limit)).await
    }

    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError> {
        self.answered(self.resealed(tenant, record, next)).await
    }
}
