//! Gives benchmarks the sealed storage of a host, so that they can store the same values without a guest. Exists only
//! with the feature `measurements`.

use zeroize::Zeroizing;

use super::sealed_storage::{CheckedRow, OpenToken, OpenWrite, RowWrite, SealedStorage};
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, Revision, TenantId};
use crate::storage::{Next, OpenRow, StorageError, Swapped};

/// The storage of a host as its instances see it: every value is sealed when it is written, and opened when it is read.
pub struct SealedRecords(SealedStorage);

/// A stored token record or row, with its revision.
pub struct Opened<T> {
    /// The revision.
    pub revision: Revision,
    /// The value.
    pub value: T,
}

/// An encoded row: the document, and the secrets beside it.
pub type EncodedRow = (String, Zeroizing<Vec<u8>>);

impl ConnectorHost {
    /// Returns the sealed storage of this host.
    #[must_use]
    pub fn sealed_records(&self) -> SealedRecords {
        SealedRecords(self.sandbox.storage.clone())
    }
}

impl SealedRecords {
    /// Returns the accounts of a customer.
    ///
    /// # Errors
    /// See [`StorageError`]. This holds for all functions.
    pub async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.0.inner().accounts(tenant, customer).await
    }

    /// Returns a token record.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn load_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<Option<Opened<Zeroizing<Vec<u8>>>>, StorageError> {
        Ok(self.0.load_token(tenant, key, None).await?.map(opened_token))
    }

    /// Writes or deletes a token record.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<(Revision, Zeroizing<Vec<u8>>, Option<UnixSeconds>)>,
    ) -> Result<Swapped<Opened<Zeroizing<Vec<u8>>>>, StorageError> {
        let next = next.map(|(revision, value, refresh_due_at)| {
            let value = OpenWrite { value, refresh_due_at };
            Next { revision, value }
        });
        Ok(match self.0.swap_token(tenant, key, expected, next.as_ref()).await? {
            Swapped::Done => Swapped::Done,
            Swapped::Stale(entry) => Swapped::Stale(entry.map(opened_token)),
        })
    }

    /// Returns a row.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn load_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<Option<Opened<EncodedRow>>, StorageError> {
        Ok(self.0.load_row(tenant, key).await?.map(opened_row))
    }

    /// Writes or deletes a row, without events. Decodes the row to write, as the host does for a guest.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<(Revision, EncodedRow)>,
    ) -> Result<Swapped<Opened<EncodedRow>>, StorageError> {
        let write = |(revision, (document, secrets)): (Revision, EncodedRow)| {
            let open = OpenRow::decode(key, &document, &secrets)?;
            Ok::<_, StorageError>(Next { revision, value: RowWrite { row: open.with_document(document), secrets } })
        };
        let next = next.map(write).transpose()?;
        Ok(match self.0.swap_row(tenant, key, expected, next.as_ref(), &[]).await? {
            Swapped::Done => Swapped::Done,
            Swapped::Stale(row) => Swapped::Stale(row.map(opened_row)),
        })
    }
}

fn opened_token(OpenToken { revision, value, age: _ }: OpenToken) -> Opened<Zeroizing<Vec<u8>>> {
    Opened { revision, value }
}

fn opened_row(CheckedRow { entry, secrets, open: _ }: CheckedRow) -> Opened<EncodedRow> {
    Opened { revision: entry.revision, value: (entry.row.document, secrets) }
}
