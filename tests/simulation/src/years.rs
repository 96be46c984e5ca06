//! Connections over many years: how often a seller must consent again although nobody ended the connection.
//!
//! One history is one connection over ten years. Three machines keep its tokens with one of the strategies in
//! [`Strategy`], and everything fails at the given [`Rates`]. A connection that is lost is connected anew, so that
//! every history has ten years.
//!
//! Most refreshes meet no fault. [`Pace::SkipQuietWindows`] does not play them, and a test shows that none of them
//! loses a connection.

mod fate;
mod play;
pub(crate) mod process;
mod rates;
pub(crate) mod world;

pub use self::rates::Rates;
use crate::provider::Policy;
use crate::strategy::Strategy;

/// The number of machines of the platform.
const MACHINES: usize = 3;
/// The time between two sweeps of one machine, and between two bursts of calls, in milliseconds.
const INTERVAL: u64 = 5 * fate::MINUTE;
/// The number of calls in one burst, and the time in which they begin, in milliseconds.
const BURST: u64 = 4;
const BURST_SPREAD: u64 = 2 * fate::SECOND;
/// The time from a kill until the process runs again, in milliseconds.
const RESTART: u64 = 20 * fate::SECOND;
/// The years of one history.
const YEARS_OF_A_HISTORY: u64 = 10;

/// Why a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// TikTok acted, and its answer was lost on the way, or was an HTTP 5xx.
    AnswerLost,
    /// The process was killed after TikTok had acted and before it got the answer.
    KilledWhileWaiting,
    /// The process was killed between the answer and the save.
    KilledBeforeSave,
    /// The save failed.
    SaveFailed,
    /// The process stalled, and read the answer too late.
    Stalled,
    /// Two machines sent the same refresh token.
    Race,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 6] = [
        Self::AnswerLost,
        Self::KilledWhileWaiting,
        Self::KilledBeforeSave,
        Self::SaveFailed,
        Self::Stalled,
        Self::Race,
    ];

    /// The name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnswerLost => "answer lost",
            Self::KilledWhileWaiting => "killed while waiting",
            Self::KilledBeforeSave => "killed before the save",
            Self::SaveFailed => "save failed",
            Self::Stalled => "stalled",
            Self::Race => "race",
        }
    }
}

/// Which windows of time are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// All windows in which a fault or another machine can disturb a refresh.
    SkipQuietWindows,
    /// All windows. A quiet window must renew the pair exactly once.
    PlayEverything,
}

/// Counts of the simulated years.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Years {
    /// The simulated years.
    pub years: u64,
    /// The pairs that TikTok has issued.
    pub refreshes: u64,
    /// The refreshes that were played, and not skipped.
    pub played: u64,
    /// For each cause in [`Cause::ALL`], the connections that were lost.
    pub losses: [u64; Cause::ALL.len()],
}

impl Years {
    /// Returns the number of lost connections.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.losses.iter().sum()
    }

    /// Returns the losses in a million connection-years, with the ends of the 95 % interval.
    #[must_use]
    pub fn in_a_million(&self) -> [f64; 3] {
        let (low, high) = interval(self.lost());
        [self.lost() as f64, low, high].map(|losses| losses * 1e6 / self.years.max(1) as f64)
    }
}

/// Returns the 95 % interval of the mean of a Poisson distribution, from one count: Byar's approximation of the exact
/// interval.
fn interval(count: u64) -> (f64, f64) {
    /// The 97.5th percentile of the normal distribution.
    const Z: f64 = 1.96;
    let end = |count: f64, z: f64| count * (1.0 - 1.0 / (9.0 * count) + z / (3.0 * count.sqrt())).powi(3);
    match count {
        // Exact: with this mean, the count is zero in 2.5 % of the cases.
        0 => (0.0, -(0.025_f64).ln()),
        count => (end(count as f64, -Z), end(count as f64 + 1.0, Z)),
    }
}

/// Plays at least this many connection-years. The same arguments always give the same result.
#[must_use]
pub fn play(strategy: Strategy, policy: Policy, rates: Rates, years: u64, seed: u64, pace: Pace) -> Years {
    let mut total = Years::default();
    for history in 0..years.div_ceil(YEARS_OF_A_HISTORY) {
        let played = play::history(strategy, policy, rates, (seed, history), pace);
        total.years += YEARS_OF_A_HISTORY;
        total.refreshes += played.refreshes;
        total.played += played.played;
        for (sum, losses) in total.losses.iter_mut().zip(played.losses) {
            *sum += losses;
        }
    }
    total
}
