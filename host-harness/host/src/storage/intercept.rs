//! A storage that forwards accesses to another storage. Before each access except `belongs_to`, it asks an
//! [`Interceptor`] what happens to the access. The interceptor learns the end of each access. Use an interceptor to
//! watch or count accesses. In tests, use it to imitate a storage that is slow, stale or down.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::connections::{ConnectionStorage, Ending, OnceDigest, Row, RowCount, RowEntry, RowFilter};
use super::consents::{
    ConsentRecord, ConsentStorage, InstallDigest, InstallRecord, StateDigest, StoredConsent, StoredInstall,
};
use super::environment::Environment;
use super::error::StorageError;
use super::host_storage::HostStorage;
use super::keys::{Deleted, KeyStorage, KeyUse, Purpose, Sealed, SealedRecord, TenantKey, WrappedKey};
use super::swap::{Next, Swapped};
use super::tokens::{Due, TokenEntry, TokenStorage, TokenWrite};
use super::webhooks::{WebhookDigest, WebhookStorage};
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::events::{Event, EventPosition, NewEvent};
use crate::id::{AccountId, CustomerId, KeyId, Revision, ShopId, TenantId};

/// An access to the storage that is about to happen.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// `accounts`.
    Accounts(&'a TenantId, &'a CustomerId),
    /// `load_token`.
    LoadToken(&'a TenantId, &'a ConnectionKey),
    /// `swap_token`, with the expected revision and the new record.
    SwapToken(&'a TenantId, &'a ConnectionKey, Option<&'a Revision>, Option<&'a Next<TokenWrite>>),
    /// `list_rows`.
    ListRows(&'a TenantId, &'a CustomerId),
    /// `load_row`.
    LoadRow(&'a TenantId, &'a ConnectionKey),
    /// `swap_row`, with the expected revision, the new row and its events.
    SwapRow(&'a TenantId, &'a ConnectionKey, Option<&'a Revision>, Option<&'a Next<Row>>, &'a [NewEvent]),
    /// `append_once`.
    AppendOnce(&'a TenantId, &'a NewEvent),
    /// `put_state`.
    PutState(&'a TenantId, &'a ConsentRecord),
    /// `put_install`.
    PutInstall(&'a TenantId, &'a InstallRecord),
    /// `reseal`.
    Reseal(&'a TenantId, &'a SealedRecord),
    /// A call of any other method that reads. The text is the name of the method.
    Read(&'static str),
    /// A call of any other method that writes. The text is the name of the method.
    Write(&'static str),
}

impl<'a> Access<'a> {
    /// Returns the name of the method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Accounts(..) => "accounts",
            Self::LoadToken(..) => "load_token",
            Self::SwapToken(..) => "swap_token",
            Self::ListRows(..) => "list_rows",
            Self::LoadRow(..) => "load_row",
            Self::SwapRow(..) => "swap_row",
            Self::AppendOnce(..) => "append_once",
            Self::PutState(..) => "put_state",
            Self::PutInstall(..) => "put_install",
            Self::Reseal(..) => "reseal",
            Self::Read(method) | Self::Write(method) => method,
        }
    }

    /// Returns the customer, if the access loads, writes or lists token records or rows of one customer. Returns `None`
    /// for every other access, even if it concerns one customer, as `AppendOnce` and `PutState` do.
    #[must_use]
    pub const fn customer(self) -> Option<&'a CustomerId> {
        match self {
            Self::Accounts(_, customer) | Self::ListRows(_, customer) => Some(customer),
            Self::LoadToken(_, key)
            | Self::SwapToken(_, key, ..)
            | Self::LoadRow(_, key)
            | Self::SwapRow(_, key, ..) => Some(&key.customer),
            Self::AppendOnce(..)
            | Self::PutState(..)
            | Self::PutInstall(..)
            | Self::Reseal(..)
            | Self::Read(_)
            | Self::Write(_) => None,
        }
    }
}

/// The decision of an [`Interceptor`] about an access.
pub enum Passage {
    /// The storage gets the access.
    Forward,
    /// This other storage gets the access instead.
    ForwardTo(Arc<dyn HostStorage>),
    /// The storage gets the access twice. This imitates a driver that repeats a request. The caller gets the second
    /// answer.
    ForwardTwice,
    /// The storage gets the access, but the caller gets [`StorageError::Unavailable`] instead of the answer.
    LoseAnswer,
    /// The storage does not get the access, and the caller gets this error.
    Fail(StorageError),
    /// The storage does not get the access, and the caller gets this answer. If the answer belongs to another method,
    /// the caller gets [`StorageError::Refused`].
    Answer(Answer),
}

/// An answer that the caller gets from an [`Interceptor`] instead of from the storage.
#[derive(Debug)]
pub enum Answer {
    /// An answer to `load_token`, for example an older record.
    LoadToken(Option<TokenEntry>),
    /// An answer to `load_row`, for example an older row.
    LoadRow(Option<Box<RowEntry>>),
    /// An answer to `swap_token`.
    SwapToken(Swapped<TokenEntry>),
    /// An answer to `swap_row`.
    SwapRow(Box<Swapped<RowEntry>>),
}

impl Answer {
    /// Returns the name of the method to which this is an answer.
    const fn method(&self) -> &'static str {
        match self {
            Self::LoadToken(_) => "load_token",
            Self::LoadRow(_) => "load_row",
            Self::SwapToken(_) => "swap_token",
            Self::SwapRow(_) => "swap_row",
        }
    }
}

/// Decides what happens to each access.
#[async_trait]
pub trait Interceptor: Send + Sync {
    /// Decides what happens to this access. `storage` is the storage that gets a forwarded access.
    async fn passage(&self, access: Access<'_>, storage: &dyn HostStorage) -> Passage;

    /// Watches the end of each access that was not answered by [`Passage::Answer`]. `is_ok` says whether the caller
    /// gets no error. It is false, too, if the storage panics, or if the caller no longer waits, for example because
    /// its deadline has passed. `took` is the time that the storage took. Does nothing by default.
    fn answered(&self, method: &'static str, is_ok: bool, took: Duration) {
        let _ = (method, is_ok, took);
    }

    /// Returns whether the storage gets a read of two values as one access, for example `load_row_with_token`. If not,
    /// the interceptor sees the reads of both values, one after the other, and can act between them.
    fn sees_joint_reads(&self) -> bool {
        false
    }
}

/// A storage that asks an [`Interceptor`] before each access to another storage, except before `belongs_to`.
pub struct Intercepted {
    storage: Arc<dyn HostStorage>,
    interceptor: Arc<dyn Interceptor>,
    /// Whether other tasks run between a load and the swap after it, so that concurrent calls really race.
    lets_others_run: bool,
}

impl Intercepted {
    /// Creates a storage that asks this interceptor before an access to `storage`.
    #[must_use]
    pub fn new(storage: Arc<dyn HostStorage>, interceptor: Arc<dyn Interceptor>) -> Self {
        Self { storage, interceptor, lets_others_run: true }
    }

    /// Creates a storage for production, in which the interceptor only watches.
    pub(crate) fn watched(storage: Arc<dyn HostStorage>, interceptor: Arc<dyn Interceptor>) -> Self {
        Self { storage, interceptor, lets_others_run: false }
    }

    async fn let_others_run(&self) {
        if self.lets_others_run {
            tokio::task::yield_now().await;
        }
    }

    async fn passage(&self, access: Access<'_>) -> Passage {
        self.interceptor.passage(access, &*self.storage).await
    }

    /// Performs a call of a method for which [`Answer`] has no variant.
    async fn access<T, F>(
        &self,
        access: Access<'_>,
        perform: impl Fn(Arc<dyn HostStorage>) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        self.perform(access.method(), self.passage(access).await, perform).await
    }

    async fn perform<T, F>(
        &self,
        method: &'static str,
        passage: Passage,
        perform: impl Fn(Arc<dyn HostStorage>) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let mut watched = Watched { interceptor: &*self.interceptor, method, began: Instant::now(), is_ok: false };
        let answer = self.pass(method, passage, perform).await;
        watched.is_ok = answer.is_ok();
        answer
    }

    async fn pass<T, F>(
        &self,
        method: &str,
        passage: Passage,
        perform: impl Fn(Arc<dyn HostStorage>) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let storage = || Arc::clone(&self.storage);
        match passage {
            Passage::Forward => perform(storage()).await,
            Passage::ForwardTo(other) => perform(other).await,
            Passage::ForwardTwice => {
                perform(storage()).await?;
                perform(storage()).await
            }
            Passage::LoseAnswer => {
                perform(storage()).await?;
                Err(StorageError::Unavailable("the answer was lost".to_owned()))
            }
            Passage::Fail(error) => Err(error),
            Passage::Answer(answer) => Err(StorageError::Refused(format!(
                "the interceptor answered {method} with an answer to {}",
                answer.method()
            ))),
        }
    }
}

/// An access that has begun. When this value is dropped, the access has ended, or nobody waits for its end any more.
struct Watched<'a> {
    interceptor: &'a dyn Interceptor,
    method: &'static str,
    began: Instant,
    is_ok: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.interceptor.answered(self.method, self.is_ok, self.began.elapsed());
    }
}

impl std::fmt::Debug for Intercepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intercepted").finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStorage for Intercepted {
    /// A host makes this access until it succeeds once. The interceptor does not decide about it, but learns its end.
    async fn belongs_to(&self, environment: Environment) -> Result<bool, StorageError> {
        let ask = |storage: Arc<dyn HostStorage>| async move { storage.belongs_to(environment).await };
        self.perform("belongs_to", Passage::Forward, ask).await
    }

    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        let access = Access::Accounts(tenant, customer);
        self.access(access, |storage| async move { storage.accounts(tenant, customer).await }).await
    }

    async fn accounts_with_token(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(Vec<AccountId>, Option<TokenEntry>), StorageError> {
        if !self.interceptor.sees_joint_reads() {
            return Ok((self.accounts(tenant, customer).await?, None));
        }
        let access = Access::Read("accounts_with_token");
        self.access(access, |storage| async move { storage.accounts_with_token(tenant, customer).await }).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        let passage = self.passage(Access::LoadToken(tenant, key)).await;
        if let Passage::Answer(Answer::LoadToken(entry)) = passage {
            return Ok(entry);
        }
        self.perform("load_token", passage, |storage| async move { storage.load_token(tenant, key).await }).await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        let passage = self.passage(Access::SwapToken(tenant, key, expected, next)).await;
        if let Passage::Answer(Answer::SwapToken(swapped)) = passage {
            return Ok(swapped);
        }
        let swap = |storage: Arc<dyn HostStorage>| async move { storage.swap_token(tenant, key, expected, next).await };
        self.perform("swap_token", passage, swap).await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.access(Access::Read("due"), |storage| async move { storage.due(now, after, limit).await }).await
    }

    async fn count_due(&self, now: UnixSeconds) -> Result<u64, StorageError> {
        self.access(Access::Read("count_due"), |storage| async move { storage.count_due(now).await }).await
    }
}

#[async_trait]
impl ConnectionStorage for Intercepted {
    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        let access = Access::ListRows(tenant, customer);
        self.access(access, |storage| async move { storage.list_rows(tenant, customer).await }).await
    }

    async fn list_rows_with_accounts(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(Vec<RowEntry>, Option<Vec<AccountId>>), StorageError> {
        if !self.interceptor.sees_joint_reads() {
            return Ok((self.list_rows(tenant, customer).await?, None));
        }
        let access = Access::Read("list_rows_with_accounts");
        self.access(access, |storage| async move { storage.list_rows_with_accounts(tenant, customer).await }).await
    }

    async fn load_row_with_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<(Option<RowEntry>, Option<TokenEntry>), StorageError> {
        if !self.interceptor.sees_joint_reads() {
            return Ok((self.load_row(tenant, key).await?, None));
        }
        let access = Access::Read("load_row_with_token");
        self.access(access, |storage| async move { storage.load_row_with_token(tenant, key).await }).await
    }

    async fn load_rows(&self, connections: &[Due]) -> Result<Vec<Option<RowEntry>>, StorageError> {
        let access = Access::Read("load_rows");
        self.access(access, |storage| async move { storage.load_rows(connections).await }).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let passage = self.passage(Access::LoadRow(tenant, key)).await;
        if let Passage::Answer(Answer::LoadRow(entry)) = passage {
            return Ok(entry.map(|entry| *entry));
        }
        let load = |storage: Arc<dyn HostStorage>| async move { storage.load_row(tenant, key).await };
        let row = self.perform("load_row", passage, load).await;
        self.let_others_run().await;
        row
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let passage = self.passage(Access::SwapRow(tenant, key, expected, next, events)).await;
        if let Passage::Answer(Answer::SwapRow(swapped)) = passage {
            return Ok(*swapped);
        }
        let swap =
            |storage: Arc<dyn HostStorage>| async move { storage.swap_row(tenant, key, expected, next, events).await };
        self.perform("swap_row", passage, swap).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.access(Access::Read("owners"), |storage| async move { storage.owners(tenant, shop).await }).await
    }

    async fn tenant_rows(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<RowEntry>, StorageError> {
        let list =
            |storage: Arc<dyn HostStorage>| async move { storage.tenant_rows(tenant, filter, after, limit).await };
        self.access(Access::Read("tenant_rows"), list).await
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        self.access(Access::Read("endings"), |storage| async move { storage.endings(by, after, limit).await }).await
    }

    async fn count_rows(&self) -> Result<Vec<RowCount>, StorageError> {
        self.access(Access::Read("count_rows"), |storage| async move { storage.count_rows().await }).await
    }

    async fn unsealed_rows(&self) -> Result<u64, StorageError> {
        self.access(Access::Read("unsealed_rows"), |storage| async move { storage.unsealed_rows().await }).await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        self.access(Access::Read("events"), |storage| async move { storage.events(tenant, after, limit).await }).await
    }

    async fn knows_once(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        once: &OnceDigest,
    ) -> Result<bool, StorageError> {
        let access = Access::Read("knows_once");
        self.access(access, |storage| async move { storage.knows_once(tenant, key, once).await }).await
    }

    async fn append_once(
        &self,
        tenant: &TenantId,
        once: &OnceDigest,
        event: &NewEvent,
        grant: Option<&str>,
    ) -> Result<bool, StorageError> {
        let access = Access::AppendOnce(tenant, event);
        self.access(access, |storage| async move { storage.append_once(tenant, once, event, grant).await }).await
    }
}

#[async_trait]
impl ConsentStorage for Intercepted {
    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        let access = Access::PutState(tenant, consent);
        self.access(access, |storage| async move { storage.put_state(tenant, state, consent).await }).await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        let access = Access::Read("load_state");
        let consent = self.access(access, |storage| async move { storage.load_state(tenant, state).await }).await;
        self.let_others_run().await;
        consent
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.access(Access::Write("use_state"), |storage| async move { storage.use_state(tenant, state).await }).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        let access = Access::Write("release_state");
        self.access(access, |storage| async move { storage.release_state(tenant, state).await }).await
    }

    async fn put_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
        record: &InstallRecord,
    ) -> Result<(), StorageError> {
        let access = Access::PutInstall(tenant, record);
        self.access(access, |storage| async move { storage.put_install(tenant, install, record).await }).await
    }

    async fn load_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
    ) -> Result<Option<StoredInstall>, StorageError> {
        let access = Access::Read("load_install");
        let found = self.access(access, |storage| async move { storage.load_install(tenant, install).await }).await;
        self.let_others_run().await;
        found
    }

    async fn close_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        let access = Access::Write("close_install");
        self.access(access, |storage| async move { storage.close_install(tenant, install).await }).await
    }

    async fn delete_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        let access = Access::Write("delete_install");
        self.access(access, |storage| async move { storage.delete_install(tenant, install).await }).await
    }

    async fn delete_expired(&self) -> Result<(), StorageError> {
        let access = Access::Write("delete_expired");
        self.access(access, |storage| async move { storage.delete_expired().await }).await
    }
}

#[async_trait]
impl WebhookStorage for Intercepted {
    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        let access = Access::Read("knows_webhook");
        self.access(access, |storage| async move { storage.knows_webhook(tenant, webhook).await }).await
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        let access = Access::Write("remember_webhook");
        self.access(access, |storage| async move { storage.remember_webhook(tenant, webhook).await }).await
    }
}

#[async_trait]
impl KeyStorage for Intercepted {
    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        self.access(Access::Read("tenant_keys"), |storage| async move { storage.tenant_keys(tenant).await }).await
    }

    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError> {
        self.access(Access::Write("add_key"), |storage| async move { storage.add_key(tenant, newest, key).await }).await
    }

    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        self.access(Access::Write("rewrap_key"), |storage| async move { storage.rewrap_key(tenant, key, next).await })
            .await
    }

    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        self.access(Access::Write("remove_key"), |storage| async move { storage.remove_key(tenant, key).await }).await
    }

    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError> {
        self.access(Access::Read("key_uses"), |storage| async move { storage.key_uses(after, limit).await }).await
    }

    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        let access = Access::Read("sealed_under");
        self.access(access, |storage| async move { storage.sealed_under(tenant, key, after, limit).await }).await
    }

    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError> {
        let access = Access::Reseal(tenant, record);
        self.access(access, |storage| async move { storage.reseal(tenant, record, next).await }).await
    }

    async fn delete_tenant(&self, tenant: &TenantId, limit: usize) -> Result<Deleted, StorageError> {
        let access = Access::Write("delete_tenant");
        self.access(access, |storage| async move { storage.delete_tenant(tenant, limit).await }).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt as _;

    use super::*;
    use crate::clock::ManualClock;
    use crate::storage::MemoryStorage;

    /// Answers every access with an answer to `load_token`.
    struct WrongAnswer;

    #[async_trait]
    impl Interceptor for WrongAnswer {
        async fn passage(&self, _: Access<'_>, _: &dyn HostStorage) -> Passage {
            Passage::Answer(Answer::LoadToken(None))
        }
    }

    #[tokio::test]
    async fn an_answer_to_another_method_is_an_error() {
        let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
        let storage = Intercepted::new(memory, Arc::new(WrongAnswer));
        let (tenant, customer) = ("t".parse().unwrap(), "c".parse().unwrap());
        let key = ConnectionKey { customer, account: "a".parse().unwrap() };
        assert_eq!(storage.load_token(&tenant, &key).await, Ok(None));
        let refused = "the interceptor answered load_row with an answer to load_token";
        assert_eq!(storage.load_row(&tenant, &key).await, Err(StorageError::Refused(refused.to_owned())));
    }

    /// Never ends an access to a token record.
    struct Stuck;

    #[async_trait]
    impl Interceptor for Stuck {
        async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
            if access.method() == "load_token" { std::future::pending().await } else { Passage::Forward }
        }
    }

    /// Records the end of each access.
    #[derive(Default)]
    struct Ends(Mutex<Vec<(&'static str, bool)>>);

    #[async_trait]
    impl Interceptor for Ends {
        async fn passage(&self, _: Access<'_>, _: &dyn HostStorage) -> Passage {
            Passage::Forward
        }

        fn answered(&self, method: &'static str, is_ok: bool, _: Duration) {
            self.0.lock().unwrap().push((method, is_ok));
        }
    }

    #[tokio::test]
    async fn an_access_that_the_caller_gives_up_ends_without_success() {
        let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
        let (stuck, ends) = (Intercepted::new(memory, Arc::new(Stuck)), Arc::new(Ends::default()));
        let storage = Intercepted::new(Arc::new(stuck), Arc::clone(&ends) as _);
        let (tenant, customer) = ("t".parse().unwrap(), "c".parse().unwrap());
        let key = ConnectionKey { customer, account: "a".parse().unwrap() };
        assert_eq!(storage.load_token(&tenant, &key).now_or_never(), None);
        assert_eq!(storage.load_row(&tenant, &key).await, Ok(None));
        assert_eq!(storage.belongs_to(Environment::Fake).await, Ok(true));
        assert_eq!(*ends.0.lock().unwrap(), [("load_token", false), ("load_row", true), ("belongs_to", true)]);
    }
}
