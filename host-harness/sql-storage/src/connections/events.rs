//! The events of a tenant, in `tiktok_shop_events`.
//!
//! `tiktok_shop_event_positions` has one database row per tenant, with the position of the tenant's last event. A
//! transaction that appends events locks this database row until it commits. Writers of one tenant therefore wait for
//! each other, and events become visible in the order of their positions.

use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{ReauthorizationReason, UnixSeconds};
use tiktok_shop_host::events::{Event, EventKind, EventPosition, NewEvent};
use tiktok_shop_host::storage::StorageError;

use crate::sql::columns::{Columns as _, malformed};
use crate::sql::error::storage_error;
use crate::sql::statement::{BindValues as _, connection_statement, execute, statement};

/// Appends events in their order.
pub(super) async fn append(
    transaction: &mut Transaction<'static, Any>,
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
    let last: i64 = query.fetch_one(&mut **transaction).await.map_err(storage_error)?.value("last")?;
    for (event, position) in events.iter().zip(last - count + 1..) {
        let NewEvent { at, key, kind } = event;
        let KindValues { reason, ends_at, days } = KindValues::of(*kind)?;
        let sql = "INSERT INTO tiktok_shop_events \
                   (tenant, customer, account, position, at, kind, reason, ends_at, days) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let query = connection_statement(sql, tenant, key)
            .bind(position)
            .bind_seconds(*at)?
            .bind_text(kind.as_str())
            .bind_optional_text(reason.map(ReauthorizationReason::as_str))
            .bind_optional_seconds(ends_at)?
            .bind_optional_number(days.map(u64::from))?;
        execute(&mut **transaction, query).await?;
    }
    Ok(())
}

/// The values that belong to the kind of an event. Each kind has only some of these values.
#[derive(Default)]
struct KindValues {
    reason: Option<ReauthorizationReason>,
    ends_at: Option<UnixSeconds>,
    days: Option<u8>,
}

impl KindValues {
    fn of(kind: EventKind) -> Result<Self, StorageError> {
        match kind {
            EventKind::Connected | EventKind::Recovered | EventKind::Disconnected => Ok(Self::default()),
            EventKind::AuthorizationEnding { ends } => Ok(Self { ends_at: Some(ends), ..Self::default() }),
            EventKind::ReauthorizationRequired(reason) => Ok(Self { reason: Some(reason), ..Self::default() }),
            EventKind::Notice { days, ends } => Ok(Self { days: Some(days), ends_at: Some(ends), reason: None }),
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
        "authorization-ending" => EventKind::AuthorizationEnding { ends: row.seconds("ends_at")? },
        "reauthorization-required" => EventKind::ReauthorizationRequired(row.word("reason")?),
        "recovered" => EventKind::Recovered,
        "disconnected" => EventKind::Disconnected,
        "notice" => EventKind::Notice {
            days: u8::try_from(row.number("days")?).map_err(|_| malformed("days"))?,
            ends: row.seconds("ends_at")?,
        },
        _ => return Err(malformed("kind")),
    };
    let event = NewEvent { at: row.seconds("at")?, key: row.key()?, kind };
    Ok(Event { position: EventPosition(row.number("position")?), event })
}
