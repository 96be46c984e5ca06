//! Prepares an operation, kills it, and reads the state after the kill.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use fake_tiktok_shop::{Decision, ReplacedRefreshToken, RequestRecord};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_host::boundary::BoundaryEvent;
use tiktok_shop_host::connection::{Connection, ConnectionKey, ConnectionStatus, UnixSeconds};
use tiktok_shop_host::disconnect::DisconnectTarget;
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::RowEntry;
use tiktok_shop_host::{CallError, ShopId};

use super::Operation;
use super::call::{Answer, CUSTOMER, Call};
use super::legal::end;
use super::words::{Words, row};
use crate::{DAY, Stage, browser, customer_id, tenant};

/// The id of a seller in the fake. The seller has three shops, and grants access to them for a year.
pub(super) const SELLER: &str = "several-regions";

/// A stage (a fake TikTok Shop and its hosts) on which the operation is about to begin.
pub(super) struct Scene {
    pub(super) stage: Stage,
    pub(super) operation: Operation,
    pub(super) call: Call,
    /// The number of requests that the fake got before the operation.
    seen_before: usize,
}

/// The state after a kill.
pub(super) struct Found {
    /// The boundary event at which the call was killed. `None` if the call was not killed at the intended event.
    pub(super) at: Option<BoundaryEvent>,
    /// The requests that TikTok Shop got, in the notation of `legal.rs`.
    pub(super) seen: String,
    /// The stored state, in the same notation.
    pub(super) stored: String,
    /// Another problem of the stored state, for example that no sweep would find the connection. `None` if there is no
    /// such problem.
    pub(super) problem: Option<String>,
}

impl Scene {
    /// Prepares the operation: sets up a stage, connects as often as the operation needs, and prepares the call.
    pub(super) async fn set(operation: Operation, replaced: ReplacedRefreshToken) -> Self {
        let stage = Stage::in_memory();
        stage.fake.update_switches(|switches| switches.replaced_refresh_token = replaced);
        if operation == Operation::Disconnect {
            // A call can deauthorize only shops with a cipher. So the seller keeps only these shops. When the last of
            // them is deauthorized, the grant ends.
            let updated = stage.fake.update_seller(SELLER, |seller| seller.shops.retain(|shop| shop.cipher.is_some()));
            updated.expect("a known seller");
        }
        let consents = match operation {
            Operation::Connect | Operation::ConfirmInstall | Operation::Import | Operation::ImportUnnamed => 0,
            Operation::Promotion => 2,
            Operation::Reconnect
            | Operation::Refresh
            | Operation::LinkShops
            | Operation::Disconnect
            | Operation::DisconnectShop
            | Operation::Webhook6
            | Operation::Webhook7 => 1,
        };
        let mut shops = Vec::new();
        for _ in 0..consents {
            let connect = Call::Connect(stage.callback(SELLER, Decision::Allow));
            let connection = connect.make(stage.host_builder()).await.expect("a connection").connection();
            shops = connection.shops.into_iter().map(|shop| shop.id).collect();
        }
        let call = if matches!(operation, Operation::Import | Operation::ImportUnnamed) {
            let grant = stage.grant_in_another_system(SELLER).await;
            let account = grant.account.clone().filter(|_| operation == Operation::Import);
            Call::Import(ExistingGrant { account, ..grant })
        } else if operation == Operation::ConfirmInstall {
            let (query, session) = (stage.callback_of(0, SELLER, None, Decision::Allow), browser(CUSTOMER));
            let (tenant, customer) = (tenant(0), customer_id(CUSTOMER));
            let began = stage.host.begin_install(&tenant, &customer, None, &session, query.into()).await;
            Call::ConfirmInstall(began.expect("a pending install").id)
        } else {
            prepare_call(operation, &stage, shops)
        };
        let seen_before = stage.fake.requests().len();
        Self { stage, operation, call, seen_before }
    }

    /// Runs the operation to its end, checks the result and returns every boundary event.
    pub(super) async fn run(self) -> Result<Vec<BoundaryEvent>, String> {
        let (outcome, events) = self.run_until(u32::MAX).await;
        let answer = outcome.map_err(|error| format!("{}, not killed: {error}", self.operation))?;
        match end(self.operation) {
            Some(end) => {
                if let Answer::Disconnected(ended) = &answer
                    && !ended.not_revoked.is_empty()
                {
                    return Err(format!("{}, not killed: {:?}", self.operation, ended.not_revoked));
                }
                self.check_end(&answer, &end).await?;
            }
            None => self.is_whole(&answer.connection()).await?,
        }
        Ok(events)
    }

    /// Runs the operation, kills it at the boundary event with this number, and returns the state that is left.
    pub(super) async fn kill(&self, point: u32) -> Found {
        let (outcome, events) = self.run_until(point).await;
        let last = events.last().copied();
        self.stage.quiet().await;
        let problem = match end(self.operation) {
            Some(_) => self.sweep_or_list_problem().await,
            None => self.sweep_or_row_problem().await,
        };
        Found {
            at: last.filter(|last| last.number == point && matches!(outcome, Err(CallError::Aborted { .. }))),
            seen: self.words().requests(&self.requests()),
            stored: self.in_words().await,
            problem,
        }
    }

    /// Moves the clocks forward, so that any claim that the kill has left has lapsed. (A claim is a note in the token
    /// record that one caller sends the refresh token now.) Then lets another host take over. Returns `None` if nothing
    /// is lost. If the connection is lost for the legal cause (see `renewal.rs`), returns the cause. Everything else is
    /// an error.
    pub(super) async fn recover(&self, found: &Found) -> Result<Option<&'static str>, String> {
        match end(self.operation) {
            Some(end) => self.repeat(&end).await.map(|()| None),
            None => self.renew(found).await,
        }
    }

    /// Makes the call and kills it when it reaches the boundary event with this number. Returns the call's result and
    /// every boundary event that was reached.
    async fn run_until(&self, point: u32) -> (Result<Answer, CallError>, Vec<BoundaryEvent>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let builder = self.stage.host_builder().on_boundary(move |event| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            if event.number < point { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let outcome = self.call.clone().make(builder).await;
        let events = events.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (outcome, events)
    }

    /// Checks the stored token record and describes the first problem: a sweep would not find the record, or the row of
    /// the connection is not active or shows a failure. Returns `None` if there is no problem. A missing record and a
    /// missing row are no problem.
    async fn sweep_or_row_problem(&self) -> Option<String> {
        let (key, _) = self.stored().await?;
        if self.swept(UnixSeconds(u64::MAX)).await.as_ref() != Some(&key) {
            return Some("no sweep would find the connection".to_owned());
        }
        let row = self.listed().await.into_iter().find(|connection| connection.key == key)?;
        let is_healthy = row.status == ConnectionStatus::Active && row.last_failure.is_none();
        (!is_healthy).then(|| format!("the row says {:?}, {:?}", row.status, row.last_failure))
    }

    /// Returns the stored state in the notation of `legal.rs`. The text includes the row if `end` returns a final state
    /// for the operation.
    pub(super) async fn in_words(&self) -> String {
        let stored = self.stored().await;
        let record = stored.as_ref().map(|(_, record)| self.words().record(record));
        match end(self.operation) {
            Some(_) => {
                let row = self.listed().await.first().map_or_else(|| "no row".to_owned(), row);
                format!("{}; {row}", record.as_deref().unwrap_or("no tokens"))
            }
            None => record.unwrap_or_else(|| "nothing".to_owned()),
        }
    }

    /// Returns the first connection that a sweep at this time would refresh.
    pub(super) async fn swept(&self, until: UnixSeconds) -> Option<ConnectionKey> {
        let due = self.stage.storage.due(until, None, 1).await.expect("storage in memory");
        due.into_iter().next().map(|due| due.key)
    }

    /// Returns the connections in the stored rows.
    pub(super) async fn listed(&self) -> Vec<Connection> {
        let rows = self.stage.storage.list_rows(&tenant(0), &customer_id(CUSTOMER)).await.expect("storage in memory");
        let keyring = self.stage.keyring();
        let mut connections = Vec::new();
        for RowEntry { revision, row } in rows {
            let row = keyring.open_row(&tenant(0), &revision, &row).await.expect("the stage's keys");
            connections.push(row.connection);
        }
        connections
    }

    /// Returns the stored token record and the key of its connection.
    pub(super) async fn stored(&self) -> Option<(ConnectionKey, TokenRecord)> {
        let (storage, customer) = (&self.stage.storage, customer_id(CUSTOMER));
        let account = storage.accounts(&tenant(0), &customer).await.expect("storage in memory").pop()?;
        let key = ConnectionKey { customer, account };
        let record = self.stage.token_record(&key).await?;
        Some((key, TokenRecord::decode(&record).expect("a record of this version")))
    }

    /// Returns the requests that TikTok Shop got since the operation began.
    pub(super) fn requests(&self) -> Vec<RequestRecord> {
        self.stage.fake.requests().split_off(self.seen_before)
    }

    pub(super) fn words(&self) -> Words {
        Words::new(&self.stage.fake, SELLER)
    }
}

/// Takes the steps between the last consent and the call, and returns the call.
fn prepare_call(operation: Operation, stage: &Stage, shops: Vec<ShopId>) -> Call {
    let mut shops = shops.into_iter();
    let mut shop = || shops.next().expect("a shop");
    match operation {
        // The caller has prepared an import or an install already.
        Operation::Connect | Operation::ConfirmInstall | Operation::Import | Operation::ImportUnnamed => {
            Call::Connect(stage.callback(SELLER, Decision::Allow))
        }
        Operation::Reconnect => {
            stage.advance(DAY);
            Call::Connect(stage.callback(SELLER, Decision::Allow))
        }
        Operation::Refresh => {
            stage.advance(7 * DAY);
            Call::Refresh(RefreshMode::WhenDue)
        }
        Operation::Promotion => {
            let newest = stage.fake.requests().into_iter().rev().find_map(|request| request.issued);
            let newest = newest.expect("a consent was exchanged").refresh_token;
            stage.fake.revoke_refresh_token(&newest).expect("it was issued");
            stage.advance(7 * DAY);
            Call::Refresh(RefreshMode::WhenDue)
        }
        Operation::LinkShops => {
            let _first = shop();
            Call::LinkShops(vec![shop()])
        }
        Operation::Disconnect => {
            stage.advance(DAY);
            Call::Disconnect(DisconnectTarget::All(None))
        }
        Operation::DisconnectShop => {
            stage.advance(DAY);
            Call::Disconnect(DisconnectTarget::Shop(shop()))
        }
        Operation::Webhook6 => {
            stage.advance(DAY);
            let app = stage.fake.apps().into_iter().next().expect("an app");
            stage.fake.deauthorize_shop(&app.service_id, SELLER, shop().as_str()).expect("a granted shop");
            Call::ReceiveWebhook(stage.fake.webhooks_due().swap_remove(0))
        }
        Operation::Webhook7 => {
            // The authorization lasts 365 days. TikTok Shop sends the first webhook 30 days before it ends.
            stage.advance(335 * DAY);
            Call::ReceiveWebhook(stage.fake.webhooks_due().swap_remove(0))
        }
    }
}
