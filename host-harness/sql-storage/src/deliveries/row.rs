//! The columns of a delivery.

use sqlx::Row as _;
use sqlx::any::AnyRow;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_server::delivery::{Attempt, Delivery, DeliveryFilter, DeliveryId, DeliveryState, EndpointName};

use crate::sql::columns::{Columns as _, malformed};

/// The columns of every read.
pub(super) const COLUMNS: &str =
    "id, number, endpoint, customer, event_type, state, stored_at, waiting_since, ended_at, tries, attempts";
/// The column that a list does not read.
pub(super) const BODY: &str = "body";
/// The time at which the queue of a waiting delivery is due.
pub(super) const DUE_AT: &str = "(SELECT q.due_at FROM tiktok_shop_delivery_queues q WHERE q.tenant = d.tenant \
                                 AND q.endpoint = d.endpoint AND q.customer = d.customer AND d.state = 'waiting') \
                                 AS due_at";

/// Reads a delivery.
pub(super) fn read_delivery(row: &AnyRow) -> Result<Delivery, StorageError> {
    let has_due_at = row.try_column("due_at").is_ok();
    let customer = row.text("customer")?;
    let customer = if customer.is_empty() { None } else { Some(row.id("customer")?) };
    // Attempts are only shown. One that a newer release has written in another form must not stop all deliveries.
    let attempts: Vec<serde_json::Value> = serde_json::from_str(&row.text("attempts")?).unwrap_or_default();
    Ok(Delivery {
        id: DeliveryId::parse(&row.text("id")?).ok_or_else(|| malformed("id"))?,
        number: row.number("number")?,
        endpoint: row.id::<EndpointName>("endpoint")?,
        customer,
        event_type: row.text("event_type")?,
        state: DeliveryState::parse(&row.text("state")?).ok_or_else(|| malformed("state"))?,
        stored_at: row.seconds("stored_at")?,
        waiting_since: row.seconds("waiting_since")?,
        ended_at: row.optional_seconds("ended_at")?,
        tries: u32::try_from(row.number("tries")?).unwrap_or(u32::MAX),
        attempts: attempts.into_iter().filter_map(|attempt| serde_json::from_value(attempt).ok()).collect(),
        due_at: if has_due_at { row.optional_seconds("due_at")? } else { None },
        body: row.optional_text("body")?,
    })
}

/// Returns the attempts as JSON text.
pub(super) fn attempts_text(attempts: &[Attempt]) -> Result<String, StorageError> {
    serde_json::to_string(attempts).map_err(|error| StorageError::Refused(error.to_string()))
}

/// Returns the SQL text of a filter, which begins with ` AND` unless it is empty, and the values of its parameters.
/// `first` is the number of the first parameter.
pub(super) fn condition(filter: &DeliveryFilter, first: usize) -> (String, Vec<&str>) {
    let DeliveryFilter { id, state, endpoint, customer } = filter;
    // A customer has fewer deliveries than an endpoint. SQLite does not know that, so the SQL writes `endpoint || ''`.
    // SQLite then does not use the index of the endpoint. Only the index of the waiting deliveries contains both.
    let hides_endpoint = customer.is_some() && *state != Some(DeliveryState::Waiting);
    let members = [
        ("id", id.as_ref().map(DeliveryId::as_str)),
        (if hides_endpoint { "endpoint || ''" } else { "endpoint" }, endpoint.as_ref().map(EndpointName::as_str)),
        ("customer", customer.as_ref().map(|customer| customer.as_str())),
    ];
    // The indexes of some states contain only these, so the state is a part of the text.
    let mut text = state.map(|state| format!(" AND state = '{}'", state.as_str())).unwrap_or_default();
    let mut values = Vec::new();
    for (column, value) in members {
        if let Some(value) = value {
            text.push_str(&format!(" AND {column} = ${}", first + values.len()));
            values.push(value);
        }
    }
    (text, values)
}
