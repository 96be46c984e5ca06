//! Storages with one weakness each. Each of them is an interceptor in front of a storage that keeps the storage
//! contract. [`History::swap`] implements the weaknesses of writes, and [`History::late_load`] implements the weakness
//! of loads.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::events::NewEvent;
use tiktok_shop_host::storage::{Access, Answer, Interceptor, Passage};
use tiktok_shop_host::storage::{HostStorage, Next, Row, RowEntry, StorageError, Swapped, TokenEntry, TokenWrite};
use tiktok_shop_host::{Revision, TenantId};
use tokio::sync::Mutex;

/// A weakness of a storage. The contract allows [`Weakness::LoadsLate`], and forbids all other weaknesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weakness {
    /// A swap always writes.
    IgnoresRevisions,
    /// After each write, the next two loads return the record that the write replaced.
    LoadsLate,
    /// A swap that does not write, because another writer was faster, returns the record as it was before the newest
    /// write.
    AnswersLate,
    /// After each write, the storage repeats the write before it.
    WritesTwice,
    /// A record gets the revisions 1, 2, 3 in place of the host's revisions. After a deletion, the numbers start again
    /// at 1.
    OwnRevisions,
    /// The storage numbers the writes as in [`Weakness::OwnRevisions`], and a swap compares these numbers. But the
    /// storage returns the host's revisions.
    ComparesNumbers,
}

impl Weakness {
    pub(crate) const ALL: [Self; 6] = [
        Self::IgnoresRevisions,
        Self::LoadsLate,
        Self::AnswersLate,
        Self::WritesTwice,
        Self::OwnRevisions,
        Self::ComparesNumbers,
    ];

    /// Returns the weakness as the title of a column in `docs/storage.md`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IgnoresRevisions => "ignores revisions",
            Self::LoadsLate => "loads late",
            Self::AnswersLate => "answers late",
            Self::WritesTwice => "writes twice",
            Self::OwnRevisions => "own revisions",
            Self::ComparesNumbers => "compares numbers",
        }
    }

    /// Returns the weakness as the title of a row in `docs/storage.md`.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::IgnoresRevisions => "**ignores revisions**: a swap always writes, whatever revision is stored",
            Self::LoadsLate => {
                "**loads late**: a load may return the record without its newest write; a read from a replica can do this"
            }
            Self::AnswersLate => {
                "**answers late**: a swap that loses may return the record without its newest write; a read from a replica can do this"
            }
            Self::WritesTwice => {
                "**writes twice**: after each write, the storage carries out the previous write once more, as a queue that delivers twice may do"
            }
            Self::OwnRevisions => {
                "**own revisions**: the storage replaces the host's revision of a record by a number of its own"
            }
            Self::ComparesNumbers => {
                "**compares numbers**: the storage counts the writes of each record, and a swap compares these counts in place of the revisions; after a deletion the count starts again"
            }
        }
    }
}

/// A token record or a row.
#[async_trait]
trait Record: Sized + Clone + Send + Sync {
    type Value: Clone + Send + Sync;

    async fn load(at: Place<'_>) -> Result<Option<Self>, StorageError>;

    async fn swap(
        at: Place<'_>,
        expected: Option<&Revision>,
        write: &Write<Self::Value>,
    ) -> Result<Swapped<Self>, StorageError>;

    fn revision(&self) -> &Revision;

    /// Writes, no matter which revision is stored.
    async fn force(at: Place<'_>, write: &Write<Self::Value>) -> Result<(), StorageError> {
        loop {
            let found = Self::load(at).await?;
            if let Swapped::Done = Self::swap(at, found.as_ref().map(Self::revision), write).await? {
                return Ok(());
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    inner: &'a dyn HostStorage,
    tenant: &'a TenantId,
    key: &'a ConnectionKey,
}

#[derive(Clone)]
struct Write<T> {
    next: Option<Next<T>>,
    events: Vec<NewEvent>,
}

#[async_trait]
impl Record for TokenEntry {
    type Value = TokenWrite;

    async fn load(Place { inner, tenant, key }: Place<'_>) -> Result<Option<Self>, StorageError> {
        inner.load_token(tenant, key).await
    }

    async fn swap(
        Place { inner, tenant, key }: Place<'_>,
        expected: Option<&Revision>,
        write: &Write<TokenWrite>,
    ) -> Result<Swapped<Self>, StorageError> {
        inner.swap_token(tenant, key, expected, write.next.as_ref()).await
    }

    fn revision(&self) -> &Revision {
        &self.revision
    }
}

#[async_trait]
impl Record for RowEntry {
    type Value = Row;

    async fn load(Place { inner, tenant, key }: Place<'_>) -> Result<Option<Self>, StorageError> {
        inner.load_row(tenant, key).await
    }

    async fn swap(
        Place { inner, tenant, key }: Place<'_>,
        expected: Option<&Revision>,
        write: &Write<Row>,
    ) -> Result<Swapped<Self>, StorageError> {
        inner.swap_row(tenant, key, expected, write.next.as_ref(), &write.events).await
    }

    fn revision(&self) -> &Revision {
        &self.revision
    }
}

/// The data that a weak storage remembers about one record.
struct History<R: Record> {
    /// The record that the newest write replaced. `None` if this write replaced no record.
    before: Option<R>,
    /// The number of further loads that return `before`.
    late_loads: usize,
    newest: Option<Write<R::Value>>,
    /// The number that the storage gave to each of the host's revisions, for [`Weakness::ComparesNumbers`].
    numbers: BTreeMap<String, u64>,
    /// The number of the stored record. It counts the writes since the record was created.
    number: u64,
}

impl<R: Record> Default for History<R> {
    fn default() -> Self {
        Self { before: None, late_loads: 0, newest: None, numbers: BTreeMap::new(), number: 0 }
    }
}

impl<R: Record> History<R> {
    async fn swap(
        &mut self,
        weakness: Weakness,
        at: Place<'_>,
        expected: Option<&Revision>,
        mut write: Write<R::Value>,
    ) -> Result<Swapped<R>, StorageError> {
        match weakness {
            Weakness::IgnoresRevisions => R::force(at, &write).await.map(|()| Swapped::Done),
            Weakness::LoadsLate | Weakness::AnswersLate => {
                let before = R::load(at).await?;
                let answer = R::swap(at, expected, &write).await?;
                match answer {
                    Swapped::Done => (self.before, self.late_loads) = (before, 2),
                    Swapped::Stale(_) if weakness == Weakness::AnswersLate => {
                        return Ok(Swapped::Stale(self.before.clone()));
                    }
                    Swapped::Stale(_) => {}
                }
                Ok(answer)
            }
            Weakness::WritesTwice => {
                let answer = R::swap(at, expected, &write).await?;
                if let Swapped::Done = answer
                    && let Some(earlier) = self.newest.replace(write)
                {
                    R::force(at, &earlier).await?;
                }
                Ok(answer)
            }
            Weakness::OwnRevisions => {
                let number = if write.next.is_some() { self.number + 1 } else { 0 };
                if let Some(next) = &mut write.next {
                    next.revision = number.to_string().parse().unwrap();
                }
                let answer = R::swap(at, expected, &write).await?;
                if let Swapped::Done = answer {
                    self.number = number;
                }
                Ok(answer)
            }
            Weakness::ComparesNumbers => {
                let found = R::load(at).await?;
                let number = |revision: Option<&Revision>| self.numbers.get(revision?.as_str()).copied();
                let same = number(found.as_ref().map(R::revision)) == number(expected);
                if !same || found.is_some() != expected.is_some() {
                    return Ok(Swapped::Stale(found));
                }
                R::force(at, &write).await?;
                self.number = if write.next.is_some() { self.number + 1 } else { 0 };
                let given = write.next.map(|next| next.revision.to_string());
                self.numbers.extend(given.map(|revision| (revision, self.number)));
                Ok(Swapped::Done)
            }
        }
    }

    /// Returns `None` if this load is not late. Otherwise returns the record that the newest write replaced. The inner
    /// `None` means that this write replaced no record.
    fn late_load(&mut self) -> Option<Option<R>> {
        self.late_loads = self.late_loads.checked_sub(1)?;
        Some(self.before.clone())
    }
}

type Histories<R> = Mutex<BTreeMap<(TenantId, ConnectionKey), History<R>>>;

/// An interceptor that gives a storage one weakness.
pub(crate) struct Weak {
    weakness: Weakness,
    tokens: Histories<TokenEntry>,
    rows: Histories<RowEntry>,
}

impl Weak {
    pub(crate) fn new(weakness: Weakness) -> Self {
        Self { weakness, tokens: Mutex::default(), rows: Mutex::default() }
    }
}

#[async_trait]
impl Interceptor for Weak {
    async fn passage(&self, access: Access<'_>, inner: &dyn HostStorage) -> Passage {
        let loads_late = self.weakness == Weakness::LoadsLate;
        match access {
            Access::LoadToken(tenant, key) if loads_late => {
                let late = self.tokens.lock().await.entry((tenant.clone(), key.clone())).or_default().late_load();
                late.map_or(Passage::Forward, |entry| Passage::Answer(Answer::LoadToken(entry)))
            }
            Access::LoadRow(tenant, key) if loads_late => {
                let late = self.rows.lock().await.entry((tenant.clone(), key.clone())).or_default().late_load();
                late.map_or(Passage::Forward, |row| Passage::Answer(Answer::LoadRow(row.map(Box::new))))
            }
            Access::SwapToken(tenant, key, expected, next) => {
                let mut histories = self.tokens.lock().await;
                let history = histories.entry((tenant.clone(), key.clone())).or_default();
                let write = Write { next: next.cloned(), events: Vec::new() };
                let swapped = history.swap(self.weakness, Place { inner, tenant, key }, expected, write).await;
                swapped.map_or_else(Passage::Fail, |swapped| Passage::Answer(Answer::SwapToken(swapped)))
            }
            Access::SwapRow(tenant, key, expected, next, events) => {
                let mut histories = self.rows.lock().await;
                let history = histories.entry((tenant.clone(), key.clone())).or_default();
                let write = Write { next: next.cloned(), events: events.to_vec() };
                let swapped = history.swap(self.weakness, Place { inner, tenant, key }, expected, write).await;
                swapped.map_or_else(Passage::Fail, |swapped| Passage::Answer(Answer::SwapRow(Box::new(swapped))))
            }
            Access::Accounts(..)
            | Access::LoadToken(..)
            | Access::ListRows(..)
            | Access::LoadRow(..)
            | Access::AppendOnce(..)
            | Access::PutState(..)
            | Access::PutInstall(..)
            | Access::Reseal(..)
            | Access::Read(_)
            | Access::Write(_) => Passage::Forward,
        }
    }
}
