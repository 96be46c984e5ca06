//! The consent page, on which a seller allows or refuses an app. Two kinds of link open this page. Partner Center shows
//! `/open/authorize?service_id=…` on `services.tiktokshop.com`. Some SDKs and the documentation of a vendor still
//! contain the older `/oauth/authorize?app_key=…` on `auth.tiktok-shops.com`.

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

/// A link to the consent page. Each of the two kinds of link names the app in its own way.
#[derive(Clone, Copy)]
pub(crate) enum Link {
    /// `/open/authorize?service_id=…`
    ServiceId,
    /// `/oauth/authorize?app_key=…`
    AppKey,
}

impl Link {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::ServiceId => "/open/authorize",
            Self::AppKey => "/oauth/authorize",
        }
    }

    /// Returns the name of the parameter that names the app.
    fn parameter(self) -> &'static str {
        match self {
            Self::ServiceId => "service_id",
            Self::AppKey => "app_key",
        }
    }

    /// Returns the app. `named` is the value of the link's parameter.
    pub(crate) fn app(self, marketplace: &Marketplace, named: &str) -> Result<App, ControlError> {
        match self {
            Self::ServiceId => marketplace.app_by_service_id(named).cloned(),
            Self::AppKey => {
                marketplace.app_by_key(named).cloned().ok_or_else(|| ControlError::UnknownAppKey(named.to_owned()))
            }
        }
    }
}

/// Answers a request to the address of one of the two links.
pub(crate) fn answer(marketplace: &mut Marketplace, request: &VendorRequest, link: Link) -> Reply {
    if request.path != link.path() {
        return problem(StatusCode::NOT_FOUND, "There is no such page.");
    }
    match request.method {
        Method::GET => ask(marketplace, link, &request.query),
        // The header `sec-fetch-site` says which site has sent a form. Another site must not decide for the seller.
        Method::POST if request.header("sec-fetch-site").is_some_and(|site| site != "same-origin") => {
            problem(StatusCode::FORBIDDEN, "Another web site has sent this form. Decide on the consent page.")
        }
        Method::POST => decide(marketplace, link, &Query::parse(&request.body)),
        _ => problem(StatusCode::NOT_FOUND, "There is no such page."),
    }
}

fn ask(marketplace: &Marketplace, link: Link, query: &Query) -> Reply {
    let Some(named) = query.first(link.parameter()) else {
        return problem(StatusCode::BAD_REQUEST, &format!("The link has no {}.", link.parameter()));
    };
    match link.app(marketplace, named) {
        Ok(app) => Reply::Page(StatusCode::OK, form(&app, link, &marketplace.sellers, query.first("state"))),
        Err(error) => refused(&error),
    }
}

fn decide(marketplace: &mut Marketplace, link: Link, form: &Query) -> Reply {
    let decision = match form.first("decision") {
        Some("allow") => Decision::Allow,
        Some("refuse") => Decision::Refuse,
        _ => return problem(StatusCode::BAD_REQUEST, "The form has no decision."),
    };
    let named = form.first(link.parameter()).unwrap_or_default();
    let seller = form.first("seller").unwrap_or_default();
    let callback = link.app(marketplace, named).and_then(|App { service_id, .. }| {
        let query = marketplace.decide(&service_id, seller, form.first("state"), decision)?;
        marketplace.callback_address(&service_id, &query)
    });
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

fn form(app: &App, link: Link, sellers: &[Seller], state: Option<&str>) -> String {
    let scopes: String = app.scopes.iter().map(|scope| format!("<li>{}</li>", code(scope))).collect();
    let sellers: String = sellers
        .iter()
        .enumerate()
        .map(|(position, seller)| choice(seller, if position == 0 { " checked" } else { "" }))
        .collect();
    let state = state.map(|state| format!("<input type=\"hidden\" name=\"state\" value=\"{}\">\n", escape(state)));
    let named = match link {
        Link::ServiceId => &app.service_id,
        Link::AppKey => &app.app_key,
    };
    let content = format!(
        "<p><strong>{name}</strong> asks for access to your TikTok Shop account:</p>\n<ul>{scopes}</ul>\n\
         <form method=\"post\" action=\"{path}\">\n\
         <input type=\"hidden\" name=\"{parameter}\" value=\"{named}\">\n{state}\
         <fieldset><legend>You are signed in as</legend>\n{sellers}</fieldset>\n\
         <button name=\"decision\" value=\"allow\">Allow</button>\
         <button name=\"decision\" value=\"refuse\">Refuse</button>\n</form>\n\
         <p class=\"note\">This is a fake TikTok Shop on your own machine.</p>\n",
        name = escape(&app.name),
        path = link.path(),
        parameter = link.parameter(),
        named = escape(named),
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
