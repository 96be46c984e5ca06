//! The simulated TikTok. It follows one of five policies, which say what happens to a refresh token that was already
//! used. The real TikTok does not document its policy.

use std::collections::BTreeMap;

/// The length of the grace period in seconds, unless a simulation asks for another. A policy with a grace period still
/// accepts a refresh token for this long after the token's first use.
pub(crate) const GRACE: u64 = 600;
const ACCESS_LIFE: u64 = 7 * 86_400;

/// TikTok's treatment of a refresh token that was already used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The token stays valid.
    Reusable,
    /// For ten minutes after its first use, the token gets a new pair each time.
    GraceWithNewPair,
    /// For ten minutes after its first use, the token gets the same pair again.
    GraceWithSamePair,
    /// TikTok refuses the token.
    Strict,
    /// TikTok refuses the token and revokes all tokens of the consent.
    RevokesFamily,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 5] =
        [Self::Reusable, Self::GraceWithNewPair, Self::GraceWithSamePair, Self::Strict, Self::RevokesFamily];
}

struct RefreshToken {
    consent: usize,
    /// The time at which the token was first used, and the pair that was issued for it. `None` if it was never used.
    used: Option<(u64, Issued)>,
}

/// A pair, identified by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) number: u32,
    pub(crate) access_ends: u64,
}

/// The answer to a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Pair(Issued),
    /// TikTok code 36004004: the authorization code is not valid.
    CodeSpent,
    /// TikTok code 36004005: the authorization is not valid.
    Rejected,
}

pub(crate) struct Provider {
    policy: Policy,
    /// The length of the grace period in seconds.
    pub(crate) grace: u64,
    /// Whether a new consent ends the earlier consents.
    consent_replaces: bool,
    /// For each consent, whether it is still valid.
    consents: Vec<bool>,
    codes: BTreeMap<String, Option<usize>>,
    refresh_tokens: BTreeMap<String, RefreshToken>,
    access_tokens: BTreeMap<String, (usize, u64)>,
    issued: u32,
}

impl Provider {
    pub(crate) fn new(policy: Policy, consent_replaces: bool) -> Self {
        Self {
            policy,
            grace: GRACE,
            consent_replaces,
            consents: Vec::new(),
            codes: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            access_tokens: BTreeMap::new(),
            issued: 0,
        }
    }

    /// Lets the seller consent. Returns the authorization code.
    pub(crate) fn code(&mut self) -> String {
        if self.consent_replaces {
            self.consents.fill(false);
        }
        self.consents.push(true);
        let code = format!("CODE-{}", self.consents.len());
        self.codes.insert(code.clone(), Some(self.consents.len() - 1));
        code
    }

    pub(crate) fn exchange(&mut self, code: &str, now: u64) -> Answer {
        match self.codes.get_mut(code).and_then(Option::take) {
            Some(consent) => Answer::Pair(self.issue(consent, now)),
            None => Answer::CodeSpent,
        }
    }

    pub(crate) fn refresh(&mut self, token: &str, now: u64) -> Answer {
        let policy = self.policy;
        let Some(found) = self.refresh_tokens.get(token) else { return Answer::Rejected };
        let (consent, used) = (found.consent, found.used);
        if !self.consents[consent] {
            return Answer::Rejected;
        }
        let Some((at, before)) = used else {
            let issued = self.issue(consent, now);
            self.refresh_tokens.get_mut(token).unwrap().used = Some((now, issued));
            return Answer::Pair(issued);
        };
        match policy {
            Policy::Reusable => Answer::Pair(self.issue(consent, now)),
            Policy::GraceWithNewPair if now - at <= self.grace => Answer::Pair(self.issue(consent, now)),
            Policy::GraceWithSamePair if now - at <= self.grace => Answer::Pair(before),
            Policy::GraceWithNewPair | Policy::GraceWithSamePair | Policy::Strict => Answer::Rejected,
            Policy::RevokesFamily => {
                self.consents[consent] = false;
                Answer::Rejected
            }
        }
    }

    /// Lets the seller consent in another system. Returns the refresh token of that system.
    pub(crate) fn token_of_another_system(&mut self, now: u64) -> String {
        let code = self.code();
        match self.exchange(&code, now) {
            Answer::Pair(pair) => format!("RT-{}", pair.number),
            Answer::CodeSpent | Answer::Rejected => panic!("{code} is new"),
        }
    }

    /// Returns whether TikTok has answered a request with this token with a pair.
    pub(crate) fn was_used(&self, token: &str) -> bool {
        self.refresh_tokens.get(token).is_some_and(|found| found.used.is_some())
    }

    /// Returns whether a refresh with this token would get a pair now.
    pub(crate) fn honours(&self, token: &str, now: u64) -> bool {
        self.refresh_tokens.get(token).is_some_and(|found| {
            self.consents[found.consent]
                && match (found.used, self.policy) {
                    (None, _) | (Some(_), Policy::Reusable) => true,
                    (Some((at, _)), Policy::GraceWithNewPair | Policy::GraceWithSamePair) => now - at <= self.grace,
                    (Some(_), Policy::Strict | Policy::RevokesFamily) => false,
                }
        })
    }

    /// Returns whether TikTok accepts a call with this access token now.
    pub(crate) fn serves(&self, token: &str, now: u64) -> bool {
        self.access_tokens.get(token).is_some_and(|(consent, ends)| self.consents[*consent] && now < *ends)
    }

    fn issue(&mut self, consent: usize, now: u64) -> Issued {
        self.issued += 1;
        let issued = Issued { number: self.issued, access_ends: now + ACCESS_LIFE };
        self.refresh_tokens.insert(format!("RT-{}", issued.number), RefreshToken { consent, used: None });
        self.access_tokens.insert(format!("AT-{}", issued.number), (consent, issued.access_ends));
        issued
    }
}
