//! After a killed link-shops, disconnect or webhook: the same call, made again by another host, finishes it.

use tiktok_shop_host_harness::{CLAIM, EventKind, ReauthorizationReason, UnixSeconds, WebhookEffect};

use super::Operation;
use super::call::{Answer, Call, list_connections};
use super::legal::End;
use super::scene::Scene;
use crate::tenant;

impl Scene {
    /// Makes the call again.
    pub(super) async fn repeat(&self, end: &End) -> Result<(), String> {
        self.stage.advance(CLAIM.as_secs() + 1);
        let answer = self.call.clone().make(self.stage.host_builder()).await;
        self.ends(&answer.map_err(|error| format!("made again: {error}"))?, end).await
    }

    /// The answer is right, and so is all that the call and the next refresh have left.
    pub(super) async fn ends(&self, answer: &Answer, end: &End) -> Result<(), String> {
        let is_right = match (self.operation, answer) {
            (Operation::LinkShops, Answer::Connection(connection)) => self.listed().await == [(**connection).clone()],
            (Operation::Disconnect, Answer::Disconnected(ended)) => ended.remaining.is_empty(),
            (Operation::DisconnectShop, Answer::Disconnected(ended)) => self.listed().await == ended.remaining,
            (Operation::Webhook6, Answer::Webhook(webhook)) => webhook.effect == WebhookEffect::VerificationDue,
            (Operation::Webhook7, Answer::Webhook(webhook)) => webhook.effect == WebhookEffect::AuthorizationEnding,
            _ => false,
        };
        if !is_right {
            return Err(format!("the wrong answer: {answer:?}"));
        }
        if self.operation == Operation::Webhook6 && self.swept(UnixSeconds(self.stage.fake.now())).await.is_none() {
            return Err("a sweep would not verify it at once".to_owned());
        }
        if let Some(rotation) = end.refresh {
            let refreshed = Call::Refresh(rotation).make(self.stage.host_builder()).await;
            refreshed.map_err(|error| format!("the next refresh: {error}"))?;
        }
        let stored = self.in_words().await;
        if stored != end.stored {
            return Err(format!("it ended in {stored:?} in place of {:?}", end.stored));
        }
        if let Some(wrong) = self.lingers().await {
            return Err(wrong);
        }
        self.is_as_tiktok_has_it().await?;
        self.events_came_once(end.event).await
    }

    /// The newest token is honoured; where none is left, TikTok Shop has taken back all it ever issued.
    async fn is_as_tiktok_has_it(&self) -> Result<(), String> {
        let honoured = self.words().honoured();
        let stored = self.stored().await.and_then(|(_, record)| record.into_current().refresh);
        match stored {
            Some(token) if !self.stage.fake.honours(token.expose()) => Err("its token is not honoured".to_owned()),
            None if honoured > 0 => Err(format!("TikTok Shop still honours {honoured} tokens")),
            Some(_) | None => Ok(()),
        }
    }

    /// What has tokens will be swept. What has none is neither swept nor listed, whatever is left of it.
    pub(super) async fn lingers(&self) -> Option<String> {
        let stored = self.stored().await.map(|(key, _)| key);
        if self.swept(UnixSeconds(u64::MAX)).await != stored {
            return Some("a sweep would come to what has no tokens, or to none".to_owned());
        }
        match stored {
            Some(_) => None,
            None => match list_connections(self.stage.host_builder()).await {
                Ok(listed) => (!listed.is_empty()).then(|| "list-connections shows what has no tokens".to_owned()),
                Err(error) => Some(format!("list-connections: {error}")),
            },
        }
    }

    async fn events_came_once(&self, event: Option<EventKind>) -> Result<(), String> {
        let expected: Vec<_> = [EventKind::Connected].into_iter().chain(event).collect();
        let events = self.stage.storage.events(&tenant(0), None, 10).await.expect("storage in memory");
        let mut events: Vec<_> = events.into_iter().map(|event| event.event.kind).collect();
        // Asked again after it has taken all back, TikTok Shop says so, and the connection is shown as dead before it goes.
        let revoked = EventKind::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked);
        if self.operation == Operation::Disconnect && events.get(1) == Some(&revoked) {
            events.remove(1);
        }
        if events == expected { Ok(()) } else { Err(format!("events: {events:?}")) }
    }
}
