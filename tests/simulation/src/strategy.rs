//! Strategies of keeping the tokens of a connection. Each is a small program that runs on each machine of a platform.
//! All except the connector store a plain row with the tokens. All are given the benefit of the doubt: no strategy
//! reads a web page or an unknown code as a rejection, and each save writes all tokens at once.

pub(crate) mod connector;
mod database_lock;
mod one_worker;
pub(crate) mod plain;
mod process_lock;
mod refresh_on_demand;
mod unavoidable;

use crate::years::process::Process;
use crate::years::world::World;
use std::future::Future;
use std::pin::Pin;

/// A strategy of keeping tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Each call that finds an expired access token refreshes it, and saves the answer afterwards.
    RefreshOnDemand,
    /// As before, but one call at a time in each process. After a rejection the call looks into the database.
    ProcessLock,
    /// One worker in the whole platform refreshes a day ahead, and saves the answer afterwards.
    OneWorker,
    /// Every machine refreshes a day ahead, under a lock with an end in the database.
    DatabaseLock,
    /// The core of this connector.
    Connector,
    /// An ideal strategy, which no program can be: it knows at once what happens on every machine, and keeps a pair in
    /// memory until the storage takes it. It loses about as little as a strategy can.
    Unavoidable,
}

/// One run of a strategy's program.
pub(crate) type Run = Pin<Box<dyn Future<Output = ()>>>;

/// When a strategy's program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// At the calls of the platform.
    Calls,
    /// Every few minutes on each machine.
    Sweeps,
    /// Every few minutes on the first machine.
    OneSweep,
}

impl Strategy {
    /// All strategies, from the simplest.
    pub const ALL: [Self; 6] = [
        Self::RefreshOnDemand,
        Self::ProcessLock,
        Self::OneWorker,
        Self::DatabaseLock,
        Self::Connector,
        Self::Unavoidable,
    ];

    /// The name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RefreshOnDemand => "refresh-on-demand",
            Self::ProcessLock => "process-lock",
            Self::OneWorker => "one-worker",
            Self::DatabaseLock => "database-lock",
            Self::Connector => "this connector",
            Self::Unavoidable => "unavoidable",
        }
    }

    /// The number by which the years of this strategy are divided. If a strategy runs at the calls of the platform, all
    /// its windows are played, which takes long.
    #[must_use]
    pub const fn divisor(self) -> u64 {
        match self.occasion() {
            Occasion::Calls => 10,
            Occasion::Sweeps | Occasion::OneSweep => 1,
        }
    }

    /// Returns whether the clock of a machine decides anything.
    pub(crate) const fn reads_clocks(self) -> bool {
        matches!(self, Self::RefreshOnDemand | Self::ProcessLock | Self::Connector)
    }

    pub(crate) const fn occasion(self) -> Occasion {
        match self {
            Self::RefreshOnDemand | Self::ProcessLock => Occasion::Calls,
            Self::OneWorker => Occasion::OneSweep,
            Self::DatabaseLock | Self::Connector | Self::Unavoidable => Occasion::Sweeps,
        }
    }

    /// Starts the program on a machine.
    pub(crate) fn start(self, process: Process) -> Run {
        match self {
            Self::RefreshOnDemand => Box::pin(refresh_on_demand::run(process)),
            Self::ProcessLock => Box::pin(process_lock::run(process)),
            Self::OneWorker => Box::pin(one_worker::run(process)),
            Self::DatabaseLock => Box::pin(database_lock::run(process)),
            Self::Connector => Box::pin(connector::run(process)),
            Self::Unavoidable => Box::pin(unavoidable::run(process)),
        }
    }

    /// Stores the tokens of a new consent.
    pub(crate) fn connect(self, process: Process, code: String) -> Run {
        match self {
            Self::Connector => Box::pin(connector::connect(process, code)),
            Self::RefreshOnDemand | Self::ProcessLock | Self::OneWorker | Self::DatabaseLock | Self::Unavoidable => {
                Box::pin(async move { process.world(|world| plain::connect(world, &code)) })
            }
        }
    }

    /// Returns when the program has something to do, in milliseconds. `None` if it waits for a new consent.
    pub(crate) fn due(self, world: &World) -> Option<u64> {
        match (self, self.occasion()) {
            (Self::Connector, _) => world.sealed.due(),
            (_, Occasion::Calls) => (!world.plain.dead).then(|| world.plain.expired_from(world)),
            (_, Occasion::Sweeps | Occasion::OneSweep) => (!world.plain.dead).then_some(world.plain.due),
        }
    }

    /// Returns whether the connection lives: the program does not wait for a new consent, and TikTok honours a stored
    /// refresh token.
    pub(crate) fn lives(self, world: &World) -> bool {
        match self {
            Self::Connector => world.sealed.lives(world),
            Self::RefreshOnDemand | Self::ProcessLock | Self::OneWorker | Self::DatabaseLock | Self::Unavoidable => {
                !world.plain.dead && world.provider.honours(&world.plain.refresh, world.seconds())
            }
        }
    }
}
