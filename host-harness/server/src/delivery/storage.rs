//! The storage of deliveries.

use std::fmt;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{CustomerId, TenantId};
use utoipa::ToSchema;

use super::endpoint::EndpointName;

/// A lease of a queue lapses after this time: 60 s. An attempt takes at most half of it.
pub const LEASE: Duration = Duration::from_secs(60);

/// A storage counts at most this many dead letters for the [`Backlog`], because the count of very many takes too long.
pub const MAX_COUNTED_DEAD_LETTERS: u64 = 100_000;

/// The maximum length of an id, in bytes.
const MAX_ID_BYTES: usize = 64;

/// The id of a delivery, which is the header `webhook-id`. It stays the same in every attempt and after a redelivery.
/// It has 1 to 64 letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryId(String);

impl DeliveryId {
    /// Reads an id. `None` if the text can't be an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_id = !text.is_empty() && text.len() <= MAX_ID_BYTES && text.bytes().all(is_allowed);
        is_id.then(|| Self(text.to_owned()))
    }

    /// Returns the id that belongs to these 128 bits.
    pub(crate) fn of_bits(bits: [u8; 16]) -> Self {
        Self(format!("msg_{}", hex::encode(bits)))
    }

    /// Returns the text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// The platform has not accepted it yet. It is attempted again.
    Waiting,
    /// The platform has accepted it.
    Delivered,
    /// It is attempted no more: a dead letter.
    Dead,
}

impl DeliveryState {
    /// Returns the name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// Reads the name of a state.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::Dead].into_iter().find(|state| state.as_str() == word)
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptFailure {
    /// The receiver answered with a status other than 200 to 299.
    Status,
    /// There was no connection to the receiver, for example because its name is unknown or nothing listens there.
    NoConnection,
    /// The certificate of the receiver was not accepted. Nothing was sent.
    Certificate,
    /// The receiver did not answer in time.
    Timeout,
    /// The connection broke before an answer, or the answer was not HTTP.
    Broken,
}

impl AttemptFailure {
    /// Returns the name of the failure, as the API writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoConnection => "no-connection",
            Self::Certificate => "certificate",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

/// An attempt to deliver. It contains nothing of the receiver's answer but its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// When it began, in seconds since 1970.
    pub at: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The HTTP status of the answer. `null` if there was none.
    #[schema(required)]
    pub status: Option<u16>,
    /// Why it failed. `null` if the receiver accepted the delivery.
    #[schema(required)]
    pub failure: Option<AttemptFailure>,
}

/// A delivery that is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id. The storage keeps only the first delivery with an id.
    pub id: DeliveryId,
    /// The endpoint to which it is sent.
    pub endpoint: EndpointName,
    /// The customer whose queue it joins. `None`: the queue of the whole tenant.
    pub customer: Option<CustomerId>,
    /// The member `type` of the body.
    pub event_type: String,
    /// The body of the request.
    pub body: String,
}

/// A stored delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Its place in the order of all deliveries.
    pub number: u64,
    /// The endpoint to which it is sent.
    pub endpoint: EndpointName,
    /// The customer in whose queue it is. `None`: the queue of the whole tenant.
    pub customer: Option<CustomerId>,
    /// The member `type` of the body.
    pub event_type: String,
    /// Its state.
    pub state: DeliveryState,
    /// When it was stored.
    pub stored_at: UnixSeconds,
    /// When it was stored or last redelivered. The three days of attempts begin here.
    pub waiting_since: UnixSeconds,
    /// When it was delivered or became a dead letter.
    pub ended_at: Option<UnixSeconds>,
    /// The number of attempts since `waiting_since`.
    pub tries: u32,
    /// The latest attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// When its queue is due. Only for a waiting delivery of a list or of [`load`](DeliveryStorage::load).
    pub due_at: Option<UnixSeconds>,
    /// The body of the request. A list does not contain it, and a storage deletes it once it is delivered.
    pub body: Option<String>,
}

/// The right to send from a queue, until it lapses. 128 random bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease(String);

impl Lease {
    /// Draws a lease.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn draw() -> io::Result<Self> {
        let mut bits = [0; 16];
        SystemRandomness.fill(&mut bits)?;
        Ok(Self(hex::encode(bits)))
    }

    /// Returns the text of the lease, 32 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The platform has accepted it.
    Delivered,
    /// It is attempted again at this time.
    Retry(UnixSeconds),
    /// It is attempted no more.
    Dead,
}

impl Settlement {
    /// Returns the state of the delivery.
    #[must_use]
    pub const fn state(self) -> DeliveryState {
        match self {
            Self::Delivered => DeliveryState::Delivered,
            Self::Retry(_) => DeliveryState::Waiting,
            Self::Dead => DeliveryState::Dead,
        }
    }

    /// Returns when the delivery ended, if it was settled at `now`.
    #[must_use]
    pub const fn ended_at(self, now: UnixSeconds) -> Option<UnixSeconds> {
        match self {
            Self::Delivered | Self::Dead => Some(now),
            Self::Retry(_) => None,
        }
    }

    /// Returns when the queue of the delivery is due, if its first waiting delivery then has the number `first`. A
    /// delivery that was redelivered meanwhile can come before one that is attempted again.
    #[must_use]
    pub fn queue_due_at(self, delivery: &Delivery, first: u64, now: UnixSeconds) -> UnixSeconds {
        match self {
            Self::Retry(at) if first == delivery.number => at,
            Self::Delivered | Self::Retry(_) | Self::Dead => now,
        }
    }
}

/// Selects deliveries. An empty filter selects all deliveries of the tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only the delivery with this id.
    pub id: Option<DeliveryId>,
    /// Only deliveries in this state.
    pub state: Option<DeliveryState>,
    /// Only deliveries to this endpoint.
    pub endpoint: Option<EndpointName>,
    /// Only deliveries of this customer.
    pub customer: Option<CustomerId>,
}

/// The waiting deliveries of some endpoints, and the dead letters of all tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The time since which the oldest waiting delivery has waited.
    pub oldest_waiting: Option<UnixSeconds>,
    /// The number of dead letters. If there are more than [`MAX_COUNTED_DEAD_LETTERS`], this number.
    pub dead: u64,
}

/// Stores deliveries. To keep the order of each queue, replicas need to share only this storage.
///
/// Each endpoint has one queue for each customer, and one for the whole tenant. Every method is one transaction.
/// Everything is read and written by tenant, except [`backlog`](Self::backlog) and
/// [`delete_old`](Self::delete_old).
///
/// # Errors
/// Every method fails as [`StorageError`] says.
#[async_trait]
pub trait DeliveryStorage: Send + Sync {
    /// Adds deliveries to the ends of their queues, in this order. Leaves out a delivery whose id is already stored.
    /// Returns how many were added.
    async fn append(
        &self,
        tenant: &TenantId,
        deliveries: &[NewDelivery],
        now: UnixSeconds,
    ) -> Result<u64, StorageError>;

    /// Returns the position up to which the tenant's events have become deliveries to the endpoint. `None` if none was
    /// stored yet.
    async fn position(&self, tenant: &TenantId, endpoint: &EndpointName)
    -> Result<Option<EventPosition>, StorageError>;

    /// Moves the position from `from` to `to`, and appends deliveries. Does nothing and returns `false` if the position
    /// is no longer `from`.
    async fn advance(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
        from: Option<EventPosition>,
        to: EventPosition,
        deliveries: &[NewDelivery],
        now: UnixSeconds,
    ) -> Result<bool, StorageError>;

    /// Leases up to `limit` queues of the endpoint that are due and not leased, the longest due ones first.
    /// Returns the first delivery of each. A lease lapses after [`LEASE`] by the clock of the storage.
    async fn claim(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
        lease: &Lease,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError>;

    /// Stores the attempts of a claimed delivery and what becomes of it, and ends the lease of its queue. Does nothing
    /// and returns `false` if the lease has lapsed and another one has begun.
    async fn settle(
        &self,
        tenant: &TenantId,
        lease: &Lease,
        delivery: &Delivery,
        settlement: Settlement,
        now: UnixSeconds,
    ) -> Result<bool, StorageError>;

    /// Lists up to `limit` deliveries without their bodies, in the order of their numbers, behind the number `after`.
    async fn list(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError>;

    /// Returns a delivery with its body.
    async fn load(&self, tenant: &TenantId, id: &DeliveryId) -> Result<Option<Delivery>, StorageError>;

    /// Makes up to `limit` dead letters behind the number `after` waiting again, those with the lowest numbers first.
    /// They keep their numbers, and their queues are due at once. The member `state` of the filter is ignored. Returns
    /// their numbers in ascending order.
    async fn redeliver(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        after: Option<u64>,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<u64>, StorageError>;

    /// Returns the backlog. Only deliveries to these endpoints count as waiting, because nobody sends the deliveries to
    /// an endpoint that is no longer configured.
    async fn backlog(&self, endpoints: &[(TenantId, EndpointName)]) -> Result<Backlog, StorageError>;

    /// Deletes up to `limit` deliveries of all tenants that have been in this state since before this time. Returns how
    /// many were deleted.
    async fn delete_old(&self, state: DeliveryState, before: UnixSeconds, limit: usize) -> Result<u64, StorageError>;
}
