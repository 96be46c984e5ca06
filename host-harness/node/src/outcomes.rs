//! Runs requests, and hands their outcomes to JavaScript.
//!
//! All requests of a host share one function of JavaScript. If Rust resolved a promise for each request, each promise
//! would need a handle of the event loop. To make and close such a handle takes about a quarter of the time of a
//! request that does nothing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use napi::bindgen_prelude::{Buffer, FnArgs, Function, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Result, Status};
use tiktok_shop_bindings::{BindingError, Reply};

use crate::case;
use crate::runtime::runtime;

/// The arguments of this function: the number of a request, whether the request has succeeded, its result or its error
/// as JSON, and the body of TikTok Shop's answer.
pub(crate) type Arguments = FnArgs<(u32, bool, String, Option<Buffer>)>;

/// The outcome of a request. The body becomes a buffer of Node.js only on the thread of the event loop.
struct Outcome {
    number: u32,
    is_ok: bool,
    text: String,
    body: Option<Vec<u8>>,
}

impl Outcome {
    fn new(number: u32, ended: std::result::Result<Reply, BindingError>) -> Self {
        let (is_ok, value, body) = match ended {
            Ok(Reply { value, body }) => (true, value, body),
            Err(error) => (false, in_script(error).to_json(), None),
        };
        Self { number, is_ok, text: case::to_camel(value).to_string(), body }
    }

    fn into_arguments(self) -> Arguments {
        (self.number, self.is_ok, self.text, self.body.map(Buffer::from)).into()
    }
}

/// The function of JavaScript that gets the outcomes. It does not keep Node.js alive.
#[derive(Clone)]
pub(crate) struct Outcomes(Arc<ThreadsafeFunction<Outcome, Unknown<'static>, Arguments, Status, false, true>>);

impl Outcomes {
    /// Hands outcomes to this function.
    pub(crate) fn to(function: &Function<'_, Arguments, Unknown<'static>>) -> Result<Self> {
        let builder = function.build_threadsafe_function::<Outcome>().callee_handled::<false>().weak::<true>();
        Ok(Self(Arc::new(builder.build_callback(|context| Ok(context.value.into_arguments()))?)))
    }

    /// Runs a request on a task of its own. Its outcome has this number. A request that panics fails.
    pub(crate) fn run(
        &self,
        number: u32,
        request: impl Future<Output = std::result::Result<Reply, BindingError>> + Send + 'static,
    ) -> Result<()> {
        let outcomes = self.clone();
        runtime()?.spawn(async move {
            let ended = AssertUnwindSafe(request).catch_unwind().await;
            let panicked = |_| Err(BindingError::internal("the request ended without a result"));
            let outcome = Outcome::new(number, ended.unwrap_or_else(panicked));
            // If Node.js is ending, nobody waits for the outcome any more.
            let _ = outcomes.0.call(outcome, ThreadsafeFunctionCallMode::NonBlocking);
        });
        Ok(())
    }
}

/// Returns the error with the names that JavaScript uses, if it is about arguments or options.
fn in_script(error: BindingError) -> BindingError {
    if error.code == BindingError::INVALID_ARGUMENT {
        BindingError { message: case::message(&error.message), ..error }
    } else {
        error
    }
}
