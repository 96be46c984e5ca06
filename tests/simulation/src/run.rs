//! One run of the simulation. A connection is made, and calls on it interleave at random. After that, all faults end.
//! If TikTok still honours a stored refresh token, the connection must work again.

use crate::host::Host;
use crate::provider::Policy;
use crate::world::{Weather, World};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::contract::CLAIM_LIFE;
use tiktok_shop_connector_core::endpoint::business::BusinessRequest;
use tiktok_shop_connector_core::existing_grant::ExistingGrant;
use tiktok_shop_connector_core::http::Method;
use tiktok_shop_connector_core::identity::{AccountId, CustomerId};
use tiktok_shop_connector_core::operation::access_token::access_token;
use tiktok_shop_connector_core::operation::call::{CallScope, call};
use tiktok_shop_connector_core::operation::connect::connect;
use tiktok_shop_connector_core::operation::disconnect::{DisconnectTarget, RemoteGrant, disconnect};
use tiktok_shop_connector_core::operation::import::import;
use tiktok_shop_connector_core::operation::receive_webhook::receive_webhook;
use tiktok_shop_connector_core::operation::refresh::{RefreshMode, refresh};
use tiktok_shop_connector_core::record::ShopPolicy;
use tiktok_shop_connector_core::secret::{AppSecret, AuthorizationCode, RefreshToken};
use tiktok_shop_connector_core::signing::Webhook;

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

/// The outcome of a call: `ok`, or the code of its error.
type Outcome = &'static str;
type Call = Pin<Box<dyn Future<Output = Outcome>>>;

fn customer() -> CustomerId {
    CustomerId::parse("customer-1".into()).unwrap()
}

fn account() -> Option<AccountId> {
    AccountId::parse("account-1".into()).ok()
}

fn outcome<T>(result: Result<T, tiktok_shop_connector_core::error::Error>) -> Outcome {
    result.map_or_else(|error| error.cause.code(), |_| "ok")
}

fn refreshing(host: Rc<Host>, mode: RefreshMode) -> Call {
    Box::pin(async move { outcome(refresh(&*host, customer(), account(), mode).await) })
}

fn connecting(host: Rc<Host>, code: String) -> Call {
    let grant = Grant::Code(AuthorizationCode::new(code));
    Box::pin(async move { outcome(connect(&*host, customer(), None, grant, ShopPolicy::All).await) })
}

/// Imports a token of another system. `account` is the account that the caller names.
fn importing(host: Rc<Host>, account: Option<AccountId>, token: String) -> Call {
    let grant = ExistingGrant {
        account,
        refresh: RefreshToken::new(token),
        access: None,
        access_ends: None,
        refresh_ends: None,
    };
    Box::pin(async move { outcome(import(&*host, customer(), None, &grant, ShopPolicy::All).await) })
}

fn calling(host: Rc<Host>) -> Call {
    Box::pin(async move {
        let request = BusinessRequest {
            method: Method::Post,
            path: "/order/202309/orders/search".into(),
            query: Vec::new(),
            content_type: None,
            body: b"{}".to_vec(),
            max_response_bytes: 1 << 16,
        };
        outcome(call(&*host, customer(), CallScope::Shop("1".into()), &request).await)
    })
}

fn asking(host: Rc<Host>) -> Call {
    Box::pin(async move { outcome(access_token(&*host, customer(), account(), 600).await) })
}

fn disconnecting(host: Rc<Host>) -> Call {
    Box::pin(async move {
        outcome(disconnect(&*host, customer(), DisconnectTarget::All(account()), RemoteGrant::Keep).await)
    })
}

/// Receives a webhook that says that the seller may have revoked the shop. In fact the seller has not revoked it.
fn receiving_notice(host: Rc<Host>, at: u64) -> Call {
    let body = format!(r#"{{"type":6,"shop_id":"1","timestamp":{at}}}"#).into_bytes();
    let signed = Webhook { app_key: "app-key", body: &body, authorization: b"" };
    let signature = signed.signature(&AppSecret::new("app-secret".into()));
    Box::pin(async move { outcome(receive_webhook(&*host, None, signature.as_bytes(), &body).await) })
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
    host: Rc<Host>,
    kind: Kind,
    call: Option<Call>,
}

fn poll(call: &mut Call) -> Poll<Outcome> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs one call to its end while no other call runs.
fn alone(world: &Rc<RefCell<World>>, number: usize, make: impl FnOnce(Rc<Host>) -> Call) -> Outcome {
    let host = Rc::new(Host::new(world, number, 0));
    let mut running = make(Rc::clone(&host));
    let outcome = loop {
        if let Poll::Ready(outcome) = poll(&mut running) {
            break outcome;
        }
    };
    finished(world, &host, Kind::Other, outcome);
    outcome
}

/// Checks a call that ended without a crash: the call has stored every pair that it received, or its error says that a
/// pair could not be stored.
fn finished(world: &Rc<RefCell<World>>, host: &Host, kind: Kind, outcome: Outcome) {
    let mut world = world.borrow_mut();
    world.log(host.call, format!("ends: {outcome}"));
    // If the account turns out to be connected, the connection works without the new pair.
    let is_needless = (kind, outcome) == (Kind::ImportUnnamed, "already-connected");
    let failed_to_save =
        is_needless || matches!(outcome, "token-not-saved" | "authorization-code-spent" | "storage-conflict");
    for (pair, spent) in host.received.borrow().iter().filter(|_| !failed_to_save) {
        world.check_stored(*pair, spent);
    }
}

/// A run that broke a law of the protocol.
#[derive(Debug)]
pub struct Broken {
    /// The law, and how it was broken.
    pub law: String,
    /// What happened until then, one line for each step.
    pub history: Vec<String>,
}

/// Plays the history with this seed.
///
/// # Errors
/// See [`Broken`].
pub fn run(seed: u64, policy: Policy) -> Result<Seen, Broken> {
    let world = Rc::new(RefCell::new(World::new(seed, policy)));
    let mut seen = Seen::default();
    // One run in four begins without a connection.
    if world.borrow_mut().rng.u32(0..4) > 0 {
        let code = world.borrow_mut().provider.code();
        assert_eq!(alone(&world, 0, |host| connecting(host, code)), "ok");
    }
    // The token that imports of a named account bring. Several calls may import the same token, as after a kill.
    let mut held: Option<String> = None;

    // The calls start at a random time in the life of the token, which may be fresh, due or expired. The first 700 s
    // are left out, because only a forced refresh renews a pair within ten minutes.
    {
        let mut world = world.borrow_mut();
        let days = world.rng.u64(0..9);
        world.now += 700 + days * 86_400;
        let weather = Weather::draw(&mut world.rng);
        world.weather = Some(weather);
    }
    let calls = world.borrow_mut().rng.usize(2..7);
    let mut running: Vec<Running> = Vec::new();
    for number in 1..=calls {
        let (kind, skew) = {
            let rng = &mut world.borrow_mut().rng;
            (rng.u32(0..16), if rng.bool() { 0 } else { rng.i64(-600..=600) })
        };
        let host = Rc::new(Host::new(&world, number, skew));
        let (name, call) = match kind {
            0..=3 => ("refresh", refreshing(Rc::clone(&host), RefreshMode::WhenDue)),
            4..=6 => ("refresh, forced", refreshing(Rc::clone(&host), RefreshMode::Forced)),
            7 => ("access-token", asking(Rc::clone(&host))),
            8 | 9 => ("call", calling(Rc::clone(&host))),
            10 => {
                let code = world.borrow_mut().provider.code();
                ("connect", connecting(Rc::clone(&host), code))
            }
            11 => ("disconnect", disconnecting(Rc::clone(&host))),
            12 | 13 => {
                let mut world = world.borrow_mut();
                world.imports.insert(number);
                let again = held.take().filter(|_| world.rng.bool());
                let now = world.now;
                let token = again.unwrap_or_else(|| world.provider.token_of_another_system(now));
                held = Some(token.clone());
                ("import", importing(Rc::clone(&host), account(), token))
            }
            14 => {
                let mut world = world.borrow_mut();
                world.imports.insert(number);
                let now = world.now;
                let token = world.provider.token_of_another_system(now);
                ("import without an account", importing(Rc::clone(&host), None, token))
            }
            _ => {
                let at = world.borrow().now;
                ("receive-webhook", receiving_notice(Rc::clone(&host), at))
            }
        };
        world.borrow_mut().log(number, format!("is a {name}, its clock ahead by {skew} s"));
        let kind = match kind {
            12 | 13 => Kind::Import,
            14 => Kind::ImportUnnamed,
            _ => Kind::Other,
        };
        running.push(Running { host, kind, call: Some(call) });
    }
    interleave(&world, &mut running, &mut seen);
    repair(&world, calls + 1, &mut seen);
    let mut world = world.borrow_mut();
    world.violation.take().map_or(Ok(seen), |law| Err(Broken { law, history: std::mem::take(&mut world.history) }))
}

fn interleave(world: &Rc<RefCell<World>>, running: &mut [Running], seen: &mut Seen) {
    loop {
        let waiting: Vec<usize> = (0..running.len()).filter(|at| running[*at].call.is_some()).collect();
        if waiting.is_empty() || world.borrow().violation.is_some() {
            break;
        }
        let (chosen, crashes) = {
            let mut world = world.borrow_mut();
            let pause = world.pause();
            world.now += pause;
            (waiting[world.rng.usize(0..waiting.len())], world.crashes())
        };
        let Running { host, kind, call } = &mut running[chosen];
        if crashes {
            seen.crashes += 1;
            seen.pairs_lost += u64::from(!host.received.borrow().is_empty());
            world.borrow_mut().log(host.call, "crashes");
            *call = None;
        } else if let Some(Poll::Ready(outcome)) = call.as_mut().map(poll) {
            *call = None;
            seen.refreshes += u64::from(!host.received.borrow().is_empty());
            seen.contended += u64::from(outcome == "refresh-in-progress");
            seen.pairs_lost += u64::from(outcome == "token-not-saved");
            match kind {
                Kind::Import => seen.imports.0 += u64::from(outcome == "ok"),
                Kind::ImportUnnamed => seen.imports.1 += u64::from(outcome == "ok"),
                Kind::Other => {}
            }
            finished(world, host, *kind, outcome);
        }
    }
}

/// Ends all faults, lets every claim lapse, and refreshes three times. If TikTok honours a refresh token of the record,
/// the last refresh must succeed. If there is no record, the last refresh must find no connection. In all cases the row
/// must belong to the record.
fn repair(world: &Rc<RefCell<World>>, mut number: usize, seen: &mut Seen) {
    let honoured = {
        let mut world = world.borrow_mut();
        world.weather = None;
        world.now += CLAIM_LIFE.as_secs() + 1;
        if world.violation.is_some() {
            return;
        }
        world.log(number, "nothing fails any more");
        world.record().map(|record| world.honoured(&record))
    };
    let mut last = "";
    for _ in 0..3 {
        last = alone(world, number, |host| refreshing(host, RefreshMode::Forced));
        number += 1;
        world.borrow_mut().now += 1000;
    }
    let mut world = world.borrow_mut();
    let (record, row) = (world.record(), world.row.as_ref().map(|(_, row)| row.lineage.clone()));
    let law = match (honoured, last) {
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
