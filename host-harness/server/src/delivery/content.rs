//! Makes deliveries of events.

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::Event;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::webhook::Webhook;
use tiktok_shop_host::{AccountId, CustomerId};

use super::endpoint::{CONNECTION, Endpoint, TENANT, TIKTOK, lifecycle_type};
use super::storage::{DeliveryId, NewDelivery};
use crate::model;

/// The type of an event that somebody has asked for, to try an endpoint.
const TEST: &str = "webhook.test";

/// The body of every webhook.
#[derive(Serialize)]
struct Body<'a, T> {
    #[serde(rename = "type")]
    event_type: &'a str,
    /// When the event happened, in the form of RFC 3339.
    timestamp: String,
    data: T,
}

/// What a webhook about an event of TikTok Shop contains.
#[derive(Serialize)]
struct TikTokEvent<'a> {
    customer: &'a CustomerId,
    /// The accounts of the customer that may use the shop.
    accounts: Vec<&'a AccountId>,
    app: &'a str,
    shop: Option<&'a str>,
    notification_id: Option<&'a str>,
    /// TikTok Shop's number for the type of event.
    event_type: u32,
    /// The member `data` of TikTok Shop's body, unchanged.
    data: &'a RawValue,
}

#[derive(Serialize)]
struct Test {
    /// When somebody asked for it.
    at: u64,
}

/// Makes the delivery of a lifecycle event to an endpoint. `None` if the endpoint does not want events of this type.
///
/// # Errors
/// The event can't be written as JSON, which is a bug.
pub(crate) fn of_event(endpoint: &Endpoint, event: &Event) -> Result<Option<NewDelivery>, StorageError> {
    let key = event.event.key.as_ref();
    let kind = event.event.kind.as_str();
    let event_type = lifecycle_type(if key.is_some() { CONNECTION } else { TENANT }, kind);
    if !endpoint.types.contain(&event_type) {
        return Ok(None);
    }
    // After the storage has lost its latest writes, another event can get a position that was already delivered. So the
    // position alone does not identify an event.
    let (position, at) = (event.position.0.to_be_bytes(), event.event.at.0.to_be_bytes());
    let (customer, account) = key.map_or(("", ""), |key| (key.customer.as_str(), key.account.as_str()));
    let parts = ["event".as_bytes(), &position, &at, kind.as_bytes(), customer.as_bytes(), account.as_bytes()];
    let id = id_of(endpoint, &parts);
    let body = body(&event_type, event.event.at, model::Event::from(event))?;
    let customer = key.map(|key| key.customer.clone());
    Ok(Some(NewDelivery { id, endpoint: endpoint.name.clone(), customer, event_type, body }))
}

/// Makes the deliveries of an event of TikTok Shop to an endpoint: one for each customer that may use the shop. `now`
/// replaces the time of an event without one.
///
/// # Errors
/// The event can't be written as JSON.
pub(crate) fn of_webhook(
    endpoint: &Endpoint,
    webhook: &Webhook,
    now: UnixSeconds,
) -> Result<Vec<NewDelivery>, StorageError> {
    let event_type = format!("{TIKTOK}.{}", webhook.event_type);
    if !endpoint.types.contain(&event_type) {
        return Ok(Vec::new());
    }
    let data: &RawValue = serde_json::from_str(&webhook.data).map_err(|error| unwritable(&error))?;
    let mut customers: Vec<_> =
        webhook.owners.iter().filter(|owner| owner.may_use).map(|owner| &owner.key.customer).collect();
    customers.sort_unstable();
    customers.dedup();
    let app = webhook.app.as_str();
    // TikTok repeats a notification with its id. Without an id, equal content at the same time is a repetition.
    let notification = webhook.notification_id.as_ref().map_or_else(
        || format!("content {:?} {:?} {}", webhook.occurred_at, webhook.shop, webhook.data),
        |id| format!("id {id}"),
    );
    let delivery = |customer: &CustomerId| {
        let owned = webhook.owners.iter().filter(|owner| owner.may_use && owner.key.customer == *customer);
        let data = TikTokEvent {
            customer,
            accounts: owned.map(|owner| &owner.key.account).collect(),
            app,
            shop: webhook.shop.as_ref().map(|shop| shop.as_str()),
            notification_id: webhook.notification_id.as_deref(),
            event_type: webhook.event_type,
            data,
        };
        let parts: [&str; 5] = ["tiktok", app, &event_type, &notification, customer.as_str()];
        Ok(NewDelivery {
            id: id_of(endpoint, &parts.map(str::as_bytes)),
            endpoint: endpoint.name.clone(),
            customer: Some(customer.clone()),
            event_type: event_type.clone(),
            body: body(&event_type, webhook.occurred_at.unwrap_or(now), data)?,
        })
    };
    customers.into_iter().map(delivery).collect()
}

/// Makes a test delivery. The endpoint gets it whatever types of events it wants.
///
/// # Errors
/// The system has no randomness.
pub(crate) fn test(endpoint: &Endpoint, now: UnixSeconds) -> Result<NewDelivery, StorageError> {
    let mut bits = [0; 16];
    SystemRandomness.fill(&mut bits).map_err(|error| StorageError::Unavailable(error.to_string()))?;
    let body = body(TEST, now, Test { at: now.0 })?;
    let (id, endpoint) = (DeliveryId::of_bits(bits), endpoint.name.clone());
    Ok(NewDelivery { id, endpoint, customer: None, event_type: TEST.to_owned(), body })
}

/// Returns an id that is the same for the same endpoint and the same parts, which identify the event and the customer.
/// So an event that is stored a second time is recognised.
fn id_of(endpoint: &Endpoint, parts: &[&[u8]]) -> DeliveryId {
    let mut hash = Sha256::new();
    let place = [endpoint.tenant.as_str().as_bytes(), endpoint.name.as_str().as_bytes()];
    for part in place.iter().chain(parts) {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut bits = [0; 16];
    bits.copy_from_slice(hash.finalize().split_at(16).0);
    DeliveryId::of_bits(bits)
}

fn body(event_type: &str, at: UnixSeconds, data: impl Serialize) -> Result<String, StorageError> {
    let seconds = i64::try_from(at.0).unwrap_or(i64::MAX);
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string();
    serde_json::to_string(&Body { event_type, timestamp, data }).map_err(|error| unwritable(&error))
}

/// The text of the parser is not used, because it can quote a value.
fn unwritable(error: &serde_json::Error) -> StorageError {
    StorageError::Refused(format!("an event is not JSON at column {}", error.column()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tiktok_shop_host::connection::ConnectionKey;
    use tiktok_shop_host::events::{EventKind, EventPosition, NewEvent, Origin};
    use tiktok_shop_host::webhook::{WebhookEffect, WebhookOwner};

    use super::*;
    use crate::delivery::endpoint::EventTypes;

    fn endpoint(types: &[&str]) -> Endpoint {
        Endpoint {
            tenant: "acme".parse().unwrap(),
            name: "main".parse().unwrap(),
            address: "https://app.example".parse().unwrap(),
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap(),
            previous_secret: None,
            types: EventTypes::new(types.iter().map(|&name| name.to_owned()).collect()).unwrap(),
        }
    }

    fn key(customer: &str, account: &str) -> ConnectionKey {
        ConnectionKey { customer: customer.parse().unwrap(), account: account.parse().unwrap() }
    }

    fn webhook(id: Option<&str>) -> Webhook {
        let owner = |customer, account, may_use| WebhookOwner { key: key(customer, account), may_use };
        Webhook {
            app: "app".parse().unwrap(),
            notification_id: id.map(str::to_owned),
            event_type: 1,
            shop: Some("749".parse().unwrap()),
            occurred_at: Some(UnixSeconds(1_767_225_600)),
            data: r#"{"order_id":"5760000000000010001","n":1.0}"#.to_owned(),
            owners: vec![
                owner("b", "a2", true),
                owner("a", "a1", true),
                owner("b", "a3", true),
                owner("c", "a4", false),
            ],
            effect: WebhookEffect::None,
        }
    }

    #[test]
    fn an_event_of_tiktok_is_delivered_once_to_each_customer_that_may_use_the_shop() {
        let deliveries = of_webhook(&endpoint(&[]), &webhook(Some("n1")), UnixSeconds(0)).unwrap();
        let customers: Vec<_> = deliveries.iter().map(|found| found.customer.as_ref().unwrap().as_str()).collect();
        assert_eq!(customers, ["a", "b"]);
        assert!(deliveries[1].body.contains(r#""data":{"order_id":"5760000000000010001","n":1.0}}"#), "unchanged");
        let body: Value = serde_json::from_str(&deliveries[1].body).unwrap();
        let data = json!({
            "customer": "b", "accounts": ["a2", "a3"], "app": "app", "shop": "749", "notification_id": "n1",
            "event_type": 1, "data": { "order_id": "5760000000000010001", "n": 1.0 },
        });
        assert_eq!(body, json!({ "type": "tiktok.1", "timestamp": "2026-01-01T00:00:00Z", "data": data }));
        assert_eq!(of_webhook(&endpoint(&["connection", "tiktok.2"]), &webhook(None), UnixSeconds(0)), Ok(vec![]));
    }

    #[test]
    fn a_repetition_has_the_same_ids_and_everything_else_has_others() {
        let ids = |endpoint: &Endpoint, webhook: &Webhook| -> Vec<_> {
            of_webhook(endpoint, webhook, UnixSeconds(0)).unwrap().into_iter().map(|found| found.id).collect()
        };
        let main = endpoint(&[]);
        let mut all = Vec::new();
        for webhook in [
            webhook(Some("n1")),
            webhook(Some("n2")),
            webhook(None),
            Webhook { data: "{}".to_owned(), ..webhook(None) },
            Webhook { app: "other".parse().unwrap(), ..webhook(Some("n1")) },
        ] {
            assert_eq!(ids(&main, &webhook), ids(&main, &webhook));
            all.extend(ids(&main, &webhook));
        }
        let other_name = Endpoint { name: "second".parse().unwrap(), ..main.clone() };
        let other_tenant = Endpoint { tenant: "other".parse().unwrap(), ..main };
        all.extend(ids(&other_name, &webhook(Some("n1"))));
        all.extend(ids(&other_tenant, &webhook(Some("n1"))));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all[0].as_str().len() == 36 && DeliveryId::parse(all[0].as_str()).is_some());
    }

    #[test]
    fn a_lifecycle_event_has_the_members_of_the_list_of_events() {
        let kind = EventKind::ShopsLinked { shops: vec!["749".parse().unwrap()] };
        let event = |key| Event {
            position: EventPosition(7),
            event: NewEvent { at: UnixSeconds(1_767_225_600), key, kind: kind.clone(), origin: Origin::default() },
        };
        let found = of_event(&endpoint(&[]), &event(Some(key("b", "a")))).unwrap().unwrap();
        let body: Value = serde_json::from_str(&found.body).unwrap();
        assert_eq!(
            (&body["type"], &body["data"]["event"]),
            (&json!("connection.shops_linked"), &json!("shops-linked"))
        );
        assert_eq!((&body["data"]["customer"], &body["data"]["position"]), (&json!("b"), &json!(7)));
        let of_tenant = of_event(&endpoint(&[]), &event(None)).unwrap().unwrap();
        assert_eq!((of_tenant.customer, &*of_tenant.event_type), (None, "tenant.shops_linked"));
        assert_eq!(of_event(&endpoint(&["tiktok"]), &event(None)), Ok(None));
    }

    #[test]
    fn another_event_at_the_same_position_has_another_id() {
        let (linked, connected) = (EventKind::ShopsLinked { shops: Vec::new() }, EventKind::Connected);
        let id = |position, at, key, kind: &EventKind| {
            let event = NewEvent { at: UnixSeconds(at), key, kind: kind.clone(), origin: Origin::default() };
            let event = Event { position: EventPosition(position), event };
            of_event(&endpoint(&[]), &event).unwrap().unwrap().id
        };
        let first = || id(7, 100, Some(key("b", "a")), &linked);
        assert_eq!(first(), first());
        for other in [
            id(8, 100, Some(key("b", "a")), &linked),
            id(7, 101, Some(key("b", "a")), &linked),
            id(7, 100, Some(key("c", "a")), &linked),
            id(7, 100, Some(key("b", "c")), &linked),
            id(7, 100, None, &linked),
            id(7, 100, Some(key("b", "a")), &connected),
        ] {
            assert_ne!(first(), other);
        }
    }
}
