//! The surroundings of a probe: the person at the terminal, or a fake whose sellers decide at once and whose clock can
//! be moved.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tiktok_shop_host::clock::{Clock as _, SystemClock};
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_probe::webhook_receiver::{Arrival, WebhookReceiver};
use tiktok_shop_probe::world::{Decision, NoCallback, Stopped, World};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::command::connect;
use crate::failure::Failure;
use crate::input;
use crate::output::{self, note};
use crate::settings::FakeAddress;

/// How often a person may paste something that is no callback.
const MAX_TRIES: usize = 3;

/// The time of this machine, or of a fake.
pub(super) struct Time {
    system: SystemClock,
    /// The time of the fake, and the monotonic time at which the fake has told it. `None` without a fake.
    fake: Option<Mutex<FakeTime>>,
}

#[derive(Clone, Copy)]
struct FakeTime {
    now: u64,
    told_at: Duration,
    ticking: bool,
}

impl Time {
    pub(super) async fn of(fake: Option<FakeAddress>) -> Result<Self, Failure> {
        let time = Self { system: SystemClock::new(), fake: fake.map(|_| Mutex::new(FakeTime::default())) };
        if let Some(fake) = fake {
            time.told(&fake.control("GET", "/clock", None).await?);
        }
        Ok(time)
    }

    pub(super) fn now(&self) -> Duration {
        match &self.fake {
            None => self.system.wall(),
            Some(fake) => {
                let FakeTime { now, told_at, ticking } = *fake.lock().unwrap_or_else(PoisonError::into_inner);
                let since = self.system.monotonic().saturating_sub(told_at);
                Duration::from_secs(now) + if ticking { since } else { Duration::ZERO }
            }
        }
    }

    /// Remembers the time that the fake has told.
    fn told(&self, answer: &Value) {
        if let (Some(fake), Some(now)) = (&self.fake, answer.get("now").and_then(Value::as_u64)) {
            let ticking = answer.get("ticking").and_then(Value::as_bool).unwrap_or(true);
            let told = FakeTime { now, told_at: self.system.monotonic(), ticking };
            *fake.lock().unwrap_or_else(PoisonError::into_inner) = told;
        }
    }
}

impl Default for FakeTime {
    fn default() -> Self {
        Self { now: 0, told_at: Duration::ZERO, ticking: true }
    }
}

pub(super) struct Operator {
    time: Arc<Time>,
    fake: Option<FakeAddress>,
    /// The seller of the fake who decides without being asked.
    seller: Option<String>,
    receiver: Option<WebhookReceiver>,
    stop: CancellationToken,
}

impl Operator {
    pub(super) const fn new(
        time: Arc<Time>,
        fake: Option<FakeAddress>,
        seller: Option<String>,
        receiver: Option<WebhookReceiver>,
        stop: CancellationToken,
    ) -> Self {
        Self { time, fake, seller, receiver, stop }
    }

    /// Asks the person at the terminal to open the link and to paste the callback.
    async fn ask(&self, link: &str, decision: Decision) -> Result<Zeroizing<String>, NoCallback> {
        let page = self.fake.map(|fake| fake.consent_page(link));
        let (what, skip) = match decision {
            Decision::Allow => ("ALLOW", ""),
            Decision::Refuse => ("REFUSE", ", or only Enter to skip this"),
        };
        note(&format!("{what} the app as the seller on this page: {}", page.as_deref().unwrap_or(link)));
        note(&format!("then paste the address to which the browser was sent back{skip}:"));
        for _ in 0..MAX_TRIES {
            let read = |stdin: std::io::StdinLock<'static>| input::next_line(stdin, connect::MAX_BYTES);
            let line = match input::standard_input(&self.stop, read).await {
                Ok(line) => Zeroizing::new(
                    line.ok_or_else(|| NoCallback::Failed("standard input has ended without a callback".to_owned()))?,
                ),
                Err(Failure::Stopped(_)) => return Err(NoCallback::Stopped),
                Err(failure) => return Err(NoCallback::Failed(failure.report().line())),
            };
            if line.is_empty() && decision == Decision::Refuse {
                return Err(NoCallback::Skipped);
            }
            match connect::query(&line) {
                Ok(query) => return Ok(Zeroizing::new(query.expose().to_owned())),
                Err(failure) => note(&failure.report().line()),
            }
        }
        Err(NoCallback::Failed("what was pasted is no callback".to_owned()))
    }

    /// Moves the fake's clock. Each webhook is sent at the time at which it is due.
    async fn move_clock(&self, fake: FakeAddress, time: Duration) -> Result<(), Failure> {
        let until = self.time.now().as_secs().saturating_add(time.as_secs());
        while let Some(receiver) = &self.receiver {
            let to = json!({ "to": receiver.address().to_string(), "path": "/" });
            fake.control("POST", "/webhooks/send", Some(&to)).await?;
            let queued = fake.control("GET", "/webhooks/all", None).await?;
            let due = queued.as_array().into_iter().flatten().filter_map(|webhook| webhook.pointer("/state/due-at"));
            let Some(next) = due.filter_map(Value::as_u64).filter(|due| *due <= until).min() else { break };
            self.time.told(&fake.control("PUT", "/clock", Some(&json!({ "now": next }))).await?);
        }
        let rest = until.saturating_sub(self.time.now().as_secs());
        self.time.told(&fake.control("POST", "/clock/advance", Some(&json!({ "seconds": rest }))).await?);
        if let Some(receiver) = &self.receiver {
            let to = json!({ "to": receiver.address().to_string(), "path": "/" });
            fake.control("POST", "/webhooks/send", Some(&to)).await?;
        }
        Ok(())
    }
}

/// Returns the number of webhooks that a fake has not sent yet, or will send again. They belong to events before the
/// probe.
pub(super) async fn waiting_webhooks(fake: FakeAddress) -> Result<u64, Failure> {
    let queued = fake.control("GET", "/webhooks/all", None).await?;
    let waits = |webhook: &&Value| {
        webhook.pointer("/state/due-at").is_some() || webhook.get("state").and_then(Value::as_str) == Some("due")
    };
    Ok(queued.as_array().into_iter().flatten().filter(waits).count() as u64)
}

impl World for Operator {
    fn now(&self) -> Duration {
        self.time.now()
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    async fn callback(&mut self, link: &str, decision: Decision) -> Result<Zeroizing<String>, NoCallback> {
        let (Some(fake), Some(seller)) = (self.fake, &self.seller) else {
            return self.ask(link, decision).await;
        };
        let word = match decision {
            Decision::Allow => "allow",
            Decision::Refuse => "refuse",
        };
        let query = fake.decide(link, seller, word).await;
        query.map(Zeroizing::new).map_err(|failure| NoCallback::Failed(failure.report().line()))
    }

    async fn wait(&mut self, time: Duration) -> Result<(), Stopped> {
        if let Some(fake) = self.fake {
            // A fake that is away also answers no further request, and the probe ends with that.
            let _away = self.move_clock(fake, time).await;
            return Ok(());
        }
        if time >= Duration::from_secs(60) {
            let until = self.time.now().saturating_add(time).as_secs();
            note(&format!("waiting until {}", output::time(UnixSeconds(until))));
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    fn webhooks(&mut self) -> Vec<Arrival> {
        self.receiver.as_ref().map(WebhookReceiver::take).unwrap_or_default()
    }

    fn say(&mut self, text: &str) {
        note(text);
    }
}
