//! The messages that the threads of this module leave for Python.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use serde_json::Value;
use tiktok_shop_bindings::{BindingError, Reply};

use crate::foreign::Answer;
use crate::values::from_json;

/// A message of a thread of this module.
pub(crate) enum Message {
    /// A request has ended. Python has given it the number.
    Ended { number: u64, outcome: Result<Reply, BindingError> },
    /// Python must call this function of the object that has this number.
    Call { object: u64, function: &'static str, arguments: Value, answer: Answer },
    /// A value for the receiver with this number: a log record, or the outcome of a check.
    Value { receiver: u64, value: Value },
}

/// The messages, and a pipe that contains one byte if and only if there are messages. So an event loop can wait for
/// messages as it waits for a socket.
pub(crate) struct Letters {
    queue: Mutex<VecDeque<Message>>,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Letters {
    fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { queue: Mutex::default(), reader, writer })
    }

    /// Adds a message.
    pub(crate) fn put(&self, message: Message) {
        self.put_at_most(usize::MAX, message);
    }

    /// Adds a message, unless so many messages wait already.
    pub(crate) fn put_at_most(&self, limit: usize, message: Message) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= limit {
            return;
        }
        if queue.is_empty() {
            // A pipe accepts one byte unless a process has no memory left. The next message then tries again.
            let _ = (&self.writer).write_all(&[1]);
        }
        queue.push_back(message);
    }

    /// Takes at most `limit` messages.
    fn take(&self, limit: usize) -> Vec<Message> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = limit.min(queue.len());
        let taken: Vec<Message> = queue.drain(..count).collect();
        if count > 0 && queue.is_empty() {
            let _ = (&self.reader).read(&mut [0]);
        }
        taken
    }
}

/// The messages for one event loop. Its thread fetches them.
#[pyclass(frozen)]
pub(crate) struct Mailbox {
    letters: Arc<Letters>,
}

impl Mailbox {
    pub(crate) fn letters(&self) -> Arc<Letters> {
        Arc::clone(&self.letters)
    }
}

#[pymethods]
impl Mailbox {
    #[new]
    fn new() -> PyResult<Self> {
        let letters = Letters::new().map_err(|error| PyOSError::new_err(format!("no pipe for messages: {error}")))?;
        Ok(Self { letters: Arc::new(letters) })
    }

    /// Returns the file that can be read while there are messages. Only `take` may read it.
    fn fileno(&self) -> i32 {
        self.letters.reader.as_raw_fd()
    }

    /// Returns at most `limit` messages. A message is a tuple of a number, a word and two values. The word is `ok`,
    /// `error`, `call` or `value`.
    fn take<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let messages = PyList::empty(py);
        for message in self.letters.take(limit) {
            messages.append(tuple_of(py, message)?)?;
        }
        Ok(messages)
    }
}

fn tuple_of(py: Python<'_>, message: Message) -> PyResult<Bound<'_, PyTuple>> {
    match message {
        Message::Ended { number, outcome: Ok(Reply { value, body }) } => {
            let body = body.map(|body| PyBytes::new(py, &body));
            (number, intern!(py, "ok"), from_json(py, value)?, body).into_pyobject(py)
        }
        Message::Ended { number, outcome: Err(error) } => {
            (number, intern!(py, "error"), from_json(py, error.to_json())?, py.None()).into_pyobject(py)
        }
        Message::Call { object, function, arguments, answer } => {
            let call = (intern!(py, "call"), (function, from_json(py, arguments)?), Bound::new(py, answer)?);
            (object, call.0, call.1, call.2).into_pyobject(py)
        }
        Message::Value { receiver, value } => {
            (receiver, intern!(py, "value"), from_json(py, value)?, py.None()).into_pyobject(py)
        }
    }
}
