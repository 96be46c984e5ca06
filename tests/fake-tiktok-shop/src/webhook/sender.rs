//! Sends webhooks over plain HTTP to a receiver on this machine.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::WebhookDelivery;

/// The time within which a receiver must answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Posts a webhook and returns the HTTP status of the answer. Returns `None` if no answer came in time.
pub(crate) async fn post(delivery: &WebhookDelivery, to: SocketAddr, path: &str) -> Option<u16> {
    timeout(ANSWER_TIMEOUT, answer(delivery, to, path)).await.ok().flatten()
}

async fn answer(delivery: &WebhookDelivery, to: SocketAddr, path: &str) -> Option<u16> {
    let mut request = Request::post(path).header(header::HOST, to.to_string());
    for (name, value) in &delivery.headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(delivery.body.clone())).ok()?;
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(to).await.ok()?)).await.ok()?;
    tokio::spawn(connection);
    Some(sender.send_request(request).await.ok()?.status().as_u16())
}
