//! Reads the webhooks that have arrived during the run.
//!
//! A webhook counts only if its signature fits, either to the body as it arrived or to the body without the spaces
//! between its JSON tokens. That something does not arrive is believed only after the whole time in which TikTok Shop
//! sends webhooks again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tiktok_shop_connector_core::signing::Webhook;

use crate::finding::Finding;
use crate::notification::{Notification, is_milliseconds};
use crate::report::Ended;
use crate::session::Session;
use crate::settings::Webhooks;
use crate::switch::Switch;
use crate::webhook_receiver::Arrival;
use crate::world::World;

/// The documented time in which a webhook is sent again: 2 minutes, 30 minutes, 3 hours and 12 hours after the failures.
const SENT_AGAIN_FOR: u64 = 2 * 60 + 30 * 60 + 3 * 3_600 + 12 * 3_600;
/// The part of a reason that says how long a run must wait for a webhook that is sent again.
const OF_WAIT: &str = "run the probe with --wait 16h to see it";
/// Copies of a webhook arrive within this many seconds. It is shorter than the first pause before a webhook is sent again.
const COPIES_WITHIN: u64 = 60;
/// A webhook that arrives within this many seconds may have been sent at once.
const AT_ONCE: u64 = 2;
/// While the probe waits for webhooks, it looks for new ones this often, in seconds.
const LOOK_EVERY: u64 = 300;
/// TikTok Shop's clock may run this many seconds behind what the probe knows of it.
const CLOCK_TOLERANCE: u64 = 60;
const DAY: u64 = 86_400;

const SELLER_DEAUTHORIZATION: u64 = 6;
const UPCOMING_EXPIRATION: u64 = 7;

/// The questions that the form of any webhook answers.
const OF_EVERY_WEBHOOK: [Switch; 5] =
    [Switch::NotificationId, Switch::WebhookShopId, Switch::WebhookTimestamp, Switch::WebhookData, Switch::WebhookBody];

impl<W: World> Session<'_, W> {
    /// Waits for webhooks while one of them could still answer a question.
    pub(crate) async fn wait_for_webhooks(&mut self) -> Result<(), Ended> {
        if self.settings.webhooks == Webhooks::None {
            return Ok(());
        }
        self.wait(0).await?;
        let mut left = self.settings.longest_wait.as_secs();
        if self.is_webhook_pending() && left > 0 {
            self.step("Waited for webhooks.");
        }
        while self.is_webhook_pending() && left > 0 {
            let pause = LOOK_EVERY.min(left);
            left -= pause;
            self.wait(pause).await?;
        }
        Ok(())
    }

    fn is_webhook_pending(&self) -> bool {
        let notifications = &self.notifications;
        let is_recent = |at: u64| self.now() <= at.saturating_add(SENT_AGAIN_FOR);
        let keys = self.first_arrivals(notifications);
        let notice_missing = !notifications.iter().any(|n| self.is_of_removal(n));
        let awaits_notice = notice_missing && self.removals.iter().any(|removal| is_recent(removal.at));
        let awaits_more = keys.iter().take(2).any(|first| is_recent(first.at));
        awaits_notice || awaits_more
    }

    /// Takes the webhooks that have arrived, and keeps those whose signature fits.
    pub(crate) fn take_webhooks(&mut self) {
        for arrival in self.world.webhooks() {
            match self.notification(&arrival) {
                Some(notification) => self.notifications.push(notification),
                None => self.others += 1,
            }
        }
    }

    fn notification(&self, arrival: &Arrival) -> Option<Notification> {
        let app = &self.settings.app;
        let fits = |body: &[u8]| {
            let webhook = Webhook { app_key: &app.app_key, body, authorization: &arrival.authorization };
            webhook.signed_with(&app.app_secret, None).is_some()
        };
        let as_signed = fits(&arrival.body);
        if !as_signed && !fits(&without_spaces(&arrival.body)) {
            return None;
        }
        Some(Notification {
            at: self.at_tiktok_shop(arrival.at),
            answered: arrival.answered,
            as_signed,
            raw: arrival.body.clone(),
            body: serde_json::from_slice(&arrival.body).ok()?,
        })
    }

    /// Answers the questions about webhooks with those that have arrived.
    pub(crate) fn judge_webhooks(&mut self) {
        self.take_webhooks();
        let why = "all webhooks of one moment belong to events of one moment, so their order is unknown";
        self.find(Switch::WebhookOrder, Finding::not_observable(why));
        let (notifications, others) = (std::mem::take(&mut self.notifications), self.others);
        if self.settings.webhooks == Webhooks::Received {
            let types: BTreeSet<_> = notifications.iter().filter_map(Notification::event).collect();
            let types = types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let types = if types.is_empty() { String::new() } else { format!(" (type {types})") };
            let fact = format!("{} with a fitting signature{types}, {others} without", notifications.len());
            self.fact("webhooks", fact);
        }
        self.judge_notice(&notifications);
        self.judge_forms(&notifications);
        self.judge_notices_of_the_end(&notifications);
        self.judge_delivery(&notifications);
        self.judge_grant_notices(&notifications);
        self.judge_delay(&notifications);
    }

    /// Returns why nothing is known about webhooks.
    fn no_webhook(&self) -> Finding {
        Finding::not_observable(match self.settings.webhooks {
            Webhooks::None => "the run received no webhooks",
            Webhooks::Received => "no such webhook arrived",
        })
    }

    fn judge_notice(&mut self, notifications: &[Notification]) {
        let finding = if self.removals.is_empty() {
            Finding::not_observable("the run removed no shop")
        } else if self.settings.webhooks == Webhooks::None {
            self.no_webhook()
        } else if notifications.iter().any(|n| self.is_of_removal(n)) {
            Finding::seen("sent", "a webhook of type 6 arrived after Deauthorize Shop")
        } else {
            Finding::unclear("no webhook of type 6 arrived: none was sent, it comes later, or it did not reach the run")
        };
        self.find(Switch::DeauthorizeNotice, finding);
    }

    /// Tells whether a webhook is of type 6, and about a shop of a removal of this run.
    fn is_of_removal(&self, notification: &Notification) -> bool {
        let id = notification.shop_id();
        let follows = |at: u64| at <= notification.at && is_not_before(notification, at);
        notification.event() == Some(SELLER_DEAUTHORIZATION)
            && self.removals.iter().any(|removal| follows(removal.at))
            && self.shops.iter().any(|shop| Some(&shop.id) == id.as_ref())
    }

    /// Tells whether a webhook is about an event of this run. TikTok Shop may still send those of an earlier run again.
    fn is_of_run(&self, notification: &Notification) -> bool {
        is_not_before(notification, self.at_tiktok_shop(Duration::from_secs(self.began_at)))
    }

    /// Returns the first arrival of each notification of this run, in the order of their arrival.
    fn first_arrivals<'n>(&self, notifications: &'n [Notification]) -> Vec<&'n Notification> {
        let mut seen = BTreeSet::new();
        notifications.iter().filter(|n| self.is_of_run(n) && seen.insert(&n.raw)).collect()
    }

    fn judge_forms(&mut self, notifications: &[Notification]) {
        if notifications.is_empty() {
            let finding = self.no_webhook();
            return OF_EVERY_WEBHOOK.into_iter().for_each(|switch| self.find(switch, finding.clone()));
        }
        let form = |of: &dyn Fn(&Notification) -> Option<&'static str>| {
            let forms: BTreeSet<_> = notifications.iter().map(of).collect();
            match (forms.len(), forms.first()) {
                (1, Some(Some(form))) => Finding::seen(*form, format!("in {} webhooks", notifications.len())),
                _ => Finding::unclear("webhooks differ in it, or it has another form"),
            }
        };
        let id = form(&|n| match n.body.get("tts_notification_id") {
            None => Some("missing"),
            Some(Value::String(_)) => Some("text"),
            Some(Value::Number(_)) => Some("number"),
            Some(_) => None,
        });
        let text_or_number = |value: &Value| match (value.is_string(), value.as_u64()) {
            (true, _) => Some("text"),
            (false, Some(_)) => Some("number"),
            (false, None) => None,
        };
        let shop_id = form(&|n| text_or_number(n.body.get("shop_id")?));
        let timestamp = form(&|n| {
            let timestamp = n.body.get("timestamp")?;
            Some(match timestamp.as_u64() {
                Some(number) if is_milliseconds(number) => "milliseconds",
                Some(_) => "seconds",
                None => timestamp.as_str().map(|_| "text")?,
            })
        });
        let data = form(&|n| {
            let data = n.body.get("data")?;
            let is_object = n.data().is_some_and(|data| data.is_object());
            is_object.then(|| if data.is_string() { "text" } else { "json" })
        });
        let body = form(&|n| Some(if n.as_signed { "as-signed" } else { "re-encoded" }));
        for (switch, finding) in OF_EVERY_WEBHOOK.into_iter().zip([id, shop_id, timestamp, data, body]) {
            self.find(switch, finding);
        }
    }

    fn judge_notices_of_the_end(&mut self, notifications: &[Notification]) {
        let notices: Vec<_> = notifications.iter().filter(|n| n.event() == Some(UPCOMING_EXPIRATION)).collect();
        let none = || {
            Finding::not_observable(
                "no webhook of type 7 arrived; TikTok Shop sends it in the last 30 days of an authorization",
            )
        };
        let forms: BTreeSet<_> = notices
            .iter()
            .map(|n| match n.data().and_then(|data| data.get("expiration_time").cloned()) {
                Some(Value::String(_)) => Some("text"),
                Some(Value::Number(_)) => Some("number"),
                Some(_) | None => None,
            })
            .collect();
        let finding = match (forms.len(), forms.first()) {
            (0, _) => none(),
            (1, Some(Some(form))) => Finding::seen(*form, format!("in {} webhooks of type 7", notices.len())),
            _ => Finding::unclear("webhooks of type 7 differ in it, or it has another form"),
        };
        self.find(Switch::ExpirationTime, finding);
        let times: BTreeSet<_> = notices.iter().filter_map(|n| n.timestamp()).collect();
        let at = |second: u64| times.iter().filter(|time| **time % DAY == second).count();
        let finding = match (at(0), at(DAY - 8 * 3_600)) {
            _ if notices.is_empty() => none(),
            (utc @ 2.., 0) => Finding::seen("utc", format!("{utc} notices are of 0:00 UTC")),
            (0, ahead @ 2..) => Finding::seen("utc-plus8", format!("{ahead} notices are of 16:00 UTC")),
            _ => Finding::unclear("too few notices arrived, or they are of another time of day"),
        };
        self.find(Switch::EndingNoticeZone, finding);
    }

    /// Judges copies by the first notification, which was answered 200, and what follows a 401 by the second.
    fn judge_delivery(&mut self, notifications: &[Notification]) {
        let now = self.now();
        let firsts = self.first_arrivals(notifications);
        let later = |first: &Notification| -> Vec<u64> {
            let same = notifications.iter().filter(|n| n.raw == first.raw);
            same.map(|n| n.at.saturating_sub(first.at)).collect()
        };
        let waited = |first: &Notification| now.saturating_sub(first.at);
        let copies = match firsts.first() {
            None => self.no_webhook(),
            Some(first) if first.answered != 200 => Finding::unclear("the first webhook was not answered 200"),
            Some(first) => match later(first).iter().filter(|after| **after < COPIES_WITHIN).count() {
                2 => Finding::seen("two", "the first webhook arrived twice within a minute"),
                1 if waited(first) > SENT_AGAIN_FOR => {
                    Finding::seen("one", format!("no copy of the first webhook arrived within {SENT_AGAIN_FOR} s"))
                }
                1 => Finding::unclear(format!(
                    "no copy of the first webhook arrived within {} s, and TikTok Shop sends webhooks again for longer; {OF_WAIT}",
                    waited(first)
                )),
                number => Finding::unclear(format!("the first webhook arrived {number} times within a minute")),
            },
        };
        let refused = match firsts.get(1) {
            None => Finding::not_observable("no second webhook arrived that could be answered 401"),
            Some(second) if second.answered != 401 => Finding::unclear("the second webhook was not answered 401"),
            Some(second) if later(second).iter().any(|after| *after >= COPIES_WITHIN) => {
                Finding::seen("sent-again", "a webhook that was answered 401 arrived again")
            }
            Some(second) if waited(second) > SENT_AGAIN_FOR => {
                Finding::seen("delivered", format!("it did not arrive again within {SENT_AGAIN_FOR} s"))
            }
            Some(second) => Finding::unclear(format!(
                "it did not arrive again within {} s, and TikTok Shop sends webhooks again for longer; {OF_WAIT}",
                waited(second)
            )),
        };
        self.find(Switch::WebhookCopies, copies);
        self.find(Switch::RefusedWebhook, refused);
    }

    fn judge_grant_notices(&mut self, notifications: &[Notification]) {
        // The events that concern a whole grant: its removal, and each announcement of its end.
        let first_removal = self.removals.iter().map(|removal| removal.at).min();
        let mut events: BTreeMap<(u64, u64), (BTreeSet<String>, u64)> = BTreeMap::new();
        for notification in notifications {
            let (Some(event), Some(timestamp)) = (notification.event(), notification.timestamp()) else { continue };
            let counts = match event {
                SELLER_DEAUTHORIZATION => self.removed_at_once.is_some() && self.is_of_removal(notification),
                UPCOMING_EXPIRATION => {
                    self.is_of_run(notification) && first_removal.is_none_or(|removal| timestamp < removal)
                }
                _ => false,
            };
            if counts && let Some(id) = notification.shop_id() {
                let (ids, latest) = events.entry((event, timestamp)).or_default();
                ids.insert(id);
                *latest = notification.at.max(*latest);
            }
        }
        let shops = self.removed_at_once.unwrap_or(self.shops.len());
        let finding = if events.is_empty() {
            Finding::not_observable("no webhook about a whole grant arrived")
        } else if shops < 2 {
            Finding::not_observable("the grant has only one shop")
        } else if events.values().all(|(ids, _)| ids.len() == shops) {
            Finding::seen("each-shop", format!("one event caused a webhook for each of {shops} shops"))
        } else if events.values().all(|(ids, _)| ids.len() == 1)
            && events.values().any(|(_, latest)| self.now().saturating_sub(*latest) > SENT_AGAIN_FOR)
        {
            Finding::seen("one", format!("one event caused one webhook for {shops} shops"))
        } else {
            Finding::unclear("webhooks came for some of the shops only, or others may still come")
        };
        self.find(Switch::GrantNotices, finding);
    }

    fn judge_delay(&mut self, notifications: &[Notification]) {
        let delays: Vec<u64> = self
            .first_arrivals(notifications)
            .into_iter()
            .filter(|n| self.is_of_removal(n))
            .filter_map(|n| {
                let id = n.shop_id()?;
                let own = self.removals.iter().find(|removal| removal.shop_id == id);
                // The removal of one shop has removed the other shops, too.
                let of_grant = self.removed_at_once.and_then(|_| self.removals.first());
                Some(n.at.saturating_sub(own.or(of_grant)?.at))
            })
            .collect();
        let finding = match (delays.iter().min(), delays.iter().max()) {
            (Some(_), Some(0)) => Finding::seen("none", "a webhook arrived in the second of the event"),
            // The transmission of a webhook takes time. So a short delay may be the transmission alone.
            (Some(_), Some(longest)) if *longest <= AT_ONCE => Finding::unclear(format!(
                "a webhook arrived {longest} s after the event, so the delay is short or none"
            )),
            (Some(shortest), Some(longest)) if longest - shortest <= AT_ONCE.max(shortest / 100) => Finding::Seen {
                value: json!({ "seconds": shortest }),
                at_most_seconds: Some(*longest),
                why: format!("webhooks arrived {shortest} to {longest} s after the event"),
            },
            (Some(shortest), Some(longest)) => {
                Finding::unclear(format!("webhooks arrived {shortest} to {longest} s after the event"))
            }
            _ => Finding::not_observable("no webhook arrived about a removal of this run"),
        };
        self.find(Switch::WebhookDelay, finding);
    }
}

/// Returns whether the event of a webhook is certainly not older than this time.
fn is_not_before(notification: &Notification, at: u64) -> bool {
    notification.timestamp().is_some_and(|timestamp| timestamp.saturating_add(CLOCK_TOLERANCE) >= at)
}

/// Removes the white space outside the texts of a JSON value.
fn without_spaces(json: &[u8]) -> Vec<u8> {
    let (mut in_text, mut escaped) = (false, false);
    let mut kept = Vec::with_capacity(json.len());
    for byte in json {
        if !in_text && byte.is_ascii_whitespace() {
            continue;
        }
        in_text = in_text != (*byte == b'"' && !escaped);
        escaped = in_text && *byte == b'\\' && !escaped;
        kept.push(*byte);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spaces_outside_texts_are_removed() {
        let spaced = b"{\n  \"a b\" : [ 1, \"c \\\" d\\\\\" ] }\n";
        assert_eq!(without_spaces(spaced), b"{\"a b\":[1,\"c \\\" d\\\\\"]}");
    }
}
