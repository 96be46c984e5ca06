//! The consent page, `services.tiktokshop.com/open/authorize`, on which a seller allows or refuses an app.

use axum::http::{Method, StatusCode};

use crate::app::App;
use crate::consent::Decision;
use crate::control::ControlError;
use crate::marketplace::Marketplace;
use crate::page::{code, document, escape};
use crate::query::Query;
use crate::seller::Seller;
use crate::server::Reply;
use crate::vendor_request::VendorRequest;

pub(crate) const PATH: &str = "/open/authorize";

pub(crate) fn answer(marketplace: &mut Marketplace, request: &VendorRequest) -> Reply {
    match (&request.method, request.path.as_str()) {
        (&Method::GET, PATH) => ask(marketplace, &request.query),
        (&Method::POST, PATH) => decide(marketplace, &Query::parse(&request.body)),
        _ => problem(StatusCode::NOT_FOUND, "There is no such page."),
    }
}

fn ask(marketplace: &Marketplace, query: &Query) -> Reply {
    let Some(service_id) = query.first("service_id") else {
        return problem(StatusCode::BAD_REQUEST, "The link has no service_id.");
    };
    match marketplace.app_by_service_id(service_id) {
        Ok(app) => Reply::Page(StatusCode::OK, form(app, &marketplace.sellers, query.first("state"))),
        Err(error) => refused(&error),
    }
}

fn decide(marketplace: &mut Marketplace, form: &Query) -> Reply {
    let decision = match form.first("decision") {
        Some("allow") => Decision::Allow,
        Some("refuse") => Decision::Refuse,
        _ => return problem(StatusCode::BAD_REQUEST, "The form has no decision."),
    };
    let service_id = form.first("service_id").unwrap_or_default();
    let seller = form.first("seller").unwrap_or_default();
    let callback = marketplace
        .decide(service_id, seller, form.first("state"), decision)
        .and_then(|query| marketplace.callback_address(service_id, &query));
    match callback {
        Ok(address) => Reply::Redirect(address),
        Err(error) => refused(&error),
    }
}

fn refused(error: &ControlError) -> Reply {
    problem(StatusCode::BAD_REQUEST, &format!("There is {error}."))
}

fn problem(status: StatusCode, text: &str) -> Reply {
    Reply::Page(status, document("This link does not work", &format!("<p>{}</p>\n", escape(text))))
}

fn form(app: &App, sellers: &[Seller], state: Option<&str>) -> String {
    let scopes: String = app.scopes.iter().map(|scope| format!("<li>{}</li>", code(scope))).collect();
    let sellers: String = sellers
        .iter()
        .enumerate()
        .map(|(position, seller)| choice(seller, if position == 0 { " checked" } else { "" }))
        .collect();
    let state = state.map(|state| format!("<input type=\"hidden\" name=\"state\" value=\"{}\">\n", escape(state)));
    let content = format!(
        "<p><strong>{name}</strong> asks for access to your TikTok Shop account:</p>\n<ul>{scopes}</ul>\n\
         <form method=\"post\" action=\"{PATH}\">\n\
         <input type=\"hidden\" name=\"service_id\" value=\"{service_id}\">\n{state}\
         <fieldset><legend>You are signed in as</legend>\n{sellers}</fieldset>\n\
         <button name=\"decision\" value=\"allow\">Allow</button>\
         <button name=\"decision\" value=\"refuse\">Refuse</button>\n</form>\n\
         <p class=\"note\">This is a fake TikTok Shop on your own machine.</p>\n",
        name = escape(&app.name),
        service_id = escape(&app.service_id),
        state = state.unwrap_or_default(),
    );
    document("Authorize app", &content)
}

/// Returns the radio button of a seller. `checked` is empty or the attribute that selects the button.
fn choice(seller: &Seller, checked: &str) -> String {
    let kind = match seller.user_type {
        1 => "creator",
        2 | 3 => "partner",
        _ => "seller",
    };
    format!(
        "<label><input type=\"radio\" name=\"seller\" value=\"{id}\"{checked}> {name} \
         <span class=\"note\">({id}: {kind}, {region}, shops: {shops})</span></label>\n",
        id = escape(&seller.id),
        name = escape(&seller.name),
        region = escape(&seller.base_region),
        shops = seller.shops.len(),
    )
}
