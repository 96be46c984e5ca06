//! The row with the tokens of a connection, as most platforms have it.

use crate::provider::{Answer, Issued};
use crate::years::process::{Process, Unavailable};
use crate::years::world::World;

/// The clients of these strategies wait this long for an answer, in milliseconds.
pub(crate) const TIMEOUT: u64 = 10_000;
/// An access token counts as expired this many seconds before its end.
const MARGIN: u64 = 60;
/// A sweep refreshes a day before the end of the access token, as the connector does.
const LEAD: u64 = 86_400;

#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    pub(crate) refresh: String,
    /// When the access token ends, in seconds since 1970.
    access_ends: u64,
    /// When a sweep refreshes, in milliseconds.
    pub(crate) due: u64,
    /// Whether the platform has told the seller to consent again. A later save takes this back.
    pub(crate) dead: bool,
    /// The owner of the lock, and when it ends by the clock of the database.
    pub(crate) lock: Option<(u64, u64)>,
}

impl Plain {
    /// Returns when the first machine finds the access token expired, in milliseconds.
    pub(crate) fn expired_from(&self, world: &World) -> u64 {
        World::milliseconds((self.access_ends - MARGIN).saturating_sub(world.most_ahead()))
    }

    /// Returns whether the access token is expired by the clock of a machine.
    pub(crate) fn is_expired(&self, world: &World, machine: usize) -> bool {
        world.seconds().saturating_add_signed(world.skew(machine)) + MARGIN >= self.access_ends
    }

    pub(crate) fn is_due(&self, world: &World) -> bool {
        !self.dead && world.now >= self.due
    }
}

pub(crate) fn connect(world: &mut World, code: &str) {
    let now = world.seconds();
    if let Answer::Pair(pair) = world.provider.exchange(code, now) {
        store(world, pair);
    }
}

/// Writes the tokens of a pair into the row.
pub(crate) fn store(world: &mut World, pair: Issued) {
    let due = World::milliseconds(pair.access_ends - LEAD) + world.jitter();
    let lock = world.plain.lock;
    world.plain =
        Plain { refresh: format!("RT-{}", pair.number), access_ends: pair.access_ends, due, dead: false, lock };
    world.stored(pair.number);
}

impl Process {
    /// Saves a pair, in one attempt.
    pub(crate) async fn save(&self, pair: Issued) -> Result<(), Unavailable> {
        let saved = self.storage(|world| store(world, pair)).await;
        if saved.is_err() {
            self.world(|world| world.save_failed(pair.number));
        }
        saved
    }

    /// Marks the connection as dead.
    pub(crate) async fn mark_dead(&self) {
        // If the mark is not stored, the next attempt is rejected, too, and sets it.
        let _unsaved = self.storage(|world| world.plain.dead = true).await;
    }

    /// Marks the connection as dead if its token is still the rejected one, in one statement.
    pub(crate) async fn mark_dead_unless_replaced(&self, rejected: &str) {
        let _unsaved = self.storage(|world| world.plain.dead |= world.plain.refresh == rejected).await;
    }
}
