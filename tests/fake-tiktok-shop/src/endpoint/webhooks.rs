//! Answers the calls Get Shop Webhooks, Update Shop Webhook and Delete Shop Webhook (official pages
//! `get-shop-webhooks-202309`, `update-shop-webhook-202309` and `delete-shop-webhook-202309`).
//!
//! The fake stores one address for each combination of app, shop and event. It sends nothing to these addresses. The
//! documentation does not say which scope the calls need. The fake requires a scope that every app of the fixtures has.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answers, Caller, Endpoint, json_body, scope, text};
use crate::envelope::{Answer, Failure};
use crate::marketplace::Marketplace;
use crate::seller::Shop;
use crate::vendor_request::VendorRequest;

const PATH: &str = "/event/202309/webhooks";

/// The highest length of an address, in bytes.
const MAX_ADDRESS: usize = 255;

pub(super) const LIST: Endpoint = endpoint(Method::GET, list);
pub(super) const SET: Endpoint = endpoint(Method::PUT, set);
pub(super) const DELETE: Endpoint = endpoint(Method::DELETE, delete);

const fn endpoint(method: Method, answer: fn(&mut Marketplace, &Caller, &Shop, &VendorRequest) -> Answer) -> Endpoint {
    Endpoint { method, path: PATH, scope: scope::AUTHORIZED_SHOPS, answers: Answers::Shop(answer) }
}

struct Webhook {
    address: String,
    create_time: u64,
    update_time: u64,
}

/// The stored webhook addresses. The key of an address is the app's service id, the shop's id and the event.
#[derive(Default)]
pub(crate) struct Webhooks(BTreeMap<(String, String, String), Webhook>);

fn list(marketplace: &mut Marketplace, caller: &Caller, shop: &Shop, _: &VendorRequest) -> Answer {
    let set = marketplace
        .webhooks
        .0
        .iter()
        .filter(|((service_id, shop_id, _), _)| *service_id == caller.service_id && *shop_id == shop.id);
    let rows: Vec<Value> = set
        .map(|((_, _, event_type), webhook)| {
            json!({
                "event_type": event_type,
                "address": webhook.address,
                "create_time": webhook.create_time,
                "update_time": webhook.update_time,
            })
        })
        .collect();
    Ok(json!({ "total_count": rows.len(), "webhooks": rows }))
}

fn set(marketplace: &mut Marketplace, caller: &Caller, shop: &Shop, request: &VendorRequest) -> Answer {
    let body = json_body(request)?;
    let (event_type, address) = (text(&body, "event_type")?, text(&body, "address")?);
    if address.len() > MAX_ADDRESS {
        return Err(Failure::bad_request("Invalid body: address is too long"));
    }
    let now = marketplace.clock.now();
    let key = (caller.service_id.clone(), shop.id.clone(), event_type.to_owned());
    marketplace
        .webhooks
        .0
        .entry(key)
        .and_modify(|webhook| {
            address.clone_into(&mut webhook.address);
            webhook.update_time = now;
        })
        .or_insert_with(|| Webhook { address: address.to_owned(), create_time: now, update_time: now });
    Ok(json!({}))
}

/// Deletes an address. The call succeeds even if no address was set.
fn delete(marketplace: &mut Marketplace, caller: &Caller, shop: &Shop, request: &VendorRequest) -> Answer {
    let body = json_body(request)?;
    let event_type = text(&body, "event_type")?.to_owned();
    marketplace.webhooks.0.remove(&(caller.service_id.clone(), shop.id.clone(), event_type));
    Ok(json!({}))
}
