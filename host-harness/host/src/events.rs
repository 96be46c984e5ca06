//! Events of connections, for the platform. Each event is written once, and events are written in order. A change of a
//! connection's row and the events of this change are written in one transaction.
//!
//! An event contains no secret. The platform reads the events of a tenant with [`ConnectionStorage::events`], remembers
//! the position of the last event it has processed, and continues from there.
//!
//! [`ConnectionStorage::events`]: crate::storage::ConnectionStorage::events

use serde::{Deserialize, Serialize};

use crate::connection::{ConnectionKey, ReauthorizationReason, UnixSeconds};

/// The position of an event among the events of its tenant. Later events have greater positions, possibly with gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPosition(pub u64);

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The position of the event. Reading continues after this position.
    pub position: EventPosition,
    /// The event.
    pub event: NewEvent,
}

/// An event of a connection, before it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// When it happened, by the clock of the host that wrote it.
    pub at: UnixSeconds,
    /// The connection.
    pub key: ConnectionKey,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventKind {
    /// The connection began. A new consent for a connected account causes no such event.
    Connected,
    /// The connection works, but the seller's authorization ends.
    AuthorizationEnding {
        /// When the authorization ends.
        ends: UnixSeconds,
    },
    /// The connection no longer works. Only a new consent helps.
    ReauthorizationRequired(ReauthorizationReason),
    /// The connection did not work and works now, or its authorization was ending and is not ending now.
    Recovered,
    /// The connection was deleted from storage. TikTok may still grant access.
    Disconnected,
    /// An expiry notice: the authorization ends within 30 days, 7 days or 1 day. A [sweep](crate::ConnectorHost::sweep)
    /// writes each of these three notices once per consent. If several of them are due in one sweep, it writes only the
    /// most urgent one.
    Notice {
        /// The number of days: 30, 7 or 1.
        days: u8,
        /// When the authorization ends.
        ends: UnixSeconds,
    },
}

impl EventKind {
    /// Returns the word for this kind, without its values.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::AuthorizationEnding { .. } => "authorization-ending",
            Self::ReauthorizationRequired(_) => "reauthorization-required",
            Self::Recovered => "recovered",
            Self::Disconnected => "disconnected",
            Self::Notice { .. } => "notice",
        }
    }
}
