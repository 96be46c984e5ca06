//! Tests requests through forward proxies that the tests script: proxies that open tunnels, refuse, do not answer, send
//! something other than HTTP, or close the connection early.

use std::sync::Mutex;

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::tls::{Root, TlsServer, body_of, is_only_a_handshake, named, valid};
use super::*;
use crate::egress::tunnel::Tunnel;
use crate::egress::{Proxy, ProxyFailure, SendError};
use crate::secret::Secret;

const OPENED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
const PROXY_NAME: &str = "proxy.internal";

/// What the proxy does after it has read the head of a request.
#[derive(Clone, Copy)]
enum Then {
    /// Sends these bytes and keeps the connection open.
    Answer(&'static [u8]),
    /// Sends these bytes and closes the connection.
    Close(&'static [u8]),
    /// Sends a head that does not end.
    EndlessHead,
    /// Opens a tunnel to this address.
    Tunnel(SocketAddr),
    /// Lets 4 seconds pass before TLS and 4 seconds after the request, then opens a tunnel to this address.
    TunnelLate(SocketAddr),
    /// Answers nothing in the handshake of TLS, and lets a minute pass.
    NoTls,
    /// Sends these bytes, and lets a minute pass.
    Silence(&'static [u8]),
}

/// Moves the paused clock on, second by second, and lets all tasks notice each second.
async fn let_time_pass(seconds: u32) {
    for _ in 0..seconds {
        tokio::time::advance(SECOND).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

/// Runs `work` while only [`let_time_pass`] moves the paused clock. Without this function the clock jumps to the next
/// deadline as soon as every task waits for the network.
async fn with_the_clock_in_hand<T>(work: impl Future<Output = T>) -> T {
    let busy = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = work => result,
        () = busy => unreachable!("the loop has no end"),
    }
}

/// A proxy on loopback. It records the head of each request. If it opens no tunnel, it also records the bytes that
/// follow the head.
struct ScriptedProxy {
    address: SocketAddr,
    heads: mpsc::UnboundedReceiver<String>,
    rest: mpsc::UnboundedReceiver<Vec<u8>>,
    /// Ends the proxy and its connections when the test drops it. Otherwise a proxy that lets time pass would move the
    /// clock of the next part of the test.
    _serving: JoinSet<()>,
}

impl ScriptedProxy {
    async fn start(then: Then) -> Self {
        Self::start_with(then, None).await
    }

    /// Starts a proxy that accepts only TLS.
    async fn start_over_tls(then: Then, acceptor: TlsAcceptor) -> Self {
        Self::start_with(then, Some(acceptor)).await
    }

    async fn start_with(then: Then, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (head, heads) = mpsc::unbounded_channel();
        let (after, rest) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let stream = listener.accept().await.unwrap().0;
                let (acceptor, head, after) = (acceptor.clone(), head.clone(), after.clone());
                connections.spawn(async move {
                    // The result is ignored, because the client may break the connection off.
                    let _ = match acceptor {
                        None => serve_proxy(stream, then, head, after).await,
                        Some(acceptor) => match accept(acceptor, stream, then).await {
                            Ok(stream) => serve_proxy(stream, then, head, after).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        Self { address, heads, rest, _serving: serving }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Starts TLS with a client. [`Then::TunnelLate`] first waits for 4 seconds.
async fn accept(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    then: Then,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    match then {
        Then::TunnelLate(_) => let_time_pass(4).await,
        Then::NoTls => {
            stream.readable().await?;
            let_time_pass(60).await;
        }
        Then::Answer(_) | Then::Close(_) | Then::EndlessHead | Then::Tunnel(_) | Then::Silence(_) => {}
    }
    acceptor.accept(stream).await
}

async fn serve_proxy(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    then: Then,
    heads: mpsc::UnboundedSender<String>,
    after: mpsc::UnboundedSender<Vec<u8>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    heads.send(String::from_utf8_lossy(&head).into_owned()).unwrap();
    match then {
        Then::Answer(bytes) => stream.write_all(bytes).await?,
        Then::Close(bytes) => {
            stream.write_all(bytes).await?;
            stream.shutdown().await?;
        }
        Then::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            while stream
                .write_all(b"x-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
                .await
                .is_ok()
            {}
        }
        Then::Tunnel(address) => {
            stream.write_all(OPENED).await?;
            copy_bidirectional(&mut stream, &mut TcpStream::connect(address).await?).await?;
        }
        Then::TunnelLate(address) => {
            let_time_pass(4).await;
            stream.write_all(OPENED).await?;
            copy_bidirectional(&mut stream, &mut TcpStream::connect(address).await?).await?;
        }
        Then::NoTls => {}
        Then::Silence(bytes) => {
            stream.write_all(bytes).await?;
            // After the head of the tunnel, the client begins TLS in it. So it has read the head when a byte comes.
            if !bytes.is_empty() {
                stream.read_u8().await?;
            }
            let_time_pass(60).await;
        }
    }
    let mut rest = Vec::new();
    let _broken = stream.read_to_end(&mut rest).await;
    after.send(rest).unwrap();
    Ok(())
}

/// A resolver that resolves every name to loopback, and records the names.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

#[async_trait]
impl Resolver for Recorder {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.lock().unwrap().push(name.to_owned());
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

/// Creates a client that uses this proxy, and that trusts these authorities for TikTok Shop.
pub(super) fn client_through(proxy: Proxy, resolver: Arc<dyn Resolver>, roots: RootCertStore) -> Client {
    let deadlines = Deadlines::default();
    let route = Route::Proxy(Tunnel::new(proxy, resolver, deadlines).unwrap());
    let connector = Connector::with_roots(route, roots, BTreeMap::new(), deadlines).unwrap();
    Client::with_connector(connector, deadlines, RESPONSE_BYTES)
}

/// Creates a client with this proxy, in the same way as for an embedder.
fn production_client(proxy: &str) -> Client {
    client(EgressPolicy::production().proxy(proxy.parse().unwrap()).resolver(Arc::new(Recorder::default())))
}

/// Sends a request that must fail at the proxy. Returns the error code for the guest, and the failure of the proxy.
async fn proxy_failure(client: &Client) -> (String, ProxyFailure) {
    let sent = client.send(Authority::Auth, get(TOKEN_URL), RequestOptions::default()).await;
    let SendError { code, proxy } = sent.unwrap_err();
    (format!("{code:?}"), proxy.unwrap().failure())
}

#[tokio::test]
async fn the_proxy_is_asked_for_the_two_names_and_tls_ends_behind_it() {
    let root = Root::new();
    for (protocols, version) in [(["h2", "http/1.1"].as_slice(), Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)] {
        let mut server = TlsServer::start(root.issue(&valid()), protocols, rustls::ALL_VERSIONS).await;
        let mut proxy = ScriptedProxy::start(Then::Tunnel(server.address)).await;
        let resolver = Arc::new(Recorder::default());
        let address = format!("http://{PROXY_NAME}:{}", proxy.address.port());
        let client = client_through(address.parse().unwrap(), Arc::clone(&resolver) as Arc<_>, root.trusted());
        for url in [TOKEN_URL, TOKEN_URL, API_URL, TOKEN_URL] {
            assert_eq!(body_of(fetch(&client, url, RequestOptions::default()).await).await, "{}");
        }
        for name in ["auth.tiktok-shops.com", "open-api.tiktokglobalshop.com"] {
            let head = format!("CONNECT {name}:443 HTTP/1.1\r\nhost: {name}:443\r\n\r\n");
            assert_eq!(proxy.heads.recv().await, Some(head));
            assert_eq!(server.handshakes.recv().await.unwrap().name, name);
        }
        assert!(proxy.heads.try_recv().is_err(), "requests to one server share a tunnel");
        let mut requests = Vec::new();
        while let Ok(request) = server.requests.try_recv() {
            requests.push(request);
        }
        let (auth, api) = ("auth.tiktok-shops.com".to_owned(), "open-api.tiktokglobalshop.com".to_owned());
        let expected = [(0, auth.clone()), (0, auth.clone()), (1, api), (0, auth)];
        assert_eq!(requests, expected.map(|(connection, host)| (connection, version, host)));
        // Only the name of the proxy is resolved. The host accepts its address, although the address is not public.
        assert_eq!(*resolver.0.lock().unwrap(), [PROXY_NAME; 2]);
    }
}

#[tokio::test]
async fn credentials_go_to_the_proxy_and_not_further() {
    let root = Root::new();
    let mut server = TlsServer::start(root.issue(&valid()), &[], rustls::ALL_VERSIONS).await;
    let mut proxy = ScriptedProxy::start(Then::Tunnel(server.address)).await;
    let address: Proxy = proxy.url().parse().unwrap();
    let password = Secret::from("s3cret-of-the-proxy");
    let address = address.credentials("connector", &password).unwrap();
    let client = client_through(address.clone(), Arc::new(Scripted(None)), root.trusted());
    assert_eq!(body_of(send(&client).await).await, "{}");
    // The expected value was computed with Python's base64.
    let coded = "Basic Y29ubmVjdG9yOnMzY3JldC1vZi10aGUtcHJveHk=";
    let head = proxy.heads.recv().await.unwrap();
    assert!(head.contains(&format!("\r\nproxy-authorization: {coded}\r\n")), "{head}");
    assert!(server.requests.recv().await.is_some());
    let policy = EgressPolicy::production().proxy(address);
    let shown = format!("{policy:?}");
    assert!(shown.contains(&proxy.url()), "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains("Y29ubmVjdG9y"), "{shown}");
}

#[tokio::test]
async fn a_stand_in_is_reached_without_the_proxy() {
    let server = Server::start(Answer::KeepOpen(OK)).await;
    let mut proxy = ScriptedProxy::start(Then::Close(b"")).await;
    let policy = EgressPolicy::production().proxy(proxy.url().parse().unwrap());
    let client = client(policy.stand_in(Authority::Auth, server.address).unwrap());
    assert_eq!(send(&client).await.unwrap().status(), 200);
    assert_eq!(proxy.heads.try_recv(), Err(TryRecvError::Empty));
    let error = fetch(&client, API_URL, RequestOptions::default()).await.unwrap_err();
    assert_eq!(format!("{error:?}"), "DestinationUnavailable");
    assert!(proxy.heads.recv().await.unwrap().starts_with("CONNECT open-api.tiktokglobalshop.com:443 "));
}

#[tokio::test]
async fn a_request_that_the_first_check_denies_does_not_reach_the_proxy() {
    let mut proxy = ScriptedProxy::start(Then::Close(b"")).await;
    let client = production_client(&proxy.url());
    for url in ["https://example.com/", "https://127.0.0.1/", "https://auth.tiktok-shops.com:8443/", "http://[::1]/"] {
        let error = fetch(&client, url, RequestOptions::default()).await.unwrap_err();
        assert_eq!(format!("{error:?}"), "HttpRequestDenied", "{url}");
    }
    assert_eq!(proxy.heads.try_recv(), Err(TryRecvError::Empty));
}

/// In all these cases, nothing is sent to TikTok Shop, and the error code tells the guest that nothing was sent.
#[tokio::test]
async fn every_answer_that_opens_no_tunnel_has_a_reason_of_its_own() {
    let unavailable = "DestinationUnavailable";
    let cases: [(Then, ProxyFailure); 17] = [
        (Then::Answer(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), ProxyFailure::CredentialsMissing(407)),
        (Then::Answer(b"HTTP/1.0 403 Filtered\r\ncontent-length: 9\r\n\r\nforbidden"), ProxyFailure::Forbidden),
        (Then::Answer(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), ProxyFailure::NoConnection(502)),
        (Then::Answer(b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\n\r\n"), ProxyFailure::NoConnection(503)),
        (Then::Answer(b"HTTP/1.1 504 Late\r\n\r\n"), ProxyFailure::NoConnection(504)),
        (Then::Answer(b"HTTP/1.1 500 Unable to connect\r\n\r\n"), ProxyFailure::NoConnection(500)),
        (Then::Answer(b"HTTP/1.1 404 Not Found\r\n\r\n"), ProxyFailure::OtherStatus(404)),
        (
            Then::Answer(b"HTTP/1.1 302 Found\r\nlocation: https://login.example/\r\n\r\n"),
            ProxyFailure::OtherStatus(302),
        ),
        (Then::Close(b""), ProxyFailure::Closed),
        (Then::Close(b"HTTP/1.1 200 Conn"), ProxyFailure::Closed),
        (Then::Close(b"HTTP/1.1 200 OK\r\nx: y\r\n"), ProxyFailure::Closed),
        (Then::Answer(b"SSH-2.0-OpenSSH_9.2\r\n"), ProxyFailure::NotHttp),
        (Then::Answer(b"\x15\x03\x01\x00\x02\x02\x16"), ProxyFailure::NotHttp),
        (Then::Answer(b"HTTP/1.1 2000 OK\r\n\r\n"), ProxyFailure::NotHttp),
        (Then::Answer(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), ProxyFailure::NotHttp),
        (Then::Answer(b"\x05\xff"), ProxyFailure::NotHttp),
        (Then::EndlessHead, ProxyFailure::HeadTooLarge),
    ];
    for (then, failure) in cases {
        let mut proxy = ScriptedProxy::start(then).await;
        let client = production_client(&proxy.url());
        assert_eq!(proxy_failure(&client).await, (unavailable.to_owned(), failure), "{failure:?}");
        let head = proxy.heads.recv().await.unwrap();
        assert!(head.starts_with("CONNECT auth.tiktok-shops.com:443 "), "{head}");
        assert_eq!(proxy.rest.recv().await.unwrap(), b"", "{failure:?}: nothing follows the head");
    }
}

#[tokio::test]
async fn credentials_that_the_proxy_refuses_are_told_from_missing_ones() {
    let proxy = ScriptedProxy::start(Then::Answer(b"HTTP/1.1 407 No\r\n\r\n")).await;
    let client = production_client(&format!("http://user:s3cret-of-the-proxy@{}", proxy.address));
    let sent = client.send(Authority::Auth, get(TOKEN_URL), RequestOptions::default()).await;
    let error = sent.unwrap_err().proxy.unwrap();
    assert_eq!(error.failure(), ProxyFailure::CredentialsRefused(407));
    let expected = "does not accept the configured user and password (HTTP 407); correct them";
    assert_eq!(error.to_string(), format!("the proxy {} {expected}", proxy.url()));
}

#[tokio::test]
async fn a_proxy_that_is_away_is_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let client = production_client(&format!("http://{closed}"));
    assert_eq!(proxy_failure(&client).await, ("ConnectionRefused".to_owned(), ProxyFailure::Refused));
    for resolver in [Scripted(Some(Err(io::ErrorKind::NotFound.into()))), Scripted(Some(Ok(Vec::new())))] {
        let proxy = format!("http://{PROXY_NAME}:3128").parse().unwrap();
        let client = client_through(proxy, Arc::new(resolver), production_roots());
        assert_eq!(proxy_failure(&client).await, ("DestinationUnavailable".to_owned(), ProxyFailure::NotResolved));
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_hangs_ends_at_the_deadline() {
    for then in
        [Then::Answer(b""), Then::Answer(b"HTTP/1.1 200 OK\r\n"), Then::Answer(b"HTTP/1.1 100 Continue\r\n\r\n")]
    {
        let mut proxy = ScriptedProxy::start(then).await;
        let client = production_client(&proxy.url());
        let started = Instant::now();
        assert_eq!(proxy_failure(&client).await, ("DestinationUnavailable".to_owned(), ProxyFailure::AnswerTimeout));
        assert_eq!(started.elapsed().as_secs(), 5);
        assert_eq!(proxy.rest.recv().await.unwrap(), b"");
    }
    let proxy = format!("http://{PROXY_NAME}:3128").parse().unwrap();
    let client = client_through(proxy, Arc::new(Scripted(None)), production_roots());
    let started = Instant::now();
    assert_eq!(proxy_failure(&client).await, ("DestinationUnavailable".to_owned(), ProxyFailure::NotResolved));
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_tunnel_that_breaks_before_tls_is_a_failure_of_the_proxy() {
    for then in [Then::Close(OPENED), Then::Close(b"HTTP/1.0 200 OK\r\nvia: 1.1 x\r\n\r\n")] {
        let mut proxy = ScriptedProxy::start(then).await;
        let client = production_client(&proxy.url());
        assert_eq!(proxy_failure(&client).await, ("DestinationUnavailable".to_owned(), ProxyFailure::TunnelBroken));
        let received = proxy.rest.recv().await.unwrap();
        assert!(received.is_empty() || is_only_a_handshake(&received), "{received:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_in_which_nobody_answers_ends_at_the_deadline() {
    let mut proxy = ScriptedProxy::start(Then::Answer(OPENED)).await;
    let client = production_client(&proxy.url());
    let started = Instant::now();
    assert_eq!(proxy_failure(&client).await, ("DestinationUnavailable".to_owned(), ProxyFailure::TunnelBroken));
    assert_eq!(started.elapsed().as_secs(), 5);
    assert!(is_only_a_handshake(&proxy.rest.recv().await.unwrap()));
}

/// Returns an acceptor for TLS with a proxy of the name [`PROXY_NAME`], and the address of a proxy at this port.
fn tls_of_proxy(root: &Root) -> (TlsAcceptor, impl Fn(u16) -> Proxy) {
    let acceptor = TlsAcceptor::from(root.issue(&named(&[PROXY_NAME])).server(&[], rustls::ALL_VERSIONS));
    let pem = root.pem();
    let at = move |port| {
        let proxy = format!("https://{PROXY_NAME}:{port}").parse::<Proxy>().unwrap();
        proxy.certificate_authorities(pem.as_bytes()).unwrap()
    };
    (acceptor, at)
}

/// The steps to a connection take 8 seconds here, longer than the guest's deadline for the first byte.
#[tokio::test(start_paused = true)]
async fn the_deadline_for_the_first_byte_begins_when_tls_with_tiktok_shop_is_there() {
    let (root_of_proxy, root) = (Root::new(), Root::new());
    let server = TlsServer::start(root.issue(&valid()), &["h2"], rustls::ALL_VERSIONS).await;
    let (acceptor, at) = tls_of_proxy(&root_of_proxy);
    let proxy = ScriptedProxy::start_over_tls(Then::TunnelLate(server.address), acceptor).await;
    let client = || client_through(at(proxy.address.port()), Arc::new(Recorder::default()), root.trusted());

    let started = Instant::now();
    let options = RequestOptions { first_byte_timeout: Some(SECOND), ..RequestOptions::default() };
    let body = with_the_clock_in_hand(async { body_of(fetch(&client(), TOKEN_URL, options).await).await }).await;
    assert_eq!((&*body, started.elapsed().as_secs()), (b"{}".as_slice(), 8));

    // The guest's deadline for connecting covers all steps, and its error says that nothing was sent.
    let started = Instant::now();
    let options = RequestOptions { connect_timeout: Some(6 * SECOND), ..RequestOptions::default() };
    let error = with_the_clock_in_hand(fetch(&client(), TOKEN_URL, options)).await.unwrap_err();
    assert_eq!((format!("{error:?}").as_str(), started.elapsed().as_secs()), ("DestinationUnavailable", 6));
}

#[tokio::test(start_paused = true)]
async fn each_step_through_an_https_proxy_has_a_deadline_of_its_own() {
    let (root_of_proxy, root) = (Root::new(), Root::new());
    let (acceptor, at) = tls_of_proxy(&root_of_proxy);
    let late = ("DestinationUnavailable".to_owned(), ProxyFailure::AnswerTimeout);
    for (then, expected) in [
        // The proxy accepts the connection, and does not answer in the TLS handshake.
        (Then::NoTls, late.clone()),
        // The proxy does not answer `CONNECT`.
        (Then::Silence(b""), late),
        // Nobody answers in the tunnel.
        (Then::Silence(OPENED), ("DestinationUnavailable".to_owned(), ProxyFailure::TunnelBroken)),
    ] {
        let proxy = ScriptedProxy::start_over_tls(then, acceptor.clone()).await;
        let client = client_through(at(proxy.address.port()), Arc::new(Recorder::default()), root.trusted());
        let started = Instant::now();
        assert_eq!(with_the_clock_in_hand(proxy_failure(&client)).await, expected);
        assert_eq!(started.elapsed().as_secs(), 5, "{expected:?}");
    }
}

/// A proxy that inspects TLS presents a certificate that its own authority has issued.
#[tokio::test]
async fn a_proxy_that_opens_tls_gets_nothing() {
    let root = Root::new();
    for (identity, roots) in [
        (root.issue(&valid()), production_roots()),
        (root.issue(&named(&["proxy.internal"])), root.trusted()),
        (root.issue(&named(&[Authority::Api.host()])), root.trusted()),
    ] {
        let mut server = TlsServer::start(identity, &["h2", "http/1.1"], rustls::ALL_VERSIONS).await;
        let proxy = ScriptedProxy::start(Then::Tunnel(server.address)).await;
        let client = client_through(proxy.url().parse().unwrap(), Arc::new(Scripted(None)), roots);
        let expected = ("TlsCertificateError".to_owned(), ProxyFailure::TunnelNotTikTokShop);
        assert_eq!(proxy_failure(&client).await, expected);
        assert!(server.handshakes.recv().await.is_some());
        drop(client);
        assert!(!server.received_a_request());
    }
}

#[tokio::test]
async fn a_proxy_can_be_reached_over_tls_with_its_own_authority() {
    let (root_of_proxy, root) = (Root::new(), Root::new());
    let mut server = TlsServer::start(root.issue(&valid()), &["h2"], rustls::ALL_VERSIONS).await;
    let acceptor = || TlsAcceptor::from(root_of_proxy.issue(&named(&[PROXY_NAME])).server(&[], rustls::ALL_VERSIONS));
    let mut proxy = ScriptedProxy::start_over_tls(Then::Tunnel(server.address), acceptor()).await;
    let address = |name: &str| format!("https://{name}:{}", proxy.address.port()).parse::<Proxy>().unwrap();
    let trusting = |name: &str, root: &Root| address(name).certificate_authorities(root.pem().as_bytes()).unwrap();
    let client = |proxy| client_through(proxy, Arc::new(Recorder::default()), root.trusted());

    assert_eq!(body_of(send(&client(trusting(PROXY_NAME, &root_of_proxy))).await).await, "{}");
    assert_eq!(server.requests.recv().await.unwrap().1, Version::HTTP_2);
    let untrusted = [address(PROXY_NAME), trusting(PROXY_NAME, &root), trusting("other.internal", &root_of_proxy)];
    for proxy in untrusted {
        assert_eq!(proxy_failure(&client(proxy)).await, ("TlsCertificateError".to_owned(), ProxyFailure::Certificate));
    }
    assert!(proxy.heads.recv().await.unwrap().starts_with("CONNECT auth."));
    assert!(proxy.heads.try_recv().is_err(), "a proxy that does not prove its name is not asked");

    // The host trusts the proxy's certificate authority only for TLS to the proxy, and not for TLS to TikTok Shop.
    let forged = TlsServer::start(root_of_proxy.issue(&valid()), &["h2"], rustls::ALL_VERSIONS).await;
    let intercepting = ScriptedProxy::start_over_tls(Then::Tunnel(forged.address), acceptor()).await;
    let address = format!("https://{PROXY_NAME}:{}", intercepting.address.port()).parse::<Proxy>().unwrap();
    let address = address.certificate_authorities(root_of_proxy.pem().as_bytes()).unwrap();
    let expected = ("TlsCertificateError".to_owned(), ProxyFailure::TunnelNotTikTokShop);
    assert_eq!(proxy_failure(&client(address)).await, expected);

    let server = raw_answer(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let not_tls = format!("https://{server}").parse::<Proxy>().unwrap();
    assert_eq!(proxy_failure(&client(not_tls)).await, ("DestinationUnavailable".to_owned(), ProxyFailure::Tls));
}

/// Starts a server that sends these bytes to each client and then closes the connection.
async fn raw_answer(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let mut stream = listener.accept().await.unwrap().0;
            let _ = stream.write_all(bytes).await;
        }
    });
    address
}

#[test]
fn every_failure_of_a_proxy_becomes_an_error_that_says_that_nothing_was_sent() {
    for (failure, error) in [
        (ProxyFailure::NotResolved, "DestinationUnavailable"),
        (ProxyFailure::Refused, "ConnectionRefused"),
        (ProxyFailure::Unreachable, "DestinationUnavailable"),
        (ProxyFailure::ConnectTimeout, "DestinationUnavailable"),
        (ProxyFailure::Certificate, "TlsCertificateError"),
        (ProxyFailure::Tls, "DestinationUnavailable"),
        (ProxyFailure::AnswerTimeout, "DestinationUnavailable"),
        (ProxyFailure::Closed, "DestinationUnavailable"),
        (ProxyFailure::NotHttp, "DestinationUnavailable"),
        (ProxyFailure::HeadTooLarge, "DestinationUnavailable"),
        (ProxyFailure::CredentialsMissing(407), "DestinationUnavailable"),
        (ProxyFailure::CredentialsRefused(407), "DestinationUnavailable"),
        (ProxyFailure::Forbidden, "DestinationUnavailable"),
        (ProxyFailure::NoConnection(502), "DestinationUnavailable"),
        (ProxyFailure::OtherStatus(404), "DestinationUnavailable"),
        (ProxyFailure::TunnelBroken, "DestinationUnavailable"),
        (ProxyFailure::TunnelNotTikTokShop, "TlsCertificateError"),
    ] {
        assert_eq!(format!("{:?}", Error::from(failure)), error, "{failure:?}");
    }
}
