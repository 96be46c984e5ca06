//! Puts a host together, and refuses one whose parts do not fit.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component as Compiled, Linker};

use crate::bindings::ContractPre;
use crate::clock::{Clock, SystemClock};
use crate::credentials::CredentialsProvider;
use crate::crossing::{Crossing, OnCrossing};
use crate::deadlines::{Deadlines, DeadlinesError};
use crate::egress::{Client, EgressPolicy};
use crate::engine::{Ticker, engine};
use crate::error::Plugin;
use crate::host::{ConnectorHost, Shared};
use crate::limits::Limits;
use crate::randomness::{Randomness, SystemRandomness};
use crate::seal::{KeyProvider, Keyring, SealedStorage};
use crate::state::{CallState, link};
use crate::storage::HostStorage;

/// Where the component comes from.
#[derive(Debug, Clone)]
pub enum Component {
    /// A file.
    File(PathBuf),
    /// Its bytes.
    Bytes(Vec<u8>),
    /// The one that another host runs, without compiling it again: for hosts with storages or egress of their own in
    /// one process. They share that host's pool of instances, and its [`Limits`] hold for both.
    SharedWith(ConnectorHost),
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A part that has no default was not given.
    #[error("no {0} given")]
    Missing(&'static str),
    /// The deadlines do not fit together, or not the contract.
    #[error("deadlines do not fit")]
    Deadlines(#[from] DeadlinesError),
    /// A limit is zero, and nothing could run.
    #[error("the limit `{0}` is zero")]
    ZeroLimit(&'static str),
    /// The component's file could not be read.
    #[error("component not readable")]
    Unreadable(#[source] io::Error),
    /// The component is larger than [`Limits::component_bytes`].
    #[error("component larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The bytes are not a component that this engine accepts.
    #[error("not a component: {0}")]
    NotAComponent(String),
    /// The component imports something that a connector gets from no host: a file system, sockets, an environment.
    #[error("import not offered: {0}")]
    ImportNotOffered(String),
    /// The component does not export what the contract asks for.
    #[error("not a connector: {0}")]
    NotAConnector(String),
    /// The engine, its ticker or TLS could not be set up on this machine.
    #[error("engine not available: {0}")]
    Engine(String),
}

/// Builds a [`ConnectorHost`]. Component, storage, keys and credentials have no default.
#[derive(Default)]
pub struct ConnectorHostBuilder {
    component: Option<Component>,
    storage: Option<Arc<dyn HostStorage>>,
    keys: Option<Arc<dyn KeyProvider>>,
    credentials: Option<Arc<dyn CredentialsProvider>>,
    clock: Option<Arc<dyn Clock>>,
    randomness: Option<Arc<dyn Randomness>>,
    egress: EgressPolicy,
    deadlines: Deadlines,
    limits: Limits,
    on_crossing: Option<OnCrossing>,
}

impl ConnectorHostBuilder {
    /// The component to run. Required.
    #[must_use]
    pub fn component(mut self, component: Component) -> Self {
        self.component = Some(component);
        self
    }

    /// Where tokens and connections are kept. Required.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn HostStorage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// The host keys under which tokens and ciphers are sealed before they reach the storage. Required. Who loses them loses
    /// every connection.
    #[must_use]
    pub fn keys(mut self, keys: Arc<dyn KeyProvider>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Where app credentials come from. Required.
    #[must_use]
    pub fn credentials(mut self, credentials: Arc<dyn CredentialsProvider>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The guest's clocks. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The guest's randomness, and that of revisions. Default: [`SystemRandomness`].
    #[must_use]
    pub fn randomness(mut self, randomness: Arc<dyn Randomness>) -> Self {
        self.randomness = Some(randomness);
        self
    }

    /// Where the guest's requests go. Default: [`EgressPolicy::production`].
    #[must_use]
    pub fn egress(mut self, egress: EgressPolicy) -> Self {
        self.egress = egress;
        self
    }

    /// How long things may take.
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// How much a call may use.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// For crash tests: asks at every crossing between guest and host whether the call goes on. On `Break` it ends there with
    /// [`CallError::Aborted`](crate::CallError::Aborted), as if its process had died: a function that was being called does
    /// not run, one that ran has done what it did, and nothing after it happens. What a crash leaves in an embedder's own
    /// storage is tested by breaking at each number in turn, up to that of a call that was left alone.
    ///
    /// An HTTP request that was handed over before may still be on its way: to end that too, drop the runtime. Not for
    /// production: a guest of such a host is never interrupted, and neither [`Deadlines::cpu`] nor [`Deadlines::call`] ends one
    /// that computes for ever. By default nothing is asked, and it costs nothing.
    #[must_use]
    pub fn on_crossing(mut self, ask: impl Fn(Crossing) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        self.on_crossing = Some(Arc::new(ask));
        self
    }

    /// Compiles and links the component. Takes tenths of a second: call it once per process, and off the async runtime's
    /// threads if it already serves.
    ///
    /// # Errors
    /// See [`BuildError`]: a part is missing, the numbers do not fit, or the component is not one that this host runs.
    pub fn build(self) -> Result<ConnectorHost, BuildError> {
        let component = self.component.ok_or(BuildError::Missing("component"))?;
        let storage = self.storage.ok_or(BuildError::Missing("storage"))?;
        let keys = self.keys.ok_or(BuildError::Missing("key provider"))?;
        let credentials = self.credentials.ok_or(BuildError::Missing("credentials provider"))?;
        self.deadlines.check()?;
        self.limits.check().map_err(BuildError::ZeroLimit)?;
        let (program, limits) = match component {
            Component::SharedWith(host) => host.program(),
            Component::File(path) => (Program::compile(read_file(path, &self.limits)?, &self.limits)?, self.limits),
            Component::Bytes(bytes) => (Program::compile(bytes, &self.limits)?, self.limits),
        };

        let client = Client::new(self.egress, self.deadlines, limits.response_bytes)
            .map_err(|error| BuildError::Engine(error.to_string()))?;
        let randomness = self.randomness.unwrap_or_else(|| Arc::new(SystemRandomness));
        let keyring = Arc::new(Keyring::new(Arc::clone(&storage), keys, Arc::clone(&randomness)));
        Ok(ConnectorHost::new(Shared {
            program,
            storage: SealedStorage::new(storage, keyring),
            credentials,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            randomness,
            client,
            deadlines: self.deadlines,
            limits,
            on_crossing: self.on_crossing,
        }))
    }
}

/// A component compiled and linked, and the pool its instances come from.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) plugin: Plugin,
    pub(crate) contract: ContractPre<CallState>,
    /// One permit per instance of the pool.
    pub(crate) free: Arc<Semaphore>,
    _ticker: Arc<Ticker>,
}

impl Program {
    fn compile(bytes: Vec<u8>, limits: &Limits) -> Result<Self, BuildError> {
        let limit = limits.component_bytes;
        if bytes.len() as u64 > limit {
            return Err(BuildError::TooLarge { limit });
        }
        Self::on(&engine(limits).map_err(unavailable)?, bytes, limits)
    }

    pub(crate) fn on(engine: &Engine, bytes: Vec<u8>, limits: &Limits) -> Result<Self, BuildError> {
        let compiled = Compiled::new(engine, bytes).map_err(|error| BuildError::NotAComponent(format!("{error:#}")))?;
        let mut linker = Linker::new(engine);
        link(&mut linker).map_err(unavailable)?;
        let linked =
            linker.instantiate_pre(&compiled).map_err(|error| BuildError::ImportNotOffered(format!("{error:#}")))?;
        let contract = ContractPre::new(linked).map_err(|error| BuildError::NotAConnector(format!("{error:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| BuildError::Engine(error.to_string()))?;
        Ok(Self {
            plugin: plugin(&compiled, engine),
            contract,
            free: Arc::new(Semaphore::new(limits.concurrent_calls as usize)),
            _ticker: Arc::new(ticker),
        })
    }
}

fn unavailable(error: wasmtime::Error) -> BuildError {
    BuildError::Engine(format!("{error:#}"))
}

/// Reads a component's file, but never more of it than one byte past the limit.
fn read_file(path: PathBuf, limits: &Limits) -> Result<Vec<u8>, BuildError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(BuildError::Unreadable)?;
    file.take(limits.component_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(BuildError::Unreadable)?;
    Ok(bytes)
}

/// The name under which the component exports the connector, without the interface: package and version.
fn plugin(compiled: &Compiled, engine: &Engine) -> Plugin {
    let exports = compiled.component_type();
    let name = exports.exports(engine).find_map(|(name, _)| {
        let (package, interface) = name.split_once('/')?;
        let version = interface.strip_prefix("connector@")?;
        Some(format!("{package}@{version}"))
    });
    Plugin::new(name.as_deref().unwrap_or("connector"))
}
