//! One run of the simulation. A connection is made, and calls on it interleave at random. After that, all faults end.
//! If TikTok still honours a stored refresh token, the connection must work again.

use crate::connector::{Call, Connector, NamedAccount, Operation, SHOP};
use crate::host::Host;
use crate::provider::Policy;
use crate::world::{Weather, World};
use std::fmt;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use tiktok_shop_connector_core::connection::document;
use tiktok_shop_connector_core::contract::CLAIM_LIFE;
use tiktok_shop_connector_core::operation::refresh::RefreshMode;

/// Counts of what happened in many runs.
#[derive(Debug, Default)]
pub struct Seen {
    /// Calls whose process crashed.
    pub crashes: u64,
    /// Calls that received a pair and then ended without a crash.
    pub refreshes: u64,
    /// Calls that ended with `refresh-in-progress`, because another call held the claim.
    pub contended: u64,
    /// Calls that received a pair and may have lost it: the call crashed afterwards, or it ended with
    /// `token-not-saved`.
    pub pairs_lost: u64,
    /// Runs after which the connection needs a new consent.
    pub reauthorizations: u64,
    /// Imports that have connected the customer: with a named account, and without.
    pub imports: (u64, u64),
}

impl Seen {
    /// Adds the counts of one run.
    pub fn add(&mut self, one: &Self) {
        self.crashes += one.crashes;
        self.refreshes += one.refreshes;
        self.contended += one.contended;
        self.pairs_lost += one.pairs_lost;
        self.reauthorizations += one.reauthorizations;
        self.imports.0 += one.imports.0;
        self.imports.1 += one.imports.1;
    }
}

/// Writes the counts in the form that `cargo xtask simulate` reads.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { crashes, refreshes, contended, pairs_lost, reauthorizations, imports: _ } = self;
        write!(
            f,
            "{crashes} crashes, {refreshes} refreshes, {contended} contended, {pairs_lost} pairs lost, {reauthorizations} reauthorizations"
        )
    }
}

/// The kind of a call. The simulation counts and judges imports apart from all other calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An import of a named account.
    Import,
    ImportUnnamed,
    Other,
}

struct Running {
    host: Arc<Host>,
    kind: Kind,
    call: Option<Call>,
}

fn poll(call: &mut Call) -> Poll<String> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs one call to its end while no other call runs.
fn alone(connector: &impl Connector, world: &Arc<Mutex<World>>, number: usize, operation: Operation) -> String {
    let host = Arc::new(Host::new(world, number, 0));
    let mut running = connector.call(Arc::clone(&host), operation);
    let outcome = loop {
        if let Poll::Ready(outcome) = poll(&mut running) {
            break outcome;
        }
    };
    finished(world, &host, Kind::Other, &outcome);
    outcome
}

/// Checks a call that ended without a crash: the call has stored every pair that it received, or its error says that a
/// pair could not be stored.
fn finished(world: &Mutex<World>, host: &Host, kind: Kind, outcome: &str) {
    let mut world = locked(world);
    world.log(host.call, format!("ends: {outcome}"));
    // If the account turns out to be connected, the connection works without the new pair.
    let is_needless = (kind, outcome) == (Kind::ImportUnnamed, "already-connected");
    let failed_to_save =
        is_needless || matches!(outcome, "token-not-saved" | "authorization-code-spent" | "storage-conflict");
    for (pair, spent) in host.received().iter().filter(|_| !failed_to_save) {
        world.check_stored(*pair, spent);
    }
}

/// A run that broke a law of the protocol.
#[derive(Debug)]
pub struct Broken {
    /// The law, and how it was broken.
    pub law: String,
    /// The history until the law was broken, one line for each step.
    pub history: Vec<String>,
}

/// A run that broke no law.
#[derive(Debug)]
pub struct Played {
    /// Counts of what happened.
    pub seen: Seen,
    /// The history, one line for each step.
    pub history: Vec<String>,
    /// Every version of the token record, as it was stored. `None` is a deletion.
    pub records: Vec<Option<Vec<u8>>>,
    /// The document of the row at the end. `None` if there is no row.
    pub row: Option<String>,
}

/// Plays the history with this seed.
///
/// # Errors
/// See [`Broken`].
pub fn run(connector: &impl Connector, seed: u64, policy: Policy) -> Result<Played, Broken> {
    let world = Arc::new(Mutex::new(World::new(seed, policy)));
    let mut seen = Seen::default();
    // One run in four begins without a connection.
    if locked(&world).rng.u32(0..4) > 0 {
        let code = locked(&world).provider.code();
        assert_eq!(alone(connector, &world, 0, Operation::Connect { code }), "ok");
    }
    // The token that imports of a named account bring. Several calls may import the same token, as after a kill.
    let mut held: Option<String> = None;

    // The calls start at a random time in the life of the token, which may be fresh, due or expired. The first 700 s
    // are left out, because only a forced refresh renews a pair within ten minutes.
    {
        let mut world = locked(&world);
        let days = world.rng.u64(0..9);
        world.now += 700 + days * 86_400;
        let weather = Weather::draw(&mut world.rng);
        world.weather = Some(weather);
    }
    let calls = locked(&world).rng.usize(2..7);
    let mut running: Vec<Running> = Vec::new();
    for number in 1..=calls {
        let mut drawn = locked(&world);
        let World { rng, provider, now, imports, .. } = &mut *drawn;
        let (kind, skew) = (rng.u32(0..16), if rng.bool() { 0 } else { rng.i64(-600..=600) });
        let (name, operation) = match kind {
            0..=3 => ("refresh", Operation::Refresh(RefreshMode::WhenDue)),
            4..=6 => ("refresh, forced", Operation::Refresh(RefreshMode::Forced)),
            7 => ("access-token", Operation::AccessToken),
            8 | 9 => ("call", Operation::Call),
            10 => ("connect", Operation::Connect { code: provider.code() }),
            11 => ("disconnect", Operation::Disconnect),
            12 | 13 => {
                imports.insert(number);
                let again = held.take().filter(|_| rng.bool());
                let token = again.unwrap_or_else(|| provider.token_of_another_system(*now));
                held = Some(token.clone());
                ("import", Operation::Import { account: NamedAccount::Named, token })
            }
            14 => {
                imports.insert(number);
                let token = provider.token_of_another_system(*now);
                ("import without an account", Operation::Import { account: NamedAccount::Unnamed, token })
            }
            _ => ("receive-webhook", Operation::ReceiveWebhook { body: notice(*now) }),
        };
        drawn.log(number, format!("is a {name}, its clock ahead by {skew} s"));
        drop(drawn);
        let kind = match kind {
            12 | 13 => Kind::Import,
            14 => Kind::ImportUnnamed,
            _ => Kind::Other,
        };
        let host = Arc::new(Host::new(&world, number, skew));
        let call = connector.call(Arc::clone(&host), operation);
        running.push(Running { host, kind, call: Some(call) });
    }
    interleave(&world, &mut running, &mut seen);
    repair(connector, &world, calls + 1, &mut seen);
    let mut world = locked(&world);
    let history = take(&mut world.history);
    if let Some(law) = world.violation.take() {
        return Err(Broken { law, history });
    }
    let versions = take(&mut world.versions).into_iter();
    let records = versions.map(|version| version.map(|(_, bytes, _)| bytes)).collect();
    let row = world.row.take().and_then(|(_, row)| document::encode(&row));
    Ok(Played { seen, history, records, row })
}

fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

/// Returns the body of a webhook that says that the seller may have revoked the shop. In fact the seller has not revoked
/// it.
fn notice(at: u64) -> Vec<u8> {
    format!(r#"{{"type":6,"shop_id":"{SHOP}","timestamp":{at}}}"#).into_bytes()
}

fn interleave(world: &Mutex<World>, running: &mut [Running], seen: &mut Seen) {
    loop {
        let waiting: Vec<usize> = (0..running.len()).filter(|at| running[*at].call.is_some()).collect();
        if waiting.is_empty() || locked(world).violation.is_some() {
            break;
        }
        let (chosen, crashes) = {
            let mut world = locked(world);
            let pause = world.pause();
            world.now += pause;
            (waiting[world.rng.usize(0..waiting.len())], world.crashes())
        };
        let Running { host, kind, call } = &mut running[chosen];
        if crashes {
            seen.crashes += 1;
            seen.pairs_lost += u64::from(!host.received().is_empty());
            locked(world).log(host.call, "crashes");
            *call = None;
        } else if let Some(Poll::Ready(outcome)) = call.as_mut().map(poll) {
            *call = None;
            seen.refreshes += u64::from(!host.received().is_empty());
            seen.contended += u64::from(outcome == "refresh-in-progress");
            seen.pairs_lost += u64::from(outcome == "token-not-saved");
            match kind {
                Kind::Import => seen.imports.0 += u64::from(outcome == "ok"),
                Kind::ImportUnnamed => seen.imports.1 += u64::from(outcome == "ok"),
                Kind::Other => {}
            }
            finished(world, host, *kind, &outcome);
        }
    }
}

/// Ends all faults, lets every claim lapse, and refreshes three times. If TikTok honours a refresh token of the record,
/// the last refresh must succeed. If there is no record, the last refresh must find no connection. In all cases the row
/// must belong to the record.
fn repair(connector: &impl Connector, world: &Arc<Mutex<World>>, mut number: usize, seen: &mut Seen) {
    let honoured = {
        let mut world = locked(world);
        world.weather = None;
        world.now += CLAIM_LIFE.as_secs() + 1;
        if world.violation.is_some() {
            return;
        }
        world.log(number, "nothing fails any more");
        world.record().map(|record| world.honoured(&record))
    };
    let mut last = String::new();
    for _ in 0..3 {
        last = alone(connector, world, number, Operation::Refresh(RefreshMode::Forced));
        number += 1;
        locked(world).now += 1000;
    }
    let mut world = locked(world);
    let (record, row) = (world.record(), world.row.as_ref().map(|(_, row)| row.lineage.clone()));
    let law = match (honoured, last.as_str()) {
        (Some(true), "ok") | (Some(false), _) | (None, "not-connected") => None,
        (Some(true), other) => Some(format!("TikTok honours a token of the record, and a refresh says {other}")),
        (None, other) => Some(format!("there is no record, and a refresh says {other}")),
    };
    let row_law = (row != record.as_ref().map(|record| record.lineage().to_text()))
        .then(|| "the row is not of the record's lineage".to_owned());
    seen.reauthorizations += u64::from(record.is_some_and(|record| record.dead().is_some()));
    if let Some(law) = law.or(row_law) {
        world.violation.get_or_insert(law);
    }
}
