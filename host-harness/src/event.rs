//! What happens to connections, for the platform to act on: written down once, in order, with the row it belongs to.
//!
//! An event has no place for a secret. The platform reads them per tenant from [`HostStorage::events`], remembers the
//! position of the last one it has acted on, and goes on from there.
//!
//! [`HostStorage::events`]: crate::HostStorage::events

use serde::{Deserialize, Serialize};

use crate::connection::{ConnectionKey, ConnectionStatus, ReauthorizationReason, UnixSeconds};
use crate::storage::Row;

/// Where an event stands among those of its tenant. Later is greater; there may be gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPosition(pub u64);

/// An event as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// To read on from.
    pub position: EventPosition,
    /// What happened.
    pub event: NewEvent,
}

/// What happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// When, by the clock of the host that wrote it.
    pub at: UnixSeconds,
    /// To which connection.
    pub key: ConnectionKey,
    /// What.
    pub kind: EventKind,
}

/// The kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventKind {
    /// It began. A new consent of a connected account begins nothing.
    Connected,
    /// It works, but the seller's authorization ends.
    AuthorizationEnding {
        /// When.
        ends: UnixSeconds,
    },
    /// It is dead; only a new consent helps.
    ReauthorizationRequired(ReauthorizationReason),
    /// It was dead or ending, and is so no longer.
    Recovered,
    /// It is over here, whatever TikTok thinks of it.
    Disconnected,
    /// Its authorization ends within so many days: 30, 7 or 1. Each is said once for a consent, by a
    /// [sweep](crate::ConnectorHost::sweep); of those that one sweep comes upon, only the last.
    Notice {
        /// So many, or fewer.
        days: u8,
        /// When exactly.
        ends: UnixSeconds,
    },
}

/// What a change of a connection's row means, in order. Rows of another lineage are another connection.
pub(crate) fn caused_by(before: Option<&Row>, after: Option<&Row>, at: UnixSeconds) -> Vec<NewEvent> {
    let Some(key) = after.or(before).map(|row| &row.connection.key) else { return Vec::new() };
    let kinds = match (before, after) {
        (Some(before), Some(after)) if before.token_lineage == after.token_lineage => {
            change(before.connection.status, after.connection.status)
        }
        (before, after) => {
            let ended = before.map(|_| EventKind::Disconnected);
            let began = after.map(|after| [Some(EventKind::Connected), trouble(after.connection.status)]);
            ended.into_iter().chain(began.into_iter().flatten().flatten()).collect()
        }
    };
    kinds.into_iter().map(|kind| NewEvent { at, key: key.clone(), kind }).collect()
}

/// Every transition once: what stays as it is says nothing, whatever its end or its reason.
fn change(before: ConnectionStatus, after: ConnectionStatus) -> Vec<EventKind> {
    use ConnectionStatus::{Active, AuthorizationEnding as Ending, ReauthorizationRequired as Dead};

    let recovered = match (before, after) {
        (Active, Active) | (Ending(_), Ending(_)) | (Dead(_), Dead(_)) => return Vec::new(),
        (Active, Ending(_) | Dead(_)) | (Ending(_), Dead(_)) => None,
        (Ending(_), Active) | (Dead(_), Active | Ending(_)) => Some(EventKind::Recovered),
    };
    recovered.into_iter().chain(trouble(after)).collect()
}

fn trouble(status: ConnectionStatus) -> Option<EventKind> {
    match status {
        ConnectionStatus::Active => None,
        ConnectionStatus::AuthorizationEnding(ends) => Some(EventKind::AuthorizationEnding { ends }),
        ConnectionStatus::ReauthorizationRequired(reason) => Some(EventKind::ReauthorizationRequired(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ConnectionStatus::{Active, AuthorizationEnding, ReauthorizationRequired};
    use crate::connection::ReauthorizationReason::{AuthorizationExpired, AuthorizationRevoked};
    use crate::storage::row_of;

    const ENDS: UnixSeconds = UnixSeconds(1_770_000_000);
    const LATER: UnixSeconds = UnixSeconds(1_780_000_000);
    const ENDING: EventKind = EventKind::AuthorizationEnding { ends: ENDS };
    const DEAD: EventKind = EventKind::ReauthorizationRequired(AuthorizationRevoked);

    fn row(lineage: &str, status: ConnectionStatus) -> Row {
        let mut row = row_of("customer", "account");
        row.token_lineage = lineage.to_owned();
        row.connection.status = status;
        row
    }

    fn kinds(before: Option<&Row>, after: Option<&Row>) -> Vec<EventKind> {
        let events = caused_by(before, after, UnixSeconds(7));
        let key = row("", Active).connection.key;
        assert!(events.iter().all(|event| event.at == UnixSeconds(7) && event.key == key));
        events.into_iter().map(|event| event.kind).collect()
    }

    #[test]
    fn every_transition_of_one_connection_has_its_events() {
        use EventKind::Recovered;

        let (ending, dead) = (AuthorizationEnding(ENDS), ReauthorizationRequired(AuthorizationRevoked));
        let table: [(ConnectionStatus, ConnectionStatus, &[EventKind]); 11] = [
            (Active, Active, &[]),
            (Active, ending, &[ENDING]),
            (Active, dead, &[DEAD]),
            (ending, Active, &[Recovered]),
            (ending, ending, &[]),
            (AuthorizationEnding(LATER), ending, &[]),
            (ending, dead, &[DEAD]),
            (dead, Active, &[Recovered]),
            (dead, ending, &[Recovered, ENDING]),
            (dead, dead, &[]),
            (ReauthorizationRequired(AuthorizationExpired), dead, &[]),
        ];
        for (before, after, expected) in table {
            assert_eq!(kinds(Some(&row("l", before)), Some(&row("l", after))), expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_connection_begins_and_ends_and_another_lineage_does_both() {
        use EventKind::{Connected, Disconnected};

        let statuses: [(ConnectionStatus, &[EventKind]); 3] = [
            (Active, &[]),
            (AuthorizationEnding(ENDS), &[ENDING]),
            (ReauthorizationRequired(AuthorizationRevoked), &[DEAD]),
        ];
        for (status, trouble) in statuses {
            let now = row("new", status);
            assert_eq!(kinds(None, Some(&now)), [&[Connected], trouble].concat());
            assert_eq!(kinds(Some(&row("old", Active)), Some(&now)), [&[Disconnected, Connected], trouble].concat());
            assert_eq!(kinds(Some(&now), None), [Disconnected]);
        }
        assert_eq!(kinds(None, None), []);
    }
}
