//! The server against which everything is measured. It answers as TikTok Shop does, with bytes from memory, in a
//! process of its own. It keeps no state and checks nothing, because it must be much faster than its clients.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tiktok_shop_host::clock::{Clock as _, SystemClock};
use tiktok_shop_host::egress::Authority;
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use crate::platform::{APP, LINK};
use crate::process::{self, Background};

/// The account id (`open_id`) in every token answer.
pub(crate) const ACCOUNT: &str = "bench-account-0123456789";
/// The id of the shop in every list of shops.
pub(crate) const SHOP: &str = "7490000000000000001";
/// The cipher of the shop.
pub(crate) const CIPHER: &str = "ROW_Fq3kzwAAAABz0cP0iVgXl2bT4nYh8sQe";
/// The path of the search for orders.
pub(crate) const ORDERS: &str = "/order/202309/orders/search";

/// The life of an access token: 20 hours. The bench connects with a host whose clock is days behind, so these tokens
/// are due for a host with the right clock. A renewed token is due only after 10 hours, half its life, so a sweep never
/// sees a connection twice.
const ACCESS_LIFE: u64 = 20 * 3_600;
const REFRESH_LIFE: u64 = 365 * 86_400;
/// The number of connections that may wait to be accepted.
const BACKLOG: u32 = 4_096;

/// Answer as TikTok Shop does, until standard input ends.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Pause before each answer, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Serve over TLS, with a certificate for the names of TikTok Shop's two servers.
    #[arg(long)]
    tls: bool,
}

/// The line that a server prints when it is ready.
#[derive(Serialize, Deserialize)]
struct Announcement {
    address: SocketAddr,
    /// The certificate in DER. Empty without TLS.
    certificate: Vec<u8>,
}

/// A running server. It ends when this value is dropped.
pub(crate) struct Server {
    _process: Background,
    announced: Announcement,
}

impl Server {
    /// Starts a server without pauses and without TLS.
    pub(crate) fn start() -> Result<Self> {
        Self::with(&[])
    }

    /// Starts a server with these options of [`Serve`].
    pub(crate) fn with(options: &[&str]) -> Result<Self> {
        let mut command = process::own("serve")?;
        command.args(options);
        let (process, announced) = Background::start(command)?;
        Ok(Self { _process: process, announced })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.announced.address
    }

    /// Returns the roots that trust this server.
    pub(crate) fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.announced.certificate.clone()))?;
        Ok(roots)
    }
}

impl Serve {
    pub(crate) fn run(self) -> Result<()> {
        // One thread is enough, and leaves the other processors to what is measured.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let end = process::end_of_input();
        process::allow_many_files()?;
        runtime.block_on(async move {
            tokio::select! {
                served = self.serve() => served,
                () = end => Ok(()),
            }
        })
    }

    async fn serve(self) -> Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let (certificate, acceptor) = if self.tls { tls()? } else { (Vec::new(), None) };
        let announced = serde_json::to_string(&Announcement { address: listener.local_addr()?, certificate })?;
        writeln!(io::stdout(), "{announced}")?;
        serve(listener, acceptor, Duration::from_millis(self.delay_ms)).await
    }
}

/// Accepts connections until an error occurs.
async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, delay: Duration) -> Result<()> {
    let answers = Arc::new(Answers::new(delay));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (answers, acceptor) = (Arc::clone(&answers), acceptor.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| Arc::clone(&answers).answer(request));
            // An error ends only this connection, and the client sees it.
            match acceptor {
                None => drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await),
                Some(acceptor) => {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                }
            }
        });
    }
}

/// Serves in this process, for tests, and returns the address.
#[cfg(test)]
pub(crate) async fn serve_here() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, None, Duration::ZERO));
    Ok(address)
}

fn tls() -> Result<(Vec<u8>, Option<TlsAcceptor>)> {
    let names = [Authority::Auth, Authority::Api].map(|authority| authority.host().to_owned());
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    Ok((cert.der().to_vec(), Some(TlsAcceptor::from(Arc::new(config)))))
}

/// The bodies of the answers.
struct Answers {
    delay: Duration,
    /// The body of a token answer, cut at the two places at which the number of the pair stands.
    token: [String; 3],
    issued: AtomicU64,
    shops: Bytes,
    orders: Bytes,
    /// The apps, as a fake shows them. The packages send an app secret only to a fake that has shown it.
    apps: Bytes,
    unknown: Bytes,
}

impl Answers {
    fn new(delay: Duration) -> Self {
        let now = SystemClock::new().wall().as_secs();
        let token = success(&json!({
            "access_token": "ROW_bench-access-token-of-the-usual-length-NUMBER",
            "access_token_expire_in": now + ACCESS_LIFE,
            "refresh_token": "ROW_bench-refresh-token-of-the-usual-length-NUMBER",
            "refresh_token_expire_in": now + REFRESH_LIFE,
            "open_id": ACCOUNT,
            "seller_name": "Teapot Corner",
            "seller_base_region": "GB",
            "user_type": 0,
            "granted_scopes": ["seller.authorization.info", "seller.order.info"],
        }));
        let mut parts = token.split("NUMBER").map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let shop = json!({
            "id": SHOP,
            "name": "Teapot Corner",
            "region": "GB",
            "seller_type": "LOCAL",
            "cipher": CIPHER,
            "code": "GBLCBENCH1",
        });
        let orders: Vec<_> = (0..2)
            .map(|number| {
                json!({
                    "id": format!("57700000000000000{number}"),
                    "status": "AWAITING_SHIPMENT",
                    "create_time": now,
                    "line_items": [{ "product_name": "Teapot, hand-painted, 1.2 litres", "sale_price": "24.90" }],
                    "payment": { "currency": "GBP", "total_amount": "24.90" },
                })
            })
            .collect();
        Self {
            delay,
            token: [part(), part(), part()],
            issued: AtomicU64::new(0),
            shops: success(&json!({ "shops": [shop] })).into(),
            orders: success(&json!({ "orders": orders, "total_count": 2, "next_page_token": "" })).into(),
            apps: json!([{ "app_key": APP.0, "app_secret": APP.1, "authorization_link": LINK }]).to_string().into(),
            unknown: json!({ "code": 36_009_009, "message": "Invalid path" }).to_string().into(),
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        // If the body can't be read, the connection is broken, and nobody sees the answer.
        let _body = body.collect().await;
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let body = match head.uri.path() {
            "/api/v2/token/get" | "/api/v2/token/refresh" => self.next_token(),
            "/authorization/202309/shops" => self.shops.clone(),
            ORDERS => self.orders.clone(),
            "/_control/apps" => self.apps.clone(),
            _ => self.unknown.clone(),
        };
        let mut response = Response::new(Full::new(body));
        let json = http::HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        Ok(response)
    }

    /// Returns the body of a token answer with a pair that was not issued before.
    fn next_token(&self) -> Bytes {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let [before, between, after] = &self.token;
        format!("{before}{number:016}{between}{number:016}{after}").into()
    }
}

fn success(data: &serde_json::Value) -> String {
    json!({ "code": 0, "message": "success", "request_id": "20260101000000F4017000000000000001", "data": data })
        .to_string()
}

#[cfg(test)]
mod tests {
    use tiktok_shop_fake_client::FakeAddress;

    use super::*;

    #[tokio::test]
    async fn the_packages_take_the_server_for_a_fake() {
        let fake = FakeAddress::of_this_process(serve_here().await.unwrap()).unwrap();
        let apps = fake.apps().await.unwrap();
        assert_eq!(apps.iter().map(|app| &*app.app_key).collect::<Vec<_>>(), [APP.0]);
    }

    #[test]
    fn every_pair_of_tokens_is_new() {
        let answers = Answers::new(Duration::ZERO);
        let [one, two] =
            [answers.next_token(), answers.next_token()].map(|body| String::from_utf8(body.into()).unwrap());
        assert_eq!(one.matches("0000000000000000").count(), 2, "{one}");
        assert_eq!(two.matches("0000000000000001").count(), 2, "{two}");
    }
}
