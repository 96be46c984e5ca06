//! Finds the events that a change of a connection's row causes. The host appends these events in the transaction that
//! writes the row.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::Act;
use crate::connection::{Connection, ConnectionKey, ConnectionStatus, Shop, UnixSeconds};
use crate::events::{EventKind, NewEvent, Origin};
use crate::id::ShopId;
use crate::storage::OpenRow;

/// Returns the events that the change from `before` to `after` causes, in order. Rows with different lineages
/// ([`OpenRow::token_lineage`]) belong to different connections: the earlier connection ended, and another one began. `act`
/// is the purpose of the call, or `Act::Other` if an earlier write of this call has already written the event of this
/// purpose.
pub(super) fn caused_by(
    before: Option<&OpenRow>,
    after: Option<&OpenRow>,
    act: Act,
    at: UnixSeconds,
    origin: &Origin,
) -> Vec<NewEvent> {
    let Some(key) = after.or(before).map(|row| &row.connection.key) else { return Vec::new() };
    let kinds = match (before, after) {
        (Some(before), Some(after)) if before.token_lineage == after.token_lineage => {
            let (before, after) = (&before.connection, &after.connection);
            let status = change(before.status, after.status);
            acts(before, after, act)
                .chain(status)
                .chain(links(Some(before), after))
                .chain(uses(before, after))
                .collect()
        }
        (before, after) => {
            let mut kinds: Vec<_> = before.map(|_| EventKind::Disconnected).into_iter().collect();
            if let Some(OpenRow { connection, .. }) = after {
                kinds.push(EventKind::Connected);
                kinds.extend(warning(connection.status));
                kinds.extend(links(None, connection));
                kinds.extend((act == Act::ForcedRefresh).then_some(EventKind::RefreshForced));
            }
            kinds
        }
    };
    let event = |kind| NewEvent { at, key: Some(key.clone()), kind, origin: origin.clone() };
    kinds.into_iter().map(event).collect()
}

/// Returns the events of a new consent and of a forced refresh, for a connection that already existed. If a call stored
/// a new consent but ended before it wrote the row, a later call writes the row. The later call recognizes the consent
/// by the new value of `granted_at`.
fn acts(before: &Connection, after: &Connection, act: Act) -> impl Iterator<Item = EventKind> {
    let renewed = act == Act::Consent || before.granted_at != after.granted_at;
    let forced = act == Act::ForcedRefresh;
    let renewed = renewed.then_some(EventKind::ConsentRenewed);
    renewed.into_iter().chain(forced.then_some(EventKind::RefreshForced))
}

/// Returns the events of the deletion of a row that can't be read or was changed in the database.
pub(super) fn caused_by_deletion(key: &ConnectionKey, at: UnixSeconds, origin: &Origin) -> Vec<NewEvent> {
    Vec::from([NewEvent { at, key: Some(key.clone()), kind: EventKind::Disconnected, origin: origin.clone() }])
}

/// Returns the events about the shops that were linked or unlinked. `before: None` means that the connection begins.
fn links(before: Option<&Connection>, after: &Connection) -> impl Iterator<Item = EventKind> {
    let linked = |connection: &Connection| -> Vec<ShopId> {
        let shops = connection.shops.iter().filter(|shop| shop.linked);
        shops.map(|shop| shop.id.clone()).collect()
    };
    let (before, after) = (before.map(linked).unwrap_or_default(), linked(after));
    let without = |shops: &[ShopId], others: &[ShopId]| -> Vec<ShopId> {
        let others: BTreeSet<_> = others.iter().collect();
        shops.iter().filter(|shop| !others.contains(shop)).cloned().collect()
    };
    let (unlinked, linked) = (without(&before, &after), without(&after, &before));
    let unlinked = (!unlinked.is_empty()).then_some(EventKind::ShopsUnlinked { shops: unlinked });
    let linked = (!linked.is_empty()).then_some(EventKind::ShopsLinked { shops: linked });
    unlinked.into_iter().chain(linked)
}

/// Returns the events about the linked shops that the customer can no longer use, or can use again. These events
/// contain no shop that the change itself links or unlinks, because [`links`] returns the events about such a shop.
fn uses(before: &Connection, after: &Connection) -> impl Iterator<Item = EventKind> {
    let linked_before: BTreeMap<&ShopId, bool> =
        before.shops.iter().filter(|shop| shop.linked).map(|shop| (&shop.id, before.allows(shop))).collect();
    let changed = |is_usable: bool| -> Vec<ShopId> {
        let has_changed = |shop: &&Shop| {
            shop.linked && after.allows(shop) == is_usable && linked_before.get(&shop.id) == Some(&!is_usable)
        };
        after.shops.iter().filter(has_changed).map(|shop| shop.id.clone()).collect()
    };
    let (lost, regained) = (changed(false), changed(true));
    let lost = (!lost.is_empty()).then_some(EventKind::ShopsLost { shops: lost });
    let regained = (!regained.is_empty()).then_some(EventKind::ShopsRegained { shops: regained });
    lost.into_iter().chain(regained)
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
    use crate::connection::ShopStanding;
    use crate::events::Cause;

    const ENDS: UnixSeconds = UnixSeconds(1_770_000_000);
    const LATER: UnixSeconds = UnixSeconds(1_780_000_000);
    const ENDING: EventKind = EventKind::AuthorizationEnding { ends: ENDS };
    const DEAD: EventKind = EventKind::ReauthorizationRequired(AuthorizationRevoked);

    fn row(lineage: &str, status: ConnectionStatus) -> OpenRow {
        let key = ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() };
        let mut row = OpenRow::new(Connection::new(key));
        row.token_lineage = lineage.to_owned();
        row.connection.status = status;
        row
    }

    /// The row before a call, the row after the call, the purpose of the call, and the events that the call must write.
    type Case<'a> = (Option<&'a OpenRow>, Option<&'a OpenRow>, Act, &'a [EventKind]);

    /// Returns the row with these shops. A shop whose number is negative is not linked.
    fn with_shops(mut row: OpenRow, shops: &[i64]) -> OpenRow {
        let shop = |number: &i64| {
            let account = row.connection.key.account.clone();
            Shop { linked: *number > 0, ..Shop::new(number.abs().to_string().parse().unwrap(), account) }
        };
        row.connection.shops = shops.iter().map(shop).collect();
        row
    }

    fn ids(shops: &[i64]) -> Vec<ShopId> {
        shops.iter().map(|number| number.to_string().parse().unwrap()).collect()
    }

    fn kinds_of(before: Option<&OpenRow>, after: Option<&OpenRow>, act: Act) -> Vec<EventKind> {
        let origin = Origin { actor: Some("ana".parse().unwrap()), ..Origin::default().during(Cause::Call) };
        let events = caused_by(before, after, act, UnixSeconds(7), &origin);
        let key = Some(row("", Active).connection.key);
        assert!(events.iter().all(|event| event.at == UnixSeconds(7) && event.key == key && event.origin == origin));
        events.into_iter().map(|event| event.kind).collect()
    }

    fn kinds(before: Option<&OpenRow>, after: Option<&OpenRow>) -> Vec<EventKind> {
        kinds_of(before, after, Act::Other)
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
    fn every_change_of_links_names_the_shops() {
        let linked = |shops| EventKind::ShopsLinked { shops: ids(shops) };
        let unlinked = |shops| EventKind::ShopsUnlinked { shops: ids(shops) };
        let table: [(&[i64], &[i64], Vec<EventKind>); 7] = [
            (&[], &[], vec![]),
            (&[1, -2], &[-2, 1], vec![]),
            (&[], &[2, -3, 1], vec![linked(&[2, 1])]),
            (&[-1, -2], &[1, 2], vec![linked(&[1, 2])]),
            (&[1, 2, 3], &[-1, 2, -3], vec![unlinked(&[1, 3])]),
            (&[1, -2], &[-1, 2], vec![unlinked(&[1]), linked(&[2])]),
            // A shop that is no longer in the row is no longer linked.
            (&[1, 2], &[2], vec![unlinked(&[1])]),
        ];
        for (before, after, expected) in table {
            let rows = [before, after].map(|shops| with_shops(row("l", Active), shops));
            assert_eq!(kinds(Some(&rows[0]), Some(&rows[1])), expected, "{before:?} to {after:?}");
        }
        let began = with_shops(row("l", Active), &[1, -2]);
        assert_eq!(kinds(None, Some(&began)), [EventKind::Connected, linked(&[1])]);
        assert_eq!(kinds(Some(&began), None), [EventKind::Disconnected]);
        let replaced = with_shops(row("other", Active), &[1]);
        let expected = [EventKind::Disconnected, EventKind::Connected, linked(&[1])];
        assert_eq!(kinds(Some(&began), Some(&replaced)), expected);
    }

    #[test]
    fn a_linked_shop_that_is_lost_or_regained_is_named() {
        use ShopStanding::{Granted, Inactive, NoLongerGranted, Unconfirmed};

        let standings = |mut row: OpenRow, standings: &[ShopStanding]| {
            let shops = row.connection.shops.iter_mut().zip(standings);
            shops.for_each(|(shop, standing)| shop.standing = *standing);
            row
        };
        let lost = |shops: &[i64]| EventKind::ShopsLost { shops: ids(shops) };
        let regained = |shops: &[i64]| EventKind::ShopsRegained { shops: ids(shops) };
        // Shops 1 and 2 are linked, and shop 3 is not.
        let row_of = |status, all: [ShopStanding; 3]| standings(with_shops(row("l", status), &[1, 2, -3]), &all);
        let dead = ReauthorizationRequired(AuthorizationRevoked);
        let granted = row_of(Active, [Granted; 3]);
        let gone = row_of(Active, [Granted, NoLongerGranted, NoLongerGranted]);
        let ended = row_of(dead, [Unconfirmed, NoLongerGranted, Unconfirmed]);
        let unconfirmed = row_of(Active, [Unconfirmed, NoLongerGranted, Unconfirmed]);
        let inactive = row_of(Active, [Inactive; 3]);
        let table = [
            (&granted, &granted, vec![]),
            (&granted, &inactive, vec![]),
            (&granted, &gone, vec![lost(&[2])]),
            (&gone, &granted, vec![regained(&[2])]),
            (&gone, &gone, vec![]),
            (&granted, &ended, vec![DEAD, lost(&[1, 2])]),
            (&gone, &ended, vec![DEAD, lost(&[1])]),
            // The customer has given a new consent, but TikTok has not listed the shops yet.
            (&ended, &unconfirmed, vec![EventKind::Recovered]),
            (&unconfirmed, &gone, vec![regained(&[1])]),
            (&unconfirmed, &inactive, vec![regained(&[1, 2])]),
        ];
        for (before, after, expected) in table {
            assert_eq!(kinds(Some(before), Some(after)), expected, "{before:?} to {after:?}");
        }
        // If the same change links or unlinks a shop, only `ShopsLinked` or `ShopsUnlinked` contains the shop.
        let unlinked = standings(with_shops(row("l", Active), &[1, -2, 3]), &[Granted, NoLongerGranted, Granted]);
        let expected = [EventKind::ShopsUnlinked { shops: ids(&[2]) }, EventKind::ShopsLinked { shops: ids(&[3]) }];
        assert_eq!(kinds(Some(&granted), Some(&unlinked)), expected);
    }

    #[test]
    fn a_consent_and_a_forced_refresh_write_an_event_although_the_rows_are_alike() {
        use EventKind::{Connected, ConsentRenewed, Disconnected, Recovered, RefreshForced};

        let (active, dead) = (row("l", Active), row("l", ReauthorizationRequired(AuthorizationRevoked)));
        let mut later = row("l", Active);
        later.connection.granted_at = LATER;
        let table: [Case<'_>; 9] = [
            (Some(&active), Some(&active), Act::Consent, &[ConsentRenewed]),
            (Some(&active), Some(&later), Act::Consent, &[ConsentRenewed]),
            (Some(&dead), Some(&active), Act::Consent, &[ConsentRenewed, Recovered]),
            // The call that stored the consent ended before it wrote the row.
            (Some(&active), Some(&later), Act::Other, &[ConsentRenewed]),
            (Some(&active), Some(&later), Act::ForcedRefresh, &[ConsentRenewed, RefreshForced]),
            (Some(&active), Some(&active), Act::ForcedRefresh, &[RefreshForced]),
            (None, Some(&active), Act::ForcedRefresh, &[Connected, RefreshForced]),
            (None, Some(&active), Act::Consent, &[Connected]),
            (Some(&active), None, Act::ForcedRefresh, &[Disconnected]),
        ];
        for (before, after, act, expected) in table {
            assert_eq!(kinds_of(before, after, act), expected);
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
