//! Measures how long the host takes to answer a webhook while webhooks arrive at a steady rate.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use fake_tiktok_shop::{App, FakeTikTokShop, Options};
use serde_json::{Value, json};
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing;
use tiktok_shop_host::ShopId;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::webhook::WebhookReply;
use tiktok_shop_sql_storage::NewConnection;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::platform::{Platform, consent, customer};
use crate::report::{factor, milliseconds, profile, quantile};

/// TikTok counts a webhook as failed if it is not answered within this time.
const TIKTOK_WAITS: Duration = Duration::from_secs(3);
/// The id of the first shop. Each further shop has the next higher id.
const FIRST_SHOP: u64 = 7_490_000_000_000_000_000;
/// Every 20th webhook announces when an authorization ends, and the connector writes this time to storage. The other
/// webhooks are about orders.
const ANNOUNCEMENTS: u64 = 20;

/// Send webhooks at a steady rate to a platform with many connections in memory.
///
/// Each webhook is signed, and concerns another shop than the webhook before it. Every 20th webhook announces when an
/// authorization ends, and the connector writes this time to the connection. The latency of a webhook is the time from
/// its planned start to the answer of the host, so the latencies grow if the host falls behind. "Achieved" counts only
/// the webhooks that the host handled.
///
/// With --forged, measures the same load without and with forged webhooks, in turn.
#[derive(Args, Debug)]
pub(crate) struct Webhooks {
    /// Number of webhooks per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Length of each measurement, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Number of connections in storage. Each connection has its own shop.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Number of refreshes per second, at the same time as the webhooks. Each refresh reads the shops from the fake
    /// TikTok Shop.
    #[arg(long, default_value_t = 0)]
    refreshes: u32,
    /// Number of forged webhooks for each signed webhook.
    #[arg(long, default_value_t = 0)]
    forged: u32,
    /// Size of a forged webhook, in bytes.
    #[arg(long, default_value_t = 1_024)]
    forged_bytes: usize,
    /// Number of times that the load is measured without and with forged webhooks. Has no effect without --forged.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

impl Webhooks {
    pub(crate) async fn run(self, component: PathBuf) -> Result<String> {
        let sender = Sender::new(component, self.connections.into()).await?;
        let (mut alone, mut beside) = (Measured::default(), Measured::default());
        if self.forged == 0 {
            alone.add(self.measure(&sender, 0, 0).await?);
        } else {
            for round in 0..u64::from(self.rounds) {
                alone.add(self.measure(&sender, 2 * round, 0).await?);
                beside.add(self.measure(&sender, 2 * round + 1, self.forged).await?);
            }
        }
        for measured in [&mut alone, &mut beside] {
            measured.webhooks.sort_unstable();
            measured.refreshes.sort_unstable();
        }
        let report = Report { asked: &self, alone, beside: (self.forged > 0).then_some(beside) };
        Ok(if self.json { report.json() } else { report.text() })
    }

    /// Sends signed webhooks for `seconds`, and `forged` forged webhooks for each signed webhook. Each measurement has
    /// another `part`, so that no webhook is sent in two measurements.
    async fn measure(&self, sender: &Sender, part: u64, forged: u32) -> Result<Measured> {
        let count = u64::from(self.rate) * u64::from(self.seconds);
        let signed: Vec<_> = (part * count..(part + 1) * count).map(|number| sender.webhook(number)).collect();
        let begin = Instant::now();
        let dues = |rate: u32| {
            let pause = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
            (0..rate * self.seconds).map(move |number| begin + pause * number)
        };
        let host = || (sender.platform.host.clone(), sender.platform.tenant.clone());

        let refreshes: JoinSet<Result<Duration>> = (0..u64::from(self.connections))
            .cycle()
            .zip(dues(self.refreshes))
            .map(|(number, due)| {
                let ((host, tenant), customer) = (host(), customer(number));
                async move {
                    sleep_until(due).await;
                    host.refresh(&tenant, &customer?, None, RefreshMode::WhenDue).await?;
                    Ok(due.elapsed())
                }
            })
            .collect();
        let body: Arc<[u8]> = vec![b'x'; self.forged_bytes].into();
        let refused: JoinSet<Result<()>> = dues(self.rate * forged)
            .map(|due| {
                let ((host, tenant), body) = (host(), Arc::clone(&body));
                async move {
                    sleep_until(due).await;
                    let handle = async |_| Ok::<_, Infallible>(());
                    let reply = host.accept_webhook(&tenant, None, &"0".repeat(64), body.to_vec(), handle).await;
                    ensure!(matches!(reply, WebhookReply::Forged | WebhookReply::TooLarge), "forged: {reply:?}");
                    Ok(())
                }
            })
            .collect();
        let answers: JoinSet<Result<(Duration, bool)>> = signed
            .into_iter()
            .zip(dues(self.rate))
            .map(|((authorization, body), due)| {
                let (host, tenant) = host();
                async move {
                    sleep_until(due).await;
                    let handle = async |_| Ok::<_, Infallible>(());
                    let reply = host.accept_webhook(&tenant, None, &authorization, body, handle).await;
                    let known = matches!(reply, WebhookReply::Handled | WebhookReply::Late);
                    ensure!(known, "a webhook ended in {reply:?}");
                    Ok((due.elapsed(), reply == WebhookReply::Handled))
                }
            })
            .collect();

        let answers = answers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        let took = begin.elapsed();
        let refreshes = refreshes.join_all().await.into_iter().collect::<Result<_>>()?;
        let forged = refused.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.len();
        let handled = answers.iter().filter(|(_, handled)| *handled).count();
        let webhooks = answers.into_iter().map(|(latency, _)| latency).collect();
        Ok(Measured { webhooks, handled, took, refreshes, forged })
    }
}

/// The results of one or several measurements.
#[derive(Default)]
struct Measured {
    webhooks: Vec<Duration>,
    handled: usize,
    took: Duration,
    refreshes: Vec<Duration>,
    forged: usize,
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.webhooks.extend(other.webhooks);
        self.handled += other.handled;
        self.took += other.took;
        self.refreshes.extend(other.refreshes);
        self.forged += other.forged;
    }

    fn achieved(&self) -> f64 {
        self.handled as f64 / self.took.as_secs_f64()
    }

    fn in_time(&self) -> usize {
        self.webhooks.iter().filter(|latency| **latency <= TIKTOK_WAITS).count()
    }

    fn text(&self) -> String {
        let latencies = |name: &str, sorted: &[Duration]| {
            let at = |percent| milliseconds(quantile(sorted, percent));
            format!("{name:<12} p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms\n", at(50), at(99), at(100))
        };
        let mut text = format!("achieved     {:.1} per second\n", self.achieved());
        text += &latencies("answers", &self.webhooks);
        if !self.refreshes.is_empty() {
            text += &latencies("refreshes", &self.refreshes);
        }
        text + &format!("handled      {}\nwithin 3 s   {}\n", self.handled, self.in_time())
    }

    fn json(&self) -> Value {
        let at = |sorted, percent| milliseconds(quantile(sorted, percent));
        json!({
            "webhooks": self.webhooks.len(),
            "achieved_per_second": self.achieved(),
            "p50_ms": at(&self.webhooks, 50),
            "p99_ms": at(&self.webhooks, 99),
            "longest_ms": at(&self.webhooks, 100),
            "handled": self.handled,
            "within_3_s": self.in_time(),
            "refreshes": self.refreshes.len(),
            "refresh_p50_ms": at(&self.refreshes, 50),
            "refresh_p99_ms": at(&self.refreshes, 99),
            "forged": self.forged,
        })
    }
}

struct Report<'a> {
    asked: &'a Webhooks,
    alone: Measured,
    /// The result of the same load with forged webhooks. `None` if no forged webhooks were asked for.
    beside: Option<Measured>,
}

impl Report<'_> {
    fn text(&self) -> String {
        let Webhooks { rate, connections, forged, forged_bytes, .. } = self.asked;
        let head = format!(
            "webhooks     {} over {connections} connections in memory, profile {}\nasked        {rate} per second\n{}",
            self.alone.webhooks.len(),
            profile(),
            self.alone.text(),
        );
        let Some(beside) = &self.beside else { return head };
        format!(
            "{head}\nforged       {} of {forged_bytes} bytes, {forged} for each signed one\n{}p99          {:.2} times as long{}\n",
            beside.forged,
            beside.text(),
            factor(quantile(&beside.webhooks, 99), quantile(&self.alone.webhooks, 99)),
            self.refresh_factor().map_or_else(String::new, |factor| format!(", of refreshes {factor:.2} times")),
        )
    }

    fn json(&self) -> String {
        let mut report = self.alone.json();
        let mut put =
            |name: &str, value: Value| report.as_object_mut().map(|members| members.insert(name.to_owned(), value));
        put("benchmark", json!("webhooks"));
        put("profile", json!(profile()));
        put("connections", json!(self.asked.connections));
        put("asked_per_second", json!(self.asked.rate));
        if let Some(beside) = &self.beside {
            put("forged_bytes", json!(self.asked.forged_bytes));
            put("beside_forged", beside.json());
            put("p99_factor", json!(factor(quantile(&beside.webhooks, 99), quantile(&self.alone.webhooks, 99))));
            put("refresh_p99_factor", json!(self.refresh_factor()));
        }
        format!("{report:#}\n")
    }

    fn refresh_factor(&self) -> Option<f64> {
        let beside = self.beside.as_ref().filter(|beside| !beside.refreshes.is_empty())?;
        Some(factor(quantile(&beside.refreshes, 99), quantile(&self.alone.refreshes, 99)))
    }
}

/// Plays the role of TikTok: makes the webhooks and signs each webhook with the secret of the app. Also contains the
/// platform that receives the webhooks. The platform's connections are in memory.
struct Sender {
    platform: Platform,
    /// Answers the refreshes. The fake stops when this value is dropped.
    _fake: FakeTikTokShop,
    app: App,
    connections: u64,
    /// The time at which the seller consented, in Unix seconds. The timestamp of every webhook is one second later.
    now: u64,
}

impl Sender {
    /// Makes one connection at the fake TikTok Shop, and stores copies of this connection. Each copy has its own shop.
    async fn new(component: PathBuf, connections: u64) -> Result<Self> {
        let fake = FakeTikTokShop::start(Options::default())?;
        let control = fake.control();
        let app = control.apps().into_iter().next().context("the fake has no app")?;
        let storage = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
        let keys = Arc::new(HostKeys::draw()?);
        let platform = Platform::new(storage, keys, component, &app, fake.address())?;
        let first = platform.connect(&"first".parse()?, consent(&control, &app)?).await?;
        let template = platform.template(&first.key).await?;
        let (storage, tenant) = (&platform.storage, &platform.tenant);
        for number in 0..connections {
            let shop: ShopId = (FIRST_SHOP + number).to_string().parse()?;
            let NewConnection { key, token, row } = template.copy(number, Some(&shop)).await?;
            storage.swap_token(tenant, &key, None, Some(&token)).await?;
            storage.swap_row(tenant, &key, None, Some(&row), &[]).await?;
        }
        drop(template);
        Ok(Self { platform, _fake: fake, app, connections, now: first.granted_at.0 })
    }

    /// Returns the signature and the body of the webhook with this number.
    fn webhook(&self, number: u64) -> (String, Vec<u8>) {
        // The shops of two consecutive webhooks are 7919 numbers apart. 7919 is prime, so the webhooks spread over all
        // shops.
        let shop = FIRST_SHOP + number.wrapping_mul(7_919) % self.connections;
        let (kind, data) = if number.is_multiple_of(ANNOUNCEMENTS) {
            (7, json!({ "expiration_time": self.now + 20 * 86_400 }))
        } else {
            (1, json!({ "order_id": number.to_string(), "order_status": "AWAITING_SHIPMENT" }))
        };
        let body = json!({
            "type": kind,
            "tts_notification_id": number.to_string(),
            "shop_id": shop.to_string(),
            "timestamp": self.now + 1,
            "data": data,
        });
        let body = body.to_string().into_bytes();
        let unsigned = signing::Webhook { app_key: &self.app.app_key, body: &body, authorization: &[] };
        (unsigned.signature(&AppSecret::new(self.app.app_secret.clone())), body)
    }
}
