//! Tests the HTTP client against a scripted server on loopback. In most tests the clock is paused: when all tasks wait,
//! the clock jumps to the next deadline.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks as _};

use super::connect::{Connector, Route};
use super::dial::Dialer;
use super::tls::production_roots;
use super::{Authority, Client, EgressPolicy, LastProxyError, NotLoopback, Resolver};
use crate::deadlines::Deadlines;
use crate::guest::Secrets;
use crate::guest::http::GuestHttp;
use crate::metrics::HostMetrics;

mod environment;
mod idle;
mod real_proxy;
mod tls;
mod tunnel;

const TOKEN_URL: &str = "https://auth.tiktok-shops.com/api/v2/token/get?app_secret=s3cret&b=%2F";
const API_URL: &str = "https://open-api.tiktokglobalshop.com/authorization/202309/shops";
const RESPONSE_BYTES: u64 = 64;
const SECOND: Duration = Duration::from_secs(1);

/// The server's answer after it has read the head of a request.
#[derive(Clone)]
enum Answer {
    /// Sends this text and keeps the connection open.
    KeepOpen(&'static str),
    /// Sends this text and closes the connection.
    Close(&'static str),
    /// Sends this text, then one byte every four seconds.
    Drip(&'static str),
}

/// A server on loopback. It counts connections and records the heads of requests.
struct Server {
    address: SocketAddr,
    heads: mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
    /// Gets a message for each connection that has ended.
    ended: mpsc::UnboundedReceiver<()>,
}

impl Server {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, heads) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let (end, ended) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let (serving, end) = (serve(stream, answer.clone(), seen.clone()), end.clone());
                tokio::spawn(async move {
                    let _ = serving.await;
                    let _ = end.send(());
                });
            }
        });
        Self { address, heads, connections, ended }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, seen: mpsc::UnboundedSender<String>) -> io::Result<()> {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let _ = seen.send(String::from_utf8_lossy(&head).into_owned());
        head.clear();
        match answer {
            Answer::KeepOpen(text) => stream.write_all(text.as_bytes()).await?,
            Answer::Close(text) => return stream.write_all(text.as_bytes()).await,
            Answer::Drip(text) => {
                stream.write_all(text.as_bytes()).await?;
                loop {
                    tokio::time::sleep(4 * SECOND).await;
                    stream.write_all(b"x").await?;
                }
            }
        }
    }
}

/// A resolver of host names that always returns this result. If the field is `None`, the resolver never answers.
struct Scripted(Option<io::Result<Vec<IpAddr>>>);

#[async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        match &self.0 {
            Some(Ok(addresses)) => Ok(addresses.clone()),
            Some(Err(error)) => Err(error.kind().into()),
            None => std::future::pending().await,
        }
    }
}

fn client(policy: EgressPolicy) -> Client {
    Client::new(policy, Deadlines::default(), RESPONSE_BYTES, HostMetrics::default()).unwrap()
}

fn client_to(server: &Server) -> Client {
    client(EgressPolicy::production().stand_in(Authority::Auth, server.address).unwrap())
}

fn client_resolving(addresses: Option<io::Result<Vec<IpAddr>>>) -> Client {
    client(EgressPolicy::production().resolver(Arc::new(Scripted(addresses))))
}

/// Creates a client that connects to a local port over TLS. The client skips the address check.
fn client_over_tls(address: SocketAddr, roots: RootCertStore) -> Client {
    client_with_check(&[address.ip()], address.port(), roots, |_| true)
}

fn client_with_check(addresses: &[IpAddr], port: u16, roots: RootCertStore, is_allowed: fn(IpAddr) -> bool) -> Client {
    let deadlines = Deadlines::default();
    let resolver = Arc::new(Scripted(Some(Ok(addresses.to_vec()))));
    let dialer = Dialer { resolver, timeout: deadlines.connect, is_allowed, port };
    let connector = Connector::with_roots(Route::Direct(dialer), roots, BTreeMap::new(), deadlines).unwrap();
    Client::with_connector(connector, deadlines, RESPONSE_BYTES)
}

fn get(url: &str) -> Request<WasiBody> {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    Request::builder().uri(url).body(body).unwrap()
}

/// Sends a request as the guest of a call that has just started.
async fn fetch(client: &Client, url: &str, options: RequestOptions) -> Result<Response<WasiBody>, Error> {
    fetch_in_call(Instant::now(), client, url, options).await
}

/// Sends a request with `send_request`, as `wasi:http` does for the guest of a call that began at `call_started`.
async fn fetch_in_call(
    call_started: Instant,
    client: &Client,
    url: &str,
    options: RequestOptions,
) -> Result<Response<WasiBody>, Error> {
    let mut http = guest_http(client, call_started);
    let sending = http.send_request(get(url), Some(options), Box::new(std::future::ready(Ok(()))));
    Ok(Box::into_pin(sending).await?.0)
}

fn guest_http(client: &Client, call_started: Instant) -> GuestHttp {
    GuestHttp {
        client: client.clone(),
        call_started,
        last_token_request: SECOND,
        secrets: Secrets::default(),
        last_proxy_error: LastProxyError::default(),
    }
}

async fn send(client: &Client) -> Result<Response<WasiBody>, Error> {
    fetch(client, TOKEN_URL, RequestOptions::default()).await
}

async fn request_error(client: &Client) -> String {
    format!("{:?}", send(client).await.unwrap_err())
}

async fn body_error(client: &Client) -> String {
    format!("{:?}", send(client).await.unwrap().into_body().collect().await.unwrap_err())
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test(start_paused = true)]
async fn a_stand_in_receives_the_request_that_the_production_host_would_receive() {
    let mut server = Server::start(Answer::KeepOpen(OK)).await;
    let response = send(&client_to(&server)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
    let head = server.heads.recv().await.unwrap();
    assert_eq!(head, "GET /api/v2/token/get?app_secret=s3cret&b=%2F HTTP/1.1\r\nhost: auth.tiktok-shops.com\r\n\r\n");
}

#[test]
fn a_stand_in_must_be_on_this_machine() {
    let address = SocketAddr::from(([192, 168, 1, 1], 80));
    let error = EgressPolicy::production().stand_in(Authority::Api, address).unwrap_err();
    assert_eq!(error, NotLoopback(address));
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_for_one_host_does_not_stand_in_for_the_other() {
    let server = Server::start(Answer::KeepOpen(OK)).await;
    let policy = EgressPolicy::production()
        .resolver(Arc::new(Scripted(Some(Ok(vec![Ipv4Addr::LOCALHOST.into()])))))
        .stand_in(Authority::Auth, server.address)
        .unwrap();
    let error = fetch(&client(policy), API_URL, RequestOptions::default()).await.unwrap_err();
    assert_eq!(format!("{error:?}"), "DestinationIpProhibited");
    assert_eq!(server.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_returned_and_not_followed() {
    let server = Server::start(Answer::KeepOpen(
        "HTTP/1.1 302 Found\r\nlocation: https://open-api.tiktokglobalshop.com/\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let response = send(&client_to(&server)).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "https://open-api.tiktokglobalshop.com/");
    assert_eq!(server.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_to_any_other_host_is_denied_before_its_name_is_resolved() {
    let server = Server::start(Answer::KeepOpen(OK)).await;
    let local = [
        format!("https://{}/", server.address),
        format!("http://{}/", server.address),
        format!("https://auth.tiktok-shops.com:{}/", server.address.port()),
    ];
    let elsewhere = [
        "https://example.com/",
        "https://auth.tiktok-shops.com.example.com/",
        "https://example.com/auth.tiktok-shops.com",
        "https://auth.tiktok-shops.com@example.com/",
        "https://services.tiktokshop.com/",
        "http://auth.tiktok-shops.com/",
        "http://auth.tiktok-shops.com:443/",
        "ws://auth.tiktok-shops.com/",
        "https://auth.tiktok-shops.com:80/",
        "https://auth.tiktok-shops.com./",
        "https://open-api.tiktokglobalshop.com:8443/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://1.1.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[2606:4700::1111]/",
    ];
    let started = Instant::now();
    // The resolver never answers, so a request that passes the check would end in `DnsTimeout`.
    let policy = EgressPolicy::production().resolver(Arc::new(Scripted(None)));
    let client = client(policy.stand_in(Authority::Auth, server.address).unwrap());
    for url in local.iter().map(String::as_str).chain(elsewhere) {
        let error = fetch(&client, url, RequestOptions::default()).await.unwrap_err();
        assert_eq!(format!("{error:?}"), "HttpRequestDenied", "{url}");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(server.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_request_that_is_too_late_to_save_its_tokens_is_not_sent() {
    let server = Server::start(Answer::KeepOpen(OK)).await;
    let policy = EgressPolicy::production().stand_in(Authority::Auth, server.address).unwrap();
    let client = client(policy.stand_in(Authority::Api, server.address).unwrap());
    let started = Instant::now();
    let options = RequestOptions::default;
    tokio::time::advance(SECOND).await;
    assert_eq!(fetch_in_call(started, &client, TOKEN_URL, options()).await.unwrap().status(), 200);

    let before = server.connections();
    tokio::time::advance(Duration::from_millis(1)).await;
    let error = fetch_in_call(started, &client, TOKEN_URL, options()).await.unwrap_err();
    assert_eq!(format!("{error:?}"), "DestinationUnavailable");
    assert_eq!(server.connections(), before);
    assert_eq!(fetch_in_call(started, &client, API_URL, options()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_admitted_name_with_only_private_addresses_gets_no_connection() {
    let private = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fd00:ec2::254"];
    let addresses = private.iter().map(|address| address.parse().unwrap()).collect();
    assert_eq!(request_error(&client_resolving(Some(Ok(addresses)))).await, "DestinationIpProhibited");
    assert_eq!(request_error(&client_resolving(Some(Ok(Vec::new())))).await, "DestinationIpProhibited");
}

#[tokio::test(start_paused = true)]
async fn connections_go_only_to_addresses_that_passed_the_check() {
    let server = Server::start(Answer::KeepOpen(OK)).await;
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let client = |addresses: &[IpAddr]| {
        client_with_check(addresses, server.address.port(), production_roots(), |address| {
            address != IpAddr::V4(Ipv4Addr::LOCALHOST)
        })
    };
    assert_eq!(request_error(&client(&[server.address.ip()])).await, "DestinationIpProhibited");
    // Nobody listens at the second address, the only one that passes the check.
    assert_eq!(request_error(&client(&[server.address.ip(), other, server.address.ip()])).await, "ConnectionRefused");
    assert_eq!(server.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn failures_before_a_connection_have_errors_of_their_own() {
    assert_eq!(request_error(&client_resolving(None)).await, "DnsTimeout");
    let failed = Err(io::ErrorKind::NotFound.into());
    assert_eq!(request_error(&client_resolving(Some(failed))).await, "DnsError { rcode: None, info_code: None }");

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let client = client(EgressPolicy::production().stand_in(Authority::Auth, closed).unwrap());
    assert_eq!(request_error(&client).await, "ConnectionRefused");
}

#[tokio::test(start_paused = true)]
async fn a_response_without_a_first_byte_ends_at_its_deadline() {
    let server = Server::start(Answer::KeepOpen("")).await;
    let started = Instant::now();
    assert_eq!(request_error(&client_to(&server)).await, "ConnectionReadTimeout");
    assert_eq!(started.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_guest_can_shorten_a_deadline_but_not_extend_it() {
    let server = Server::start(Answer::KeepOpen("")).await;
    let client = client_to(&server);
    for (guest, expected) in [(2, 2), (3_600, 15)] {
        let options = RequestOptions { first_byte_timeout: Some(guest * SECOND), ..RequestOptions::default() };
        let started = Instant::now();
        let error = fetch(&client, TOKEN_URL, options).await.unwrap_err();
        assert_eq!(format!("{error:?}"), "ConnectionReadTimeout");
        assert_eq!(started.elapsed().as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_ends_at_the_deadline_between_bytes() {
    let server = Server::start(Answer::KeepOpen("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")).await;
    let started = Instant::now();
    assert_eq!(body_error(&client_to(&server)).await, "ConnectionReadTimeout");
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_ends_at_the_deadline_of_the_request() {
    let server = Server::start(Answer::Drip("HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n")).await;
    let started = Instant::now();
    assert_eq!(body_error(&client_to(&server)).await, "HttpResponseTimeout");
    assert_eq!(started.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_refused_with_or_without_an_announced_length() {
    let server = Server::start(Answer::KeepOpen("HTTP/1.1 200 OK\r\ncontent-length: 65\r\n\r\n")).await;
    assert_eq!(request_error(&client_to(&server)).await, "HttpResponseBodySize(Some(65))");

    let server = Server::start(Answer::KeepOpen(concat!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "32\r\n12345678901234567890123456789012345678901234567890\r\n",
        "f\r\n123456789012345\r\n",
    )))
    .await;
    assert_eq!(body_error(&client_to(&server)).await, "HttpResponseBodySize(None)");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_after_the_request_has_an_error_of_its_own() {
    let server = Server::start(Answer::Close("")).await;
    assert_eq!(request_error(&client_to(&server)).await, "ConnectionTerminated");
    let server = Server::start(Answer::Close("not http\r\n\r\n")).await;
    assert_eq!(request_error(&client_to(&server)).await, "HttpProtocolError");
    let server = Server::start(Answer::Close("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")).await;
    assert_eq!(body_error(&client_to(&server)).await, "HttpResponseIncomplete");
}

/// Creates a body whose first piece is ready. The body ends when the returned sender sends a message, and fails when
/// the sender is dropped.
fn unfinished(first: &'static str) -> (WasiBody, oneshot::Sender<()>) {
    let (finish, finished) = oneshot::channel::<()>();
    let pieces = futures::stream::once(async move { Ok(Frame::data(Bytes::from_static(first.as_bytes()))) });
    let end = futures::stream::once(finished)
        .filter_map(|outcome| async move { outcome.is_err().then_some(Err(Error::HttpRequestBodySize(None))) });
    (StreamBody::new(pieces.chain(end)).boxed_unsync(), finish)
}

#[tokio::test]
async fn a_request_is_sent_only_after_the_guest_has_finished_it() {
    let mut server = Server::start(Answer::KeepOpen("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let client = client_to(&server);
    let post = |body| {
        let request = Request::post(TOKEN_URL).header("content-length", "2").body(body).unwrap();
        client.send(Authority::Auth, request, RequestOptions::default())
    };
    let (body, finish) = unfinished("{}");
    let mut sending = std::pin::pin!(post(body));
    assert!(futures::poll!(&mut sending).is_pending());
    assert_eq!(server.connections(), 0, "all bytes of the body are there, but not its end");
    finish.send(()).unwrap();
    assert_eq!(sending.await.unwrap().status(), 200);
    assert!(server.heads.recv().await.unwrap().starts_with("POST "));

    let (body, abandoned) = unfinished("{}");
    drop(abandoned);
    assert!(matches!(post(body).await.unwrap_err().code, Error::HttpRequestBodySize(None)));
    let large = Full::new(Bytes::from(vec![b'x'; (16 << 20) + 1])).map_err(|never| match never {}).boxed_unsync();
    assert!(matches!(post(large).await.unwrap_err().code, Error::HttpRequestBodySize(Some(0x0100_0000))));
    assert!(server.heads.try_recv().is_err(), "nothing of the two requests was sent");
}

/// Nothing is sent before the body is complete, so the error must be one that says so.
#[tokio::test(start_paused = true)]
async fn a_request_that_the_guest_does_not_finish_in_time_is_certainly_not_sent() {
    let server = Server::start(Answer::KeepOpen(OK)).await;
    let client = client_to(&server);
    let (body, _unfinished) = unfinished("{}");
    let request = Request::post(TOKEN_URL).body(body).unwrap();
    let started = Instant::now();
    let error = client.send(Authority::Auth, request, RequestOptions::default()).await.unwrap_err();
    assert!(matches!(error.code, Error::DestinationUnavailable), "{:?}", error.code);
    assert_eq!((started.elapsed().as_secs(), server.connections()), (25, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_to_one_host_share_a_connection() {
    let server = Server::start(Answer::KeepOpen(OK)).await;
    let client = client_to(&server);
    for _ in 0..3 {
        send(&client.clone()).await.unwrap().into_body().collect().await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}
