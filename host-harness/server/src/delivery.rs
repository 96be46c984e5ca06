//! Webhooks from the service to platforms (<https://www.standardwebhooks.com>, version 1.0.0, 2026).
//!
//! The service stores an event as a [`Delivery`] in the [storage](DeliveryStorage): an event of TikTok Shop before TikTok
//! Shop gets the answer 200, and a lifecycle event together with its position. It sends the delivery until the platform
//! accepts it. After three days, the delivery becomes a dead letter. Each endpoint has one queue for each customer. Only
//! the first delivery of a queue is sent, and only by the process that holds the lease of the queue, so that replicas
//! keep the order, too.

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
    Lease, MAX_COUNTED_DEAD_LETTERS, NewDelivery, Settlement,
};
