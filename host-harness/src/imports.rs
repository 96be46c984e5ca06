//! The three interfaces the host implements for the guest: credentials, tokens and rows, all of one tenant.
//!
//! Nothing of the host's database escapes into the guest as a trap: an error, a panic and a late answer all become a
//! `storage-error`, because a call that ends between two steps can lose a token pair just issued.

mod save;

use std::sync::Arc;
use std::time::Duration;

use self::save::{SaveBudget, answered_within, save};
use crate::bindings::{app_credentials, connection_storage, storage_types, token_storage, types};
use crate::connection::ConnectionKey;
use crate::credentials::{CredentialsError, CredentialsProvider};
use crate::id::{AccountId, CustomerId, InvalidId, Revision, Revisions, TenantId};
use crate::storage::{HostStorage, Next, Row, RowEntry, StorageError, Swapped, TokenEntry, TokenWrite};

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
    scope: Scope,
    storage: Arc<dyn HostStorage>,
    credentials: Arc<dyn CredentialsProvider>,
    revisions: Revisions,
    /// One answer of a backend.
    answer: Duration,
    token_save: SaveBudget,
    row_save: SaveBudget,
}

impl Imports {
    /// `save` bounds one answer of a backend, and all tries of one save.
    pub(crate) fn new(
        scope: Scope,
        storage: Arc<dyn HostStorage>,
        credentials: Arc<dyn CredentialsProvider>,
        revisions: Revisions,
        save: Duration,
    ) -> Self {
        let (token_save, row_save) = (SaveBudget::new(save), SaveBudget::new(save));
        Self { scope, storage, credentials, revisions, answer: save, token_save, row_save }
    }

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

    fn next<T>(&mut self, value: T) -> Next<T> {
        Next { revision: self.revisions.issue(), value }
    }

    async fn list_accounts(&self, customer: String) -> Result<Vec<AccountId>, StorageError> {
        let customer = self.customer(customer)?;
        answered_within(self.answer, self.storage.accounts(&self.scope.tenant, &customer)).await
    }

    async fn load_token(&self, key: types::ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
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
        let next = next.map(|write| self.next(TokenWrite::from(write)));
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
        answered_within(self.answer, self.storage.list_rows(&self.scope.tenant, &customer)).await
    }

    async fn load_row(&self, key: types::ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let key = self.key(key)?;
        answered_within(self.answer, self.storage.load_row(&self.scope.tenant, &key)).await
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
                Some(self.next(row))
            }
            None => None,
        };
        let (storage, tenant) = (&self.storage, &self.scope.tenant);
        let budget = self.row_save.of(&key, expected.as_ref());
        let swapped = save(budget, next.as_ref().map(|next| &next.revision), || {
            storage.swap_row(tenant, &key, expected.as_ref(), next.as_ref())
        })
        .await?;
        Ok(match (swapped, next) {
            (Swapped::Done, Some(next)) => connection_storage::SwapOutcome::Stored(next.revision.into()),
            (Swapped::Done, None) => connection_storage::SwapOutcome::Deleted,
            (Swapped::Stale(entry), _) => connection_storage::SwapOutcome::Stale(entry.map(Into::into)),
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

    /// Would name other customers of the tenant, and no operation needs it.
    async fn owners(&mut self, _: String) -> Reply<Vec<types::ConnectionKey>> {
        Ok(Err(StorageError::Refused("no call may look across customers".to_owned()).into()))
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
