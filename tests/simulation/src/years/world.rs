//! The world that all machines share in the simulated years: time, the simulated TikTok, the storage, and the faults of
//! the present window of time.

use super::Cause;
use super::fate::{Access, Draw, Event, Fate, HOUR, SECOND, Way, What};
use super::{MACHINES, RESTART};
use crate::provider::{Answer, Policy, Provider};
use crate::strategy::connector::Sealed;
use crate::strategy::plain::Plain;
use fastrand::Rng;
use std::ops::Range;

/// The time at which every history starts: 2026-01-01T00:00:00Z.
const START: u64 = 1_767_225_600;

/// Where a pair is that TikTok has issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    /// The process that asked for it waits for the answer, or was killed while it waited.
    Underway,
    AnswerLost,
    /// The process stalled for so long that it did not read the answer.
    Late,
    /// The process has it, or was killed while it had it.
    Received,
    SaveFailed,
    Stored,
}

pub(crate) struct World {
    /// Milliseconds since the start. Windows in which nothing fails are skipped, and this clock stands still meanwhile.
    pub(crate) now: u64,
    /// The time that was skipped. The sum of `now` and this is the time at which faults happen.
    pub(super) skipped: u64,
    pub(super) fate: Fate,
    pub(super) window: u64,
    /// How many draws for token requests, other requests and accesses to storage this window has used.
    used: [u64; 3],
    /// Whether nothing fails: while a connection is made.
    pub(super) calm: bool,
    pub(crate) rng: Rng,
    pub(crate) provider: Provider,
    policy: Policy,
    /// When the process that runs now wants to continue.
    pub(super) wake: u64,
    kills: Vec<(u64, usize)>,
    stalls: Vec<(usize, Range<u64>)>,
    outages: Vec<Range<u64>>,
    /// The first hour whose events are not loaded.
    next_hour: u64,
    up_from: [u64; MACHINES],
    /// The pairs that were issued in this window.
    pairs: Vec<(u32, Whereabouts)>,
    pub(crate) plain: Plain,
    pub(crate) sealed: Sealed,
    /// For each machine, whether a call holds the lock in its memory.
    pub(crate) locked: [bool; MACHINES],
    /// The machine on which the ideal strategy is sending.
    pub(crate) sending: Option<usize>,
    scratch: Vec<Event>,
}

impl World {
    pub(super) fn new(fate: Fate, policy: Policy) -> Self {
        Self {
            now: 0,
            skipped: 0,
            fate,
            window: 0,
            used: [0; 3],
            calm: false,
            rng: Rng::with_seed(0),
            provider: Provider::new(policy, true),
            policy,
            wake: 0,
            kills: Vec::new(),
            stalls: Vec::new(),
            outages: Vec::new(),
            next_hour: 0,
            up_from: [0; MACHINES],
            pairs: Vec::new(),
            plain: Plain::default(),
            sealed: Sealed::default(),
            locked: [false; MACHINES],
            sending: None,
            scratch: Vec::new(),
        }
    }

    /// Returns TikTok's time in seconds since 1970.
    pub(crate) fn seconds(&self) -> u64 {
        START + self.now / SECOND
    }

    /// Returns the milliseconds since the start of a time in seconds since 1970.
    pub(crate) fn milliseconds(seconds: u64) -> u64 {
        seconds.saturating_sub(START) * SECOND
    }

    pub(crate) fn skew(&self, machine: usize) -> i64 {
        self.fate.skew(machine)
    }

    /// Returns by how many seconds the fastest clock is ahead.
    pub(crate) fn most_ahead(&self) -> u64 {
        (0..MACHINES).filter_map(|machine| u64::try_from(self.skew(machine)).ok()).max().unwrap_or(0)
    }

    /// Returns whether a token that was used may still get a pair for some time.
    pub(crate) fn is_forgiving(&self) -> bool {
        !matches!(self.policy, Policy::Strict | Policy::RevokesFamily)
    }

    /// Forgets the connection, and lets the seller consent anew. Returns the code.
    pub(super) fn consent(&mut self) -> String {
        self.provider = Provider::new(self.policy, true);
        self.provider.grace = self.fate.rates.grace;
        self.pairs.clear();
        self.provider.code()
    }

    /// Begins the next window at a point in time.
    pub(super) fn begin(&mut self, at: u64) {
        self.now = at;
        self.used = [0; 3];
        self.pairs.clear();
        self.rng = Rng::with_seed(self.fate.bits(Draw::Latency, self.window, 0));
        self.kills.clear();
        self.stalls.clear();
        self.outages.clear();
        self.next_hour = (at + self.skipped).saturating_sub(HOUR) / HOUR;
        self.load_until(at);
        self.up_from = [0; MACHINES];
        for (killed, machine) in &self.kills {
            if *killed <= at {
                self.up_from[*machine] = self.up_from[*machine].max(killed + RESTART);
            }
        }
    }

    /// Loads all events until this point in time.
    pub(super) fn load_until(&mut self, until: u64) {
        while self.next_hour * HOUR <= until + self.skipped {
            let mut events = std::mem::take(&mut self.scratch);
            self.fate.events(self.next_hour, &mut events);
            for Event { at, what } in events.drain(..) {
                let here = |time: u64| time.saturating_sub(self.skipped);
                match what {
                    What::Kill { machine } => self.kills.push((here(at), machine)),
                    What::Stall { machine, until } => self.stalls.push((machine, here(at)..here(until))),
                    What::Outage { until } => self.outages.push(here(at)..here(until)),
                }
            }
            self.scratch = events;
            self.next_hour += 1;
        }
    }

    /// Returns the first kill after a point in time, and until another one.
    pub(super) fn next_kill(&self, after: u64, until: u64) -> Option<(u64, usize)> {
        self.kills.iter().copied().filter(|(at, _)| *at > after && *at <= until).min()
    }

    /// Notes that the process of a machine was killed now.
    pub(super) fn killed(&mut self, machine: usize) {
        self.up_from[machine] = self.now + RESTART;
        self.locked[machine] = false;
        self.sending.take_if(|sending| *sending == machine);
    }

    pub(super) fn is_up(&self, machine: usize) -> bool {
        self.now >= self.up_from[machine]
    }

    /// Returns when a process that wants to run at `wake` does run: after the stall, if its machine stalls.
    pub(super) fn postponed(&mut self, machine: usize, wake: u64) -> u64 {
        self.load_until(wake);
        let stalls = self.stalls.iter().filter(|(stalled, time)| *stalled == machine && time.contains(&wake));
        stalls.map(|(_, time)| time.end).max().unwrap_or(wake)
    }

    /// Returns whether a machine stalls now.
    pub(crate) fn stalls(&self, machine: usize) -> bool {
        self.stalls.iter().any(|(stalled, time)| *stalled == machine && time.contains(&self.now))
    }

    pub(super) fn storage_is_out(&mut self) -> bool {
        self.load_until(self.now);
        !self.calm && self.outages.iter().any(|outage| outage.contains(&self.now))
    }

    pub(super) fn next_way(&mut self, kind: Draw) -> Way {
        let used = &mut self.used[usize::from(matches!(kind, Draw::Api))];
        *used += 1;
        if self.calm { Way::Answered } else { self.fate.way(kind, self.window, *used - 1) }
    }

    pub(super) fn next_access(&mut self) -> Access {
        self.used[2] += 1;
        if self.calm { Access::Answered } else { self.fate.access(self.window, self.used[2] - 1) }
    }

    /// Lets TikTok act on a refresh token.
    pub(super) fn refresh(&mut self, token: &str) -> Answer {
        let answer = self.provider.refresh(token, self.seconds());
        if let Answer::Pair(pair) = answer {
            self.pairs.retain(|(number, _)| *number != pair.number);
            self.pairs.push((pair.number, Whereabouts::Underway));
        }
        answer
    }

    fn note(&mut self, number: u32, whereabouts: Whereabouts) {
        let found = self.pairs.iter_mut().find(|(known, now)| *known == number && *now != Whereabouts::Stored);
        if let Some((_, now)) = found {
            *now = whereabouts;
        }
    }

    pub(super) fn answer_lost(&mut self, number: u32) {
        self.note(number, Whereabouts::AnswerLost);
    }

    pub(super) fn answer_late(&mut self, number: u32) {
        self.note(number, Whereabouts::Late);
    }

    pub(super) fn received(&mut self, number: u32) {
        self.note(number, Whereabouts::Received);
    }

    pub(crate) fn save_failed(&mut self, number: u32) {
        self.note(number, Whereabouts::SaveFailed);
    }

    pub(crate) fn stored(&mut self, number: u32) {
        self.note(number, Whereabouts::Stored);
    }

    pub(super) fn pairs_issued(&self) -> u64 {
        self.pairs.len() as u64
    }

    /// Returns why the connection is lost: where the first pair is that was not stored. If all pairs were stored, two
    /// machines have sent the same token.
    pub(super) fn cause(&self) -> Cause {
        let first = self.pairs.iter().map(|(_, whereabouts)| *whereabouts).find(|pair| *pair != Whereabouts::Stored);
        match first {
            Some(Whereabouts::Underway) => Cause::KilledWhileWaiting,
            Some(Whereabouts::AnswerLost) => Cause::AnswerLost,
            Some(Whereabouts::Late) => Cause::Stalled,
            Some(Whereabouts::Received) => Cause::KilledBeforeSave,
            Some(Whereabouts::SaveFailed) => Cause::SaveFailed,
            Some(Whereabouts::Stored) | None => Cause::Race,
        }
    }

    /// Returns the draw that spreads the refreshes of many connections over two hours, in milliseconds.
    pub(crate) fn jitter(&mut self) -> u64 {
        self.rng.u64(0..=2 * HOUR)
    }
}
