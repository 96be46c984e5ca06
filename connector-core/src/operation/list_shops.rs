//! `list-shops`: lists every shop of all accounts that a customer may use now. It reads from storage only: it uses no
//! network and reads no token.

use super::list_connections::list_connections;
use crate::connection::{Shop, ShopUse};
use crate::error::Error;
use crate::identity::{AccountId, CustomerId};
use crate::ports::Effects;
use alloc::vec::Vec;
use maybe_async::maybe_async;

/// Lists every shop that the customer may use (see [`ShopUse`]), with the account that the shop belongs to.
///
/// # Errors
/// The errors of [`list_connections`].
#[maybe_async]
pub async fn list_shops(effects: &impl Effects, customer: CustomerId) -> Result<Vec<(AccountId, Shop)>, Error> {
    let connections = list_connections(effects, customer).await?;
    let shops = connections.into_iter().flat_map(|connection| {
        let dead = connection.dead();
        let account = connection.key.account;
        let allowed = move |shop: &Shop| ShopUse { dead, standing: shop.standing, linked: shop.linked }.is_allowed();
        connection.shops.into_iter().filter(allowed).map(move |shop| (account.clone(), shop))
    });
    Ok(shops.collect())
}
