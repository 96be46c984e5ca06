//! Measures how long the host takes to answer a webhook while webhooks arrive at a steady rate.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use fake_tiktok_shop::{App, FakeTikTokShop, Options};
use futures::future::join_all;
use serde_json::json;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing;
use tiktok_shop_host::ShopId;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::webhook::WebhookReply;
use tiktok_shop_sql_storage::NewConnection;
use tokio::time::{Instant, sleep_until};

use crate::platform::{Platform, consent};
use crate::report::{milliseconds, profile};

/// TikTok counts a webhook as failed if it is not answered within this time.
const TIKTOK_WAITS: Duration = Duration::from_secs(3);
/// The id of the first shop. The ids of the other shops count up from this id.
const FIRST_SHOP: u64 = 7_490_000_000_000_000_000;
/// One webhook in 20 announces that an authorization ends. The connector writes this to storage. The other webhooks are
/// about orders.
const ANNOUNCEMENTS: u64 = 20;

/// Send webhooks at a steady rate to a platform with many connections in memory.
///
/// Each webhook is signed, and concerns a different shop than the webhook before it. One in 20 announces that an
/// authorization ends. The connector writes this to the connection. A latency is the time from when the webhook should
/// be sent until it is answered, so the latencies grow if the host falls behind. "Achieved" counts only webhooks that
/// were handled.
#[derive(Args, Debug)]
pub(crate) struct Webhooks {
    /// Webhooks per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Length of the measurement in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Connections in storage. Each has a shop of its own.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

impl Webhooks {
    pub(crate) async fn run(self, component: PathBuf) -> Result<String> {
        let sender = Sender::new(component, self.connections.into()).await?;
        let webhooks: Vec<_> =
            (0..u64::from(self.rate) * u64::from(self.seconds)).map(|number| sender.webhook(number)).collect();
        let count = webhooks.len();

        let (begin, pause) = (Instant::now(), Duration::from_secs(1) / self.rate);
        let answers = join_all(webhooks.into_iter().zip(0..).map(|((authorization, body), number)| {
            let (host, tenant) = (sender.platform.host.clone(), sender.platform.tenant.clone());
            let due = begin + pause * number;
            tokio::spawn(async move {
                sleep_until(due).await;
                let handle = async |_| Ok::<_, Infallible>(());
                let reply = host.accept_webhook(&tenant, &authorization, body, handle).await;
                (due.elapsed(), reply)
            })
        }))
        .await;
        let elapsed = begin.elapsed();

        let mut latencies = Vec::with_capacity(count);
        let mut handled = 0;
        for answer in answers {
            let (latency, reply) = answer?;
            ensure!(matches!(reply, WebhookReply::Handled | WebhookReply::Late), "a webhook ended in {reply:?}");
            handled += usize::from(reply == WebhookReply::Handled);
            latencies.push(latency);
        }
        latencies.sort_unstable();
        let report = Report {
            connections: self.connections,
            asked: self.rate,
            achieved: handled as f64 / elapsed.as_secs_f64(),
            p50: quantile(&latencies, 50),
            p99: quantile(&latencies, 99),
            longest: quantile(&latencies, 100),
            handled,
            in_time: latencies.iter().filter(|latency| **latency <= TIKTOK_WAITS).count(),
            count,
        };
        Ok(if self.json { report.json() } else { report.text() })
    }
}

/// Returns a percentile: at least `percent` per cent of the latencies are as small as the returned latency, or smaller.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

struct Report {
    connections: u32,
    asked: u32,
    achieved: f64,
    p50: Duration,
    p99: Duration,
    longest: Duration,
    handled: usize,
    in_time: usize,
    count: usize,
}

impl Report {
    fn text(&self) -> String {
        let Self { connections, asked, achieved, p50, p99, longest, handled, in_time, count } = self;
        let (p50, p99, longest) = (milliseconds(*p50), milliseconds(*p99), milliseconds(*longest));
        format!(
            "webhooks     {count} over {connections} connections in memory, profile {}\nasked        {asked} per second\n\
             achieved     {achieved:.1} per second\np50          {p50:.1} ms\np99          {p99:.1} ms\n\
             longest      {longest:.1} ms\nhandled      {handled}\nwithin 3 s   {in_time}\n",
            profile(),
        )
    }

    fn json(&self) -> String {
        let report = json!({
            "benchmark": "webhooks",
            "profile": profile(),
            "connections": self.connections,
            "webhooks": self.count,
            "asked_per_second": self.asked,
            "achieved_per_second": self.achieved,
            "p50_ms": milliseconds(self.p50),
            "p99_ms": milliseconds(self.p99),
            "longest_ms": milliseconds(self.longest),
            "handled": self.handled,
            "within_3_s": self.in_time,
        });
        format!("{report:#}\n")
    }
}

/// Makes the webhooks. It takes TikTok's part and signs each webhook with the secret of the app. It also holds the
/// platform that receives the webhooks; the platform's connections are in memory.
struct Sender {
    platform: Platform,
    app: App,
    connections: u64,
    /// When the seller consented, in Unix seconds. Every webhook is dated one second later.
    now: u64,
}

impl Sender {
    /// Makes one connection at the fake TikTok Shop, and stores copies of it. Each copy has a shop of its own.
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
            let NewConnection { key, token, mut row } = template.copy(number).await?;
            let shop: ShopId = (FIRST_SHOP + number).to_string().parse()?;
            row.value.connection.shops.iter_mut().for_each(|held| held.id = shop.clone());
            storage.swap_token(tenant, &key, None, Some(&token)).await?;
            storage.swap_row(tenant, &key, None, Some(&row), &[]).await?;
        }
        drop(template);
        Ok(Self { platform, app, connections, now: first.granted_at.0 })
    }

    /// Returns the signature and the body of the webhook with this number.
    fn webhook(&self, number: u64) -> (String, Vec<u8>) {
        // The step is a prime number, which spreads consecutive webhooks over the shops.
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
