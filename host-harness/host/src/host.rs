//! The type [`ConnectorHost`], through which an embedder makes every call. The code of each call is in a file of its
//! own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::builder::ConnectorHostBuilder;
use crate::error::Plugin;
use crate::events::{Actor, Cause, Origin, StatedReason};
use crate::export_grant::GrantExport;
use crate::guest::{CallLog, Operation, Sandbox, Scope};
use crate::id::AccountId;
use crate::limits::Limits;
use crate::storage::HostStorage;

/// Runs the connector in a sandbox. A host is cheap to clone. Calls run concurrently.
///
/// Each call runs on a tokio task of its own, so it needs a tokio runtime with time and I/O enabled. If the caller
/// drops the future, the call and its save continue. Before you stop the runtime, let all calls finish.
#[derive(Clone)]
pub struct ConnectorHost {
    pub(crate) sandbox: Arc<Sandbox>,
    /// Who makes the calls, and why.
    pub(crate) origin: Origin,
    pub(crate) grant_export: GrantExport,
}

impl ConnectorHost {
    /// Creates a builder, which puts a host together.
    #[must_use]
    pub fn builder() -> ConnectorHostBuilder {
        ConnectorHostBuilder::default()
    }

    /// Returns a host that names this actor in the events and logs of its calls. Without this setting, the platform
    /// itself counts as the actor. Take the actor from your authenticated session, because the host does not check the
    /// actor. The returned host shares everything else with this host.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        let origin = Origin { actor: Some(actor), ..self.origin.clone() };
        Self { origin, ..self.clone() }
    }

    /// Returns a host that states this reason in the events of its calls. The returned host shares everything else with
    /// this host.
    #[must_use]
    pub fn because(&self, reason: StatedReason) -> Self {
        let origin = Origin { stated_reason: Some(reason), ..self.origin.clone() };
        Self { origin, ..self.clone() }
    }

    /// Returns the origin of the events that a call causes.
    pub(crate) fn origin(&self, cause: Cause) -> Origin {
        self.origin.during(cause)
    }

    /// Begins the log of a call.
    pub(crate) fn log(&self, operation: Operation, scope: &Scope, account: Option<&AccountId>) -> CallLog {
        CallLog::begin(operation, scope, account, &self.sandbox.metrics)
    }

    /// Returns the name and version of the component that this host runs.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.sandbox.program.plugin
    }

    /// Returns how much one call may use, and how many calls run at the same time.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.sandbox.limits
    }

    /// Returns the storage as the embedder gave it, without sealing.
    pub(crate) fn storage(&self) -> &dyn HostStorage {
        self.sandbox.storage.inner()
    }

    /// Returns how long one answer of the storage may take.
    pub(crate) fn storage_timeout(&self) -> Duration {
        self.sandbox.deadlines.save
    }

    /// Returns a random duration of at most `whole`. If the source of randomness fails, returns `whole`.
    pub(crate) fn random_part_of(&self, whole: Duration) -> Duration {
        let mut bytes = [0; 4];
        match self.sandbox.randomness.fill(&mut bytes) {
            Ok(()) => whole.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)),
            Err(_) => whole,
        }
    }
}

impl fmt::Debug for ConnectorHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorHost").field("plugin", self.plugin()).finish_non_exhaustive()
    }
}
