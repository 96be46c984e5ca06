//! Runs calls: a fresh instance for each, on a task of its own, under one deadline.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tracing::Instrument as _;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::WasiHttpCtx;

use crate::api_call::{CallRequest, CallResponse, ValidToken};
use crate::bindings::{export, types};
use crate::builder::{ConnectorHostBuilder, Program};
use crate::call_log::{CallLog, Operation};
use crate::clock::{Clock, GuestClock};
use crate::connection::{Connection, Grant, Rotation, Shop, ShopPolicy};
use crate::credentials::CredentialsProvider;
use crate::crossing::{self, OnCrossing};
use crate::deadlines::Deadlines;
use crate::egress::{Client, Egress};
use crate::engine::ticks;
use crate::error::{CallError, ConnectorError, Plugin, Resource, Trap};
use crate::id::{AccountId, CustomerId, InvalidId, Revisions, TenantId};
use crate::imports::{Imports, Scope};
use crate::limits::{Exceeded, Growth, Limits, exhausted};
use crate::randomness::{GuestRandomness, Randomness};
use crate::seal::SealedStorage;
use crate::secret::Secret;
use crate::state::CallState;
use crate::storage::HostStorage;

/// The connector in its sandbox. Cheap to clone; every method is a call of its own, and calls run side by side.
///
/// A call runs on its own task: dropping the future that waits for it neither ends the call nor the save it is in. Calls
/// therefore need a tokio runtime with time and I/O enabled, and a host that shuts down should let calls finish.
#[derive(Clone)]
pub struct ConnectorHost {
    pub(crate) shared: Arc<Shared>,
}

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) program: Program,
    pub(crate) storage: SealedStorage,
    pub(crate) credentials: Arc<dyn CredentialsProvider>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) client: Client,
    pub(crate) deadlines: Deadlines,
    pub(crate) limits: Limits,
    pub(crate) on_crossing: Option<OnCrossing>,
}

impl ConnectorHost {
    /// Starts to put a host together.
    #[must_use]
    pub fn builder() -> ConnectorHostBuilder {
        ConnectorHostBuilder::default()
    }

    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// The plugin this host runs.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.shared.program.plugin
    }

    /// What it runs, and under which limits: for a host beside it.
    pub(crate) fn program(&self) -> (Program, Limits) {
        (self.shared.program.clone(), self.shared.limits)
    }

    /// The link under which the tenant's sellers consent, carrying the state. No network.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn authorization_url(&self, tenant: &TenantId, state: Secret) -> Result<String, CallError> {
        let scope = Scope::nobody(tenant);
        let log = CallLog::begin(Operation::AuthorizationUrl, &scope, None);
        // The link carries the state, so the log must not show it.
        let link = self
            .in_fresh_instance(
                log,
                scope,
                |link| Ok(Secret::from(link)),
                move |guest, wasm_store| {
                    async move { guest.call_authorization_url(wasm_store, state.expose()).await }.boxed()
                },
            )
            .await?;
        Ok(link.expose().to_owned())
    }

    /// Turns a grant into a stored connection. Succeeds even if the shops could not be read. An account that is connected
    /// already is replaced in place.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn connect(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        grant: Grant,
        shops: ShopPolicy,
    ) -> Result<Connection, CallError> {
        let scope = Scope::connecting(tenant, customer);
        let log = CallLog::begin(Operation::Connect, &scope, None);
        let (grant, shops, named) = (export::Grant::from(grant), shops.into(), String::from(customer.clone()));
        self.in_fresh_instance(log, scope, Connection::try_from, move |guest, wasm_store| {
            async move { guest.call_connect(wasm_store, &named, &grant, shops).await }.boxed()
        })
        .await
    }

    /// Renews the access token if due, and re-reads the shops that TikTok lists. `account: None` means the customer's only
    /// account.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn refresh(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
        rotation: Rotation,
    ) -> Result<Connection, CallError> {
        let scope = Scope::of(tenant, customer);
        let log = CallLog::begin(Operation::Refresh, &scope, account);
        let (account, rotation, named) =
            (account.cloned().map(String::from), rotation.into(), String::from(customer.clone()));
        self.in_fresh_instance(log, scope, Connection::try_from, move |guest, wasm_store| {
            async move { guest.call_refresh(wasm_store, &named, account.as_ref(), rotation).await }.boxed()
        })
        .await
    }

    /// The customer's linked shops over all accounts, from storage. No network.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_shops(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<Shop>, CallError> {
        let scope = Scope::of(tenant, customer);
        let log = CallLog::begin(Operation::ListShops, &scope, None);
        let named = String::from(customer.clone());
        self.in_fresh_instance(log, scope, all, move |guest, wasm_store| {
            async move { guest.call_list_shops(wasm_store, &named).await }.boxed()
        })
        .await
    }

    /// The customer's connections with all their shops, from storage. No network. While the tenant's keys can't be had the
    /// shops have no cipher; all else is told.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_connections(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<Vec<Connection>, CallError> {
        let scope = Scope::telling(tenant, customer);
        let log = CallLog::begin(Operation::ListConnections, &scope, None);
        let named = String::from(customer.clone());
        self.in_fresh_instance(log, scope, all, move |guest, wasm_store| {
            async move { guest.call_list_connections(wasm_store, &named).await }.boxed()
        })
        .await
    }

    /// An access token that is good for at least so long, at most an hour; renewed if need be. Where that is impossible
    /// now: the valid one, with its real end.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn access_token(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
        min_validity: Duration,
    ) -> Result<ValidToken, CallError> {
        let scope = Scope::of(tenant, customer);
        let log = CallLog::begin(Operation::AccessToken, &scope, account);
        let (account, named) = (account.cloned().map(String::from), String::from(customer.clone()));
        // What is longer than the connector allows stays so.
        let seconds = u32::try_from(min_validity.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        self.in_fresh_instance(log, scope, ValidToken::try_from, move |guest, wasm_store| {
            async move { guest.call_access_token(wasm_store, &named, account.as_ref(), seconds).await }.boxed()
        })
        .await
    }

    /// Signs a request, adds token and cipher, sends it, and gives back what TikTok answers, business errors included. A
    /// token that TikTok refuses is renewed once, and the request sent again.
    ///
    /// # Errors
    /// See [`CallError`]. `Upstream` with code `outcome-unknown`: nobody knows whether TikTok acted.
    pub async fn call(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        request: CallRequest,
    ) -> Result<CallResponse, CallError> {
        let scope = Scope::of(tenant, customer);
        let log = CallLog::begin(Operation::Call, &scope, request.account());
        let (request, named) = (export::CallRequest::from(request), String::from(customer.clone()));
        self.in_fresh_instance(
            log,
            scope,
            |response| Ok(CallResponse::from(response)),
            move |guest, wasm_store| async move { guest.call_call(wasm_store, &named, &request).await }.boxed(),
        )
        .await
    }

    pub(crate) fn storage(&self) -> &dyn HostStorage {
        self.shared.storage.beneath()
    }

    /// How long a storage has for an answer.
    pub(crate) fn answer(&self) -> Duration {
        self.shared.deadlines.save
    }

    /// A random part of a span; all of it, should the source fail.
    pub(crate) fn part_of(&self, whole: Duration) -> Duration {
        let mut bytes = [0; 4];
        match self.shared.randomness.fill(&mut bytes) {
            Ok(()) => whole.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)),
            Err(_) => whole,
        }
    }

    /// Waits for a free instance, then runs `export` in a fresh one, on a task that outlives the caller. `read` makes the
    /// library's type of the answer; nothing generated is logged.
    pub(crate) async fn in_fresh_instance<T, U, F>(
        &self,
        log: CallLog,
        scope: Scope,
        read: fn(T) -> Result<U, InvalidId>,
        export: F,
    ) -> Result<U, CallError>
    where
        T: Send + 'static,
        U: fmt::Debug + Send + 'static,
        F: for<'a> FnOnce(&'a export::Guest, &'a mut Store<CallState>) -> BoxFuture<'a, Answer<T>> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let permit = tokio::time::timeout(shared.deadlines.queue, Arc::clone(&shared.program.free).acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            return log.end(Err(CallError::Busy { plugin: shared.program.plugin.clone() }));
        };
        let span = log.span();
        let running = async move {
            // Unwind safety: after a panic nothing of the call is looked at again. Its text may quote anything.
            let answer = AssertUnwindSafe(shared.answer(scope, export)).catch_unwind().await;
            drop(permit);
            let plugin = || shared.program.plugin.clone();
            log.end(match answer {
                Ok(Ok(value)) => read(value).map_err(|_| CallError::ContractBroken {
                    plugin: plugin(),
                    what: "an identifier in its answer is malformed",
                }),
                Ok(Err(error)) => Err(error),
                Err(_panic) => Err(CallError::Aborted { plugin: plugin() }),
            })
        };
        let task = tokio::spawn(running.instrument(span));
        task.await.unwrap_or_else(|_| Err(CallError::Aborted { plugin: self.shared.program.plugin.clone() }))
    }
}

/// Reads a list, or nothing of it.
fn all<T, U: TryFrom<T, Error = InvalidId>>(items: Vec<T>) -> Result<Vec<U>, InvalidId> {
    items.into_iter().map(U::try_from).collect()
}

impl fmt::Debug for ConnectorHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorHost").field("plugin", &self.shared.program.plugin).finish_non_exhaustive()
    }
}

/// What an export gives: a trap, or a result that may be the connector's own error.
type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

impl Shared {
    /// One call in a fresh instance, under the deadline.
    async fn answer<T>(
        &self,
        scope: Scope,
        export: impl for<'a> FnOnce(&'a export::Guest, &'a mut Store<CallState>) -> BoxFuture<'a, Answer<T>>,
    ) -> Result<T, CallError> {
        let deadline = self.deadlines.call;
        let wasm_store = self.wasm_store(scope)?;
        // On a late call, dropping the future drops the instance with it.
        match tokio::time::timeout(deadline, self.run(wasm_store, export)).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(self.connector_error(error)),
            Ok(Err(error)) => Err(self.call_error(&error)),
            Err(_late) => Err(CallError::DeadlineExceeded { plugin: self.program.plugin.clone(), deadline }),
        }
    }

    async fn run<T>(
        &self,
        mut wasm_store: Store<CallState>,
        export: impl for<'a> FnOnce(&'a export::Guest, &'a mut Store<CallState>) -> BoxFuture<'a, Answer<T>>,
    ) -> Answer<T> {
        let instance = self.program.contract.instantiate_async(&mut wasm_store).await?;
        export(instance.tiktok_shop_connector_connector(), &mut wasm_store).await
    }

    /// The state of a call that starts now.
    fn wasm_store(&self, scope: Scope) -> Result<Store<CallState>, CallError> {
        let limits = &self.limits;
        let revisions = Revisions::draw(&*self.randomness).map_err(|error| {
            tracing::error!(%error, "no randomness");
            CallError::NoRandomness { plugin: self.program.plugin.clone() }
        })?;
        let (storage, credentials) = (self.storage.clone(), Arc::clone(&self.credentials));
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.header_bytes);
        let wasi = WasiCtx::builder()
            .wall_clock(GuestClock(Arc::clone(&self.clock)))
            .monotonic_clock(GuestClock(Arc::clone(&self.clock)))
            .build();
        let state = CallState {
            table,
            wasi,
            http,
            egress: Egress {
                client: self.client.clone(),
                call_started: Instant::now(),
                last_token_request: self.deadlines.last_token_request(),
            },
            randomness: GuestRandomness { source: Arc::clone(&self.randomness), most: limits.random_bytes },
            imports: Imports::new(scope, storage, credentials, Arc::clone(&self.clock), revisions, self.deadlines.save),
            growth: Growth::new(limits),
            ticks_left: ticks(self.deadlines.cpu),
        };

        let mut wasm_store = Store::new(self.program.contract.engine(), state);
        wasm_store.limiter(|state| &mut state.growth);
        wasm_store.set_hostcall_fuel(limits.hostcall_bytes);
        wasm_store.set_max_component_handles(limits.handles);
        // Ticks pass while the guest waits, too. Extended by one at a time, the deadline costs a wait one tick, however long
        // it was, and computing one per 10 ms.
        wasm_store.set_epoch_deadline(1);
        wasm_store.epoch_deadline_callback(|mut wasm_store| {
            let left = &mut wasm_store.data_mut().ticks_left;
            *left = left.checked_sub(1).ok_or(Exceeded(Resource::Cpu))?;
            Ok(UpdateDeadline::Yield(1))
        });
        if let Some(on_crossing) = &self.on_crossing {
            crossing::ask(&mut wasm_store, Arc::clone(on_crossing));
        }
        Ok(wasm_store)
    }

    fn connector_error(&self, error: types::Error) -> CallError {
        let (action, failure) = error.into();
        CallError::Connector(ConnectorError { plugin: self.program.plugin.clone(), action, failure })
    }

    fn call_error(&self, error: &wasmtime::Error) -> CallError {
        let plugin = self.program.plugin.clone();
        if let Some(resource) = exhausted(error) {
            tracing::error!(%plugin, %resource, "the guest used up what it is given");
            return CallError::Exhausted { plugin, resource };
        }
        if error.is::<crossing::Ended>() {
            return CallError::Aborted { plugin };
        }
        CallError::Trapped { plugin, trap: Trap::from_error(error) }
    }
}
