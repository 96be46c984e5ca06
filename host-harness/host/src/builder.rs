//! Builds a host from its parts, and refuses parts that do not fit together.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::boundary::BoundaryEvent;
use crate::build_error::BuildError;
use crate::clock::{Clock, SystemClock};
use crate::compiled_cache::CompiledCache;
use crate::component::{self, ComponentDigest};
use crate::credentials::CredentialsProvider;
use crate::deadlines::Deadlines;
use crate::egress::{Client, EgressPolicy};
use crate::environment_guard::EnvironmentGuard;
use crate::events::Origin;
use crate::export_grant::GrantExport;
use crate::guest::{GuestMemories, OnBoundary, Program, Sandbox};
use crate::host::ConnectorHost;
use crate::limits::Limits;
use crate::metrics::{HostMetrics, LaneName, SharedRecorder};
use crate::randomness::{Randomness, SystemRandomness};
use crate::seal::{KeyProvider, Keyring, SealedStorage, UnsealedRows};
use crate::storage::HostStorage;
use crate::sweep::WrittenNotices;

/// Where the host gets the component from.
#[derive(Debug, Clone)]
pub enum Component {
    /// A file. If no digest is pinned, the host refuses a file that other users can change or replace, because the
    /// component runs with the tenants' credentials. Other users may read the file.
    File(PathBuf),
    /// The component's bytes.
    Bytes(Vec<u8>),
    /// The component of another host. It is not compiled again. Use this variant if one process has several hosts with
    /// different storages or egress policies. The new host shares the other host's pool of instances and its
    /// [`Limits`].
    SharedWith(ConnectorHost),
}

/// Builds a [`ConnectorHost`]. Component, storage, keys and credentials are required.
#[derive(Default)]
pub struct ConnectorHostBuilder {
    component: Option<Component>,
    component_sha256: Option<ComponentDigest>,
    compiled_cache: Option<CompiledCache>,
    storage: Option<Arc<dyn HostStorage>>,
    keys: Option<Arc<dyn KeyProvider>>,
    credentials: Option<Arc<dyn CredentialsProvider>>,
    clock: Option<Arc<dyn Clock>>,
    randomness: Option<Arc<dyn Randomness>>,
    egress: EgressPolicy,
    deadlines: Deadlines,
    limits: Limits,
    grant_export: GrantExport,
    on_boundary: Option<OnBoundary>,
    memories: Option<GuestMemories>,
    unsealed_rows: UnsealedRows,
    metrics: Option<SharedRecorder>,
}

impl ConnectorHostBuilder {
    /// Sets the component to run. Required.
    #[must_use]
    pub fn component(mut self, component: Component) -> Self {
        self.component = Some(component);
        self
    }

    /// Pins the component: the host is built only with the component that has this SHA-256. The component runs with the
    /// tenants' credentials and tokens, so pin the component that you have built or checked.
    #[must_use]
    pub fn component_sha256(mut self, digest: ComponentDigest) -> Self {
        self.component_sha256 = Some(digest);
        self
    }

    /// Caches the compiled component in this folder. Without a cache, each start compiles the component, which takes
    /// some tenths of a second. With a cache, only the first start does.
    #[must_use]
    pub fn compiled_cache(mut self, cache: CompiledCache) -> Self {
        self.compiled_cache = Some(cache);
        self
    }

    /// Sets the storage of tokens and connections. Required.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn HostStorage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Sets the provider of host keys. Host keys protect the tenants' data keys. The data keys seal tokens and ciphers
    /// before these reach the storage. Required. If you lose the host keys, you lose every connection.
    #[must_use]
    pub fn keys(mut self, keys: Arc<dyn KeyProvider>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Lets the host refuse rows that a host of release 0.1 wrote. Only the ciphers of such a row are sealed, so the host
    /// notices no change of it. Use this setting when [`ConnectionStorage::unsealed_rows`] returns 0, and no host of
    /// release 0.1 runs any more. Then nobody can replace a sealed row by an unsealed one. A refused row counts as
    /// changed (`row-changed`).
    ///
    /// [`ConnectionStorage::unsealed_rows`]: crate::storage::ConnectionStorage::unsealed_rows
    #[must_use]
    pub const fn refuse_unsealed_rows(mut self) -> Self {
        self.unsealed_rows = UnsealedRows::Refuse;
        self
    }

    /// Sets the provider of app credentials. Required.
    #[must_use]
    pub fn credentials(mut self, credentials: Arc<dyn CredentialsProvider>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sets the guest's clocks. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the source of randomness for the guest, for revisions and for keys. Default: [`SystemRandomness`].
    #[must_use]
    pub fn randomness(mut self, randomness: Arc<dyn Randomness>) -> Self {
        self.randomness = Some(randomness);
        self
    }

    /// Sets the servers to which the guest's requests go. Default: [`EgressPolicy::production`].
    #[must_use]
    pub fn egress(mut self, egress: EgressPolicy) -> Self {
        self.egress = egress;
        self
    }

    /// Sets how long each step of a call may take.
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Sets the limits of a call, for example the limit of its memory.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Allows [`export_grant`](ConnectorHost::export_grant), which returns the refresh tokens of connections. Without
    /// this setting, every export is refused. Allow exports only in a host that moves connections to another
    /// installation, and not in a host that serves your platform.
    #[must_use]
    pub fn allow_export(mut self) -> Self {
        self.grant_export = GrantExport::Allowed;
        self
    }

    /// Sets the recorder of the host's [`metrics`](crate::metrics). Default: the global recorder of the process. Hosts in
    /// one process can have a recorder each.
    #[must_use]
    pub fn metrics(mut self, recorder: SharedRecorder) -> Self {
        self.metrics = Some(recorder);
        self
    }

    /// Lets crash tests end a call at a chosen step. The host calls `ask` at every step over the boundary between guest
    /// and host. If `ask` returns `Break`, the call ends at this step with
    /// [`CallError::Aborted`](crate::CallError::Aborted), like a call whose process dies. If the step is `ToHost`, the
    /// host function does not run. If the step is `ToGuest`, the host function has run, but the guest does not get its
    /// result. To test what a crash leaves in your own storage, first count the steps of an undisturbed call. Then
    /// repeat the call, and break it once at each of these steps.
    ///
    /// An HTTP request that the guest has already handed over may still be on its way. Drop the tokio runtime to end it
    /// as well. Do not use this setting in production: with it, the guest is never interrupted, so [`Deadlines::cpu`]
    /// and [`Deadlines::call`] do not end a guest that computes forever. Without this setting, calls have no extra
    /// cost.
    #[must_use]
    pub fn on_boundary(mut self, ask: impl Fn(BoundaryEvent) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        self.on_boundary = Some(Arc::new(ask));
        self
    }

    /// Lets `memories` create the linear memory of every instance. Tests use this setting to search the memory for data
    /// that a call has left there. With this setting, calls are slower, because the instances are not pooled. Needs the
    /// feature `guest-memory`.
    #[cfg(feature = "guest-memory")]
    #[must_use]
    pub fn guest_memory(mut self, memories: Arc<dyn wasmtime::MemoryCreator>) -> Self {
        self.memories = Some(memories);
        self
    }

    /// Compiles and links the component. This takes some tenths of a second without a [compiled
    /// cache](Self::compiled_cache). Call this function once per process. If the process already serves requests, call
    /// it on a blocking thread.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<ConnectorHost, BuildError> {
        let component = self.component.ok_or(BuildError::Missing("component"))?;
        let storage = self.storage.ok_or(BuildError::Missing("storage"))?;
        let keys = self.keys.ok_or(BuildError::Missing("key provider"))?;
        let credentials = self.credentials.ok_or(BuildError::Missing("credentials provider"))?;
        self.deadlines.check()?;
        self.limits.check().map_err(BuildError::ZeroLimit)?;
        let (pinned, limits) = (self.component_sha256, &self.limits);
        let compile = |bytes| Program::compile(bytes, pinned, self.compiled_cache.as_ref(), limits, self.memories);
        let (program, limits) = match component {
            Component::SharedWith(host) => {
                BuildError::check_digest(host.sandbox.program.digest, pinned)?;
                (host.sandbox.program.clone(), host.sandbox.limits)
            }
            Component::File(path) => {
                let bytes = component::read(&path, pinned, limits).map_err(BuildError::Unreadable)?;
                (compile(bytes)?, *limits)
            }
            Component::Bytes(bytes) => (compile(bytes)?, *limits),
        };

        let metrics = HostMetrics::new(self.metrics);
        metrics.lane(LaneName::Calls, limits.concurrent_calls);
        metrics.lane(LaneName::Webhooks, limits.concurrent_webhooks);
        let storage = metrics.measured(storage);
        let environment = self.egress.environment();
        let guard = EnvironmentGuard::new(credentials, Arc::clone(&storage), environment);
        let client = Client::new(self.egress, self.deadlines, limits.response_bytes, metrics.clone())
            .map_err(|error| BuildError::Engine(error.to_string()))?;
        let randomness = self.randomness.unwrap_or_else(|| Arc::new(SystemRandomness));
        let keyring = Arc::new(Keyring::new(Arc::clone(&storage), keys, Arc::clone(&randomness)));
        Ok(ConnectorHost {
            origin: Origin::default(),
            grant_export: self.grant_export,
            sandbox: Arc::new(Sandbox {
                program,
                storage: SealedStorage::new(storage, keyring, self.unsealed_rows),
                credentials: Arc::new(guard),
                clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
                randomness,
                client,
                environment,
                deadlines: self.deadlines,
                limits,
                on_boundary: self.on_boundary,
                metrics,
                written_notices: WrittenNotices::default(),
            }),
        })
    }
}
