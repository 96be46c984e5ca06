//! The receiver of the platform: it accepts every webhook that the services send, and keeps them in the order in which
//! they came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::activity::Activity;

/// A webhook that came.
#[derive(Clone, Debug)]
struct Arrival {
    id: String,
    body: Value,
}

type Arrivals = Arc<Mutex<BTreeMap<String, Vec<Arrival>>>>;

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    /// By customer.
    arrivals: Arrivals,
}

impl Receiver {
    pub(crate) async fn start(activity: Activity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, arrivals) = (listener.local_addr().unwrap(), Arrivals::default());
        let kept = Arc::clone(&arrivals);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (arrivals, activity) = (kept.clone(), activity.clone());
                tokio::spawn(async move {
                    let service = service_fn(async |request| {
                        activity.note();
                        receive(&arrivals, request).await
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _killed = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, arrivals }
    }

    /// Returns how many lifecycle events have come, without repetitions.
    pub(crate) fn lifecycle_events(&self) -> usize {
        let arrivals = self.arrivals.lock().unwrap();
        arrivals.values().map(|arrivals| first_arrivals(arrivals).filter(|body| is_lifecycle(body)).count()).sum()
    }

    /// Asserts that each of these events of a customer has come at least once, in order, and that no event has come
    /// after a later one.
    pub(crate) fn check(&self, customer: &str, story: &[&Value], notifications: &[String]) {
        let all = self.arrivals.lock().unwrap();
        let arrivals = all.get(customer).map_or(&[][..], Vec::as_slice);
        let mut distinct: Vec<&str> = arrivals.iter().map(|arrival| arrival.id.as_str()).collect();
        distinct.dedup();
        let ids: BTreeSet<_> = distinct.iter().collect();
        assert_eq!(ids.len(), distinct.len(), "{customer}: an event came after a later one: {arrivals:#?}");
        let positions: Vec<_> = first_arrivals(arrivals).filter(|body| is_lifecycle(body)).collect();
        let positions: Vec<_> = positions.iter().map(|body| &body["data"]["position"]).collect();
        let expected: Vec<_> = story.iter().map(|event| &event["position"]).collect();
        assert_eq!(positions, expected, "{customer}");
        let from_tiktok = first_arrivals(arrivals).filter_map(|body| body["data"]["notification_id"].as_str());
        let from_tiktok: Vec<_> = from_tiktok.filter(|id| notifications.iter().any(|known| known == id)).collect();
        assert_eq!(from_tiktok, notifications, "{customer}: {arrivals:#?}");
    }
}

/// Returns the bodies of the webhooks without repetitions, in the order in which they came first.
fn first_arrivals(arrivals: &[Arrival]) -> impl Iterator<Item = &Value> {
    let mut known = BTreeSet::new();
    arrivals.iter().filter(move |arrival| known.insert(&arrival.id)).map(|arrival| &arrival.body)
}

fn is_lifecycle(body: &Value) -> bool {
    body["type"].as_str().unwrap().starts_with("connection.")
}

async fn receive(arrivals: &Arrivals, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let id = head.headers["webhook-id"].to_str().unwrap().to_owned();
    // A webhook whose sender was killed in the middle has not come.
    let body: Value = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap();
    let customer = body["data"]["customer"].as_str().unwrap().to_owned();
    arrivals.lock().unwrap().entry(customer).or_default().push(Arrival { id, body });
    Ok(Response::default())
}
