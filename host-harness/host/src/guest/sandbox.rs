//! Runs each call in a fresh instance, on a task of its own, under one deadline.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tracing::Instrument as _;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi_http::WasiHttpCtx;

use super::bindings::types;
use super::boundary_hook::{self, EndedAtBoundary, OnBoundary};
use super::call_log::CallLog;
use super::call_state::CallState;
use super::engine::ticks;
use super::exchanges::Exchanges;
use super::exports::{Answer, Exports};
use super::fetched_credentials::{FetchedCredentials, GuestCredentials, fetch_credentials, not_fetched};
use super::http::GuestHttp;
use super::imports::Imports;
use super::program::{Lane, Program};
use super::random::GuestRandomness;
use super::request_body::BytesLeft;
use super::resources::{Exceeded, Growth, exhausted};
use super::scope::{CredentialsUse, Scope};
use super::secrets::{ClearTexts, Secrets};
use super::trap::trap;
use super::turns::{Place, Turns};
use crate::clock::Clock;
use crate::credentials::CredentialsProvider;
use crate::deadlines::Deadlines;
use crate::egress::{Client, LastProxyError};
use crate::environment_guard::EnvironmentGuard;
use crate::error::{CallError, ConnectorError, Resource};
use crate::id::{InvalidId, Revisions, TenantId};
use crate::limits::Limits;
use crate::metrics::{HostMetrics, LaneName};
use crate::randomness::Randomness;
use crate::seal::SealedStorage;
use crate::storage::{Environment, StorageError, run_within};
use crate::sweep::WrittenNotices;
use crate::webhook::TIME_BEFORE_HANDLING;

/// The component, and everything that its instances may use. All calls of a host share one sandbox.
pub(crate) struct Sandbox {
    pub(crate) program: Program,
    pub(crate) storage: SealedStorage,
    pub(crate) credentials: Arc<EnvironmentGuard>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) client: Client,
    /// The servers to which the guest's requests go.
    pub(crate) environment: Environment,
    pub(crate) deadlines: Deadlines,
    pub(crate) limits: Limits,
    pub(crate) on_boundary: Option<OnBoundary>,
    pub(crate) metrics: HostMetrics,
    /// The expiry notices that the sweeps of this host need not ask the storage about.
    pub(crate) written_notices: WrittenNotices,
}

/// The state of a call that has not taken an instance yet.
pub(crate) struct Prepared {
    /// The credentials, if the host fetches them before the call.
    pub(crate) credentials: Option<FetchedCredentials>,
    /// How long the call may still wait for a turn.
    pub(crate) wait: Duration,
}

impl Sandbox {
    /// Fetches the credentials of the tenant's apps if the operation needs them, waits until it is the tenant's turn to
    /// take an instance, and then runs `export` in a fresh instance. `export` runs on a task of its own, which
    /// continues if the caller stops waiting. `secrets` are the secrets among the call's arguments. `read` converts the
    /// answer from its generated type into a type of this library. Only the converted value is logged.
    pub(crate) async fn call<T, U, F>(
        self: &Arc<Self>,
        log: CallLog,
        scope: Scope,
        secrets: Secrets,
        read: fn(T) -> Result<U, InvalidId>,
        export: F,
    ) -> Result<U, CallError>
    where
        T: Send + 'static,
        U: ClearTexts + fmt::Debug + Send + 'static,
        F: for<'a> FnOnce(&'a Exports, &'a mut Store<CallState>) -> BoxFuture<'a, Answer<T>> + Send + 'static,
    {
        match self.prepare(&log, &scope).await {
            Ok(prepared) => self.call_prepared(log, scope, secrets, prepared, read, export).await,
            Err(error) => log.end(Err(error)),
        }
    }

    /// Fetches the credentials of the tenant's apps if the operation needs them.
    pub(crate) async fn prepare(&self, log: &CallLog, scope: &Scope) -> Result<Prepared, CallError> {
        let mut prepared = Prepared { credentials: None, wait: self.deadlines.queue };
        if scope.credentials == CredentialsUse::First {
            let (fetched, _place) = self.fetch_credentials(log, scope, &mut prepared.wait).await?;
            if fetched.is_ok() {
                self.remember_tenant(&scope.tenant);
            }
            prepared.credentials = Some(fetched);
        }
        Ok(prepared)
    }

    /// Waits for the tenant's turn to ask for credentials, for at most `wait`, and then fetches the credentials of its
    /// apps. Subtracts the time that it waited for the turn from `wait`. The call has no instance yet, so a slow source
    /// of credentials keeps no instance busy. Also returns the place, so that the caller can hold it during work
    /// that the share of the tenant must limit, too.
    ///
    /// A webhook of an unknown tenant gives its place back after [`TIME_BEFORE_HANDLING`], when TikTok has got its
    /// answer. It still waits for the credentials, so that a slow answer can make the tenant known for the next
    /// delivery. The place is then `None`. So each of these places lets at most one webhook per
    /// [`TIME_BEFORE_HANDLING`] do its further work without a place.
    ///
    /// The credentials of a webhook are for the host alone. Before the guest may have them, the caller must call
    /// [`check_environment`](Self::check_environment).
    pub(crate) async fn fetch_credentials(
        &self,
        log: &CallLog,
        scope: &Scope,
        wait: &mut Duration,
    ) -> Result<(FetchedCredentials, Option<Place>), CallError> {
        let is_known = !scope.is_webhook() || self.storage.known_tenants().contains(&scope.tenant);
        let (turns, hold) = if is_known {
            (&self.lane(scope).credentials, self.deadlines.save)
        } else {
            (&self.program.webhooks_of_unknown_tenants, TIME_BEFORE_HANDLING)
        };
        let place = self.turn(turns, &scope.tenant, wait).await?;
        let provider: &dyn CredentialsProvider =
            if scope.is_webhook() { self.credentials.unguarded() } else { &*self.credentials };
        let fetching = fetch_credentials(provider, &scope.tenant, self.deadlines.save);
        let mut fetching = pin!(fetching.instrument(log.span()));
        if let Ok(fetched) = tokio::time::timeout(hold, fetching.as_mut()).await {
            return Ok((fetched, Some(place)));
        }
        drop(place);
        Ok((fetching.await, None))
    }

    /// Checks that the storage belongs to the environment of this host's egress. Without that, the guest gets no
    /// credentials.
    pub(crate) async fn check_environment(&self) -> Result<(), StorageError> {
        run_within(self.deadlines.save, async { self.credentials.check().await.map_err(not_fetched) }).await
    }

    /// Remembers that this tenant exists. The caller must have a proof that no stranger can forge.
    pub(crate) fn remember_tenant(&self, tenant: &TenantId) {
        self.storage.known_tenants().add(tenant);
    }

    /// Waits until it is the tenant's turn to take an instance, then runs `export` in a fresh instance. The call runs
    /// on a task of its own, which continues if the caller stops waiting.
    pub(crate) async fn call_prepared<T, U, F>(
        self: &Arc<Self>,
        log: CallLog,
        scope: Scope,
        secrets: Secrets,
        mut prepared: Prepared,
        read: fn(T) -> Result<U, InvalidId>,
        export: F,
    ) -> Result<U, CallError>
    where
        T: Send + 'static,
        U: ClearTexts + fmt::Debug + Send + 'static,
        F: for<'a> FnOnce(&'a Exports, &'a mut Store<CallState>) -> BoxFuture<'a, Answer<T>> + Send + 'static,
    {
        let lane = if scope.is_webhook() { LaneName::Webhooks } else { LaneName::Calls };
        let waiting = self.metrics.waiting(lane);
        let place = match self.turn(&self.lane(&scope).instances, &scope.tenant, &mut prepared.wait).await {
            Ok(place) => (place, self.metrics.in_use(lane)),
            Err(error) => return log.end(Err(error)),
        };
        drop(waiting);
        let sandbox = Arc::clone(self);
        let span = log.span();
        let running = async move {
            let known = secrets.clone();
            // Unwind safety: nothing reads the state of the call after a panic. The panic's text is not logged, because
            // it may contain any value.
            let running = sandbox.run_in_time(scope, secrets, prepared.credentials, export);
            let answer = AssertUnwindSafe(running).catch_unwind().await;
            drop(place);
            let plugin = || sandbox.program.plugin.clone();
            let broken = |what| CallError::ContractBroken { plugin: plugin(), what };
            log.end(match answer {
                Ok(Ok(value)) => match read(value) {
                    Ok(value) if known.are_in_result(&value) => {
                        Err(broken("a value that is not secret contains a secret"))
                    }
                    Ok(value) => Ok(value),
                    Err(_malformed) => Err(broken("an identifier in its answer is malformed")),
                },
                Ok(Err(error)) => Err(error),
                Err(_panic) => Err(CallError::Aborted { plugin: plugin() }),
            })
        };
        let task = tokio::spawn(running.instrument(span));
        task.await.unwrap_or_else(|_| Err(CallError::Aborted { plugin: self.program.plugin.clone() }))
    }

    /// Waits for the tenant's turn, for at most `wait`. Subtracts the time that it waited from `wait`.
    async fn turn(&self, turns: &Turns, tenant: &TenantId, wait: &mut Duration) -> Result<Place, CallError> {
        let began = Instant::now();
        let place = tokio::time::timeout(*wait, turns.take(tenant)).await;
        *wait = wait.saturating_sub(began.elapsed());
        place.map_err(|_late| CallError::Busy { plugin: self.program.plugin.clone() })
    }

    fn lane(&self, scope: &Scope) -> &Lane {
        if scope.is_webhook() { &self.program.webhooks } else { &self.program.calls }
    }

    async fn run_in_time<T>(
        &self,
        scope: Scope,
        secrets: Secrets,
        credentials: Option<FetchedCredentials>,
        export: impl for<'a> FnOnce(&'a Exports, &'a mut Store<CallState>) -> BoxFuture<'a, Answer<T>>,
    ) -> Result<T, CallError> {
        let deadline = self.deadlines.call;
        let last_proxy_error = LastProxyError::default();
        let wasm_store = self.wasm_store(scope, secrets.clone(), credentials, last_proxy_error.clone())?;
        // If the call takes too long, its future is dropped, which also drops the instance.
        match tokio::time::timeout(deadline, self.run(wasm_store, export)).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(self.connector_error(error, &secrets, &last_proxy_error)),
            Ok(Err(error)) => Err(self.call_error(&error)),
            Err(_late) => Err(CallError::DeadlineExceeded { plugin: self.program.plugin.clone(), deadline }),
        }
    }

    async fn run<T>(
        &self,
        mut wasm_store: Store<CallState>,
        export: impl for<'a> FnOnce(&'a Exports, &'a mut Store<CallState>) -> BoxFuture<'a, Answer<T>>,
    ) -> Answer<T> {
        let exchanges = wasm_store.data().exchanges.clone();
        let call = async {
            let instance = self.program.linked.instantiate_async(&mut wasm_store).await?;
            export(&Exports::new(instance, self.program.places), &mut wasm_store).await
        };
        exchanges.run(call).await
    }

    /// Creates the wasmtime store of a call that starts now, with the state of this call.
    fn wasm_store(
        &self,
        scope: Scope,
        secrets: Secrets,
        credentials: Option<FetchedCredentials>,
        last_proxy_error: LastProxyError,
    ) -> Result<Store<CallState>, CallError> {
        let limits = &self.limits;
        let revisions = Revisions::draw(&*self.randomness).map_err(|error| {
            tracing::error!(%error, "no randomness");
            CallError::NoRandomness { plugin: self.program.plugin.clone() }
        })?;
        let credentials = GuestCredentials::new(credentials, Arc::clone(&self.credentials) as Arc<_>);
        let credentials = credentials.in_environment(self.environment);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.header_bytes);
        let state = CallState {
            table,
            clock: Arc::clone(&self.clock),
            http,
            egress: GuestHttp {
                client: self.client.clone(),
                call_started: Instant::now(),
                last_token_request: self.deadlines.last_token_request(),
                secrets: secrets.clone(),
                last_proxy_error,
            },
            exchanges: Exchanges::default(),
            body_bytes_left: BytesLeft::default(),
            randomness: GuestRandomness { source: Arc::clone(&self.randomness), max_bytes: limits.random_bytes },
            imports: Imports::new(
                scope,
                self.storage.clone(),
                credentials,
                Arc::clone(&self.clock),
                revisions,
                self.deadlines.save,
                secrets,
            ),
            growth: Growth::new(limits),
            ticks_left: ticks(self.deadlines.cpu),
        };

        let mut wasm_store = Store::new(self.program.linked.component().engine(), state);
        wasm_store.limiter(|state| &mut state.growth);
        wasm_store.set_hostcall_fuel(limits.hostcall_bytes);
        wasm_store.set_max_component_handles(limits.handles);
        // Ticks also pass while the guest waits. The epoch deadline is extended by one tick at a time, so a wait uses
        // up at most one tick, however long the wait lasts. Computing uses up one tick per 10 ms.
        wasm_store.set_epoch_deadline(1);
        wasm_store.epoch_deadline_callback(|mut wasm_store| {
            let left = &mut wasm_store.data_mut().ticks_left;
            *left = left.checked_sub(1).ok_or(Exceeded(Resource::Cpu))?;
            Ok(UpdateDeadline::Yield(1))
        });
        if let Some(on_boundary) = &self.on_boundary {
            boundary_hook::install(&mut wasm_store, Arc::clone(on_boundary));
        }
        Ok(wasm_store)
    }

    /// Converts an error that the guest returned. Replaces every text in the error that contains a secret of the call.
    /// If the proxy made the latest request fail, adds the error of the proxy.
    fn connector_error(
        &self,
        error: types::ConnectorError,
        secrets: &Secrets,
        last_proxy_error: &LastProxyError,
    ) -> CallError {
        let (action, failure) = error.into();
        let failure = secrets.removed_from(failure);
        let error = ConnectorError { plugin: self.program.plugin.clone(), action, failure, proxy_error: None };
        CallError::Connector(error.with_proxy_error(last_proxy_error.get()))
    }

    fn call_error(&self, error: &wasmtime::Error) -> CallError {
        let plugin = self.program.plugin.clone();
        if let Some(resource) = exhausted(error) {
            tracing::error!(%plugin, %resource, "the guest reached a limit");
            return CallError::Exhausted { plugin, resource };
        }
        if error.is::<EndedAtBoundary>() {
            return CallError::Aborted { plugin };
        }
        CallError::Trapped { plugin, trap: trap(error) }
    }
}
