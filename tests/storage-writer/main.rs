//! Writes to a database until a test kills this program. The program prints a line before each write, and another line
//! after the storage has answered.
//!
//! A line has four words: `try` or `done`; `token` or `row`; the customer's number; and the new revision, or `-` for a
//! deletion.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::{EventKind, NewEvent, Origin};
use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{KeyFile, Keyring};
use tiktok_shop_host::storage::{HostStorage, Next, Swapped, TokenWrite};
use tiktok_shop_host::{Revision, TenantId};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
use tiktok_shop_tests::crash::{CUSTOMERS, customer, row, tenant};

#[derive(Parser)]
struct Arguments {
    /// The path of an SQLite file, or the address of a PostgreSQL database
    database: String,
    /// The path of the file with the host's keys
    keys: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { database, keys } = Arguments::parse();
    let storage: Arc<dyn HostStorage> = match database.strip_prefix("postgres:") {
        Some(_) => Arc::new(SqlStorage::postgres(&database, OpenMode::Create, PostgresOptions::default()).await?),
        None => Arc::new(SqlStorage::sqlite(&database, OpenMode::Create).await?),
    };
    let keys = Arc::new(KeyFile::open_or_create(keys)?);
    let keyring = Arc::new(Keyring::new(Arc::clone(&storage), keys, Arc::new(SystemRandomness)));
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..CUSTOMERS {
        let writer = Writer {
            storage: Arc::clone(&storage),
            keyring: Arc::clone(&keyring),
            tenant: tenant(),
            key: customer(number),
            number,
        };
        writers.spawn(writer.write());
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Writes the token record and the row of one connection. There is no other writer of this connection.
struct Writer {
    storage: Arc<dyn HostStorage>,
    keyring: Arc<Keyring>,
    tenant: TenantId,
    key: ConnectionKey,
    number: usize,
}

impl Writer {
    async fn write(self) -> Result<()> {
        let token = self.storage.load_token(&self.tenant, &self.key).await?;
        let mut token = token.map(|entry| entry.revision);
        let entry = self.storage.load_row(&self.tenant, &self.key).await?;
        let mut row = entry.map(|entry| entry.revision);
        loop {
            token = self.swap_token(token).await?;
            row = self.swap_row(row).await?;
        }
    }

    /// Writes a new token record. If a record is stored, deletes it instead with a probability of one in eight.
    /// `expected` is the stored revision. Returns the revision that is stored after this call, or `None` after a
    /// deletion.
    async fn swap_token(&self, expected: Option<Revision>) -> Result<Option<Revision>> {
        let revision = draw_deletion()?.filter(|_| expected.is_some()).map_or_else(new_revision, |_| Ok(None))?;
        let next = match &revision {
            Some(revision) => {
                let text = revision.as_str().as_bytes();
                let value = self.keyring.seal_token(&self.tenant, &self.key, revision, text).await?;
                let write = TokenWrite { value, refresh_due_at: Some(UnixSeconds(7)) };
                Some(Next { revision: revision.clone(), value: write })
            }
            None => None,
        };
        self.print_line("try token", revision.as_ref())?;
        let swapped = self.storage.swap_token(&self.tenant, &self.key, expected.as_ref(), next.as_ref()).await?;
        ensure!(swapped == Swapped::Done, "another writer has written this record");
        self.print_line("done token", revision.as_ref())?;
        Ok(revision)
    }

    /// Writes a new row. If a row is stored, deletes it instead with a probability of one in eight. If no row was
    /// stored, also writes an event `Connected`. If the row is deleted, also writes an event `Disconnected`. If the new
    /// row replaces another row, writes no event. `expected` and the result are as in `swap_token`.
    async fn swap_row(&self, expected: Option<Revision>) -> Result<Option<Revision>> {
        let revision = draw_deletion()?.filter(|_| expected.is_some()).map_or_else(new_revision, |_| Ok(None))?;
        let next = match &revision {
            Some(revision) => {
                let value = self.keyring.seal_row(&self.tenant, revision, &row(&self.key, revision)).await?;
                Some(Next { revision: revision.clone(), value })
            }
            None => None,
        };
        let kind = match (&expected, &revision) {
            (None, Some(_)) => Some(EventKind::Connected),
            (Some(_), None) => Some(EventKind::Disconnected),
            (Some(_), Some(_)) => None,
            (None, None) => bail!("nothing to delete"),
        };
        let (key, origin) = (Some(self.key.clone()), Origin::default());
        let event = kind.map(|kind| NewEvent { at: UnixSeconds(7), key, kind, origin });
        self.print_line("try row", revision.as_ref())?;
        let storage = &self.storage;
        let swapped =
            storage.swap_row(&self.tenant, &self.key, expected.as_ref(), next.as_ref(), event.as_slice()).await?;
        ensure!(swapped == Swapped::Done, "another writer has written this record");
        self.print_line("done row", revision.as_ref())?;
        Ok(revision)
    }

    fn print_line(&self, words: &str, revision: Option<&Revision>) -> Result<()> {
        let line = format!("{words} {} {}\n", self.number, revision.map_or("-", Revision::as_str));
        // The whole line is one write, so that a kill cannot leave half a line.
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).context("standard output is closed")
    }
}

/// Decides at random whether to delete. Returns `Some`, which means a deletion, with a probability of one in eight.
fn draw_deletion() -> Result<Option<()>> {
    let mut byte = [0];
    SystemRandomness.fill(&mut byte)?;
    Ok((byte[0] < 32).then_some(()))
}

/// Draws a new revision.
fn new_revision() -> Result<Option<Revision>> {
    let mut bits = [0; 16];
    SystemRandomness.fill(&mut bits)?;
    Ok(Some(format!("{:032x}", u128::from_be_bytes(bits)).parse()?))
}
