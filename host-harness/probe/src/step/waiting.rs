//! Waits until tokens end by time, if the options allow the wait.

use crate::finding::Finding;
use crate::report::Ended;
use crate::session::{Grant, Session, TokenState};
use crate::settings::MAX_WAIT;
use crate::step::calls::failure_status;
use crate::switch::Switch;
use crate::words::{span, time, wait_option};
use crate::world::World;

/// The probe looks at a token this many seconds after its end, because clocks differ.
const AFTER_END: u64 = 5;
/// The probe refreshes the tokens this many seconds before the authorization ends.
pub(super) const BEFORE_END: u64 = 60;
/// What lasted until the end of an authorization counts as unlimited only if it lasted for this many seconds: the life
/// of an access token. In a shorter authorization, a limit may simply not have been reached.
pub(super) const UNLIMITED: u64 = 7 * 86_400;

/// Returns the reason for a question about something that ends later than the run may wait.
fn ends_later(what: &str, ends: u64, wait: u64) -> String {
    format!("{what} ends at {}, and the run may not wait so long; {}", time(ends), way_to_see(wait))
}

/// Returns what the user can do to see the end of something that ends after this wait.
fn way_to_see(wait: u64) -> String {
    if wait <= MAX_WAIT.as_secs() {
        format!("run the probe with {} to see it", wait_option(wait))
    } else {
        let limit = span(MAX_WAIT.as_secs());
        format!("--wait is at most {limit}, so only a consent that ends sooner can show it")
    }
}

impl<W: World> Session<'_, W> {
    /// Waits until the access token has ended, and uses it.
    pub(crate) async fn wait_for_an_expired_access_token(&mut self) -> Result<(), Ended> {
        let Some(grant) = self.grant.as_ref().map(Grant::copy) else { return Ok(()) };
        let (longest, now) = (self.settings.longest_wait.as_secs(), self.now());
        let wait = grant.access_ends.saturating_sub(now).saturating_add(AFTER_END);
        let why = if grant.access_ends <= now {
            "it is unknown when the access token ends".to_owned()
        } else if wait > longest {
            ends_later("the access token", grant.access_ends, wait)
        } else if grant.access_ends.saturating_add(2 * BEFORE_END) >= grant.ends {
            "the authorization ends before the access token".to_owned()
        } else {
            self.step("Waited until the access token had ended, used it, and refreshed the tokens.");
            self.wait(wait).await?;
            let answer = self.list_shops(&grant.access, "with an access token that has ended").await?;
            let finding = match answer.code() {
                Some(105_002) => failure_status(&answer),
                Some(_) | None => {
                    Finding::unclear(format!("an access token that has ended gets {}", answer.in_words()))
                }
            };
            self.find(Switch::Status105002, finding);
            let answer = self.refresh(&grant.refresh, "").await?;
            self.renewed(&answer, &grant)?;
            return Ok(());
        };
        self.find(Switch::Status105002, Finding::not_observable(why));
        Ok(())
    }

    /// Waits until the authorization has ended, and uses an access token that has not.
    pub(crate) async fn wait_for_the_end_of_the_authorization(&mut self) -> Result<(), Ended> {
        let longest = self.settings.longest_wait.as_secs();
        if self.grant.is_none() && self.lasts.saturating_add(AFTER_END) > longest {
            let why = format!(
                "the consent had ended before, and the run may not wait for the end of another one; {}",
                way_to_see(self.lasts.saturating_add(AFTER_END))
            );
            self.find(Switch::AccessTokenAfterEnd, Finding::not_observable(why));
            return Ok(());
        }
        let grant = self.working_grant().await?;
        let now = self.now();
        let wait = grant.ends.saturating_sub(now).saturating_add(AFTER_END);
        if grant.ends <= now || wait > longest {
            let why = if grant.ends <= now {
                "it is unknown when the authorization ends".to_owned()
            } else {
                ends_later("the authorization", grant.ends, wait)
            };
            self.find(Switch::AccessTokenAfterEnd, Finding::not_observable(why));
            return Ok(());
        }
        self.step("Waited until the authorization had ended, and used its tokens.");
        self.wait(grant.ends.saturating_sub(now).saturating_sub(BEFORE_END)).await?;
        let answer = self.refresh(&grant.refresh, "shortly before the end").await?;
        let Some(last) = self.renewed(&answer, &grant)? else {
            let why = "the last refresh before the end was refused";
            self.find(Switch::AccessTokenAfterEnd, Finding::unclear(why));
            return Ok(());
        };
        let good = self.list_shops(&last.access, "shortly before the end").await?.verdict();
        let rest = last.ends.saturating_sub(self.now()).saturating_add(AFTER_END);
        let is_moved = last.ends <= self.now() || rest > 3 * BEFORE_END;
        if last.access_ends < last.ends.saturating_add(AFTER_END) || is_moved {
            let why = "the access token ends with the authorization, or the refresh has moved the end";
            self.find(Switch::AccessTokenAfterEnd, Finding::not_observable(why));
            return Ok(());
        }
        self.wait(rest).await?;
        let state = self.state_of(&last.access, good, "after the end").await?;
        let finding = match state {
            TokenState::Works => Finding::seen("honoured", "it works after the authorization has ended"),
            TokenState::Invalid => Finding::seen("refused", "it is refused after the authorization has ended"),
            TokenState::Expired | TokenState::Unknown => {
                Finding::unclear("the answer says neither that it works nor that it is invalid")
            }
        };
        self.find(Switch::AccessTokenAfterEnd, finding);
        let answer = self.refresh(&last.refresh, "after the end").await?;
        let message = self.shown(answer.message());
        self.fact("a refresh after the authorization has ended", format!("{}, “{message}”", answer.in_words()));
        self.lose_grant();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reason names no option that the command refuses.
    #[test]
    fn a_wait_that_no_run_may_have_is_not_suggested() {
        let longest = MAX_WAIT.as_secs();
        assert_eq!(way_to_see(longest), "run the probe with --wait 400d to see it");
        let none = "--wait is at most 400 days, so only a consent that ends sooner can show it";
        for wait in [longest + 1, 36_136 * 86_400, u64::MAX] {
            assert_eq!(way_to_see(wait), none);
        }
    }
}
