//! `webhook`: takes a webhook as a platform's route would.

use std::convert::Infallible;
use std::future::ready;
use std::io;

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_host::webhook::{Webhook, WebhookReply};
use tiktok_shop_host::{CallError, ShopId};

use super::failure::Failure;
use super::input;
use super::output::{BAD, GOOD, Report};
use super::settings::{Host, Setting};
use super::words;

/// Take a webhook: check it, record what it means, say how to answer
#[derive(Args)]
#[command(name = "webhook", after_help = AFTER_HELP)]
pub(crate) struct TakeWebhook {
    /// The value of the header Authorization; empty where there is none
    #[arg(long, value_name = "HEX")]
    authorization: String,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
Reads the body, byte for byte as it arrived, from standard input, and does with it what a
platform's route does. The signature is checked with the app secret, then with the one before. A
webhook that was taken before is repeated, and changes nothing. verify-webhook only checks,
without storage.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ printf '%s' '{\"type\":1}' | tiktok-shop-harness webhook --authorization 0123456789abcdef
  answer 401: forged

  $ printf '%s' '{\"type\":1,\"shop_id\":\"7490000000000000001\",\"timestamp\":1767225600,\"data\":{}}' |
      tiktok-shop-harness webhook --authorization \\
        70da649d9f47ef0a7b7649c3795cec8655ca26b99ee73723818cde1ec7d527dc
  answer 200: handled
      type    1
      shop    7490000000000000001
      of      2026-01-01T00:00:00Z
      effect  none
  …

Exit status: 0 if it is handled, now or before; 1 if it is forged, no event, or too large (from
16 MiB on it is not even read, and the status is 2); 16 or 20 if TikTok Shop has to send it again
(answer 503); others: tiktok-shop-harness --help.";

/// Longest input, in bytes: what is longer than a webhook may be is answered, too.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Line<'a> {
    /// Of the answer to TikTok Shop.
    status: u16,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventLine<'a>>,
}

#[derive(Serialize)]
struct EventLine<'a> {
    notification_id: Option<&'a str>,
    event_type: u32,
    shop: Option<&'a str>,
    occurred_at: Option<u64>,
    data: &'a str,
    effect: &'static str,
    owners: Vec<OwnerLine<'a>>,
}

#[derive(Serialize)]
struct OwnerLine<'a> {
    customer: &'a str,
    account: &'a str,
    linked: bool,
}

impl TakeWebhook {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let body = input::bytes(io::stdin().lock(), "standard input", MOST_BYTES)?;
        let Host { host, stored, .. } = self.setting.open(report).await?;
        let mut event = None;
        let reply = host
            .accept_webhook(&stored.tenant, &self.authorization, body, |webhook| {
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
            WebhookReply::TooLarge => ("too-large", Some("its body is larger than 1 MiB".to_owned())),
            WebhookReply::NotHandled(never) => match never {},
            WebhookReply::NotReceived(error) => return answered(status, error.into(), report),
            WebhookReply::NotRead(error) => return answered(status, error.into(), report),
            WebhookReply::Late => {
                let (plugin, deadline) = (host.plugin().clone(), std::time::Duration::from_secs(2));
                return answered(status, CallError::DeadlineExceeded { plugin, deadline }.into(), report);
            }
        };
        let taken = matches!(outcome, "handled" | "repeated");
        if !taken {
            report.failed();
        }
        if report.is_json() {
            report.json(&Line { status, outcome, why, event: event.as_ref().map(EventLine::from) });
            return Ok(());
        }
        report.styled(if taken { GOOD } else { BAD }, &format!("answer {status}: {outcome}"));
        if let Some(why) = why {
            report.detail("why", Style::new(), &why);
        }
        if let Some(event) = event {
            tell(&event, report);
        }
        Ok(())
    }
}

/// How to answer is said of a failure, too.
fn answered(status: u16, failure: Failure, report: &Report) -> Result<(), Failure> {
    report.note(&format!("answer {status}, so that TikTok Shop sends it again"));
    Err(failure)
}

fn tell(event: &Webhook, report: &mut Report) {
    let plain = Style::new();
    report.detail("type", plain, &event.event_type.to_string());
    report.detail("shop", plain, event.shop.as_ref().map_or("none", ShopId::as_str));
    report.detail("of", plain, &event.occurred_at.map_or_else(|| "unknown".to_owned(), words::time));
    report.detail("effect", plain, words::effect(event.effect));
    for owner in &event.owners {
        let linked = if owner.linked { "linked" } else { "not linked" };
        report.detail("owner", plain, &format!("{}, account {}, {linked}", owner.key.customer, owner.key.account));
    }
    report.detail("data", plain, &event.data);
}

impl<'a> From<&'a Webhook> for EventLine<'a> {
    fn from(event: &'a Webhook) -> Self {
        let owners = event.owners.iter().map(|owner| OwnerLine {
            customer: owner.key.customer.as_str(),
            account: owner.key.account.as_str(),
            linked: owner.linked,
        });
        Self {
            notification_id: event.notification_id.as_deref(),
            event_type: event.event_type,
            shop: event.shop.as_ref().map(ShopId::as_str),
            occurred_at: event.occurred_at.map(|at| at.0),
            data: &event.data,
            effect: words::effect(event.effect),
            owners: owners.collect(),
        }
    }
}
