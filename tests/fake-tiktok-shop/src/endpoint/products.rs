//! Answers the calls Search Products and Upload Product Image (official pages `search-products-202309`,
//! `search-products-202312`, `search-products-202502` and `upload-product-image-202309`). In this fake, the three
//! versions of the search give the same answers. A product in an answer has only some of the documented members, and
//! only the filters `status` and `seller_skus` work.

use axum::http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Answers, Caller, Endpoint, filter, id, malformed, page, scope};
use crate::envelope::{Answer, Failure};
use crate::marketplace::Marketplace;
use crate::multipart;
use crate::seller::Shop;
use crate::signature::hex;
use crate::vendor_request::VendorRequest;

pub(super) const SEARCH_202309: Endpoint = search_at("/product/202309/products/search");
pub(super) const SEARCH_202312: Endpoint = search_at("/product/202312/products/search");
pub(super) const SEARCH_202502: Endpoint = search_at("/product/202502/products/search");

const fn search_at(path: &'static str) -> Endpoint {
    Endpoint { method: Method::POST, path, scope: scope::PRODUCTS, answers: Answers::Shop(search) }
}

/// The call Upload Product Image. An image belongs to no shop yet, so the call has no `shop_cipher`.
pub(super) const UPLOAD_IMAGE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/product/202309/images/upload",
    scope: scope::PRODUCTS_WRITE,
    answers: Answers::Seller(upload_image),
};

/// The number of products that every shop has.
const PRODUCTS: u16 = 40;

fn search(_: &mut Marketplace, _: &Caller, shop: &Shop, request: &VendorRequest) -> Answer {
    let filter = filter(request)?;
    let status = filter.get("status").filter(|status| *status != "ALL");
    let skus = filter.get("seller_skus").and_then(Value::as_array);
    let found = (1..=PRODUCTS).filter(|number| {
        let sku = seller_sku(*number);
        skus.is_none_or(|skus| skus.iter().any(|wanted| *wanted == sku))
            && status.is_none_or(|wanted| *wanted == product_status(*number))
    });
    page(request, "products", &found.collect::<Vec<_>>(), |number| {
        json!({
            "id": id(172, shop, number),
            "title": format!("Teapot no. {number} 🫖"),
            "status": product_status(number),
            "skus": [{ "id": id(173, shop, number), "seller_sku": seller_sku(number) }],
        })
    })
}

fn seller_sku(number: u16) -> String {
    format!("MŨ-Đỏ-{number}")
}

fn product_status(number: u16) -> &'static str {
    if number.is_multiple_of(4) { "DRAFT" } else { "ACTIVATE" }
}

/// Answers an upload. The fake adds the members `size` and `sha256` to the documented answer, so that a test can check
/// that the bytes arrived unchanged.
fn upload_image(_: &Caller, request: &VendorRequest) -> Answer {
    let boundary = request.header("content-type").and_then(multipart::boundary);
    let boundary = boundary.ok_or_else(|| malformed("the content type is not multipart/form-data with a boundary"))?;
    let fields = multipart::parse(&request.body, &boundary).ok_or_else(|| malformed("it is not multipart"))?;
    let field = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.content);
    let image = field("data").ok_or_else(|| Failure::bad_request("Invalid body: the part data is required"))?;
    let digest = hex(&Sha256::digest(image));
    Ok(json!({
        "uri": format!("tos-fixture/{digest}"),
        "use_case": field("use_case").map(String::from_utf8_lossy),
        "size": image.len(),
        "sha256": digest,
    }))
}
