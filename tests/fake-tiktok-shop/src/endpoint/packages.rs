//! Answers the call Ship Package (official page `ship-package-202309`). Clients must not repeat this call blindly, so
//! the fake remembers the shipped packages and refuses to ship a package again. This refusal has the error code that a
//! published client expects.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::orders::ORDERS;
use super::{Answers, Caller, Endpoint, id, json_body, scope};
use crate::envelope::{Answer, Failure};
use crate::marketplace::Marketplace;
use crate::seller::Shop;
use crate::vendor_request::VendorRequest;

pub(super) const SHIP: Endpoint = Endpoint {
    method: Method::POST,
    path: "/fulfillment/202309/packages/{package_id}/ship",
    scope: scope::FULFILLMENT,
    answers: Answers::Shop(ship),
};

/// The ids of the packages that were shipped.
#[derive(Default)]
pub(crate) struct Shipments(BTreeSet<String>);

impl Shipments {
    pub(crate) fn contains(&self, package: &str) -> bool {
        self.0.contains(package)
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

/// Returns the id of the package that belongs to the shop's order with this number.
pub(super) fn package_id(shop: &Shop, number: u16) -> String {
    id(115, shop, number)
}

fn ship(marketplace: &mut Marketplace, _: &Caller, shop: &Shop, request: &VendorRequest) -> Answer {
    json_body(request)?;
    let package = request.path.split('/').nth(4).unwrap_or_default();
    if !(1..=ORDERS).any(|number| package_id(shop, number) == package) {
        return Err(Failure::bad_request("Invalid package_id: the shop has no such package"));
    }
    if marketplace.shipments.0.insert(package.to_owned()) {
        Ok(json!({}))
    } else {
        Err(Failure::new(StatusCode::OK, 21_011_006, "The package is already shipped"))
    }
}
