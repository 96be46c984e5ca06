//! A register is a record that is written by compare-and-swap. Token records and rows are both registers, so the same
//! checks test token records and rows.

use std::fmt;
use std::future::Future;

use super::broken::{Broken, ensure, ensure_eq};
use super::samples;
use super::trial::{Tenant, Trial};
use tiktok_shop_host::Revision;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::events::NewEvent;
use tiktok_shop_host::storage::{HostStorage, Next, Row, RowEntry, Sealed, StorageError, Swapped, TokenEntry};

/// Whether a register is a token record or a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Token,
    Row,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token record",
            Self::Row => "row",
        })
    }
}

/// The content of a register. The whole record is derived from the value, so that a load can detect a record that is
/// mixed from several writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) revision: u64,
    pub(super) value: u64,
}

impl Stored {
    /// Uses the revision as the value, for checks that do not compare values.
    pub(super) fn new(revision: u64) -> Self {
        Self { revision, value: revision }
    }
}

/// A token record or a row.
#[derive(Clone)]
pub(super) struct Register {
    pub(super) tenant: Tenant,
    pub(super) key: ConnectionKey,
    pub(super) kind: Kind,
}

/// Runs the check on a token record and then on a row, and reports the failures of both runs.
pub(super) async fn for_each_kind<F>(trial: &Trial, check: impl Fn(Register) -> F) -> Result<(), Broken>
where
    F: Future<Output = Result<(), Broken>>,
{
    let tenant = trial.tenant().await?;
    let mut broken = Vec::new();
    for kind in [Kind::Token, Kind::Row] {
        if let Err(Broken(text)) = check(Register::new(&tenant, "account", kind)?).await {
            broken.push(format!("{kind}: {text}"));
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

impl Register {
    pub(super) fn new(tenant: &Tenant, account: &str, kind: Kind) -> Result<Self, Broken> {
        Ok(Self { tenant: tenant.clone(), key: samples::key("customer", account)?, kind })
    }

    /// Returns a register of the same kind and tenant, for another account.
    pub(super) fn at(&self, account: &str) -> Result<Self, Broken> {
        Self::new(&self.tenant, account, self.kind)
    }

    pub(super) async fn load(&self) -> Result<Option<Stored>, Broken> {
        let Tenant { storage, id, .. } = &self.tenant;
        match self.kind {
            Kind::Token => storage.load_token(id, &self.key).await?.map(|entry| self.stored_token(&entry)).transpose(),
            Kind::Row => storage.load_row(id, &self.key).await?.map(|entry| self.stored_row(&entry)).transpose(),
        }
    }

    pub(super) async fn swap(&self, expected: Option<u64>, next: Option<Stored>) -> Result<Swapped<Stored>, Broken> {
        self.swap_with(expected, next, &[]).await
    }

    /// Swaps the record. If it is a row, the swap also appends the events. A swap of a token record ignores the events.
    pub(super) async fn swap_with(
        &self,
        expected: Option<u64>,
        next: Option<Stored>,
        events: &[NewEvent],
    ) -> Result<Swapped<Stored>, Broken> {
        let swapped = self.try_swap(expected, next, events).await?;
        Ok(swapped?)
    }

    /// Swaps the record. The inner `Result` is the storage's answer, so an error of the storage does not yet count as a
    /// broken promise.
    pub(super) async fn try_swap(
        &self,
        expected: Option<u64>,
        next: Option<Stored>,
        events: &[NewEvent],
    ) -> Result<Result<Swapped<Stored>, StorageError>, Broken> {
        let expected = expected.map(revision).transpose()?;
        let storage = &*self.tenant.storage;
        match self.kind {
            Kind::Token => self.swap_token(storage, expected.as_ref(), next).await,
            Kind::Row => self.swap_row(storage, expected.as_ref(), next, events).await,
        }
    }

    async fn swap_token(
        &self,
        storage: &dyn HostStorage,
        expected: Option<&Revision>,
        next: Option<Stored>,
    ) -> Result<Result<Swapped<Stored>, StorageError>, Broken> {
        let next = match next {
            Some(Stored { revision: number, value }) => {
                Some(samples::token(revision(number)?.as_str(), self.sealed(value), None)?)
            }
            None => None,
        };
        Ok(match storage.swap_token(&self.tenant.id, &self.key, expected, next.as_ref()).await {
            Ok(Swapped::Done) => Ok(Swapped::Done),
            Ok(Swapped::Stale(found)) => Ok(Swapped::Stale(found.map(|entry| self.stored_token(&entry)).transpose()?)),
            Err(error) => Err(error),
        })
    }

    async fn swap_row(
        &self,
        storage: &dyn HostStorage,
        expected: Option<&Revision>,
        next: Option<Stored>,
        events: &[NewEvent],
    ) -> Result<Result<Swapped<Stored>, StorageError>, Broken> {
        let next = match next {
            Some(Stored { revision: number, value }) => {
                Some(Next { revision: revision(number)?, value: self.row(value)? })
            }
            None => None,
        };
        Ok(match storage.swap_row(&self.tenant.id, &self.key, expected, next.as_ref(), events).await {
            Ok(Swapped::Done) => Ok(Swapped::Done),
            Ok(Swapped::Stale(found)) => Ok(Swapped::Stale(found.map(|entry| self.stored_row(&entry)).transpose()?)),
            Err(error) => Err(error),
        })
    }

    /// Returns a sealed value whose length depends on the value.
    fn sealed(&self, value: u64) -> Sealed {
        let times = usize::try_from(1 + value % 5).unwrap_or(1);
        self.tenant.sealed(value.to_be_bytes().repeat(times))
    }

    /// Returns a row whose number of shops depends on the value. Some rows have no ciphers.
    fn row(&self, value: u64) -> Result<Row, Broken> {
        let mut row = samples::row(&self.key);
        row.token_generation = value;
        row.connection.seller_name = format!("seller {value}");
        row.sealed = (!value.is_multiple_of(3)).then(|| self.sealed(value));
        for place in 0..value % 7 {
            let mut shop = samples::shop(&format!("{}", 100 + place), &self.key.account)?;
            shop.name = format!("shop {place} of seller {value}");
            row.connection.shops.push(shop);
        }
        row.stored()
    }

    fn stored_token(&self, entry: &TokenEntry) -> Result<Stored, Broken> {
        let value = entry.value.bytes().first_chunk().copied().map(u64::from_be_bytes);
        let value = value.ok_or_else(|| Broken(format!("a token record that no check wrote: {:?}", entry.value)))?;
        ensure_eq!(entry.value, self.sealed(value), "a token record that is mixed from several writes");
        Ok(Stored { revision: number(&entry.revision)?, value })
    }

    pub(super) fn stored_row(&self, entry: &RowEntry) -> Result<Stored, Broken> {
        let value = entry.row.token_generation;
        ensure_eq!(entry.row, self.row(value)?, "a row that is mixed from several writes");
        Ok(Stored { revision: number(&entry.revision)?, value })
    }
}

/// Returns a revision that has the length of the host's revisions.
fn revision(number: u64) -> Result<Revision, Broken> {
    Ok(format!("{number:032x}-1").parse()?)
}

fn number(found: &Revision) -> Result<u64, Broken> {
    let digits = found.as_str().strip_suffix("-1").unwrap_or_default();
    let number = u64::from_str_radix(digits, 16).unwrap_or_default();
    ensure!(revision(number)? == *found, "a revision that no check wrote: {found:?}");
    Ok(number)
}
