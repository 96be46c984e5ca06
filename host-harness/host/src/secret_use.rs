//! Writes the event that says who got a secret, and why. The caller gets the secret only after the event was stored.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::CallError;
use crate::events::NewEvent;
use crate::host::ConnectorHost;
use crate::id::TenantId;
use crate::storage::{OnceDigest, StorageError, run_to_deadline};

/// The pause before a failed write of an event is repeated. The pause doubles with each repetition.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

impl ConnectorHost {
    /// Draws a random name for an event. The storage stores at most one event with this name. So if the answer to the
    /// write is lost and the write is repeated, no second event is stored.
    pub(crate) fn draw_event_name(&self) -> Result<OnceDigest, CallError> {
        OnceDigest::draw(&*self.sandbox.randomness).map_err(|error| {
            tracing::error!(%error, "no randomness");
            CallError::NoRandomness { plugin: self.plugin().clone() }
        })
    }

    /// Writes an event. If the storage is unavailable, repeats the write until the time limit for the storage is over.
    pub(crate) async fn record(&self, tenant: &TenantId, once: &OnceDigest, event: &NewEvent) -> Result<(), CallError> {
        let deadline = Instant::now() + self.storage_timeout();
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match run_to_deadline(deadline, self.storage().append_once(tenant, once, event, None)).await {
                Ok(_) => return Ok(()),
                Err(StorageError::Unavailable(_)) if Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    continue;
                }
                Err(why) => why,
            };
            tracing::error!(tenant = tenant.as_str(), event = event.kind.as_str(), error = %why, "no event was stored");
            return Err(CallError::NotRecorded { plugin: self.plugin().clone(), why });
        }
    }
}
