//! One kill: what led to it, and what it left.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use fake_tiktok_shop::{Decision, ReplacedRefreshToken, RequestRecord};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_host::boundary::BoundaryEvent;
use tiktok_shop_host::connection::{Connection, ConnectionKey, ConnectionStatus, UnixSeconds};
use tiktok_shop_host::disconnect::DisconnectTarget;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::RowEntry;
use tiktok_shop_host::{CallError, ShopId};

use super::Operation;
use super::call::{Answer, CUSTOMER, Call};
use super::legal::end;
use super::words::{Words, row};
use crate::{DAY, Stage, customer_id, tenant};

/// Three shops, in one listing, granted for a year.
pub(super) const SELLER: &str = "several-regions";

/// A stage on which the operation is about to begin.
pub(super) struct Scene {
    pub(super) stage: Stage,
    pub(super) operation: Operation,
    pub(super) call: Call,
    /// So many requests led to it.
    seen_before: usize,
}

/// What a kill left.
pub(super) struct Found {
    /// Where the call ended, if it was where it was told to.
    pub(super) at: Option<Crossing>,
    /// What TikTok Shop saw, in the words of `legal.rs`.
    pub(super) seen: String,
    /// What is stored, in the same words.
    pub(super) stored: String,
    /// What is not right about the rest of it.
    pub(super) wrong: Option<String>,
}

impl Scene {
    pub(super) async fn set(operation: Operation, replaced: ReplacedRefreshToken) -> Self {
        let stage = Stage::in_memory();
        stage.fake.update_switches(|switches| switches.replaced_refresh_token = replaced);
        if operation == Operation::Disconnect {
            // TikTok Shop can be asked to take back all of them, and the grant ends with the last.
            let asked_for =
                stage.fake.update_seller(SELLER, |seller| seller.shops.retain(|shop| shop.cipher.is_some()));
            asked_for.expect("a known seller");
        }
        let consents = match operation {
            Operation::Connect => 0,
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
            let connection = connect.make(stage.host_builder()).await.expect("connected").connection();
            shops = connection.shops.into_iter().map(|shop| shop.id).collect();
        }
        let call = lead_to(operation, &stage, shops);
        let seen_before = stage.fake.requests().len();
        Self { stage, operation, call, seen_before }
    }

    /// Runs the operation to its end; each crossing.
    pub(super) async fn run(self) -> Result<Vec<Crossing>, String> {
        let (outcome, crossings) = self.act(u32::MAX).await;
        let answer = outcome.map_err(|error| format!("{}, left alone: {error}", self.operation))?;
        match end(self.operation) {
            Some(end) => {
                if let Answer::Disconnected(ended) = &answer
                    && !ended.not_revoked.is_empty()
                {
                    return Err(format!("{}, left alone: {:?}", self.operation, ended.not_revoked));
                }
                self.ends(&answer, &end).await?;
            }
            None => self.is_whole(&answer.connection()).await?,
        }
        Ok(crossings)
    }

    /// Runs the operation until its process dies at this crossing.
    pub(super) async fn kill(&self, point: u32) -> Found {
        let (outcome, crossings) = self.act(point).await;
        let last = crossings.last().copied();
        self.stage.quiet().await;
        let wrong = match end(self.operation) {
            Some(_) => self.lingers().await,
            None => self.not_good().await,
        };
        Found {
            at: last.filter(|last| last.number == point && matches!(outcome, Err(CallError::Aborted { .. }))),
            seen: self.words().requests(&self.requests()),
            stored: self.in_words().await,
            wrong,
        }
    }

    /// A claim's life later another process comes. `None`: all is as it should be; otherwise why the connection was lost.
    pub(super) async fn recover(&self, found: &Found) -> Result<Option<&'static str>, String> {
        match end(self.operation) {
            Some(end) => self.repeat(&end).await.map(|()| None),
            None => self.renew(found).await,
        }
    }

    /// How the call ended, and each crossing.
    async fn act(&self, until: u32) -> (Result<Answer, CallError>, Vec<Crossing>) {
        let crossings = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&crossings);
        let builder = self.stage.host_builder().on_crossing(move |crossing| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(crossing);
            if crossing.number < until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let outcome = self.call.clone().make(builder).await;
        let crossings = crossings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (outcome, crossings)
    }

    /// What besides the tokens must be right whenever there are some: a sweep will come, and the row says nothing bad.
    async fn not_good(&self) -> Option<String> {
        let (key, _) = self.stored().await?;
        if self.swept(UnixSeconds(u64::MAX)).await.as_ref() != Some(&key) {
            return Some("no sweep will come".to_owned());
        }
        let row = self.listed().await.into_iter().find(|connection| connection.key == key)?;
        let is_good = row.status == ConnectionStatus::Active && row.last_failure.is_none();
        (!is_good).then(|| format!("its row says {:?}, {:?}", row.status, row.last_failure))
    }

    /// What is stored, in words. Where the operation ends a connection or changes its row, the row is part of it.
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

    /// The first connection that sweeps come to until then.
    pub(super) async fn swept(&self, until: UnixSeconds) -> Option<ConnectionKey> {
        let due = self.stage.storage.due(until, None, 1).await.expect("storage in memory");
        due.into_iter().next().map(|due| due.key)
    }

    /// The rows.
    pub(super) async fn listed(&self) -> Vec<Connection> {
        let rows = self.stage.storage.list_rows(&tenant(0), &customer_id(CUSTOMER)).await.expect("storage in memory");
        let keyring = self.stage.keyring();
        let mut connections = Vec::new();
        for RowEntry { revision, row } in rows {
            let row = keyring.open_row(&tenant(0), &revision, row).await.expect("the stage's keys");
            connections.push(row.connection);
        }
        connections
    }

    /// The tokens.
    pub(super) async fn stored(&self) -> Option<(ConnectionKey, TokenRecord)> {
        let (storage, customer) = (&self.stage.storage, customer_id(CUSTOMER));
        let account = storage.accounts(&tenant(0), &customer).await.expect("storage in memory").pop()?;
        let key = ConnectionKey { customer, account };
        let record = self.stage.token_record(&key).await?;
        Some((key, TokenRecord::decode(&record).expect("a record of this version")))
    }

    /// What TikTok Shop saw of the operation and since.
    pub(super) fn requests(&self) -> Vec<RequestRecord> {
        self.stage.fake.requests().split_off(self.seen_before)
    }

    pub(super) fn words(&self) -> Words {
        Words::new(&self.stage.fake, SELLER)
    }
}

/// What happens between the last consent and the call; the call.
fn lead_to(operation: Operation, stage: &Stage, shops: Vec<ShopId>) -> Call {
    let mut shops = shops.into_iter();
    let mut shop = || shops.next().expect("a shop");
    match operation {
        Operation::Connect => Call::Connect(stage.callback(SELLER, Decision::Allow)),
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
            // The first notice comes 30 days before the end.
            stage.advance(335 * DAY);
            Call::ReceiveWebhook(stage.fake.webhooks_due().swap_remove(0))
        }
    }
}
