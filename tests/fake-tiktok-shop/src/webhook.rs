//! The webhooks that wait to be sent, and what becomes of each.
//!
//! Nothing is sent by itself: whoever asks is handed what is due by the fake's clock, and says how the receiver answered.
//! Official pages `tts-webhooks-overview` (as of May 2026) and `configuration-guide` (as of December 2025).

mod sender;

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::signature::sign_webhook;
use crate::switches::{
    ExpirationTime, NotificationId, RefusedWebhook, Switches, WebhookBody, WebhookCopies, WebhookData, WebhookOrder,
    WebhookShopId, WebhookTimestamp,
};

pub(crate) use sender::post;

/// Type of a seller's deauthorization.
pub(crate) const SELLER_DEAUTHORIZATION: u32 = 6;

/// Type of the announcement that an authorization will end.
pub(crate) const UPCOMING_AUTHORIZATION_EXPIRATION: u32 = 7;

/// After its first, second, … failure a webhook is sent again so many seconds later.
const SENT_AGAIN_AFTER: [u64; 4] = [2 * 60, 30 * 60, 3 * 3_600, 12 * 3_600];

/// What happened, before it is written as a body.
#[derive(Clone)]
pub(crate) struct Notice {
    pub service_id: String,
    pub event_type: u32,
    pub shop_id: Option<String>,
    pub at: u64,
    pub data: Value,
}

/// A webhook as it is sent to an app's address.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WebhookDelivery {
    /// Names the delivery in [`webhook_answered`](crate::Control::webhook_answered). It counts from 1, and stays the same
    /// when it is sent again.
    pub number: u64,
    /// The app it is for.
    pub service_id: String,
    /// How many times it was sent before.
    pub failures: usize,
    /// Names in lower case: `content-type`, and `authorization` with the signature.
    pub headers: Vec<(String, String)>,
    /// The raw body. It is UTF-8.
    pub body: String,
}

impl WebhookDelivery {
    /// The value of a header; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for WebhookDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookDelivery")
            .field("number", &self.number)
            .field("service_id", &self.service_id)
            .field("failures", &self.failures)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// What becomes of a webhook after the receiver's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookFate {
    /// It arrived, and is not sent again.
    Delivered,
    /// It is sent again at this time, in Unix seconds.
    SentAgainAt(u64),
    /// It has failed five times, and is not sent again.
    GivenUp,
}

struct Waiting {
    number: u64,
    id: String,
    notice: Notice,
    failures: usize,
    /// When it failed last and is to be sent again; `None` before the first attempt.
    again_at: Option<u64>,
}

impl Waiting {
    fn is_due(&self, now: u64, switches: &Switches) -> bool {
        self.again_at.unwrap_or_else(|| self.notice.at.saturating_add(switches.webhook_delay.seconds())) <= now
    }

    fn delivery(&self, app: &App, switches: &Switches) -> WebhookDelivery {
        let body = self.body(switches);
        let signature = sign_webhook(&app.app_key, &app.app_secret, body.to_string().as_bytes());
        let body = match switches.webhook_body {
            WebhookBody::AsSigned => body.to_string(),
            WebhookBody::ReEncoded => format!("{body:#}"),
        };
        WebhookDelivery {
            number: self.number,
            service_id: self.notice.service_id.clone(),
            failures: self.failures,
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("authorization".to_owned(), signature),
            ],
            body,
        }
    }

    fn body(&self, switches: &Switches) -> Value {
        let Notice { event_type, shop_id, at, data, .. } = &self.notice;
        let mut body = Map::new();
        body.insert("type".to_owned(), json!(event_type));
        let id = match switches.notification_id {
            NotificationId::Text => Some(json!(self.id)),
            NotificationId::Number => Some(number(&self.id)),
            NotificationId::Missing => None,
        };
        body.extend(id.map(|id| ("tts_notification_id".to_owned(), id)));
        body.extend(shop_id.as_ref().map(|shop_id| {
            let shop_id = match switches.webhook_shop_id {
                WebhookShopId::Text => json!(shop_id),
                WebhookShopId::Number => number(shop_id),
            };
            ("shop_id".to_owned(), shop_id)
        }));
        let timestamp = match switches.webhook_timestamp {
            WebhookTimestamp::Seconds => json!(at),
            WebhookTimestamp::Milliseconds => json!(at.saturating_mul(1_000)),
            WebhookTimestamp::Text => json!(at.to_string()),
        };
        body.insert("timestamp".to_owned(), timestamp);
        let mut data = data.clone();
        if *event_type == UPCOMING_AUTHORIZATION_EXPIRATION
            && switches.expiration_time == ExpirationTime::Number
            && let Some(time) = data.get_mut("expiration_time")
        {
            *time = time.as_str().map_or(Value::Null, number);
        }
        let data = match switches.webhook_data {
            WebhookData::Json => data,
            WebhookData::Text => json!(data.to_string()),
        };
        body.insert("data".to_owned(), data);
        Value::Object(body)
    }
}

/// The text as a number, if it is one.
fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}

/// The webhooks that were neither delivered nor given up.
#[derive(Default)]
pub(crate) struct Outbox {
    notices: u64,
    deliveries: u64,
    waiting: Vec<Waiting>,
}

impl Outbox {
    /// Queues a notice under an id of its own and returns the id.
    pub(crate) fn queue(&mut self, notice: Notice, copies: WebhookCopies) -> String {
        self.notices += 1;
        let id = format!("76{:017}", self.notices);
        if copies == WebhookCopies::Two {
            self.wait(id.clone(), notice.clone());
        }
        self.wait(id.clone(), notice);
        id
    }

    fn wait(&mut self, id: String, notice: Notice) {
        self.deliveries += 1;
        self.waiting.push(Waiting { number: self.deliveries, id, notice, failures: 0, again_at: None });
    }

    /// What is due, in the order in which it is sent.
    pub(crate) fn due(&self, now: u64, apps: &[App], switches: &Switches) -> Vec<WebhookDelivery> {
        let mut due: Vec<_> = self.waiting.iter().filter(|waiting| waiting.is_due(now, switches)).collect();
        due.sort_by_key(|waiting| (waiting.notice.at, waiting.number));
        if switches.webhook_order == WebhookOrder::NewestFirst {
            due.reverse();
        }
        let app = |waiting: &Waiting| apps.iter().find(|app| app.service_id == waiting.notice.service_id);
        due.into_iter().filter_map(|waiting| Some(waiting.delivery(app(waiting)?, switches))).collect()
    }

    /// What becomes of a delivery that was answered with `status`, or not at all; `None` if no such delivery waits.
    pub(crate) fn answered(
        &mut self,
        number: u64,
        status: Option<u16>,
        now: u64,
        switches: &Switches,
    ) -> Option<WebhookFate> {
        let position = self.waiting.iter().position(|waiting| waiting.number == number)?;
        let delivered = status.is_some_and(|status| {
            (200..300).contains(&status) || (status == 401 && switches.refused_webhook == RefusedWebhook::Delivered)
        });
        if delivered {
            self.waiting.remove(position);
            return Some(WebhookFate::Delivered);
        }
        let waiting = self.waiting.get_mut(position)?;
        let Some(later) = SENT_AGAIN_AFTER.get(waiting.failures) else {
            self.waiting.remove(position);
            return Some(WebhookFate::GivenUp);
        };
        let again_at = now.saturating_add(*later);
        waiting.failures += 1;
        waiting.again_at = Some(again_at);
        Some(WebhookFate::SentAgainAt(again_at))
    }
}
