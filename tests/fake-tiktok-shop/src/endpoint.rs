//! The calls of the API that the fake answers. The calls of one subject, for example orders, are in one file.

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

/// The scopes that the calls need. The apps of the fixtures ask for these scopes.
pub(crate) mod scope {
    pub(crate) const AUTHORIZED_SHOPS: &str = "seller.authorization.info";
    pub(crate) const FULFILLMENT: &str = "seller.fulfillment.basic";
    pub(crate) const ORDERS: &str = "seller.order.info";
    pub(crate) const PRODUCTS: &str = "seller.product.basic";
    pub(crate) const PRODUCTS_WRITE: &str = "seller.product.write";
    pub(crate) const SHOP: &str = "seller.shop.info";

    /// Every scope that the fake knows, with the text that tells a seller what the scope allows.
    pub(crate) const ALL: [(&str, &str); 6] = [
        (AUTHORIZED_SHOPS, "See which shops you have authorized"),
        (SHOP, "See your active shops"),
        (ORDERS, "See your orders"),
        (FULFILLMENT, "See and ship your packages"),
        (PRODUCTS, "See your products"),
        (PRODUCTS_WRITE, "Create and change your products"),
    ];
}

/// A call of the API. Every call that the fake answers needs a seller's access token.
pub(crate) struct Endpoint {
    method: Method,
    /// The path. A segment `{…}` matches any one segment that is not empty.
    path: &'static str,
    /// The scope that both the app and the grant must have.
    pub scope: &'static str,
    pub answers: Answers,
}

/// The kind of a call, and the function that answers it. A call is for a seller or for one shop.
///
/// The official page `api-entity-tags` (as of December 2025) gives most endpoints a tag: *Seller* or *Shop*.
#[derive(Clone, Copy)]
pub(crate) enum Answers {
    /// A call for the seller. It has the tag *Seller*, or no tag. The request must not have a `shop_cipher`.
    Seller(fn(&Caller, &VendorRequest) -> Answer),
    /// A call for one shop. It has the tag *Shop*. The request's `shop_cipher` must belong to a shop of the caller's
    /// grant.
    Shop(fn(&mut Marketplace, &Caller, &Shop, &VendorRequest) -> Answer),
    /// A call for one shop whose function itself checks the `shop_cipher`, because the shop may already be removed from
    /// the grant.
    Cipher(fn(&mut Marketplace, &Caller, &VendorRequest) -> Answer),
}

/// The app that makes a call, and the seller who has granted the call's access token.
pub(crate) struct Caller {
    pub service_id: String,
    pub seller: Seller,
    pub authorization: Authorization,
}

impl Caller {
    /// Returns the seller's shop with this cipher, even if the shop was removed from the grant.
    pub(crate) fn named_shop(&self, cipher: &str) -> Option<&Shop> {
        let named =
            |shop: &&Shop| shop.cipher.as_deref().is_some_and(|first| self.authorization.cipher(first) == cipher);
        self.seller.shops.iter().find(named)
    }
}

const ENDPOINTS: [Endpoint; 12] = [
    shops::LIST_SHOPS,
    shops::LIST_ACTIVE_SHOPS,
    shops::DEAUTHORIZE,
    orders::SEARCH,
    products::SEARCH_202309,
    products::SEARCH_202312,
    products::SEARCH_202502,
    products::UPLOAD_IMAGE,
    packages::SHIP,
    webhooks::LIST,
    webhooks::SET,
    webhooks::DELETE,
];

impl Endpoint {
    /// Returns the call to which a request belongs.
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

/// Parses the body as a JSON object. Returns an empty object if the request has no body.
///
/// The error codes for a malformed body are from the official page `common-errors` (as of 2026). That page gives no
/// HTTP statuses, so the fake chooses them.
fn json_body(request: &VendorRequest) -> Result<Map<String, Value>, Failure> {
    match json(request)? {
        None => Ok(Map::new()),
        Some(Value::Object(body)) => Ok(body),
        Some(_) => Err(malformed("it is not a JSON object")),
    }
}

/// Parses the body of a search as a filter. A filter is a JSON object. A missing body, `null` and `[]` count as an
/// empty filter. A member whose value is `null` is ignored.
///
/// Widely used SDKs in other languages send some of these forms in live use: one of them sends `[]` for an empty
/// filter, and another one sends `{"status":null}`.
fn filter(request: &VendorRequest) -> Result<Map<String, Value>, Failure> {
    match json(request)? {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
        Some(Value::Object(mut filter)) => {
            filter.retain(|_, value| !value.is_null());
            Ok(filter)
        }
        Some(_) => Err(malformed("it is not a JSON object")),
    }
}

/// Parses the body as JSON. Returns `None` if the request has no body.
fn json(request: &VendorRequest) -> Result<Option<Value>, Failure> {
    if request.body.is_empty() {
        return Ok(None);
    }
    if request.media_type().as_deref() != Some("application/json") {
        let message = "Invalid content type, application/json is expected";
        return Err(Failure::new(StatusCode::BAD_REQUEST, 36_009_023, message));
    }
    serde_json::from_slice(&request.body).map(Some).map_err(|_| malformed("it is not JSON"))
}

/// Returns the failure 36009022, for a malformed body or content type.
pub(crate) fn malformed(how: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, 36_009_022, format!("Invalid body format: {how}"))
}

/// Returns the text of a member of the body. Returns a failure if the member is missing, is not text or is empty.
fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, Failure> {
    let value = body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    value.ok_or_else(|| Failure::bad_request(format!("Invalid body: {name} is required")))
}

/// Returns one page of the items with these numbers, in the form of a search's answer. The request's `page_size` (1 to
/// 100) and `page_token` select the page. Only the page's items are made, because making all of them takes longer than
/// everything else in a search.
fn page(request: &VendorRequest, name: &str, numbers: &[u16], item: impl Fn(u16) -> Value) -> Answer {
    let size = request.query.first("page_size").and_then(|text| text.parse().ok());
    let size: usize = size
        .filter(|size| (1..=100).contains(size))
        .ok_or_else(|| Failure::bad_request("Invalid page_size: it must be a number from 1 to 100"))?;
    let skipped: usize = match request.query.first("page_token") {
        None => 0,
        Some(token) => token.parse().map_err(|_| Failure::bad_request("Invalid page_token"))?,
    };
    let total = numbers.len();
    let next = skipped.saturating_add(size);
    let next_page_token = if next < total { next.to_string() } else { String::new() };
    let mut data = Map::new();
    data.insert("next_page_token".to_owned(), next_page_token.into());
    data.insert("total_count".to_owned(), total.into());
    data.insert(name.to_owned(), numbers.iter().skip(skipped).take(size).map(|number| item(*number)).collect());
    Ok(Value::Object(data))
}

/// Returns an id of 19 digits for an item of a shop. `kind` has at most three digits. Each kind of item, for example an
/// order or a product, has its own number.
fn id(kind: u16, shop: &Shop, number: u16) -> String {
    let shop = shop.id.get(shop.id.len().saturating_sub(12)..).unwrap_or_default();
    format!("{kind:03}{shop:0>12}{number:04}")
}
