//! Asks the seller to decide, reads the callback, and exchanges the code.

use std::collections::BTreeSet;

use tiktok_shop_connector_core::authorization_link::{LinkScheme, with_state};
use tiktok_shop_connector_core::secret::State;
use zeroize::Zeroizing;

use crate::finding::Finding;
use crate::http::Answer;
use crate::report::Ended;
use crate::session::{Grant, Session, TokenState, random_text};
use crate::settings::Refusal;
use crate::switch::Switch;
use crate::words::{span, time};
use crate::world::{Decision, NoCallback, World};

/// The parameters of a callback, decoded.
struct Callback(Vec<(String, Zeroizing<String>)>);

impl Callback {
    fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        Self(pairs.map(|(name, value)| (name, Zeroizing::new(value))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn names(&self) -> BTreeSet<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl<W: World> Session<'_, W> {
    /// Asks the seller to refuse once.
    pub(crate) async fn see_a_refusal(&mut self) -> Result<(), Ended> {
        if self.settings.refusal == Refusal::Omitted {
            self.find(
                Switch::RefusalError,
                Finding::not_observable("--no-refusal left it out; run the probe without this option to see it"),
            );
            return Ok(());
        }
        self.step("Asked the seller to refuse the app.");
        let Some(callback) = self.ask(Decision::Refuse).await? else {
            self.find(
                Switch::RefusalError,
                Finding::not_observable("the refusal was skipped; run the probe again, and refuse the app once"),
            );
            return Ok(());
        };
        let error = callback.get("error").map(|text| self.shown(text));
        let code = match callback.get("code") {
            None => "no code",
            Some("null") => "the code null",
            Some(_) => "another code",
        };
        let finding = match error.as_deref() {
            Some(error @ ("auth_denied" | "access_denied")) => {
                Finding::seen(error, format!("the callback of a refusal has {code}"))
            }
            Some(error) => Finding::unclear(format!("the callback of a refusal has the error {error} and {code}")),
            None => Finding::unclear(format!("the callback has no error and {code}; was the app refused?")),
        };
        self.find(Switch::RefusalError, finding);
        Ok(())
    }

    /// Gets the first consent of the run.
    pub(crate) async fn consent_first(&mut self) -> Result<(), Ended> {
        self.step("Asked the seller to allow the app, and exchanged the code.");
        let (grant, answer) = self.consent().await?;
        for (name, what) in [("access_token", "an access token lives"), ("refresh_token", "an authorization lasts")] {
            let lives = answer.number(&format!("{name}_expire_in")).map(|end| match end.checked_sub(self.now()) {
                Some(seconds) => {
                    format!("{}; the answer gives the point in time of its end, {}", span(seconds), time(end))
                }
                None => format!("unknown; the answer gives {end}, which is no point in the future"),
            });
            self.fact(what, lives.unwrap_or_else(|| "unknown; the answer does not say".to_owned()));
        }
        let user_type = answer.number("user_type").map_or_else(|| "missing".to_owned(), |kind| kind.to_string());
        self.fact("user_type", user_type);
        self.account.clone_from(&grant.account);
        self.find(Switch::TokenPrefix, token_prefix(grant.access.expose(), grant.refresh.expose()));
        let scopes = answer.data().and_then(|data| data.get("granted_scopes"));
        match scopes.and_then(serde_json::Value::as_array) {
            Some(scopes) => {
                self.scopes = Some(scopes.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect());
            }
            None if scopes.is_none() => {
                self.find(Switch::GrantedScopesField, Finding::seen("missing", "a token answer has no granted_scopes"));
            }
            None => self.find(Switch::GrantedScopesField, Finding::unclear("granted_scopes is no list")),
        }
        let scopes = self.scopes.as_ref().map(|scopes| scopes.join(", "));
        self.fact("granted scopes", scopes.unwrap_or_else(|| "not told".to_owned()));
        self.hold(grant);
        Ok(())
    }

    /// Gets another consent, compares the ciphers, and asks whether the earlier access token works.
    pub(crate) async fn consent_again(&mut self) -> Result<(), Ended> {
        let Some(earlier) = self.grant.as_ref().map(Grant::copy) else { return Ok(()) };
        self.step("Asked the seller to allow the app again, exchanged the code, and listed the shops.");
        let access = self.later_consent().await?.access;
        let before = std::mem::take(&mut self.shops);
        let listed = self.list_shops(&access, "after the second consent").await?;
        let good = listed.verdict();
        let after = self.read_shops(&listed).unwrap_or_default();
        let pairs: Vec<_> = before
            .iter()
            .filter_map(|old| {
                let new = after.iter().find(|new| new.id == old.id)?;
                Some(old.cipher.as_ref()?.same_as(new.cipher.as_ref()?))
            })
            .collect();
        let same = pairs.iter().filter(|same| **same).count();
        let finding = match (pairs.len(), same) {
            (0, _) => Finding::not_observable("no shop has a cipher before and after the second consent"),
            (all, same) if same == all => Finding::seen("unchanged", format!("{all} of {all} ciphers are the same")),
            (all, 0) => Finding::seen("new", format!("{all} of {all} ciphers are new")),
            (all, same) => Finding::unclear(format!("{same} of {all} ciphers are the same")),
        };
        self.find(Switch::CiphersOnConsent, finding);
        self.shops = after;
        self.good = Some(good);

        let finding = match self.state_of(&earlier.access, good, "the access token of the first consent").await? {
            TokenState::Works => Finding::seen("honoured", "it works right after the second consent"),
            TokenState::Invalid => Finding::seen("refused", "it is refused right after the second consent"),
            TokenState::Expired | TokenState::Unknown => {
                Finding::unclear("the answer says neither that it works nor that it is invalid")
            }
        };
        self.find(Switch::AccessTokenAfterConsent, finding);
        self.find(
            Switch::RefreshTokenAfterConsent,
            Finding::not_observable("it needs a step that may end the consent"),
        );
        self.earlier = Some(earlier);
        Ok(())
    }

    /// Returns a grant that works: the current one, or that of another consent.
    pub(crate) async fn working_grant(&mut self) -> Result<Grant, Ended> {
        if let Some(grant) = &self.grant {
            return Ok(grant.copy());
        }
        self.step("Asked the seller to allow the app once more, because the consent has ended.");
        self.later_consent().await
    }

    /// Gets a consent of the same seller as the first. Another seller's consent ends the run, because the next steps
    /// may cost a consent.
    async fn later_consent(&mut self) -> Result<Grant, Ended> {
        let (grant, _) = self.consent().await?;
        let copy = grant.copy();
        let before = self.grant.as_ref().map(|grant| grant.ends);
        self.hold(grant);
        if is_same_account(self.account.as_deref(), copy.account.as_deref()) {
            return Ok(copy);
        }
        let until = [before, Some(copy.ends)];
        self.set_still_valid(until.into_iter().flatten().map(standing));
        let why = "a later consent does not show the open_id of the first, so it may be another seller's";
        Err(Ended::NoConsent(why.to_owned()))
    }

    /// Asks the seller to allow the app, and exchanges the code.
    async fn consent(&mut self) -> Result<(Grant, Answer), Ended> {
        let callback = self.ask(Decision::Allow).await?;
        let callback = callback.ok_or_else(|| Ended::NoConsent("the consent was skipped".to_owned()))?;
        if let Some(error) = callback.get("error") {
            let error = self.shown(error);
            return Err(Ended::NoConsent(format!("the seller refused the app ({error})")));
        }
        let code = callback.get("code").filter(|code| !matches!(*code, "" | "null"));
        let code = code.ok_or_else(|| Ended::NoConsent("the callback has no code".to_owned()))?;
        self.keep_secret(code);
        self.set_still_valid(Some(
            "The code of the consent, which works once within 30 minutes. It was not stored.".to_owned(),
        ));
        let extras = callback.names().into_iter().filter(|name| !matches!(*name, "code" | "state"));
        let extras: BTreeSet<_> = extras.collect();
        let names = extras.iter().copied().collect::<Vec<_>>().join(", ");
        let finding = if extras.is_empty() {
            Finding::seen("none", "the callback has only code and state")
        } else if extras == BTreeSet::from(["app_key", "locale", "shop_region"]) {
            Finding::seen("app-key-locale-and-region", format!("the callback also has {names}"))
        } else {
            let names = self.shown(&names);
            Finding::unclear(format!("the callback also has {names}"))
        };
        self.find(Switch::CallbackExtras, finding);

        let answer = self.exchange(code, None, "").await?;
        let grant = self.read_grant(&answer, None).ok_or_else(|| {
            let message = self.shown(answer.message());
            Ended::Refused(format!(
                "the code of the consent gets {}, “{message}”; the code was used or is too old, or the app secret is wrong",
                answer.in_words()
            ))
        })?;
        if self.lasts == u64::MAX {
            self.world.say(
                "From now on, an authorization stands until the seller removes the app in Seller Center, also if this \
                 command is killed. Its tokens are in memory only.",
            );
        }
        self.lasts = grant.ends.saturating_sub(self.now());
        Ok((grant, answer))
    }

    /// Asks the seller for a decision and checks the state of the callback. Returns `None` if the decision was skipped.
    async fn ask(&mut self, decision: Decision) -> Result<Option<Callback>, Ended> {
        self.check_stop()?;
        let state = random_text()?;
        self.keep_secret(&state);
        let link = self.settings.app.authorization_link.as_deref();
        let link = with_state(link, LinkScheme::Https, &State::new(state.to_string()))
            .map_err(|error| Ended::NoConsent(format!("the authorization link can't be used: {}", error.detail())))?;
        let query = match self.world.callback(&link, decision).await {
            Ok(query) => query,
            Err(NoCallback::Skipped) => return Ok(None),
            Err(NoCallback::Stopped) => return Err(Ended::Stopped),
            Err(NoCallback::Failed(why)) => return Err(Ended::NoConsent(why)),
        };
        let callback = Callback::parse(&query);
        for (name, value) in &callback.0 {
            if !matches!(name.as_str(), "error" | "locale" | "shop_region") && value.as_str() != "null" {
                self.keep_secret(value);
            }
        }
        let names = callback.names().into_iter().collect::<Vec<_>>().join(", ");
        let names = self.shown(&names);
        self.saw(format!("the callback has {names}"));
        match callback.get("state") {
            Some(returned) if returned == state.as_str() => Ok(Some(callback)),
            Some(_) => Err(Ended::NoConsent("the callback has another state, so it is not of this consent".to_owned())),
            None => Err(Ended::NoConsent("the callback has no state, so it may not be of this consent".to_owned())),
        }
    }

    /// Uses this grant from now on, and tells what stays valid if the run ends now.
    pub(crate) fn hold(&mut self, grant: Grant) {
        self.set_still_valid(Some(standing(grant.ends)));
        self.grant = Some(grant);
    }

    /// Notes that the grant has ended.
    pub(crate) fn lose_grant(&mut self) {
        self.grant = None;
        self.set_still_valid(None);
    }
}

/// Returns whether two consents are certainly of the same seller.
fn is_same_account(first: Option<&str>, later: Option<&str>) -> bool {
    first.is_some() && first == later
}

/// Says that an authorization stands until this time, in seconds since 1970.
fn standing(until: u64) -> String {
    format!(
        "The authorization that this run has got, until {} or until the seller removes the app in Seller Center. Its \
         tokens were kept in memory only, so nobody can use them after the run.",
        time(until)
    )
}

/// Returns the part of a token up to its first underscore, if it looks like a prefix.
fn prefix(token: &str) -> Option<&str> {
    let (prefix, _) = token.split_once('_')?;
    let is_prefix = (1..=5).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_uppercase());
    is_prefix.then_some(prefix)
}

fn token_prefix(access: &str, refresh: &str) -> Finding {
    match (prefix(access), prefix(refresh)) {
        (Some("ROW"), Some("ROW")) => Finding::seen("row", "both tokens begin with ROW_"),
        (Some("GCP"), Some("GCP")) => Finding::seen("gcp", "both tokens begin with GCP_"),
        (Some("TTP"), Some("TTP")) => Finding::seen("ttp", "both tokens begin with TTP_"),
        (None, None) => Finding::seen("none", "neither token begins with letters in upper case and an underscore"),
        (access, refresh) => Finding::unclear(format!(
            "the access token begins with {}, the refresh token with {}",
            access.unwrap_or("no prefix"),
            refresh.unwrap_or("no prefix")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_consents_that_name_the_same_account_are_of_the_same_seller() {
        for (first, later, same) in [
            (Some("a"), Some("a"), true),
            (Some("a"), Some("b"), false),
            (Some("a"), None, false),
            (None, Some("a"), false),
            (None, None, false),
        ] {
            assert_eq!(is_same_account(first, later), same, "{first:?} {later:?}");
        }
    }

    #[test]
    fn a_prefix_is_named_only_if_both_tokens_have_it() {
        for (access, refresh, value) in [
            ("ROW_a", "ROW_b", Some("row")),
            ("GCP_a", "GCP_b", Some("gcp")),
            ("TTP_a", "TTP_b", Some("ttp")),
            ("abc_d", "0f9", Some("none")),
            ("ROW_a", "GCP_b", None),
            ("EUR_a", "EUR_b", None),
            ("ROW_a", "b", None),
        ] {
            let finding = token_prefix(access, refresh);
            assert_eq!(finding.value().and_then(serde_json::Value::as_str), value, "{access} {refresh}");
        }
    }
}
