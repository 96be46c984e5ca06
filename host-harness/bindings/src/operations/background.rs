//! Operations that the platform makes for itself: webhooks, events, sweeps. Also the clock of a host with a fake.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::sweep::Sweep;
use tiktok_shop_host::{AppKey, ConnectorHost, TenantId};

use super::{Outcome, PageLimit};
use crate::binding::Binding;
use crate::error::BindingError;
use crate::request::Reply;
use crate::shape;

/// The head of a webhook.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookHead {
    pub(crate) tenant: TenantId,
    pub(crate) app: Option<AppKey>,
    /// The value of the header `Authorization`. Empty if the header is missing.
    #[serde(default)]
    pub(crate) authorization: String,
}

pub(super) async fn receive_webhook(host: &ConnectorHost, a: WebhookHead, body: Vec<u8>) -> Outcome {
    let webhook = host.receive_webhook(&a.tenant, a.app.as_ref(), &a.authorization, body).await?;
    Ok(shape::webhook(&webhook).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    tenant: TenantId,
    after: Option<String>,
    limit: Option<PageLimit>,
}

pub(super) async fn events(binding: &Binding, a: Events) -> Outcome {
    let position = |text: String| {
        let malformed = |_| BindingError::arguments("after: the position of an event, which is a number as text");
        text.parse().map(EventPosition).map_err(malformed)
    };
    let after = a.after.map(position).transpose()?;
    let limit = a.limit.unwrap_or_default().entries();
    let events = binding.storage().events(&a.tenant, after, limit).await?;
    Ok(Value::from_iter(events.iter().map(shape::event)).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SweepArguments {
    concurrency: Option<NonZeroUsize>,
    jitter_seconds: Option<f64>,
}

pub(super) async fn sweep(
    binding: &Binding,
    host: &ConnectorHost,
    a: SweepArguments,
    stop: impl Future<Output = ()>,
) -> Outcome {
    const USUAL: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9);
    let usual = Sweep::new(binding.now(), a.concurrency.unwrap_or(USUAL));
    let jitter = a.jitter_seconds.map(Duration::try_from_secs_f64).transpose();
    let jitter = jitter.map_err(|_| BindingError::arguments("`jitter_seconds`: a number of seconds"))?;
    let sweep = Sweep { jitter: jitter.unwrap_or(usual.jitter), ..usual };
    let mut outcomes = Vec::new();
    let swept = host.sweep(sweep, stop, |due, outcome| outcomes.push(shape::sweep_outcome(due, outcome))).await;
    let swept = swept.map_err(|error| BindingError {
        message: format!("the sweep ended early after {}: {}", error.swept, error.source),
        ..error.source.clone().into()
    })?;
    let mut value = shape::swept(&swept);
    if let Some(members) = value.as_object_mut() {
        // The refreshed ones are only counted, because there may be many.
        outcomes.retain(|outcome| outcome.get("outcome").is_none_or(|word| word != "refreshed"));
        members.insert("not_refreshed".to_owned(), outcomes.into());
    }
    Ok(value.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdvanceClock {
    seconds: u64,
}

pub(super) fn advance_clock(binding: &Binding, a: AdvanceClock) -> Outcome {
    binding.advance_clock(Duration::from_secs(a.seconds))?;
    Ok(Reply::default())
}
