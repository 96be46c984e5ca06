//! Tests real TLS connections to servers with and without a valid certificate. The tests have their own certificate
//! authorities, and set the roots of trust, the port and the address check. Everything else is production code.

use base64::Engine as _;
use http::Version;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::sync::Semaphore;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::*;

/// A certificate authority of the test.
pub(super) struct Root {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate chain and its private key.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Root {
    pub(super) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    /// Returns roots of trust that contain only this authority.
    pub(super) fn trusted(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    /// Returns the certificate of this authority in PEM.
    pub(super) fn pem(&self) -> String {
        let coded = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        format!("-----BEGIN CERTIFICATE-----\n{coded}\n-----END CERTIFICATE-----\n")
    }

    pub(super) fn issue(&self, parameters: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }
}

impl Identity {
    pub(super) fn server(
        self,
        protocols: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

pub(super) fn named(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

pub(super) fn valid() -> CertificateParams {
    named(&[Authority::Auth.host(), Authority::Api.host()])
}

/// The handshake of one connection, as the server saw it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// The server name that the client asked for.
    pub(super) name: String,
    /// The protocols that the client offered.
    offered: Vec<String>,
    /// The TLS version. `None` if the client did not finish the handshake.
    version: Option<ProtocolVersion>,
}

/// A request: the number of its connection (counted from 0), its HTTP version and its host.
pub(super) type Requested = (usize, Version, String);

pub(super) struct TlsServer {
    pub(super) address: SocketAddr,
    pub(super) handshakes: mpsc::UnboundedReceiver<Handshake>,
    pub(super) requests: mpsc::UnboundedReceiver<Requested>,
}

impl TlsServer {
    pub(super) async fn start(
        identity: Identity,
        protocols: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let config = identity.server(protocols, versions);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (handshake, handshakes) = mpsc::unbounded_channel();
        let (requested, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve_tls(stream, number, Arc::clone(&config), handshake.clone(), requested.clone()));
            }
        });
        Self { address, handshakes, requests }
    }

    /// Returns whether the server received an HTTP request. Call this function after all connections have ended.
    pub(super) fn received_a_request(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }
}

async fn serve_tls(
    stream: TcpStream,
    number: usize,
    config: Arc<ServerConfig>,
    handshake: mpsc::UnboundedSender<Handshake>,
    requested: mpsc::UnboundedSender<Requested>,
) {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await.unwrap();
    let hello = start.client_hello();
    let name = hello.server_name().unwrap_or_default().to_owned();
    let offered =
        hello.alpn().into_iter().flatten().map(|protocol| String::from_utf8_lossy(protocol).into_owned()).collect();
    let accepted = start.into_stream(config).await;
    let version = accepted.as_ref().ok().and_then(|stream| stream.get_ref().1.protocol_version());
    handshake.send(Handshake { name, offered, version }).unwrap();
    let Ok(stream) = accepted else { return };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request: Request<Incoming>| {
        let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        let host = host.or_else(|| request.uri().authority().map(ToString::to_string)).unwrap();
        requested.send((number, request.version(), host)).unwrap();
        async { Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"{}")))) }
    });
    let served = if is_h2 {
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
    } else {
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    };
    // The outcome is ignored, because the client closes the connection at the end of the test.
    drop(served);
}

pub(super) async fn body_of(response: Result<Response<WasiBody>, Error>) -> Bytes {
    response.unwrap().into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_request_goes_to_a_server_that_proves_its_name_over_http_1_and_http_2() {
    let root = Root::new();
    let (tls12, tls13) = (&rustls::version::TLS12, &rustls::version::TLS13);
    for (protocols, versions, tls, http) in [
        (["h2", "http/1.1"].as_slice(), [tls12, tls13].as_slice(), ProtocolVersion::TLSv1_3, Version::HTTP_2),
        (&["http/1.1"], &[tls13], ProtocolVersion::TLSv1_3, Version::HTTP_11),
        (&[], &[tls13], ProtocolVersion::TLSv1_3, Version::HTTP_11),
        (&["h2"], &[tls12], ProtocolVersion::TLSv1_2, Version::HTTP_2),
        (&["http/1.1"], &[tls12], ProtocolVersion::TLSv1_2, Version::HTTP_11),
    ] {
        let mut server = TlsServer::start(root.issue(&valid()), protocols, versions).await;
        let client = client_over_tls(server.address, root.trusted());
        for _ in 0..3 {
            assert_eq!(body_of(send(&client).await).await, "{}");
        }
        let offered = ["h2", "http/1.1"].map(str::to_owned).to_vec();
        let name = "auth.tiktok-shops.com".to_owned();
        let expected = Handshake { name: name.clone(), offered, version: Some(tls) };
        assert_eq!(server.handshakes.recv().await, Some(expected));
        for _ in 0..3 {
            assert_eq!(server.requests.recv().await, Some((0, http, name.clone())), "{protocols:?}, one connection");
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_does_not_prove_its_name() {
    let (root, other) = (Root::new(), Root::new());
    let changed = |change: fn(&mut CertificateParams)| {
        let mut parameters = valid();
        change(&mut parameters);
        root.issue(&parameters)
    };
    let self_signed = {
        let key = KeyPair::generate().unwrap();
        let certificate = valid().self_signed(&key).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    };
    let by_a_leaf = {
        let key = KeyPair::generate().unwrap();
        let leaf = named(&["evil.example"]).signed_by(&key, &root.issuer).unwrap();
        let mut identity = Root { certificate: leaf.der().clone(), issuer: Issuer::new(named(&["evil.example"]), key) }
            .issue(&valid());
        identity.chain.push(leaf.der().clone());
        identity
    };
    for (why, identity, roots) in [
        ("the other host's name", root.issue(&named(&[Authority::Api.host()])), root.trusted()),
        ("another name", root.issue(&named(&["auth.tiktok-shops.com.evil.example"])), root.trusted()),
        ("a wildcard for too few labels", root.issue(&named(&["*.com"])), root.trusted()),
        ("a wildcard for too many labels", root.issue(&named(&["*.auth.tiktok-shops.com"])), root.trusted()),
        ("no name", root.issue(&named(&[])), root.trusted()),
        (
            "an address as name",
            changed(|parameters| {
                parameters.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
            }),
            root.trusted(),
        ),
        ("expired", changed(|parameters| parameters.not_after = date_time_ymd(2020, 1, 1)), root.trusted()),
        ("not yet valid", changed(|parameters| parameters.not_before = date_time_ymd(4000, 1, 1)), root.trusted()),
        (
            "for clients",
            changed(|parameters| parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            root.trusted(),
        ),
        ("signed by another authority", other.issue(&valid()), root.trusted()),
        ("signed by a server's certificate", by_a_leaf, root.trusted()),
        ("self-signed", self_signed, root.trusted()),
        ("signed by an authority that production does not trust", root.issue(&valid()), production_roots()),
    ] {
        let mut server = TlsServer::start(identity, &["h2", "http/1.1"], rustls::ALL_VERSIONS).await;
        let client = client_over_tls(server.address, roots);
        assert_eq!(request_error(&client).await, "TlsCertificateError", "{why}");
        assert_eq!(server.handshakes.recv().await.unwrap().version, None, "{why}: the handshake failed");
        drop(client);
        assert!(!server.received_a_request(), "{why}");
    }
}

/// Starts a server that sends `answer` after it has received the first bytes. Returns its address, and a task that
/// returns all bytes that the server receives until the client closes the connection.
async fn raw_server(answer: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        let mut received = Vec::new();
        stream.read_buf(&mut received).await.unwrap();
        stream.write_all(answer).await.unwrap();
        let _closed = stream.read_to_end(&mut received).await;
        received
    });
    (address, received)
}

/// Returns true if the bytes begin with a TLS record of a handshake, and contain no part of the request.
pub(super) fn is_only_a_handshake(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    received.first() == Some(&0x16) && ["GET", "HTTP/", "s3cret", "/api/"].iter().all(|part| !text.contains(part))
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_without_a_current_tls_version() {
    for (what, answer) in [
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".as_slice()),
        ("something else", b"220 mail.example ESMTP\r\n"),
        // A ServerHello: version 3.2 (TLS 1.1), 32 random bytes, no session, TLS_RSA_WITH_AES_128_CBC_SHA, no
        // compression.
        (
            "TLS 1.1",
            b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02\
              0123456789abcdef0123456789abcdef\x00\x00\x2f\x00",
        ),
        ("a TLS 1.1 alert", b"\x15\x03\x02\x00\x02\x02\x46"),
    ] {
        let (address, received) = raw_server(answer).await;
        let client = client_over_tls(address, production_roots());
        assert_eq!(request_error(&client).await, "DestinationUnavailable", "{what}");
        let received = received.await.unwrap();
        assert!(is_only_a_handshake(&received), "{what}: {}", String::from_utf8_lossy(&received));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_a_server_that_hangs_in_the_handshake() {
    let (address, received) = raw_server(b"").await;
    let started = Instant::now();
    assert_eq!(request_error(&client_over_tls(address, production_roots())).await, "DestinationUnavailable");
    assert_eq!(started.elapsed().as_secs(), 5);
    assert!(is_only_a_handshake(&received.await.unwrap()));
}

/// HTTP/2 would allow a shared connection here, because one certificate is valid for both names, and both names have
/// the same address.
#[tokio::test]
async fn the_two_authorities_never_share_a_connection() {
    let root = Root::new();
    let mut server = TlsServer::start(root.issue(&valid()), &["h2"], rustls::ALL_VERSIONS).await;
    let client = client_over_tls(server.address, root.trusted());
    let mut expected = Vec::new();
    for (connection, url, host) in
        [(0, TOKEN_URL, Authority::Auth.host()), (1, API_URL, Authority::Api.host())].repeat(2)
    {
        body_of(fetch(&client, url, RequestOptions::default()).await).await;
        expected.push((connection, Version::HTTP_2, host.to_owned()));
    }
    for request in expected {
        assert_eq!(server.requests.recv().await, Some(request));
    }
    let names = [server.handshakes.recv().await.unwrap().name, server.handshakes.recv().await.unwrap().name];
    assert_eq!(names, [Authority::Auth.host(), Authority::Api.host()]);
}

/// A connection can be dead although nobody has closed it. With HTTP/2, all requests share one connection.
#[tokio::test]
async fn after_a_request_without_an_answer_the_next_one_gets_another_http_2_connection() {
    let root = Root::new();
    let config = root.issue(&valid()).server(&["h2"], rustls::ALL_VERSIONS);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = client_over_tls(listener.local_addr().unwrap(), root.trusted());
    tokio::spawn(async move {
        for number in 0.. {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let service = service_fn(move |_: Request<Incoming>| async move {
                if number == 0 {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    let first_byte_timeout = Some(Duration::from_millis(1));
    let options = RequestOptions { first_byte_timeout, ..RequestOptions::default() };
    let unanswered = fetch(&client, TOKEN_URL, options).await.unwrap_err();
    assert_eq!(format!("{unanswered:?}"), "ConnectionReadTimeout");
    assert_eq!(body_of(send(&client).await).await, "{}");
}

/// hyper keeps a request that the server does not accept yet. If such a request runs out of time, it looks as if it might
/// have been sent.
#[tokio::test]
async fn a_65th_request_at_the_same_time_gets_another_http_2_connection() {
    let root = Root::new();
    let config = root.issue(&valid()).server(&["h2"], rustls::ALL_VERSIONS);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = client_over_tls(listener.local_addr().unwrap(), root.trusted());
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let answers = Arc::new(Semaphore::new(1));
    let server = Arc::clone(&answers);
    tokio::spawn(async move {
        for number in 0.. {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let (arrived, answers) = (arrived.clone(), Arc::clone(&server));
            let service = service_fn(move |_: Request<Incoming>| {
                arrived.send(number).unwrap();
                let answers = Arc::clone(&answers);
                async move {
                    answers.acquire().await.unwrap().forget();
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
                }
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    // Afterwards the pool has a connection.
    assert_eq!(body_of(send(&client).await).await, "{}");
    assert_eq!(arrivals.recv().await, Some(0));

    let mut running = tokio::task::JoinSet::new();
    for _ in 0..65 {
        let client = client.clone();
        running.spawn(async move { body_of(send(&client).await).await });
    }
    let mut on_first = 0;
    for _ in 0..65 {
        on_first += usize::from(arrivals.recv().await == Some(0));
    }
    assert_eq!(on_first, 64);
    answers.add_permits(65);
    assert!(running.join_all().await.iter().all(|body| body == "{}"));
}
