//! The page with the webhooks: sends them, repeats them, records answers, and queues new ones.

use maud::{Markup, html};

use super::form::{Forms, Look, field, submit};
use crate::marketplace::Marketplace;
use crate::page::{Tab, code, moment};
use crate::webhook::{SELLER_DEAUTHORIZATION, UPCOMING_AUTHORIZATION_EXPIRATION, WebhookReport, WebhookState};

/// The types that the form offers, with their names in TikTok Shop's documentation.
const TYPES: [(u32, &str); 4] = [
    (1, "ORDER_STATUS_CHANGE"),
    (SELLER_DEAUTHORIZATION, "SELLER_DEAUTHORIZATION"),
    (UPCOMING_AUTHORIZATION_EXPIRATION, "UPCOMING_AUTHORIZATION_EXPIRATION"),
    (5, "PRODUCT_STATUS_CHANGE"),
];

pub(super) fn content(marketplace: &mut Marketplace) -> Markup {
    marketplace.announce_ends();
    let forms = Forms::new(marketplace, Tab::Webhooks);
    let now = marketplace.clock.now();
    let reports = marketplace.outbox.reports(now, &marketplace.switches);
    let due = reports.iter().filter(|report| report.state == WebhookState::Due).count();
    let receiver = &marketplace.pages.receiver;
    html! {
        p {
            "The fake sends a webhook only when you or a test ask for it. A webhook that was not answered with 2xx or \
             401 becomes due again after 2 minutes, 30 minutes, 3 hours and 12 hours."
        }
        section.card aria-labelledby="send" {
            h2 id="send" { "Send" }
            (forms.form("send-webhooks", &[], &html! {
                div.row {
                    (field("Receiver: address and port", "", &html! { input name="to" required value=(receiver.to); }))
                    (field("Path", "", &html! { input name="path" required value=(receiver.path); }))
                    (submit(Look::Primary, &format!("Send the due webhooks ({due})")))
                }
            }))
        }
        details open[reports.is_empty()] {
            summary { "Queue a webhook" }
            (queue_form(marketplace, &forms))
        }
        h2 { "All webhooks" }
        @if reports.is_empty() {
            p.note {
                "No webhook so far. The fake queues one when a seller removes an app or a shop. You can queue one, too."
            }
        }
        div.cards { @for report in &reports { (card(marketplace, &forms, report, now)) } }
    }
}

fn queue_form(marketplace: &Marketplace, forms: &Forms) -> Markup {
    let content = html! {
        div.row {
            (field("App", "", &html! {
                select name="service_id" {
                    @for app in &marketplace.apps { option value=(app.service_id) { (app.name) } }
                }
            }))
            (field("Type", "", &html! {
                input name="type" required type="number" min="0" value="1" list="types";
                datalist id="types" { @for (number, name) in TYPES { option value=(number) { (name) } } }
            }))
            (field("Shop (optional)", "", &html! {
                input name="shop_id" list="shops" value=(first_shop(marketplace));
                datalist id="shops" {
                    @for shop in marketplace.sellers.iter().flat_map(|seller| &seller.shops) {
                        option value=(shop.id) { (shop.name) }
                    }
                }
            }))
            (field("Data (JSON)", "whole", &html! {
                textarea name="data" rows="4" required {
                    "{\"order_id\": \"576000000000000001\", \"order_status\": \"AWAITING_SHIPMENT\"}"
                }
            }))
            (submit(Look::Primary, "Queue the webhook"))
        }
    };
    forms.form("queue-webhook", &[], &content)
}

fn first_shop(marketplace: &Marketplace) -> &str {
    marketplace.sellers.iter().flat_map(|seller| &seller.shops).next().map_or("", |shop| shop.id.as_str())
}

fn card(marketplace: &Marketplace, forms: &Forms, report: &WebhookReport, now: u64) -> Markup {
    let number = report.number.to_string();
    let key = [("number", number.as_str())];
    let app = marketplace.app_by_service_id(&report.service_id).map_or("", |app| app.name.as_str());
    let type_name = TYPES.iter().find(|(number, _)| *number == report.event_type).map(|(_, name)| *name);
    let heading = format!("webhook-{number}");
    let receiver = &marketplace.pages.receiver;
    let delivery = marketplace.outbox.delivery(report.number, &marketplace.apps, &marketplace.switches);
    html! {
        article.card aria-labelledby=(heading) {
            header {
                h3 id=(heading) { "Webhook " (number) }
                @match report.state {
                    WebhookState::Due => span.badge.wait { "due" },
                    WebhookState::DueAt(_) => span.badge.wait { "waits" },
                    WebhookState::Delivered => span.badge.good { "delivered" },
                    WebhookState::GivenUp => span.badge.bad { "given up" },
                }
            }
            p { "Type " (report.event_type) @if let Some(name) = type_name { " " (code(name)) } }
            dl.short {
                dt { "App" } dd { (app) }
                @if let Some(shop) = &report.shop_id { dt { "Shop" } dd { (code(shop)) } }
                dt { "Event" } dd { (moment(report.at, now)) }
                dt { "Id" } dd { (code(&report.id)) }
                @if let WebhookState::DueAt(at) = report.state { dt { "Due again" } dd { (moment(at, now)) } }
                @if report.failures > 0 { dt { "Failures" } dd { (report.failures) } }
                @if let Some(status) = report.last_status { dt { "Answer" } dd { "HTTP " (status) } }
            }
            @if let Some(delivery) = delivery {
                details { summary { "Body" } pre { code { (delivery.body) } } }
            }
            div.row {
                @if report.state == WebhookState::Due {
                    (forms.button("send-webhook",
                        &[key[0], ("to", &receiver.to), ("path", &receiver.path)], Look::Primary, "Send"))
                }
                (forms.button("repeat-webhook", &key, Look::Plain, "Queue it again"))
            }
            @if matches!(report.state, WebhookState::Due | WebhookState::DueAt(_)) {
                (forms.form("answer-webhook", &key, &html! {
                    div.row {
                        (field("Record an answer without sending", "", &html! {
                            select name="status" {
                                option value="200" { "200 OK" }
                                option value="401" { "401 Unauthorized" }
                                option value="500" { "500 Internal Server Error" }
                                option value="" { "no answer" }
                            }
                        }))
                        (submit(Look::Plain, "Record"))
                    }
                }))
            }
        }
    }
}
