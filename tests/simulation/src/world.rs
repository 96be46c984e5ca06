//! The world that all calls of one run share: time, storage and the simulated TikTok. It checks the laws of the refresh
//! protocol at every write of the token record, and whenever a refresh token is sent.

use crate::provider::{Answer, Policy, Provider};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use tiktok_shop_connector_core::connection::Row;
use tiktok_shop_connector_core::contract::CLAIM_LIFE;
use tiktok_shop_connector_core::ports::Revision;
use tiktok_shop_connector_core::record::{Lineage, TokenRecord};
use tiktok_shop_connector_core::secret::RefreshToken;

/// The time at which every run starts: 2026-01-01T00:00:00Z.
const START: u64 = 1_767_225_600;

/// One version of the token record: its revision, its bytes and the time of the write. `None` is a deletion.
pub(crate) type Version = Option<(Revision, Vec<u8>, u64)>;

pub(crate) struct World {
    pub(crate) rng: Rng,
    /// The time of TikTok and of the storage, in seconds since 1970. The wall clock of a host may differ from it by up
    /// to ten minutes.
    pub(crate) now: u64,
    pub(crate) provider: Provider,
    /// How often storage, network and machines fail in this run. `None` while a run is set up and while it is repaired,
    /// because nothing fails in these phases.
    pub(crate) weather: Option<Weather>,
    pub(crate) versions: Vec<Version>,
    pub(crate) row: Option<(Revision, Row)>,
    pub(crate) history: Vec<String>,
    pub(crate) violation: Option<String>,
    revisions: u64,
    /// For each lineage, the call that first wrote a record of it, and whether that record was deleted or replaced
    /// since. A lineage is a random id of a token record. The record keeps it through refreshes, and through new
    /// consents of the same account with the same app.
    lineages: BTreeMap<String, (usize, bool)>,
    /// The refresh tokens that were sent in a request whose outcome nobody knows, each with the time at which its claim
    /// was written.
    unresolved: BTreeMap<String, u64>,
    /// Every refresh token that was ever stored, with the lineage of the record that was last written with it.
    stored: BTreeMap<String, Lineage>,
    /// For each issued refresh token, the refresh token or code that was spent for it.
    issued_for: BTreeMap<String, String>,
    /// The calls that are imports.
    pub(crate) imports: BTreeSet<usize>,
}

/// The fault rates of a run. A value of 20 means one fault in 20 steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) storage: u32,
    pub(crate) network: u32,
    pub(crate) machines: u32,
    pub(crate) pauses: u32,
}

impl Weather {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut rate = |worst: u32| worst << rng.u32(0..6);
        Self { storage: rate(4), network: rate(2), machines: rate(30), pauses: rate(6) }
    }
}

/// The outcome of a request's way to TikTok and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Answered,
    NotConnected,
    Limited,
    LostBefore,
    LostAfter,
    Page,
}

/// The outcome of an access to storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Answered,
    /// The access did not happen, and the caller does not know that.
    Dropped,
    /// The access happened, and the caller does not know that.
    AnswerLost,
    /// A load of the token record returns what the newest write replaced.
    Lagging,
}

impl World {
    pub(crate) fn new(seed: u64, policy: Policy) -> Self {
        let mut rng = Rng::with_seed(seed);
        let consent_replaces = rng.bool();
        Self {
            rng,
            now: START,
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
            issued_for: BTreeMap::new(),
            imports: BTreeSet::new(),
        }
    }

    /// Adds a line to the history.
    pub(crate) fn log(&mut self, call: usize, what: impl AsRef<str>) {
        let now = self.now - START;
        self.history.push(format!("{now:>8} s  call {call}: {}", what.as_ref()));
    }

    /// Records a broken law, unless a broken law is already recorded.
    fn broken(&mut self, law: String) {
        self.violation.get_or_insert(law);
    }

    /// Decides at random whether a fault happens now. `rate` returns a number N for the weather, and the fault happens
    /// with the probability 1/N. Without a weather, no fault happens.
    fn fails(&mut self, rate: impl Fn(Weather) -> u32) -> bool {
        self.weather.is_some_and(|weather| self.rng.u32(0..rate(weather)) == 0)
    }

    pub(crate) fn crashes(&mut self) -> bool {
        self.fails(|weather| weather.machines)
    }

    /// Draws the seconds that pass before the next step: mostly 0 or 1, sometimes more than the life of a claim (120
    /// s).
    pub(crate) fn pause(&mut self) -> u64 {
        if !self.fails(|weather| weather.pauses) {
            return self.rng.u64(0..2);
        }
        match self.rng.u32(0..8) {
            0..=3 => self.rng.u64(1..15),
            4 | 5 => self.rng.u64(15..45),
            6 => self.rng.u64(45..CLAIM_LIFE.as_secs() + 20),
            _ => self.rng.u64(CLAIM_LIFE.as_secs()..900),
        }
    }

    pub(crate) fn transport(&mut self) -> Transport {
        if !self.fails(|weather| weather.network) {
            return Transport::Answered;
        }
        match self.rng.u32(0..7) {
            0 => Transport::NotConnected,
            1 => Transport::Limited,
            2 => Transport::LostBefore,
            3 => Transport::Page,
            _ => Transport::LostAfter,
        }
    }

    pub(crate) fn access(&mut self) -> Access {
        if !self.fails(|weather| weather.storage) {
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

    /// Checks the laws, then writes this version of the record, even if it breaks a law.
    pub(crate) fn write(&mut self, call: usize, next: Option<Vec<u8>>) -> Revision {
        let before = self.record();
        let after = next.as_deref().map(decoded);
        self.check_laws(call, before.as_ref(), after.as_ref());
        self.log(call, format!("writes {}", after.as_ref().map_or_else(|| "nothing".to_owned(), summary)));
        let revision = self.next_revision();
        self.versions.push(next.map(|bytes| (revision.clone(), bytes, self.now)));
        revision
    }

    fn check_laws(&mut self, call: usize, before: Option<&TokenRecord>, after: Option<&TokenRecord>) {
        if let Some(before) = before.filter(|before| after.is_none_or(|after| after.lineage() != before.lineage())) {
            self.lineages.entry(before.lineage().to_text()).and_modify(|(_, ended)| *ended = true);
        }
        let Some(after) = after else {
            let Some(before) = before else { return };
            // Nobody holds the claim any more. A later import may send the token again.
            refresh_tokens(before).for_each(|token| self.resolved(token));
            // An import deletes its record only if the other system can go on with the token.
            let may_be_replaced = |token: &str| self.provider.was_used(token) && self.provider.honours(token, self.now);
            if self.imports.contains(&call) && refresh_tokens(before).any(may_be_replaced) {
                self.broken("an import deleted a token that TikTok has replaced and still honours".to_owned());
            }
            return;
        };
        for token in refresh_tokens(after) {
            let origin = self.issued_for.get(token).and_then(|spent| self.stored.get(spent)).copied();
            if origin.is_some_and(|origin| origin != after.lineage()) {
                self.broken(format!("a record took over {token}, which belongs to another grant"));
            }
            self.stored.insert(token.to_owned(), after.lineage());
        }
        // A lineage ends when its record is deleted or replaced. After that, only the `connect` that created the
        // lineage may write a record of it again: if it does not know whether its first write took effect, it repeats
        // the write, and a disconnect may come in between.
        let (creator, ended) = self.lineages.entry(after.lineage().to_text()).or_insert((call, false));
        if std::mem::take(ended) && *creator != call {
            self.broken("a lineage that had ended was written again".to_owned());
        }
        let Some(before) = before.filter(|before| before.lineage() == after.lineage()) else { return };
        if self.honoured(before) && !self.honoured(after) {
            self.broken("the last refresh token that TikTok honours was dropped".to_owned());
        }
        if before.dead().is_none() && after.dead().is_some() && self.honoured(before) {
            self.broken("a grant was marked dead while TikTok honoured one of its tokens".to_owned());
        }
    }

    /// Returns whether TikTok would accept one of the record's refresh tokens.
    pub(crate) fn honoured(&self, record: &TokenRecord) -> bool {
        refresh_tokens(record).any(|token| self.provider.honours(token, self.now))
    }

    /// Notes that a call sends this refresh token now. Records a broken law if the outcome of an earlier request with
    /// this token is unknown and the claim for that request has not lapsed.
    pub(crate) fn sends(&mut self, token: &str) {
        let claimed_at = self.newest().map_or(0, |(_, _, at)| *at);
        let before = self.unresolved.insert(token.to_owned(), claimed_at);
        if before.is_some_and(|before| self.now < before + CLAIM_LIFE.as_secs()) {
            self.broken(format!("{token} was sent again before the claim on it had lapsed"));
        }
    }

    /// Notes that the outcome of the request with this token is known, so that the token may be sent again at once.
    pub(crate) fn resolved(&mut self, token: &str) {
        self.unresolved.remove(token);
    }

    /// Checks that a pair was stored, unless its record was deleted or replaced. The call that received the pair has
    /// ended, and did not report a failed save. `spent` is the code or refresh token that the call sent for the pair.
    pub(crate) fn check_stored(&mut self, pair: u32, spent: &str) {
        let lineage = self.stored.get(spent).copied();
        let replaced = lineage.is_some() && self.record().is_none_or(|record| Some(record.lineage()) != lineage);
        if !replaced && !self.stored.contains_key(&format!("RT-{pair}")) {
            self.broken(format!("RT-{pair} was issued for {spent} and never stored"));
        }
    }

    pub(crate) fn token_request(&mut self, path: &str, value: &str) -> Answer {
        let now = self.now;
        let exchange = path == "/api/v2/token/get";
        let answer = if exchange { self.provider.exchange(value, now) } else { self.provider.refresh(value, now) };
        if let Answer::Pair(pair) = answer {
            self.issued_for.insert(format!("RT-{}", pair.number), value.to_owned());
        }
        answer
    }
}

pub(crate) fn decoded(bytes: &[u8]) -> TokenRecord {
    TokenRecord::decode(bytes).unwrap()
}

fn refresh_tokens(record: &TokenRecord) -> impl Iterator<Item = &str> {
    record.current().refresh.iter().chain(record.fallbacks()).chain(record.rejected()).map(RefreshToken::expose)
}

fn summary(record: &TokenRecord) -> String {
    let tokens: Vec<_> = refresh_tokens(record).collect();
    let claim = if record.current_claim().is_some() { ", claimed" } else { "" };
    let dead = record.dead().map(|reason| format!(", dead: {reason:?}")).unwrap_or_default();
    format!(
        "{} generation {} [{}]{claim}{dead}",
        &record.lineage().to_text()[..6],
        record.generation(),
        tokens.join(" ")
    )
}
