//! One kill: what led to it, what it left, and what becomes of that.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use fake_tiktok_shop::{Decision, ReplacedRefreshToken, RequestRecord};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_connector_core::secret::RefreshToken;
use tiktok_shop_host_harness::{
    CLAIM, CallError, Connection, ConnectionKey, ConnectionStatus, ConnectorHost, ConnectorHostBuilder, Crossing,
    ReauthorizationReason, Rotation, ShopPolicy, ShopStanding, UnixSeconds,
};
use tokio::runtime;
use tokio::task::spawn_blocking;

use super::Operation;
use super::words::Words;
use crate::{DAY, Stage, customer_id, grant, refusal, tenant};

const CUSTOMER: &str = "alice";
/// Three shops, in one listing.
const SELLER: &str = "several-regions";
const SELLERS_SHOPS: usize = 3;

const TOKEN_REPLACED: &str = "answer lost after TikTok had replaced the token";
const CODE_SPENT: &str = "answer lost after TikTok had spent the code";

/// A stage on which the operation is about to begin.
pub(super) struct Scene {
    stage: Stage,
    operation: Operation,
    /// The callback that a `connect` gets.
    callback: String,
    /// So many requests led to it.
    seen_before: usize,
}

/// What a kill left.
pub(super) struct Found {
    /// Where the call ended, if it was where it was told to.
    pub(super) at: Option<Crossing>,
    /// What TikTok Shop saw, in the words of `legal.rs`.
    pub(super) seen: String,
    /// The token record, in the same words.
    pub(super) stored: String,
    /// What is not right about the rest of it.
    pub(super) wrong: Option<String>,
}

impl Scene {
    pub(super) async fn set(operation: Operation, replaced: ReplacedRefreshToken) -> Self {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.replaced_refresh_token = replaced);
        let consents = match operation {
            Operation::Connect => 0,
            Operation::Reconnect | Operation::Refresh => 1,
            Operation::Promotion => 2,
        };
        for _ in 0..consents {
            let callback = stage.callback(SELLER, Decision::Allow);
            process(stage.host_builder(), async move |host| connect(host, callback).await).await.expect("connected");
        }
        match operation {
            Operation::Connect => {}
            Operation::Reconnect => stage.advance(DAY),
            Operation::Refresh => stage.advance(7 * DAY),
            Operation::Promotion => {
                let newest = stage.fake.requests().into_iter().rev().find_map(|request| request.issued);
                let newest = newest.expect("a consent was exchanged").refresh_token;
                stage.fake.revoke_refresh_token(&newest).expect("it was issued");
                stage.advance(7 * DAY);
            }
        }
        let callback = stage.callback(SELLER, Decision::Allow);
        let seen_before = stage.fake.requests().len();
        Self { stage, operation, callback, seen_before }
    }

    /// Runs the operation to its end; each crossing.
    pub(super) async fn run(self) -> Result<Vec<Crossing>, String> {
        let (outcome, crossings) = self.act(u32::MAX).await;
        let connection = outcome.map_err(|error| format!("{}, left alone: {error}", self.operation))?;
        self.is_whole(&connection).await?;
        Ok(crossings)
    }

    /// Runs the operation until its process dies at this crossing.
    pub(super) async fn kill(&self, point: u32) -> Found {
        let (outcome, crossings) = self.act(point).await;
        let last = crossings.last().copied();
        self.stage.quiet().await;
        let stored = self.stored().await;
        Found {
            at: last.filter(|last| last.number == point && matches!(outcome, Err(CallError::Aborted { .. }))),
            seen: self.words().requests(&self.requests()),
            stored: stored.as_ref().map_or_else(|| "nothing".to_owned(), |(_, record)| self.words().record(record)),
            wrong: match stored {
                Some((key, _)) => self.wrong(&key).await,
                None => None,
            },
        }
    }

    /// A claim's life later another process comes. `None`: the connection is whole; otherwise why it was lost.
    pub(super) async fn recover(&self, found: &Found) -> Result<Option<&'static str>, String> {
        self.stage.advance(CLAIM.as_secs() + 1);
        let stored = self.stored().await;
        let tokens = || stored.iter().flat_map(|(_, record)| refresh_tokens(record));
        let mut issued = self.requests().into_iter().filter_map(|request| request.issued);
        let answer_lost = issued.any(|pair| tokens().all(|token| token.expose() != pair.refresh_token));
        // Where nothing is stored, the code is as good as its answer.
        let lost = match &stored {
            Some(_) => !tokens().any(|token| self.stage.fake.honours(token.expose())),
            None => answer_lost,
        };
        if lost && !answer_lost {
            return Err("TikTok Shop honours nothing that is stored, and has issued nothing else".to_owned());
        }

        let (operation, callback) = (self.operation, self.callback.clone());
        let is_stored = stored.is_some();
        let outcome = process(self.stage.host_builder(), async move |host: ConnectorHost| match operation {
            Operation::Connect if !is_stored => connect(host, callback).await,
            // The pair that stands may be fresh, and has to prove itself.
            Operation::Reconnect => refresh(host, Rotation::Forced).await,
            Operation::Connect | Operation::Refresh | Operation::Promotion => refresh(host, Rotation::WhenDue).await,
        })
        .await;
        let (connection, cause) = match outcome {
            Ok(connection) if !lost => (connection, None),
            Ok(_) => return Err("it came back although TikTok Shop honours nothing that was stored".to_owned()),
            Err(error) if lost => {
                (self.reconnect(error, is_stored).await?, Some(if is_stored { TOKEN_REPLACED } else { CODE_SPENT }))
            }
            Err(error) => return Err(format!("lost without need: {error} (stored after the kill: {})", found.stored)),
        };
        self.is_whole(&connection).await?;
        Ok(cause)
    }

    /// A loss says what it is, and a new consent mends it.
    async fn reconnect(&self, error: CallError, is_stored: bool) -> Result<Connection, String> {
        let expected = if is_stored { "refresh-outcome-unknown" } else { "authorization-code-spent" };
        let told = refusal::<()>(Err(error));
        if told != ("reauthorize", expected.to_owned()) {
            return Err(format!("it ended in {told:?} in place of {expected}"));
        }
        if is_stored {
            let status = self.listed().await.first().map(|row| row.status);
            let expected = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::RefreshOutcomeUnknown);
            if status != Some(expected) {
                return Err(format!("the row of a lost connection says {status:?}"));
            }
        }
        let callback = self.stage.callback(SELLER, Decision::Allow);
        let outcome = process(self.stage.host_builder(), async move |host| connect(host, callback).await).await;
        outcome.map_err(|error| format!("a new consent did not mend it: {error}"))
    }

    /// How the call ended, and each crossing.
    async fn act(&self, until: u32) -> (Result<Connection, CallError>, Vec<Crossing>) {
        let crossings = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&crossings);
        let builder = self.stage.host_builder().on_crossing(move |crossing| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(crossing);
            if crossing.number < until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let (operation, callback) = (self.operation, self.callback.clone());
        let outcome = process(builder, async move |host: ConnectorHost| match operation {
            Operation::Connect | Operation::Reconnect => connect(host, callback).await,
            Operation::Refresh | Operation::Promotion => refresh(host, Rotation::WhenDue).await,
        })
        .await;
        let crossings = crossings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (outcome, crossings)
    }

    /// All shops, no failure, no claim, and tokens that TikTok Shop honours.
    async fn is_whole(&self, connection: &Connection) -> Result<(), String> {
        let failed = connection.last_failure.as_ref().map(|past| past.failure.code.as_str());
        let linked = connection.shops.iter().filter(|shop| shop.linked && shop.standing == ShopStanding::Granted);
        let shops = linked.count();
        if (connection.status, failed, shops) != (ConnectionStatus::Active, None, SELLERS_SHOPS) {
            return Err(format!("not whole: {:?}, {failed:?}, {shops} shops", connection.status));
        }
        if self.listed().await != [connection.clone()] {
            return Err("not whole: its row is another one".to_owned());
        }
        let Some((_, record)) = self.stored().await else { return Err("not whole: no record".to_owned()) };
        // That the shops could be read says the same of the access token.
        let honoured = record.current.refresh.as_ref().is_some_and(|token| self.stage.fake.honours(token.expose()));
        if !honoured || record.claim.is_some() || record.dead.is_some() {
            return Err(format!("not whole: {} is stored", self.words().record(&record)));
        }
        Ok(())
    }

    /// What besides the tokens must be right whenever there are some: a sweep will come, and the row says nothing bad.
    async fn wrong(&self, key: &ConnectionKey) -> Option<String> {
        let due = self.stage.storage.due(UnixSeconds(u64::MAX), None, 1).await.expect("storage in memory");
        if due.first().map(|due| &due.key) != Some(key) {
            return Some("no sweep will come".to_owned());
        }
        let row = self.stage.storage.load_row(&tenant(0), key).await.expect("storage in memory")?.row.connection;
        let is_good = row.status == ConnectionStatus::Active && row.last_failure.is_none();
        (!is_good).then(|| format!("its row says {:?}, {:?}", row.status, row.last_failure))
    }

    async fn listed(&self) -> Vec<Connection> {
        let rows = self.stage.storage.list_rows(&tenant(0), &customer_id(CUSTOMER)).await.expect("storage in memory");
        rows.into_iter().map(|entry| entry.row.connection).collect()
    }

    async fn stored(&self) -> Option<(ConnectionKey, TokenRecord)> {
        let (storage, customer) = (&self.stage.storage, customer_id(CUSTOMER));
        let account = storage.accounts(&tenant(0), &customer).await.expect("storage in memory").pop()?;
        let key = ConnectionKey { customer, account };
        let entry = storage.load_token(&tenant(0), &key).await.expect("storage in memory")?;
        Some((key, TokenRecord::decode(entry.value.expose()).expect("a record of this version")))
    }

    /// What TikTok Shop saw of the operation and since.
    fn requests(&self) -> Vec<RequestRecord> {
        self.stage.fake.requests().split_off(self.seen_before)
    }

    fn words(&self) -> Words {
        Words::new(&self.stage.fake, SELLER)
    }
}

fn refresh_tokens(record: &TokenRecord) -> impl Iterator<Item = &RefreshToken> {
    record.current.refresh.iter().chain(&record.fallbacks)
}

/// Lets a host make calls in a process of its own, as far as that is possible here: on a runtime that is gone when this
/// returns, and with it every task and connection of the host.
async fn process<T: Send + 'static>(
    builder: ConnectorHostBuilder,
    calls: impl AsyncFnOnce(ConnectorHost) -> T + Send + 'static,
) -> T {
    let life = move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let host = builder.build().expect("a host");
        runtime.block_on(calls(host))
    };
    spawn_blocking(life).await.expect("a host that does not panic")
}

async fn connect(host: ConnectorHost, callback: String) -> Result<Connection, CallError> {
    host.connect(&tenant(0), &customer_id(CUSTOMER), grant(&callback), ShopPolicy::All).await
}

async fn refresh(host: ConnectorHost, rotation: Rotation) -> Result<Connection, CallError> {
    host.refresh(&tenant(0), &customer_id(CUSTOMER), None, rotation).await
}
