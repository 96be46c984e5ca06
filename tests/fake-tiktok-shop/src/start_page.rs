//! The start page of the fake. It shows people the state of the fake and the control interface.

use axum::extract::State;
use axum::response::{Html, IntoResponse};

use crate::app::App;
use crate::clock::Utc;
use crate::consent_page::Link;
use crate::control::Control;
use crate::control_http::OPERATIONS;
use crate::marketplace::Marketplace;
use crate::page::{HEADERS, code, document, escape, table};
use crate::query;
use crate::request_log::RequestRecord;
use crate::seller::{Seller, Shop};
use crate::switches::EXPLANATIONS;

/// The number of requests that the page shows. This many requests fit on one screen.
const SHOWN_REQUESTS: usize = 20;

pub(crate) async fn show(State(control): State<Control>) -> impl IntoResponse {
    let content = control.with(|marketplace| content(marketplace));
    (HEADERS, Html(document("Fake TikTok Shop", &content)))
}

/// Returns the consent link of an app, as a path on this fake.
pub(crate) fn consent_link(service_id: &str, state: &str) -> String {
    query::append(Link::ServiceId.path(), &query::encode([("service_id", service_id), ("state", state)]))
}

fn content(marketplace: &Marketplace) -> String {
    let now = marketplace.clock.now();
    let switches = marketplace.switches.to_json();
    let switch_rows = EXPLANATIONS.iter().map(|switch| {
        let value = switches.get(switch.name).map(ToString::to_string).unwrap_or_default();
        [code(switch.name), code(value), format!("{}<br>{}", escape(switch.question), code(switch.values))]
    });
    let operation_rows =
        OPERATIONS.iter().map(|operation| [code(operation.call), code(operation.body), escape(operation.does)]);
    format!(
        "<p>A TikTok Shop for tests and demos, on this machine only. It keeps state, checks signatures and lets you \
         decide as the seller. All data on this page is invented.</p>\n\
         <p>The time here is <strong>{time}</strong> ({now}).</p>\n\
         <h2>Apps</h2>\n{apps}<h2>Sellers</h2>\n{sellers}\
         <h2>Last requests</h2>\n{requests}\
         <h2>Switches</h2>\n<p>They choose the fake's answers where TikTok Shop's behaviour is not documented.</p>\n{switches}\
         <h2>Control interface</h2>\n<p>JSON, for example \
         <code>curl -X PATCH -H 'content-type: application/json' -d '{{\"refusal_error\": \"access_denied\"}}' \
         …/_control/switches</code></p>\n{operations}",
        time = Utc::from_unix_seconds(now).text(),
        apps = table(["name", "app key", "app secret", "service id", "consent"], marketplace.apps.iter().map(app_row)),
        sellers = table(["seller", "name", "region", "user type", "shops"], marketplace.sellers.iter().map(seller_row)),
        requests = requests(marketplace),
        switches = table(["switch", "value", "what it decides"], switch_rows),
        operations = table(["call", "body", "what it does"], operation_rows),
    )
}

fn app_row(app: &App) -> [String; 5] {
    let link = escape(&consent_link(&app.service_id, "a-state-of-your-own"));
    [
        escape(&app.name),
        code(&app.app_key),
        code(&app.app_secret),
        code(&app.service_id),
        format!("<a href=\"{link}\">decide as a seller</a>"),
    ]
}

fn seller_row(seller: &Seller) -> [String; 5] {
    let shop =
        |shop: &Shop| format!("{} ({}, {})", escape(&shop.name), escape(&shop.region), escape(&shop.seller_type));
    [
        code(&seller.id),
        escape(&seller.name),
        escape(&seller.base_region),
        seller.user_type.to_string(),
        seller.shops.iter().map(shop).collect::<Vec<_>>().join("<br>"),
    ]
}

fn requests(marketplace: &Marketplace) -> String {
    let rows: Vec<_> = marketplace.log.records().rev().take(SHOWN_REQUESTS).map(request_row).collect();
    if rows.is_empty() {
        return "<p class=\"note\">No requests so far.</p>\n".to_owned();
    }
    table(["no.", "time", "request", "status", "code", "fault"], rows)
}

fn request_row(record: &RequestRecord) -> [String; 6] {
    let masked = record.masked();
    let mut target = format!("{} {}", masked.method, masked.path);
    for (position, (name, value)) in masked.query.iter().enumerate() {
        let separator = if position == 0 { '?' } else { '&' };
        target.push_str(&format!("{separator}{name}={value}"));
    }
    [
        masked.number.to_string(),
        Utc::from_unix_seconds(masked.at).text(),
        code(target),
        masked.status.to_string(),
        masked.code.map(|code| code.to_string()).unwrap_or_default(),
        masked.fault.as_deref().map(escape).unwrap_or_default(),
    ]
}
