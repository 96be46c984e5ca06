//! Implements the two interfaces through which the guest gets the credentials of the apps, the token records and the
//! rows of one tenant.
//!
//! An error, a panic or a late answer of the host's database reaches the guest as a `storage-error`, never as a trap. A
//! trap would end the call between two steps, and newly issued tokens could be lost.

mod read_ahead;
mod save;

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use self::read_ahead::ReadAhead;
use self::save::{SaveBudget, save};
use super::bindings::guest_storage::{self, Entry, Listed, Loaded, SwapOutcome, Table, Write};
use super::bindings::{app_credentials, types};
use super::convert::credentials_to_wit;
use super::fetched_credentials::GuestCredentials;
use super::row_events::{caused_by, caused_by_deletion};
use super::scope::{Act, Customers, KeyUse, Scope};
use super::secrets::{Document, Secrets};
use crate::clock::Clock;
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::id::{AccountId, CustomerId, InvalidId, Revision, Revisions, ShopId};
use crate::list::RowFault;
use crate::seal::{CheckedRow, OpenToken, OpenWrite, RowWrite, SealedStorage};
use crate::storage::{Next, OpenRow, StorageError, Swapped, run_within};

/// The state that the imports of one call use.
pub(super) struct Imports {
    scope: Scope,
    storage: SealedStorage,
    credentials: GuestCredentials,
    clock: Arc<dyn Clock>,
    revisions: Revisions,
    /// How long one answer of the storage or of the credentials provider may take.
    timeout: Duration,
    token_save: SaveBudget,
    row_save: SaveBudget,
    /// The row that the guest last loaded or wrote. When the guest replaces a row, the host compares the old row with
    /// the new one, to find the events. If the old row is in this field, the host does not load it again.
    last_row: Option<KnownRow>,
    read_ahead: ReadAhead,
    /// The revision of the row that this call last tried to write. If the storage's answer was lost, that row may be
    /// stored.
    unsettled_row: Option<Revision>,
    /// Whether this call has written a token record. A forced refresh first writes its claim, and sends a refresh token
    /// only after that.
    has_written_tokens: bool,
    secrets: Secrets,
}

/// A stored row that the host can decode.
struct KnownRow {
    revision: Revision,
    row: OpenRow,
}

/// The row that a swap replaces or deletes.
enum Before {
    /// There is no row.
    None,
    Known(Box<KnownRow>),
    /// The row can't be decoded, or was changed in the database. It can be deleted, but not replaced.
    Unusable(Revision),
}

impl Before {
    fn revision(&self) -> Option<&Revision> {
        match self {
            Self::None => None,
            Self::Known(known) => Some(&known.revision),
            Self::Unusable(revision) => Some(revision),
        }
    }
}

impl Imports {
    /// Creates the state of one call. `timeout` is the time for one answer of the storage or of the credentials
    /// provider, and the time for all attempts of one save together.
    pub(super) fn new(
        scope: Scope,
        storage: SealedStorage,
        credentials: GuestCredentials,
        clock: Arc<dyn Clock>,
        revisions: Revisions,
        timeout: Duration,
        secrets: Secrets,
    ) -> Self {
        let (token_save, row_save) = (SaveBudget::new(timeout), SaveBudget::new(timeout));
        let (last_row, unsettled_row) = (None, None);
        let storage = match scope.keys {
            KeyUse::Optional => storage.leaving_out_missing_keys(timeout),
            KeyUse::First | KeyUse::WhenNeeded => storage,
        };
        Self {
            scope,
            storage,
            credentials,
            clock,
            revisions,
            timeout,
            token_save,
            row_save,
            last_row,
            read_ahead: ReadAhead::Nothing,
            unsettled_row,
            has_written_tokens: false,
            secrets,
        }
    }

    /// Checks that the guest may access this customer's records in this call.
    fn customer(&self, named: String) -> Result<CustomerId, StorageError> {
        let named = CustomerId::try_from(named).map_err(refused)?;
        if self.scope.contains(&named) {
            Ok(named)
        } else {
            Err(StorageError::Refused("not the customer of this call".to_owned()))
        }
    }

    fn key(&self, key: types::ConnectionKey) -> Result<ConnectionKey, StorageError> {
        Ok(ConnectionKey { customer: self.customer(key.customer)?, account: self.account(key.account)? })
    }

    /// Checks that an id contains no secret of the call, because the host stores and returns ids without encryption.
    /// The length of the id was checked before, so a guest can't keep the host busy with a search in a long text.
    fn check_clear(&self, id: &str) -> Result<(), StorageError> {
        if self.secrets.are_in(id) { Err(secret_in_clear()) } else { Ok(()) }
    }

    fn account(&self, named: String) -> Result<AccountId, StorageError> {
        let account = AccountId::try_from(named).map_err(refused)?;
        self.check_clear(account.as_str())?;
        Ok(account)
    }

    fn revision(&self, expected: Option<String>) -> Result<Option<Revision>, StorageError> {
        let Some(text) = expected else { return Ok(None) };
        let revision = Revision::try_from(text).map_err(refused)?;
        self.check_clear(revision.as_str())?;
        Ok(Some(revision))
    }

    fn next<T>(&mut self, value: T) -> Next<T> {
        Next { revision: self.revisions.issue(), value }
    }

    async fn list_accounts(&mut self, customer: String) -> Result<Vec<AccountId>, StorageError> {
        let customer = self.customer(customer)?;
        let tenant = &self.scope.tenant;
        let read_ahead = std::mem::take(&mut self.read_ahead).accounts(&customer);
        let accounts = async {
            if self.scope.keys == KeyUse::First {
                self.storage.keyring().ensure_key(tenant).await?;
            }
            match read_ahead {
                Some(accounts) => Ok((accounts, None)),
                None => self.storage.inner().accounts_with_token(tenant, &customer).await,
            }
        };
        let (accounts, token) = run_within(self.timeout, accounts).await?;
        if let (Some(token), [account]) = (token, &*accounts) {
            let key = ConnectionKey { customer: customer.clone(), account: account.clone() };
            self.read_ahead = ReadAhead::Token(key, token);
        }
        if let Some(found) = &self.scope.found {
            let key = |account: &AccountId| ConnectionKey { customer: customer.clone(), account: account.clone() };
            accounts.iter().for_each(|account| found.record(key(account)));
        }
        Ok(accounts)
    }

    async fn load_token(&mut self, key: types::ConnectionKey) -> Result<Option<OpenToken>, StorageError> {
        let key = self.key(key)?;
        let read_ahead = std::mem::take(&mut self.read_ahead).token(&key);
        let loaded = self.storage.load_token(&self.scope.tenant, &key, read_ahead);
        let loaded = run_within(self.timeout, loaded).await?;
        self.secrets.learn_records(&loaded);
        Ok(loaded)
    }

    async fn swap_token(
        &mut self,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<Write>,
    ) -> Result<SwapOutcome, StorageError> {
        let key = self.key(key)?;
        self.read_ahead = ReadAhead::Nothing;
        let expected = self.revision(expected)?;
        let next = next.map(token_to_write).transpose()?.map(|write| self.next(write));
        if let Some(next) = &next {
            self.secrets.learn_record(&next.value.value);
        }
        let (storage, tenant) = (&self.storage, &self.scope.tenant);
        let budget = self.token_save.for_swap(&key, expected.as_ref());
        let swapped = save(budget, next.as_ref().map(|next| &next.revision), || {
            storage.swap_token(tenant, &key, expected.as_ref(), next.as_ref())
        })
        .await?;
        Ok(match (swapped, next) {
            (Swapped::Done, Some(next)) => {
                self.has_written_tokens = true;
                SwapOutcome::Stored(next.revision.into())
            }
            (Swapped::Done, None) => SwapOutcome::Deleted,
            (Swapped::Stale(entry), _) => {
                self.secrets.learn_records(&entry);
                if let (Some(found), Some(_)) = (&self.scope.found, &entry) {
                    found.record(key);
                }
                SwapOutcome::Stale(entry.map(Into::into))
            }
        })
    }

    async fn list_rows(&mut self, customer: String) -> Result<Vec<Listed>, StorageError> {
        let customer = self.customer(customer)?;
        let tenant = &self.scope.tenant;
        self.read_ahead = ReadAhead::Nothing;
        let (rows, accounts) = run_within(self.timeout, self.storage.list_rows(tenant, &customer)).await?;
        self.read_ahead = accounts.map_or(ReadAhead::Nothing, |accounts| ReadAhead::Accounts(customer, accounts));
        let mut listed = Vec::with_capacity(rows.len());
        for row in rows {
            let (key, entry) = match row {
                Ok(mut row) => {
                    let decoded = self.decoded(&mut row);
                    if decoded.is_none() {
                        let account = row.entry.row.key.account.as_str();
                        tracing::warn!(account, "a row can't be decoded, so the list leaves it out");
                    }
                    if let Some(found) = &self.scope.found {
                        match &decoded {
                            Some(known) => found.row(&known.row),
                            None => found.unusable_row(&row.entry.row.key, RowFault::Unreadable),
                        }
                    }
                    (row.entry.row.key.clone(), Some(row.into()))
                }
                Err(key) => {
                    if let Some(found) = &self.scope.found {
                        found.unusable_row(&key, RowFault::Changed);
                    }
                    (key, None)
                }
            };
            listed.push(Listed { account: key.account.into(), entry });
        }
        Ok(listed)
    }

    /// Takes the decoded form out of a stored row, and learns the ciphers of its shops. Returns `None` if this host can't
    /// decode the row.
    fn decoded(&self, row: &mut CheckedRow) -> Option<KnownRow> {
        let open = *row.open.take()?;
        self.secrets.learn_ciphers(&open);
        Some(KnownRow { revision: row.entry.revision.clone(), row: open })
    }

    /// Returns every connection of the tenant that contains this shop, whichever customer the connection belongs to.
    /// Only the call for a webhook may see several customers.
    async fn list_owners(&mut self, shop: String) -> Result<Vec<ConnectionKey>, StorageError> {
        let Customers::Owners(customers) = &mut self.scope.customers else {
            return Err(StorageError::Refused("this call may not look across customers".to_owned()));
        };
        let shop = ShopId::try_from(shop).map_err(refused)?;
        if self.secrets.are_in(shop.as_str()) {
            return Err(secret_in_clear());
        }
        self.read_ahead = ReadAhead::Nothing;
        let owners = run_within(self.timeout, self.storage.inner().owners(&self.scope.tenant, &shop)).await?;
        customers.extend(owners.iter().map(|key| key.customer.clone()));
        Ok(owners)
    }

    async fn load_row(&mut self, key: types::ConnectionKey) -> Result<Option<CheckedRow>, StorageError> {
        let key = self.key(key)?;
        self.read_ahead = ReadAhead::Nothing;
        let stored = self.storage.load_row_with_token(&self.scope.tenant, &key);
        let (mut stored, token) = run_within(self.timeout, stored).await?;
        self.read_ahead = token.map_or(ReadAhead::Nothing, |token| ReadAhead::Token(key, token));
        self.last_row = stored.as_mut().and_then(|row| self.decoded(row));
        Ok(stored)
    }

    /// Loads the row that a swap replaces or deletes. Returns the row as it is stored, too.
    async fn row_before(&self, key: &ConnectionKey) -> Result<(Before, Option<CheckedRow>), StorageError> {
        match run_within(self.timeout, self.storage.load_row(&self.scope.tenant, key)).await {
            Ok(None) => Ok((Before::None, None)),
            Ok(Some(mut row)) => {
                let before = match self.decoded(&mut row) {
                    Some(known) => Before::Known(Box::new(known)),
                    None => Before::Unusable(row.entry.revision.clone()),
                };
                Ok((before, Some(row)))
            }
            Err(StorageError::RowChanged(revision)) => Ok((Before::Unusable(revision), None)),
            Err(error) => Err(error),
        }
    }

    /// Decodes the row that the guest wants to write. The values beside the document are taken from the document, so
    /// that they always agree.
    fn row_to_write(&self, key: &ConnectionKey, write: Write) -> Result<(OpenRow, RowWrite), StorageError> {
        let Write { document, secrets, index: _ } = write;
        let secrets = Zeroizing::new(secrets);
        let open = OpenRow::decode(key, &document, &secrets)?;
        self.secrets.learn_ciphers(&open);
        let Some(clear) = Document::read(&document) else {
            return Err(StorageError::Refused("the document of the row is nested too deeply".to_owned()));
        };
        if self.secrets.are_in(&clear) {
            return Err(secret_in_clear());
        }
        let row = open.with_document(document);
        Ok((open, RowWrite { row, secrets }))
    }

    /// Writes or deletes a row, and appends the events that the change causes. The events follow from the old row and
    /// the new row. If the stored row does not have the revision `expected`, writes nothing and returns `Stale`.
    async fn swap_row(
        &mut self,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<Write>,
    ) -> Result<SwapOutcome, StorageError> {
        let key = self.key(key)?;
        self.read_ahead = ReadAhead::Nothing;
        let expected = self.revision(expected)?;
        let next = next.map(|write| self.row_to_write(&key, write)).transpose()?;
        let (written, next) = next.unzip();
        let next = next.map(|write| self.next(write));
        let is_replaced =
            |known: &KnownRow| known.row.connection.key == key && Some(&known.revision) == expected.as_ref();
        let before = match (self.last_row.take().filter(is_replaced), &expected) {
            (Some(known), _) => Before::Known(Box::new(known)),
            (None, None) => Before::None,
            (None, Some(expected)) => {
                let (before, stored) = self.row_before(&key).await?;
                match (before.revision() == Some(expected), &before) {
                    (true, Before::Unusable(revision)) if next.is_some() => {
                        return Err(StorageError::RowChanged(revision.clone()));
                    }
                    (true, _) => before,
                    (false, Before::Unusable(revision)) if stored.is_none() => {
                        return Err(StorageError::RowChanged(revision.clone()));
                    }
                    (false, _) => return Ok(SwapOutcome::Stale(stored.map(Into::into))),
                }
            }
        };
        let now = UnixSeconds(self.clock.wall().as_secs());
        // This call may itself have written the row that it replaces now, in an attempt whose answer was lost. That
        // attempt then also wrote the event of the call's `Act`.
        if before.revision().is_some_and(|revision| Some(revision) == self.unsettled_row.as_ref()) {
            self.scope.act = Act::Other;
        }
        let Scope { tenant, origin, act, .. } = &self.scope;
        // A forced refresh that has not claimed the tokens has sent nothing, so its row does not tell of a refresh.
        let act = if *act == Act::ForcedRefresh && !self.has_written_tokens { Act::Other } else { *act };
        let events = match &before {
            Before::None => caused_by(None, written.as_ref(), act, now, origin),
            Before::Known(known) => caused_by(Some(&known.row), written.as_ref(), act, now, origin),
            Before::Unusable(_) => caused_by_deletion(&key, now, origin),
        };
        self.unsettled_row = next.as_ref().map(|next| next.revision.clone());
        let storage = &self.storage;
        let budget = self.row_save.for_swap(&key, expected.as_ref());
        let swapped = save(budget, next.as_ref().map(|next| &next.revision), || {
            storage.swap_row(tenant, &key, expected.as_ref(), next.as_ref(), &events)
        })
        .await?;
        Ok(match (swapped, next) {
            (Swapped::Done, Some(Next { revision, .. })) => {
                self.unsettled_row = None;
                if act == self.scope.act {
                    self.scope.act = Act::Other;
                }
                self.last_row = written.map(|row| KnownRow { revision: revision.clone(), row });
                SwapOutcome::Stored(revision.into())
            }
            (Swapped::Done, None) => SwapOutcome::Deleted,
            (Swapped::Stale(mut row), _) => {
                self.last_row = row.as_mut().and_then(|row| self.decoded(row));
                SwapOutcome::Stale(row.map(Into::into))
            }
        })
    }
}

impl types::Host for Imports {}

impl app_credentials::Host for Imports {
    async fn apps(&mut self) -> Reply<Vec<String>> {
        Ok(reply(self.credentials.keys(&self.scope.tenant, self.timeout).await))
    }

    async fn of_app(&mut self, app_key: String) -> Reply<app_credentials::Credentials> {
        let credentials = self.credentials.of_app(&app_key, &self.scope.tenant, self.timeout).await;
        if let Ok(credentials) = &credentials {
            self.secrets.learn_credentials(credentials);
        }
        Ok(reply(credentials.map(|credentials| credentials_to_wit(credentials, self.credentials.environment()))))
    }
}

impl guest_storage::Host for Imports {
    async fn accounts(&mut self, customer: String) -> Reply<Vec<String>> {
        Ok(reply(self.list_accounts(customer).await.map(into_all)))
    }

    async fn list(&mut self, customer: String) -> Reply<Vec<Listed>> {
        Ok(reply(self.list_rows(customer).await))
    }

    async fn load(&mut self, table: Table, key: types::ConnectionKey) -> Reply<Loaded> {
        let entry = match table {
            Table::Tokens => self.load_token(key).await.map(|token| token.map(Entry::from)),
            Table::Rows => self.load_row(key).await.map(|row| row.map(Entry::from)),
        };
        Ok(reply(entry.map(|entry| Loaded { entry })))
    }

    async fn swap(
        &mut self,
        table: Table,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<Write>,
    ) -> Reply<guest_storage::Swapped> {
        let outcome = match table {
            Table::Tokens => self.swap_token(key, expected, next).await,
            Table::Rows => self.swap_row(key, expected, next).await,
        };
        Ok(reply(outcome.map(|outcome| guest_storage::Swapped { outcome })))
    }

    async fn owners(&mut self, shop: String) -> Reply<Vec<types::ConnectionKey>> {
        Ok(reply(self.list_owners(shop).await.map(into_all)))
    }
}

/// Takes the token record out of a write. The host stores no document with it, so it refuses one.
fn token_to_write(write: Write) -> Result<OpenWrite, StorageError> {
    let Write { document, secrets, index } = write;
    let value = secrets.into();
    if document.is_empty() {
        Ok(OpenWrite { value, refresh_due_at: index.refresh_due_at.map(UnixSeconds) })
    } else {
        Err(StorageError::Refused("a token record has no document".to_owned()))
    }
}

/// The result of an import. The outer error would end the guest with a trap. No import returns an outer error.
type Reply<T> = wasmtime::Result<Result<T, guest_storage::StorageError>>;

fn secret_in_clear() -> StorageError {
    StorageError::Refused("a value that is stored in clear contains a secret of this call".to_owned())
}

fn refused(error: InvalidId) -> StorageError {
    StorageError::Refused(error.to_string())
}

fn reply<T>(result: Result<T, StorageError>) -> Result<T, guest_storage::StorageError> {
    result.map_err(Into::into)
}

fn into_all<T: Into<U>, U>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests;
