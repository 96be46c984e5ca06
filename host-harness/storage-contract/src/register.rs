//! A record as a register that is swapped: what races are about is the same for token records and rows.

use std::fmt;
use std::future::Future;

use super::broken::{Broken, ensure, ensure_same};
use super::samples;
use super::trial::{Tenant, Trial};
use tiktok_shop_host::Revision;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::events::NewEvent;
use tiktok_shop_host::storage::{HostStorage, Next, Row, RowEntry, Sealed, StorageError, Swapped, TokenEntry};

/// Which of the two.
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

/// What stands in a register. The value makes the whole record: a record of which parts are of another write is noticed by
/// whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) revision: u64,
    pub(super) value: u64,
}

impl Stored {
    /// Where the value matters as little as that.
    pub(super) fn new(revision: u64) -> Self {
        Self { revision, value: revision }
    }
}

/// A record.
#[derive(Clone)]
pub(super) struct Register {
    pub(super) tenant: Tenant,
    pub(super) key: ConnectionKey,
    pub(super) kind: Kind,
}

/// Checks a token record, then a row; what is broken of both.
pub(super) async fn of_each_kind<F>(trial: &Trial, check: impl Fn(Register) -> F) -> Result<(), Broken>
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

    /// Another of the same kind and tenant.
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

    /// With events, if it is a row.
    pub(super) async fn swap_with(
        &self,
        expected: Option<u64>,
        next: Option<Stored>,
        events: &[NewEvent],
    ) -> Result<Swapped<Stored>, Broken> {
        let swapped = self.answered(expected, next, events).await?;
        Ok(swapped?)
    }

    /// The same, where storage may say that it does not know.
    pub(super) async fn answered(
        &self,
        expected: Option<u64>,
        next: Option<Stored>,
        events: &[NewEvent],
    ) -> Result<Result<Swapped<Stored>, StorageError>, Broken> {
        let expected = expected.map(revision).transpose()?;
        let storage = &*self.tenant.storage;
        match self.kind {
            Kind::Token => self.swapped_token(storage, expected.as_ref(), next).await,
            Kind::Row => self.swapped_row(storage, expected.as_ref(), next, events).await,
        }
    }

    async fn swapped_token(
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

    async fn swapped_row(
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

    /// Bytes of various lengths.
    fn sealed(&self, value: u64) -> Sealed {
        let times = usize::try_from(1 + value % 5).unwrap_or(1);
        self.tenant.sealed(value.to_be_bytes().repeat(times))
    }

    /// With various numbers of shops, with ciphers and without.
    fn row(&self, value: u64) -> Result<Row, Broken> {
        let mut row = samples::row(&self.key);
        row.token_generation = value;
        row.connection.seller_name = format!("seller {value}");
        row.ciphers = (!value.is_multiple_of(3)).then(|| self.sealed(value));
        for place in 0..value % 7 {
            let mut shop = samples::shop(&format!("{}", 100 + place), &self.key.account)?;
            shop.name = format!("shop {place} of seller {value}");
            row.connection.shops.push(shop);
        }
        Ok(row)
    }

    fn stored_token(&self, entry: &TokenEntry) -> Result<Stored, Broken> {
        let value = entry.value.bytes().first_chunk().copied().map(u64::from_be_bytes);
        let value = value.ok_or_else(|| Broken(format!("a token record that nobody wrote: {:?}", entry.value)))?;
        ensure_same!(entry.value, self.sealed(value), "a token record of the parts of several writes");
        Ok(Stored { revision: number(&entry.revision)?, value })
    }

    pub(super) fn stored_row(&self, entry: &RowEntry) -> Result<Stored, Broken> {
        let value = entry.row.token_generation;
        ensure_same!(entry.row, self.row(value)?, "a row of the parts of several writes");
        Ok(Stored { revision: number(&entry.revision)?, value })
    }
}

/// As long as one of the host's.
fn revision(number: u64) -> Result<Revision, Broken> {
    Ok(format!("{number:032x}-1").parse()?)
}

fn number(found: &Revision) -> Result<u64, Broken> {
    let digits = found.as_str().strip_suffix("-1").unwrap_or_default();
    let number = u64::from_str_radix(digits, 16).unwrap_or_default();
    ensure!(revision(number)? == *found, "a revision that nobody gave: {found:?}");
    Ok(number)
}
