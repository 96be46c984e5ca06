//! Webhooks from the service to platforms (<https://www.standardwebhooks.com>, version 1.0.0, 2026).
//!
//! An event becomes a [`Delivery`] in the [storage](DeliveryStorage) before anything else depends on it. It leaves the
//! storage only after the platform has accepted it, or as a dead letter after three days. Each endpoint has one queue
//! for each customer, and sends the first delivery of a queue only. A process must hold the lease of a queue to send
//! from it, so that replicas keep the order, too.

pub(crate) mod backlog;
pub(crate) mod client;
pub(crate) mod collect;
pub(crate) mod content;
pub(crate) mod dispatch;
mod endpoint;
mod memory;
pub(crate) mod retry;
mod secret;
mod storage;

pub use self::endpoint::{
    DuplicateEndpoint, Endpoint, EndpointAddress, EndpointName, Endpoints, EventTypes, InvalidEndpointAddress,
    InvalidEndpointName, InvalidEventType,
};
pub use self::memory::MemoryDeliveries;
pub use self::secret::{InvalidSigningSecret, SigningSecret};
pub use self::storage::{
    Attempt, AttemptFailure, Backlog, Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryStorage, LEASE,
    Lease, NewDelivery, Settlement,
};
