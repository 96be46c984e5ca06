//! `list-shops`: lists every linked shop of a customer over all accounts, from storage. It uses no network and reads no
//! token.

use super::list_connections::list_connections;
use crate::connection::Shop;
use crate::error::Error;
use crate::identity::{AccountId, CustomerId};
use crate::ports::Effects;
use alloc::vec::Vec;

/// Lists each linked shop with the account that it belongs to.
///
/// # Errors
/// The errors of [`list_connections`].
pub async fn list_shops(effects: &impl Effects, customer: CustomerId) -> Result<Vec<(AccountId, Shop)>, Error> {
    let connections = list_connections(effects, customer).await?;
    let shops = connections.into_iter().flat_map(|connection| {
        let account = connection.key.account;
        connection.shops.into_iter().map(move |shop| (account.clone(), shop))
    });
    Ok(shops.filter(|(_, shop)| shop.linked).collect())
}
