//! What all calls of one run share: time, storage, the marketplace, and the laws that are checked at every write.

use crate::provider::{Answer, Policy, Provider};
use fastrand::Rng;
use std::collections::BTreeMap;
use tiktok_shop_connector_core::connection::Row;
use tiktok_shop_connector_core::ports::Revision;
use tiktok_shop_connector_core::record::{Lineage, TokenRecord};
use tiktok_shop_connector_core::secret::RefreshToken;

/// How long a claim lives, in seconds: stated here anew, so that the connector can't change it unnoticed.
const CLAIM_LIFE: u64 = 120;

/// One version of the token record; none: deleted.
pub(crate) type Version = Option<(Revision, Vec<u8>, u64)>;

pub(crate) struct World {
    pub(crate) rng: Rng,
    /// Seconds since 1970, TikTok's and the storage's; hosts' clocks differ from it.
    pub(crate) now: u64,
    pub(crate) provider: Provider,
    /// How bad storage, network and machines are in this run: one fault in so many steps. None while a run is set up and
    /// while it is repaired.
    pub(crate) weather: Option<Weather>,
    pub(crate) versions: Vec<Version>,
    pub(crate) row: Option<(Revision, Row)>,
    pub(crate) history: Vec<String>,
    pub(crate) violation: Option<String>,
    revisions: u64,
    /// Who began each lineage, and whether its record was deleted or replaced since.
    lineages: BTreeMap<String, (usize, bool)>,
    /// Refresh tokens that were sent without anybody knowing what came of it, and when.
    unresolved: BTreeMap<String, u64>,
    /// Every refresh token that ever stood in storage, and in whose record last.
    stored: BTreeMap<String, Lineage>,
    /// Which refresh token or code bought a refresh token.
    came_for: BTreeMap<String, String>,
}

/// One fault in so many steps, of each kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) storage: u32,
    pub(crate) network: u32,
    pub(crate) machines: u32,
    pub(crate) pauses: u32,
}

impl Weather {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut one = |worst: u32| worst << rng.u32(0..6);
        Self { storage: one(4), network: one(2), machines: one(30), pauses: one(6) }
    }
}

/// How a request ends on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Answered,
    NotConnected,
    Limited,
    LostBefore,
    LostAfter,
    Page,
}

/// How an access of storage ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Answered,
    /// Nothing happened, and nobody knows.
    Dropped,
    /// It happened, and nobody knows.
    AnswerLost,
    /// A load of what stood there before.
    Lagging,
}

impl World {
    pub(crate) fn new(seed: u64, policy: Policy) -> Self {
        let mut rng = Rng::with_seed(seed);
        let consent_replaces = rng.bool();
        Self {
            rng,
            now: 1_767_225_600,
            provider: Provider::new(policy, consent_replaces),
            weather: None,
            versions: Vec::new(),
            row: None,
            history: Vec::new(),
            violation: None,
            revisions: 0,
            lineages: BTreeMap::new(),
            unresolved: BTreeMap::new(),
            stored: BTreeMap::new(),
            came_for: BTreeMap::new(),
        }
    }

    pub(crate) fn tell(&mut self, who: usize, what: impl AsRef<str>) {
        let now = self.now - 1_767_225_600;
        self.history.push(format!("{now:>8} s  call {who}: {}", what.as_ref()));
    }

    fn broken(&mut self, law: String) {
        self.violation.get_or_insert(law);
    }

    fn strikes(&mut self, one_in: impl Fn(Weather) -> u32) -> bool {
        self.weather.is_some_and(|weather| self.rng.u32(0..one_in(weather)) == 0)
    }

    pub(crate) fn crashes(&mut self) -> bool {
        self.strikes(|weather| weather.machines)
    }

    /// How long nothing goes on: mostly not at all, sometimes longer than a claim lives.
    pub(crate) fn pause(&mut self) -> u64 {
        if !self.strikes(|weather| weather.pauses) {
            return self.rng.u64(0..2);
        }
        match self.rng.u32(0..8) {
            0..=3 => self.rng.u64(1..15),
            4 | 5 => self.rng.u64(15..45),
            6 => self.rng.u64(45..140),
            _ => self.rng.u64(120..900),
        }
    }

    pub(crate) fn passage(&mut self) -> Passage {
        if !self.strikes(|weather| weather.network) {
            return Passage::Answered;
        }
        match self.rng.u32(0..7) {
            0 => Passage::NotConnected,
            1 => Passage::Limited,
            2 => Passage::LostBefore,
            3 => Passage::Page,
            _ => Passage::LostAfter,
        }
    }

    pub(crate) fn access(&mut self) -> Access {
        if !self.strikes(|weather| weather.storage) {
            return Access::Answered;
        }
        match self.rng.u32(0..4) {
            0 => Access::Dropped,
            1 => Access::Lagging,
            _ => Access::AnswerLost,
        }
    }

    pub(crate) fn next_revision(&mut self) -> Revision {
        self.revisions += 1;
        Revision(format!("revision-{}", self.revisions))
    }

    pub(crate) fn newest(&self) -> Option<&(Revision, Vec<u8>, u64)> {
        self.versions.last()?.as_ref()
    }

    pub(crate) fn record(&self) -> Option<TokenRecord> {
        self.newest().map(|(_, bytes, _)| decoded(bytes))
    }

    /// A write that takes place, judged before it does.
    pub(crate) fn write(&mut self, who: usize, next: Option<Vec<u8>>) -> Revision {
        let before = self.record();
        let after = next.as_deref().map(decoded);
        self.judge(who, before.as_ref(), after.as_ref());
        self.tell(who, format!("writes {}", after.as_ref().map_or_else(|| "nothing".to_owned(), summary)));
        let revision = self.next_revision();
        self.versions.push(next.map(|bytes| (revision.clone(), bytes, self.now)));
        revision
    }

    fn judge(&mut self, who: usize, before: Option<&TokenRecord>, after: Option<&TokenRecord>) {
        if let Some(before) = before.filter(|before| after.is_none_or(|after| after.lineage != before.lineage)) {
            self.lineages.entry(before.lineage.to_text()).and_modify(|(_, ended)| *ended = true);
        }
        let Some(after) = after else { return };
        for token in refresh_tokens(after) {
            let origin = self.came_for.get(token).and_then(|spent| self.stored.get(spent)).copied();
            if origin.is_some_and(|origin| origin != after.lineage) {
                self.violation = Some(format!("{token} of another grant was taken over"));
            }
            self.stored.insert(token.to_owned(), after.lineage);
        }
        // A consent that is being stored while somebody disconnects may come after it: its own writer may begin again.
        let (creator, ended) = self.lineages.entry(after.lineage.to_text()).or_insert((who, false));
        if std::mem::take(ended) && *creator != who {
            self.broken("a lineage that had ended was written again".to_owned());
        }
        let Some(before) = before.filter(|before| before.lineage == after.lineage) else { return };
        if self.honoured(before) && !self.honoured(after) {
            self.broken("the last refresh token that TikTok honours was dropped".to_owned());
        }
        if before.dead.is_none() && after.dead.is_some() && self.honoured(before) {
            self.broken("a grant was written off while TikTok honoured one of its tokens".to_owned());
        }
    }

    /// Whether TikTok would take one of the record's refresh tokens.
    pub(crate) fn honoured(&self, record: &TokenRecord) -> bool {
        refresh_tokens(record).any(|token| self.provider.honours(token, self.now))
    }

    /// Somebody is about to send this refresh token.
    pub(crate) fn sends(&mut self, token: &str) {
        let claimed_at = self.newest().map_or(0, |(_, _, at)| *at);
        let before = self.unresolved.insert(token.to_owned(), claimed_at);
        if before.is_some_and(|before| self.now < before + CLAIM_LIFE) {
            self.broken(format!("{token} was sent again before the claim on it had lapsed"));
        }
    }

    /// The sender knows what came of it: nothing, or a rejection.
    pub(crate) fn resolved(&mut self, token: &str) {
        self.unresolved.remove(token);
    }

    /// A call that got this pair for a refresh token or a code came to its end, and did not say that it could not save it.
    pub(crate) fn keeps(&mut self, pair: u32, spent: &str) {
        let lineage = self.stored.get(spent).copied();
        let replaced = lineage.is_some() && self.record().is_none_or(|record| Some(record.lineage) != lineage);
        if !replaced && !self.stored.contains_key(&format!("RT-{pair}")) {
            self.broken(format!("RT-{pair} came for {spent} and was never stored"));
        }
    }

    pub(crate) fn token_request(&mut self, path: &str, value: &str) -> Answer {
        let now = self.now;
        let exchange = path == "/api/v2/token/get";
        let answer = if exchange { self.provider.exchange(value, now) } else { self.provider.refresh(value, now) };
        if let Answer::Pair(pair) = answer {
            self.came_for.insert(format!("RT-{}", pair.number), value.to_owned());
        }
        answer
    }
}

pub(crate) fn decoded(bytes: &[u8]) -> TokenRecord {
    TokenRecord::decode(bytes).unwrap()
}

fn refresh_tokens(record: &TokenRecord) -> impl Iterator<Item = &str> {
    record.current.refresh.iter().chain(&record.fallbacks).chain(&record.rejected).map(RefreshToken::expose)
}

fn summary(record: &TokenRecord) -> String {
    let tokens: Vec<_> = refresh_tokens(record).collect();
    let claim = if record.claim.is_some() { ", claimed" } else { "" };
    let dead = record.dead.map(|reason| format!(", dead: {reason:?}")).unwrap_or_default();
    format!("{} generation {} [{}]{claim}{dead}", &record.lineage.to_text()[..6], record.generation, tokens.join(" "))
}
