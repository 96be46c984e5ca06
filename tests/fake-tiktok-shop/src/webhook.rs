//! The webhooks that wait to be sent, and the result of each delivery.
//!
//! The fake sends no webhook by itself. A test asks for the webhooks that are due by the fake's clock, delivers them,
//! and reports the receiver's answers.
//!
//! Source: the official pages `tts-webhooks-overview` (as of May 2026) and `configuration-guide` (as of December 2025).

mod sender;

use std::collections::VecDeque;
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

/// The type of the webhook about the removal of a grant or of one of its shops.
pub(crate) const SELLER_DEAUTHORIZATION: u32 = 6;

/// The type of the webhook that announces that an authorization ends.
pub(crate) const UPCOMING_AUTHORIZATION_EXPIRATION: u32 = 7;

/// The time in seconds until a webhook is sent again, after its first, second, third and fourth failed delivery. After
/// the fifth failed delivery the fake gives up.
const RETRY_DELAYS: [u64; 4] = [2 * 60, 30 * 60, 3 * 3_600, 12 * 3_600];

/// The maximum number of finished webhooks (delivered or given up) that the fake remembers.
const REMEMBERED: usize = 200;

/// An event that a webhook reports. The fake builds the body of the webhook each time that it hands the webhook out,
/// because the switches decide the form of the body.
#[derive(Clone)]
pub(crate) struct Notice {
    pub service_id: String,
    pub event_type: u32,
    pub shop_id: Option<String>,
    pub at: u64,
    pub data: Value,
}

/// A webhook, as it is sent to an app's address.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WebhookDelivery {
    /// The number of the delivery, counted from 1. [`webhook_answered`](crate::Control::webhook_answered) takes this
    /// number. A webhook that is sent again keeps its number.
    pub number: u64,
    /// The app to which the webhook is sent.
    pub service_id: String,
    /// The number of failed deliveries so far.
    pub failures: usize,
    /// The headers `content-type` and `authorization`. The value of `authorization` is the signature. Names are in
    /// lower case.
    pub headers: Vec<(String, String)>,
    /// The raw body. It is UTF-8.
    pub body: String,
}

impl WebhookDelivery {
    /// Returns the value of a header. `name` must be in lower case.
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

/// The state of a webhook after a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookFate {
    /// The delivery succeeded. The webhook is not sent again.
    Delivered,
    /// The delivery failed. The webhook is sent again at this time, in Unix seconds.
    SentAgainAt(u64),
    /// The fifth delivery failed. The webhook is not sent again.
    GivenUp,
}

/// The state of a webhook: it is due, it waits, it was delivered, or the fake has given it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WebhookReport {
    /// The number of the delivery.
    pub number: u64,
    /// The `tts_notification_id`. A repeated webhook has the id of its original.
    pub id: String,
    /// The app to which the webhook is sent.
    pub service_id: String,
    /// The type of the event.
    #[serde(rename = "type")]
    pub event_type: u32,
    /// The shop of the event, if it has one.
    pub shop_id: Option<String>,
    /// The time of the event, in Unix seconds.
    pub at: u64,
    /// Whether the webhook is due, waits, or is finished.
    pub state: WebhookState,
    /// The number of failed deliveries so far.
    pub failures: usize,
    /// The HTTP status of the answer to the latest delivery. `None` if there was no delivery or no answer.
    pub last_status: Option<u16>,
}

/// Whether a webhook is due, waits, or is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookState {
    /// The webhook is due now.
    Due,
    /// The webhook becomes due at this time, in Unix seconds.
    DueAt(u64),
    /// The webhook was delivered.
    Delivered,
    /// The fifth delivery failed. The webhook is not sent again.
    GivenUp,
}

/// A webhook that was delivered or given up.
struct FinishedWebhook {
    webhook: QueuedWebhook,
    state: WebhookState,
}

/// A webhook that was neither delivered nor given up.
struct QueuedWebhook {
    number: u64,
    id: String,
    notice: Notice,
    failures: usize,
    /// The time of the next attempt, in Unix seconds. `None` before the first attempt.
    next_attempt_at: Option<u64>,
    /// The HTTP status of the answer to the latest delivery. `None` if there was no delivery or no answer.
    last_status: Option<u16>,
}

impl QueuedWebhook {
    fn due_at(&self, switches: &Switches) -> u64 {
        self.next_attempt_at.unwrap_or_else(|| self.notice.at.saturating_add(switches.webhook_delay.seconds()))
    }

    fn is_due(&self, now: u64, switches: &Switches) -> bool {
        self.due_at(switches) <= now
    }

    fn report(&self, state: WebhookState) -> WebhookReport {
        WebhookReport {
            number: self.number,
            id: self.id.clone(),
            service_id: self.notice.service_id.clone(),
            event_type: self.notice.event_type,
            shop_id: self.notice.shop_id.clone(),
            at: self.notice.at,
            state,
            failures: self.failures,
            last_status: self.last_status,
        }
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

/// Returns the text as a JSON number, or unchanged if it is not a number.
fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}

/// The queue of webhooks that were neither delivered nor given up, and the latest webhooks that are finished.
#[derive(Default)]
pub(crate) struct Outbox {
    notices: u64,
    deliveries: u64,
    queued: Vec<QueuedWebhook>,
    /// The finished webhooks, oldest first.
    finished: VecDeque<FinishedWebhook>,
}

impl Outbox {
    /// Gives the webhook for an event a new id, and queues the webhook once for each copy. Returns the id.
    pub(crate) fn queue(&mut self, notice: Notice, copies: WebhookCopies) -> String {
        self.notices += 1;
        let id = format!("76{:017}", self.notices);
        if copies == WebhookCopies::Two {
            self.push(id.clone(), notice.clone());
        }
        self.push(id.clone(), notice);
        id
    }

    fn push(&mut self, id: String, notice: Notice) {
        self.deliveries += 1;
        let webhook = QueuedWebhook {
            number: self.deliveries,
            id,
            notice,
            failures: 0,
            next_attempt_at: None,
            last_status: None,
        };
        self.queued.push(webhook);
    }

    /// Queues a webhook once more, with the same `tts_notification_id`. Returns the number of the new delivery, or
    /// `None` if the fake does not remember the webhook.
    pub(crate) fn repeat(&mut self, number: u64, now: u64) -> Option<u64> {
        let finished = self.finished.iter().map(|finished| &finished.webhook);
        let original = self.queued.iter().chain(finished).find(|webhook| webhook.number == number)?;
        let (id, notice) = (original.id.clone(), original.notice.clone());
        self.push(id, notice);
        let repeated = self.queued.last_mut()?;
        // A switch may delay the first attempt of a new webhook. But a repeated webhook is due at once.
        repeated.next_attempt_at = Some(now);
        Some(repeated.number)
    }

    /// Returns the state of every webhook that the fake remembers, newest first.
    pub(crate) fn reports(&self, now: u64, switches: &Switches) -> Vec<WebhookReport> {
        let queued = self.queued.iter().map(|webhook| {
            let due_at = webhook.due_at(switches);
            webhook.report(if due_at <= now { WebhookState::Due } else { WebhookState::DueAt(due_at) })
        });
        let finished = self.finished.iter().map(|finished| finished.webhook.report(finished.state));
        let mut reports: Vec<_> = queued.chain(finished).collect();
        reports.sort_by_key(|report| std::cmp::Reverse(report.number));
        reports
    }

    fn finish(&mut self, position: usize, state: WebhookState) {
        if self.finished.len() == REMEMBERED {
            self.finished.pop_front();
        }
        let webhook = self.queued.remove(position);
        self.finished.push_back(FinishedWebhook { webhook, state });
    }

    /// Returns the webhooks that are due, in the order in which they are sent.
    pub(crate) fn due(&self, now: u64, apps: &[App], switches: &Switches) -> Vec<WebhookDelivery> {
        let mut due: Vec<_> = self.queued.iter().filter(|webhook| webhook.is_due(now, switches)).collect();
        due.sort_by_key(|webhook| (webhook.notice.at, webhook.number));
        if switches.webhook_order == WebhookOrder::NewestFirst {
            due.reverse();
        }
        let app = |webhook: &QueuedWebhook| apps.iter().find(|app| app.service_id == webhook.notice.service_id);
        due.into_iter().filter_map(|webhook| Some(webhook.delivery(app(webhook)?, switches))).collect()
    }

    /// Returns a queued webhook as the fake would send it with the present switches.
    pub(crate) fn delivery(&self, number: u64, apps: &[App], switches: &Switches) -> Option<WebhookDelivery> {
        let webhook = self.queued.iter().find(|webhook| webhook.number == number)?;
        let app = apps.iter().find(|app| app.service_id == webhook.notice.service_id)?;
        Some(webhook.delivery(app, switches))
    }

    /// Records the HTTP status of the receiver's answer to a delivery. `status` is `None` if no answer came. Returns
    /// the new state of the webhook, or `None` if no webhook with this number is queued.
    pub(crate) fn answered(
        &mut self,
        number: u64,
        status: Option<u16>,
        now: u64,
        switches: &Switches,
    ) -> Option<WebhookFate> {
        let position = self.queued.iter().position(|webhook| webhook.number == number)?;
        let delivered = status.is_some_and(|status| {
            (200..300).contains(&status) || (status == 401 && switches.refused_webhook == RefusedWebhook::Delivered)
        });
        self.queued.get_mut(position)?.last_status = status;
        if delivered {
            self.finish(position, WebhookState::Delivered);
            return Some(WebhookFate::Delivered);
        }
        let webhook = self.queued.get_mut(position)?;
        let Some(delay) = RETRY_DELAYS.get(webhook.failures) else {
            webhook.failures += 1;
            self.finish(position, WebhookState::GivenUp);
            return Some(WebhookFate::GivenUp);
        };
        let next_attempt_at = now.saturating_add(*delay);
        webhook.failures += 1;
        webhook.next_attempt_at = Some(next_attempt_at);
        Some(WebhookFate::SentAgainAt(next_attempt_at))
    }
}
