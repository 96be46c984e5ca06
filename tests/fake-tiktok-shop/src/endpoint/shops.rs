//! Answers the calls Get Authorized Shops, Get Active Shops and Deauthorize Shop.
//!
//! Source: the official pages `get-authorized-shops` (as of December 2025) and `get-active-shops-202309`, and the
//! endpoint descriptions of the official command-line tool.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answers, Caller, Endpoint, scope};
use crate::api_host::{presented_cipher, refused_cipher};
use crate::envelope::Answer;
use crate::grants::GrantKey;
use crate::marketplace::Marketplace;
use crate::switches::{DeauthorizeAgain, DeauthorizeShop};
use crate::vendor_request::VendorRequest;

pub(super) const LIST_SHOPS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/authorization/202309/shops",
    scope: scope::AUTHORIZED_SHOPS,
    answers: Answers::Seller(list_shops),
};

pub(super) const LIST_ACTIVE_SHOPS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/seller/202309/shops",
    scope: scope::SHOP,
    answers: Answers::Seller(list_active_shops),
};

/// The call Deauthorize Shop. The documentation does not say which scope this call needs. The fake requires a scope
/// that every app of the fixtures has.
pub(super) const DEAUTHORIZE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/authorization/202403/shops",
    scope: scope::AUTHORIZED_SHOPS,
    answers: Answers::Cipher(deauthorize),
};

fn list_shops(caller: &Caller, _: &VendorRequest) -> Answer {
    let granted = caller.seller.shops.iter().filter(|shop| caller.authorization.covers(shop));
    let rows = granted.map(|shop| {
        let cipher = shop.cipher.as_deref().map(|first| caller.authorization.cipher(first));
        shop.row(cipher)
    });
    Ok(json!({ "shops": rows.collect::<Vec<Value>>() }))
}

fn list_active_shops(caller: &Caller, _: &VendorRequest) -> Answer {
    let rows = caller.seller.shops.iter().map(|shop| json!({ "id": shop.id, "region": shop.region }));
    Ok(json!({ "shops": rows.collect::<Vec<Value>>() }))
}

/// Removes a shop from the grant. The documentation does not say what happens to the grant's other shops, whether a
/// webhook follows, or how a second call for the same shop is answered. Switches decide these three questions.
fn deauthorize(marketplace: &mut Marketplace, caller: &Caller, request: &VendorRequest) -> Answer {
    let switches = marketplace.switches;
    let shop = caller.named_shop(presented_cipher(request, &switches)?).ok_or_else(|| refused_cipher(&switches))?;
    let key = GrantKey { service_id: caller.service_id.clone(), seller: caller.seller.id.clone() };
    let notice = switches.deauthorize_notice;
    let deauthorized = match switches.deauthorize_shop {
        DeauthorizeShop::Shop => marketplace.deauthorize_shop(&key, &shop.id, notice).is_ok(),
        DeauthorizeShop::Grant => caller.authorization.covers(shop) && marketplace.deauthorize(&key, notice).is_ok(),
    };
    match switches.deauthorize_again {
        DeauthorizeAgain::WrongCipher if !deauthorized => Err(refused_cipher(&switches)),
        DeauthorizeAgain::WrongCipher | DeauthorizeAgain::Success => Ok(json!({})),
    }
}
