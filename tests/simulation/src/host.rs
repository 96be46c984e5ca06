//! The host of one call in the simulation. Every call runs in a simulated process of its own. The host implements the
//! core's effects on the shared world. At every access to storage and at every request, the call may pause, or its
//! process may crash.

use crate::answers::{answer, business, copy, credentials, envelope, token_pair};
use crate::connector::{APP_KEY, account};
use crate::provider::Answer;
use crate::world::{Access, Transport, World, decoded};
use serde_json::json;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;
use tiktok_shop_connector_core::connection::Row;
use tiktok_shop_connector_core::contract::REQUEST_BUDGET;
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::http::{Request, Response, TransportFailure};
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey, CustomerId};
use tiktok_shop_connector_core::ports::{
    Effects, Entry, ListedRow, Revision, StorageError, Swapped, TokenValue, TokenWrite,
};
use tiktok_shop_connector_core::record::Nonce;
use tiktok_shop_connector_core::secret::{AccessToken, SecretBytes};
use tiktok_shop_connector_core::time::{Moment, UnixSeconds};

/// The host of one call. All of a call's effects are functions of the trait [`Effects`].
pub struct Host {
    /// The world is in a mutex and not in a `RefCell`, because wasmtime wants futures that can be sent to other threads.
    world: Arc<Mutex<World>>,
    pub(crate) call: usize,
    /// The number of seconds by which this machine's wall clock is ahead of the world's time.
    skew: i64,
    /// The pairs that reached this process, each with the token or code that was spent for it.
    received: Mutex<Vec<(u32, String)>>,
}

impl Host {
    pub(crate) fn new(world: &Arc<Mutex<World>>, call: usize, skew: i64) -> Self {
        Self { world: Arc::clone(world), call, skew, received: Mutex::default() }
    }

    /// Returns the number of the call. The calls of a history are numbered from 0.
    #[must_use]
    pub fn call(&self) -> usize {
        self.call
    }

    pub(crate) fn received(&self) -> MutexGuard<'_, Vec<(u32, String)>> {
        self.received.lock().unwrap()
    }

    fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.lock().unwrap())
    }

    /// Gives control to the scheduler. The scheduler may run other calls, let time pass, or never continue this call.
    async fn pause(&self) {
        let mut paused = false;
        poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Makes one access to storage. If the access fails, the error does not say whether the access happened.
    async fn access<T>(&self, name: &str, act: impl FnOnce(&mut World, bool) -> T) -> Result<T, StorageError> {
        self.pause().await;
        let unknown = || StorageError::Unavailable("simulated".into());
        let outcome = self.world(|world| match world.access() {
            Access::Answered => Ok(act(world, false)),
            Access::Lagging => Ok(act(world, true)),
            Access::Dropped => {
                world.log(self.call, format!("{name} does not happen"));
                Err(unknown())
            }
            Access::AnswerLost => {
                act(world, false);
                world.log(self.call, format!("{name} happens, and its answer is lost"));
                Err(unknown())
            }
        });
        self.pause().await;
        outcome
    }

    /// Sends a request with this path and query, and this access token.
    ///
    /// # Errors
    /// The request or its answer was lost, or there was no connection.
    pub async fn exchange(
        &self,
        path_and_query: &str,
        access_token: Option<&str>,
    ) -> Result<Response, TransportFailure> {
        let (path, query) = path_and_query.split_once('?').unwrap();
        let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let refresh_token = query.get("refresh_token");
        let began = self.world(|world| {
            world.log(self.call, format!("sends {path} {}", refresh_token.map_or("", String::as_str)));
            refresh_token.inspect(|token| world.sends(token));
            world.now
        });
        let transport = self.world(World::transport);
        self.pause().await;
        // The host ends a request that takes longer than its budget.
        let late = |host: &Self| host.world(|world| world.now - began > REQUEST_BUDGET.as_secs());
        let lost = |what: &str| {
            self.world(|world| world.log(self.call, what));
            Err(TransportFailure::Interrupted)
        };
        let not_acted = |reply: Result<Response, TransportFailure>| {
            self.world(|world| {
                world.log(self.call, format!("is told that nothing happened ({transport:?})"));
                refresh_token.inspect(|token| world.resolved(token));
            });
            reply
        };
        if late(self) || transport == Transport::LostBefore {
            return lost("loses the request");
        }
        let reply = match transport {
            Transport::NotConnected => return not_acted(Err(TransportFailure::NotConnected)),
            Transport::Limited => return not_acted(Ok(answer(429, "text/plain", ""))),
            Transport::Page => answer(403, "text/html", "<html>"),
            Transport::Answered | Transport::LostAfter | Transport::LostBefore => {
                let received = self.received().len();
                let reply = match (query.get("auth_code"), refresh_token, access_token) {
                    (Some(value), ..) | (_, Some(value), _) => self.token_answer(path, value),
                    (None, None, token) => self.api_answer(path, token.unwrap()),
                };
                self.pause().await;
                if transport == Transport::LostAfter || late(self) {
                    self.received().truncate(received);
                    return lost("loses the answer");
                }
                if let (Some(token), true) = (refresh_token, self.received().len() == received) {
                    self.world(|world| world.resolved(token));
                }
                reply
            }
        };
        Ok(reply)
    }

    /// Returns the answer of TikTok's token server to a request that has reached it.
    fn token_answer(&self, path: &str, value: &str) -> Response {
        self.world(|world| match world.token_request(path, value) {
            Answer::Pair(pair) => {
                world.log(self.call, format!("receives pair {} for {value}", pair.number));
                self.received().push((pair.number, value.to_owned()));
                token_pair(pair)
            }
            Answer::CodeSpent => envelope(36_004_004, &json!(null)),
            Answer::Rejected => {
                world.log(self.call, format!("is told that {value} is rejected"));
                envelope(36_004_005, &json!(null))
            }
        })
    }

    fn api_answer(&self, path: &str, token: &str) -> Response {
        self.world(|world| {
            if !world.provider.serves(token, world.now) {
                world.log(self.call, format!("{token} is refused"));
                return envelope(105_002, &json!(null));
            }
            business(path)
        })
    }
}

impl Effects for Host {
    fn now(&self) -> Moment {
        let now = self.world(|world| world.now);
        Moment { wall: UnixSeconds::new(now.saturating_add_signed(self.skew)), monotonic: Duration::from_secs(now) }
    }

    fn random(&self) -> Nonce {
        self.world(|world| world.rng.u128(..)).to_le_bytes()
    }

    async fn apps(&self) -> Result<Vec<String>, StorageError> {
        Ok(vec![APP_KEY.into()])
    }

    async fn credentials(&self, _: &str) -> Result<Credentials, StorageError> {
        Ok(credentials())
    }

    async fn send(&self, request: Request<'_>) -> Result<Response, TransportFailure> {
        self.exchange(request.path_and_query.expose(), request.access_token.as_ref().map(AccessToken::expose)).await
    }

    async fn accounts(&self, _: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.access("listing accounts", |world, _| world.newest().map(|_| account()).into_iter().collect()).await
    }

    async fn load_token(&self, _: &ConnectionKey) -> Result<Option<Entry<TokenValue>>, StorageError> {
        self.access("a load", |world, lagging| {
            let version = if lagging { world.versions.iter().rev().nth(1) } else { world.versions.last() };
            version.cloned().flatten().map(|version| entry(world, version))
        })
        .await
    }

    async fn swap_token(
        &self,
        _: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<TokenWrite>,
    ) -> Result<Swapped<TokenValue>, StorageError> {
        self.access("a swap", |world, _| {
            let stored = world.newest().cloned();
            if stored.as_ref().map(|(revision, ..)| revision) != expected {
                return Swapped::Stale(stored.map(|version| entry(world, version)));
            }
            if stored.is_none() && next.is_none() {
                return Swapped::Deleted;
            }
            let bytes = next.map(|next| next.bytes.expose().to_vec());
            // A process removes a claim only if it knows the outcome of the request with the claimed token. So after a
            // write that removes the claim, the outcome counts as known.
            let (deletes, settles) =
                (bytes.is_none(), bytes.as_deref().is_some_and(|b| decoded(b).current_claim().is_none()));
            if let (true, Some((_, before, _))) = (settles, &stored)
                && let Some(token) = &decoded(before).current().refresh
                && decoded(before).current_claim().is_some()
            {
                world.resolved(token.expose());
            }
            let revision = world.write(self.call, bytes);
            if deletes { Swapped::Deleted } else { Swapped::Stored(revision) }
        })
        .await
    }

    async fn list_rows(&self, _: &CustomerId) -> Result<Vec<ListedRow>, StorageError> {
        self.access("listing rows", |world, _| {
            let listed = |row: &Row| ListedRow { account: row.connection.key.account.clone(), row: Ok(copy(row)) };
            world.row.iter().map(|(_, row)| listed(row)).collect()
        })
        .await
    }

    async fn load_row(&self, _: &ConnectionKey) -> Result<Option<Entry<Row>>, StorageError> {
        self.access("loading the row", |world, _| {
            world.row.as_ref().map(|(revision, row)| Entry { revision: revision.clone(), value: copy(row) })
        })
        .await
    }

    async fn swap_row(
        &self,
        _: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Row>,
    ) -> Result<Swapped<Row>, StorageError> {
        self.access("swapping the row", |world, _| {
            let stored = world.row.as_ref();
            if stored.map(|(revision, _)| revision) != expected {
                return Swapped::Stale(
                    stored.map(|(revision, row)| Entry { revision: revision.clone(), value: copy(row) }),
                );
            }
            let revision = world.next_revision();
            world.row = next.map(|row| (revision.clone(), copy(row)));
            if next.is_some() { Swapped::Stored(revision) } else { Swapped::Deleted }
        })
        .await
    }

    async fn owners(&self, _: &str) -> Result<Vec<ConnectionKey>, StorageError> {
        self.access("asking for owners", |world, _| {
            world.row.iter().map(|(_, row)| row.connection.key.clone()).collect()
        })
        .await
    }
}

fn entry(world: &World, (revision, bytes, at): (Revision, Vec<u8>, u64)) -> Entry<TokenValue> {
    let age_ms = u32::try_from((world.now - at) * 1000).unwrap_or(u32::MAX);
    Entry { revision, value: TokenValue { bytes: SecretBytes::new(bytes), age_ms } }
}
