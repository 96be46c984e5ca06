//! The calls of the API, one file per subject.

mod orders;
mod packages;
mod products;
mod shops;
mod webhooks;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::envelope::{Answer, Failure};
use crate::grants::Authorization;
use crate::marketplace::Marketplace;
use crate::seller::{Seller, Shop};
use crate::vendor_request::VendorRequest;

pub(crate) use packages::Shipments;
pub(crate) use webhooks::Webhooks;

/// What the apps of the fixtures ask for, together all that the calls need.
pub(crate) mod scope {
    pub(crate) const AUTHORIZED_SHOPS: &str = "seller.authorization.info";
    pub(crate) const FULFILLMENT: &str = "seller.fulfillment.basic";
    pub(crate) const ORDERS: &str = "seller.order.info";
    pub(crate) const PRODUCTS: &str = "seller.product.basic";
    pub(crate) const PRODUCTS_WRITE: &str = "seller.product.write";
    pub(crate) const SHOP: &str = "seller.shop.info";
}

/// A call of the API. All calls so far are a seller's.
pub(crate) struct Endpoint {
    method: Method,
    /// A segment `{…}` stands for any one segment.
    path: &'static str,
    /// The scope that the app and the grant must both have.
    pub scope: &'static str,
    pub answers: Answers,
}

/// For whom a call answers. The tag of an endpoint says it: official page `api-entity-tags` (as of December 2025).
#[derive(Clone, Copy)]
pub(crate) enum Answers {
    /// Tag *Seller*, and calls without a tag: `shop_cipher` must not be there.
    Seller(fn(&Caller, &VendorRequest) -> Answer),
    /// Tag *Shop*: `shop_cipher` must name a shop of the caller.
    Shop(fn(&mut Marketplace, &Caller, &Shop, &VendorRequest) -> Answer),
    /// As for a shop, but the call itself looks after `shop_cipher`, whose shop may be gone.
    Cipher(fn(&mut Marketplace, &Caller, &VendorRequest) -> Answer),
}

/// Who makes a call.
pub(crate) struct Caller {
    pub service_id: String,
    pub seller: Seller,
    pub authorization: Authorization,
}

impl Caller {
    /// The shop of the seller with this cipher, in the grant or removed from it.
    pub(crate) fn named_shop(&self, cipher: &str) -> Option<&Shop> {
        let named =
            |shop: &&Shop| shop.cipher.as_deref().is_some_and(|first| self.authorization.cipher(first) == cipher);
        self.seller.shops.iter().find(named)
    }
}

const ENDPOINTS: [Endpoint; 10] = [
    shops::LIST_SHOPS,
    shops::LIST_ACTIVE_SHOPS,
    shops::DEAUTHORIZE,
    orders::SEARCH,
    products::SEARCH,
    products::UPLOAD_IMAGE,
    packages::SHIP,
    webhooks::LIST,
    webhooks::SET,
    webhooks::DELETE,
];

impl Endpoint {
    pub(crate) fn of(request: &VendorRequest) -> Result<Self, Failure> {
        let mut known_path = false;
        for endpoint in ENDPOINTS {
            if endpoint.has_path(&request.path) {
                known_path = true;
                if endpoint.method == request.method {
                    return Ok(endpoint);
                }
            }
        }
        Err(if known_path {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, 36_009_010, "Invalid method")
        } else {
            Failure::new(StatusCode::NOT_FOUND, 36_009_009, "Invalid path")
        })
    }

    fn has_path(&self, path: &str) -> bool {
        self.path.split('/').count() == path.split('/').count()
            && self
                .path
                .split('/')
                .zip(path.split('/'))
                .all(|(pattern, segment)| pattern == segment || (pattern.starts_with('{') && !segment.is_empty()))
    }
}

/// The body as a JSON object; no body is an empty one.
///
/// Statuses are the fake's own: the official page `common-errors` (as of 2026) has only the codes.
fn json_body(request: &VendorRequest) -> Result<Map<String, Value>, Failure> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    if request.media_type().as_deref() != Some("application/json") {
        let message = "Invalid content type, application/json is expected";
        return Err(Failure::new(StatusCode::BAD_REQUEST, 36_009_023, message));
    }
    serde_json::from_slice(&request.body).map_err(|_| malformed("it is not a JSON object"))
}

/// 36009022: the body, or how it is labelled.
pub(crate) fn malformed(how: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, 36_009_022, format!("Invalid body format: {how}"))
}

/// A member of the body that must be text, with something in it.
fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, Failure> {
    let value = body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    value.ok_or_else(|| Failure::bad_request(format!("Invalid body: {name} is required")))
}

/// The part of `rows` that `page_size` (1 to 100) and `page_token` ask for, in the shape that searches answer in.
fn page(request: &VendorRequest, name: &str, rows: Vec<Value>) -> Answer {
    let size = request.query.first("page_size").and_then(|text| text.parse().ok());
    let size: usize = size
        .filter(|size| (1..=100).contains(size))
        .ok_or_else(|| Failure::bad_request("Invalid page_size: it is a number from 1 to 100"))?;
    let skipped: usize = match request.query.first("page_token") {
        None => 0,
        Some(token) => token.parse().map_err(|_| Failure::bad_request("Invalid page_token"))?,
    };
    let total = rows.len();
    let next = skipped.saturating_add(size);
    let next_page_token = if next < total { next.to_string() } else { String::new() };
    let mut data = Map::new();
    data.insert("next_page_token".to_owned(), next_page_token.into());
    data.insert("total_count".to_owned(), total.into());
    data.insert(name.to_owned(), rows.into_iter().skip(skipped).take(size).collect());
    Ok(Value::Object(data))
}

/// An id of 19 digits for the thing with this number in a shop; `kind`, of three digits, tells kinds of things apart.
fn id(kind: u16, shop: &Shop, number: u16) -> String {
    let shop = shop.id.get(shop.id.len().saturating_sub(12)..).unwrap_or_default();
    format!("{kind:03}{shop:0>12}{number:04}")
}
