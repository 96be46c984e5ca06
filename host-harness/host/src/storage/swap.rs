//! A compare-and-swap of a record: what it writes, and how it ends.

use crate::id::Revision;

/// The new content and the new revision of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next<T> {
    /// The new revision, issued by the host.
    pub revision: Revision,
    /// The new content.
    pub value: T,
}

/// The outcome of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped<E> {
    /// The record was written or deleted, or there was none to delete.
    Done,
    /// Nothing was written, because the stored record is not the expected one. Contains the stored record, or `None` if
    /// no record exists.
    Stale(Option<E>),
}
