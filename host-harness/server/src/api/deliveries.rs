//! `/v1/deliveries` and `/v1/webhook-endpoints`: the webhooks that the service sends, and their dead letters.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{CustomerId, TenantId};
use utoipa::ToSchema;

use super::connections::page_size;
use crate::caller::{Admin, Allowed, Read};
use crate::delivery::{
    Attempt, Delivery as Stored, DeliveryFilter, DeliveryId, DeliveryState, EndpointName, NewDelivery, content,
};
use crate::input::{JsonOf, PathOf, QueryOf};
use crate::problem::Problem;
use crate::state::{Shared, State as ServiceState, in_time};

/// The number of dead letters that are redelivered in one transaction.
const REDELIVERED_AT_ONCE: usize = 200;

/// A delivery in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfDelivery {
    /// The id of the delivery, which is the header `webhook-id`.
    #[param(max_length = 64)]
    delivery: String,
}

/// An endpoint in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfEndpoint {
    /// The name of the endpoint in the configuration.
    #[param(max_length = 64)]
    endpoint: String,
}

/// The page of a list of deliveries.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only deliveries in this state.
    #[param(inline)]
    state: Option<DeliveryState>,
    /// Only deliveries to the endpoint with this name.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9-]{1,64}$")]
    endpoint: Option<EndpointName>,
    /// Only deliveries about this customer.
    #[param(value_type = Option<String>, min_length = 1, max_length = 256)]
    customer: Option<CustomerId>,
    /// The `next_cursor` of the page before. Without it, the list begins with the oldest delivery.
    cursor: Option<String>,
    /// The maximum number of deliveries, 1 to 200. Default: 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A webhook to an endpoint of the platform.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Delivery {
    /// The header `webhook-id`.
    id: String,
    /// The name of the endpoint in the configuration.
    endpoint: String,
    /// `null` if the event concerns the whole tenant.
    #[schema(required)]
    customer: Option<String>,
    /// The member `type` of the body.
    #[serde(rename = "type")]
    event_type: String,
    /// `waiting`, `delivered`, or `dead` if the service does not send it again by itself.
    state: DeliveryState,
    /// When it was stored.
    stored_at: u64,
    /// When it was delivered, or became a dead letter.
    #[schema(required)]
    ended_at: Option<u64>,
    /// When the first waiting delivery of the same endpoint and customer may be sent. `null` if the delivery does not
    /// wait, or if the service could not read this time.
    #[schema(required)]
    due_at: Option<u64>,
    /// The latest attempts, oldest first. At most 30.
    attempts: Vec<Attempt>,
    /// The body of the webhook. It is missing in a list, and after the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    body: Option<Box<RawValue>>,
}

impl From<Stored> for Delivery {
    fn from(stored: Stored) -> Self {
        Self {
            id: stored.id.to_string(),
            endpoint: stored.endpoint.into(),
            customer: stored.customer.map(String::from),
            event_type: stored.event_type,
            state: stored.state,
            stored_at: stored.stored_at.0,
            ended_at: stored.ended_at.map(|at| at.0),
            due_at: stored.due_at.map(|at| at.0),
            attempts: stored.attempts,
            body: stored.body.and_then(|body| RawValue::from_string(body).ok()),
        }
    }
}

impl Delivery {
    /// Returns a delivery that was stored at this time, as far as the service knows it without the storage.
    fn of_new(new: NewDelivery, stored_at: UnixSeconds) -> Self {
        Self {
            id: new.id.to_string(),
            endpoint: new.endpoint.into(),
            customer: new.customer.map(String::from),
            event_type: new.event_type,
            state: DeliveryState::Waiting,
            stored_at: stored_at.0,
            ended_at: None,
            due_at: None,
            attempts: Vec::new(),
            body: RawValue::from_string(new.body).ok(),
        }
    }
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryPage {
    deliveries: Vec<Delivery>,
    /// Pass it as `cursor` to read the next page. `null` at the end of the list.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Which dead letters are sent again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redelivery {
    /// Only those to the endpoint with this name.
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9-]{1,64}$")]
    endpoint: Option<EndpointName>,
    /// Only those about this customer.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    customer: Option<CustomerId>,
}

/// How many dead letters wait again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Redelivered {
    redelivered: u64,
}

/// A configured endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointDetails {
    /// Its name in the configuration.
    name: String,
    /// The scheme, the host and the port of its address.
    origin: String,
    /// The types and groups of types that it gets. Empty: all.
    types: Vec<String>,
}

/// The endpoints of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointList {
    endpoints: Vec<EndpointDetails>,
}

fn unknown_delivery() -> Problem {
    Problem::not_found("unknown-delivery", "the tenant has no such delivery, or it was deleted after its end")
}

/// Lists the webhooks of the tenant, in the order in which they were stored.
///
/// With `state=dead`, lists the dead letters. A delivered webhook is kept for 7 days, and a dead letter for 30
/// days.
#[utoipa::path(
    get, path = "/v1/deliveries", tag = "webhooks", operation_id = "list_deliveries", params(Wanted),
    responses(
        (status = 200, description = "A page of deliveries", body = DeliveryPage),
    ),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    allowed: Allowed<Read>,
    QueryOf(wanted): QueryOf<Wanted>,
) -> Result<Json<DeliveryPage>, Problem> {
    let Wanted { state: wanted, endpoint, customer, cursor, limit } = wanted;
    let after = cursor.map(|cursor| cursor.parse::<u64>()).transpose();
    let after = after.map_err(|_| Problem::invalid_cursor())?;
    let limit = page_size(limit)?;
    let filter = DeliveryFilter { id: None, state: wanted, endpoint, customer };
    let found = in_time(state.outgoing.storage.list(&allowed.tenant, &filter, after, limit)).await?;
    let is_full = found.len() == limit;
    let next_cursor = found.last().filter(|_| is_full).map(|last| last.number.to_string());
    Ok(Json(DeliveryPage { deliveries: found.into_iter().map(Delivery::from).collect(), next_cursor }))
}

/// Shows a webhook with its attempts, and with its body as long as it is not delivered.
#[utoipa::path(
    get, path = "/v1/deliveries/{delivery}", tag = "webhooks", operation_id = "show_delivery", params(OfDelivery),
    responses(
        (status = 200, description = "The delivery", body = Delivery),
    ),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn show(
    State(state): State<Shared>,
    allowed: Allowed<Read>,
    PathOf(OfDelivery { delivery }): PathOf<OfDelivery>,
) -> Result<Json<Delivery>, Problem> {
    let id = DeliveryId::parse(&delivery).ok_or_else(unknown_delivery)?;
    let found = load(&state, &allowed.tenant, &id).await?.ok_or_else(unknown_delivery)?;
    Ok(Json(found.into()))
}

async fn load(state: &ServiceState, tenant: &TenantId, id: &DeliveryId) -> Result<Option<Stored>, StorageError> {
    in_time(state.outgoing.storage.load(tenant, id)).await
}

/// Sends a dead letter again, for three more days.
///
/// It keeps its id and its place: it is sent before all later webhooks of its customer that still wait.
#[utoipa::path(
    post, path = "/v1/deliveries/{delivery}/redeliver", tag = "webhooks", operation_id = "redeliver",
    params(OfDelivery),
    responses(
        (status = 200, description = "The delivery waits again", body = Delivery),
    ),
    security(("api-key" = ["admin"]))
)]
pub(crate) async fn redeliver(
    State(state): State<Shared>,
    allowed: Allowed<Admin>,
    PathOf(OfDelivery { delivery }): PathOf<OfDelivery>,
) -> Result<Json<Delivery>, Problem> {
    let id = DeliveryId::parse(&delivery).ok_or_else(unknown_delivery)?;
    let (tenant, now) = (&allowed.tenant, state.now());
    // The delivery is read before it is changed. If a read after the change failed, the answer would say that nothing
    // has changed.
    let found = load(&state, tenant, &id).await?.ok_or_else(unknown_delivery)?;
    let filter = DeliveryFilter { id: Some(id), ..DeliveryFilter::default() };
    let redelivered = in_time(state.outgoing.storage.redeliver(tenant, &filter, None, now, 1)).await?;
    if redelivered.is_empty() {
        return Err(Problem::refused(
            "not-dead",
            "only a dead letter can be sent again; this one is waiting or delivered",
        ));
    }
    state.outgoing.wake(tenant);
    let (state, ended_at, due_at) = (DeliveryState::Waiting, None, Some(now));
    Ok(Json(Stored { state, ended_at, due_at, ..found }.into()))
}

/// Sends all dead letters again, or those of an endpoint or of a customer, in their order.
#[utoipa::path(
    post, path = "/v1/deliveries/redeliver", tag = "webhooks", operation_id = "redeliver_all",
    request_body = Redelivery,
    responses(
        (status = 200, description = "The dead letters wait again", body = Redelivered),
    ),
    security(("api-key" = ["admin"]))
)]
pub(crate) async fn redeliver_all(
    State(state): State<Shared>,
    allowed: Allowed<Admin>,
    JsonOf(Redelivery { endpoint, customer }): JsonOf<Redelivery>,
) -> Result<Json<Redelivered>, Problem> {
    let filter = DeliveryFilter { id: None, state: None, endpoint, customer };
    let (mut redelivered, mut after) = (0, None);
    loop {
        let redeliver =
            state.outgoing.storage.redeliver(&allowed.tenant, &filter, after, state.now(), REDELIVERED_AT_ONCE);
        let page = in_time(redeliver).await?;
        redelivered += u64::try_from(page.len()).unwrap_or_default();
        // A letter that has died again meanwhile is not sent a third time, because the next page begins behind it.
        after = page.last().copied();
        if page.len() < REDELIVERED_AT_ONCE {
            break;
        }
    }
    state.outgoing.wake(&allowed.tenant);
    Ok(Json(Redelivered { redelivered }))
}

/// Lists the endpoints of the tenant, which only the configuration can change.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints", tag = "webhooks", operation_id = "list_webhook_endpoints",
    responses(
        (status = 200, description = "The endpoints", body = EndpointList),
    ),
    security(("api-key" = ["read"]))
)]
pub(crate) async fn endpoints(
    State(state): State<Shared>,
    allowed: Allowed<Read>,
) -> Result<Json<EndpointList>, Problem> {
    let details = |endpoint: &crate::delivery::Endpoint| EndpointDetails {
        name: endpoint.name.to_string(),
        origin: endpoint.address.origin(),
        types: endpoint.types.entries().to_vec(),
    };
    Ok(Json(EndpointList { endpoints: state.outgoing.endpoints(&allowed.tenant).map(details).collect() }))
}

/// Sends a webhook of the type `webhook.test` to an endpoint, to try it.
///
/// Read the outcome with its id.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint}/test", tag = "webhooks", operation_id = "test_webhook_endpoint",
    params(OfEndpoint),
    responses(
        (status = 202, description = "The webhook waits", body = Delivery),
    ),
    security(("api-key" = ["admin"]))
)]
pub(crate) async fn test(
    State(state): State<Shared>,
    allowed: Allowed<Admin>,
    PathOf(OfEndpoint { endpoint }): PathOf<OfEndpoint>,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    let tenant = &allowed.tenant;
    let found = endpoint.parse::<EndpointName>().ok().and_then(|name| state.outgoing.endpoint(tenant, &name));
    let unknown =
        || Problem::not_found("unknown-endpoint", "the configuration has no endpoint with this name for the tenant");
    let now = state.now();
    let delivery = content::test(found.ok_or_else(unknown)?, now)?;
    state.deliver(tenant, std::slice::from_ref(&delivery)).await?;
    // The webhook is stored now. So a read that fails must not make the answer say that nothing has changed.
    let read = load(&state, tenant, &delivery.id).await;
    let shown = match read {
        Ok(Some(stored)) => stored.into(),
        Ok(None) => Delivery::of_new(delivery, now),
        Err(error) => {
            tracing::warn!(%error, "a test of an endpoint is stored, and could not be read");
            Delivery::of_new(delivery, now)
        }
    };
    Ok((StatusCode::ACCEPTED, Json(shown)))
}
