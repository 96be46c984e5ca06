//! The three interfaces the host implements for the guest: credentials, tokens and rows, all of one tenant.
//!
//! Nothing of the host's database escapes into the guest as a trap: an error, a panic and a late answer all become a
//! `storage-error`, because a call that ends between two steps can lose a token pair just issued.

mod save;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::save::answered_within;
use self::save::{SaveBudget, save};
use crate::bindings::{app_credentials, connection_storage, storage_types, token_storage, types};
use crate::clock::Clock;
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::credentials::{CredentialsError, CredentialsProvider};
use crate::event::caused_by;
use crate::id::{AccountId, CustomerId, InvalidId, Revision, Revisions, ShopId, TenantId};
use crate::seal::{OpenToken, OpenWrite, SealedStorage};
use crate::storage::{Next, Row, RowEntry, StorageError, Swapped};

/// Whom a call is for. The guest may name these customers only; the tenant it cannot name at all.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) tenant: TenantId,
    customers: Customers,
    keys: Keys,
}

/// What a call is worth without the tenant's keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Nothing, where something has to be opened.
    WhenNeeded,
    /// Nothing at all: what it can't seal at its end is lost, so they are looked for at its begin.
    First,
    /// All but ciphers.
    IfPossible,
}

#[derive(Clone)]
enum Customers {
    /// The call concerns no stored connection.
    Nobody,
    One(CustomerId),
    /// Those who have a shop that the guest named: TikTok's webhooks name shops, not customers.
    Owners(BTreeSet<CustomerId>),
}

impl Scope {
    pub(crate) fn of(tenant: &TenantId, customer: &CustomerId) -> Self {
        Self::new(tenant, Customers::One(customer.clone()))
    }

    /// Of a call that spends an authorization code.
    pub(crate) fn connecting(tenant: &TenantId, customer: &CustomerId) -> Self {
        Self { keys: Keys::First, ..Self::of(tenant, customer) }
    }

    /// Of a call that tells how connections are.
    pub(crate) fn telling(tenant: &TenantId, customer: &CustomerId) -> Self {
        Self { keys: Keys::IfPossible, ..Self::of(tenant, customer) }
    }

    pub(crate) fn nobody(tenant: &TenantId) -> Self {
        Self::new(tenant, Customers::Nobody)
    }

    pub(crate) fn owners(tenant: &TenantId) -> Self {
        Self::new(tenant, Customers::Owners(BTreeSet::new()))
    }

    fn new(tenant: &TenantId, customers: Customers) -> Self {
        Self { tenant: tenant.clone(), customers, keys: Keys::WhenNeeded }
    }

    /// The one that the call is for.
    pub(crate) fn customer(&self) -> Option<&CustomerId> {
        match &self.customers {
            Customers::One(customer) => Some(customer),
            Customers::Nobody | Customers::Owners(_) => None,
        }
    }

    fn covers(&self, customer: &CustomerId) -> bool {
        match &self.customers {
            Customers::Nobody => false,
            Customers::One(only) => only == customer,
            Customers::Owners(owners) => owners.contains(customer),
        }
    }
}

/// What the imports of one call work on.
pub(crate) struct Imports {
    scope: Scope,
    storage: SealedStorage,
    credentials: Arc<dyn CredentialsProvider>,
    clock: Arc<dyn Clock>,
    revisions: Revisions,
    /// One answer of a backend.
    answer: Duration,
    token_save: SaveBudget,
    row_save: SaveBudget,
    /// The row that the guest was shown or has written last: what its next swap most likely replaces.
    row: Option<RowEntry>,
}

impl Imports {
    /// `save` bounds one answer of a backend, and all tries of one save.
    pub(crate) fn new(
        scope: Scope,
        storage: SealedStorage,
        credentials: Arc<dyn CredentialsProvider>,
        clock: Arc<dyn Clock>,
        revisions: Revisions,
        save: Duration,
    ) -> Self {
        let (token_save, row_save) = (SaveBudget::new(save), SaveBudget::new(save));
        Self { scope, storage, credentials, clock, revisions, answer: save, token_save, row_save, row: None }
    }

    fn customer(&self, named: String) -> Result<CustomerId, StorageError> {
        let named = CustomerId::try_from(named).map_err(refused)?;
        if self.scope.covers(&named) {
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

    fn next<T>(&mut self, value: T) -> Next<T> {
        Next { revision: self.revisions.issue(), value }
    }

    async fn list_accounts(&self, customer: String) -> Result<Vec<AccountId>, StorageError> {
        let customer = self.customer(customer)?;
        let tenant = &self.scope.tenant;
        let accounts = async {
            if self.scope.keys == Keys::First {
                self.storage.keyring().ready(tenant).await?;
            }
            self.storage.beneath().accounts(tenant, &customer).await
        };
        answered_within(self.answer, accounts).await
    }

    async fn load_token(&self, key: types::ConnectionKey) -> Result<Option<OpenToken>, StorageError> {
        let key = self.key(key)?;
        answered_within(self.answer, self.storage.load_token(&self.scope.tenant, &key)).await
    }

    async fn swap_token(
        &mut self,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<token_storage::Write>,
    ) -> Result<token_storage::SwapOutcome, StorageError> {
        let key = self.key(key)?;
        let expected = expected.map(Revision::try_from).transpose().map_err(refused)?;
        let next = next.map(|write| self.next(OpenWrite::from(write)));
        let (storage, tenant) = (&self.storage, &self.scope.tenant);
        let budget = self.token_save.of(&key, expected.as_ref());
        let swapped = save(budget, next.as_ref().map(|next| &next.revision), || {
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
        let tenant = &self.scope.tenant;
        let rows = async {
            match self.scope.keys {
                Keys::IfPossible => self.storage.list_rows_anyway(tenant, &customer).await,
                Keys::First | Keys::WhenNeeded => self.storage.list_rows(tenant, &customer).await,
            }
        };
        answered_within(self.answer, rows).await
    }

    /// Names customers of the tenant, which only a webhook may learn.
    async fn list_owners(&mut self, shop: String) -> Result<Vec<ConnectionKey>, StorageError> {
        let Customers::Owners(customers) = &mut self.scope.customers else {
            return Err(StorageError::Refused("this call may not look across customers".to_owned()));
        };
        let shop = ShopId::try_from(shop).map_err(refused)?;
        let owners = answered_within(self.answer, self.storage.beneath().owners(&self.scope.tenant, &shop)).await?;
        customers.extend(owners.iter().map(|key| key.customer.clone()));
        Ok(owners)
    }

    async fn load_row(&mut self, key: types::ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let key = self.key(key)?;
        let entry = self.stored_row(&key).await?;
        self.row.clone_from(&entry);
        Ok(entry)
    }

    async fn stored_row(&self, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        answered_within(self.answer, self.storage.load_row(&self.scope.tenant, key)).await
    }

    /// With the row go the events that its change means. Those are known only where the row it replaces is: one of any
    /// other revision loses the swap.
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
                Some(self.next(row))
            }
            None => None,
        };
        let is_replaced =
            |entry: &RowEntry| entry.row.connection.key == key && Some(&entry.revision) == expected.as_ref();
        let before = match self.row.take().filter(is_replaced) {
            None if expected.is_some() => {
                let found = self.stored_row(&key).await?;
                if !found.as_ref().is_some_and(is_replaced) {
                    return Ok(connection_storage::SwapOutcome::Stale(found.map(Into::into)));
                }
                found
            }
            shown => shown,
        };
        let now = UnixSeconds(self.clock.wall().as_secs());
        let events = caused_by(before.as_ref().map(|entry| &entry.row), next.as_ref().map(|next| &next.value), now);
        let (storage, tenant) = (&self.storage, &self.scope.tenant);
        let budget = self.row_save.of(&key, expected.as_ref());
        let swapped = save(budget, next.as_ref().map(|next| &next.revision), || {
            storage.swap_row(tenant, &key, expected.as_ref(), next.as_ref(), &events)
        })
        .await?;
        Ok(match (swapped, next) {
            (Swapped::Done, Some(Next { revision, value })) => {
                self.row = Some(RowEntry { revision: revision.clone(), row: value });
                connection_storage::SwapOutcome::Stored(revision.into())
            }
            (Swapped::Done, None) => connection_storage::SwapOutcome::Deleted,
            (Swapped::Stale(entry), _) => {
                self.row.clone_from(&entry);
                connection_storage::SwapOutcome::Stale(entry.map(Into::into))
            }
        })
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
        Ok(reply(answered_within(self.answer, current).await.map(Into::into)))
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

#[cfg(test)]
mod tests;
