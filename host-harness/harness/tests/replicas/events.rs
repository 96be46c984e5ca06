//! Reads the tenant's events as a platform does: page by page, behind the cursor of the page before. Then compares what
//! it has read with the table, and with what the customers have seen.

use std::collections::BTreeMap;

use fake_tiktok_shop::ReplacedRefreshToken;
use fastrand::Rng;
use serde_json::Value;

use crate::customer::{Customer, State};
use crate::stage::Stage;

/// The number of steps after which the platform looks for new events.
const STEPS_BETWEEN_READS: u64 = 60;

pub(crate) struct Reader {
    rng: Rng,
    cursor: Option<String>,
    events: Vec<Value>,
}

impl Reader {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, cursor: None, events: Vec::new() }
    }

    /// Reads new events again and again, until `over` completes.
    pub(crate) async fn follow(&mut self, stage: &Stage, over: impl Future<Output = ()>) {
        let mut over = std::pin::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                () = stage.activity.further(STEPS_BETWEEN_READS) => {}
            }
            self.read_new(stage).await;
        }
    }

    /// Reads all events behind the cursor. Asserts that each has the next position.
    pub(crate) async fn read_new(&mut self, stage: &Stage) {
        loop {
            let limit = self.rng.u32(1..=9);
            let cursor = self.cursor.as_ref().map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
            let page = stage.get(&format!("/v1/events?limit={limit}{cursor}")).await;
            let events = page["events"].as_array().unwrap();
            if events.is_empty() {
                return;
            }
            for event in events {
                assert_eq!(event["position"], self.events.len() + 1, "{event}");
                self.events.push(event.clone());
            }
            self.cursor = Some(page["next_cursor"].as_str().unwrap().to_owned());
        }
    }

    /// Asserts that the reader has seen every event, and that the events tell what the customers have seen.
    pub(crate) async fn check(&self, stage: &Stage, customers: &[Customer], replaced: ReplacedRefreshToken) {
        let mut again = Self::new(self.rng.clone());
        again.read_new(stage).await;
        assert_eq!(again.events, self.events, "no event came between events that were already read");
        let mut stories: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for event in &self.events {
            stories.entry(event["customer"].as_str().unwrap()).or_default().push(event);
        }
        for customer in customers {
            let story = stories.remove(&*customer.id()).unwrap_or_default();
            check_story(customer, &story, replaced);
            stage.receiver.check(&customer.id(), &story, &customer.seen.notifications);
        }
        assert!(stories.is_empty(), "{stories:?}");
    }

    pub(crate) fn count(&self) -> usize {
        self.events.len()
    }
}

/// Asserts that the events of a customer fit together, and contain everything that the customer has seen.
fn check_story(customer: &Customer, story: &[&Value], replaced: ReplacedRefreshToken) {
    let id = customer.id();
    let count = |kind: &str| story.iter().filter(|event| event["event"] == kind).count();
    let (mut is_connected, mut consented_at, mut ended) = (false, 0, 0);
    for event in story {
        let at = event["at"].as_u64().unwrap();
        if event["event"] == "connected" || event["event"] == "consent-renewed" {
            consented_at = at;
        }
        match event["event"].as_str().unwrap() {
            "connected" => {
                assert!(!is_connected, "{id} was connected twice: {story:#?}");
                is_connected = true;
            }
            "disconnected" => {
                assert!(is_connected, "{id} was disconnected without a connection: {story:#?}");
                is_connected = false;
            }
            "reauthorization-required" => {
                assert!(is_connected, "{id} lost a connection that it did not have: {story:#?}");
                ended += 1;
                // No time passes during a day, so this shows the day of the end.
                let was_ended = customer.seen.ends.iter().any(|end| (consented_at..=at).contains(end));
                let may_be = match (event["reason"].as_str().unwrap(), replaced) {
                    // An old token still works. So TikTok Shop refuses all tokens only after the seller has removed the
                    // app, or after a disconnect has revoked the grant. A sweep may notice this before the webhook
                    // arrives. If a kill has lost the answer to an earlier refresh, the reason is
                    // `refresh-outcome-unknown`.
                    ("refresh-outcome-unknown" | "authorization-revoked", ReplacedRefreshToken::Honoured) => {
                        was_ended && ended <= customer.seen.ends.len()
                    }
                    // TikTok Shop has acted on a refresh, its answer was lost by a kill, and TikTok Shop refuses the old
                    // token (docs/refresh.md).
                    ("refresh-outcome-unknown", _) => true,
                    ("authorization-revoked", _) => customer.seen.removal_notices > 0 || was_ended,
                    _ => false,
                };
                assert!(may_be, "{id}, {:?}: {story:#?}", customer.seen);
            }
            _ => assert!(is_connected, "{id}, {:?}: {event} {story:#?}", customer.seen),
        }
    }
    assert_eq!(is_connected, customer.state != State::None, "{id}: {story:#?}");
    assert!(count("disconnected") >= customer.seen.disconnected, "{id}: {story:#?}");
    for session in &customer.seen.connected {
        let reason = format!("connect session {session}");
        let consent = |event: &&&Value| {
            event["stated_reason"] == *reason
                && ["connected", "consent-renewed"].contains(&event["event"].as_str().unwrap())
        };
        assert_eq!(story.iter().filter(consent).count(), 1, "{id} {session}: {story:#?}");
    }
}
