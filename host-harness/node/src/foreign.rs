//! Calls functions of JavaScript. A call has a number, with which JavaScript gives the answer later.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use async_trait::async_trait;
use napi::Status;
use napi::bindgen_prelude::{FnArgs, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde_json::Value;
use tiktok_shop_bindings::{Foreign, ForeignError, WaitsFor};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::case;

/// The number of a call, the name of the function in camel case, its arguments as JSON, and whether the result is read.
type Call = FnArgs<(u32, String, String, bool)>;

/// A function of JavaScript that gets calls. It does not keep Node.js alive.
pub(crate) type Dispatch = ThreadsafeFunction<Call, Unknown<'static>, Call, Status, false, true>;

/// The answer of JavaScript: a JSON text. An error has the members `code` and `message`.
type Answer = Result<String, String>;

/// The calls that JavaScript has not answered yet.
#[derive(Default)]
struct Unanswered {
    last: u32,
    calls: HashMap<u32, oneshot::Sender<Answer>>,
}

static UNANSWERED: LazyLock<Mutex<Unanswered>> = LazyLock::new(Mutex::default);

/// Registers a call, and returns its number.
fn register(answer: oneshot::Sender<Answer>) -> u32 {
    let mut unanswered = UNANSWERED.lock().unwrap_or_else(PoisonError::into_inner);
    unanswered.last = unanswered.last.wrapping_add(1);
    let number = unanswered.last;
    unanswered.calls.insert(number, answer);
    number
}

fn take(number: u32) -> Option<oneshot::Sender<Answer>> {
    UNANSWERED.lock().unwrap_or_else(PoisonError::into_inner).calls.remove(&number)
}

/// Forgets a call as soon as nobody waits for its answer. JavaScript may never answer it.
struct Waiting(u32);

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(take(self.0));
    }
}

/// Answers a call. `text` is the result as JSON, or the error.
#[napi]
pub fn answer(number: u32, is_ok: bool, text: String) {
    if let Some(call) = take(number) {
        // The send fails if nobody waits for the answer any more.
        let _ = call.send(if is_ok { Ok(text) } else { Err(text) });
    }
}

/// An object of JavaScript.
pub(crate) struct ScriptObject {
    dispatch: Dispatch,
    /// Cancelled when JavaScript can't answer any more, because the process exits.
    exiting: CancellationToken,
}

impl ScriptObject {
    pub(crate) fn new(dispatch: Dispatch, exiting: CancellationToken) -> Self {
        Self { dispatch, exiting }
    }
}

#[async_trait]
impl Foreign for ScriptObject {
    async fn call(&self, function: &'static str, arguments: Value, waits_for: WaitsFor) -> Result<Value, ForeignError> {
        let (sender, receiver) = oneshot::channel();
        let number = register(sender);
        let _waiting = Waiting(number);
        let arguments = case::to_camel(arguments).to_string();
        let call = FnArgs::from((number, case::camel(function), arguments, waits_for == WaitsFor::Result));
        let status = self.dispatch.call(call, ThreadsafeFunctionCallMode::NonBlocking);
        if status != Status::Ok {
            return Err(ending());
        }
        let answer = tokio::select! {
            answer = receiver => answer.map_err(|_| ending())?,
            () = self.exiting.cancelled() => return Err(ending()),
        };
        match answer {
            Ok(text) => parse(&text).map(case::to_snake),
            Err(text) => Err(error(&parse(&text)?)),
        }
    }
}

fn ending() -> ForeignError {
    ForeignError::new("Node.js is ending, so its functions can't answer")
}

fn parse(text: &str) -> Result<Value, ForeignError> {
    serde_json::from_str(text).map_err(|_| ForeignError::new("the answer of a function is no JSON"))
}

fn error(value: &Value) -> ForeignError {
    let member = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    ForeignError { code: member("code"), message: member("message").unwrap_or_default() }
}
