//! The page that documents the control interface. Its text comes from the OpenAPI document.

use maud::{Markup, html};

use crate::control_http::openapi;
use crate::marketplace::Marketplace;
use crate::page::code;

pub(super) fn content(_: &mut Marketplace) -> Markup {
    let example = "curl -X PATCH -H 'content-type: application/json' \\\n  \
                   -d '{\"refusal_error\": \"access_denied\"}' \\\n  http://127.0.0.1:4010/_control/switches";
    html! {
        p {
            "Programs read and change the fake with JSON. A POST, PUT or PATCH request needs the header "
            (code("content-type: application/json")) ". The OpenAPI document is at "
            a href="/_control/openapi.json" { (code("/_control/openapi.json")) } "."
        }
        pre { code { (example) } }
        @for group in openapi::groups() {
            h2 { (group.tag) }
            @for operation in &group.operations {
                details {
                    summary {
                        (code(format!("{} {}", operation.method, operation.path))) " " span { (operation.summary) }
                    }
                    @if let Some(description) = &operation.description { p { (description) } }
                    @if let Some(body) = &operation.body { p { "Body, for example:" } pre { code { (body) } } }
                    @if operation.body.is_none() && operation.description.is_none() { p.note { "No body." } }
                }
            }
        }
    }
}
