//! The events of a tenant, in `tiktok_shop_events`.
//!
//! `tiktok_shop_event_positions` has one database row per tenant, with the position of the tenant's last event. A
//! transaction that appends events locks this database row until it commits. Writers of one tenant therefore wait for
//! each other, and events become visible in the order of their positions.

use sqlx::any::AnyRow;
use tiktok_shop_host::connection::{ConnectionKey, ReauthorizationReason, UnixSeconds};
use tiktok_shop_host::events::{Actor, Cause, Event, EventKind, EventPosition, NewEvent, Origin, StatedReason};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{HostKeyId, ShopId, TenantId};

use crate::pool::transaction::Transaction;
use crate::sql::columns::{Columns as _, malformed};
use crate::sql::run::{execute, fetch_optional};
use crate::sql::statement::{Statement, numbered, statement};

/// The columns of an event, in the order in which [`append`] binds them. `tenant` is not among them.
pub(super) const COLUMNS: [&str; 13] = [
    "customer",
    "account",
    "position",
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

/// Creates a statement and binds tenant, customer and account as `$1` to `$3`. If the event concerns no connection,
/// customer and account are empty texts. No id is empty, so an empty text can't be confused with an id.
pub(super) fn subject_statement(sql: impl Into<String>, tenant: &TenantId, key: Option<&ConnectionKey>) -> Statement {
    let (customer, account) = key.map_or(("", ""), |key| (key.customer.as_str(), key.account.as_str()));
    statement(sql).bind_text(tenant.as_str()).bind_text(customer).bind_text(account)
}

/// Appends events in their order.
pub(super) async fn append(
    transaction: &mut Transaction,
    tenant: &TenantId,
    events: &[NewEvent],
) -> Result<(), StorageError> {
    if events.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let sql = "INSERT INTO tiktok_shop_event_positions (tenant, last) VALUES ($1, $2) \
               ON CONFLICT (tenant) DO UPDATE SET last = tiktok_shop_event_positions.last + $2 RETURNING last";
    let query = statement(sql).bind_text(tenant.as_str()).bind(count);
    let row = fetch_optional(&mut *transaction, query).await?.ok_or_else(|| malformed("last"))?;
    let last: i64 = row.value("last")?;
    for (event, position) in events.iter().zip(last - count + 1..) {
        let NewEvent { at, key, kind, origin } = event;
        let KindValues { reason, ends_at, days, shops, host_key } = KindValues::of(kind)?;
        let sql = format!(
            "INSERT INTO tiktok_shop_events (tenant, {}) VALUES ({})",
            COLUMNS.join(", "),
            numbered(1, 1 + COLUMNS.len())
        );
        let query = subject_statement(sql, tenant, key.as_ref())
            .bind(position)
            .bind_seconds(*at)?
            .bind_text(kind.as_str())
            .bind_optional_text(reason.map(ReauthorizationReason::as_str))
            .bind_optional_seconds(ends_at)?
            .bind_optional_number(days.map(u64::from))?
            .bind_optional_text(shops.as_deref())
            .bind_optional_text(host_key.map(HostKeyId::as_str))
            .bind_optional_text(origin.actor.as_ref().map(Actor::as_str))
            .bind_optional_text(origin.stated_reason.as_ref().map(StatedReason::as_str))
            .bind_optional_text(origin.cause.map(Cause::as_str));
        execute(&mut *transaction, query).await?;
    }
    Ok(())
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
            EventKind::Connected
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
            EventKind::KeysRotated { host_key } | EventKind::HostKeyRetired { host_key } => {
                Ok(Self { host_key: Some(host_key), ..Self::default() })
            }
            unknown => {
                Err(StorageError::Refused(format!("this storage can't keep events of the kind {}", unknown.as_str())))
            }
        }
    }
}

/// Reads an event.
pub(super) fn read_event(row: &AnyRow) -> Result<Event, StorageError> {
    let kind = match row.text("kind")?.as_str() {
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
