//! The page that documents the control interface. Its text comes from the OpenAPI document.

use maud::{Markup, html};

use crate::control_http::openapi::{self, Operation};
use crate::marketplace::Marketplace;
use crate::page::{CALLBACK_PATH, code};

/// The beginning of every path of the control interface.
const ROOT: &str = "/_control";

pub(super) fn content(marketplace: &mut Marketplace) -> Markup {
    html! {
        p {
            "Programs read and change the fake with JSON. All paths begin with " (code(ROOT)) ". The OpenAPI document \
             is at " a href="/_control/openapi.json" { (code("/_control/openapi.json")) } ". Open a line to see a \
             command that you can copy."
        }
        @for group in openapi::groups() {
            h2 { (group.tag) }
            @for operation in &group.operations {
                details {
                    summary {
                        (code(&operation.method)) " " (code(below_root(&operation.path))) " "
                        span { (operation.summary) }
                    }
                    @if let Some(description) = &operation.description { p { (description) } }
                    pre { code { (command(marketplace, operation)) } }
                }
            }
        }
    }
}

/// Returns a path without [`ROOT`], so that the longest path fits into a line on a phone.
fn below_root(path: &str) -> &str {
    match path.strip_prefix(ROOT) {
        Some("") => "/",
        Some(rest) => rest,
        None => path,
    }
}

/// Returns a command for a shell that carries the operation out on this fake. The first seller and its first shop stand
/// for `{seller}` and `{shop}`.
fn command(marketplace: &Marketplace, operation: &Operation) -> String {
    let seller = marketplace.sellers.first();
    let shop = seller.and_then(|seller| seller.shops.first());
    let base = marketplace.callback_page.strip_suffix(CALLBACK_PATH).unwrap_or_default();
    let path = operation
        .path
        .replace("{seller}", seller.map_or("SELLER", |seller| seller.id.as_str()))
        .replace("{shop}", shop.map_or("SHOP", |shop| shop.id.as_str()))
        .replace("{number}", "1");
    let (method, header) = match operation.method.as_str() {
        "GET" => (String::new(), ""),
        "PATCH" | "POST" | "PUT" => (format!(" -X {}", operation.method), " -H 'content-type: application/json'"),
        other => (format!(" -X {other}"), ""),
    };
    let body = match &operation.body {
        Some(body) => format!(" \\\n  -d '{}' \\\n  ", body.replace('\'', r"'\''")),
        None => " ".to_owned(),
    };
    format!("curl{method}{header}{body}{base}{path}")
}
