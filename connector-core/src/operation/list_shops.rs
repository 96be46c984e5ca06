//! `list-shops`: lists every shop of all accounts that a customer may use now. It reads from storage only: it uses no
//! network and reads no token.

use super::list_connections::list_connections;
use crate::connection::{Shop, ShopUse};
use crate::error::Error;
use crate::identity::{AccountId, CustomerId};
use crate::ports::Effects;
use alloc::string::String;
use alloc::vec::Vec;
use maybe_async::maybe_async;

/// A shop that the customer may use.
pub struct UsableShop {
    /// The account whose connection the shop belongs to.
    pub account: AccountId,
    /// The app of this connection, if its row names the app.
    pub app: Option<String>,
    /// The shop.
    pub shop: Shop,
}

/// Lists every shop that the customer may use (see [`ShopUse`]).
///
/// # Errors
/// The errors of [`list_connections`].
#[maybe_async]
pub async fn list_shops(effects: &impl Effects, customer: CustomerId) -> Result<Vec<UsableShop>, Error> {
    let connections = list_connections(effects, customer).await?;
    let shops = connections.into_iter().flat_map(|connection| {
        let dead = connection.dead();
        let (account, app) = (connection.key.account, connection.app);
        let allowed = move |shop: &Shop| ShopUse { dead, standing: shop.standing, linked: shop.linked }.is_allowed();
        connection.shops.into_iter().filter(allowed).map(move |shop| UsableShop {
            account: account.clone(),
            app: app.clone(),
            shop,
        })
    });
    Ok(shops.collect())
}
