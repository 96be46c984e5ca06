//! The three interfaces the host implements for the guest: credentials, tokens and rows, all of one tenant.
//!
//! Nothing of the host's database escapes into the guest as a trap: an error, a panic and a late answer all become a
//! `storage-error`, because a call that ends between two steps can lose a token pair just issued.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use crate::bindings::{app_credentials, connection_storage, storage_types, token_storage, types};
use crate::connection::ConnectionKey;
use crate::credentials::{CredentialsError, CredentialsProvider};
use crate::id::{AccountId, CustomerId, InvalidId, Revision, ShopId, TenantId};
use crate::randomness::Randomness;
use crate::storage::{HostStorage, Next, Row, RowEntry, StorageError, Swapped, TokenEntry, TokenWrite};

/// Pause before the first repetition of a save; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(1_600);

/// Whom a call is for. The guest may name this customer only; the tenant it cannot name at all.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) tenant: TenantId,
    /// `None`: the call concerns no stored connection.
    pub(crate) customer: Option<CustomerId>,
}

impl Scope {
    pub(crate) fn of(tenant: &TenantId, customer: &CustomerId) -> Self {
        Self { tenant: tenant.clone(), customer: Some(customer.clone()) }
    }
}

/// What the imports of one call work on.
pub(crate) struct Imports {
    pub(crate) scope: Scope,
    pub(crate) storage: Arc<dyn HostStorage>,
    pub(crate) credentials: Arc<dyn CredentialsProvider>,
    pub(crate) randomness: Arc<dyn Randomness>,
    /// One answer of a backend, or all tries of one save.
    pub(crate) save: Duration,
    /// When the unfinished save of each storage must be over: the guest's tries and the host's count together.
    pub(crate) token_save: Option<Instant>,
    pub(crate) row_save: Option<Instant>,
}

impl Imports {
    fn customer(&self, named: String) -> Result<CustomerId, StorageError> {
        let named = CustomerId::try_from(named).map_err(refused)?;
        if self.scope.customer.as_ref() == Some(&named) {
            Ok(named)
        } else {
            Err(StorageError::Refused("not the customer of this call".to_owned()))
        }
    }

    fn key(&self, key: types::ConnectionKey) -> Result<ConnectionKey, StorageError> {
        Ok(ConnectionKey {
            customer: self.customer(key.customer)?,
            account: AccountId::try_from(key.account).map_err(refused)?,
        })
    }

    fn next<T>(&self, value: T) -> Result<Next<T>, StorageError> {
        let revision = Revision::draw(&*self.randomness)
            .map_err(|_| StorageError::Refused("no randomness for a revision".to_owned()))?;
        Ok(Next { revision, value })
    }

    async fn list_accounts(&self, customer: String) -> Result<Vec<AccountId>, StorageError> {
        let customer = self.customer(customer)?;
        answered_within(self.save, self.storage.accounts(&self.scope.tenant, &customer)).await
    }

    async fn load_token(&self, key: types::ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        let key = self.key(key)?;
        answered_within(self.save, self.storage.load_token(&self.scope.tenant, &key)).await
    }

    async fn swap_token(
        &mut self,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<token_storage::Write>,
    ) -> Result<token_storage::SwapOutcome, StorageError> {
        let key = self.key(key)?;
        let expected = expected.map(Revision::try_from).transpose().map_err(refused)?;
        let next = next.map(|write| self.next(TokenWrite::from(write))).transpose()?;
        let revision = next.as_ref().map(|next| &next.revision);
        let (storage, tenant) = (&self.storage, &self.scope.tenant);
        let swapped = save(&mut self.token_save, self.save, revision, || {
            storage.swap_token(tenant, &key, expected.as_ref(), next.as_ref())
        })
        .await?;
        Ok(match (swapped, next) {
            (Swapped::Done, Some(next)) => token_storage::SwapOutcome::Stored(next.revision.into()),
            (Swapped::Done, None) => token_storage::SwapOutcome::Deleted,
            (Swapped::Stale(entry), _) => token_storage::SwapOutcome::Stale(entry.map(Into::into)),
        })
    }

    async fn list_rows(&self, customer: String) -> Result<Vec<RowEntry>, StorageError> {
        let customer = self.customer(customer)?;
        answered_within(self.save, self.storage.list_rows(&self.scope.tenant, &customer)).await
    }

    async fn load_row(&self, key: types::ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let key = self.key(key)?;
        answered_within(self.save, self.storage.load_row(&self.scope.tenant, &key)).await
    }

    async fn swap_row(
        &mut self,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<connection_storage::Write>,
    ) -> Result<connection_storage::SwapOutcome, StorageError> {
        let key = self.key(key)?;
        let expected = expected.map(Revision::try_from).transpose().map_err(refused)?;
        let next = match next {
            Some(write) => {
                let row = Row::try_from(write).map_err(refused)?;
                if row.connection.key != key {
                    return Err(StorageError::Refused("a row of another connection".to_owned()));
                }
                Some(self.next(row)?)
            }
            None => None,
        };
        let revision = next.as_ref().map(|next| &next.revision);
        let (storage, tenant) = (&self.storage, &self.scope.tenant);
        let swapped = save(&mut self.row_save, self.save, revision, || {
            storage.swap_row(tenant, &key, expected.as_ref(), next.as_ref())
        })
        .await?;
        Ok(match (swapped, next) {
            (Swapped::Done, Some(next)) => connection_storage::SwapOutcome::Stored(next.revision.into()),
            (Swapped::Done, None) => connection_storage::SwapOutcome::Deleted,
            (Swapped::Stale(entry), _) => connection_storage::SwapOutcome::Stale(entry.map(Into::into)),
        })
    }

    async fn list_owners(&self, shop: String) -> Result<Vec<ConnectionKey>, StorageError> {
        let shop = ShopId::try_from(shop).map_err(refused)?;
        answered_within(self.save, self.storage.owners(&self.scope.tenant, &shop)).await
    }
}

impl storage_types::Host for Imports {}
impl types::Host for Imports {}

impl app_credentials::Host for Imports {
    async fn current(&mut self) -> Reply<app_credentials::Credentials> {
        let current = async {
            self.credentials.current(&self.scope.tenant).await.map_err(|error| match error {
                CredentialsError::Unavailable(why) => StorageError::Unavailable(why),
                CredentialsError::Refused(why) => StorageError::Refused(why),
            })
        };
        Ok(reply(answered_within(self.save, current).await.map(Into::into)))
    }
}

impl token_storage::Host for Imports {
    async fn accounts(&mut self, customer: String) -> Reply<Vec<String>> {
        Ok(reply(self.list_accounts(customer).await.map(into_all)))
    }

    async fn load(&mut self, key: types::ConnectionKey) -> Reply<token_storage::Loaded> {
        let entry = self.load_token(key).await;
        Ok(reply(entry.map(|entry| token_storage::Loaded { entry: entry.map(Into::into) })))
    }

    async fn swap(
        &mut self,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<token_storage::Write>,
    ) -> Reply<token_storage::SwapOutcome> {
        Ok(reply(self.swap_token(key, expected, next).await))
    }
}

impl connection_storage::Host for Imports {
    async fn list(&mut self, customer: String) -> Reply<Vec<connection_storage::Entry>> {
        Ok(reply(self.list_rows(customer).await.map(into_all)))
    }

    async fn load(&mut self, key: types::ConnectionKey) -> Reply<connection_storage::Loaded> {
        let entry = self.load_row(key).await;
        Ok(reply(entry.map(|entry| connection_storage::Loaded { entry: entry.map(Into::into) })))
    }

    async fn swap(
        &mut self,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<connection_storage::Write>,
    ) -> Reply<connection_storage::SwapOutcome> {
        Ok(reply(self.swap_row(key, expected, next).await))
    }

    async fn owners(&mut self, shop: String) -> Reply<Vec<types::ConnectionKey>> {
        Ok(reply(self.list_owners(shop).await.map(into_all)))
    }
}

/// The outer error would be a trap. No import of ours raises one.
type Reply<T> = wasmtime::Result<Result<T, storage_types::StorageError>>;

fn refused(error: InvalidId) -> StorageError {
    StorageError::Refused(error.to_string())
}

fn reply<T>(result: Result<T, StorageError>) -> Result<T, storage_types::StorageError> {
    result.map_err(Into::into)
}

fn into_all<T: Into<U>, U>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(Into::into).collect()
}

async fn answered_within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    answered_by(Instant::now() + limit, answer).await
}

async fn answered_by<T>(
    end: Instant,
    answer: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    // Unwind safety: after a panic nothing of this future is looked at again.
    match tokio::time::timeout_at(end, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(StorageError::Unavailable("the backend panicked".to_owned())),
        Err(_late) => Err(StorageError::Unavailable("the backend did not answer in time".to_owned())),
    }
}

trait Entry {
    fn revision(&self) -> &Revision;
}

impl Entry for TokenEntry {
    fn revision(&self) -> &Revision {
        &self.revision
    }
}

impl Entry for RowEntry {
    fn revision(&self) -> &Revision {
        &self.revision
    }
}

/// Swaps until storage says what happened, or the budget of this save is spent. A try that failed may have been
/// written all the same, and then the next one finds `revision`, or nothing where it meant to delete.
async fn save<E: Entry, F>(
    unfinished: &mut Option<Instant>,
    budget: Duration,
    revision: Option<&Revision>,
    swap: impl Fn() -> F,
) -> Result<Swapped<E>, StorageError>
where
    F: Future<Output = Result<Swapped<E>, StorageError>>,
{
    let end = *unfinished.get_or_insert_with(|| Instant::now() + budget);
    let mut pause = FIRST_PAUSE;
    let mut repeated = false;
    let result = loop {
        match answered_by(end, swap()).await {
            Err(StorageError::Unavailable(_)) if Instant::now() + pause < end => tokio::time::sleep(pause).await,
            // The save is not finished: a further try of the guest has only what is left of the budget.
            Err(StorageError::Unavailable(why)) => return Err(StorageError::Unavailable(why)),
            Ok(Swapped::Stale(Some(found))) if Some(found.revision()) == revision => break Ok(Swapped::Done),
            Ok(Swapped::Stale(None)) if repeated && revision.is_none() => break Ok(Swapped::Done),
            settled @ (Ok(_) | Err(StorageError::Refused(_))) => break settled,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        repeated = true;
    };
    *unfinished = None;
    result
}

#[cfg(test)]
mod tests;
