//! Answers the call Get Order List (official page `get-order-list-202309`). An order in the answer has only some of the
//! documented members, and only the filter `order_status` works.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answers, Caller, Endpoint, filter, id, packages, page, scope};
use crate::envelope::Answer;
use crate::marketplace::Marketplace;
use crate::seller::Shop;
use crate::vendor_request::VendorRequest;

pub(super) const SEARCH: Endpoint = Endpoint {
    method: Method::POST,
    path: "/order/202309/orders/search",
    scope: scope::ORDERS,
    answers: Answers::Shop(search),
};

/// The number of orders that every shop has. So many orders do not fit on one page. Each order has one package.
pub(super) const ORDERS: u16 = 120;

fn search(marketplace: &mut Marketplace, _: &Caller, shop: &Shop, request: &VendorRequest) -> Answer {
    let filter = filter(request)?;
    let wanted = filter.get("order_status");
    let found = (1..=ORDERS).filter(|number| wanted.is_none_or(|wanted| *wanted == status(marketplace, shop, *number)));
    page(request, "orders", &found.collect::<Vec<_>>(), |number| order(marketplace, shop, number))
}

fn status(marketplace: &Marketplace, shop: &Shop, number: u16) -> &'static str {
    let shipped = marketplace.shipments.contains(&packages::package_id(shop, number));
    if shipped { "AWAITING_COLLECTION" } else { "AWAITING_SHIPMENT" }
}

/// Returns an order as the answer shows it. An order has about 1 kB, so a page of 100 orders has about 100 kB.
fn order(marketplace: &Marketplace, shop: &Shop, number: u16) -> Value {
    let package = packages::package_id(shop, number);
    let line_items = [1, 2, 3].map(|line| {
        json!({
            "id": id(577, shop, number * 10 + line),
            "product_id": id(172, shop, number % 40 + 1),
            "product_name": "Teapot, hand-painted, 1.2 litres",
            "sku_name": "Blue, with strainer",
            "sale_price": "24.90",
            "currency": "GBP",
            "package_id": package,
        })
    });
    json!({
        "id": id(576, shop, number),
        "status": status(marketplace, shop, number),
        "create_time": 1_767_139_200 + u64::from(number),
        "line_items": line_items,
        "packages": [{ "id": package }],
        "payment": { "currency": "GBP", "total_amount": "74.70" },
        "recipient_address": { "name": "J*** D**", "region_code": shop.region, "postal_code": "A1*** ***" },
    })
}
