//! The page with the sellers and their shops.

use maud::{Markup, html};

use super::form::{Forms, Look, field, submit};
use crate::marketplace::Marketplace;
use crate::page::{Tab, code};
use crate::seller::{Seller, Shop};

const DAY: u64 = 86_400;

pub(super) fn content(marketplace: &mut Marketplace) -> Markup {
    let forms = Forms::new(marketplace, Tab::Sellers);
    html! {
        p {
            "A seller who closes a shop no longer lists it, and every app loses it. More sellers, shops and apps come \
             from a file: start the fake with " (code("--sellers FILE")) "."
        }
        div.cards { @for seller in &marketplace.sellers { (card(marketplace, &forms, seller)) } }
    }
}

/// Returns the kind of an account in one word.
pub(crate) fn kind(seller: &Seller) -> &'static str {
    match seller.user_type {
        0 => "seller",
        1 => "creator",
        2 | 3 => "partner",
        _ => "cross-border seller",
    }
}

fn card(marketplace: &Marketplace, forms: &Forms, seller: &Seller) -> Markup {
    let key = [("seller", seller.id.as_str())];
    let closed: Vec<_> = marketplace.closed_shops.iter().filter(|(owner, _)| *owner == seller.id).collect();
    let days = seller.authorization_lasts.as_secs() / DAY;
    let heading = format!("seller-{}", seller.id);
    html! {
        article.card aria-labelledby=(heading) {
            header { h3 id=(heading) { (seller.name) } (code(&seller.id)) }
            dl.short {
                dt { "Kind" } dd { (kind(seller)) " (user_type " (seller.user_type) ")" }
                dt { "Region" } dd { (seller.base_region) }
                @if let Some(scopes) = &seller.granted_scopes {
                    dt { "Grants only" } dd { @for scope in scopes { (code(scope)) " " } }
                }
            }
            h4 { "Shops" }
            @if seller.shops.is_empty() { p.note { "no shop" } }
            ul.lines.shops {
                @for shop in &seller.shops {
                    @let shop_key = [key[0], ("shop", shop.id.as_str())];
                    li {
                        (named(shop))
                        (forms.button_for(&shop.name, "close-shop", &shop_key, Look::Danger, "Close"))
                    }
                }
                @for (_, shop) in closed {
                    @let shop_key = [key[0], ("shop", shop.id.as_str())];
                    li {
                        (named(shop))
                        (forms.button_for(&shop.name, "reopen-shop", &shop_key, Look::Plain, "Open again"))
                    }
                }
            }
            details {
                summary { "Add a shop" }
                (forms.form("add-shop", &key, &html! {
                    div.row {
                        (field("Id (up to 19 digits)", "", &html! {
                            input name="id" required pattern="[0-9]{1,19}" inputmode="numeric";
                        }))
                        (field("Name", "", &html! { input name="name" required; }))
                        (field("Region", "small", &html! { input name="region" required value=(seller.base_region); }))
                        (submit(Look::Primary, "Add the shop"))
                    }
                }))
            }
            (forms.form("set-authorization", &key, &html! {
                div.row {
                    (field("The next authorizations last, in days", "", &html! {
                        input type="number" name="days" min="0" required value=(days);
                    }))
                    (submit(Look::Plain, "Change"))
                }
            }))
        }
    }
}

fn named(shop: &Shop) -> Markup {
    html! {
        span {
            (shop.name) " " (code(&shop.id)) " " span.note {
                (shop.region)
                @if shop.seller_type != "LOCAL" { ", cross-border" }
                @if shop.cipher.is_none() { ", no cipher" }
            }
        }
    }
}
