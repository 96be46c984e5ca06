//! `webhook`: accepts a webhook, as the HTTP route of a platform does.

use std::convert::Infallible;
use std::future::ready;

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_connector_core::time::UnixSeconds as CoreSeconds;
use tiktok_shop_connector_core::webhook::{Meaning, Notification};
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::webhook::{Webhook, WebhookEffect, WebhookReply};
use tiktok_shop_host::{AppKey, CallError, ShopId};

use crate::failure::Failure;
use crate::input;
use crate::output::{BAD, GOOD, Report, time};
use crate::settings::{HostArgs, OpenedHost, one_line};

/// Accept a webhook: check it, record its effect, and print the HTTP status
#[derive(Args)]
#[command(name = "webhook", after_help = AFTER_HELP)]
pub(crate) struct AcceptWebhook {
    /// Value of the header Authorization; empty if the header is missing
    #[arg(long, value_name = "HEX")]
    authorization: String,

    /// Key of the app the webhook is for [default: any app]
    #[arg(long, value_name = "KEY", value_parser = one_line::<AppKey>)]
    app: Option<AppKey>,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
The command reads the unchanged body from standard input. It checks the signature with the current
and the previous secret of each app of the tenant. The event concerns the connections of the app
whose secret signed it. If the webhook was handled before, the
command reports it as repeated and changes nothing. An event that happened more than two days ago is
reported as repeated, too. To check only a signature, without a storage, use verify-webhook.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ printf '%s' '{\"type\":1}' | tiktok-shop-harness webhook --authorization 0123456789abcdef
  answer 401: forged

  $ printf '%s' '{\"type\":1,\"shop_id\":\"7490000000000000001\",\"timestamp\":1767225600,\"data\":{}}' |
      tiktok-shop-harness webhook --authorization \\
        70da649d9f47ef0a7b7649c3795cec8655ca26b99ee73723818cde1ec7d527dc
  answer 200: handled
      app     6fakeapp00001
      type    1
      shop    7490000000000000001
      time    2026-01-01T00:00:00Z
      effect  none
  …

Exit status: 0 if the webhook was handled, now or before; 1 if it is forged (answer 401), signed but
not an event (answer 500, so that TikTok Shop sends it again), or longer than 256 KiB; 2 if it is
longer than 16 MiB; 16 or 20 if TikTok Shop must send it again (answer 503); for others see
tiktok-shop-harness --help.";

/// The maximum length of the input: 16 MiB. If the input is within this limit but longer than 256 KiB, the host answers
/// with the HTTP status 413.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Line<'a> {
    /// The HTTP status for the answer to TikTok Shop.
    status: u16,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventLine<'a>>,
}

#[derive(Serialize)]
struct EventLine<'a> {
    app: &'a str,
    notification_id: Option<&'a str>,
    event_type: u32,
    shop: Option<&'a str>,
    occurred_at: Option<u64>,
    data: &'a str,
    effect: &'static str,
    /// If the effect is `authorization-ending`, the time when the authorization ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    owners: Vec<OwnerLine<'a>>,
}

#[derive(Serialize)]
struct OwnerLine<'a> {
    customer: &'a str,
    account: &'a str,
    may_use: bool,
}

impl AcceptWebhook {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let read = |stdin| input::bytes(stdin, "standard input", MAX_BYTES);
        let body = input::standard_input(&report.stop, read).await?;
        let OpenedHost { host, opened, .. } = self.settings.open(report).await?;
        let now = opened.now();
        let mut event = None;
        let reply = host
            .accept_webhook(&opened.tenant, self.app.as_ref(), &self.authorization, body, |webhook| {
                event = Some(webhook);
                ready(Ok::<_, Infallible>(()))
            })
            .await;
        let status = reply.status();
        let (outcome, why) = match reply {
            WebhookReply::Handled => ("handled", None),
            WebhookReply::Repeated => ("repeated", None),
            WebhookReply::Forged => ("forged", None),
            WebhookReply::Malformed(error) => ("malformed", Some(error.failure().to_string())),
            WebhookReply::TooLarge => ("too-large", Some("the body is larger than 256 KiB".to_owned())),
            WebhookReply::NotHandled(never) => match never {},
            WebhookReply::NotReceived(error) => return not_handled(status, error.into(), report),
            WebhookReply::NotRead(error) => return not_handled(status, error.into(), report),
            WebhookReply::Late => {
                let (plugin, deadline) = (host.plugin().clone(), std::time::Duration::from_secs(2));
                return not_handled(status, CallError::DeadlineExceeded { plugin, deadline }.into(), report);
            }
        };
        let accepted = matches!(outcome, "handled" | "repeated");
        if !accepted {
            report.set_refused();
        }
        if report.is_json() {
            report.json(&Line { status, outcome, why, event: event.as_ref().map(|event| EventLine::new(event, now)) });
            return Ok(());
        }
        report.styled(if accepted { GOOD } else { BAD }, &format!("answer {status}: {outcome}"));
        if let Some(why) = why {
            report.detail("why", Style::new(), &why);
        }
        if let Some(event) = event {
            print(&event, now, report);
        }
        Ok(())
    }
}

/// Writes a note that contains the HTTP status for the answer to TikTok Shop, and returns the failure.
fn not_handled(status: u16, failure: Failure, report: &Report) -> Result<(), Failure> {
    report.note(&format!("answer {status}; TikTok Shop then sends the webhook again"));
    Err(failure)
}

fn print(event: &Webhook, now: UnixSeconds, report: &mut Report) {
    let plain = Style::new();
    report.detail("app", plain, event.app.as_str());
    report.detail("type", plain, &event.event_type.to_string());
    report.detail("shop", plain, event.shop.as_ref().map_or("none", ShopId::as_str));
    report.detail("time", plain, &event.occurred_at.map_or_else(|| "unknown".to_owned(), time));
    let ends = announced_end(event, now).map(|at| format!(": {}", time(at))).unwrap_or_default();
    report.detail("effect", plain, &format!("{}{ends}", event.effect.as_str()));
    for owner in &event.owners {
        let may_use = if owner.may_use { "may use the shop" } else { "may not use the shop" };
        report.detail("owner", plain, &format!("{}, account {}, {may_use}", owner.key.customer, owner.key.account));
    }
    report.detail("data", plain, &event.data);
}

/// Returns the time when the authorization ends, if the event announces this time and the connector has recorded it.
fn announced_end(event: &Webhook, now: UnixSeconds) -> Option<UnixSeconds> {
    if event.effect != WebhookEffect::AuthorizationEnding {
        return None;
    }
    let notification = Notification {
        id: event.notification_id.clone(),
        event_type: event.event_type,
        shop: event.shop.clone().map(String::from),
        occurred: event.occurred_at.map(|at| CoreSeconds::new(at.0)),
        data: event.data.clone(),
    };
    match notification.meaning(CoreSeconds::new(now.0)) {
        Meaning::Ends(at) => Some(UnixSeconds(at.seconds())),
        Meaning::MayHaveEnded | Meaning::Nothing => None,
    }
}

impl<'a> EventLine<'a> {
    fn new(event: &'a Webhook, now: UnixSeconds) -> Self {
        let owners = event.owners.iter().map(|owner| OwnerLine {
            customer: owner.key.customer.as_str(),
            account: owner.key.account.as_str(),
            may_use: owner.may_use,
        });
        Self {
            app: event.app.as_str(),
            notification_id: event.notification_id.as_deref(),
            event_type: event.event_type,
            shop: event.shop.as_ref().map(ShopId::as_str),
            occurred_at: event.occurred_at.map(|at| at.0),
            data: &event.data,
            effect: event.effect.as_str(),
            ends_at: announced_end(event, now).map(|at| at.0),
            owners: owners.collect(),
        }
    }
}
