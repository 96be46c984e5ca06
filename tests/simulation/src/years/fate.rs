//! The faults that one connection meets in its simulated years. Every fault is a function of the seed and of the place where it
//! happens: the minute, or the number of a request. So all strategies of keeping tokens meet the same faults.

use super::MACHINES;
use super::rates::Rates;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const YEAR: u64 = 365 * 24 * HOUR;

const MAX_STALL: u64 = 15 * MINUTE;
const MEAN_OUTAGE: f64 = 120.0;
/// The longest event.
pub(super) const MAX_OUTAGE: u64 = 30 * MINUTE;

/// The kinds of draws. Each kind has numbers of its own.
#[derive(Clone, Copy)]
pub(super) enum Draw {
    Token = 1,
    Api,
    Storage,
    Hour,
    Phase,
    Skew,
    Burst,
    Jitter,
    Latency,
}

/// The outcome of a request's way to TikTok and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Answered,
    NotConnected,
    LostBefore,
    LostAfter,
    ErrorBefore,
    ErrorAfter,
    Limited,
    Page,
}

/// The outcome of an access to storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Answered,
    Dropped,
    AnswerLost,
}

/// An event at a point in time. The times are milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Kill { machine: usize },
    Stall { machine: usize, until: u64 },
    Outage { until: u64 },
}

pub(super) struct Fate {
    key: u64,
    pub(super) rates: Rates,
    /// The expected numbers of kills, stalls and outages in an hour.
    an_hour: [f64; 3],
    /// The probability of an hour without such events.
    eventless: f64,
}

impl Fate {
    pub(super) fn new(seed: u64, history: u64, rates: Rates) -> Self {
        let machines = MACHINES as f64;
        let an_hour = [
            rates.kills_a_day * machines / 24.0,
            rates.stalls_a_day * machines / 24.0,
            rates.outages_a_year / (365.0 * 24.0),
        ];
        let eventless = (-an_hour.iter().sum::<f64>()).exp();
        Self { key: mixed(mixed(seed) ^ history), rates, an_hour, eventless }
    }

    /// Returns the draw of this kind with these two numbers.
    pub(super) fn bits(&self, kind: Draw, first: u64, second: u64) -> u64 {
        drawn(self.key_of(first), kind, second)
    }

    fn key_of(&self, first: u64) -> u64 {
        mixed(self.key ^ first.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Returns a number from 0 to 1, without 1.
    pub(super) fn share(&self, kind: Draw, first: u64, second: u64) -> f64 {
        as_share(self.bits(kind, first, second))
    }

    /// Returns how the request with this number in this window goes.
    pub(super) fn way(&self, kind: Draw, window: u64, number: u64) -> Way {
        let rates = &self.rates;
        let mut drawn = self.share(kind, window, number);
        for (share, way) in [
            (rates.not_connected, Way::NotConnected),
            (rates.request_lost, Way::LostBefore),
            (rates.answer_lost, Way::LostAfter),
            (rates.server_error, Way::ErrorBefore),
            (rates.server_error_after_acting, Way::ErrorAfter),
            (rates.limited, Way::Limited),
            (rates.page, Way::Page),
        ] {
            if drawn < share {
                return way;
            }
            drawn -= share;
        }
        Way::Answered
    }

    pub(super) fn access(&self, window: u64, number: u64) -> Access {
        self.access_of(self.key_of(window), number)
    }

    /// Returns the first number of this window whose access fails, if it is below `most`.
    pub(super) fn first_failed_access(&self, window: u64, most: u64) -> Option<u64> {
        let key = self.key_of(window);
        (0..most).find(|number| self.access_of(key, *number) != Access::Answered)
    }

    fn access_of(&self, key: u64, number: u64) -> Access {
        let drawn = as_share(drawn(key, Draw::Storage, number));
        if drawn < self.rates.storage_dropped {
            Access::Dropped
        } else if drawn < self.rates.storage_dropped + self.rates.storage_answer_lost {
            Access::AnswerLost
        } else {
            Access::Answered
        }
    }

    /// Adds the events that begin in this hour, in any order.
    pub(super) fn events(&self, hour: u64, events: &mut Vec<Event>) {
        if self.share(Draw::Hour, hour, 0) < self.eventless {
            return;
        }
        // The hour has at least one event: draw again until it has.
        let mut number = 1;
        let mut draw = || {
            number += 1;
            self.share(Draw::Hour, hour, number)
        };
        loop {
            let counts = self.an_hour.map(|mean| poisson(mean, &mut draw));
            if counts == [0; 3] {
                continue;
            }
            for (kind, count) in counts.into_iter().enumerate() {
                for _ in 0..count {
                    let at = hour * HOUR + (draw() * HOUR as f64) as u64;
                    let machine = (draw() * MACHINES as f64) as usize;
                    let length = 1.0 - draw();
                    let what = match kind {
                        0 => What::Kill { machine },
                        // One stall in N is longer than N seconds.
                        1 => What::Stall { machine, until: at + ((1_000.0 / length) as u64).min(MAX_STALL) },
                        _ => {
                            What::Outage { until: at + ((-length.ln() * MEAN_OUTAGE * 1_000.0) as u64).min(MAX_OUTAGE) }
                        }
                    };
                    events.push(Event { at, what });
                }
            }
            return;
        }
    }

    /// Returns by how many seconds a machine's clock is ahead.
    pub(super) fn skew(&self, machine: usize) -> i64 {
        if self.share(Draw::Skew, machine as u64, 0) >= self.rates.wrong_clocks {
            return 0;
        }
        (self.share(Draw::Skew, machine as u64, 1) * 1_200.0) as i64 - 600
    }
}

fn poisson(mean: f64, mut draw: impl FnMut() -> f64) -> u32 {
    let (mut left, mut count) = (draw(), 0);
    let least = (-mean).exp();
    while left > least {
        left *= draw();
        count += 1;
    }
    count
}

fn drawn(key: u64, kind: Draw, number: u64) -> u64 {
    mixed(key ^ (((kind as u64) << 40) | number))
}

fn as_share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Mixes the bits of a number, as SplitMix64 does.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
