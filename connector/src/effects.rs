//! Implements the core's effects with this component's imports. Every import blocks, so every future in this file is
//! ready at its first poll.

use crate::bindings::tiktok_shop::connector::app_credentials;
use crate::bindings::tiktok_shop::connector::storage::{self, SwapOutcome, Table};
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::random::random;
use crate::{convert, http};
use core::time::Duration;
use maybe_async::maybe_async;
use tiktok_shop_connector_core::connection::Row;
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::http::{Request, Response, TransportFailure};
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey, CustomerId};
use tiktok_shop_connector_core::ports::{
    Effects, Entry, ListedRow, Revision, StorageError, Swapped, TokenValue, TokenWrite,
};
use tiktok_shop_connector_core::record::Nonce;
use tiktok_shop_connector_core::secret::SecretBytes;
use tiktok_shop_connector_core::time::{Moment, UnixSeconds};

pub(crate) struct Imports;

#[maybe_async(AFIT)]
impl Effects for Imports {
    fn now(&self) -> Moment {
        Moment { wall: self.wall(), monotonic: Duration::from_nanos(monotonic_clock::now()) }
    }

    fn wall(&self) -> UnixSeconds {
        UnixSeconds::new(wall_clock::now().seconds)
    }

    fn random(&self) -> Nonce {
        let halves = [random::get_random_u64(), random::get_random_u64()].map(u128::from);
        let [high, low] = halves;
        (high << 64 | low).to_le_bytes()
    }

    async fn apps(&self) -> Result<Vec<String>, StorageError> {
        app_credentials::apps().map_err(storage_error)
    }

    async fn credentials(&self, app_key: &str) -> Result<Credentials, StorageError> {
        app_credentials::of_app(app_key).map(convert::credentials).map_err(storage_error)
    }

    async fn send(&self, request: Request<'_>) -> Result<Response, TransportFailure> {
        http::send(request)
    }

    async fn accounts(&self, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        let accounts = storage::accounts(customer.as_str()).map_err(storage_error)?;
        accounts.into_iter().map(convert::stored_account).collect()
    }

    async fn load_token(&self, key: &ConnectionKey) -> Result<Option<Entry<TokenValue>>, StorageError> {
        Ok(load(Table::Tokens, key)?.map(token_entry))
    }

    async fn swap_token(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<TokenWrite>,
    ) -> Result<Swapped<TokenValue>, StorageError> {
        let write = next.as_ref().map(convert::token_to_wit);
        Ok(match swap(Table::Tokens, key, expected, write)? {
            SwapOutcome::Stored(revision) => Swapped::Stored(Revision(revision)),
            SwapOutcome::Deleted => Swapped::Deleted,
            SwapOutcome::Stale(entry) => Swapped::Stale(entry.map(token_entry)),
        })
    }

    async fn list_rows(&self, customer: &CustomerId) -> Result<Vec<ListedRow>, StorageError> {
        let rows = storage::list(customer.as_str()).map_err(storage_error)?;
        let listed = |row: storage::Listed| {
            // A row whose account the connector cannot have written is left out, so that the others are listed.
            let account = AccountId::parse(row.account).ok()?;
            let key = ConnectionKey { customer: customer.clone(), account: account.clone() };
            let row = match row.entry {
                Some(entry) => convert::row_from_wit(key, entry).map(|entry| entry.value),
                // The list does not tell the revision, and nobody needs it.
                None => Err(StorageError::RowChanged(Revision(String::new()))),
            };
            Some(ListedRow { account, row })
        };
        Ok(rows.into_iter().filter_map(listed).collect())
    }

    async fn load_row(&self, key: &ConnectionKey) -> Result<Option<Entry<Row>>, StorageError> {
        load(Table::Rows, key)?.map(|entry| convert::row_from_wit(key.clone(), entry)).transpose()
    }

    async fn swap_row(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Row>,
    ) -> Result<Swapped<Row>, StorageError> {
        let write = next.map(convert::row_to_wit).transpose()?;
        Ok(match swap(Table::Rows, key, expected, write)? {
            SwapOutcome::Stored(revision) => Swapped::Stored(Revision(revision)),
            SwapOutcome::Deleted => Swapped::Deleted,
            SwapOutcome::Stale(entry) => {
                Swapped::Stale(entry.map(|entry| convert::row_from_wit(key.clone(), entry)).transpose()?)
            }
        })
    }

    async fn owners(&self, shop: &str) -> Result<Vec<ConnectionKey>, StorageError> {
        let keys = storage::owners(shop).map_err(storage_error)?;
        keys.into_iter().map(convert::key_from_wit).collect()
    }
}

fn load(table: Table, key: &ConnectionKey) -> Result<Option<storage::Entry>, StorageError> {
    Ok(storage::load(table, &convert::key_to_wit(key)).map_err(storage_error)?.entry)
}

fn swap(
    table: Table,
    key: &ConnectionKey,
    expected: Option<&Revision>,
    next: Option<storage::Write>,
) -> Result<SwapOutcome, StorageError> {
    let expected = expected.map(|revision| revision.0.as_str());
    let swapped = storage::swap(table, &convert::key_to_wit(key), expected, next.as_ref());
    Ok(swapped.map_err(storage_error)?.outcome)
}

fn token_entry(entry: storage::Entry) -> Entry<TokenValue> {
    let age_ms = u32::try_from(entry.age_ms.max(0)).unwrap_or(u32::MAX);
    Entry { revision: Revision(entry.revision), value: TokenValue { bytes: SecretBytes::new(entry.secrets), age_ms } }
}

fn storage_error(error: storage::StorageError) -> StorageError {
    match error {
        storage::StorageError::Unavailable(text) => StorageError::Unavailable(text),
        storage::StorageError::Refused(text) => StorageError::Refused(text),
        storage::StorageError::Changed(revision) => StorageError::RowChanged(Revision(revision)),
    }
}
