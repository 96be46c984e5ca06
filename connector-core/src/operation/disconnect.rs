//! `disconnect`: the token record goes first, so that a refresh in flight finds nothing and discards its pair; then the
//! row.

use super::{rows, storage_error, tokens};
use crate::error::Error;
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::Effects;
use alloc::vec::Vec;

/// Ends one connection of a customer, or all of them, here. Twice is once; nothing of it is asked of TikTok.
///
/// # Errors
/// Storage failed or lost every race: what was not deleted is deleted by a repetition.
pub async fn disconnect(effects: &impl Effects, customer: CustomerId, account: Option<AccountId>) -> Result<(), Error> {
    let keys = match account {
        Some(account) => Vec::from([ConnectionKey { customer, account }]),
        None => keys_of(effects, &customer).await?,
    };
    for key in &keys {
        tokens::delete(effects, key).await?;
        rows::delete_orphan(effects, key).await?;
    }
    Ok(())
}

/// What has a record or a row.
async fn keys_of(effects: &impl Effects, customer: &CustomerId) -> Result<Vec<ConnectionKey>, Error> {
    let accounts = effects.accounts(customer).await.map_err(storage_error)?;
    let rows = effects.list_rows(customer).await.map_err(storage_error)?;
    let mut keys: Vec<_> =
        accounts.into_iter().map(|account| ConnectionKey { customer: customer.clone(), account }).collect();
    for row in rows {
        if !keys.contains(&row.connection.key) {
            keys.push(row.connection.key);
        }
    }
    Ok(keys)
}
