//! Calls functions of Python objects: a storage, a provider of host keys or apps, and the handler of a webhook.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pyo3::prelude::*;
use serde_json::Value;
use tiktok_shop_bindings::{Foreign, ForeignError, WaitsFor};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::mailbox::{Letters, Message};
use crate::values::to_json;

type Answered = Result<Value, ForeignError>;

/// The way back to the caller of a function. If Python drops it without an answer, the call fails.
#[pyclass(frozen)]
pub(crate) struct Answer {
    /// The function that was called.
    function: &'static str,
    waits_for: WaitsFor,
    sender: Mutex<Option<oneshot::Sender<Answered>>>,
}

impl Answer {
    fn send(&self, answered: Answered) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // The send fails if nobody waits for the answer any more.
            let _ = sender.send(answered);
        }
    }
}

#[pymethods]
impl Answer {
    /// Answers with the result of the function. The result of a function that returns nothing is not read.
    ///
    /// # Errors
    /// The result contains a value of a type that JSON does not have. The call then fails, too.
    fn ok(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.waits_for == WaitsFor::End {
            self.send(Ok(Value::Null));
            return Ok(());
        }
        let answered = to_json(result);
        // The error of the conversion is not shown, because it names members, and a name may be a stored value.
        let text =
            || ForeignError::new(format!("{} returned a value of a type that JSON does not have", self.function));
        self.send(answered.as_ref().map(Value::clone).map_err(|_| text()));
        answered.map(drop)
    }

    /// Answers with an error. `code` is the word that the exception has, if any.
    #[pyo3(signature = (code, message))]
    fn error(&self, code: Option<String>, message: String) {
        self.send(Err(ForeignError { code, message }));
    }
}

/// An object of Python. The package has given it a number.
pub(crate) struct PythonObject {
    letters: Arc<Letters>,
    object: u64,
    /// Cancelled when Python can't answer any more, because the process exits.
    exiting: CancellationToken,
}

impl PythonObject {
    pub(crate) fn new(letters: Arc<Letters>, object: u64, exiting: CancellationToken) -> Self {
        Self { letters, object, exiting }
    }
}

#[async_trait]
impl Foreign for PythonObject {
    async fn call(&self, function: &'static str, arguments: Value, waits_for: WaitsFor) -> Answered {
        let ending = || ForeignError::new("Python's event loop has ended, so its functions can't answer");
        let (sender, receiver) = oneshot::channel();
        let answer = Answer { function, waits_for, sender: Mutex::new(Some(sender)) };
        self.letters.put(Message::Call { object: self.object, function, arguments, answer });
        tokio::select! {
            answered = receiver => answered.unwrap_or_else(|_| Err(ending())),
            () = self.exiting.cancelled() => Err(ending()),
        }
    }
}
