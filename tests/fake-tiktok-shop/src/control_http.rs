//! The control interface over HTTP: JSON under `/_control`. Bodies are read as JSON whatever their content type.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::consent::Decision;
use crate::control::{Control, ControlError};
use crate::fault::{Fault, FaultScript, catalogue};
use crate::request_log::RequestRecord;
use crate::seller::{Seller, Shop};
use crate::switches::EXPLANATIONS;

/// One operation, for people.
pub(crate) struct Operation {
    pub call: &'static str,
    pub body: &'static str,
    pub does: &'static str,
}

pub(crate) const OPERATIONS: [Operation; 19] = [
    Operation { call: "GET /_control", body: "", does: "Describes the control interface and every switch." },
    Operation { call: "GET /_control/clock", body: "", does: "The fake's time in Unix seconds, and whether it ticks." },
    Operation { call: "PUT /_control/clock", body: r#"{"now": 1767225600}"#, does: "Sets the clock." },
    Operation {
        call: "POST /_control/clock/advance",
        body: r#"{"seconds": 604800}"#,
        does: "Moves the clock forward.",
    },
    Operation { call: "GET /_control/switches", body: "", does: "The switches as they are." },
    Operation {
        call: "PATCH /_control/switches",
        body: r#"{"refusal_error": "access_denied"}"#,
        does: "Sets the switches that are named.",
    },
    Operation { call: "GET /_control/requests", body: "", does: "The requests seen, with secrets masked." },
    Operation { call: "DELETE /_control/requests", body: "", does: "Forgets the requests seen." },
    Operation { call: "GET /_control/faults", body: "", does: "The faults scripted and not used up; names to script." },
    Operation {
        call: "POST /_control/faults",
        body: r#"{"path": "/api/v2/token/get", "name": "HTTP 429, Retry-After: 7", "times": 1}"#,
        does: "Lets the next requests to a path meet a fault; without times every one. A fault of your own goes along as \
               fault, for example {\"acts\": true, \"sends\": [{\"text\": \"HTTP/1.1 200 OK\\r\\n\"}], \"then\": \"reset\"}.",
    },
    Operation {
        call: "DELETE /_control/faults",
        body: "",
        does: "Takes the scripts away and returns the unused ones.",
    },
    Operation { call: "GET /_control/apps", body: "", does: "The apps, with their (invented) secrets." },
    Operation { call: "GET /_control/sellers", body: "", does: "The sellers and their shops." },
    Operation {
        call: "POST /_control/consent",
        body: r#"{"service_id": "…", "seller": "one-shop", "state": "…", "decision": "allow"}"#,
        does: "Decides on the consent page (allow or refuse; state is optional) and returns the callback.",
    },
    Operation {
        call: "POST /_control/sellers/{seller}/end",
        body: "",
        does: "Lets the seller's authorizations run out: a refresh gets 36004001.",
    },
    Operation {
        call: "POST /_control/sellers/{seller}/revoke",
        body: "",
        does: "Takes the seller's authorizations back: a refresh gets 36004005, a call 105001.",
    },
    Operation { call: "GET /_control/sellers/{seller}/shops", body: "", does: "The seller's shops." },
    Operation {
        call: "POST /_control/sellers/{seller}/shops",
        body: r#"{"id": "7490000000000000042", "name": "…", "region": "GB", "seller_type": "LOCAL", "cipher": "…", "code": "…", "extra": {}}"#,
        does: "Adds a shop; cipher and extra (further members of its row) are optional.",
    },
    Operation { call: "DELETE /_control/sellers/{seller}/shops/{shop}", body: "", does: "Removes a shop." },
];

pub(crate) fn router() -> Router<Control> {
    Router::new()
        .route("/", get(describe))
        .route("/clock", get(show_clock).put(set_clock))
        .route("/clock/advance", post(advance_clock))
        .route("/switches", get(show_switches).patch(change_switches))
        .route("/requests", get(show_requests).delete(clear_requests))
        .route("/faults", get(show_faults).post(script_fault).delete(clear_faults))
        .route("/apps", get(show_apps))
        .route("/sellers", get(show_sellers))
        .route("/sellers/{seller}/end", post(end_authorization))
        .route("/sellers/{seller}/revoke", post(revoke))
        .route("/sellers/{seller}/shops", get(show_shops).post(add_shop))
        .route("/sellers/{seller}/shops/{shop}", delete(remove_shop))
        .route("/consent", post(consent))
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "no such operation; GET /_control lists them".to_owned()) })
        .method_not_allowed_fallback(|| async {
            let text = "not with this method; GET /_control lists the operations";
            Refusal(StatusCode::METHOD_NOT_ALLOWED, text.to_owned())
        })
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
            ControlError::ShopExists(_) => StatusCode::CONFLICT,
            ControlError::UnknownRefreshToken
            | ControlError::UnknownSeller(_)
            | ControlError::UnknownService(_)
            | ControlError::UnknownShop(_) => StatusCode::NOT_FOUND,
        };
        Self(status, error.to_string())
    }
}

type Outcome = Result<Json<Value>, Refusal>;

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

async fn describe() -> Json<Value> {
    let operations = OPERATIONS.map(|Operation { call, body, does }| match body {
        "" => json!({ "call": call, "does": does }),
        _ => json!({ "call": call, "body": body, "does": does }),
    });
    let switches =
        EXPLANATIONS.map(|switch| json!({ "name": switch.name, "values": switch.values, "question": switch.question }));
    Json(json!({ "operations": operations, "switches": switches }))
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
        })
    });
    Json(apps.collect())
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

/// The rows of the seller's listing without the ciphers, which are secret-like.
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Consent {
    service_id: String,
    seller: String,
    #[serde(default)]
    state: Option<String>,
    decision: Decision,
}

async fn consent(State(control): State<Control>, body: Bytes) -> Outcome {
    let Consent { service_id, seller, state, decision } = parse(&body)?;
    let (callback_query, redirect) = control.with(|marketplace| {
        let query = marketplace.decide(&service_id, &seller, state.as_deref(), decision)?;
        let redirect = marketplace.callback_address(&service_id, &query)?;
        Ok::<_, ControlError>((query, redirect))
    })?;
    Ok(Json(json!({ "callback_query": callback_query, "redirect": redirect })))
}
