//! Sends webhooks over plain HTTP, to a receiver on this machine.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::WebhookDelivery;

/// A receiver has this long to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The status of the answer; `None` if there was none in time.
pub(crate) async fn post(delivery: &WebhookDelivery, to: SocketAddr, path: &str) -> Option<u16> {
    timeout(ANSWER_WITHIN, answer(delivery, to, path)).await.ok().flatten()
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
