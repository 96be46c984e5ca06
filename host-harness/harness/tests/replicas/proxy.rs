//! The proxy in front of the replicas. It takes them in turn. It asks another replica only if the connection was refused,
//! because then the first one has not received anything.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::REPLICAS;
use crate::activity::Activity;
use crate::http::exchange;

/// The header of an answer that the proxy gives itself.
pub(crate) const OWN: &str = "x-proxy";
/// The value of [`OWN`] if no replica accepts a connection. No replica has received the request.
pub(crate) const NOBODY: &str = "nobody";
/// The value of [`OWN`] if the connection broke before the answer was complete. A replica may have acted.
pub(crate) const BROKEN: &str = "broken";

/// The addresses of the replicas. An address stays when its replica is killed, because a proxy does not know of it.
pub(crate) type Addresses = Arc<Mutex<[Option<SocketAddr>; REPLICAS]>>;

/// Starts a proxy. Returns its address.
pub(crate) async fn start(replicas: Addresses, activity: Activity) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let turn = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (replicas, activity, turn) = (replicas.clone(), activity.clone(), turn.clone());
            tokio::spawn(async move {
                let service = service_fn(async |request| {
                    activity.note();
                    let order = replicas_in_turn(&replicas, turn.fetch_add(1, Ordering::Relaxed));
                    let answer = forward(order, request).await;
                    activity.note();
                    hyper::Result::Ok(answer)
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _client_gone = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn replicas_in_turn(replicas: &Addresses, first: usize) -> Vec<SocketAddr> {
    let mut order = *replicas.lock().unwrap();
    order.rotate_left(first % REPLICAS);
    order.into_iter().flatten().collect()
}

async fn forward(replicas: Vec<SocketAddr>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return own(StatusCode::BAD_REQUEST, BROKEN) };
    for replica in replicas {
        let Ok(stream) = TcpStream::connect(replica).await else { continue };
        let request = Request::from_parts(head, Full::new(body.to_bytes()));
        return match exchange(stream, request).await {
            Ok(answer) => answer.into(),
            Err(_) => own(StatusCode::BAD_GATEWAY, BROKEN),
        };
    }
    own(StatusCode::SERVICE_UNAVAILABLE, NOBODY)
}

fn own(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    Response::builder().status(status).header(OWN, why).body(Full::default()).unwrap()
}
