//! The messages that the threads of this module leave for Python.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    queue: Mutex<Queue>,
    reader: PipeReader,
    writer: PipeWriter,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// Whether the pipe contains its byte.
    is_signalled: bool,
    /// Whether the event loop has ended. Further messages are dropped.
    is_closed: bool,
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
        let mut queue = self.lock();
        if queue.is_closed || queue.messages.len() >= limit {
            // The call of a dropped message fails, and nothing may happen under the lock.
            drop(queue);
            drop(message);
            return;
        }
        queue.messages.push_back(message);
        if !queue.is_signalled {
            // A pipe accepts one byte unless the system has no memory left. The next message then tries again.
            queue.is_signalled = (&self.writer).write_all(&[1]).is_ok();
        }
    }

    /// Takes at most `limit` messages.
    fn take(&self, limit: usize) -> Vec<Message> {
        let mut queue = self.lock();
        let count = limit.min(queue.messages.len());
        let taken: Vec<Message> = queue.messages.drain(..count).collect();
        if queue.is_signalled && queue.messages.is_empty() {
            let _ = (&self.reader).read(&mut [0]);
            queue.is_signalled = false;
        }
        taken
    }

    /// Drops all messages, now and later.
    fn close(&self) {
        let dropped = {
            let mut queue = self.lock();
            queue.is_closed = true;
            std::mem::take(&mut queue.messages)
        };
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Drops all messages, now and later. A call whose message is dropped fails.
    fn close(&self) {
        self.letters.close();
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
