//! The events that a change of a connection's row causes. The host appends them in the transaction that writes the row.

use crate::connection::{ConnectionStatus, UnixSeconds};
use crate::events::{EventKind, NewEvent};
use crate::storage::Row;

/// Returns the events that the change from `before` to `after` causes, in order. Rows with different lineages
/// ([`Row::token_lineage`]) belong to different connections: the earlier connection ended, and another one began.
pub(super) fn caused_by(before: Option<&Row>, after: Option<&Row>, at: UnixSeconds) -> Vec<NewEvent> {
    let Some(key) = after.or(before).map(|row| &row.connection.key) else { return Vec::new() };
    let kinds = match (before, after) {
        (Some(before), Some(after)) if before.token_lineage == after.token_lineage => {
            change(before.connection.status, after.connection.status)
        }
        (before, after) => {
            let ended = before.map(|_| EventKind::Disconnected);
            let began = after.map(|after| [Some(EventKind::Connected), warning(after.connection.status)]);
            ended.into_iter().chain(began.into_iter().flatten().flatten()).collect()
        }
    };
    kinds.into_iter().map(|kind| NewEvent { at, key: key.clone(), kind }).collect()
}

/// Returns the events of a change of status. If only the time or the reason in the status changes, there is no event.
fn change(before: ConnectionStatus, after: ConnectionStatus) -> Vec<EventKind> {
    use ConnectionStatus::{Active, AuthorizationEnding as Ending, ReauthorizationRequired as Dead};

    let recovered = match (before, after) {
        (Active, Active) | (Ending(_), Ending(_)) | (Dead(_), Dead(_)) => return Vec::new(),
        (Active, Ending(_) | Dead(_)) | (Ending(_), Dead(_)) => None,
        (Ending(_), Active) | (Dead(_), Active | Ending(_)) => Some(EventKind::Recovered),
    };
    recovered.into_iter().chain(warning(after)).collect()
}

/// Returns the event that warns about this status. `None` if the status needs no warning.
fn warning(status: ConnectionStatus) -> Option<EventKind> {
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
    use crate::connection::{Connection, ConnectionKey};

    const ENDS: UnixSeconds = UnixSeconds(1_770_000_000);
    const LATER: UnixSeconds = UnixSeconds(1_780_000_000);
    const ENDING: EventKind = EventKind::AuthorizationEnding { ends: ENDS };
    const DEAD: EventKind = EventKind::ReauthorizationRequired(AuthorizationRevoked);

    fn row(lineage: &str, status: ConnectionStatus) -> Row {
        let key = ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() };
        let mut row = Row::new(Connection::new(key));
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
    fn every_change_of_status_writes_its_events() {
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
    fn a_new_lineage_ends_the_old_connection_and_begins_a_new_one() {
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
