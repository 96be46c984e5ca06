//! The page to which the browser goes after a consent if the app has no redirect address. It shows what a platform's
//! callback would have received.

use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse};
use maud::html;

use crate::control::Control;
use crate::grants::CODE_LIFE;
use crate::page::{code, headers, single};
use crate::query::{self, Query};

pub(crate) async fn callback(State(control): State<Control>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let raw = query.unwrap_or_default();
    let parameters = Query::parse(raw.as_bytes());
    let page = control.with(|marketplace| marketplace.callback_page.clone());
    let address = if raw.is_empty() { page } else { query::append(&page, &raw) };
    let outcome = match (parameters.first("error"), parameters.first("code")) {
        (Some(_), _) => "The seller has refused.",
        (None, Some(_)) => "The seller has allowed.",
        (None, None) => "This address has no code and no error, so it does not come from a consent.",
    };
    let content = html! {
        p { (outcome) " The browser would now be back at the app. This app has no redirect address, so the fake shows \
             the address that a platform's callback would receive." }
        div.field { label { "The whole address" input readonly value=(address); } }
        @if parameters.first("error").is_none() && parameters.first("code").is_some() {
            p.note { "The code works once, within " (CODE_LIFE / 60) " minutes of the fake's time." }
        }
        p { "Give the address to your platform's callback. Or start this program, and paste the address:" }
        pre { code { "tiktok-shop-harness connect" } }
        h2 { "Its parameters" }
        dl {
            @for (name, value) in parameters.pairs() { dt { (code(name)) } dd { (code(value)) } }
        }
        p { a href="/" { "Back to the grants" } }
    };
    (headers(), Html(single("Callback", &content)))
}
