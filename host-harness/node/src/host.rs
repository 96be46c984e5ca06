//! A host as JavaScript sees it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use napi::bindgen_prelude::{Buffer, Object};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::{Env, JsDeferred, Result};
use napi_derive::napi;
use serde_json::Value;
use tiktok_shop_bindings::{Binding, BindingError, Foreign, HostOptions, Parts, Reply, Request, check_storage};
use tiktok_shop_host::ComponentDigest;
use tokio_util::sync::CancellationToken;

use crate::case;
use crate::foreign::{Dispatch, ScriptObject};
use crate::runtime::runtime;

/// The outcome of a request.
#[napi(object)]
pub struct Outcome {
    /// Whether the request has succeeded.
    pub is_ok: bool,
    /// The result or the error, as JSON.
    pub text: String,
    /// The body of TikTok Shop's answer.
    pub body: Option<Buffer>,
}

type Resolver = Box<dyn FnOnce(Env) -> Result<Outcome> + Send>;

/// A host. It is empty until `open` has succeeded.
#[napi]
#[derive(Default)]
pub struct NativeHost {
    binding: Arc<OnceLock<Binding>>,
    /// The requests that can be stopped, by the number that JavaScript has given them.
    stops: Arc<Mutex<HashMap<u32, CancellationToken>>>,
    /// Cancelled when the process exits.
    exiting: CancellationToken,
}

#[napi]
impl NativeHost {
    /// Creates an empty host.
    #[napi(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the host. `options` is JSON. The functions get calls for the storage, for the host keys and for the apps.
    #[napi]
    #[allow(clippy::too_many_arguments, reason = "JavaScript passes plain values; the macro copies an `expect`")]
    pub fn open<'env>(
        &self,
        env: &'env Env,
        options: String,
        component: String,
        component_sha256: String,
        storage: Option<Dispatch>,
        keys: Option<Dispatch>,
        apps: Option<Dispatch>,
    ) -> Result<Object<'env>> {
        let object = |dispatch| Arc::new(ScriptObject::new(dispatch, self.exiting.clone())) as Arc<dyn Foreign>;
        let (storage, keys, apps) = (storage.map(&object), keys.map(&object), apps.map(&object));
        let cell = Arc::clone(&self.binding);
        answer_later(env, async move {
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

    /// Makes a request. `ticket` is a number with which `stop` can stop it.
    #[napi]
    #[allow(clippy::too_many_arguments, reason = "JavaScript passes plain values; the macro copies an `expect`")]
    pub fn perform<'env>(
        &self,
        env: &'env Env,
        operation: String,
        arguments: String,
        body: Option<Buffer>,
        actor: Option<String>,
        reason: Option<String>,
        ticket: Option<u32>,
    ) -> Result<Object<'env>> {
        let (cell, body) = (Arc::clone(&self.binding), body.map(Vec::from));
        let (stop, stops) = (CancellationToken::new(), Arc::clone(&self.stops));
        if let Some(ticket) = ticket {
            lock(&stops).insert(ticket, stop.clone());
        }
        let begun = opened(&cell).and_then(Binding::begin);
        answer_later(env, async move {
            let request = async {
                let request = request(operation, &arguments, body, actor, reason)?;
                opened(&cell)?.perform(begun?, Request { stop, ..request }).await
            };
            let reply = request.await;
            if let Some(ticket) = ticket {
                lock(&stops).remove(&ticket);
            }
            reply
        })
    }

    /// Receives a webhook. `handle` gets the call of the function `handle`.
    #[napi]
    pub fn accept_webhook<'env>(
        &self,
        env: &'env Env,
        arguments: String,
        body: Buffer,
        actor: Option<String>,
        reason: Option<String>,
        handle: Dispatch,
    ) -> Result<Object<'env>> {
        let (cell, body) = (Arc::clone(&self.binding), Some(Vec::from(body)));
        let begun = opened(&cell).and_then(Binding::begin);
        let platform = ScriptObject::new(handle, self.exiting.clone());
        answer_later(env, async move {
            let request = request("accept-webhook".to_owned(), &arguments, body, actor, reason)?;
            opened(&cell)?.accept_webhook(begun?, request, &platform).await
        })
    }

    /// Stops a request that can be stopped.
    #[napi]
    pub fn stop(&self, ticket: u32) {
        if let Some(stop) = lock(&self.stops).get(&ticket) {
            stop.cancel();
        }
    }

    /// Accepts no further requests, and waits until all requests have ended.
    #[napi]
    pub fn close<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let cell = Arc::clone(&self.binding);
        // A request that JavaScript makes after this function is refused.
        if let Some(binding) = cell.get() {
            binding.stop();
        }
        answer_later(env, async move {
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

/// Checks whether the object behind `storage` keeps the contract of a storage. `report` gets each outcome as JSON, and the
/// result has all of them.
#[napi]
pub fn check_contract(env: &Env, storage: Dispatch, report: Dispatch) -> Result<Object<'_>> {
    answer_later(env, async move {
        let mut outcomes = Vec::new();
        let each = |outcome: Value| {
            let call = (0, "report".to_owned(), case::to_camel(outcome.clone()).to_string());
            // If Node.js is ending, nobody needs the report.
            let _ = report.call(call.into(), ThreadsafeFunctionCallMode::NonBlocking);
            outcomes.push(outcome);
        };
        check_storage(Arc::new(ScriptObject::new(storage, CancellationToken::new())), each).await;
        Ok(Value::from(outcomes).into())
    })
}

/// Hands the logs of all hosts to `write`, from this level on.
#[napi]
pub fn forward_logs(level: String, write: Dispatch) -> Result<()> {
    let forwarded = tiktok_shop_bindings::forward_logs(&level, move |record| {
        let call = (0, "log".to_owned(), case::to_camel(record).to_string());
        // If Node.js is ending, nobody reads the logs any more.
        let _ = write.call(call.into(), ThreadsafeFunctionCallMode::NonBlocking);
    });
    forwarded.map_err(|error| napi::Error::from_reason(error.message))
}

/// Runs a request on a task of its own, and returns a promise of its outcome. The promise never rejects.
fn answer_later<'env>(
    env: &'env Env,
    request: impl Future<Output = std::result::Result<Reply, BindingError>> + Send + 'static,
) -> Result<Object<'env>> {
    let (deferred, promise): (JsDeferred<Outcome, Resolver>, _) = env.create_deferred()?;
    // The inner task may panic. The promise is then resolved with an error.
    let runtime = runtime()?;
    runtime.spawn(async move {
        let ended = tokio::spawn(request).await;
        let ended = ended.unwrap_or_else(|_panic| Err(BindingError::internal("the request ended without a result")));
        let (is_ok, value, body) = match ended {
            Ok(Reply { value, body }) => (true, value, body),
            Err(error) => (false, in_script(error).to_json(), None),
        };
        let text = case::to_camel(value).to_string();
        let resolver = move |_: Env| Ok(Outcome { is_ok, text, body: body.map(Buffer::from) });
        deferred.resolve(Box::new(resolver));
    });
    Ok(promise)
}

/// Returns the error with the names that JavaScript uses, if it is about arguments or options.
fn in_script(error: BindingError) -> BindingError {
    if error.code == BindingError::INVALID_ARGUMENT {
        BindingError { message: case::message(&error.message), ..error }
    } else {
        error
    }
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
    let malformed = |_| BindingError::internal("the package sent no JSON to its addon");
    serde_json::from_str(text).map(case::to_snake).map_err(malformed)
}

fn opened(cell: &OnceLock<Binding>) -> std::result::Result<&Binding, BindingError> {
    cell.get().ok_or_else(|| BindingError::internal("the package used a host that is not open"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
