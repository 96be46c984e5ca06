//! Sends requests to a service from a process of its own, so that the time for making them is not the service's. Each
//! client keeps one connection, and sends its next request after it has read the answer to the one before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::platform::{FILTER, webhook};
use crate::process::{allow_many_files, output, own};
use crate::rounds::{microseconds, quantile};

/// Forged webhooks for each signed one.
const FORGED: u64 = 10;
/// The size of a forged webhook, in bytes.
const FORGED_BYTES: usize = 1_024;
/// TikTok Shop counts a delivery as failed after this time.
const TIKTOK_WAITS: Duration = Duration::from_secs(3);

/// Send requests to a service, and print how many of them it has answered. The benchmarks `service_*` start this
/// command.
#[derive(Args, Debug)]
pub(crate) struct Load {
    /// Kind of requests to send.
    #[arg(long)]
    kind: Kind,
    /// Address of the service.
    #[arg(long)]
    address: SocketAddr,
    /// Path and query of the requests.
    #[arg(long)]
    target: String,
    /// API key of the requests.
    #[arg(long, default_value = "")]
    key: String,
    /// Number of the first webhook. Each webhook needs a new number, so it must be larger than all numbers sent before.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Number of clients that send at the same time.
    #[arg(long)]
    clients: u32,
    /// How long requests are sent.
    #[arg(long)]
    seconds: u64,
}

/// The kind of requests that the command sends.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Searches for orders.
    Calls,
    /// Signed webhooks, each followed by ten forged ones.
    Webhooks,
}

/// The result of one run of this command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Calls, or signed webhooks that were answered within three seconds.
    pub(crate) number: u64,
    pub(crate) seconds: f64,
    /// The median time of a call or of a signed webhook, in microseconds.
    pub(crate) p50_us: f64,
}

impl Answered {
    pub(crate) fn per_second(&self) -> f64 {
        self.number as f64 / self.seconds
    }
}

impl Load {
    pub(crate) fn calls(address: SocketAddr, target: String, key: String) -> Self {
        Self { kind: Kind::Calls, address, target, key, first: 0, clients: 1, seconds: 2 }
    }

    pub(crate) fn webhooks(address: SocketAddr, target: String, first: u64) -> Self {
        Self { kind: Kind::Webhooks, address, target, key: String::new(), first, clients: 1, seconds: 2 }
    }

    pub(crate) fn clients(self, clients: u32, seconds: u64) -> Self {
        Self { clients, seconds, ..self }
    }

    /// Sends the requests from another process.
    pub(crate) fn send(&self) -> Result<Answered> {
        let Self { kind, address, target, key, first, clients, seconds } = self;
        let kind = match kind {
            Kind::Calls => "calls",
            Kind::Webhooks => "webhooks",
        };
        let mut command = own("load")?;
        command.args(["--kind", kind, "--address", &address.to_string(), "--target", target, "--key", key]);
        command.args(["--first", &first.to_string(), "--clients", &clients.to_string()]);
        command.args(["--seconds", &seconds.to_string()]);
        serde_json::from_slice(&output(command)?).context("the process printed no result")
    }

    pub(crate) fn run(self) -> Result<String> {
        allow_many_files()?;
        // One thread is enough, and leaves the other processors to the service.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answered = runtime.block_on(async {
            let (load, next) = (Arc::new(self), Arc::new(AtomicU64::new(0)));
            let began = Instant::now();
            let clients: JoinSet<Result<Vec<Duration>>> = (0..load.clients)
                .map(|_| {
                    let (load, next) = (Arc::clone(&load), Arc::clone(&next));
                    async move { load.client(began + Duration::from_secs(load.seconds), &next).await }
                })
                .collect();
            let times = clients.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
            let seconds = began.elapsed().as_secs_f64();
            let mut times = times.concat();
            times.sort_unstable();
            let in_time = times.iter().filter(|time| **time <= TIKTOK_WAITS).count();
            anyhow::Ok(Answered { number: in_time as u64, seconds, p50_us: microseconds(quantile(&times, 50)) })
        })?;
        Ok(serde_json::to_string(&answered)?)
    }

    /// Sends requests until `end`. Returns the times of the calls or of the signed webhooks.
    async fn client(&self, end: Instant, next: &AtomicU64) -> Result<Vec<Duration>> {
        let mut connection = Connection::open(self.address).await?;
        let mut times = Vec::new();
        while Instant::now() < end {
            match self.kind {
                Kind::Calls => times.push(self.call(&mut connection).await?),
                Kind::Webhooks => {
                    let number = self.first + next.fetch_add(1, Ordering::Relaxed);
                    times.push(self.signed_webhook(&mut connection, number).await?);
                    for _ in 0..FORGED {
                        self.forged_webhook(&mut connection).await?;
                    }
                }
            }
        }
        Ok(times)
    }

    async fn call(&self, connection: &mut Connection) -> Result<Duration> {
        let authorization = format!("Bearer {}", self.key);
        let began = Instant::now();
        let (status, body) = connection.post(&self.target, &authorization, FILTER.into()).await?;
        let took = began.elapsed();
        let is_success = status == StatusCode::OK && body.windows(8).any(|window| window == b"\"code\":0");
        ensure!(is_success, "a call: {status} {}", String::from_utf8_lossy(&body));
        Ok(took)
    }

    async fn signed_webhook(&self, connection: &mut Connection, number: u64) -> Result<Duration> {
        let (signature, body) = webhook(number);
        let began = Instant::now();
        let (status, body) = connection.post(&self.target, &signature, body.into()).await?;
        ensure!(status == StatusCode::OK, "a signed webhook: {status} {}", String::from_utf8_lossy(&body));
        Ok(began.elapsed())
    }

    async fn forged_webhook(&self, connection: &mut Connection) -> Result<()> {
        let body = Bytes::from_static(&[b'x'; FORGED_BYTES]);
        let (status, _) = connection.post(&self.target, &"0".repeat(64), body).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "a forged webhook: {status}");
        Ok(())
    }
}

/// A connection that is kept.
struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    async fn post(&mut self, target: &str, authorization: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let request = Request::post(target)
            .header(HOST, "service.example")
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.0.ready().await?;
        let (head, body) = self.0.send_request(request).await?.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }
}
