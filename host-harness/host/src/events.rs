//! Events, which tell the platform what happened to a tenant's connections and keys, and who got tokens. Each
//! event is written once, and events are written in order. A change of a connection's row and the events of this change
//! are written in one transaction.
//!
//! Every event says who caused it, why, and during which call: see [`Origin`]. Name the actor with
//! [`ConnectorHost::acting_as`] and [`Keyring::acting_as`], and the reason with `because`.
//!
//! An event contains no secret. The platform reads the events of a tenant with [`ConnectionStorage::events`], remembers
//! the position of the last event it has processed, and continues from there.
//!
//! [`ConnectionStorage::events`]: crate::storage::ConnectionStorage::events
//! [`ConnectorHost::acting_as`]: crate::ConnectorHost::acting_as
//! [`Keyring::acting_as`]: crate::seal::Keyring::acting_as

use serde::{Deserialize, Serialize};

use crate::connection::{ConnectionKey, ReauthorizationReason, UnixSeconds};
pub use crate::id::{Actor, StatedReason};
use crate::id::{HostKeyId, ShopId};
use crate::words::words;

/// The position of an event among the events of its tenant. A later event has a greater position. Positions may have
/// gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPosition(pub u64);

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The position of the event. A reader that has processed the event continues after this position.
    pub position: EventPosition,
    /// The event.
    pub event: NewEvent,
}

/// An event of a tenant, before it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// When the event happened, by the clock of the host that wrote the event.
    pub at: UnixSeconds,
    /// The connection that the event concerns. `None` if the event concerns the whole tenant.
    pub key: Option<ConnectionKey>,
    /// What happened.
    pub kind: EventKind,
    /// Who caused it, why, and during which call.
    #[serde(default)]
    pub origin: Origin,
}

/// Who caused an event, why, and during which call. The caller of the host states the actor and the reason, and the
/// host does not check them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The actor that the caller named. `None` means the platform itself.
    pub actor: Option<Actor>,
    /// The reason that the caller stated.
    pub stated_reason: Option<StatedReason>,
    /// The call during which the event happened. `None` if an earlier release wrote the event, because earlier releases
    /// did not record the call.
    pub cause: Option<Cause>,
}

impl Origin {
    /// Returns a copy of this origin, with this cause.
    pub(crate) fn during(&self, cause: Cause) -> Self {
        Self { cause: Some(cause), ..self.clone() }
    }
}

/// The kind of call during which an event happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// `connect`, `finish_consent`, `begin_install`, `confirm_install` or `cancel_install`.
    Connect,
    /// `import_grant`.
    Import,
    /// `export_grant`.
    Export,
    /// `refresh`.
    Refresh,
    /// `sweep`.
    Sweep,
    /// `access_token`.
    AccessToken,
    /// `call`.
    Call,
    /// `list_shops`, `list_connections` or `authorization_url`. The connector changes nothing in these calls.
    Read,
    /// `link_shops`.
    LinkShops,
    /// `disconnect`.
    Disconnect,
    /// `receive_webhook` or `accept_webhook`.
    Webhook,
    /// [`Keyring::add_host_key`](crate::seal::Keyring::add_host_key),
    /// [`Keyring::promote`](crate::seal::Keyring::promote) or [`Keyring::rotate`](crate::seal::Keyring::rotate).
    KeyRotation,
    /// [`Keyring::retire`](crate::seal::Keyring::retire).
    KeyRetirement,
    /// [`Keyring::erase`](crate::seal::Keyring::erase).
    Erasure,
}

words! {
    Cause {
        Connect => "connect",
        Import => "import",
        Export => "export",
        Refresh => "refresh",
        Sweep => "sweep",
        AccessToken => "access-token",
        Call => "call",
        Read => "read",
        LinkShops => "link-shops",
        Disconnect => "disconnect",
        Webhook => "webhook",
        KeyRotation => "key-rotation",
        KeyRetirement => "key-retirement",
        Erasure => "erasure",
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventKind {
    /// An install from TikTok's App Store waits for the customer's confirmation. The host has stored its tokens, and
    /// has connected nothing. If the customer confirms the install, the event [`Connected`](Self::Connected) or
    /// [`ConsentRenewed`](Self::ConsentRenewed) follows. If nobody confirms or cancels the install within 30 minutes,
    /// it ends without a further event.
    InstallBegun,
    /// The customer has cancelled an install from TikTok's App Store, so the host deletes its tokens.
    InstallCancelled,
    /// The connection began. A new consent for a connected account causes [`ConsentRenewed`](Self::ConsentRenewed)
    /// instead.
    Connected,
    /// A connected account has consented again, and the new tokens have replaced the old ones.
    ConsentRenewed,
    /// These shops were linked to the customer. Shops that are linked when the connection begins also cause this event.
    ShopsLinked {
        /// The linked shops, in the order in which the connection lists them. The list is never empty.
        shops: Vec<ShopId>,
    },
    /// These shops were unlinked from the customer. The end of a connection does not cause this event.
    ShopsUnlinked {
        /// The unlinked shops, in the order in which the connection lists them. The list is never empty.
        shops: Vec<ShopId>,
    },
    /// The customer can no longer use these linked shops, although they are still linked. TikTok no longer lists them
    /// (the standing is now `NoLongerGranted`), or the connection no longer works. If the connection no longer works,
    /// the event [`ReauthorizationRequired`](Self::ReauthorizationRequired) comes first.
    ShopsLost {
        /// The lost shops, in the order in which the connection lists them. The list is never empty.
        shops: Vec<ShopId>,
    },
    /// The customer can use these linked shops again. After a new consent, this event comes as soon as TikTok has
    /// listed the shops.
    ShopsRegained {
        /// The regained shops, in the order in which the connection lists them. The list is never empty.
        shops: Vec<ShopId>,
    },
    /// A forced refresh has claimed the tokens to renew them. It has renewed them, or it has recorded a failure. If
    /// another call is already renewing the tokens, or if the forced refresh fails before its claim, there is no event.
    ///
    /// The event is written with the row, after the token record. If the process ends between these two writes, the
    /// event is lost. The tokens are not lost, and the next refresh writes the row.
    RefreshForced,
    /// `access_token` returned an access token to its caller.
    TokenShown,
    /// `export_grant` returned the tokens of the connection to its caller, for another installation.
    GrantExported,
    /// The connection still works, but the seller's authorization will end soon.
    AuthorizationEnding {
        /// When the authorization ends.
        ends: UnixSeconds,
    },
    /// The connection no longer works. A new consent or a successful forced refresh revives it.
    ReauthorizationRequired(ReauthorizationReason),
    /// The connection works again after it did not work, or its authorization will no longer end soon.
    Recovered,
    /// The connection was deleted from storage. TikTok may still grant access.
    Disconnected,
    /// An expiry notice: the authorization ends within 30 days, 7 days or 1 day. A [sweep](crate::ConnectorHost::sweep)
    /// writes each of these three notices at most once per consent, and only while the connection works with this
    /// consent. If several notices are due in one sweep, the sweep writes only the most urgent notice.
    Notice {
        /// The number of days: 30, 7 or 1.
        days: u8,
        /// When the authorization ends.
        ends: UnixSeconds,
    },
    /// A new host key was appended to the file of host keys. It wraps nothing yet. Every tenant that has data keys gets
    /// this event.
    HostKeyAdded {
        /// The new host key.
        host_key: HostKeyId,
    },
    /// A host key of the file became the current one, which wraps new data keys. Every tenant that has data keys gets
    /// this event.
    HostKeyPromoted {
        /// The host key that is the current one now.
        host_key: HostKeyId,
    },
    /// A rotation has added a new data key to the tenant. The rotation then seals the tenant's records again with this
    /// key.
    KeysRotated {
        /// The host key that wraps the new data key.
        host_key: HostKeyId,
    },
    /// A host key was removed from the file of host keys. Every tenant that has data keys gets this event.
    HostKeyRetired {
        /// The removed host key.
        host_key: HostKeyId,
    },
    /// The tenant was erased: its data keys and everything else that was stored for it were deleted, including its
    /// earlier events.
    TenantErased,
}

/// Gives each kind of event its name, and lists the names.
macro_rules! names {
    (
        connection { $($of_connection:ident => $connection_name:literal),+ $(,)? }
        tenant { $($of_tenant:ident => $tenant_name:literal),+ $(,)? }
    ) => {
        impl EventKind {
            /// The names of the kinds of events that concern a connection, as [`as_str`](Self::as_str) returns them.
            pub const CONNECTION_NAMES: &'static [&'static str] = &[$($connection_name),+];

            /// The names of the kinds of events that concern the whole tenant, as [`as_str`](Self::as_str) returns
            /// them.
            pub const TENANT_NAMES: &'static [&'static str] = &[$($tenant_name),+];

            /// Returns the name of this kind of event, without the values that the event contains.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self {
                    $(Self::$of_connection { .. } => $connection_name,)+
                    $(Self::$of_tenant { .. } => $tenant_name,)+
                }
            }
        }
    };
}

names! {
    connection {
        InstallBegun => "install-begun",
        InstallCancelled => "install-cancelled",
        Connected => "connected",
        ConsentRenewed => "consent-renewed",
        ShopsLinked => "shops-linked",
        ShopsUnlinked => "shops-unlinked",
        ShopsLost => "shops-lost",
        ShopsRegained => "shops-regained",
        RefreshForced => "refresh-forced",
        TokenShown => "token-shown",
        GrantExported => "grant-exported",
        AuthorizationEnding => "authorization-ending",
        ReauthorizationRequired => "reauthorization-required",
        Recovered => "recovered",
        Disconnected => "disconnected",
        Notice => "notice",
    }
    tenant {
        HostKeyAdded => "host-key-added",
        HostKeyPromoted => "host-key-promoted",
        KeysRotated => "keys-rotated",
        HostKeyRetired => "host-key-retired",
        TenantErased => "tenant-erased",
    }
}

impl EventKind {
    /// Returns the values of this event.
    #[must_use]
    pub fn values(&self) -> EventValues<'_> {
        let none = EventValues::default();
        match self {
            Self::InstallBegun
            | Self::InstallCancelled
            | Self::Connected
            | Self::ConsentRenewed
            | Self::RefreshForced
            | Self::TokenShown
            | Self::GrantExported
            | Self::Recovered
            | Self::Disconnected
            | Self::TenantErased => none,
            Self::ShopsLinked { shops }
            | Self::ShopsUnlinked { shops }
            | Self::ShopsLost { shops }
            | Self::ShopsRegained { shops } => EventValues { shops: Some(shops.as_slice()), ..none },
            Self::AuthorizationEnding { ends } => EventValues { ends_at: Some(*ends), ..none },
            Self::ReauthorizationRequired(reason) => EventValues { reason: Some(*reason), ..none },
            Self::Notice { days, ends } => EventValues { days: Some(*days), ends_at: Some(*ends), ..none },
            Self::HostKeyAdded { host_key }
            | Self::HostKeyPromoted { host_key }
            | Self::KeysRotated { host_key }
            | Self::HostKeyRetired { host_key } => EventValues { host_key: Some(host_key), ..none },
        }
    }
}

/// The values of an event. Each kind of event has only some of them, and the others are `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventValues<'a> {
    /// Why a new consent is needed.
    pub reason: Option<ReauthorizationReason>,
    /// The days that are left, of an expiry notice.
    pub days: Option<u8>,
    /// When the authorization ends.
    pub ends_at: Option<UnixSeconds>,
    /// The shops of the event.
    pub shops: Option<&'a [ShopId]>,
    /// The host key of the event.
    pub host_key: Option<&'a HostKeyId>,
}
