//! Refreshes the tokens, as a connector does every few days.

use serde_json::Value;

use crate::finding::Finding;
use crate::http::Answer;
use crate::report::Ended;
use crate::session::{BAD_REQUEST, Grant, Session, TokenState, refuses_refresh_token};
use crate::switch::Switch;
use crate::world::World;

impl<W: World> Session<'_, W> {
    /// Refreshes the tokens, asks whether the earlier access token works, and tries the other grant type.
    pub(crate) async fn refresh_tokens(&mut self) -> Result<(), Ended> {
        let Some(before) = self.grant.as_ref().map(Grant::copy) else { return Ok(()) };
        self.step("Refreshed the tokens, and used the earlier access token.");
        let answer = self.refresh(&before.refresh, "").await?;
        let Some(after) = self.renewed(&answer, &before)? else { return Ok(()) };
        self.judge_refresh_token(&answer, &before);
        if after.access.same_as(&before.access) {
            let why = "a refresh returned the access token that was in use";
            self.find(Switch::AccessTokenAfterRefresh, Finding::not_observable(why));
        } else {
            let listed = self.list_shops(&after.access, "with the new access token").await?;
            let good = listed.verdict();
            self.good = Some(good);
            let finding = match self.state_of(&before.access, good, "with the earlier access token").await? {
                TokenState::Works => Finding::seen("honoured", "it works right after the refresh"),
                TokenState::Invalid => Finding::seen("refused", "it is refused right after the refresh"),
                TokenState::Expired | TokenState::Unknown => {
                    Finding::unclear("the answer says neither that it works nor that it is invalid")
                }
            };
            self.find(Switch::AccessTokenAfterRefresh, finding);
        }

        self.step("Refreshed the tokens with the grant type authorized_code, then with refresh_token.");
        let other = self.refresh_with(&after.refresh, None, "authorized_code", "grant type authorized_code").await?;
        if let Some(grant) = self.read_grant(&other, Some(&after)) {
            self.find(Switch::RefreshGrantType, Finding::seen("either", "a refresh with authorized_code succeeds"));
            self.hold(grant);
            return Ok(());
        }
        let words = other.in_words();
        let answer = self.refresh(&after.refresh, "grant type refresh_token").await?;
        let Some(_) = self.renewed(&answer, &after)? else { return Ok(()) };
        let finding = if other.code() == Some(BAD_REQUEST) {
            let why =
                format!("a refresh with authorized_code gets {words}; the same token then works with refresh_token");
            Finding::seen("refresh-token", why)
        } else {
            Finding::unclear(format!("a refresh with authorized_code gets {words}, which may have another reason"))
        };
        self.find(Switch::RefreshGrantType, finding);
        Ok(())
    }

    /// Uses the tokens of a refresh from now on. If TikTok Shop refused the refresh, the grant counts as ended.
    pub(super) fn renewed(&mut self, answer: &Answer, before: &Grant) -> Result<Option<Grant>, Ended> {
        let Some(grant) = self.read_grant(answer, Some(before)) else {
            let message = self.shown(answer.message());
            self.saw(format!("a refresh with the newest refresh token gets {}, “{message}”", answer.in_words()));
            if !refuses_refresh_token(answer) {
                return Err(Ended::Refused(format!("a refresh gets {} and no access token", answer.in_words())));
            }
            self.lose_grant();
            return Ok(None);
        };
        let copy = grant.copy();
        self.hold(grant);
        Ok(Some(copy))
    }

    fn judge_refresh_token(&mut self, answer: &Answer, before: &Grant) {
        let no_token = || Finding::not_observable("the answer to a refresh contains no refresh token");
        let (field, on_refresh) = match answer.data().and_then(|data| data.get("refresh_token")) {
            None => (Finding::seen("missing", "the answer has no refresh_token"), no_token()),
            Some(Value::String(text)) if text.is_empty() => {
                (Finding::seen("empty", "refresh_token is an empty text"), no_token())
            }
            Some(Value::String(text)) if text == " " => {
                (Finding::seen("blank", "refresh_token is a single space"), no_token())
            }
            Some(Value::String(text)) if !text.trim().is_empty() => {
                let on_refresh = if text == before.refresh.expose() {
                    Finding::seen("unchanged", "a refresh returns the refresh token that was sent")
                } else {
                    Finding::seen("new", "a refresh returns another refresh token")
                };
                (Finding::seen("present", "the answer has a refresh_token"), on_refresh)
            }
            Some(_) => (Finding::unclear("refresh_token has another form"), no_token()),
        };
        self.find(Switch::RefreshTokenField, field);
        self.find(Switch::RefreshTokenOnRefresh, on_refresh);
    }
}
