//! `list-connections`: lists every connection of a customer with all its shops. It reads from storage only: it uses no
//! network and reads no token.

use super::storage_error;
use crate::connection::Connection;
use crate::error::Error;
use crate::identity::CustomerId;
use crate::ports::Effects;
use alloc::vec::Vec;
use maybe_async::maybe_async;

/// Lists the connections of a customer. A row without a token record is left out, because its account is not connected.
/// A row that cannot be used is left out, too: a refresh of its connection tells the error.
///
/// # Errors
/// Storage failed: `storage-unavailable`, `storage-refused`.
#[maybe_async]
pub async fn list_connections(effects: &impl Effects, customer: CustomerId) -> Result<Vec<Connection>, Error> {
    let rows = effects.list_rows(&customer).await.map_err(storage_error)?;
    let accounts = effects.accounts(&customer).await.map_err(storage_error)?;
    let now = effects.wall();
    let connections = rows.into_iter().filter_map(|listed| listed.row.ok()).map(|row| row.connection.at(now));
    Ok(connections.filter(|connection| accounts.contains(&connection.key.account)).collect())
}
