//! The events of a tenant, in `tiktok_shop_events`.
//!
//! `tiktok_shop_event_positions` has one database row per tenant, with the position of the tenant's last event. A
//! transaction that appends events locks this database row until it commits. Writers of one tenant therefore wait for
//! each other, and events become visible in the order of their positions.

use sqlx::any::AnyRow;
use tiktok_shop_host::connection::{ConnectionKey, ReauthorizationReason, UnixSeconds};
use tiktok_shop_host::events::{Actor, Cause, Event, EventKind, EventPosition, NewEvent, Origin, StatedReason};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{HostKeyId, ShopId};

use crate::sql::columns::{Columns as _, malformed};
use crate::sql::dialect::Dialect;
use crate::sql::statement::{Statement, numbered};
use crate::sql::together::Together;

/// The columns of an event, in the order in which [`bind_event`] binds them. `tenant` and `position` are not among them.
pub(super) const COLUMNS: [&str; 12] = [
    "customer",
    "account",
    "at",
    "kind",
    "reason",
    "ends_at",
    "days",
    "shops",
    "host_key",
    "actor",
    "stated_reason",
    "cause",
];

/// Binds customer and account, in this order. If the event concerns no connection, both are empty texts. No id is empty,
/// so an empty text can't be confused with an id.
pub(super) fn bind_subject(query: Statement, key: Option<&ConnectionKey>) -> Statement {
    let (customer, account) = key.map_or(("", ""), |key| (key.customer.as_str(), key.account.as_str()));
    query.bind_text(customer).bind_text(account)
}

/// Adds the writes that append events in their order. `$1` must be the tenant.
pub(super) fn append(writes: &mut Together, dialect: &Dialect, events: &[NewEvent]) -> Result<(), StorageError> {
    if events.is_empty() {
        return Ok(());
    }
    let (count, condition) = (events.len(), writes.will_write.clone());
    writes.add_before(
        "positions",
        format!(
            "INSERT INTO tiktok_shop_event_positions (tenant, last) SELECT $1, {count} WHERE {condition} \
             ON CONFLICT (tenant) DO UPDATE SET last = tiktok_shop_event_positions.last + {count}{}",
            match dialect {
                Dialect::Sqlite(_) => "",
                Dialect::Postgres => " RETURNING tenant, last",
            }
        ),
    );
    let positions = match dialect {
        Dialect::Sqlite(_) => "tiktok_shop_event_positions",
        Dialect::Postgres => "positions",
    };
    for (index, event) in events.iter().enumerate() {
        let first = writes.next_parameter();
        let insert = format!(
            "INSERT INTO tiktok_shop_events (tenant, position, {}) SELECT $1, p.last - {}, {} \
             FROM {positions} p WHERE p.tenant = $1 AND {condition}",
            COLUMNS.join(", "),
            count - 1 - index,
            numbered(first, COLUMNS.len())
        );
        writes.add_before(&format!("event_{index}"), insert);
        writes.bind(|values| bind_event(values, event))?;
    }
    Ok(())
}

/// Binds the values of [`COLUMNS`].
fn bind_event(query: Statement, event: &NewEvent) -> Result<Statement, StorageError> {
    let NewEvent { at, key, kind, origin } = event;
    let KindValues { reason, ends_at, days, shops, host_key } = KindValues::of(kind)?;
    Ok(bind_subject(query, key.as_ref())
        .bind_seconds(*at)?
        .bind_text(kind.as_str())
        .bind_optional_text(reason.map(ReauthorizationReason::as_str))
        .bind_optional_seconds(ends_at)?
        .bind_optional_number(days.map(u64::from))?
        .bind_optional_text(shops.as_deref())
        .bind_optional_text(host_key.map(HostKeyId::as_str))
        .bind_optional_text(origin.actor.as_ref().map(Actor::as_str))
        .bind_optional_text(origin.stated_reason.as_ref().map(StatedReason::as_str))
        .bind_optional_text(origin.cause.map(Cause::as_str)))
}

/// The values that belong to the kind of an event. Each kind has only some of these values.
#[derive(Default)]
struct KindValues<'a> {
    reason: Option<ReauthorizationReason>,
    ends_at: Option<UnixSeconds>,
    days: Option<u8>,
    /// A JSON array of shop ids.
    shops: Option<String>,
    host_key: Option<&'a HostKeyId>,
}

impl<'a> KindValues<'a> {
    fn of(kind: &'a EventKind) -> Result<Self, StorageError> {
        match kind {
            EventKind::InstallBegun
            | EventKind::InstallCancelled
            | EventKind::Connected
            | EventKind::ConsentRenewed
            | EventKind::RefreshForced
            | EventKind::TokenShown
            | EventKind::GrantExported
            | EventKind::Recovered
            | EventKind::Disconnected
            | EventKind::TenantErased => Ok(Self::default()),
            EventKind::ShopsLinked { shops }
            | EventKind::ShopsUnlinked { shops }
            | EventKind::ShopsLost { shops }
            | EventKind::ShopsRegained { shops } => {
                let shops = serde_json::to_string(shops).map_err(|error| StorageError::Refused(error.to_string()))?;
                Ok(Self { shops: Some(shops), ..Self::default() })
            }
            EventKind::AuthorizationEnding { ends } => Ok(Self { ends_at: Some(*ends), ..Self::default() }),
            EventKind::ReauthorizationRequired(reason) => Ok(Self { reason: Some(*reason), ..Self::default() }),
            EventKind::Notice { days, ends } => Ok(Self { days: Some(*days), ends_at: Some(*ends), ..Self::default() }),
            EventKind::HostKeyAdded { host_key }
            | EventKind::HostKeyPromoted { host_key }
            | EventKind::KeysRotated { host_key }
            | EventKind::HostKeyRetired { host_key } => Ok(Self { host_key: Some(host_key), ..Self::default() }),
            unknown => {
                Err(StorageError::Refused(format!("this storage can't keep events of the kind {}", unknown.as_str())))
            }
        }
    }
}

/// Reads an event.
pub(super) fn read_event(row: &AnyRow) -> Result<Event, StorageError> {
    let kind = match row.text("kind")?.as_str() {
        "install-begun" => EventKind::InstallBegun,
        "install-cancelled" => EventKind::InstallCancelled,
        "connected" => EventKind::Connected,
        "consent-renewed" => EventKind::ConsentRenewed,
        "shops-linked" => EventKind::ShopsLinked { shops: read_shops(row)? },
        "shops-unlinked" => EventKind::ShopsUnlinked { shops: read_shops(row)? },
        "shops-lost" => EventKind::ShopsLost { shops: read_shops(row)? },
        "shops-regained" => EventKind::ShopsRegained { shops: read_shops(row)? },
        "refresh-forced" => EventKind::RefreshForced,
        "token-shown" => EventKind::TokenShown,
        "grant-exported" => EventKind::GrantExported,
        "authorization-ending" => EventKind::AuthorizationEnding { ends: row.seconds("ends_at")? },
        "reauthorization-required" => EventKind::ReauthorizationRequired(row.word("reason")?),
        "recovered" => EventKind::Recovered,
        "disconnected" => EventKind::Disconnected,
        "notice" => EventKind::Notice {
            days: u8::try_from(row.number("days")?).map_err(|_| malformed("days"))?,
            ends: row.seconds("ends_at")?,
        },
        "host-key-added" => EventKind::HostKeyAdded { host_key: row.id("host_key")? },
        "host-key-promoted" => EventKind::HostKeyPromoted { host_key: row.id("host_key")? },
        "keys-rotated" => EventKind::KeysRotated { host_key: row.id("host_key")? },
        "host-key-retired" => EventKind::HostKeyRetired { host_key: row.id("host_key")? },
        "tenant-erased" => EventKind::TenantErased,
        _ => return Err(malformed("kind")),
    };
    let key = if row.text("customer")?.is_empty() { None } else { Some(row.key()?) };
    let origin = Origin {
        actor: row.optional_word("actor")?,
        stated_reason: row.optional_word("stated_reason")?,
        cause: row.optional_word("cause")?,
    };
    let event = NewEvent { at: row.seconds("at")?, key, kind, origin };
    Ok(Event { position: EventPosition(row.number("position")?), event })
}

fn read_shops(row: &AnyRow) -> Result<Vec<ShopId>, StorageError> {
    serde_json::from_str(&row.text("shops")?).map_err(|_| malformed("shops"))
}
