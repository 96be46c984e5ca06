//! The consent page, on which a seller allows or refuses an app. Two kinds of link open this page. Partner Center shows
//! `/open/authorize?service_id=…` on `services.tiktokshop.com`. Some SDKs and the documentation of a vendor still
//! contain the older `/oauth/authorize?app_key=…` on `auth.tiktok-shops.com`.

use axum::http::{Method, StatusCode};
use maud::html;

use crate::app::App;
use crate::consent::Decision;
use crate::control::ControlError;
use crate::endpoint::scope;
use crate::marketplace::Marketplace;
use crate::page::{code, single};
use crate::pages::kind;
use crate::query::Query;
use crate::same_site::Cause;
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
        // Another site must not decide for the seller. `sec-fetch-site: none` says that no page has caused the request.
        // A user cannot send a form without a page, so this value is refused, too.
        Method::POST
            if request.header("sec-fetch-site").is_some_and(|site| site != "same-origin")
                || Cause::of(&request.headers) == Cause::OtherSite =>
        {
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
    let app = match link.app(marketplace, named) {
        Ok(app) => app,
        Err(error) => return refused(&error),
    };
    // TikTok Shop learns from a cookie which seller is signed in. The fake learns it from its own parameter `seller`.
    // Without this parameter, the first seller is signed in.
    let seller = match query.first("seller") {
        Some(seller) => marketplace.seller(seller),
        None => marketplace.sellers.first().ok_or_else(|| marketplace.unknown_seller("")),
    };
    match seller {
        Ok(seller) => {
            let page = form(&app, link, &marketplace.sellers, seller, query.first("state"));
            Reply::Page(StatusCode::OK, page)
        }
        Err(error) => refused(&error),
    }
}

fn decide(marketplace: &mut Marketplace, link: Link, form: &Query) -> Reply {
    let decision = match form.first("decision") {
        Some("allow") => Decision::Allow,
        Some("refuse") => Decision::Refuse,
        _ => return problem(StatusCode::BAD_REQUEST, "The form has no decision: send `allow` or `refuse`."),
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
    let content = html! {
        p { (text) }
        p { a href="/" { "The apps and all pages of this fake" } }
    };
    Reply::Page(status, single("This link does not work", &content))
}

/// Writes the page for a seller who is signed in. On this page, a person can also sign in as another seller.
fn form(app: &App, link: Link, sellers: &[Seller], seller: &Seller, state: Option<&str>) -> String {
    let named = match link {
        Link::ServiceId => &app.service_id,
        Link::AppKey => &app.app_key,
    };
    // Both forms on the page contain these hidden inputs.
    let members = html! {
        input type="hidden" name=(link.parameter()) value=(named);
        @if let Some(state) = state { input type="hidden" name="state" value=(state); }
    };
    let content = html! {
        p {
            "You are signed in as " strong { (seller.name) } " " span.keep { "(" (code(&seller.id)) ")," } " a "
            (kind(seller)) " in " (seller.base_region) "."
        }
        form.row method="get" action=(link.path()) {
            (members)
            div.field.wide { label {
                "Or sign in as"
                select name="seller" {
                    @for other in sellers {
                        option value=(other.id) selected[other.id == seller.id] { (other.name) " (" (other.id) ")" }
                    }
                }
            } }
            button { "Change" }
        }
        section.card style="margin-top:1rem" {
            p { strong { (app.name) } " wants to:" }
            ul.scopes {
                @for name in &app.scopes {
                    li {
                        @match scope::ALL.iter().find(|(known, _)| known == name) {
                            Some((_, words)) => (words),
                            None => "Use a scope that this fake does not know",
                        }
                        @if seller.granted_scopes.as_ref().is_some_and(|granted| !granted.contains(name)) {
                            " (you do not grant this)"
                        }
                        span.note { (code(name)) }
                    }
                }
            }
            @let shops = seller.shops.iter().filter(|shop| app.market.has(&shop.region));
            @if shops.clone().next().is_none() {
                p.note { "You have no shop in the app's market, so the app will see none." }
            } @else {
                p { "In these shops:" }
                ul { @for shop in shops { li { (shop.name) span.note { " (" (shop.region) ")" } } } }
            }
            form method="post" action=(link.path()) {
                (members)
                input type="hidden" name="seller" value=(seller.id);
                div.choice {
                    button.primary name="decision" value="allow" { "Allow" }
                    button.danger name="decision" value="refuse" { "Refuse" }
                }
            }
        }
        p.note { "This is a fake TikTok Shop for tests. All data is invented. " a href="/" { "All its pages" } }
    };
    single("Authorize app", &content)
}
