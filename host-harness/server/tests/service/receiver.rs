//! A receiver of webhooks: a real HTTP server that answers as a test wants, and hands each request to the test.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use sha2::Sha256;
use tiktok_shop_server::delivery::{Endpoint, EventTypes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The secrets of every endpoint: the new one and the previous one.
pub(crate) const SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];

/// A request that the receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let value = found.next().unwrap_or_else(|| panic!("no {name}: {}", self.head));
        assert_eq!(found.next(), None, "{name} occurs once");
        value
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Checks the signature with each of the secrets, as a receiver with only one of them does.
    pub(crate) fn check_signatures(&self) {
        let signatures: Vec<_> = self.header("webhook-signature").split(' ').collect();
        let signed = format!("{}.{}.{}", self.id(), self.header("webhook-timestamp"), self.body);
        let expected = SECRETS.map(|secret| {
            let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(signed.as_bytes());
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        assert_eq!(signatures, expected);
    }
}

/// What the receiver does with a request.
pub(crate) enum Reply {
    /// Answers with this status, and with these further lines of the head.
    Status(u16, &'static str),
    /// Never answers, and keeps the connection open.
    Never,
    /// Closes the connection without an answer.
    Close,
    /// Answers with status 200 and a body that does not end.
    Endless,
    /// Waits until the test sends something, and answers with status 204.
    WhenReleased(Arc<tokio::sync::Notify>),
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: UnboundedReceiver<Received>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(reply, None).await
    }

    async fn start_with(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = unbounded_channel();
        let reply = Arc::new(reply);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, sender, reply) = (tls.clone(), sender.clone(), Arc::clone(&reply));
                tokio::spawn(async move {
                    let Some(tls) = tls else { return answer(stream, sender, reply).await };
                    // A client that does not trust the certificate ends the handshake.
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream, sender, reply).await;
                    }
                });
            }
        });
        Self { address, received, accepting }
    }

    /// A receiver that accepts everything.
    pub(crate) async fn accepting() -> Self {
        Self::start(|_| Reply::Status(204, "")).await
    }

    /// A receiver that accepts everything, over TLS. It offers HTTP/2 and HTTP/1.1 by ALPN. Also returns the certificate of its private authority, in PEM.
    pub(crate) async fn accepting_over_tls() -> (Self, String) {
        let (tls, authority) = tls();
        (Self::start_with(|_| Reply::Status(204, ""), Some(tls)).await, authority)
    }

    /// Returns the next request. Waits for it.
    pub(crate) async fn next(&mut self) -> Received {
        self.received.recv().await.expect("the receiver runs")
    }

    /// Returns the next requests.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Received> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.next().await);
        }
        taken
    }

    /// Returns a request that has already come.
    pub(crate) fn already(&mut self) -> Option<Received> {
        self.received.try_recv().ok()
    }

    /// Returns an endpoint of the tenant `acme` at this receiver.
    pub(crate) fn endpoint(&self, name: &str) -> Endpoint {
        endpoint(name, self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(crate) fn endpoint(name: &str, address: SocketAddr) -> Endpoint {
    Endpoint {
        tenant: "acme".parse().unwrap(),
        name: name.parse().unwrap(),
        address: format!("http://{address}/hooks?from=connector").parse().unwrap(),
        secret: SECRETS[0].parse().unwrap(),
        previous_secret: Some(SECRETS[1].parse().unwrap()),
        types: EventTypes::default(),
    }
}

/// Returns a TLS server for 127.0.0.1, and the certificate of the authority that has issued its certificate, in PEM.
fn tls() -> (TlsAcceptor, String) {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = STANDARD.encode(parameters.self_signed(&key).unwrap().der());
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let chain = vec![names.signed_by(&key, &issuer).unwrap().der().clone()];
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    // Like most servers, it offers HTTP/2, too. But it only understands HTTP/1.1.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let pem = format!("-----BEGIN CERTIFICATE-----\n{authority}\n-----END CERTIFICATE-----\n");
    (TlsAcceptor::from(Arc::new(config)), pem)
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    sender: UnboundedSender<Received>,
    reply: Arc<impl Fn(&Received) -> Reply + Send + Sync>,
) {
    let Some(request) = read(&mut stream).await else { return };
    let reply = reply(&request);
    // The test may have ended.
    let _ = sender.send(request);
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} Any\r\n{more}connection: close\r\n");
    match reply {
        Reply::Status(status, more) => {
            let _ = stream.write_all(format!("{}content-length: 0\r\n\r\n", head(status, more)).as_bytes()).await;
        }
        Reply::Never => std::future::pending().await,
        Reply::Close => {}
        Reply::Endless => {
            let _ = stream.write_all(format!("{}\r\n", head(200, "")).as_bytes()).await;
            // Ends when the client closes the connection.
            while stream.write_all(&[b'.'; 8192]).await.is_ok() {}
        }
        Reply::WhenReleased(released) => {
            released.notified().await;
            let _ = stream.write_all(format!("{}content-length: 0\r\n\r\n", head(204, "")).as_bytes()).await;
        }
    }
    // TLS may keep the last bytes until the stream is closed.
    let _ = stream.shutdown().await;
}

/// Reads a request whose body has a length.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(Received { head: head.to_owned(), body: body.to_owned() });
            }
        }
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
    }
}
