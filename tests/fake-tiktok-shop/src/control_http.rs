//! The control interface over HTTP: tests and people read and change the fake's state with JSON requests to paths under
//! `/_control`.
//!
//! Any web page that is open in a browser on this machine can make the browser send requests to this interface. The
//! interface refuses such requests: see [`refuse_other_sites`]. `openapi.json` documents the interface.

pub(crate) mod openapi;

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::another_system::MAX_SELLERS;
use crate::app::App;
use crate::consent::Decision;
use crate::consent_page::Link;
use crate::control::{Control, ControlError};
use crate::fault::{Fault, FaultScript, catalogue};
use crate::grants::GrantReport;
use crate::request_log::RequestRecord;
use crate::same_site::Cause;
use crate::seller::{Seller, Shop};
use crate::switches::EXPLANATIONS;
use crate::webhook::{WebhookDelivery, WebhookFate, WebhookReport};

/// Defines the router and the list of its paths together, so that a test can compare the paths with the OpenAPI
/// document.
macro_rules! routes {
    ($($path:literal => $methods:expr,)*) => {
        #[cfg(test)]
        const PATHS: &[&str] = &[$($path),*];

        fn routes() -> Router<Control> {
            Router::new()$(.route($path, $methods))*
        }
    };
}

routes! {
    "/" => get(describe),
    "/openapi.json" => get(async || ([(header::CONTENT_TYPE, "application/json")], openapi::TEXT)),
    "/clock" => get(show_clock).put(set_clock),
    "/clock/advance" => post(advance_clock),
    "/switches" => get(show_switches).patch(change_switches),
    "/requests" => get(show_requests).delete(clear_requests),
    "/faults" => get(show_faults).post(script_fault).delete(clear_faults),
    "/apps" => get(show_apps),
    "/grants" => get(show_grants).post(connect_in_another_system),
    "/sellers" => get(show_sellers),
    "/sellers/{seller}" => patch(change_seller),
    "/sellers/{seller}/deauthorize" => post(deauthorize),
    "/sellers/{seller}/restore" => post(restore_shop),
    "/sellers/{seller}/rotate" => post(rotate_tokens),
    "/sellers/{seller}/expire-access-tokens" => post(expire_access_tokens),
    "/sellers/{seller}/end" => post(end_authorization),
    "/sellers/{seller}/revoke" => post(revoke),
    "/sellers/{seller}/shops" => get(show_shops).post(add_shop),
    "/sellers/{seller}/shops/{shop}" => delete(remove_shop),
    "/webhooks" => get(show_webhooks).post(queue_webhook),
    "/webhooks/all" => get(show_all_webhooks),
    "/webhooks/send" => post(send_webhooks),
    "/webhooks/{number}/answer" => post(answer_webhook),
    "/webhooks/{number}/repeat" => post(repeat_webhook),
    "/consent" => post(consent),
}

pub(crate) fn router() -> Router<Control> {
    routes()
        .fallback(|| async {
            Refusal(StatusCode::NOT_FOUND, "no such operation; GET /_control lists the operations".to_owned())
        })
        .method_not_allowed_fallback(|| async {
            let text = "this method is not allowed here; GET /_control lists the operations";
            Refusal(StatusCode::METHOD_NOT_ALLOWED, text.to_owned())
        })
        .layer(from_fn(refuse_other_sites))
}

/// Refuses a request that a web page of another origin has caused. Also refuses a POST, PUT or PATCH request whose
/// content type is not `application/json`.
///
/// An older browser sends neither `Origin` nor `Sec-Fetch-Site` ([`Cause`]). But before a page may send the content
/// type `application/json` to another origin, the browser asks that origin for permission, and the fake never gives
/// this permission. Programs like curl may use the interface.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if Cause::of(headers) == Cause::OtherSite {
        let text = "another web site has caused this request; send it from a program, for example curl";
        return Refusal(StatusCode::FORBIDDEN, text.to_owned()).into_response();
    }
    let changes = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    if changes && !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        let text = "send the header content-type: application/json";
        return Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, text.to_owned()).into_response();
    }
    next.run(request).await
}

fn is_json(content_type: &HeaderValue) -> bool {
    let media_type = content_type.to_str().ok().and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// An error answer: `{"error": "…"}`.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::NoWorkingToken(_)
            | ControlError::NotAuthorized(_)
            | ControlError::ShopExists(_)
            | ControlError::ShopGranted(_) => StatusCode::CONFLICT,
            ControlError::NotLoopback(_) | ControlError::UnknownReceiver(_) => StatusCode::BAD_REQUEST,
            ControlError::ForgottenWebhook(_)
            | ControlError::UnknownAppKey(_)
            | ControlError::UnknownRefreshToken
            | ControlError::UnknownSeller { .. }
            | ControlError::UnknownService(_)
            | ControlError::UnknownShop(_)
            | ControlError::UnknownWebhook(_) => StatusCode::NOT_FOUND,
        };
        Self(status, error.to_string())
    }
}

/// The media type of JSON lines: one JSON value per line.
const JSON_LINES: &str = "application/jsonl";

type Outcome = Result<Json<Value>, Refusal>;

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

async fn describe() -> Json<Value> {
    let operations = openapi::groups().iter().flat_map(|group| &group.operations).map(|operation| {
        let call = format!("{} {}", operation.method, operation.path);
        let does = match &operation.description {
            Some(description) => format!("{} {description}", operation.summary),
            None => operation.summary.clone(),
        };
        match &operation.body {
            None => json!({ "call": call, "does": does }),
            Some(body) => json!({ "call": call, "body": body, "does": does }),
        }
    });
    let switches = EXPLANATIONS
        .iter()
        .map(|switch| json!({ "name": switch.name, "values": switch.values, "question": switch.question }));
    Json(json!({
        "openapi": "/_control/openapi.json",
        "operations": operations.collect::<Value>(),
        "switches": switches.collect::<Value>(),
    }))
}

async fn show_clock(State(control): State<Control>) -> Json<Value> {
    let clock = control.clock();
    Json(json!({ "now": clock.now(), "ticking": clock.is_ticking() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetClock {
    now: u64,
}

async fn set_clock(State(control): State<Control>, body: Bytes) -> Outcome {
    let SetClock { now } = parse(&body)?;
    control.set_now(now);
    Ok(show_clock(State(control)).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceClock {
    seconds: u64,
}

async fn advance_clock(State(control): State<Control>, body: Bytes) -> Outcome {
    let AdvanceClock { seconds } = parse(&body)?;
    control.advance(Duration::from_secs(seconds));
    Ok(show_clock(State(control)).await)
}

async fn show_switches(State(control): State<Control>) -> Json<Value> {
    Json(control.switches().to_json())
}

async fn change_switches(State(control): State<Control>, body: Bytes) -> Outcome {
    let changes = parse(&body)?;
    control
        .with(|marketplace| {
            marketplace.switches = marketplace.switches.merged(changes)?;
            Ok(Json(marketplace.switches.to_json()))
        })
        .map_err(|error: String| Refusal(StatusCode::BAD_REQUEST, error))
}

async fn show_requests(State(control): State<Control>) -> Json<Vec<RequestRecord>> {
    Json(control.requests().iter().map(RequestRecord::masked).collect())
}

async fn clear_requests(State(control): State<Control>) -> Json<Value> {
    control.clear_requests();
    Json(json!([]))
}

async fn show_faults(State(control): State<Control>) -> Json<Value> {
    let names: Vec<_> = catalogue().into_iter().map(|(name, _)| name).collect();
    Json(json!({ "scripted": control.faults(), "catalogue": names }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFault {
    path: String,
    name: String,
    #[serde(default)]
    fault: Option<Fault>,
    #[serde(default)]
    times: Option<u64>,
}

async fn script_fault(State(control): State<Control>, body: Bytes) -> Outcome {
    let ScriptFault { path, name, fault, times } = parse(&body)?;
    let fault = fault.or_else(|| Fault::named(&name)).ok_or_else(|| {
        let text = format!("no fault {name:?} in the catalogue; GET /_control/faults lists the names");
        Refusal(StatusCode::NOT_FOUND, text)
    })?;
    control.with(|marketplace| marketplace.faults.add(&path, &name, fault, times));
    Ok(show_faults(State(control)).await)
}

async fn clear_faults(State(control): State<Control>) -> Json<Vec<FaultScript>> {
    Json(control.clear_faults())
}

async fn show_apps(State(control): State<Control>) -> Json<Value> {
    let apps = control.apps().into_iter().map(|app| {
        json!({
            "name": app.name,
            "app_key": app.app_key,
            "app_secret": app.app_secret,
            "service_id": app.service_id,
            "scopes": app.scopes,
            "redirect_address": app.redirect_address,
            "market": app.market,
            "authorization_link": app.authorization_link(),
        })
    });
    Json(apps.collect())
}

async fn show_grants(State(control): State<Control>) -> Json<Vec<GrantReport>> {
    Json(control.grants())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectInAnotherSystem {
    service_id: String,
    sellers: u32,
}

/// Answers with JSON lines, because the command `import` of `tiktok-shop-harness` reads a file of JSON lines.
async fn connect_in_another_system(State(control): State<Control>, body: Bytes) -> Result<Response, Refusal> {
    let ConnectInAnotherSystem { service_id, sellers } = parse(&body)?;
    if !(1..=MAX_SELLERS).contains(&sellers) {
        return Err(Refusal(StatusCode::BAD_REQUEST, format!("sellers is not a number from 1 to {MAX_SELLERS}")));
    }
    let lines = control.connect_in_another_system(&service_id, sellers)?;
    Ok(([(header::CONTENT_TYPE, JSON_LINES)], lines).into_response())
}

async fn show_sellers(State(control): State<Control>) -> Json<Value> {
    let sellers = control.sellers().into_iter().map(|seller| {
        json!({
            "id": seller.id,
            "name": seller.name,
            "base_region": seller.base_region,
            "user_type": seller.user_type,
            "authorization_lasts_seconds": seller.authorization_lasts.as_secs(),
            "granted_scopes": seller.granted_scopes,
            "shops": shops(&seller),
        })
    });
    Json(sellers.collect())
}

async fn show_shops(State(control): State<Control>, Path(seller): Path<String>) -> Outcome {
    Ok(control.with(|marketplace| marketplace.seller(&seller).map(|seller| Json(shops(seller))))?)
}

/// Returns the seller's list of shops. The list contains no ciphers, because ciphers are secrets.
fn shops(seller: &Seller) -> Value {
    seller.shops.iter().map(|shop| shop.row(None)).collect()
}

async fn add_shop(State(control): State<Control>, Path(seller): Path<String>, body: Bytes) -> Outcome {
    let shop: Shop = parse(&body)?;
    control.add_shop(&seller, shop)?;
    show_shops(State(control), Path(seller)).await
}

async fn remove_shop(State(control): State<Control>, Path((seller, shop)): Path<(String, String)>) -> Outcome {
    control.remove_shop(&seller, &shop)?;
    show_shops(State(control), Path(seller)).await
}

async fn end_authorization(State(control): State<Control>, Path(seller): Path<String>) -> Outcome {
    control.end_authorization(&seller)?;
    Ok(Json(json!({ "seller": seller, "authorizations": "ended" })))
}

async fn revoke(State(control): State<Control>, Path(seller): Path<String>) -> Outcome {
    control.revoke(&seller)?;
    Ok(Json(json!({ "seller": seller, "authorizations": "revoked" })))
}

async fn expire_access_tokens(State(control): State<Control>, Path(seller): Path<String>) -> Outcome {
    control.end_access_tokens(&seller)?;
    Ok(Json(json!({ "seller": seller, "access_tokens": "expired" })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateTokens {
    service_id: String,
}

async fn rotate_tokens(State(control): State<Control>, Path(seller): Path<String>, body: Bytes) -> Outcome {
    let RotateTokens { service_id } = parse(&body)?;
    control.rotate_tokens(&service_id, &seller)?;
    Ok(Json(json!({ "seller": seller, "tokens": "rotated" })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreShop {
    service_id: String,
    shop: String,
}

async fn restore_shop(State(control): State<Control>, Path(seller): Path<String>, body: Bytes) -> Outcome {
    let RestoreShop { service_id, shop } = parse(&body)?;
    control.restore_shop(&service_id, &seller, &shop)?;
    Ok(Json(json!({ "seller": seller, "restored": shop })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deauthorize {
    service_id: String,
    #[serde(default)]
    shop: Option<String>,
}

async fn deauthorize(State(control): State<Control>, Path(seller): Path<String>, body: Bytes) -> Outcome {
    let Deauthorize { service_id, shop } = parse(&body)?;
    match &shop {
        Some(shop) => control.deauthorize_shop(&service_id, &seller, shop)?,
        None => control.deauthorize(&service_id, &seller)?,
    }
    Ok(Json(json!({ "seller": seller, "deauthorized": shop })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeSeller {
    authorization_lasts_seconds: u64,
}

async fn change_seller(State(control): State<Control>, Path(seller): Path<String>, body: Bytes) -> Outcome {
    let ChangeSeller { authorization_lasts_seconds } = parse(&body)?;
    let lasts = Duration::from_secs(authorization_lasts_seconds);
    control.update_seller(&seller, |seller| seller.authorization_lasts = lasts)?;
    Ok(Json(json!({ "seller": seller, "authorization_lasts_seconds": authorization_lasts_seconds })))
}

async fn show_webhooks(State(control): State<Control>) -> Json<Vec<WebhookDelivery>> {
    Json(control.webhooks_due())
}

async fn show_all_webhooks(State(control): State<Control>) -> Json<Vec<WebhookReport>> {
    Json(control.webhooks())
}

async fn repeat_webhook(State(control): State<Control>, Path(number): Path<u64>) -> Outcome {
    Ok(Json(json!({ "number": control.repeat_webhook(number)? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueWebhook {
    service_id: String,
    r#type: u32,
    #[serde(default)]
    shop_id: Option<String>,
    data: Value,
}

async fn queue_webhook(State(control): State<Control>, body: Bytes) -> Outcome {
    let QueueWebhook { service_id, r#type, shop_id, data } = parse(&body)?;
    let id = control.queue_webhook(&service_id, r#type, shop_id.as_deref(), data)?;
    Ok(Json(json!({ "tts_notification_id": id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerWebhook {
    #[serde(default)]
    status: Option<u16>,
}

async fn answer_webhook(State(control): State<Control>, Path(number): Path<u64>, body: Bytes) -> Outcome {
    let AnswerWebhook { status } = parse(&body)?;
    let fate = control.webhook_answered(number, status)?;
    Ok(Json(fates([(number, fate)])))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendWebhooks {
    to: String,
    path: String,
}

async fn send_webhooks(State(control): State<Control>, body: Bytes) -> Outcome {
    let SendWebhooks { to, path } = parse(&body)?;
    let to = control.receiver(&to).await?;
    Ok(Json(fates(control.send_webhooks(to, &path).await?)))
}

fn fates(fates: impl IntoIterator<Item = (u64, WebhookFate)>) -> Value {
    fates.into_iter().map(|(number, fate)| json!({ "number": number, "fate": fate })).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Consent {
    #[serde(default)]
    service_id: Option<String>,
    #[serde(default)]
    app_key: Option<String>,
    seller: String,
    #[serde(default)]
    state: Option<String>,
    decision: Decision,
}

async fn consent(State(control): State<Control>, body: Bytes) -> Outcome {
    let Consent { service_id, app_key, seller, state, decision } = parse(&body)?;
    let (link, named) = match (service_id, app_key) {
        (Some(service_id), None) => (Link::ServiceId, service_id),
        (None, Some(app_key)) => (Link::AppKey, app_key),
        (None, None) | (Some(_), Some(_)) => {
            let text = "name the app by service_id or by app_key, not by both";
            return Err(Refusal(StatusCode::BAD_REQUEST, text.to_owned()));
        }
    };
    let (callback_query, redirect) = control.with(|marketplace| {
        let App { service_id, .. } = link.app(marketplace, &named)?;
        let query = marketplace.decide(&service_id, &seller, state.as_deref(), decision)?;
        let redirect = marketplace.callback_address(&service_id, &query)?;
        Ok::<_, ControlError>((query, redirect))
    })?;
    Ok(Json(json!({ "callback_query": callback_query, "redirect": redirect })))
}
