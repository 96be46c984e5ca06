//! `list-connections`: every connection of a customer with all its shops, from storage. No network, no token
//! opened.

use super::storage_error;
use crate::connection::Connection;
use crate::error::Error;
use crate::identity::CustomerId;
use crate::ports::Effects;
use alloc::vec::Vec;

/// Rows whose token record is gone are left out: what has no token record is not connected.
///
/// # Errors
/// Storage failed (`storage-unavailable`, `storage-refused`).
pub async fn list_connections(effects: &impl Effects, customer: CustomerId) -> Result<Vec<Connection>, Error> {
    let rows = effects.list_rows(&customer).await.map_err(storage_error)?;
    let accounts = effects.accounts(&customer).await.map_err(storage_error)?;
    let now = effects.now().wall;
    let connections = rows.into_iter().map(|row| row.connection.at(now));
    Ok(connections.filter(|connection| accounts.contains(&connection.key.account)).collect())
}
