//! The check after a killed confirmation of an install, link-shops, disconnect or webhook. Another host makes the same call again, and this call
//! must finish the operation.

use tiktok_shop_connector_core::contract::CLAIM_LIFE;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::webhook::WebhookEffect;

use super::Operation;
use super::call::{Answer, Call, list_connections};
use super::legal::End;
use super::scene::Scene;
use crate::tenant;

impl Scene {
    /// Moves the clocks forward, so that any claim that the kill has left has lapsed. (A claim is a note in the token
    /// record that one caller sends the refresh token now.) Then makes the call again, and checks the answer and the
    /// final state (see `check_end`).
    pub(super) async fn repeat(&self, end: &End) -> Result<(), String> {
        self.stage.advance(CLAIM_LIFE.as_secs() + 1);
        let answer = self.call.clone().make(self.stage.host_builder()).await;
        self.check_end(&answer.map_err(|error| format!("the second call: {error}"))?, end).await
    }

    /// Checks the answer of a call. If `end` names a refresh, makes this refresh. Then checks the stored state, the
    /// tokens at TikTok Shop and the events.
    pub(super) async fn check_end(&self, answer: &Answer, end: &End) -> Result<(), String> {
        let is_right = match (self.operation, answer) {
            (Operation::ConfirmInstall | Operation::LinkShops, Answer::Connection(connection)) => {
                self.listed().await == [(**connection).clone()]
            }
            (Operation::Disconnect, Answer::Disconnected(ended)) => ended.remaining.is_empty(),
            (Operation::DisconnectShop, Answer::Disconnected(ended)) => self.listed().await == ended.remaining,
            (Operation::Webhook6, Answer::Webhook(webhook)) => webhook.effect == WebhookEffect::VerificationDue,
            (Operation::Webhook7, Answer::Webhook(webhook)) => webhook.effect == WebhookEffect::AuthorizationEnding,
            _ => false,
        };
        if !is_right {
            return Err(format!("wrong answer: {answer:?}"));
        }
        if self.operation == Operation::Webhook6 && self.swept(UnixSeconds(self.stage.fake.now())).await.is_none() {
            return Err("a sweep would not verify the connection at once".to_owned());
        }
        if let Some(rotation) = end.refresh {
            let refreshed = Call::Refresh(rotation).make(self.stage.host_builder()).await;
            refreshed.map_err(|error| format!("the next refresh: {error}"))?;
        }
        let stored = self.in_words().await;
        if stored != end.stored {
            return Err(format!("{stored:?} is stored instead of {:?}", end.stored));
        }
        if let Some(problem) = self.sweep_or_list_problem().await {
            return Err(problem);
        }
        self.check_tokens_at_tiktok().await?;
        self.check_events(end.events).await
    }

    /// Checks that TikTok Shop accepts the stored refresh token. If no refresh token is stored, checks that TikTok Shop
    /// accepts no refresh token at all.
    async fn check_tokens_at_tiktok(&self) -> Result<(), String> {
        let honoured = self.words().honoured();
        let stored = self.stored().await.and_then(|(_, record)| record.into_current().refresh);
        match stored {
            Some(token) if !self.stage.fake.honours(token.expose()) => {
                Err("the stored refresh token is not honoured".to_owned())
            }
            None if honoured > 0 => Err(format!("TikTok Shop still honours {honoured} tokens")),
            Some(_) | None => Ok(()),
        }
    }

    /// Returns a description of the first problem, or `None` if there is no problem. If tokens are stored, a sweep must
    /// find their connection. If no tokens are stored, a sweep must find no connection, and `list-connections` must
    /// succeed and return no connection.
    pub(super) async fn sweep_or_list_problem(&self) -> Option<String> {
        let stored = self.stored().await.map(|(key, _)| key);
        if self.swept(UnixSeconds(u64::MAX)).await != stored {
            return Some("a sweep would find a connection without tokens, or miss one with tokens".to_owned());
        }
        match stored {
            Some(_) => None,
            None => match list_connections(self.stage.host_builder()).await {
                Ok(listed) => {
                    (!listed.is_empty()).then(|| "list-connections shows a connection without tokens".to_owned())
                }
                Err(error) => Some(format!("list-connections: {error}")),
            },
        }
    }

    /// Checks the recorded events. The events of the `connect` must come first, and before them the beginning of an
    /// install. Then exactly the events in `then` must follow.
    /// After a killed `disconnect`, two more events are allowed (see the comment in this function).
    async fn check_events(&self, then: &[&str]) -> Result<(), String> {
        let linked = if self.operation == Operation::Disconnect { "DE, FR" } else { "DE, FR, IE" };
        let mut expected = vec!["connected".to_owned(), format!("shops-linked {linked}")];
        if self.operation == Operation::ConfirmInstall {
            expected.insert(0, "install-begun".to_owned());
        }
        expected.extend(then.iter().map(|event| (*event).to_owned()));
        let events = self.stage.storage.events(&tenant(0), None, 10).await.expect("storage in memory");
        let words = self.words();
        let mut events: Vec<_> = events.iter().map(|event| words.event(&event.event.kind)).collect();
        // The killed call may already have revoked shops or the whole grant at TikTok Shop. The second call then learns
        // from TikTok Shop that they are revoked, and records this event before it deletes the connection.
        if self.operation == Operation::Disconnect {
            for learned in ["reauthorization-required: authorization-revoked", "shops-lost "] {
                if events.get(2).is_some_and(|event| event.starts_with(learned)) {
                    events.remove(2);
                }
            }
        }
        if events == expected { Ok(()) } else { Err(format!("events: {events:?}")) }
    }
}
