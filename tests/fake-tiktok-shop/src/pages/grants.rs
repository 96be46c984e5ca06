//! The start page: the clock, the grants with their tokens' state, the apps with their consent links, and the latest
//! requests.

use maud::{Markup, html};

use super::form::{Forms, Look, field};
use super::{clock, requests};
use crate::app::App;
use crate::consent_page::Link;
use crate::grants::{GrantReport, GrantState, TokenReport, TokenVerdict};
use crate::marketplace::Marketplace;
use crate::page::{Tab, code, moment};

/// The number of requests at the end of the page.
const SHOWN_REQUESTS: usize = 5;

pub(super) fn content(marketplace: &mut Marketplace) -> Markup {
    marketplace.announce_ends();
    let forms = Forms::new(marketplace, Tab::Start);
    let reports = marketplace.grant_reports();
    let due = marketplace.outbox.due(marketplace.clock.now(), &marketplace.apps, &marketplace.switches).len();
    html! {
        p {
            "A TikTok Shop for tests and demos. It keeps state, checks signatures, and lets you act as a seller and as \
             TikTok Shop. All data is invented."
        }
        // Before the first grant, the first thing to do is a consent, so the apps come before the clock.
        @if !reports.is_empty() { (clock::content(marketplace, &forms)) }
        @if due > 0 {
            p { a href=(Tab::Webhooks.path()) { "Webhooks that are due: " (due) } }
        }
        h2 { "Grants" }
        @if reports.is_empty() {
            p.note {
                "No app has exchanged an authorization code so far. To begin, choose a seller of an app below, and \
                 open the consent page. Or begin in your platform, with this fake's address instead of TikTok \
                 Shop's addresses."
            }
        }
        div.cards { @for report in &reports { (grant(marketplace, &forms, report)) } }
        h2 { "Apps" }
        div.cards { @for app in &marketplace.apps { (app_card(marketplace, app)) } }
        @if reports.is_empty() { (clock::content(marketplace, &forms)) }
        h2 { "Last requests" }
        (requests::latest(marketplace, SHOWN_REQUESTS))
        p { a href=(Tab::Requests.path()) { "All requests, with a filter" } }
    }
}

fn grant(marketplace: &Marketplace, forms: &Forms, report: &GrantReport) -> Markup {
    let now = marketplace.clock.now();
    let app_name = marketplace.app_by_service_id(&report.service_id).map_or("", |app| app.name.as_str());
    let seller_name = marketplace.seller(&report.seller).map_or("", |seller| seller.name.as_str());
    let key = [("service_id", report.service_id.as_str()), ("seller", report.seller.as_str())];
    let (class, state, end) = match report.state {
        GrantState::InForce => ("good", "in force", "Ends"),
        GrantState::Ended => ("wait", "ended", "Ended"),
        GrantState::Removed => ("bad", "removed", "Would end"),
    };
    let heading = format!("grant-{}-{}", report.service_id, report.seller);
    html! {
        article.card aria-labelledby=(heading) {
            header {
                h3 id=(heading) { (seller_name) " → " (app_name) }
                span class={ "badge " (class) } { (state) }
            }
            dl {
                dt { (end) } dd { (moment(report.ends_at, now)) }
                dt { "Access token" } dd { (newest(&report.access_tokens, now)) }
                dt { "Refresh token" } dd { (newest(&report.refresh_tokens, now)) }
            }
            details {
                summary { "Ids, scopes and earlier tokens" }
                dl {
                    dt { "Seller" } dd { (code(&report.seller)) }
                    dt { "Open id" } dd { (code(&report.open_id)) }
                    dt { "Consents" } dd { (report.consents) }
                    dt { "Scopes" } dd { @for scope in &report.scopes { (code(scope)) " " } }
                }
                (earlier("Earlier access tokens", &report.access_tokens, now))
                (earlier("Earlier refresh tokens", &report.refresh_tokens, now))
            }
            h4 { "Shops" }
            @if report.shops.is_empty() { p.note { "The seller has no shop." } }
            ul.lines.shops {
                @for shop in &report.shops {
                    @let shop_key = [key[0], key[1], ("shop", shop.id.as_str())];
                    li {
                        span { (shop.name) " " (code(&shop.id)) }
                        @if shop.granted {
                            (forms.button_for(&shop.name, "remove-shop", &shop_key, Look::Danger, "Take away"))
                        } @else if report.state == GrantState::Removed {
                            span.note { "not granted" }
                        } @else {
                            (forms.button_for(&shop.name, "restore-shop", &shop_key, Look::Plain, "Give back"))
                        }
                    }
                }
            }
            @if report.state != GrantState::Removed {
                h4 { "What the seller and another client of the app can do" }
                div.row {
                    (forms.button("remove-app", &key, Look::Danger, "Remove the app"))
                    (forms.button("rotate-tokens", &key, Look::Plain, "Refresh the tokens elsewhere"))
                }
                details {
                    summary { "What TikTok Shop can do to all apps of " (seller_name) }
                    div.row {
                        (forms.button("expire-access-tokens", &key[1..], Look::Plain, "Expire access tokens"))
                        (forms.button("end-authorizations", &key[1..], Look::Danger, "End authorizations"))
                        (forms.button("revoke-authorizations", &key[1..], Look::Danger, "Revoke without a webhook"))
                    }
                }
            }
        }
    }
}

fn newest(tokens: &[TokenReport], now: u64) -> Markup {
    match tokens.first() {
        Some(token) => token_state(token, now),
        None => html! { span.note { "none" } },
    }
}

fn earlier(title: &str, tokens: &[TokenReport], now: u64) -> Markup {
    html! {
        @if tokens.len() > 1 {
            h4 { (title) ", newest first" }
            ul.lines { @for token in tokens.iter().skip(1) { li { span { (token_state(token, now)) } } } }
        }
    }
}

fn token_state(token: &TokenReport, now: u64) -> Markup {
    let (class, word, end) = match token.verdict {
        TokenVerdict::Works => ("good", "works", " until "),
        TokenVerdict::Expired if token.expires_at <= now => ("wait", "expired", " since "),
        // The token has ended together with the authorization, before its own end.
        TokenVerdict::Expired => ("wait", "expired", ", issued until "),
        TokenVerdict::Refused => ("bad", "refused", ", issued until "),
    };
    html! { span class={ "badge " (class) } { (word) } (end) (moment(token.expires_at, now)) }
}

fn app_card(marketplace: &Marketplace, app: &App) -> Markup {
    let heading = format!("app-{}", app.service_id);
    html! {
        article.card aria-labelledby=(heading) {
            h3 id=(heading) { (app.name) }
            dl {
                dt { "App key" } dd { (code(&app.app_key)) }
                dt { "App secret" } dd { (code(&app.app_secret)) }
                dt { "Service id" } dd { (code(&app.service_id)) }
                dt { "Market" } dd { (code(app.market.name())) }
                @if let Some(address) = &app.redirect_address { dt { "Redirect" } dd { (code(address)) } }
            }
            form.row method="get" action=(Link::ServiceId.path()) {
                input type="hidden" name="service_id" value=(app.service_id);
                (field("Seller", "", &html! {
                    select name="seller" {
                        @for seller in &marketplace.sellers {
                            option value=(seller.id) { (seller.name) " (" (seller.id) ")" }
                        }
                    }
                }))
                (field("State", "", &html! { input name="state" value="a-state-of-your-own"; }))
                button.primary { "Open the consent page" }
            }
        }
    }
}
