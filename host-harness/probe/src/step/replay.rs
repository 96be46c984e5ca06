//! Sends refresh tokens that should no longer be in use. TikTok Shop may take this for a theft and end the consent.

use serde_json::json;

use crate::finding::Finding;
use crate::http::Answer;
use crate::report::Ended;
use crate::session::{
    BAD_REQUEST, Grant, Session, TokenState, UNKNOWN_REFRESH_TOKEN, random_text, refuses_refresh_token,
};
use crate::step::token_host::CODE_FIRST;
use crate::step::waiting::{BEFORE_END, UNLIMITED};
use crate::switch::Switch;
use crate::world::World;

/// What a replay of a refresh token got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replay {
    /// A new pair of tokens.
    NewPair,
    /// The pair that the first refresh got.
    SamePair,
    /// A refusal. The newest tokens work.
    Refused,
    /// A refusal. The newest tokens do not work any more.
    Revoked,
    /// Something else.
    Other,
}

impl Replay {
    /// Returns the value of the switch for replays that get tokens during this number of seconds.
    fn value_for(self, seconds: u64) -> serde_json::Value {
        match self {
            Self::SamePair => json!({ "answered-again-for-seconds": seconds }),
            Self::NewPair | Self::Refused | Self::Revoked | Self::Other => json!({ "honoured-for-seconds": seconds }),
        }
    }
}

impl<W: World> Session<'_, W> {
    /// Sends the newest refresh token of the first consent, which the second consent may have ended.
    pub(crate) async fn use_the_refresh_token_of_the_earlier_consent(&mut self) -> Result<(), Ended> {
        let Some(earlier) = self.earlier.take() else { return Ok(()) };
        self.step("RISK: sent the refresh token of the first consent after the second.");
        let answer = self.refresh(&earlier.refresh, "of the first consent").await?;
        let works = self.read_grant(&answer, Some(&earlier)).is_some();
        let finding = if works {
            Finding::seen("honoured", "a refresh with it succeeds")
        } else if earlier.ends <= self.now() {
            Finding::not_observable("the first consent has ended by time")
        } else if refuses_refresh_token(&answer) {
            Finding::seen("refused", format!("a refresh with it gets {}", answer.in_words()))
        } else {
            Finding::unclear(format!("a refresh with it gets {}", answer.in_words()))
        };
        self.find(Switch::RefreshTokenAfterConsent, finding);
        Ok(())
    }

    /// Sends a valid refresh token with a wrong app secret, if an invented code has not shown how a wrong secret is
    /// answered.
    pub(crate) async fn send_a_valid_token_with_a_wrong_secret(&mut self) -> Result<(), Ended> {
        let Some(grant) = self.grant.as_ref().map(Grant::copy) else { return Ok(()) };
        if !self.is_unclear_because(Switch::WrongSecret, CODE_FIRST) {
            return Ok(());
        }
        self.step("RISK: sent a valid refresh token with a wrong app secret, then with the right one.");
        let secret = random_text()?;
        let wrong = self.refresh_with(&grant.refresh, Some(&secret), "refresh_token", "a wrong app secret").await?;
        if let Some(after) = self.read_grant(&wrong, Some(&grant)) {
            self.find(Switch::WrongSecret, Finding::unclear("a refresh with a wrong app secret succeeds"));
            self.hold(after);
            return Ok(());
        }
        let right = self.refresh(&grant.refresh, "the right app secret").await?;
        let works = self.renewed(&right, &grant)?.is_some();
        let finding = match wrong.verdict() {
            (200, Some(UNKNOWN_REFRESH_TOKEN)) if works => {
                let why = "a valid refresh token with a wrong secret gets 36004005, and works with the right secret";
                Finding::seen("bad-grant", why)
            }
            (_, Some(BAD_REQUEST)) => {
                Finding::unclear(format!("a refresh gets {}, but an exchange 36004004", wrong.in_words()))
            }
            _ => Finding::unclear(format!("a valid refresh token with a wrong secret gets {}", wrong.in_words())),
        };
        self.find(Switch::WrongSecret, finding);
        Ok(())
    }

    /// Replays a refresh token, first at once and then after longer and longer pauses.
    pub(crate) async fn replay_refresh_tokens(&mut self) -> Result<(), Ended> {
        let switch = Switch::ReplacedRefreshToken;
        if !self.has_value(Switch::RefreshTokenOnRefresh, "new") {
            self.find(switch, Finding::not_observable("no refresh has replaced a refresh token"));
            return Ok(());
        }
        if self.grant.is_none() {
            self.find(switch, Finding::not_observable("the consent had ended before"));
            return Ok(());
        }
        self.step("RISK: sent refresh tokens that were replaced, at once and after pauses.");
        let kind = match self.replay(0).await?.0 {
            Replay::Refused => {
                self.find(
                    switch,
                    Finding::seen("refused", "a replay is refused at once; the newest tokens still work"),
                );
                return Ok(());
            }
            Replay::Revoked => {
                let why = "a replay is refused, and the newest refresh token and access token are refused after it";
                self.find(switch, Finding::seen("revokes-family", why));
                return Ok(());
            }
            Replay::Other => {
                self.find(switch, Finding::unclear("the answers to a replay fit no known behaviour"));
                return Ok(());
            }
            kind @ (Replay::NewPair | Replay::SamePair) => kind,
        };
        self.measure_grace(kind).await
    }

    /// Finds out for how long a replay gets tokens. Each pause uses a refresh token of its own, because a replay may
    /// change the time.
    async fn measure_grace(&mut self, kind: Replay) -> Result<(), Ended> {
        let switch = Switch::ReplacedRefreshToken;
        let mut left = self.settings.longest_wait.as_secs();
        // A replay got tokens after a pause of `honoured` seconds, and was refused after a pause of `refused` seconds.
        let (mut honoured, mut refused) = (0_u64, None::<u64>);
        // The requests take time, too: a replay that was refused may have come this many seconds after the refresh.
        let mut refused_within = u64::MAX;
        let mut reached_end = false;
        loop {
            let to_end = self.grant.as_ref().map_or(0, |grant| grant.ends).saturating_sub(self.now());
            let latest = to_end.saturating_sub(BEFORE_END);
            let (pause, is_last) = match refused {
                // If there is no time for a pause after this one, it goes to the end of the authorization.
                None => match (4 * honoured).max(1) {
                    pause if pause.saturating_mul(3) >= latest => (latest.min(left), latest <= left),
                    pause => (pause.min(left), false),
                },
                Some(refused) if refused - honoured <= (honoured / 20).max(1) => break,
                Some(refused) => (honoured + (refused - honoured) / 2, false),
            };
            if pause > left || pause <= honoured || pause > latest {
                break;
            }
            left -= pause;
            let (replay, took) = self.replay(pause).await?;
            if replay == kind {
                honoured = pause;
            } else if replay == Replay::Refused {
                refused = Some(pause);
                refused_within = refused_within.min(took);
            } else {
                let why = format!("a replay is answered at once, but after {pause} s in another way ({replay:?})");
                self.find(switch, Finding::unclear(why));
                return Ok(());
            }
            if is_last {
                reached_end = refused.is_none();
                break;
            }
        }
        let finding = match (refused, kind) {
            (Some(_), _) => Finding::Seen {
                value: kind.value_for(honoured + 1),
                at_most_seconds: Some(refused_within),
                why: format!(
                    "a replay {honoured} s after the refresh gets tokens, and a replay {refused_within} s after it is \
                     refused"
                ),
            },
            (None, Replay::NewPair) if reached_end && honoured >= UNLIMITED => {
                let why = format!("a replay gets a new pair after {honoured} s, shortly before the authorization ends");
                Finding::seen("honoured", why)
            }
            (None, _) => Finding::AtLeast {
                value: kind.value_for(honoured + 1),
                why: format!(
                    "a replay {honoured} s after the refresh still gets tokens; a longer --wait tries longer pauses"
                ),
            },
        };
        self.find(switch, finding);
        Ok(())
    }

    /// Refreshes the tokens, waits, and sends the replaced refresh token. Uses the newest tokens from then on. Also
    /// returns the seconds from before the refresh until after the answer to the replay.
    async fn replay(&mut self, pause: u64) -> Result<(Replay, u64), Ended> {
        let Some(before) = self.grant.as_ref().map(Grant::copy) else { return Ok((Replay::Other, 0)) };
        let began_at = self.now();
        let answer = self.refresh(&before.refresh, "").await?;
        let Some(first) = self.renewed(&answer, &before)? else { return Ok((Replay::Other, 0)) };
        if first.refresh.same_as(&before.refresh) {
            return Ok((Replay::Other, 0));
        }
        self.wait(pause).await?;
        let answer = self.refresh(&before.refresh, &format!("a replay after {pause} s")).await?;
        let took = self.now().saturating_sub(began_at);
        Ok((self.judge_replay(&answer, &first).await?, took))
    }

    /// Judges the answer to a replay. `first` contains the tokens of the refresh that came before the replay. If the
    /// replay was refused, also tries the newest tokens, because the refusal may have ended them.
    async fn judge_replay(&mut self, answer: &Answer, first: &Grant) -> Result<Replay, Ended> {
        if let Some(second) = self.read_grant(answer, Some(first)) {
            let same = (second.refresh.same_as(&first.refresh), second.access.same_as(&first.access));
            if same != (true, true) {
                self.hold(second);
            }
            return Ok(match same {
                (true, true) => Replay::SamePair,
                (false, false) => Replay::NewPair,
                (true, false) | (false, true) => Replay::Other,
            });
        }
        if !refuses_refresh_token(answer) {
            return Ok(Replay::Other);
        }
        // The refusal may also have ended the newest tokens.
        let good = self.good;
        let newest = self.refresh(&first.refresh, "the newest refresh token").await?;
        if self.renewed(&newest, first)?.is_some() {
            return Ok(Replay::Refused);
        }
        let Some(good) = good else { return Ok(Replay::Other) };
        Ok(match self.state_of(&first.access, good, "the newest access token").await? {
            TokenState::Invalid => Replay::Revoked,
            TokenState::Works | TokenState::Expired | TokenState::Unknown => Replay::Other,
        })
    }
}
