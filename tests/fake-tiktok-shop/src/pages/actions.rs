//! Carries out the forms of the pages.
//!
//! A page of another web site can make a browser send a form to the fake. So a form is refused if `Origin` or
//! `Sec-Fetch-Site` names another site, and also if it lacks the token that only the fake's own pages contain.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;
use serde_json::{Map, Value, json};

use super::{Message, Receiver};
use crate::clock::Utc;
use crate::control::{Control, ControlError};
use crate::fault::Fault;
use crate::page::{Tab, headers, single};
use crate::query::Query;
use crate::same_site::Cause;
use crate::seller::Shop;
use crate::switches::Switches;
use crate::webhook::WebhookFate;

const DAY: u64 = 86_400;

/// Carries a form out, then sends the browser back to the page with the form. That page shows the result.
pub(super) async fn carry_out(
    State(control): State<Control>,
    Path(action): Path<String>,
    request_headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form(Query::parse(&body));
    let token = control.with(|marketplace| marketplace.pages.token.clone());
    if Cause::of(&request_headers) == Cause::OtherSite || form.optional("token") != Some(token.as_str()) {
        let content = html! {
            p { "The form does not come from a page of this fake, or the fake was restarted. Open the page again." }
            p { a href="/" { "Back to the grants" } }
        };
        return (StatusCode::FORBIDDEN, headers(), Html(single("This form was refused", &content))).into_response();
    }
    let message = match perform(&control, &action, &form).await {
        Ok(text) => Message::Done(text),
        Err(Refused(text)) => Message::Refused(text),
    };
    control.with(|marketplace| marketplace.pages.message = Some(message));
    let back = form.optional("back");
    let tab = Tab::ALL.into_iter().find(|tab| Some(tab.path()) == back).unwrap_or(Tab::Start);
    Redirect::to(&format!("{}#message", tab.path())).into_response()
}

/// The reason why a form was not carried out, as a sentence.
struct Refused(String);

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        Self(format!("Nothing was changed: {error}."))
    }
}

struct Form(Query);

impl Form {
    fn optional(&self, name: &str) -> Option<&str> {
        self.0.first(name)
    }

    fn text(&self, name: &str) -> Result<&str, Refused> {
        let value = self.optional(name).map(str::trim).filter(|value| !value.is_empty());
        value.ok_or_else(|| Refused(format!("Nothing was changed: the field {name} is empty.")))
    }

    fn number(&self, name: &str) -> Result<u64, Refused> {
        let text = self.text(name)?;
        text.parse().map_err(|_| Refused(format!("Nothing was changed: the field {name} is no number: {text:?}.")))
    }
}

async fn perform(control: &Control, action: &str, form: &Form) -> Result<String, Refused> {
    match action {
        "advance-clock" => {
            control.advance(Duration::from_secs(form.number("seconds")?));
            Ok(format!("The time is now {}.", time(control.now())))
        }
        "set-clock" => {
            let written = form.text("time")?;
            let at = Utc::parse_input(written).ok_or_else(|| {
                Refused(format!("Nothing was changed: {written:?} is not a time like 2026-01-31T12:00:00."))
            })?;
            control.set_now(at);
            Ok(format!("The time is now {}.", time(control.now())))
        }
        "remove-app" => {
            control.deauthorize(form.text("service_id")?, form.text("seller")?)?;
            Ok(format!("The seller {} has removed the app. {}", form.text("seller")?, due(control)))
        }
        "remove-shop" => {
            control.deauthorize_shop(form.text("service_id")?, form.text("seller")?, form.text("shop")?)?;
            Ok(format!("The grant no longer covers the shop {}. {}", form.text("shop")?, due(control)))
        }
        "restore-shop" => {
            control.restore_shop(form.text("service_id")?, form.text("seller")?, form.text("shop")?)?;
            Ok(format!("The grant covers the shop {} again.", form.text("shop")?))
        }
        "rotate-tokens" => {
            control.rotate_tokens(form.text("service_id")?, form.text("seller")?)?;
            Ok("Another client of the app has refreshed the tokens. A switch decides whether the earlier refresh token \
                still works."
                .to_owned())
        }
        "expire-access-tokens" => {
            control.end_access_tokens(form.text("seller")?)?;
            Ok(format!("All access tokens of {} have expired.", form.text("seller")?))
        }
        "end-authorizations" => {
            control.end_authorization(form.text("seller")?)?;
            Ok(format!("All authorizations by {} have ended.", form.text("seller")?))
        }
        "revoke-authorizations" => {
            control.revoke(form.text("seller")?)?;
            Ok(format!("All authorizations by {} are revoked. No webhook was queued.", form.text("seller")?))
        }
        "close-shop" => {
            control.with(|marketplace| {
                marketplace.close_shop(form.text("seller")?, form.text("shop")?).map_err(Refused::from)
            })?;
            Ok(format!("The shop {} is closed. No webhook was queued.", form.text("shop")?))
        }
        "reopen-shop" => {
            control.with(|marketplace| {
                marketplace.reopen_shop(form.text("seller")?, form.text("shop")?).map_err(Refused::from)
            })?;
            Ok(format!("The shop {} is open again.", form.text("shop")?))
        }
        "add-shop" => add_shop(control, form),
        "set-authorization" => {
            let days = form.number("days")?;
            let lasts = Duration::from_secs(days.saturating_mul(DAY));
            control.update_seller(form.text("seller")?, |seller| seller.authorization_lasts = lasts)?;
            Ok(format!("The next authorizations by {} last {days} days.", form.text("seller")?))
        }
        "send-webhooks" | "send-webhook" => send_webhooks(control, action, form).await,
        "answer-webhook" => {
            let status = form.optional("status").and_then(|status| status.parse().ok());
            let number = form.number("number")?;
            Ok(format!("Webhook {number}: {}.", fate(control.webhook_answered(number, status)?)))
        }
        "repeat-webhook" => {
            let number = form.number("number")?;
            let repeated = control.repeat_webhook(number)?;
            Ok(format!("Webhook {repeated} repeats webhook {number} with the same id. {}", due(control)))
        }
        "queue-webhook" => queue_webhook(control, form),
        "set-switch" => set_switch(control, form),
        "reset-switches" => {
            control.set_switches(Switches::default());
            Ok("All switches have their initial values.".to_owned())
        }
        "script-fault" => script_fault(control, form),
        "clear-faults" => {
            control.clear_faults();
            Ok("No fault is scripted.".to_owned())
        }
        "clear-requests" => {
            control.clear_requests();
            Ok("The recorded requests are deleted.".to_owned())
        }
        _ => Err(Refused("Nothing was changed: there is no such form.".to_owned())),
    }
}

fn add_shop(control: &Control, form: &Form) -> Result<String, Refused> {
    let (id, region) = (form.text("id")?, form.text("region")?);
    if id.len() > 19 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refused(format!("Nothing was changed: the id {id:?} is not a number of 1 to 19 digits.")));
    }
    let shop = Shop {
        id: id.to_owned(),
        name: form.text("name")?.to_owned(),
        region: region.to_owned(),
        seller_type: "LOCAL".to_owned(),
        cipher: Some(format!("ROW_cipherOf{id}")),
        code: format!("{region}LC{id}"),
        extra: Map::new(),
    };
    control.add_shop(form.text("seller")?, shop)?;
    Ok(format!("{} has the shop {id}. Grants cover it at once.", form.text("seller")?))
}

async fn send_webhooks(control: &Control, action: &str, form: &Form) -> Result<String, Refused> {
    let (to, path) = (form.text("to")?.to_owned(), form.text("path")?.to_owned());
    if !path.starts_with('/') {
        return Err(Refused(format!("Nothing was sent: the path {path:?} does not begin with a slash.")));
    }
    let address = control.receiver(&to).await?;
    control.with(|marketplace| marketplace.pages.receiver = Receiver { to: to.clone(), path: path.clone() });
    let fates = if action == "send-webhook" {
        let number = form.number("number")?;
        vec![(number, control.send_webhook(number, address, &path).await?)]
    } else {
        control.send_webhooks(address, &path).await?
    };
    if fates.is_empty() {
        return Err(Refused("Nothing was sent: no webhook is due.".to_owned()));
    }
    let sent: Vec<_> = fates.iter().map(|(number, result)| format!("Webhook {number}: {}.", fate(*result))).collect();
    let text = format!("Sent to http://{to}{path}. {}", sent.join(" "));
    if fates.iter().all(|(_, result)| *result == WebhookFate::Delivered) { Ok(text) } else { Err(Refused(text)) }
}

fn queue_webhook(control: &Control, form: &Form) -> Result<String, Refused> {
    let event_type = u32::try_from(form.number("type")?)
        .map_err(|_| Refused("Nothing was changed: the type is too high.".to_owned()))?;
    let data: Value = serde_json::from_str(form.text("data")?)
        .map_err(|error| Refused(format!("Nothing was changed: the data is not JSON: {error}.")))?;
    let shop = form.optional("shop_id").map(str::trim).filter(|shop| !shop.is_empty());
    control.queue_webhook(form.text("service_id")?, event_type, shop, data)?;
    Ok(format!("The webhook is queued. {}", due(control)))
}

fn set_switch(control: &Control, form: &Form) -> Result<String, Refused> {
    let (name, value) = (form.text("name")?, form.text("value")?);
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    control.with(|marketplace| {
        let merged = marketplace.switches.merged(json!({ name: value }));
        marketplace.switches = merged.map_err(|error| Refused(format!("Nothing was changed: {error}.")))?;
        Ok(format!("The switch {name} is set to {value}."))
    })
}

fn script_fault(control: &Control, form: &Form) -> Result<String, Refused> {
    let (path, name) = (form.text("path")?, form.text("name")?);
    let fault =
        Fault::named(name).ok_or_else(|| Refused(format!("Nothing was changed: there is no fault {name:?}.")))?;
    let times = match form.optional("times").unwrap_or_default().trim() {
        "" => None,
        _ => Some(form.number("times")?),
    };
    control.with(|marketplace| marketplace.faults.add(path, name, fault, times));
    Ok(format!("Requests to {path} will meet the fault {name:?}."))
}

fn due(control: &Control) -> String {
    format!("Webhooks that are due: {}.", control.webhooks_due().len())
}

fn time(at: u64) -> String {
    Utc::from_unix_seconds(at).text()
}

fn fate(fate: WebhookFate) -> String {
    match fate {
        WebhookFate::Delivered => "delivered".to_owned(),
        WebhookFate::SentAgainAt(at) => format!("failed, due again at {}", time(at)),
        WebhookFate::GivenUp => "failed, given up".to_owned(),
    }
}
