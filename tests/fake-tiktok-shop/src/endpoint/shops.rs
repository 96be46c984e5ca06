//! Get Authorized Shops and Get Active Shops: official pages `get-authorized-shops` (as of December 2025) and
//! `get-active-shops-202309`.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answers, Caller, Endpoint, scope};
use crate::envelope::Answer;
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

fn list_shops(caller: &Caller, _: &VendorRequest) -> Answer {
    let rows = caller.seller.shops.iter().map(|shop| {
        let cipher = shop.cipher.as_deref().map(|first| caller.authorization.cipher(first));
        shop.row(cipher)
    });
    Ok(json!({ "shops": rows.collect::<Vec<Value>>() }))
}

fn list_active_shops(caller: &Caller, _: &VendorRequest) -> Answer {
    let rows = caller.seller.shops.iter().map(|shop| json!({ "id": shop.id, "region": shop.region }));
    Ok(json!({ "shops": rows.collect::<Vec<Value>>() }))
}
