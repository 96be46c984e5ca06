//! The ways in which an instance on the bench's own engine sends its requests: with the client of the host library, or
//! as wasmtime does by default.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tiktok_shop_host::egress::PooledClient;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// How requests are sent.
#[derive(Clone)]
pub(crate) enum Transport {
    /// Uses the host library's client, which keeps connections open.
    Pooled(Arc<PooledClient>),
    /// As `wasmtime_wasi_http::default_send_request`: each request has its own TCP connection and its own TLS
    /// configuration, so no TLS session is resumed. The function itself can't be used, because it trusts only public
    /// authorities.
    Default {
        /// The address of the server.
        server: SocketAddr,
        /// The roots that trust the server.
        roots: Arc<RootCertStore>,
    },
}

/// The boxed future that [`WasiHttpHooks`] requires.
type Sending = Box<
    dyn Future<Output = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>> + Send,
>;

impl WasiHttpHooks for Transport {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sending {
        let transport = self.clone();
        Box::new(async move {
            let response = match transport {
                Self::Pooled(client) => client.send(request).await?,
                Self::Default { server, roots } => on_a_new_connection(server, &roots, request).await?,
            };
            let done: Box<dyn Future<Output = _> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, done))
        })
    }
}

async fn on_a_new_connection(
    server: SocketAddr,
    roots: &RootCertStore,
    mut request: Request<WasiBody>,
) -> Result<Response<WasiBody>, Error> {
    let host = request.uri().host().ok_or(Error::HttpRequestUriInvalid)?.to_owned();
    let stream = TcpStream::connect(server).await.map_err(Error::Connect)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::TlsProtocolError)?
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host).map_err(|_| Error::HttpRequestUriInvalid)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(Error::Tls)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| body.map_err(Error::from).boxed_unsync()))
}
