//! A host as JavaScript sees it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use napi::Result;
use napi::bindgen_prelude::{BufferSlice, Function, Unknown};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use serde_json::Value;
use tiktok_shop_bindings::{Binding, BindingError, Foreign, HostOptions, Parts, Reply, Request, check_storage};
use tiktok_shop_host::ComponentDigest;
use tiktok_shop_host::error::Action;
use tokio_util::sync::CancellationToken;

use crate::case;
use crate::foreign::{Dispatch, ScriptObject};
use crate::outcomes::{Arguments, Outcomes};
use crate::runtime::runtime;

/// A host. It is empty until `open` has succeeded.
#[napi]
pub struct NativeHost {
    binding: Arc<OnceLock<Binding>>,
    outcomes: Outcomes,
    /// The tokens that stop the running requests, by the number that JavaScript has given to each request.
    stops: Arc<Mutex<HashMap<u32, CancellationToken>>>,
    /// Cancelled when the process exits.
    exiting: CancellationToken,
}

/// Forgets how a request can be stopped when the request has ended.
struct Forgotten {
    number: u32,
    stops: Arc<Mutex<HashMap<u32, CancellationToken>>>,
}

impl Drop for Forgotten {
    fn drop(&mut self) {
        lock(&self.stops).remove(&self.number);
    }
}

#[napi]
impl NativeHost {
    /// Creates an empty host. `settle` gets the outcome of each request, with the number that JavaScript has given to
    /// the request.
    #[napi(constructor)]
    pub fn new(settle: Function<'_, Arguments, Unknown<'static>>) -> Result<Self> {
        let (binding, stops, exiting) = (Arc::default(), Arc::default(), CancellationToken::new());
        Ok(Self { binding, outcomes: Outcomes::to(&settle)?, stops, exiting })
    }

    /// Opens the host. `options` is JSON. `storage`, `keys` and `apps` are functions of JavaScript that get the calls
    /// of these parts.
    #[napi]
    #[allow(clippy::too_many_arguments, reason = "JavaScript passes plain values; the macro copies an `expect`")]
    pub fn open(
        &self,
        number: u32,
        options: String,
        component: String,
        component_sha256: String,
        storage: Option<Dispatch>,
        keys: Option<Dispatch>,
        apps: Option<Dispatch>,
    ) -> Result<()> {
        let object = |dispatch| Arc::new(ScriptObject::new(dispatch, self.exiting.clone())) as Arc<dyn Foreign>;
        let (storage, keys, apps) = (storage.map(&object), keys.map(&object), apps.map(&object));
        let cell = Arc::clone(&self.binding);
        self.outcomes.run(number, async move {
            let damaged = |_| BindingError::internal("the package names no SHA-256 of its component");
            let digest: ComponentDigest = component_sha256.parse().map_err(damaged)?;
            let component_sha256 = Some(digest);
            let parts = Parts { component: PathBuf::from(component), component_sha256, storage, keys, apps };
            let binding = Binding::open(HostOptions::read(parse(&options)?)?, parts).await?;
            let plugin = binding.plugin();
            // JavaScript calls this function once for each host.
            let _ = cell.set(binding);
            Ok(Value::from(plugin).into())
        })
    }

    /// Makes a request.
    #[napi]
    pub fn perform(
        &self,
        number: u32,
        operation: String,
        arguments: String,
        body: Option<BufferSlice<'_>>,
        actor: Option<String>,
        reason: Option<String>,
    ) -> Result<()> {
        let (cell, body) = (Arc::clone(&self.binding), body.map(|body| body.to_vec()));
        let stop = CancellationToken::new();
        lock(&self.stops).insert(number, stop.clone());
        let forgotten = Forgotten { number, stops: Arc::clone(&self.stops) };
        let begun = opened(&cell).and_then(Binding::begin);
        self.outcomes.run(number, async move {
            let _forgotten = forgotten;
            let request = request(operation, &arguments, body, actor, reason)?;
            opened(&cell)?.perform(begun?, Request { stop, ..request }).await
        })
    }

    /// Receives a webhook. `handle` gets the call of the function `handle`.
    #[napi]
    pub fn accept_webhook(
        &self,
        number: u32,
        arguments: String,
        body: BufferSlice<'_>,
        actor: Option<String>,
        reason: Option<String>,
        handle: Dispatch,
    ) -> Result<()> {
        let (cell, body) = (Arc::clone(&self.binding), Some(body.to_vec()));
        let begun = opened(&cell).and_then(Binding::begin);
        let platform = ScriptObject::new(handle, self.exiting.clone());
        self.outcomes.run(number, async move {
            let request = request("accept-webhook".to_owned(), &arguments, body, actor, reason)?;
            opened(&cell)?.accept_webhook(begun?, request, &platform).await
        })
    }

    /// Stops a request that can be stopped.
    #[napi]
    pub fn stop(&self, number: u32) {
        if let Some(stop) = lock(&self.stops).get(&number) {
            stop.cancel();
        }
    }

    /// Accepts no further requests, and waits until all requests have ended.
    #[napi]
    pub fn close(&self, number: u32) -> Result<()> {
        let cell = Arc::clone(&self.binding);
        // A request that JavaScript makes after this function is refused.
        if let Some(binding) = cell.get() {
            binding.stop();
        }
        self.outcomes.run(number, async move {
            opened(&cell)?.close().await;
            Ok(Reply::default())
        })
    }

    /// Accepts no further requests, and blocks this thread until all requests have ended, for at most this time. Returns
    /// whether they have ended. JavaScript calls it when the process exits.
    #[napi]
    pub fn settle(&self, milliseconds: u32) -> Result<bool> {
        let Some(binding) = self.binding.get() else { return Ok(true) };
        binding.stop();
        // This thread runs no JavaScript while it is blocked.
        self.exiting.cancel();
        let limit = Duration::from_millis(milliseconds.into());
        Ok(runtime()?.block_on(async { tokio::time::timeout(limit, binding.settled()).await.is_ok() }))
    }
}

/// Checks whether a storage in JavaScript keeps the contract of a storage. `storage` gets the calls of the storage.
/// `report` gets the result of each check as JSON. At the end, `settle` gets all results, with this number.
#[napi]
pub fn check_contract(
    number: u32,
    settle: Function<'_, Arguments, Unknown<'static>>,
    storage: Dispatch,
    report: Dispatch,
) -> Result<()> {
    Outcomes::to(&settle)?.run(number, async move {
        let mut outcomes = Vec::new();
        let each = |outcome: Value| {
            let call = (0, "report".to_owned(), case::to_camel(outcome.clone()).to_string(), false);
            // If Node.js is ending, nobody needs the report.
            let _ = report.call(call.into(), ThreadsafeFunctionCallMode::NonBlocking);
            outcomes.push(outcome);
        };
        check_storage(Arc::new(ScriptObject::new(storage, CancellationToken::new())), each).await;
        Ok(Value::from(outcomes).into())
    })
}

fn request(
    operation: String,
    arguments: &str,
    body: Option<Vec<u8>>,
    actor: Option<String>,
    reason: Option<String>,
) -> std::result::Result<Request, BindingError> {
    let (actor, reason) = (actor.map(|text| text.parse()), reason.map(|text| text.parse()));
    let body = body.unwrap_or_default();
    let request = Request::new(operation, parse(arguments)?);
    Ok(Request { body, actor: actor.transpose()?, reason: reason.transpose()?, ..request })
}

fn parse(text: &str) -> std::result::Result<Value, BindingError> {
    serde_json::from_str(text).map(case::to_snake).map_err(|_| unreadable())
}

/// The error about arguments that JavaScript writes as JSON and Rust does not read: a text in JavaScript may have half
/// of a surrogate pair, and objects may be nested more deeply.
fn unreadable() -> BindingError {
    let message = "a text in the arguments has half of a surrogate pair, or the arguments are nested too deeply";
    let code = BindingError::INVALID_ARGUMENT.to_owned();
    BindingError { action: Action::InvalidRequest, code, ..BindingError::internal(message) }
}

fn opened(cell: &OnceLock<Binding>) -> std::result::Result<&Binding, BindingError> {
    cell.get().ok_or_else(|| BindingError::internal("the package used a host that is not open"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
