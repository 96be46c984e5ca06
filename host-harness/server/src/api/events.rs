//! `GET /v1/events`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tiktok_shop_host::events::EventPosition;

use super::connections::page_size;
use crate::caller::{Allowed, Read};
use crate::input::QueryOf;
use crate::model::{Event, EventPage};
use crate::problem::Problem;
use crate::state::{Shared, in_time};

/// The page of a list of events.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The `next_cursor` of the page before. Without it, the list begins with the first event.
    cursor: Option<String>,
    /// The maximum number of events, 1 to 200. Default: 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Lists the events of the tenant in order.
///
/// Keep `next_cursor` after the events are processed, and continue there. An empty page means that there is no
/// later event yet.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "list_events", params(Wanted),
    responses(
        (status = 200, description = "A page of events", body = EventPage),
    ),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    allowed: Allowed<Read>,
    QueryOf(Wanted { cursor, limit }): QueryOf<Wanted>,
) -> Result<Json<EventPage>, Problem> {
    let after = cursor.map(|cursor| cursor.parse().map(EventPosition)).transpose();
    let after = after.map_err(|_| Problem::invalid_cursor())?;
    // A database keeps positions as signed numbers.
    let after = after.map(|EventPosition(position)| EventPosition(position.min(i64::MAX.unsigned_abs())));
    let limit = page_size(limit)?;
    let page = in_time(state.storage.events(&allowed.tenant, after, limit)).await?;
    let last = page.last().map(|event| event.position).or(after);
    let next_cursor = last.map(|EventPosition(position)| position.to_string());
    Ok(Json(EventPage { events: page.iter().map(Event::from).collect(), next_cursor }))
}
