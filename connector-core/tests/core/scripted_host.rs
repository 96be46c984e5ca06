//! A host for tests of the core. Its storage is in memory and linearizable for each key, unless the test makes an
//! effect fail. The test states TikTok's answers and moves the clocks. The random bits are a counter.
//!
//! An effect is something that the core asks its host to do, for example to load a record or to send a request. The
//! effects of a call are numbered. A test can kill a call before an effect happens, or after it happened and before the
//! call receives its result. Nothing here waits: a killed call stays pending and is dropped.

mod effects;

use crate::samples::{APP_KEY, NOW, duplicate_row, key, with};
use crate::stored_fields::Fields;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::connection::Row;
use tiktok_shop_connector_core::connection::document::DocumentError;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::identity::ConnectionKey;
use tiktok_shop_connector_core::ports::{Entry, Revision, StorageError, TokenValue};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_connector_core::secret::SecretBytes;
use tiktok_shop_connector_core::time::UnixSeconds;

/// The kinds of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Apps,
    Credentials,
    Send,
    Accounts,
    LoadToken,
    SwapToken,
    ListRows,
    LoadRow,
    SwapRow,
    Owners,
}

/// A failure of one effect on storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The effect does not happen, and the caller receives `unavailable`.
    Unavailable,
    /// The effect happens, and the caller receives `unavailable`.
    AnswerLost,
    /// The effect does not happen, and the caller receives `refused`.
    Refused,
    /// A load of a token record returns what the newest write replaced: an older record, or nothing.
    Stale,
}

/// The point at which a call is killed. Effects are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    Before(usize),
    After(usize),
}

/// TikTok's answer to one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Reply {
        status: u16,
        content_type: &'static str,
        retry_after: Option<&'static str>,
        date: Option<&'static str>,
        body: String,
    },
    /// An answer with HTTP status 200 and exactly these bytes as its body.
    Bytes {
        content_type: &'static str,
        content_encoding: Option<&'static str>,
        body: Vec<u8>,
    },
    Broken(TransportFailure),
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Reply {
            status,
            content_type: "application/json; charset=utf-8",
            retry_after: None,
            date: None,
            body: body.to_string(),
        }
    }

    pub(crate) fn success(data: &Value) -> Self {
        Self::json(200, &json!({"code": 0, "message": "success", "request_id": "req-1", "data": data}))
    }

    /// Returns an error answer of TikTok's token server: HTTP status 200, and this code in the body.
    pub(crate) fn code(code: i64) -> Self {
        Self::json(200, &json!({"code": code, "message": "no", "request_id": "req-1", "data": null}))
    }

    /// Returns the HTML page of a gateway.
    pub(crate) fn page(status: u16) -> Self {
        Self::Reply {
            status,
            content_type: "text/html",
            retry_after: None,
            date: None,
            body: "<html>busy</html>".into(),
        }
    }

    /// Adds a `Date` header to the answer.
    pub(crate) fn dated(self, text: &'static str) -> Self {
        match self {
            Self::Reply { status, content_type, retry_after, body, .. } => {
                Self::Reply { status, content_type, retry_after, date: Some(text), body }
            }
            Self::Bytes { .. } | Self::Broken(_) => self,
        }
    }

    pub(crate) fn limited(retry_after: Option<&'static str>) -> Self {
        Self::Reply { status: 429, content_type: "text/plain", retry_after, date: None, body: String::new() }
    }
}

struct StoredToken {
    revision: Revision,
    bytes: Vec<u8>,
    due_at: Option<UnixSeconds>,
    written_at: Duration,
}

type Meanwhile = Box<dyn FnOnce(&ScriptedHost)>;
type TikTok = Box<dyn FnMut(&str) -> Answer>;

/// How a stored row is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The host notices that somebody changed the row.
    Changed,
    /// The row cannot be decoded.
    Unreadable(DocumentError),
}

struct State {
    wall: UnixSeconds,
    monotonic: Duration,
    storage_clock: Duration,
    drawn: u128,
    /// The keys of the tenant's apps.
    apps: Result<Vec<&'static str>, StorageError>,
    /// The apps whose credentials can't be read.
    unreadable: Vec<&'static str>,
    /// The app whose credentials the host returns, whichever app the core asks for.
    answers_with: Option<&'static str>,
    link: Option<String>,
    link_scheme: LinkScheme,
    answers: VecDeque<Answer>,
    tiktok: Option<TikTok>,
    sent: Vec<String>,
    /// For each key, every version of its record, the newest version last. `None` stands for a deletion.
    tokens: BTreeMap<ConnectionKey, Vec<Option<StoredToken>>>,
    rows: BTreeMap<ConnectionKey, (Revision, Row)>,
    /// The rows that cannot be used.
    damaged: Vec<(ConnectionKey, Damage)>,
    effects: Vec<Step>,
    faults: Vec<(Step, usize, Fault)>,
    meanwhile: Vec<(Step, usize, Meanwhile)>,
    kill: Option<Kill>,
}

/// A scripted host. It implements the core's effects.
pub(crate) struct ScriptedHost(RefCell<State>);

impl ScriptedHost {
    /// Creates a host without connections.
    pub(crate) fn new() -> Self {
        Self(RefCell::new(State {
            wall: NOW,
            monotonic: Duration::from_secs(7),
            storage_clock: Duration::from_secs(1_000_000),
            drawn: 0,
            apps: Ok(vec![APP_KEY]),
            unreadable: Vec::new(),
            answers_with: None,
            link: None,
            link_scheme: LinkScheme::Https,
            answers: VecDeque::new(),
            tiktok: None,
            sent: Vec::new(),
            tokens: BTreeMap::new(),
            rows: BTreeMap::new(),
            damaged: Vec::new(),
            effects: Vec::new(),
            faults: Vec::new(),
            meanwhile: Vec::new(),
            kill: None,
        }))
    }

    /// Creates a host that stores this record for the sample customer, and no row.
    pub(crate) fn with_record(record: &TokenRecord) -> Self {
        let host = Self::new();
        host.put(&key(), record);
        host
    }

    // Methods that prepare a test.

    /// Adds TikTok's answers, in the order of the requests. A request without an answer fails the test, unless
    /// [`Self::tiktok`] is set.
    pub(crate) fn answers(self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.0.borrow_mut().answers.extend(answers);
        self
    }

    /// Sets a function that answers requests after the added answers are used up.
    pub(crate) fn tiktok(self, tiktok: impl FnMut(&str) -> Answer + 'static) -> Self {
        self.0.borrow_mut().tiktok = Some(Box::new(tiktok));
        self
    }

    /// Makes the `nth` effect of this kind fail.
    pub(crate) fn fault(self, step: Step, nth: usize, fault: Fault) -> Self {
        self.0.borrow_mut().faults.push((step, nth, fault));
        self
    }

    /// Runs a function, for example another call, just before the `nth` effect of this kind.
    pub(crate) fn meanwhile(self, step: Step, nth: usize, happens: impl FnOnce(&Self) + 'static) -> Self {
        self.0.borrow_mut().meanwhile.push((step, nth, Box::new(happens)));
        self
    }

    pub(crate) fn killed(self, kill: Kill) -> Self {
        self.0.borrow_mut().kill = Some(kill);
        self
    }

    /// Makes the host name no apps, and refuse the credentials of every app.
    pub(crate) fn without_credentials(self, why: StorageError) -> Self {
        self.0.borrow_mut().apps = Err(why);
        self
    }

    /// Sets the keys of the tenant's apps.
    pub(crate) fn apps_are(self, keys: &[&'static str]) -> Self {
        self.0.borrow_mut().apps = Ok(keys.to_vec());
        self
    }

    /// Makes the host return the credentials of this app, whichever app the core asks for.
    pub(crate) fn credentials_are_those_of(self, key: &'static str) -> Self {
        self.0.borrow_mut().answers_with = Some(key);
        self
    }

    /// Makes the credentials of one app unreadable, although the tenant has the app.
    pub(crate) fn unreadable_app(self, key: &'static str) -> Self {
        self.0.borrow_mut().unreadable.push(key);
        self
    }

    /// Accepts authorization links without TLS.
    pub(crate) fn with_clear_links(self) -> Self {
        self.0.borrow_mut().link_scheme = LinkScheme::HttpsOrHttp;
        self
    }

    /// Damages the stored row of a connection. Everything that reads the row fails, until the row is deleted.
    pub(crate) fn damage_row(&self, key: &ConnectionKey, damage: Damage) {
        self.0.borrow_mut().damaged.push((key.clone(), damage));
    }

    pub(crate) fn link_is(self, link: &str) -> Self {
        self.0.borrow_mut().link = Some(link.into());
        self
    }

    /// Starts the host again after a crash. A later call uses the same storage, and effects are counted from 1 again.
    /// The prepared faults, answers and kill are forgotten.
    pub(crate) fn restart(&self) {
        let mut state = self.0.borrow_mut();
        state.kill = None;
        state.faults.clear();
        state.meanwhile.clear();
        state.effects.clear();
        state.answers.clear();
        state.sent.clear();
    }

    pub(crate) fn pass(&self, seconds: u64) {
        let mut state = self.0.borrow_mut();
        let span = Duration::from_secs(seconds);
        state.wall = state.wall.plus(seconds);
        state.monotonic += span;
        state.storage_clock += span;
    }

    pub(crate) fn wall_clock_jumps(&self, seconds: u64) {
        let mut state = self.0.borrow_mut();
        state.wall = state.wall.plus(seconds);
    }

    pub(crate) fn monotonic_clock_jumps(&self, seconds: u64) {
        self.0.borrow_mut().monotonic += Duration::from_secs(seconds);
    }

    /// Writes a record as another writer would, under a new revision.
    pub(crate) fn put(&self, key: &ConnectionKey, record: &TokenRecord) {
        let mut state = self.0.borrow_mut();
        let due_at = record.next_due(state.wall);
        state.write_token(key, Some((record.encode().unwrap().expose().to_vec(), due_at)));
    }

    /// Copies the sample customer's record and its due time from the storage of another host.
    pub(crate) fn put_as_stored(&self, other: &Self) {
        let (bytes, due_at) = (other.stored_bytes(), other.refresh_due_at());
        self.0.borrow_mut().write_token(&key(), Some((bytes, due_at)));
    }

    /// Writes a record whose stored due time is now, even if the record itself says a later time. A crash can leave
    /// such a record.
    pub(crate) fn put_due_now(&self, record: &TokenRecord) {
        let mut state = self.0.borrow_mut();
        let due_at = Some(state.wall);
        state.write_token(&key(), Some((record.encode().unwrap().expose().to_vec(), due_at)));
    }

    /// Changes the sample customer's record as another writer would.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Fields)) {
        self.put(&key(), &with(self.record(), edit));
    }

    pub(crate) fn put_bytes(&self, key: &ConnectionKey, bytes: &[u8]) {
        self.0.borrow_mut().write_token(key, Some((bytes.to_vec(), None)));
    }

    /// Deletes the record. This is also the first step of a disconnect by another caller.
    pub(crate) fn delete(&self, key: &ConnectionKey) {
        self.0.borrow_mut().write_token(key, None);
    }

    pub(crate) fn put_row(&self, row: &Row) {
        let mut state = self.0.borrow_mut();
        let revision = state.next_revision();
        state.rows.insert(row.connection.key.clone(), (revision, duplicate_row(row)));
    }

    // Methods that look at the result.

    pub(crate) fn wall(&self) -> UnixSeconds {
        self.0.borrow().wall
    }

    /// Returns the requests in the order in which they were sent, for example `refresh RT-1`, `exchange CODE-1`, `shops
    /// AT-1` or `POST /p?a=b AT-1 cipher-1 @1767225600`. A request of another app than the sample app begins with the
    /// key of the app, for example `app-key-2: refresh RT-1`.
    pub(crate) fn sent(&self) -> Vec<String> {
        self.0.borrow().sent.clone()
    }

    /// Returns the effects so far.
    pub(crate) fn effects(&self) -> Vec<Step> {
        self.0.borrow().effects.clone()
    }

    pub(crate) fn record(&self) -> TokenRecord {
        self.find_record(&key()).expect("a token record")
    }

    pub(crate) fn find_record(&self, key: &ConnectionKey) -> Option<TokenRecord> {
        self.0.borrow().newest(key).map(|stored| TokenRecord::decode(&stored.bytes).unwrap())
    }

    pub(crate) fn stored_bytes(&self) -> Vec<u8> {
        self.0.borrow().newest(&key()).expect("a token record").bytes.clone()
    }

    /// Returns every version of the sample customer's record that was ever stored. `None` stands for a deletion.
    pub(crate) fn history(&self) -> Vec<Option<TokenRecord>> {
        let state = self.0.borrow();
        let versions = state.tokens.get(&key()).into_iter().flatten();
        versions.map(|version| version.as_ref().map(|stored| TokenRecord::decode(&stored.bytes).unwrap())).collect()
    }

    /// Returns the stored due time, by which a sweep finds the record.
    pub(crate) fn refresh_due_at(&self) -> Option<UnixSeconds> {
        self.0.borrow().newest(&key()).expect("a token record").due_at
    }

    pub(crate) fn row(&self) -> Option<Row> {
        self.0.borrow().rows.get(&key()).map(|(_, row)| duplicate_row(row))
    }

    // Methods that carry out the effects.

    async fn effect<T>(&self, step: Step, act: impl FnOnce(&mut State, bool) -> T) -> Result<T, StorageError> {
        let (number, nth) = {
            let mut state = self.0.borrow_mut();
            state.effects.push(step);
            (state.effects.len(), state.effects.iter().filter(|earlier| **earlier == step).count())
        };
        self.die_at(Kill::Before(number)).await;
        // The function is taken out of the state before it runs, because it may call this host, and such a call borrows
        // the state.
        let meanwhile = self.0.borrow_mut().take_meanwhile(step, nth);
        if let Some(happens) = meanwhile {
            happens(self);
        }
        let outcome = {
            let mut state = self.0.borrow_mut();
            let fault = state.faults.iter().find(|fault| (fault.0, fault.1) == (step, nth)).map(|fault| fault.2);
            match fault {
                None => Ok(act(&mut state, false)),
                Some(Fault::Stale) => Ok(act(&mut state, true)),
                Some(Fault::Unavailable) => Err(StorageError::Unavailable("scripted".into())),
                Some(Fault::Refused) => Err(StorageError::Refused("scripted".into())),
                Some(Fault::AnswerLost) => {
                    act(&mut state, false);
                    Err(StorageError::Unavailable("scripted".into()))
                }
            }
        };
        self.die_at(Kill::After(number)).await;
        outcome
    }

    async fn die_at(&self, point: Kill) {
        let dies = self.0.borrow().kill == Some(point);
        if dies {
            pending::<()>().await;
        }
    }
}

impl State {
    fn next_revision(&mut self) -> Revision {
        self.drawn += 1;
        Revision(format!("revision-{}", self.drawn))
    }

    fn take_meanwhile(&mut self, step: Step, nth: usize) -> Option<Meanwhile> {
        let at = self.meanwhile.iter().position(|waiting| (waiting.0, waiting.1) == (step, nth))?;
        Some(self.meanwhile.remove(at).2)
    }

    /// Returns the error of a damaged row with this revision.
    fn damage_of(&self, key: &ConnectionKey, revision: &Revision) -> Option<StorageError> {
        let (_, damage) = self.damaged.iter().find(|(damaged, _)| damaged == key)?;
        Some(match damage {
            Damage::Changed => StorageError::RowChanged(revision.clone()),
            Damage::Unreadable(why) => StorageError::RowUnreadable(revision.clone(), *why),
        })
    }

    fn newest(&self, key: &ConnectionKey) -> Option<&StoredToken> {
        self.tokens.get(key)?.last()?.as_ref()
    }

    fn write_token(&mut self, key: &ConnectionKey, next: Option<(Vec<u8>, Option<UnixSeconds>)>) -> Revision {
        let revision = self.next_revision();
        let written_at = self.storage_clock;
        let version = next.map(|(bytes, due_at)| StoredToken { revision: revision.clone(), bytes, due_at, written_at });
        self.tokens.entry(key.clone()).or_default().push(version);
        revision
    }

    fn token_entry(&self, stored: &StoredToken) -> Entry<TokenValue> {
        let age_ms = u32::try_from((self.storage_clock - stored.written_at).as_millis()).unwrap_or(u32::MAX);
        let value = TokenValue { bytes: SecretBytes::new(stored.bytes.clone()), age_ms };
        Entry { revision: stored.revision.clone(), value }
    }

    fn answer(&mut self, request: &str) -> Answer {
        self.sent.push(request.into());
        match (self.answers.pop_front(), &mut self.tiktok) {
            (Some(answer), _) => answer,
            (None, Some(tiktok)) => tiktok(request),
            (None, None) => panic!("the script has no answer to the request {request}"),
        }
    }
}

/// Runs a call to its end. Returns `None` if the call was killed. A killed call is dropped.
pub(crate) fn run_or_die<T>(call: impl Future<Output = T>) -> Option<T> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Runs a call that is not killed.
pub(crate) fn run<T>(call: impl Future<Output = T>) -> T {
    run_or_die(call).expect("the call ends")
}
