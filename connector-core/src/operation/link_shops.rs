//! `link-shops`: the customer chooses which shops of an account to use. No network.

use super::{rows, tokens};
use crate::connection::{Connection, News, Outcome, ShopNews};
use crate::error::{Cause, Error};
use crate::identity::{AccountId, CustomerId};
use crate::ports::Effects;
use alloc::string::String;
use alloc::vec::Vec;

/// Links these shops and unlinks all others.
///
/// # Errors
/// - Invalid request: `not-connected`, `account-required`, `unknown-shop`; nothing was written.
/// - Storage failed or lost every race.
pub async fn link_shops(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
    shops: Vec<String>,
) -> Result<Connection, Error> {
    let key = tokens::resolve(effects, customer, account).await?;
    let not_connected = || Error::new(Cause::NotConnected);
    let lineage = tokens::load_surely(effects, &key).await?.ok_or_else(not_connected)?.record.lineage;
    // Within a lineage a row only ever gains shops: what is known here is known when the row is written.
    let row = rows::read(effects, &key, lineage).await?;
    let known = row.as_ref().map(|row| row.connection.shops.as_slice()).unwrap_or_default();
    if shops.iter().any(|id| !known.iter().any(|shop| shop.listed.id == *id)) {
        return Err(Error::new(Cause::UnknownShop));
    }
    let news = News::shops(effects.now().wall, ShopNews::Linked(shops), Outcome::Unchanged);
    rows::write(effects, &key, lineage, &news).await?.ok_or_else(not_connected)
}
