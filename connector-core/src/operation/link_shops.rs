//! `link-shops`: links the shops that the customer has chosen, and unlinks the other shops of the account. It uses no
//! network.

use super::{rows, tokens};
use crate::connection::{Connection, Outcome, RowUpdate, ShopStanding, ShopUpdate, places_of};
use crate::error::{Cause, Error};
use crate::identity::{AccountId, CustomerId};
use crate::ports::Effects;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use maybe_async::maybe_async;

/// Links these shops of the account and unlinks all its other shops.
///
/// # Errors
/// - Invalid request: `not-connected`, `account-required`, `unknown-shop`; nothing was written.
/// - Reauthorize: `shop-no-longer-granted` if TikTok no longer grants one of `shops` and this shop is not linked yet;
///   nothing was written. A shop that is already linked may stay linked, even if TikTok no longer grants it.
/// - Storage failed, storage conflict.
#[maybe_async]
pub async fn link_shops(
    effects: &impl Effects,
    customer: CustomerId,
    account: Option<AccountId>,
    shops: Vec<String>,
) -> Result<Connection, Error> {
    let key = tokens::resolve(effects, customer, account).await?;
    let not_connected = || Error::new(Cause::NotConnected);
    let lineage = tokens::load_or_confirm_absence(effects, &key).await?.ok_or_else(not_connected)?.record.lineage();
    // As long as the record has this lineage, its row never loses a shop. If the record is deleted or replaced, nothing
    // is written. So a shop that is known here is still known when the row is written.
    let row = rows::read(effects, &key, lineage).await?;
    let known = row.as_ref().map(|row| row.connection.shops.as_slice()).unwrap_or_default();
    let places = places_of(known);
    for id in &shops {
        let shop = places.get(id).and_then(|place| known.get(*place)).ok_or_else(|| Error::new(Cause::UnknownShop))?;
        if shop.standing == ShopStanding::NoLongerGranted && !shop.linked {
            return Err(Error::new(Cause::ShopNoLongerGranted).with_note(&format!("shop {id}")));
        }
    }
    let update = RowUpdate::shops(effects.wall(), ShopUpdate::Linked(shops), Outcome::Unchanged);
    rows::write(effects, &key, lineage, &update).await?.ok_or_else(not_connected)
}
