//! Get Authorized Shops: official page `get-authorized-shops` (as of December 2025).

use axum::http::Method;
use serde_json::{Value, json};

use crate::api_host::{Caller, Endpoint};
use crate::envelope::{Answer, Failure};
use crate::vendor_request::VendorRequest;

pub(crate) const LIST_SHOPS_SCOPE: &str = "seller.authorization.info";

pub(crate) const LIST_SHOPS: Endpoint =
    Endpoint { method: Method::GET, path: "/authorization/202309/shops", scope: LIST_SHOPS_SCOPE, answer: list_shops };

fn list_shops(caller: &Caller<'_>, request: &VendorRequest) -> Answer {
    if request.query.first("shop_cipher").is_some() {
        return Err(Failure::bad_request("Unexpected identifier: shop_cipher is not supported by this API"));
    }
    let rows = caller.seller.shops.iter().map(|shop| {
        let cipher = shop.cipher.as_deref().map(|first| caller.authorization.cipher(first));
        shop.row(cipher)
    });
    Ok(json!({ "shops": rows.collect::<Vec<Value>>() }))
}
