//! Compiles and links the component, and limits how many calls run at the same time.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use super::bindings::ContractPre;
use super::call_state::{CallState, link};
use super::engine::{GuestMemories, Ticker, engine, engine_with_memories};
use super::exports::Places;
use super::turns::Turns;
use crate::build_error::BuildError;
use crate::compiled_cache::CompiledCache;
use crate::component::ComponentDigest;
use crate::error::Plugin;
use crate::limits::Limits;

/// A compiled and linked component, and the pool of its instances.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) plugin: Plugin,
    pub(crate) digest: ComponentDigest,
    pub(super) linked: InstancePre<CallState>,
    pub(super) places: Places,
    pub(super) calls: Lane,
    pub(super) webhooks: Lane,
    /// The places in which webhooks ask for the credentials of tenants that are not known yet. Anybody can post a
    /// webhook with an invented tenant. Because these webhooks have places of their own, they never hold up the
    /// webhooks of a known tenant.
    pub(super) webhooks_of_unknown_tenants: Turns,
    _ticker: Arc<Ticker>,
}

/// Limits how many calls run at the same time. Webhooks have one lane, and all other calls have another lane. A call
/// needs a place, and tenants that wait for a place get one in turn.
#[derive(Clone)]
pub(super) struct Lane {
    /// The places in which calls ask for the app's credentials. A call asks before it takes an instance, so a slow
    /// source of credentials keeps no instance busy. There are as many of these places as instances.
    pub(super) credentials: Turns,
    /// The places in which calls have an instance.
    pub(super) instances: Turns,
}

impl Lane {
    fn new(limits: &Limits, calls: u32) -> Self {
        let places = usize::try_from(calls).unwrap_or(usize::MAX);
        let turns = || Turns::new(places, limits.share_of(calls));
        Self { credentials: turns(), instances: turns() }
    }
}

impl Program {
    /// Compiles and links a component, or takes its code from `cache`. If `pinned` is not `None`, the component must have this digest. If `memories` is
    /// `None`, the instances come from a pool.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub(crate) fn compile(
        bytes: Vec<u8>,
        pinned: Option<ComponentDigest>,
        cache: Option<&CompiledCache>,
        limits: &Limits,
        memories: Option<GuestMemories>,
    ) -> Result<Self, BuildError> {
        let limit = limits.component_bytes;
        if bytes.len() as u64 > limit {
            return Err(BuildError::TooLarge { limit });
        }
        let digest = ComponentDigest::of(&bytes);
        BuildError::check_digest(digest, pinned)?;
        let engine = match memories {
            Some(memories) => engine_with_memories(memories),
            None => engine(limits),
        };
        let engine = engine.map_err(unavailable)?;
        let compiled = match cache {
            Some(cache) => cache.compile(&engine, &bytes, digest),
            None => Component::new(&engine, &bytes),
        };
        let compiled = compiled.map_err(|error| BuildError::NotAComponent(format!("{error:#}")))?;
        Self::linked(&engine, &compiled, digest, limits)
    }

    fn linked(
        engine: &Engine,
        compiled: &Component,
        digest: ComponentDigest,
        limits: &Limits,
    ) -> Result<Self, BuildError> {
        let mut linker = Linker::new(engine);
        link(&mut linker).map_err(unavailable)?;
        let linked =
            linker.instantiate_pre(compiled).map_err(|error| BuildError::ImportNotOffered(format!("{error:#}")))?;
        // The generated bindings say which export is missing.
        let contract = ContractPre::new(linked).map_err(|error| BuildError::NotAConnector(format!("{error:#}")))?;
        let places = Places::find(compiled).ok_or_else(|| BuildError::NotAConnector("an export is missing".into()))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| BuildError::Engine(error.to_string()))?;
        Ok(Self {
            plugin: plugin(compiled, engine),
            digest,
            linked: contract.instance_pre().clone(),
            places,
            calls: Lane::new(limits, limits.concurrent_calls),
            webhooks: Lane::new(limits, limits.concurrent_webhooks),
            webhooks_of_unknown_tenants: Turns::new(limits.share_of(limits.concurrent_webhooks), 1),
            _ticker: Arc::new(ticker),
        })
    }
}

fn unavailable(error: wasmtime::Error) -> BuildError {
    BuildError::Engine(format!("{error:#}"))
}

/// Returns the package and the version of the interface `connector` that the component exports.
fn plugin(compiled: &Component, engine: &Engine) -> Plugin {
    let exports = compiled.component_type();
    let name = exports.exports(engine).find_map(|(name, _)| {
        let (package, interface) = name.split_once('/')?;
        let version = interface.strip_prefix("connector@")?;
        Some(format!("{package}@{version}"))
    });
    Plugin::new(name.as_deref().unwrap_or("connector"))
}
