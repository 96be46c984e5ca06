//! This connector: the operation `refresh` of its core, called by the sweep of every machine. The effects do what the
//! host library does: a write is repeated for ten seconds, and a request ends after thirty.

use crate::answers::{answer, business, copy, credentials, envelope, token_pair};
use crate::connector::{APP_KEY, account, customer};
use crate::provider::Answer;
use crate::years::process::{Process, Reply, Unavailable};
use crate::years::world::World;
use serde_json::json;
use std::cell::RefCell;
use std::time::Duration;
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::connection::Row;
use tiktok_shop_connector_core::contract::{REQUEST_BUDGET, SAVE_BUDGET};
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::http::{Request, Response, TransportFailure};
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey, CustomerId};
use tiktok_shop_connector_core::operation::refresh::{RefreshMode, refresh};
use tiktok_shop_connector_core::ports::{
    Effects, Entry, ListedRow, Revision, StorageError, Swapped, TokenValue, TokenWrite,
};
use tiktok_shop_connector_core::record::{Nonce, ShopPolicy, TokenRecord};
use tiktok_shop_connector_core::secret::{AuthorizationCode, RefreshToken, SecretBytes};
use tiktok_shop_connector_core::time::{Moment, UnixSeconds};

/// The pauses between the attempts of one write, in milliseconds: the first, doubled each time, up to the longest.
const FIRST_PAUSE: u64 = 50;
const MAX_PAUSE: u64 = 1_600;
/// The storage of the connector.
#[derive(Default)]
pub(crate) struct Sealed {
    /// The token record: its revision, its bytes, and the time of the write in milliseconds.
    record: Option<(Revision, Vec<u8>, u64)>,
    /// When a sweep refreshes, in seconds since 1970.
    due_at: Option<u64>,
    row: Option<(Revision, Row)>,
    revisions: u64,
}

impl Sealed {
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at.map(World::milliseconds)
    }

    pub(crate) fn lives(&self, world: &World) -> bool {
        let Some((_, bytes, _)) = &self.record else { return false };
        let record = TokenRecord::decode(bytes).unwrap();
        record.dead().is_none() && refresh_tokens(&record).any(|token| world.provider.honours(token, world.seconds()))
    }

    fn next_revision(&mut self) -> Revision {
        self.revisions += 1;
        Revision(format!("revision-{}", self.revisions))
    }
}

fn refresh_tokens(record: &TokenRecord) -> impl Iterator<Item = &str> {
    record.current().refresh.iter().chain(record.fallbacks()).map(RefreshToken::expose)
}

pub(crate) async fn connect(process: Process, code: String) {
    process.world(|world| world.sealed = Sealed::default());
    let grant = Grant::Code(AuthorizationCode::new(code));
    let host = Host::new(process);
    tiktok_shop_connector_core::operation::connect::connect(&host, customer(), None, grant, ShopPolicy::All)
        .await
        .unwrap();
}

pub(crate) async fn run(process: Process) {
    let skew = process.world(|world| world.skew(process.machine));
    let listed = process.storage(|world| (world.sealed.due_at, world.seconds().saturating_add_signed(skew))).await;
    if let Ok((Some(due), now)) = listed
        && due <= now
    {
        // The outcome is in the record.
        let _outcome = refresh(&Host::new(process), customer(), Some(account()), RefreshMode::WhenDue).await;
    }
}

struct Host {
    process: Process,
    skew: i64,
    /// The pairs that this process has received.
    received: RefCell<Vec<u32>>,
    /// The expected revision and the end of a save whose outcome is unknown. A repetition has only the rest of its
    /// time.
    unfinished: RefCell<Option<(Option<Revision>, u64)>>,
}

impl Host {
    fn new(process: Process) -> Self {
        let skew = process.world(|world| world.skew(process.machine));
        Self { process, skew, received: RefCell::default(), unfinished: RefCell::default() }
    }

    async fn load<T>(&self, act: impl FnOnce(&mut World) -> T) -> Result<T, StorageError> {
        self.process.storage(act).await.map_err(|Unavailable| unavailable())
    }

    /// Repeats a swap until storage says what happened, or until its time is over.
    async fn save<T>(
        &self,
        expected: Option<&Revision>,
        swap: impl Fn(&mut World) -> Swapped<T>,
        is_own: impl Fn(&Swapped<T>) -> Option<Revision>,
    ) -> Result<Swapped<T>, StorageError> {
        let end = match self.unfinished.take() {
            Some((of, end)) if of.as_ref() == expected => end,
            Some(_) | None => self.process.now() + SAVE_BUDGET.as_millis() as u64,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            if let Ok(swapped) = self.process.storage(&swap).await {
                return Ok(is_own(&swapped).map_or(swapped, Swapped::Stored));
            }
            for pair in self.received.borrow().iter() {
                self.process.world(|world| world.save_failed(*pair));
            }
            if self.process.now() + pause >= end {
                *self.unfinished.borrow_mut() = Some((expected.cloned(), end));
                return Err(unavailable());
            }
            self.process.sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

fn unavailable() -> StorageError {
    StorageError::Unavailable("simulated".into())
}

/// Returns the value of a parameter. The values of this simulation need no decoding.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

impl Effects for Host {
    fn now(&self) -> Moment {
        self.process.world(|world| Moment {
            wall: UnixSeconds::new(world.seconds().saturating_add_signed(self.skew)),
            monotonic: Duration::from_millis(world.now),
        })
    }

    fn random(&self) -> Nonce {
        self.process.world(|world| world.rng.u128(..)).to_le_bytes()
    }

    async fn apps(&self) -> Result<Vec<String>, StorageError> {
        Ok(vec![APP_KEY.into()])
    }

    async fn credentials(&self, _: &str) -> Result<Credentials, StorageError> {
        Ok(credentials())
    }

    async fn send(&self, request: Request<'_>) -> Result<Response, TransportFailure> {
        let (path, query) = request.path_and_query.expose().split_once('?').unwrap();
        if let Some(code) = parameter(query, "auth_code") {
            return Ok(self.process.world(|world| {
                let now = world.seconds();
                match world.provider.exchange(code, now) {
                    Answer::Pair(issued) => token_pair(issued),
                    Answer::CodeSpent | Answer::Rejected => envelope(36_004_004, &json!(null)),
                }
            }));
        }
        let Some(token) = parameter(query, "refresh_token") else {
            let answered = self.process.call().await;
            return if answered { Ok(business(path)) } else { Err(TransportFailure::Interrupted) };
        };
        match self.process.send(token, REQUEST_BUDGET.as_millis() as u64).await {
            Reply::Pair(issued) => {
                self.received.borrow_mut().push(issued.number);
                Ok(token_pair(issued))
            }
            Reply::Rejected => Ok(envelope(36_004_005, &json!(null))),
            Reply::NotConnected => Err(TransportFailure::NotConnected),
            Reply::Limited => Ok(answer(429, "text/plain", "")),
            Reply::Lost => Err(TransportFailure::Interrupted),
            Reply::ServerError => Ok(answer(502, "text/html", "<html>")),
            Reply::Page => Ok(answer(403, "text/html", "<html>")),
        }
    }

    async fn accounts(&self, _: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.load(|world| world.sealed.record.iter().map(|_| account()).collect()).await
    }

    async fn load_token(&self, _: &ConnectionKey) -> Result<Option<Entry<TokenValue>>, StorageError> {
        self.load(stored_record).await
    }

    async fn swap_token(
        &self,
        _: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<TokenWrite>,
    ) -> Result<Swapped<TokenValue>, StorageError> {
        let revision = self.process.world(|world| world.sealed.next_revision());
        let swap = |world: &mut World| {
            if world.sealed.record.as_ref().map(|(stored, ..)| stored) != expected {
                return Swapped::Stale(stored_record(world));
            }
            let Some(next) = &next else {
                (world.sealed.record, world.sealed.due_at) = (None, None);
                return Swapped::Deleted;
            };
            let bytes = next.bytes.expose().to_vec();
            for token in refresh_tokens(&TokenRecord::decode(&bytes).unwrap()) {
                world.stored(token.trim_start_matches("RT-").parse().unwrap());
            }
            world.sealed.record = Some((revision.clone(), bytes, world.now));
            world.sealed.due_at = next.refresh_due_at.map(UnixSeconds::seconds);
            Swapped::Stored(revision.clone())
        };
        let is_own = |swapped: &Swapped<TokenValue>| match swapped {
            Swapped::Stale(Some(found)) if found.revision == revision => Some(revision.clone()),
            Swapped::Stale(_) | Swapped::Stored(_) | Swapped::Deleted => None,
        };
        self.save(expected, swap, is_own).await
    }

    async fn list_rows(&self, _: &CustomerId) -> Result<Vec<ListedRow>, StorageError> {
        let listed = |row: &Row| ListedRow { account: row.connection.key.account.clone(), row: Ok(copy(row)) };
        self.load(|world| world.sealed.row.iter().map(|(_, row)| listed(row)).collect()).await
    }

    async fn load_row(&self, _: &ConnectionKey) -> Result<Option<Entry<Row>>, StorageError> {
        self.load(stored_row).await
    }

    async fn swap_row(
        &self,
        _: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Row>,
    ) -> Result<Swapped<Row>, StorageError> {
        let revision = self.process.world(|world| world.sealed.next_revision());
        let swap = |world: &mut World| {
            if world.sealed.row.as_ref().map(|(stored, _)| stored) != expected {
                return Swapped::Stale(stored_row(world));
            }
            world.sealed.row = next.map(|row| (revision.clone(), copy(row)));
            if next.is_some() { Swapped::Stored(revision.clone()) } else { Swapped::Deleted }
        };
        let is_own = |swapped: &Swapped<Row>| match swapped {
            Swapped::Stale(Some(found)) if found.revision == revision => Some(revision.clone()),
            Swapped::Stale(_) | Swapped::Stored(_) | Swapped::Deleted => None,
        };
        self.save(expected, swap, is_own).await
    }

    async fn owners(&self, _: &str) -> Result<Vec<ConnectionKey>, StorageError> {
        self.load(|world| world.sealed.row.iter().map(|(_, row)| row.connection.key.clone()).collect()).await
    }
}

fn stored_record(world: &mut World) -> Option<Entry<TokenValue>> {
    world.sealed.record.as_ref().map(|(revision, bytes, at)| {
        let age_ms = u32::try_from(world.now - at).unwrap_or(u32::MAX);
        Entry { revision: revision.clone(), value: TokenValue { bytes: SecretBytes::new(bytes.clone()), age_ms } }
    })
}

fn stored_row(world: &mut World) -> Option<Entry<Row>> {
    world.sealed.row.as_ref().map(|(revision, row)| Entry { revision: revision.clone(), value: copy(row) })
}
