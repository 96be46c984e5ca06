//! Events. A tenant's position is a row of its own: whoever appends holds it until all is written, so that positions become
//! visible in their order.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::connections::{reason, reason_word};
use super::error::storage_error;
use super::{
    Columns as _, Event, EventPosition, NewEvent, OnceDigest, SqlStorage, StorageError, TenantId, escaped, keyed,
    limited, malformed, number, seconds, statement,
};
use tiktok_shop_host::events::EventKind;

impl SqlStorage {
    pub(super) async fn events_after(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        let sql = "SELECT position, at, customer, account, kind, reason, ends_at, days FROM tiktok_shop_events \
                   WHERE tenant = $1 AND position > $2 ORDER BY position LIMIT $3";
        let query = statement(sql.to_owned())
            .bind(escaped(tenant.as_str()))
            .bind(after.map_or(0, |after| i64::try_from(after.0).unwrap_or(i64::MAX)))
            .bind(limited(limit));
        query.fetch_all(&self.readers).await.map_err(storage_error)?.iter().map(event).collect()
    }

    /// Appends them in their order.
    pub(super) async fn append(
        &self,
        transaction: &mut Transaction<'static, Any>,
        tenant: &TenantId,
        events: &[NewEvent],
    ) -> Result<(), sqlx::Error> {
        if events.is_empty() {
            return Ok(());
        }
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let sql = "INSERT INTO tiktok_shop_event_positions (tenant, last) VALUES ($1, $2) \
                   ON CONFLICT (tenant) DO UPDATE SET last = tiktok_shop_event_positions.last + $2 RETURNING last";
        let taken = statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(count);
        let last: i64 = taken.fetch_one(&mut **transaction).await?.try_get("last")?;
        for (event, position) in events.iter().zip(last - count + 1..) {
            let NewEvent { at, key, kind } = event;
            let (word, reason, ends, days) = words(*kind);
            let refused = |error: StorageError| sqlx::Error::Encode(error.to_string().into());
            let sql = "INSERT INTO tiktok_shop_events \
                       (tenant, customer, account, position, at, kind, reason, ends_at, days) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
            keyed(sql.to_owned(), tenant, key)
                .bind(position)
                .bind(seconds(*at).map_err(refused)?)
                .bind(word)
                .bind(reason)
                .bind(ends.map(number).transpose().map_err(refused)?)
                .bind(days)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn told_once(
        &self,
        tenant: &TenantId,
        once: &OnceDigest,
        event: &NewEvent,
    ) -> Result<bool, StorageError> {
        let mut transaction = self.begin().await?;
        let sql = "INSERT INTO tiktok_shop_told (tenant, customer, account, digest) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT DO NOTHING";
        let told = keyed(sql.to_owned(), tenant, &event.key).bind(once.as_bytes().to_vec());
        let is_first = told.execute(&mut *transaction).await.map_err(storage_error)?.rows_affected() > 0;
        if is_first {
            let events = std::slice::from_ref(event);
            self.append(&mut transaction, tenant, events).await.map_err(storage_error)?;
        }
        transaction.commit().await.map_err(storage_error)?;
        Ok(is_first)
    }
}

type Words = (&'static str, Option<&'static str>, Option<u64>, Option<i64>);

fn words(kind: EventKind) -> Words {
    match kind {
        EventKind::Connected => ("connected", None, None, None),
        EventKind::AuthorizationEnding { ends } => ("authorization-ending", None, Some(ends.0), None),
        EventKind::ReauthorizationRequired(reason) => {
            ("reauthorization-required", Some(reason_word(reason)), None, None)
        }
        EventKind::Recovered => ("recovered", None, None, None),
        EventKind::Disconnected => ("disconnected", None, None, None),
        EventKind::Notice { days, ends } => ("notice", None, Some(ends.0), Some(days.into())),
    }
}

fn event(row: &AnyRow) -> Result<Event, StorageError> {
    let kind = match row.text("kind")?.as_str() {
        "connected" => EventKind::Connected,
        "authorization-ending" => EventKind::AuthorizationEnding { ends: row.seconds("ends_at")? },
        "reauthorization-required" => {
            let reason = reason(&row.text("reason")?).ok_or_else(|| malformed("reason"))?;
            EventKind::ReauthorizationRequired(reason)
        }
        "recovered" => EventKind::Recovered,
        "disconnected" => EventKind::Disconnected,
        "notice" => EventKind::Notice {
            days: u8::try_from(row.whole("days")?).map_err(|_| malformed("days"))?,
            ends: row.seconds("ends_at")?,
        },
        _ => return Err(malformed("kind")),
    };
    let event = NewEvent { at: row.seconds("at")?, key: row.key()?, kind };
    Ok(Event { position: EventPosition(row.whole("position")?), event })
}
