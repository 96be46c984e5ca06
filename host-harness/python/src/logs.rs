//! Hands the logs of all hosts to Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::mailbox::{Mailbox, Message};

/// The maximum number of records that wait for Python. Further records are lost.
const MAX_WAITING: usize = 10_000;

/// Puts the logs of all hosts into the mailbox, from this level on.
///
/// # Errors
/// The level has another name, or this process has another subscriber for the logs.
#[pyfunction]
pub(crate) fn forward_logs(level: &str, mailbox: &Bound<'_, Mailbox>) -> PyResult<()> {
    let letters = mailbox.get().letters();
    let forwarded = tiktok_shop_bindings::forward_logs(level, move |value| {
        letters.put_at_most(MAX_WAITING, Message::Value { receiver: 0, value });
    });
    forwarded.map_err(|error| PyValueError::new_err(error.message))
}
