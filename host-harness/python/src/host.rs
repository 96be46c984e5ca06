//! A host as Python sees it.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use futures::FutureExt as _;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;
use tiktok_shop_bindings::{
    Begun, Binding, BindingError, Foreign, HostOptions, Parts, Reply, Request, check_storage, storage_checks,
};
use tiktok_shop_host::ComponentDigest;
use tokio_util::sync::CancellationToken;

use crate::foreign::PythonObject;
use crate::mailbox::{Mailbox, Message};
use crate::runtime::runtime;
use crate::values::{from_json, to_json};

type Outcome = Result<Reply, BindingError>;

/// Stops a request that can be stopped.
#[pyclass(frozen)]
pub(crate) struct Stopper(CancellationToken);

#[pymethods]
impl Stopper {
    /// Lets the request finish what has begun, and begin nothing else.
    fn stop(&self) {
        self.0.cancel();
    }
}

/// A host. It is empty until `open` has succeeded.
#[pyclass(frozen)]
pub(crate) struct NativeHost {
    binding: Arc<OnceLock<Binding>>,
    /// Cancelled when the process exits.
    exiting: CancellationToken,
    /// The process that opened the host. The threads of a host do not exist in a forked process.
    process: u32,
}

impl Drop for NativeHost {
    fn drop(&mut self) {
        if self.is_forked() {
            // The end of a host waits for its threads, so a forked process never ends it.
            std::mem::forget(Arc::clone(&self.binding));
        }
    }
}

impl NativeHost {
    fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    /// Begins a request.
    fn begin(&self) -> Result<Begun, BindingError> {
        if self.is_forked() {
            return Err(BindingError::forked());
        }
        opened(&self.binding)?.begin()
    }

    fn object(&self, mailbox: &Bound<'_, Mailbox>, number: u64) -> Arc<dyn Foreign> {
        Arc::new(PythonObject::new(mailbox.get().letters(), number, self.exiting.clone()))
    }
}

#[pymethods]
impl NativeHost {
    #[new]
    fn new() -> Self {
        Self { binding: Arc::default(), exiting: CancellationToken::new(), process: std::process::id() }
    }

    /// Opens the host. `storage`, `keys` and `apps` are the numbers of the Python objects that the host calls.
    #[expect(clippy::too_many_arguments, reason = "Python passes plain values")]
    fn open(
        &self,
        mailbox: &Bound<'_, Mailbox>,
        number: u64,
        options: &Bound<'_, PyDict>,
        component: PathBuf,
        component_sha256: String,
        storage: Option<u64>,
        keys: Option<u64>,
        apps: Option<u64>,
    ) -> PyResult<()> {
        let object = |number| self.object(mailbox, number);
        let (storage, keys, apps) = (storage.map(&object), keys.map(&object), apps.map(&object));
        let (cell, options) = (Arc::clone(&self.binding), to_json(options)?);
        answer_later(mailbox, number, async move {
            let damaged = |_| BindingError::internal("the package names no SHA-256 of its component");
            let digest: ComponentDigest = component_sha256.parse().map_err(damaged)?;
            let parts = Parts { component, component_sha256: Some(digest), storage, keys, apps };
            let binding = Binding::open(HostOptions::read(options)?, parts).await?;
            let plugin = binding.plugin();
            // Python calls this function once for each host.
            let _ = cell.set(binding);
            Ok(Value::from(plugin).into())
        });
        Ok(())
    }

    /// Makes a request. The outcome is put into the mailbox with this number. The result can stop the request.
    #[pyo3(signature = (mailbox, number, operation, arguments, body, actor, reason))]
    #[expect(clippy::too_many_arguments, reason = "Python passes plain values")]
    fn perform(
        &self,
        mailbox: &Bound<'_, Mailbox>,
        number: u64,
        operation: String,
        arguments: &Bound<'_, PyDict>,
        body: Option<&[u8]>,
        actor: Option<String>,
        reason: Option<String>,
    ) -> PyResult<Stopper> {
        let stop = CancellationToken::new();
        let request = request(operation, to_json(arguments)?, body, actor, reason);
        let (cell, begun, stopper) = (Arc::clone(&self.binding), self.begin(), Stopper(stop.clone()));
        answer_later(mailbox, number, async move {
            let (begun, request) = (begun?, request?);
            opened(&cell)?.perform(begun, Request { stop, ..request }).await
        });
        Ok(stopper)
    }

    /// Receives a webhook. `platform` is the number of the Python object whose function `handle` gets it.
    #[expect(clippy::too_many_arguments, reason = "Python passes plain values")]
    fn accept_webhook(
        &self,
        mailbox: &Bound<'_, Mailbox>,
        number: u64,
        arguments: &Bound<'_, PyDict>,
        body: &[u8],
        actor: Option<String>,
        reason: Option<String>,
        platform: u64,
    ) -> PyResult<()> {
        let request = request("accept-webhook".to_owned(), to_json(arguments)?, Some(body), actor, reason);
        let platform = self.object(mailbox, platform);
        let (cell, begun) = (Arc::clone(&self.binding), self.begin());
        answer_later(mailbox, number, async move {
            let (begun, request) = (begun?, request?);
            opened(&cell)?.accept_webhook(begun, request, &*platform).await
        });
        Ok(())
    }

    /// Accepts no further requests, and waits until all requests have ended.
    fn close(&self, mailbox: &Bound<'_, Mailbox>, number: u64) {
        let cell = Arc::clone(&self.binding);
        if self.is_forked() {
            // The host belongs to the parent process.
            return mailbox.get().letters().put(Message::Ended { number, outcome: Ok(Reply::default()) });
        }
        // A request that Python makes after this function is refused.
        if let Some(binding) = cell.get() {
            binding.stop();
        }
        answer_later(mailbox, number, async move {
            if let Some(binding) = cell.get() {
                binding.close().await;
            }
            Ok(Reply::default())
        });
    }

    /// Accepts no further requests, and blocks this thread until all requests have ended, for at most this time.
    /// Returns whether they have ended. Python calls it when the process exits.
    fn settle(&self, py: Python<'_>, milliseconds: u64) -> bool {
        let (Some(binding), Ok(runtime)) = (self.binding.get(), runtime()) else { return true };
        binding.stop();
        // No event loop runs any more.
        self.exiting.cancel();
        // The thread does not run the wait itself: if a C program ends Python, the thread has lost what tokio keeps in it.
        let (cell, (ended, wait)) = (Arc::clone(&self.binding), mpsc::channel());
        runtime.spawn(async move {
            if let Some(binding) = cell.get() {
                binding.settled().await;
            }
            // If the time is over, nobody receives this.
            let _ = ended.send(());
        });
        py.detach(move || wait.recv_timeout(Duration::from_millis(milliseconds)).is_ok())
    }
}

/// Checks whether the object with the number `storage` keeps the contract of a storage. Each outcome is put into the
/// mailbox for `receiver`, and then all of them with `number`.
#[pyfunction]
pub(crate) fn check_contract(mailbox: &Bound<'_, Mailbox>, number: u64, storage: u64, receiver: u64) {
    let letters = mailbox.get().letters();
    let object = Arc::new(PythonObject::new(Arc::clone(&letters), storage, CancellationToken::new()));
    answer_later(mailbox, number, async move {
        let mut outcomes = Vec::new();
        let each = |outcome: Value| {
            letters.put(Message::Value { receiver, value: outcome.clone() });
            outcomes.push(outcome);
        };
        check_storage(object, each).await;
        Ok(Value::from(outcomes).into())
    });
}

/// Returns the checks of the contract: the name and the promise of each.
#[pyfunction]
pub(crate) fn contract_checks(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    from_json(py, storage_checks())
}

/// Runs a request on a task of its own, and puts its outcome into the mailbox. A request that panics fails.
fn answer_later(mailbox: &Bound<'_, Mailbox>, number: u64, request: impl Future<Output = Outcome> + Send + 'static) {
    let letters = mailbox.get().letters();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return letters.put(Message::Ended { number, outcome: Err(error) }),
    };
    runtime.spawn(async move {
        let ended = AssertUnwindSafe(request).catch_unwind().await;
        let panicked = |_| Err(BindingError::internal("the request ended without a result"));
        letters.put(Message::Ended { number, outcome: ended.unwrap_or_else(panicked) });
    });
}

fn request(
    operation: String,
    arguments: Value,
    body: Option<&[u8]>,
    actor: Option<String>,
    reason: Option<String>,
) -> Result<Request, BindingError> {
    let (actor, reason) = (actor.map(|text| text.parse()), reason.map(|text| text.parse()));
    let (body, request) = (body.unwrap_or_default().to_vec(), Request::new(operation, arguments));
    Ok(Request { body, actor: actor.transpose()?, reason: reason.transpose()?, ..request })
}

fn opened(cell: &OnceLock<Binding>) -> Result<&Binding, BindingError> {
    cell.get().ok_or_else(|| BindingError::internal("the package used a host that is not open"))
}
