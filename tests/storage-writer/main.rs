//! Writes into a database without end, for tests that kill it: it says of each write what it is about to do, and once
//! the storage has answered, that it is done.
//!
//! Lines on standard output: `try` or `done`, `token` or `row`, the customer's number, and the revision, `-` for a deletion.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::{EventKind, NewEvent};
use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{KeyFile, Keyring};
use tiktok_shop_host::storage::{HostStorage, Next, Swapped, TokenWrite};
use tiktok_shop_host::{Revision, TenantId};
use tiktok_shop_sql_storage::{PostgresOptions, SqlStorage};
use tiktok_shop_tests::crash::{CUSTOMERS, customer, row, tenant};

#[derive(Parser)]
struct Arguments {
    /// An SQLite file, or the address of a PostgreSQL database
    database: String,
    /// The file with the host's keys
    keys: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { database, keys } = Arguments::parse();
    let storage: Arc<dyn HostStorage> = match database.strip_prefix("postgres:") {
        Some(_) => Arc::new(SqlStorage::postgres(&database, PostgresOptions::default()).await?),
        None => Arc::new(SqlStorage::sqlite(&database).await?),
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

/// Owns one connection: nobody else writes it.
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

    /// Deletes one in eight.
    async fn swap_token(&self, expected: Option<Revision>) -> Result<Option<Revision>> {
        let revision = draw()?.filter(|_| expected.is_some()).map_or_else(fresh, |_| Ok(None))?;
        let next = match &revision {
            Some(revision) => {
                let text = revision.as_str().as_bytes();
                let value = self.keyring.seal_token(&self.tenant, &self.key, revision, text).await?;
                let write = TokenWrite { value, refresh_due_at: Some(UnixSeconds(7)) };
                Some(Next { revision: revision.clone(), value: write })
            }
            None => None,
        };
        self.say("try token", revision.as_ref())?;
        let swapped = self.storage.swap_token(&self.tenant, &self.key, expected.as_ref(), next.as_ref()).await?;
        ensure!(swapped == Swapped::Done, "somebody else has written");
        self.say("done token", revision.as_ref())?;
        Ok(revision)
    }

    /// Deletes one in eight. One event says that it is there now, another that it is not.
    async fn swap_row(&self, expected: Option<Revision>) -> Result<Option<Revision>> {
        let revision = draw()?.filter(|_| expected.is_some()).map_or_else(fresh, |_| Ok(None))?;
        let next = match &revision {
            Some(revision) => {
                let value = self.keyring.seal_row(&self.tenant, revision, row(&self.key, revision)).await?;
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
        let event = kind.map(|kind| NewEvent { at: UnixSeconds(7), key: self.key.clone(), kind });
        self.say("try row", revision.as_ref())?;
        let storage = &self.storage;
        let swapped =
            storage.swap_row(&self.tenant, &self.key, expected.as_ref(), next.as_ref(), event.as_slice()).await?;
        ensure!(swapped == Swapped::Done, "somebody else has written");
        self.say("done row", revision.as_ref())?;
        Ok(revision)
    }

    fn say(&self, what: &str, revision: Option<&Revision>) -> Result<()> {
        let line = format!("{what} {} {}\n", self.number, revision.map_or("-", Revision::as_str));
        // One line, one write: a kill leaves no half of it.
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).context("nobody listens")
    }
}

/// `Some` once in eight times.
fn draw() -> Result<Option<()>> {
    let mut byte = [0];
    SystemRandomness.fill(&mut byte)?;
    Ok((byte[0] < 32).then_some(()))
}

fn fresh() -> Result<Option<Revision>> {
    let mut bits = [0; 16];
    SystemRandomness.fill(&mut bits)?;
    Ok(Some(format!("{:032x}", u128::from_be_bytes(bits)).parse()?))
}
